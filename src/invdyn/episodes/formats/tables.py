"""CSV and Parquet: a folder with one file per episode, or one file with an episode column.

Columns `name[0]`, `name[1]`, ... are the components of one signal, and `name [unit]` tells the unit. `mask.<name>` says
where `<name>` has values. Parquet is read by row group; CSV is parsed when opened, for text has no index.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64

from invdyn.episodes.dataset import Dataset
from invdyn.episodes.episode import EpisodeRecord
from invdyn.episodes.formats.foreign import ForeignSource, MissingPolicy, Naming, Values, complaint, nominal_fps
from invdyn.episodes.formats.table_files import ColumnKind, TableFile, open_file, promoted
from invdyn.episodes.signal import Schema, SignalSpec
from invdyn.errors import FormatError, SignalError

__all__ = ["TableSource", "matches", "open"]

ENDINGS = (".csv", ".parquet")
COMPONENT = re.compile(r"^(?P<name>.+)\[(?P<number>\d+)\]$")
WITH_UNIT = re.compile(r"^(?P<name>.*\S)\s*\[(?P<unit>[^\[\]]*[^\[\]\d][^\[\]]*)\]$")
MASK = "mask."
CLOCKS = ("timestamp", "time")
EPISODES = ("episode_index", "episode")
COUNTERS = ("frame_index", "index", "task_index")
"""Columns of LeRobot tables that count and are no signals."""


@dataclass(frozen=True)
class _Part:
    """The rows of one episode."""

    table: TableFile
    start: int
    rows: int


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]

    def natural(file: Path) -> list[tuple[int, int | str]]:
        return [(0, int(p)) if p.isdigit() else (1, p) for p in re.split(r"(\d+)", file.name) if p]

    return sorted((f for f in path.iterdir() if f.suffix.lower() in ENDINGS and f.is_file()), key=natural)


def matches(path: Path | str) -> bool:
    """Whether this is a CSV or Parquet file, or a folder of files of one of the two."""
    path = Path(path)
    if path.is_file():
        return path.suffix.lower() in ENDINGS
    return path.is_dir() and not (path / "meta").exists() and len({f.suffix.lower() for f in _files(path)}) == 1


class TableSource(ForeignSource):
    """Episodes of tables.

    Args:
        path: the file or folder.
        parts: the rows of each episode.
        schema: the signals.
        columns: signal -> its columns, in order.
        time: column of seconds, or None.
    """

    def __init__(
        self,
        path: Path,
        parts: Sequence[_Part],
        schema: Schema,
        columns: Mapping[str, Sequence[str]],
        *,
        time: str | None,
        task: str,
        nan: MissingPolicy,
    ) -> None:
        super().__init__(path, schema, [p.rows for p in parts], nan)
        self.parts, self.columns, self.time, self.task = parts, columns, time, task

    def file(self, index: int) -> Path:
        return self.parts[index].table.path

    def record(self, index: int) -> EpisodeRecord:
        return EpisodeRecord(int(self.lengths[index]), self.task, {"file": self.file(index).name})

    def _clock(self, index: int) -> Float64[np.ndarray, " time"] | None:
        return None if self.time is None else _seconds(self.parts[index], self.time, index)

    def _has(self, index: int, name: str) -> bool:
        return all(c in self.parts[index].table.kinds for c in self.columns[name])

    def _values(self, index: int, name: str, start: int, stop: int) -> Values | None:
        if not self._has(index, name):
            return None
        part, spec = self.parts[index], self.schema[name]
        read = [part.table.column(c, part.start + start, part.start + stop) for c in self.columns[name]]
        valid = np.logical_and.reduce([np.ones(stop - start, bool) if v is None else v for _, v in read])
        values = read[0][0] if len(read) == 1 and not COMPONENT.match(self.columns[name][0]) else None
        values = np.stack([v for v, _ in read], axis=1) if values is None else values
        if values.dtype != spec.numpy_dtype and values.dtype.kind in "biuf" and spec.numpy_dtype.kind in "iuf":
            values = values.astype(spec.numpy_dtype)  # to the dtype that holds this column in every file
        mask = f"{MASK}{name}"
        if mask in part.table.kinds:
            valid &= part.table.column(mask, part.start + start, part.start + stop)[0].astype(bool)
        elif not valid.all() and self.nan == "refuse":
            raise complaint(
                self.file(index),
                f"empty cell at step {start + int(np.flatnonzero(~valid)[0])} ({int((~valid).sum())} in all)",
                expected="a value in every row",
                remedy="Repair the data, or pass nan='mask' to read such steps as missing.",
                episode=index,
                signal=name,
            )
        return values, valid


def _seconds(part: _Part, column: str, index: int) -> Float64[np.ndarray, " time"]:
    """The clock of an episode; dates count from the episode's first row."""
    values, valid = part.table.column(column, part.start, part.start + part.rows)
    if valid is not None or values.dtype == object:
        raise complaint(
            part.table.path,
            f"time column {column!r} has {'words' if values.dtype == object else 'empty cells'}",
            expected="seconds or dates in every row",
            remedy="Name the right column with time=...",
            episode=index,
        )
    seconds = np.asarray(values, np.float64)
    return seconds - seconds[0] if part.table.kinds[column].dtype == "time" and len(seconds) else seconds


