"""C3D recordings: markers at one rate, analog channels and force plates at another; read without, written with ezc3d.

The two clocks are never mixed unasked: `open` gives the markers, the analog channels, or both on the markers' clock.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64

from invdyn.episodes.dataset import Dataset
from invdyn.episodes.episode import Span
from invdyn.episodes.formats.c3d_file import C3dFile, read_c3d_file
from invdyn.episodes.formats.c3d_plates import read_plates
from invdyn.episodes.formats.force_plates import ForcePlate, PlateLoad
from invdyn.episodes.formats.foreign import MissingPolicy, complaint
from invdyn.episodes.formats.markers import LENGTHS, Markers
from invdyn.episodes.formats.motion_files import (
    Recording,
    as_dataset,
    episode_files,
    episode_paths,
    float_spec,
    masked,
)
from invdyn.episodes.signal import Signal
from invdyn.errors import FormatError, SignalError, require

__all__ = ["C3d", "matches", "open", "read_c3d", "write", "write_c3d"]

CLOCKS = ("markers", "analog", "resampled")


@dataclass(frozen=True)
class C3d:
    """One C3D recording in SI units.

    Args:
        markers: the points; their metadata say the axes of the screen (`y_screen` points up), if stated.
        analog: [samples, channel] in `analog_units`.
        analog_names, analog_units: one per channel.
        analog_rate: samples per second; 0 without channels.
        plates: the force plates.
        plate_channels: for each plate [samples, 6 or 8] in N, N m and m, ready for `ForcePlate.load`.
        events: instants with their labels, seconds on the clock of the markers.
    """

    markers: Markers
    analog: Float64[np.ndarray, "samples channel"]
    analog_names: tuple[str, ...] = ()
    analog_units: tuple[str, ...] = ()
    analog_rate: float = 0.0
    plates: tuple[ForcePlate, ...] = ()
    plate_channels: tuple[Float64[np.ndarray, "samples plate_channel"], ...] = ()
    events: tuple[Span, ...] = ()

    @property
    def analog_time(self) -> Float64[np.ndarray, " samples"]:
        """[samples] seconds; the first sample of a frame is taken with the frame."""
        start = float(self.markers.time[0]) if len(self.markers.time) else 0.0
        return start + np.arange(len(self.analog)) / (self.analog_rate or 1.0)

    def loads(self, threshold: float = 20.0) -> tuple[PlateLoad, ...]:
        """What each plate measured, in the laboratory frame; see `ForcePlate.load`."""
        return tuple(p.load(c, threshold) for p, c in zip(self.plates, self.plate_channels, strict=True))


def matches(path: Path | str) -> bool:
    """Whether this is a .c3d file."""
    return Path(path).suffix.lower() == ".c3d" and Path(path).is_file()


def read_c3d(path: Path | str, *, units: str | None = None, plates: bool = True) -> C3d:
    """Read a C3D file; points that were not seen (residual below 0) are NaN.

    Args:
        path: the file.
        units: `m`, `mm` or `cm` of the points, for files that do not say it.
        plates: whether to read the force plates; without them, one of an unknown type is no reason to refuse.

    Raises:
        FormatError: a damaged file, an unknown unit, plates of another type than 1 to 4 or without channels.
    """
    path = Path(path)
    file = read_c3d_file(path)
    unit = units or next(iter(file.texts("POINT", "UNITS")), "")
    if unit not in LENGTHS:
        raise complaint(
            path,
            f"POINT:UNITS is {unit[:40]!r}",
            expected=f"one of {', '.join(LENGTHS)}",
            remedy='Pass units="mm" (or m, cm).',
        )
    analog_names = _labels(file.texts("ANALOG", "LABELS"), file.analog.shape[1], "channel")
    analog_units = (*file.texts("ANALOG", "UNITS"), *[""] * file.analog.shape[1])[: file.analog.shape[1]]
    if not np.isfinite(file.analog).all():
        raise complaint(
            path, "analog channels hold NaN or infinity", expected="finite numbers", remedy="Export the file again."
        )
    found = read_plates(file, path, LENGTHS[unit], analog_units) if plates else []
    try:
        return C3d(
            _markers(file, unit),
            file.analog,
            analog_names,
            analog_units,
            file.rate * file.samples if analog_names else 0.0,
            tuple(plate for plate, _ in found),
            tuple(channels for _, channels in found),
            _events(file),
        )
    except SignalError as error:
        raise FormatError(f"{path}: {error}") from None


def _labels(told: Sequence[str], number: int, what: str) -> tuple[str, ...]:
    """One label per column, each once: empty ones are numbered, repeated ones get their number as well."""
    padded = [*told, *[""] * number][:number]
    seen: dict[str, int] = {}
    for k, label in enumerate(padded):
        padded[k] = name = label or f"{what}{k + 1}"
        if name in seen:
            padded[k] = f"{name}#{k + 1}"
        seen[padded[k]] = k
    return tuple(padded)


def _markers(file: C3dFile, unit: str) -> Markers:
    metadata: dict[str, Any] = {"unit_in_file": unit, "first_frame": file.first_frame}
    for key in ("X_SCREEN", "Y_SCREEN"):
        for text in file.texts("POINT", key)[:1]:
            metadata[key.lower()] = text
    points = np.where(np.isfinite(file.points[..., :3]), file.points[..., :3], np.nan) / LENGTHS[unit]
    points[(file.points[..., 3] < 0) | np.isnan(points).any(axis=2)] = np.nan
    time = (file.first_frame - 1 + np.arange(len(points))) / file.rate
    return Markers(_labels(file.texts("POINT", "LABELS"), points.shape[1], "point"), time, points, file.rate, metadata)


def _events(file: C3dFile) -> tuple[Span, ...]:
    """Events [minutes, seconds] with context and label."""
    times = file.numbers("EVENT", "TIMES")
    labels, contexts = file.texts("EVENT", "LABELS"), file.texts("EVENT", "CONTEXTS")
    if times.ndim != 2 or times.shape[0] != 2 or not np.isfinite(times).all():
        return ()
    found = []
    for k, (minutes, seconds) in enumerate(times.T[: len(labels)].tolist()):
        context = contexts[k] if k < len(contexts) else ""
        at = 60 * minutes + seconds
        found.append(Span(at, at, f"{context} {labels[k]}".strip() or "event"))
    return tuple(found)


def open(  # noqa: A001 - every format module has `open`
    path: Path | str,
    *,
    clock: str = "markers",
    units: str | None = None,
    plates: bool = True,
    threshold: float = 20.0,
    nan: MissingPolicy = "mask",
    task: str = "",
) -> Dataset:
    """Open .c3d files, one episode each.

    Markers are signals `observation.marker.<label>` (m). Analog channels are `observation.analog`, each in its unit.
    A force plate k is `force.plate<k>` (N on the subject, laboratory frame), `force.plate<k>.free_moment` (N m) and
    `observation.plate<k>.cop` (m), the last two missing where the plate carries less than `threshold`.

    Args:
        path: a file, or a folder with one file per episode.
        clock: `markers` for the markers alone; `analog` for channels and plates alone, at their own rate;
            `resampled` for all at the markers' rate. There every channel goes through a zero-phase low-pass (the
            Kaiser-windowed FIR of `scipy.signal.resample_poly`, cut at half the markers' rate) before samples are
            dropped, and the plates' forces are computed from the filtered channels.
        units: `m`, `mm` or `cm` of the points, for files that do not say it.
        plates: whether to read force plates.
        threshold: N from which on a plate has a centre of pressure.
        nan: `mask` to read markers that are not seen as missing, or `refuse`.
        task: what was asked, in words, of every episode.

    Raises:
        FormatError: see `read_c3d`; or nothing to read on this clock.
    """
    path = Path(path)
    if clock not in CLOCKS:
        raise complaint(path, f"option clock={clock!r}", expected=f"one of {', '.join(CLOCKS)}", remedy="Correct it.")
    recordings, rate = [], 0.0
    for file in episode_files(path, (".c3d",)):
        read = read_c3d(file, units=units, plates=plates and clock != "markers")
        signals = [] if clock == "analog" else read.markers.signals(file, nan)
        if clock != "markers" and read.analog_names:
            signals += _analog_signals(read, file, threshold, clock == "resampled")
        if not signals:
            raise complaint(
                file, f"nothing on the clock {clock!r}", expected="points or channels", remedy="Pass another clock=..."
            )
        time = read.analog_time if clock == "analog" else read.markers.time
        rate = rate or (read.analog_rate if clock == "analog" else read.markers.rate)
        metadata = {"markers": list(read.markers.names), **read.markers.metadata}
        recordings.append(Recording(file, signals, time, metadata, read.events))
    return as_dataset(path, recordings, rate, task)


def _analog_signals(read: C3d, file: Path, threshold: float, resampled: bool) -> list[Signal]:
    factor = len(read.analog) // len(read.markers.time)

    def at_rate(values: Float64[np.ndarray, "samples channel"]) -> Float64[np.ndarray, "time channel"]:
        if not resampled or factor == 1:
            return np.ascontiguousarray(values)
        from scipy.signal import resample_poly

        return np.asarray(resample_poly(values, 1, factor, axis=0, padtype="line"))

    unit = ", ".join(read.analog_units) if len(set(read.analog_units)) > 1 else read.analog_units[0]
    spec = float_spec(file, "observation.analog", read.analog_names, unit=unit)
    signals = [masked(spec, at_rate(read.analog), file)]
    axes = ("x", "y", "z")
    for k, (plate, channels) in enumerate(zip(read.plates, read.plate_channels, strict=True)):
        load = plate.load(at_rate(channels), threshold)
        name = f"plate{k + 1}"
        signals += [
            masked(float_spec(file, f"force.{name}", axes, "force", "N"), load.force, file),
            masked(float_spec(file, f"force.{name}.free_moment", axes, "force", "N m"), load.free_moment, file),
            masked(float_spec(file, f"observation.{name}.cop", axes, "state", "m"), load.cop, file),
        ]
    return signals


def write_c3d(recording: C3d, path: Path | str) -> None:
    """Write markers (m, residual -1 where not seen) and analog channels as 32-bit floats.

    What is read back equals the values rounded to float32. Force plates' parameters are not written.

    Raises:
        FormatError: analog samples that are not the same number in every frame.
        MissingExtraError: ezc3d is not installed.
    """
    ezc3d = require("ezc3d", "bodies")
    markers, frames = recording.markers, len(recording.markers.time)
    if not frames or len(recording.analog) % frames:
        raise complaint(
            path,
            f"{len(recording.analog)} analog samples in {frames} frames",
            expected="at least one frame and as many samples in each",
            remedy="Resample the analog channels.",
        )
    file = ezc3d.c3d()
    point, analog = file["parameters"]["POINT"], file["parameters"]["ANALOG"]
    point["RATE"]["value"], point["UNITS"]["value"] = [markers.rate], ["m"]
    point["LABELS"]["value"] = list(markers.names)
    points = np.ones((4, len(markers.names), frames))
    points[:3] = np.moveaxis(np.nan_to_num(markers.positions), 0, 2).transpose(1, 0, 2)
    file["data"]["points"] = points
    residuals = np.where(markers.valid, 0.0, -1.0).T[None]
    file["data"]["meta_points"] = {"residuals": residuals, "camera_masks": np.zeros((7, *residuals.shape[1:]), bool)}
    if recording.analog_names:
        analog["RATE"]["value"] = [recording.analog_rate]
        analog["LABELS"]["value"], analog["UNITS"]["value"] = list(recording.analog_names), list(recording.analog_units)
        file["data"]["analogs"] = np.ascontiguousarray(recording.analog.T)[None]
    file.write(str(path))


def write(dataset: Dataset, path: Path | str) -> None:
    """Write recordings: a .c3d file (one episode), or a folder of `episode_000000.c3d` (several).

    Markers become points; every other signal of float64 vectors becomes analog channels with one sample per frame.

    Raises:
        FormatError: an episode without markers, or a signal that is neither.
    """
    for episode, file in zip(dataset, episode_paths(dataset, Path(path), ".c3d"), strict=True):
        markers = Markers.from_episode(episode, file)
        names: list[str] = []
        units: list[str] = []
        columns = [np.empty((episode.length, 0))]
        for name, signal in episode.items():
            if name.startswith("observation.marker."):
                continue
            spec = signal.spec
            if spec.dtype != "float64" or len(spec.shape) != 1 or not signal.mask.all():
                raise complaint(
                    file,
                    f"{spec.dtype} steps of shape {spec.shape}, {int((~signal.mask).sum())} missing",
                    expected="float64 vectors at every step",
                    remedy="Leave the signal out of the file.",
                    signal=name,
                )
            each = spec.unit.split(", ")
            names += spec.names or [f"{name}{k + 1}" for k in range(spec.size)]
            units += each if len(each) == spec.size else [spec.unit] * spec.size
            columns.append(signal.values)
        write_c3d(C3d(markers, np.concatenate(columns, axis=1), tuple(names), tuple(units), markers.rate), file)
