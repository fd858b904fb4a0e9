"""The episode table of a LeRobotDataset: where each episode's rows and frames are (formats.md 1.6, 1.11).

Kept as Arrow columns and numpy arrays: opening 100,000 episodes makes no Python object per episode.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from invdyn.episodes.episode import EpisodeRecord, Span
from invdyn.episodes.formats.lerobot_info import MOST_FRAMES, LeRobotInfo, expand
from invdyn.episodes.statistics import QUANTILES
from invdyn.errors import FormatError

__all__ = [
    "ABSENT",
    "METADATA",
    "SPANS",
    "EpisodeTable",
    "VideoPlace",
    "read_episodes",
    "read_stored_statistics",
    "read_table",
    "read_tasks",
]

METADATA, SPANS, ABSENT = "invdyn/metadata", "invdyn/spans", "invdyn/absent"
"""Our columns of the episode table: JSON text, JSON text, list of the signals that the episode lacks."""


@dataclass(frozen=True)
class VideoPlace:
    """Where an episode's pictures of one camera are: [episodes] arrays; `chunk`, `file` numbers, first second."""

    chunk: np.ndarray
    file: np.ndarray
    start: np.ndarray


@dataclass(frozen=True)
class EpisodeTable:
    """Where everything is.

    Args:
        info: the dataset's own description.
        lengths: [episodes] steps.
        chunk, file: [episodes] numbers that fill the data path.
        first: [episodes] the row of the data file at which the episode begins.
        rows: [episodes] rows that this data file must have in all.
        videos: camera -> place.
        text: Arrow columns `tasks` and our own, those that are there.
        tasks: the task table.
    """

    info: LeRobotInfo
    lengths: np.ndarray
    chunk: np.ndarray
    file: np.ndarray
    first: np.ndarray
    rows: np.ndarray
    videos: Mapping[str, VideoPlace]
    text: Mapping[str, pa.ChunkedArray] = field(repr=False)
    tasks: tuple[str, ...] = field(default=(), repr=False)
    _paths: dict[tuple[str, int, int, int], Path] = field(default_factory=dict, init=False, repr=False)

    def data_file(self, index: int) -> Path:
        return self._expand(self.info.data_path, index, int(self.chunk[index]), int(self.file[index]))

    def video_file(self, index: int, name: str) -> Path:
        place = self.videos[name]
        return self._expand(self.info.video_path, index, int(place.chunk[index]), int(place.file[index]), name)

    def _expand(self, template: str, index: int, chunk: int, file: int, key: str = "") -> Path:
        kept = (key, chunk, file, index if "{episode" in template else 0)
        if kept not in self._paths:
            self._paths[kept] = self._checked(template, index, chunk, file, key)
        return self._paths[kept]

    def _checked(self, template: str, index: int, chunk: int, file: int, key: str) -> Path:
        numbers = {"chunk_index": chunk, "file_index": file, "episode_chunk": chunk, "episode_index": index}
        return expand(self.info.root, template, video_key=key, **numbers)

    def absent(self, index: int) -> frozenset[str] | None:
        """The signals this episode lacks; None when the table does not tell."""
        column = self.text.get(ABSENT)
        value = None if column is None else column[index].as_py()
        return None if value is None else frozenset(value)

    def complete(self, name: str) -> bool:
        """Whether every episode is known to have the signal, without looking at values."""
        column = self.text.get(ABSENT)
        if column is None or column.null_count:
            return name not in self.info.masked
        return name not in pc.list_flatten(column).unique().to_pylist()

    def record(self, index: int) -> EpisodeRecord:
        """Task, metadata and spans. An episode with several tasks has the first one, and all in `metadata["tasks"]`."""
        where = f"{self.info.root / 'meta' / 'episodes'}, episode {index}"
        tasks = self.text["tasks"][index].as_py() if "tasks" in self.text else None
        metadata = self._json(METADATA, index, where, dict)
        if tasks and len(tasks) > 1:
            metadata = {"tasks": tasks, **metadata}
        try:
            spans = tuple(
                Span(float(s["start"]), float(s["stop"]), s["name"], s.get("detail", {}))
                for s in self._json(SPANS, index, where, list)
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise FormatError(
                f"{where}: column {SPANS} does not hold events ({error}). Write the dataset again."
            ) from error
        return EpisodeRecord(int(self.lengths[index]), (tasks or [""])[0] or "", metadata, spans)

    def _json(self, name: str, index: int, where: str, kind: type) -> Any:
        column = self.text.get(name)
        text = None if column is None else column[index].as_py()
        if text is None:
            return kind()
        try:
            value = json.loads(text)
        except (json.JSONDecodeError, TypeError) as error:
            raise FormatError(f"{where}: column {name} is not JSON ({error}). Write the dataset again.") from error
        if not isinstance(value, kind):
            raise FormatError(f"{where}: column {name} is no JSON {kind.__name__}. Write the dataset again.")
        return value


def read_table(path: Path, columns: list[str] | None = None) -> pa.Table:
    """A whole Parquet file of metadata, or a `FormatError` naming it."""
    return _read(_opened(path), path, columns)


def _opened(path: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(path)
    except FileNotFoundError:
        raise FormatError(f"{path} is missing. Copy it again from the source.") from None
    except (pa.ArrowException, OSError) as error:
        raise _unreadable(path, error) from error


def _read(file: pq.ParquetFile, path: Path, columns: list[str] | None) -> pa.Table:
    try:
        return file.read(columns=columns)
    except (pa.ArrowException, OSError) as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> FormatError:
    return FormatError(f"{path} is not a readable Parquet file ({error}); cut off? Copy it again from the source.")


def read_tasks(root: Path) -> tuple[str, ...]:
    """The texts of `meta/tasks.parquet` by task_index. The text column is found with and without pandas metadata."""
    path = root / "meta" / "tasks.parquet"
    table = read_table(path)
    text = [n for n in ("task", "__index_level_0__") if n in table.column_names]
    text = text or [n for n, kind in zip(table.column_names, table.schema.types) if pa.types.is_string(kind)]
    if not text or "task_index" not in table.column_names:
        raise FormatError(
            f"{path}: expected columns task_index and task, found {', '.join(table.column_names)}. Write it again."
        )
    order = np.argsort(table["task_index"].to_numpy(), kind="stable")
    numbers = table["task_index"].to_numpy()[order]
    if not np.array_equal(numbers, np.arange(len(numbers))):
        raise FormatError(f"{path}: task_index is {numbers[:5].tolist()}..., expected 0, 1, 2, ... Write it again.")
    return tuple(str(t) for t in table[text[0]].take(order).to_pylist())


def read_episodes(info: LeRobotInfo) -> EpisodeTable:
    """The v3.0 table from `meta/episodes`; statistics columns are not even read."""
    folder = info.root / "meta" / "episodes"
    files = sorted(folder.glob("chunk-*/file-*.parquet"))
    if not files and info.episodes:
        raise FormatError(f"{folder} holds no chunk-*/file-*.parquet. Copy the folder again from the source.")
    numbers = [
        "episode_index",
        "length",
        "data/chunk_index",
        "data/file_index",
        "dataset_from_index",
        "dataset_to_index",
    ]
    cameras = [s.name for s in info.schema.signals if s.encoding == "video"]
    places = {c: [f"videos/{c}/chunk_index", f"videos/{c}/file_index", f"videos/{c}/from_timestamp"] for c in cameras}
    wanted = [*numbers, *(n for names in places.values() for n in names)]
    parts: dict[str, list[np.ndarray]] = {n: [] for n in wanted}
    text: dict[str, list[pa.ChunkedArray]] = {n: [] for n in ("tasks", METADATA, SPANS, ABSENT)}
    for path in files:
        opened = _opened(path)
        schema = set(opened.schema_arrow.names)
        lacking = [n for n in wanted if n not in schema]
        if lacking:
            raise FormatError(f"{path}: column {lacking[0]!r} is missing. Write the episode table again.")
        table = _read(opened, path, [*wanted, *(n for n in text if n in schema)])
        for name in wanted:
            parts[name].append(_numbers(path, name, table[name]))
        for name, columns in text.items():
            if name in schema:
                columns.append(table[name])
    column = {n: np.concatenate(p) if p else np.zeros(0, np.int64) for n, p in parts.items()}
    lengths, first_row = column["length"], column["dataset_from_index"]
    _check(info, folder, column["episode_index"], lengths)
    stop = np.cumsum(lengths)
    wrong = np.flatnonzero((first_row != stop - lengths) | (column["dataset_to_index"] != stop))
    if len(wrong):
        at = int(wrong[0])
        raise FormatError(
            f"{folder}, episode {at}: rows {first_row[at]} to {column['dataset_to_index'][at]} do not fit its "
            f"length {lengths[at]} and the "
            f"episodes before it ({stop[at] - lengths[at]} to {stop[at]} expected). Write the episode table again."
        )
    chunk, file = column["data/chunk_index"], column["data/file_index"]
    key = np.stack([chunk, file], 1)
    _, inverse = np.unique(key, axis=0, return_inverse=True) if len(key) else (key, np.zeros(0, np.int64))
    inverse = inverse.reshape(-1)
    base = np.full(int(inverse.max()) + 1 if len(inverse) else 0, MOST_FRAMES, np.int64)
    np.minimum.at(base, inverse, first_row)
    rows = np.zeros(len(base), np.int64)
    np.add.at(rows, inverse, lengths)
    videos = {c: VideoPlace(*(column[n] for n in names)) for c, names in places.items()}
    whole = {
        n: pa.chunked_array([c for part in columns for c in part.chunks])
        for n, columns in text.items()
        if len(columns) == len(files) > 0
    }
    return EpisodeTable(
        info, lengths, chunk, file, first_row - base[inverse], rows[inverse], videos, whole, read_tasks(info.root)
    )


def read_stored_statistics(info: LeRobotInfo, name: str) -> pa.Table | None:
    """The `stats/<name>/*` columns of all episodes, named by their part; None where a file lacks one of them."""
    parts = ("min", "max", "mean", "std", "count", *QUANTILES)
    tables = []
    for path in sorted((info.root / "meta" / "episodes").glob("chunk-*/file-*.parquet")):
        wanted = [f"stats/{name}/{part}" for part in parts]
        file = _opened(path)
        if not set(wanted) <= set(file.schema_arrow.names):
            return None
        tables.append(_read(file, path, wanted).select(wanted).rename_columns(list(parts)))
    return pa.concat_tables(tables) if tables else None


def _numbers(path: Path, name: str, column: pa.ChunkedArray) -> np.ndarray:
    seconds = name.endswith("timestamp")
    kind_fits = pa.types.is_floating(column.type) if seconds else pa.types.is_integer(column.type)
    if column.null_count or not kind_fits:
        raise FormatError(
            f"{path}: column {name!r} is {column.type} with {column.null_count} empty rows, expected numbers. "
            "Write it again."
        )
    values: np.ndarray = column.to_numpy().astype(np.float64 if seconds else np.int64)
    wrong = np.flatnonzero(~np.isfinite(values) | (values < 0) | (values > MOST_FRAMES))
    if len(wrong):
        raise FormatError(
            f"{path}: column {name!r} has {values[wrong[0]]} in row {wrong[0]}. Write the episode table again."
        )
    return values


def _check(info: LeRobotInfo, where: Path, index: np.ndarray, lengths: np.ndarray) -> None:
    """The table against the totals of info.json."""
    if len(lengths) != info.episodes or int(lengths.sum()) != info.frames:
        raise FormatError(
            f"{where} lists {len(lengths)} episodes with {int(lengths.sum())} frames, {info.file} says "
            f"{info.episodes} with "
            f"{info.frames}. A part is missing: copy the folder again."
        )
    wrong = np.flatnonzero((index != np.arange(len(index))) | (lengths < 1))
    if len(wrong):
        at = int(wrong[0])
        raise FormatError(
            f"{where}: row {at} is episode {index[at]} of length {lengths[at]}, expected episode {at} with steps. "
            "Write it again."
        )
