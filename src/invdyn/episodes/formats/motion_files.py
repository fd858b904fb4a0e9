"""What readers of motion files share: text and numbers with faults in one sentence, folders, masked signals."""

from __future__ import annotations

import re
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64

from invdyn.episodes.dataset import Dataset
from invdyn.episodes.episode import Episode, Span
from invdyn.episodes.formats.foreign import MissingPolicy, complaint, nominal_fps
from invdyn.episodes.signal import Kind, Signal, SignalSpec
from invdyn.errors import FormatError, SignalError

__all__ = [
    "Recording",
    "as_dataset",
    "count",
    "episode_files",
    "episode_paths",
    "float_spec",
    "masked",
    "number",
    "numbers",
    "read_bytes",
    "read_lines",
    "read_text",
    "steady_rate",
    "table_of",
]

LARGEST = 256 * 2**20
"""Bytes of the largest file read whole (text takes about four times its size while it is parsed); our choice."""


MOST_LINES, LONGEST_LINE = 10_000_000, 4 * 2**20
"""Bounds that keep the memory of a parsed text file below 2 GiB; our choice."""


def read_bytes(path: Path, largest: int | None = None) -> bytes:
    """The content of a file, of at most `largest` bytes (`LARGEST` unless told).

    Raises:
        FormatError: not a readable file, or a larger one.
    """
    largest = LARGEST if largest is None else largest
    try:
        size = path.stat().st_size
        if size > largest:
            raise complaint(
                path,
                f"{size / 2**20:.0f} MiB",
                expected=f"at most {largest / 2**20:.0f} MiB, as the file is read whole",
                remedy="Split the recording into several files.",
            )
        return path.read_bytes()
    except OSError as error:
        raise complaint(
            path,
            f"cannot be read ({error.strerror})",
            expected="a readable file",
            remedy="Check the path and its permissions.",
        ) from None


def read_lines(path: Path) -> list[str]:
    """The lines of a text file without their ends; see `read_text`.

    Raises:
        FormatError: as there, or more lines or a longer line than `MOST_LINES` and `LONGEST_LINE`.
    """
    text = read_text(path)
    number = text.count("\n") + 1
    lines = text.split("\n") if number <= MOST_LINES else []
    longest = max(map(len, lines), default=0)
    if not lines or longest > LONGEST_LINE:
        raise complaint(
            path,
            f"{number} lines" if not lines else f"a line of {longest} characters",
            expected=f"at most {MOST_LINES} lines of {LONGEST_LINE} characters",
            remedy="Split the recording into several files.",
        )
    return lines


def table_of(cells: array[float], columns: int) -> Float64[np.ndarray, "rows column"]:
    """Numbers collected row by row as an array of its own."""
    return np.frombuffer(cells, np.float64).reshape(-1, columns).copy()


def read_text(path: Path, largest: int | None = None) -> str:
    """The text of a file with line ends as \\n: UTF-8 (a byte-order mark is dropped), or Latin-1 where it is not UTF-8.

    Raises:
        FormatError: not a readable file, too large, or binary (it holds NUL bytes).
    """
    content = read_bytes(path, largest)
    if b"\0" in content:
        raise complaint(
            path,
            f"a NUL byte at {content.index(0)}",
            expected="a text file",
            remedy="Check that the file has the ending of its format, or copy it again.",
        )
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("latin-1")  # names with accents, as Windows programs write them
    return text.replace("\r\n", "\n").replace("\r", "\n")


def number(cell: str, path: Path, line: int, what: str) -> float:
    """A finite number, or NaN for an empty cell or one that says nan.

    Raises:
        FormatError: words, infinity, or a number beyond float64; names line and column.
    """
    cell = cell.strip()
    if not cell:
        return float("nan")
    try:
        value = float(cell)
    except ValueError:
        value = float("inf")
    if value in (float("inf"), float("-inf")) or "_" in cell:
        raise complaint(
            path,
            f"line {line}, {what}: {cell[:40]!r}",
            expected="a finite number",
            remedy="Repair the cell, or leave it empty where the value is missing.",
        )
    return value


def numbers(cells: Sequence[str], names: Sequence[str], path: Path, line: int) -> list[float]:
    """The numbers of one row; NaN where a cell is empty. `names` tells the columns in messages."""
    try:
        row = [float(c) for c in cells]
        if "_" not in "".join(cells) and not any(v in (float("inf"), float("-inf")) for v in row):
            return row
    except ValueError:
        pass
    return [number(c, path, line, f"column {n!r}") for c, n in zip(cells, names, strict=True)]


def count(text: str, path: Path, line: int, what: str, most: int) -> int:
    """A whole number from 0 to `most`; `most` bounds what is allocated by what the file can hold."""
    value = int(text) if re.fullmatch(r"\s*\d{1,18}\s*", text) else -1
    if not 0 <= value <= most:
        raise complaint(
            path,
            f"line {line}: {what} is {text.strip()[:40]!r}",
            expected=f"a whole number from 0 to {most}",
            remedy="Repair the header, or export the file again.",
        )
    return value