def open(  # noqa: A001 - every format module has `open`
    path: Path | str,
    *,
    fps: float | None = None,
    time: str | None = None,
    episode: str | None = None,
    groups: Mapping[str, Sequence[str]] | None = None,
    names: Mapping[str, str] | None = None,
    units: Mapping[str, str] | None = None,
    bounds: Mapping[str, tuple[Any, Any]] | None = None,
    components: Mapping[str, Sequence[str]] | None = None,
    kinds: Mapping[str, Any] | None = None,
    drop: Sequence[str] = (),
    task: str = "",
    nan: MissingPolicy = "refuse",
) -> Dataset:
    """Open CSV or Parquet recordings.

    Args:
        path: a file, or a folder with one file per episode (or several files with an episode column).
        fps: frames per second; needed without a time column.
        time: column of seconds or dates (kept exactly, irregular or not); None takes `timestamp` or `time`.
        episode: column that tells the episode; None takes `episode_index` or `episode`, else a file is an episode.
        groups: signal name -> its columns, in order. `name[0]`, `name[1]`, ... are grouped without being told.
        names: column -> signal name, for columns outside groups.
        units, bounds, components, kinds: by signal name, see `Naming`. `name [unit]` in a header tells a unit too.
        drop: columns that are no signals.
        task: what was asked, in words, of every episode.
        nan: `refuse`, or `mask` to read empty cells and NaN as missing.

    Raises:
        FormatError: no frame rate, a column that is not there, rows of an episode that are scattered, broken files.
    """
    path = Path(path)
    files = _files(path)
    if not files:
        raise FormatError(f"{path}: no .csv or .parquet file found; expected at least one. Check the path.")
    tables = [open_file(f) for f in files]
    first = tables[0]
    time = time or next((c for c in CLOCKS if c in first.kinds and fps is None), None)
    episode = episode or next((c for c in EPISODES if c in first.kinds), None)
    for option, column in (("time", time), ("episode", episode)):
        for table in tables:
            if column is not None and column not in table.kinds:
                raise complaint(
                    table.path,
                    f"no column {column!r} ({option})",
                    expected=f"one of {', '.join(table.kinds)}",
                    remedy=f"Correct {option}=...",
                )
    parts = [p for t in tables for p in _parts(t, episode)]
    if not parts:
        raise complaint(path, "no rows", expected="at least one episode", remedy="Check the files.")
    everywhere = _columns(tables)
    apart = {*CLOCKS, *EPISODES, *COUNTERS, *drop} | ({time} if time else set()) | ({episode} if episode else set())
    used = [c for c in everywhere if c not in apart and not (c.startswith(MASK) and everywhere[c].dtype == "bool")]
    columns, found_units = _signals(used, groups or {}, names or {}, path)
    naming = Naming(names or {}, {**found_units, **(units or {})}, bounds or {}, components or {}, kinds or {}, drop)
    specs = [_spec(name, cs, everywhere, naming, path) for name, cs in columns.items()]
    naming.check([*everywhere, *first.arrow.names], [s.name for s in specs], path)
    if fps is None and time is None:
        raise complaint(
            path,
            "the file tells no frame rate",
            expected="fps or a time column",
            remedy="Pass fps=... or time=<column of the seconds>.",
        )
    rate = float(fps) if fps is not None else nominal_fps(_seconds(parts[0], str(time), 0), files[0], 0)
    try:
        schema = Schema(tuple(specs), rate)
    except SignalError as error:
        raise FormatError(f"{path}: {error}") from None
    return Dataset(TableSource(path, parts, schema, columns, time=time, task=task, nan=nan))


