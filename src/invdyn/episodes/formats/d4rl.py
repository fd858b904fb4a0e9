"""D4RL HDF5: one flat table of steps, `observations`, `actions`, `rewards`, `terminals`, `timeouts`, no episode index.

Fu, Kumar, Nachum, Tucker, Levine, arXiv 2004.07219. An episode ends where `terminals` or `timeouts` is set. Files of
version 2 hold `next_observations`, whose last row of an episode is its final observation: the episode then has T + 1
rows, the last without action. Older files lack it, and the final observation is lost: T rows, with the last action.
NeoRL's files have the same keys and open the same way.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from invdyn.episodes.dataset import Dataset
from invdyn.episodes.episode import EpisodeRecord
from invdyn.episodes.formats.foreign import ForeignSource, MissingPolicy, Values, complaint
from invdyn.episodes.formats.hdf5 import Hdf5File, decode
from invdyn.episodes.signal import Kind, Schema, SignalSpec
from invdyn.errors import FormatError

__all__ = ["D4rlSource", "matches", "open"]

log = logging.getLogger(__name__)
NEEDED = ("observations", "actions", "rewards", "terminals")
FOLLOWING = "next_observations"
SIGNALS: Mapping[str, tuple[str, Kind]] = {
    "observations": ("observation.state", "state"),
    "actions": ("action", "action"),
    "rewards": ("next.reward", "reward"),
    "terminals": ("next.terminated", "event"),
    "timeouts": ("next.truncated", "event"),
    "infos/qpos": ("info.qpos", "state"),
    "infos/qvel": ("info.qvel", "state"),
}
"""Key -> signal and kind; other keys are not read."""


def matches(path: Path | str) -> bool:
    """Whether this is an HDF5 file with the flat tables of D4RL."""
    path = Path(path)
    if not path.is_file() or path.suffix not in (".hdf5", ".h5"):
        return False
    return Hdf5File.looks_like(path, lambda root: all(isinstance(root.get(k), h5py.Dataset) for k in NEEDED))


class D4rlSource(ForeignSource):
    """Episodes of a D4RL file.

    Args:
        hdf5: the file.
        schema: the signals.
        keys: signal -> key.
        starts: [episodes] first row of each.
        steps: [episodes] rows of each in the file.
        facts: metadata of every episode.
        task: what was asked, in words.
        nan: what NaN is.
    """

    def __init__(
        self,
        hdf5: Hdf5File,
        schema: Schema,
        keys: Mapping[str, str],
        starts: np.ndarray,
        steps: np.ndarray,
        facts: Mapping[str, Any],
        task: str,
        nan: MissingPolicy,
    ) -> None:
        self.follows = hdf5.exists(FOLLOWING)
        super().__init__(hdf5.path, schema, (steps + self.follows).tolist(), nan)
        self._hdf5, self._keys, self._starts, self._steps = hdf5, keys, starts, steps
        self._facts, self._task = facts, task

    def record(self, index: int) -> EpisodeRecord:
        return EpisodeRecord(int(self.lengths[index]), self._task, dict(self._facts))

    def _has(self, index: int, name: str) -> bool:
        return True

    def _values(self, index: int, name: str, start: int, stop: int) -> Values | None:
        first, steps, spec = int(self._starts[index]), int(self._steps[index]), self._specs[name]
        data = self._hdf5.dataset(self._keys[name])
        values = self._hdf5.values(data, first + start, first + min(stop, steps))
        values = values.astype(bool) if spec.dtype == "bool" else values
        if stop <= steps:
            return values, None
        if name == SIGNALS["observations"][0]:
            last = self._hdf5.values(self._hdf5.dataset(FOLLOWING), first + steps - 1, first + steps)
            return np.concatenate([values, last.astype(values.dtype)]), None
        empty = np.full((1, *spec.shape), np.nan if values.dtype.kind == "f" else 0, values.dtype)
        return np.concatenate([values, empty]), np.arange(start, stop) < steps


def open(  # noqa: A001 - every format module has `open`
    path: Path | str,
    *,
    fps: float | None = None,
    task: str = "",
    nan: MissingPolicy = "refuse",
) -> Dataset:
    """Open a D4RL file.

    Args:
        path: the HDF5 file.
        fps: steps per second; the file does not tell: None counts one step per second (this is logged).
        task: what was asked, in words.
        nan: `refuse`, or `mask` to read NaN steps as missing.

    Raises:
        FormatError: a table that is missing, empty or of another length than the others.
    """
    path = Path(path)
    hdf5 = Hdf5File(path)
    rows = len(hdf5.dataset("observations"))
    present = [k for k in SIGNALS if k in NEEDED or hdf5.exists(k)]
    specs, keys = [], {}
    for key in (*present, *([FOLLOWING] if hdf5.exists(FOLLOWING) else [])):
        data = hdf5.dataset(key)
        if data.ndim == 0 or len(data) != rows or not rows:
            raise complaint(
                path,
                f"{key} has shape {data.shape}, observations {hdf5.dataset('observations').shape}",
                expected="tables of as many rows, one at least",
                remedy="Download the file again.",
            )
        if key == FOLLOWING:
            continue
        name, kind = SIGNALS[key]
        dtype = "bool" if kind == "event" else str(data.dtype)
        bounds = {"low": (-1.0,), "high": (1.0,)} if key == "actions" else {}
        specs.append(SignalSpec(name, tuple(data.shape[1:]), dtype, kind, **bounds))  # type: ignore[arg-type]
        keys[name] = key
    ends = hdf5.values(hdf5.dataset("terminals"), 0, rows).astype(bool)
    if "timeouts" in present:
        ends = ends | hdf5.values(hdf5.dataset("timeouts"), 0, rows).astype(bool)
    elif not ends.any():
        raise FormatError(
            f"{path}: no timeouts and no terminal step, so its {rows} rows do not tell where episodes end. "
            "Use a file of D4RL version 1 or later, which has them."
        )
    ends[-1] = True  # what was cut off by the file's end
    stops = np.flatnonzero(ends) + 1
    starts = np.concatenate([[0], stops[:-1]])
    if fps is None:
        log.info("%s tells no frame rate: one step counts as one second. Pass fps=... to set it.", path)
    facts = {str(k): decode(v) for k, v in hdf5.root.attrs.items()}
    source = D4rlSource(hdf5, Schema(tuple(specs), fps or 1.0), keys, starts, stops - starts, facts, task, nan)
    return Dataset(source)