def episode_files(path: Path, endings: Sequence[str]) -> list[Path]:
    """The file itself, or the files of a folder with these endings in natural order (trial10 after trial9).

    Raises:
        FormatError: a folder without any.
    """
    if not path.is_dir():
        return [path]

    def natural(file: Path) -> list[tuple[int, int | str]]:
        return [(0, int(p)) if p.isdecimal() else (1, p) for p in re.split(r"(\d+)", file.name) if p]

    found = sorted((f for f in path.iterdir() if f.is_file() and f.suffix.lower() in endings), key=natural)
    if not found:
        raise complaint(
            path, f"no {' or '.join(endings)} file", expected="at least one, one per episode", remedy="Check the path."
        )
    return found


def float_spec(
    path: Path, name: str, names: Sequence[str] | None, kind: Kind = "state", unit: str = "", size: int | None = None
) -> SignalSpec:
    """The spec of a vector of float64 per step; slashes in its name become dots.

    Raises:
        FormatError: a name that no signal can have.
    """
    shape = (len(names or ()) if size is None else size,)
    try:
        name = name.replace("/", ".").replace("\\", ".")
        return SignalSpec(name, shape, "float64", kind, unit, None if names is None else tuple(names))
    except SignalError as error:
        raise FormatError(f"{path}: {error}") from None


def masked(
    spec: SignalSpec, values: Float64[np.ndarray, "time ..."], path: Path, nan: MissingPolicy = "mask"
) -> Signal:
    """A signal of float64 values; steps with a NaN are missing as a whole (NaN in every component).

    Args:
        spec: what it is.
        values: [time, *spec.shape], never infinite.
        path: for messages.
        nan: `mask`, or `refuse` to take no missing step.

    Raises:
        FormatError: `refuse`, and a step is missing; or values that do not fit the spec.
    """
    if nan not in ("refuse", "mask"):
        raise FormatError(f"{path}: option nan={nan!r}; expected 'refuse' or 'mask'.")
    missing = np.isnan(values).reshape(len(values), -1).any(1)
    if not missing.any():
        return Signal(spec, values)
    if nan == "refuse":
        raise complaint(
            path,
            f"missing or NaN at step {int(np.flatnonzero(missing)[0])} ({int(missing.sum())} steps in all)",
            expected="a number at every step",
            remedy="Fill the gaps, or pass nan='mask' to read such steps as missing.",
            signal=spec.name,
        )
    values = np.array(values)
    values[missing] = np.nan
    return Signal(spec, values, ~missing)


def steady_rate(clock: Float64[np.ndarray, " time"], file: Path) -> float:
    """Frames per second of a clock: of all steps together where they stand on a regular grid, as decimal seconds do.

    A clock of one step has none: 1. Where steps differ by half a step and more, one over the median step.

    Raises:
        FormatError: a clock that does not increase.
    """
    if len(clock) < 2:
        return 1.0
    grid = np.linspace(clock[0], clock[-1], len(clock))
    step = (clock[-1] - clock[0]) / (len(clock) - 1)
    if step > 0 and np.abs(clock - grid).max() < 0.5 * step:
        rate = float(1.0 / step)
        return round(rate, 3) if abs(rate - round(rate, 3)) < 1e-4 * rate else rate
    return nominal_fps(clock, file, 0)


@dataclass(frozen=True)
class Recording:
    """One file as it becomes an episode: its signals, its clock in seconds, what else it says, its events."""

    file: Path
    signals: Sequence[Signal]
    time: Float64[np.ndarray, " time"]
    metadata: Mapping[str, Any] = field(default_factory=dict)
    spans: Sequence[Span] = ()


def as_dataset(path: Path, recordings: Sequence[Recording], fps: float, task: str = "") -> Dataset:
    """Episodes in memory, one per recording; the file's name joins the metadata.

    Raises:
        FormatError: no signals, a clock that does not increase, or files whose signals differ in kind, size or rate.
    """
    episodes = []
    for each in recordings:
        try:
            episodes.append(
                Episode.from_signals(
                    each.signals,
                    fps=fps,
                    timestamp=each.time,
                    task=task,
                    metadata={"file": each.file.name, **each.metadata},
                    spans=each.spans,
                )
            )
        except SignalError as error:
            raise FormatError(f"{each.file}: {error}") from None
    try:
        return Dataset.from_episodes(episodes, str(path))
    except SignalError as error:
        raise FormatError(f"{path}: {error} Open the files one by one.") from None


def episode_paths(dataset: Dataset, path: Path, ending: str) -> list[Path]:
    """Where a writer puts each episode: `path` itself for one, a file of this folder (made here) for several."""
    if len(dataset) == 1:
        return [path]
    path.mkdir(parents=True, exist_ok=True)
    return [path / f"episode_{index:06d}{ending}" for index in range(len(dataset))]