def _parts(table: TableFile, episode: str | None) -> list[_Part]:
    """The episodes of a file: runs of equal numbers in the episode column, or the whole file."""
    if episode is None or not table.rows:
        return [_Part(table, 0, table.rows)] if table.rows else []
    numbers, _ = table.column(episode, 0, table.rows)
    starts = np.concatenate([[0], np.flatnonzero(numbers[1:] != numbers[:-1]) + 1])
    heads = numbers[starts].tolist()
    again = next((h for i, h in enumerate(heads) if h in heads[:i]), None) if len(set(heads)) != len(heads) else None
    if again is not None:
        raise complaint(
            table.path,
            f"the rows of episode {again!r} are scattered",
            expected="the rows of an episode one after another",
            remedy=f"Sort the file by {episode} and time.",
        )
    stops = np.append(starts[1:], table.rows)
    return [_Part(table, int(a), int(b - a)) for a, b in zip(starts, stops, strict=True)]


def _columns(tables: Sequence[TableFile]) -> dict[str, ColumnKind]:
    """Every column of any file, with a kind that holds it everywhere."""
    found: dict[str, ColumnKind] = {}
    for table in tables:
        for name, kind in table.kinds.items():
            both = promoted(found.get(name, kind), kind)
            if both is None:
                raise complaint(
                    table.path,
                    f"column {name!r} holds {kind.dtype} of shape {kind.shape}",
                    expected=f"{found[name].dtype} of shape {found[name].shape} as in the other files",
                    remedy="Repair that file, or pass drop=[...].",
                )
            found[name] = both
    return found


def _signals(
    used: Sequence[str], groups: Mapping[str, Sequence[str]], names: Mapping[str, str], path: Path
) -> tuple[dict[str, list[str]], dict[str, str]]:
    """signal -> columns, and the units that headers tell."""
    naming = Naming(names)
    columns: dict[str, list[str]] = {}
    units: dict[str, str] = {}
    grouped = {c: name for name, cs in groups.items() for c in cs}
    for name, members in groups.items():
        for column in members:
            if column not in used:
                raise complaint(
                    path,
                    f"option groups names column {column!r}, which is not there",
                    expected=f"one of {', '.join(used)}",
                    remedy="Correct the option.",
                )
        columns[name] = list(members)
    numbered: dict[str, dict[int, str]] = {}
    for column in used:
        if column in grouped:
            continue
        component, with_unit = COMPONENT.match(column), WITH_UNIT.match(column)
        if component:
            numbered.setdefault(naming.name(component["name"]), {})[int(component["number"])] = column
        elif with_unit and column not in names:
            name = naming.name(with_unit["name"])
            columns.setdefault(name, []).append(column)
            units[name] = with_unit["unit"].strip()
        else:
            columns.setdefault(naming.name(column), []).append(column)
    for name, parts in numbered.items():
        if sorted(parts) != list(range(len(parts))):
            raise complaint(
                path,
                f"components {sorted(parts)} of {name!r}",
                expected=f"0 to {len(parts) - 1} without a gap",
                remedy="Export the missing column, or pass groups=...",
                signal=name,
            )
        columns[name] = [parts[i] for i in range(len(parts))]
    return columns, units


def _spec(
    name: str, columns: Sequence[str], everywhere: Mapping[str, ColumnKind], naming: Naming, path: Path
) -> SignalSpec:
    """The spec of a signal made of these columns."""
    kinds = [everywhere[c] for c in columns]
    if len(columns) == 1 and not COMPONENT.match(columns[0]):
        return Naming(units=naming.units, bounds=naming.bounds, components=naming.components, kinds=naming.kinds).spec(
            name, kinds[0].shape, kinds[0].dtype, path
        )
    if len(set(kinds)) > 1 or kinds[0].shape:
        raise complaint(
            path,
            f"its columns hold {', '.join(sorted({k.dtype for k in kinds}))}",
            expected="scalars of one dtype",
            remedy="Convert them, or make them signals of their own.",
            signal=name,
        )
    given = dict(naming.components)
    if not all(COMPONENT.match(c) for c in columns):
        given.setdefault(name, list(columns))  # the headers name the components
    own = Naming(units=naming.units, bounds=naming.bounds, components=given, kinds=naming.kinds)
    return own.spec(name, (len(columns),), kinds[0].dtype, path)
