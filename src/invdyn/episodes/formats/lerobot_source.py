"""`LeRobotSource`: the episodes of a LeRobotDataset on disk, read one column of one episode at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64

from invdyn.episodes.episode import EpisodeRecord
from invdyn.episodes.formats.lerobot_columns import decode_column
from invdyn.episodes.formats.lerobot_episodes import EpisodeTable, read_episodes, read_stored_statistics
from invdyn.episodes.formats.lerobot_files import DataFile, Recent
from invdyn.episodes.formats.lerobot_info import CLOCK, LeRobotInfo, mask_name, read_info
from invdyn.episodes.formats.lerobot_v2 import read_episodes_v2
from invdyn.episodes.signal import Schema, Signal, SignalSpec
from invdyn.episodes.statistics import Statistics
from invdyn.episodes.video import VideoReader
from invdyn.errors import ConfigError, FormatError

__all__ = ["LeRobotSource"]

RUN_BYTES = 2**25
"""At most so much is read at once of episodes that stand side by side."""


class LeRobotSource:
    """An `EpisodeSource` over a folder; opening it reads `meta/` only.

    Args:
        root: the folder that holds `meta/info.json`.
        nan: what to do with numbers that are not finite and not masked: `refuse`, or `mask` them as missing.
        clock: `check` the timestamp column against frame_index / fps, or `ignore` it, or `column`: believe it.

    Raises:
        FormatError: metadata that is missing, broken, contradicts itself, or asks for absurd sizes.
    """

    def __init__(
        self,
        root: Path,
        *,
        nan: str = "refuse",
        clock: str = "check",
    ) -> None:
        if nan not in ("refuse", "mask") or clock not in ("check", "ignore", "column"):
            raise ConfigError(f"nan={nan!r}, clock={clock!r}: expected nan refuse|mask and clock check|ignore|column.")
        self.root, self.nan, self.clock = root, nan, clock
        self.info: LeRobotInfo = read_info(root)
        self.table: EpisodeTable = (
            read_episodes(self.info) if self.info.version[0] == 3 else read_episodes_v2(self.info)
        )
        self._forget()

    def _forget(self) -> None:
        self._files: Recent[DataFile] = Recent(16)
        self._videos: Recent[VideoReader] = Recent(8)
        self._present: dict[tuple[int, str], bool] = {}
        self._stored: dict[str, Any] = {}

    def __getstate__(self) -> dict[str, Any]:  # open files do not travel to other processes
        return {k: v for k, v in self.__dict__.items() if k not in ("_files", "_videos", "_present", "_stored")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._forget()

    @property
    def schema(self) -> Schema:
        return self.info.schema

    @property
    def origin(self) -> str:
        return str(self.root)

    @property
    def lengths(self) -> np.ndarray:
        return self.table.lengths

    def record(self, index: int) -> EpisodeRecord:
        record = self.table.record(index)
        if "tasks" in self.table.text and len(self.table.text["tasks"][index]):
            return record
        number = int(
            self._column(index, "task_index", 0, 1).to_numpy(zero_copy_only=False)[0]
        )  # the table does not name the task
        if not 0 <= number < len(self.table.tasks):
            raise FormatError(
                f"{self.root}, episode {index}: task_index {number} of {len(self.table.tasks)} tasks. Correct "
                "meta/tasks."
            )
        return replace(record, task=self.table.tasks[number])

    def timestamps(self, index: int) -> Float64[np.ndarray, " time"]:
        """[time] seconds: the true clock where one is stored, else frame_index / fps in float64."""
        length = int(self.lengths[index])
        file = self._data(index)  # checks the number of rows before anything of this length is made
        regular = np.arange(length, dtype=np.float64) / self.schema.fps
        name = CLOCK if self.info.clock else "timestamp"
        if name not in file or (name != CLOCK and self.clock == "ignore"):
            return regular
        where = self._where(index, name)
        clock = self._column(index, name, 0, length).to_numpy(zero_copy_only=False).astype(np.float64)
        if name == CLOCK or self.clock == "column":
            wrong = np.flatnonzero(~np.isfinite(clock) | (np.diff(clock, prepend=-np.inf) <= 0))
            if len(wrong):
                at = int(wrong[0])
                raise FormatError(
                    f"{where}, step {at}: time {clock[at]} s does not come after the step before it. Sort the "
                    "rows by time and drop repeated ones."
                )
            return clock
        # float32 seconds are this coarse (formats.md 1.4)
        wrong = np.flatnonzero(
            ~(np.abs(clock - regular) <= 1e-4 + np.spacing(regular.astype(np.float32)).astype(np.float64))
        )
        if len(wrong):
            at = int(wrong[0])
            raise FormatError(
                f"{where}, step {at}: time {clock[at]:.6g} s, but frame {at} at {self.schema.fps:g} fps is "
                f"{regular[at]:.6g} s. Correct fps in "
                'meta/info.json, or open it with clock="column" (believe the column) or clock="ignore".'
            )
        return regular

    def read(self, index: int, name: str, start: int, stop: int) -> Signal | None:
        """Steps start..stop of one signal; only its own column of its own rows is read, or its own frames decoded."""
        spec = self.schema[name]
        if not self.has(index, spec):
            return None
        if start == stop:
            return Signal(spec, np.zeros((0, *spec.shape), spec.numpy_dtype))
        valid = self.mask(index, name, start, stop)
        if spec.encoding == "video":
            return Signal(spec, self._frames(index, spec, start, stop), valid)
        values, valid = self._values(index, spec, start, stop, valid)
        return Signal(spec, values, None if valid is None or valid.all() else valid)

    def pieces(self, indices: np.ndarray, name: str) -> Iterator[tuple[int, Signal | None]]:
        """One signal of many episodes: those whose rows stand side by side in one file are read and decoded at once."""
        spec, table, at = self.schema[name], self.table, 0
        plain = spec.encoding == "array" and not spec.is_text and self.nan == "refuse" and table.complete(name)
        most = max(1, RUN_BYTES // max(1, spec.size * spec.numpy_dtype.itemsize))
        together = plain & (np.diff(indices) == 1)
        for part in (table.chunk, table.file):
            together &= np.diff(part[indices]) == 0
        rows = np.concatenate([[0], np.cumsum(table.lengths[indices])])
        for stop in [*(np.flatnonzero(~together) + 1).tolist(), len(indices)]:
            while at < stop:
                count = max(1, int(np.searchsorted(rows[at : stop + 1], rows[at] + most, "right")) - 1)
                run, at = indices[at : at + count], at + count
                signal = self._side_by_side(int(run[0]), spec, int(rows[at] - rows[at - count])) if count > 1 else None
                if signal is not None:
                    yield count, signal
                    continue
                for index in run:
                    yield 1, self.read(int(index), name, 0, int(table.lengths[index]))

    def _side_by_side(self, first: int, spec: SignalSpec, frames: int) -> Signal | None:
        """So many rows from an episode on; None where something is wrong, for `read` to say in which episode."""
        try:
            values, valid = self._values(first, spec, 0, frames, self.mask(first, spec.name, 0, frames))
        except FormatError:
            return None
        return Signal(spec, values, None if valid is None or valid.all() else valid)

    def _values(
        self, index: int, spec: SignalSpec, start: int, stop: int, valid: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray | None]:
        where = self._where(index, spec.name)
        values, filled = decode_column(spec, self._column(index, spec.name, start, stop), where)
        finite = filled
        if spec.numpy_dtype.kind == "f" and not np.isfinite(values).all():
            numbers = np.isfinite(values).reshape(len(values), -1).all(1)
            finite = numbers if filled is None else numbers & filled
        if finite is None:
            return values, valid
        wrong = np.flatnonzero(~finite & (True if valid is None else valid))
        if len(wrong) and self.nan == "refuse":
            raise FormatError(
                f"{where}, step {start + int(wrong[0])}: not a finite number, and no column "
                f"{mask_name(spec.name)!r} says that it is missing "
                f'there. Open the dataset with nan="mask" to take such steps ({len(wrong)} here) as missing.'
            )
        return values, finite if valid is None else finite & valid

    def has(self, index: int, spec: SignalSpec) -> bool:
        """Whether the episode has the signal at all (masked at every step counts as not)."""
        key = (index, spec.name)
        if key not in self._present:
            absent = self.table.absent(index)
            length = int(self.lengths[index])
            if absent is not None and spec.name in absent:
                there = False
            elif absent is None and spec.name in self.info.masked:
                valid = self.mask(index, spec.name, 0, length)
                there = valid is None or bool(valid.any())
            else:
                there = True
            if (
                there
                and self.nan == "mask"
                and spec.encoding != "video"
                and (spec.numpy_dtype.kind == "f" or spec.is_text)
            ):
                valid = self._values(index, spec, 0, length, self.mask(index, spec.name, 0, length))[1]
                there = valid is None or bool(valid.any())
            self._present[key] = there
        return self._present[key]

    def stored_statistics(self, index: int, name: str) -> Statistics | None:
        """What the folder says of a signal of an episode, if this package wrote it; foreign ones are not trusted."""
        if not self.info.ours or self.info.version[0] != 3:
            return None
        if name not in self._stored:
            self._stored[name] = read_stored_statistics(self.info, name)
        table = self._stored[name]
        told = None if table is None or len(table) != len(self.lengths) else table.slice(index, 1).to_pylist()[0]
        return None if told is None or any(v is None for v in told.values()) else Statistics.of_json(told)

    def mask(self, index: int, name: str, start: int, stop: int) -> np.ndarray | None:
        """[stop - start] False where the value is missing; None when nothing is."""
        if name not in self.info.masked:
            return None
        column = self._column(index, mask_name(name), start, stop)
        if column.null_count:
            raise FormatError(f"{self._where(index, mask_name(name))}: empty rows in a mask. Write the file again.")
        valid: np.ndarray = column.to_numpy(zero_copy_only=False)
        return None if valid.all() else valid

    def _frames(self, index: int, spec: SignalSpec, start: int, stop: int) -> np.ndarray:
        path = self.table.video_file(index, spec.name)
        reader = self._videos.get(path, lambda: VideoReader(path, spec.shape, f"episode {index}, signal {spec.name!r}"))
        reader.where = f"{path} (episode {index}, signal {spec.name!r})"
        fps = self.schema.fps
        times = self.table.videos[spec.name].start[index] + np.arange(start, stop, dtype=np.float64) / fps
        if reader.frames and stop - start > reader.frames:
            raise FormatError(
                f"{reader.where}: {reader.frames} frames for {stop - start} steps. The file is cut off: copy it again."
            )
        out = np.empty((stop - start, *spec.shape), np.uint8)
        reader.read(times, out, spacing=1 / fps)
        return out

    def _column(self, index: int, name: str, start: int, stop: int) -> Any:
        first = int(self.table.first[index])
        return self._data(index).read(name, first + start, first + stop, self._where(index, name))

    def _data(self, index: int) -> DataFile:
        path = self.table.data_file(index)
        return self._files.get(path, lambda: DataFile(path, self.info, int(self.table.rows[index])))

    def _where(self, index: int, name: str) -> str:
        return f"{self.table.data_file(index)}, episode {index}, signal {name!r}"
