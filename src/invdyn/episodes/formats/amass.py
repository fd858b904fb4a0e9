"""AMASS motion archives (.npz): SMPL+H (`*_poses.npz`) and SMPL-X (`*_stageii.npz`) poses; nothing is unpickled.

Source: Mahmood et al. 2019 (AMASS) and the keys that its own code reads. Joint order and shape belong to the body
models, which have licences of their own; the data are for non-commercial research.
"""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from invdyn.episodes.dataset import Dataset
from invdyn.episodes.formats.foreign import MissingPolicy, complaint
from invdyn.episodes.formats.markers import Markers
from invdyn.episodes.formats.motion_files import Recording, as_dataset, episode_files, float_spec, masked
from invdyn.episodes.formats.npz_archive import NpzArchive
from invdyn.episodes.signal import Signal
from invdyn.errors import FormatError, SignalError

__all__ = ["matches", "open"]

RATES = ("mocap_framerate", "mocap_frame_rate")
PARTS = {
    156: (("root", 1), ("body", 21), ("hand", 30)),
    165: (("root", 1), ("body", 21), ("jaw", 1), ("eye", 2), ("hand", 30)),
}
"""Joints of three numbers each (axis-angle, rad) by the width of `poses`: SMPL+H and SMPL-X."""
MODELS = {156: "SMPL+H", 165: "SMPL-X"}
MARKERS = (("marker_data", "marker_labels"), ("markers", "labels"))
USED = ("trans", "poses", "betas", "dmpls", "gender", "surface_model_type", *RATES, *sum(MARKERS, ()))
REMEDY = "Download the archive again."
LARGEST = 2**28
"""Bytes of one array."""


def matches(path: Path | str) -> bool:
    """Whether this is an .npz with `poses`, `trans` and one of the two spellings of the frame rate."""
    if Path(path).suffix != ".npz":
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            keys = {name.removesuffix(".npy") for name in archive.namelist()}
    except (OSError, ValueError, zipfile.BadZipFile, NotImplementedError):
        return False
    return {"poses", "trans"} <= keys and any(rate in keys for rate in RATES)


def open(  # noqa: A001 - every format module has `open`
    path: Path | str, *, nan: MissingPolicy = "refuse", task: str = ""
) -> Dataset:
    """Open AMASS archives, one episode each.

    Signals: `observation.root.position` [time, 3] m, `observation.state` [time, 156 or 165] axis-angle in rad named
    `<part>_<number>.<axis>`, `observation.soft_tissue` (dmpls) and `observation.marker.<label>` (m) where stored. The
    metadata hold gender, betas and model, and `left_out` names arrays that are pickled and therefore never read.
    The world of AMASS has z up by custom; the files do not say it.

    Args:
        path: a file, or a folder with one file per episode.
        nan: `refuse`, or `mask` to read steps with a NaN as missing (markers not seen are always missing).
        task: what was asked, in words, of every episode.

    Raises:
        FormatError: keys that are missing, arrays of other shapes, a damaged archive.
    """
    path = Path(path)
    recordings, fps = [], 0.0
    for file in episode_files(path, (".npz",)):
        signals, rate, metadata = _read(file, nan)
        fps = fps or rate
        recordings.append(Recording(file, signals, np.arange(len(signals[0])) / rate, metadata))
    return as_dataset(path, recordings, fps, task)


def _read(file: Path, nan: MissingPolicy) -> tuple[list[Signal], float, dict[str, Any]]:
    archive = NpzArchive(file, only=USED)
    trans, poses = _numbers(archive, "trans"), _numbers(archive, "poses")
    rate_key = next((key for key in RATES if key in archive), RATES[0])
    rate = _numbers(archive, rate_key).reshape(-1)
    if rate.size != 1 or not 1e-6 < rate[0] < 1e9:
        raise complaint(file, f"{rate_key} is {rate[:3].tolist()}", expected="frames per second", remedy=REMEDY)
    if poses.ndim != 2 or poses.shape[1] not in PARTS or trans.shape != (len(poses), 3) or not len(poses):
        raise complaint(
            file,
            f"poses {poses.shape} and trans {trans.shape}",
            expected="(N, 156) or (N, 165) and (N, 3)",
            remedy=REMEDY,
        )
    names = [f"{part}_{k}.{axis}" for part, n in PARTS[poses.shape[1]] for k in range(n) for axis in "xyz"]
    signals = [
        masked(
            float_spec(file, "observation.root.position", ("x", "y", "z"), unit="m"), _finite(trans, file), file, nan
        ),
        masked(float_spec(file, "observation.state", names, unit="rad"), _finite(poses, file), file, nan),
    ]
    metadata: dict[str, Any] = {"model": MODELS[poses.shape[1]], "left_out": list(archive.left_out)}
    for key in ("gender", "surface_model_type"):
        if key in archive and archive.headers[key].shape == () and archive.headers[key].dtype.kind in "US":
            value = archive.array(key).item()
            metadata[key] = value.decode("latin-1") if isinstance(value, bytes) else str(value)
    if "betas" in archive:
        metadata["betas"] = _finite(_numbers(archive, "betas"), file).reshape(-1).tolist()
    if "dmpls" in archive:
        tissue = _finite(_numbers(archive, "dmpls"), file)
        if tissue.ndim != 2 or len(tissue) != len(poses):
            raise complaint(file, f"dmpls {tissue.shape}", expected=f"({len(poses)}, 8)", remedy=REMEDY)
        signals.append(
            masked(float_spec(file, "observation.soft_tissue", None, size=tissue.shape[1]), tissue, file, nan)
        )
    return signals + _markers(archive, file, len(poses), float(rate[0])), float(rate[0]), metadata


def _numbers(archive: NpzArchive, key: str) -> np.ndarray:
    """An array of numbers as float64."""
    if key not in archive:
        raise complaint(archive.path, f"no array {key!r}", expected="an AMASS archive", remedy=REMEDY)
    header = archive.headers[key]
    if header.dtype.kind not in "iuf" or header.dtype.itemsize * int(np.prod(header.shape, dtype=object)) > LARGEST:
        raise complaint(
            archive.path,
            f"array {key!r} is {header.dtype} of shape {header.shape}",
            expected=f"numbers, at most {LARGEST // 2**20} MiB",
            remedy=REMEDY,
        )
    return archive.array(key).astype(np.float64)


def _finite(values: np.ndarray, file: Path) -> np.ndarray:
    """Refuses infinity; NaN is left to the policy for missing steps."""
    if np.isinf(values).any():
        raise complaint(file, "an infinite number", expected="finite numbers", remedy=REMEDY)
    return values


def _markers(archive: NpzArchive, file: Path, frames: int, rate: float) -> list[Signal]:
    for data, labels in MARKERS:
        if data in archive and labels in archive and archive.headers[labels].dtype.kind in "US":
            positions, told = _numbers(archive, data), archive.array(labels).reshape(-1)
            if positions.shape != (frames, len(told), 3):
                raise complaint(
                    file, f"{data} {positions.shape}", expected=f"({frames}, {len(told)}, 3)", remedy=REMEDY
                )
            positions[~np.isfinite(positions).all(axis=2)] = np.nan
            names = tuple(n.decode("latin-1") if isinstance(n, bytes) else str(n) for n in told.tolist())
            try:
                return Markers(names, np.arange(frames) / rate, positions, rate).signals(file)
            except SignalError as error:
                raise FormatError(f"{file}: {error}") from None
    return []
