"""TRC marker files, read and written: a header of five lines, then frame, time and x, y, z of every marker.

Source: the OpenSim documentation "Marker (.trc) files". An empty cell is a marker that was not seen.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from invdyn.episodes.dataset import Dataset
from invdyn.episodes.formats.foreign import MissingPolicy, complaint
from invdyn.episodes.formats.markers import LENGTHS, Markers
from invdyn.episodes.formats.motion_files import (
    Recording,
    as_dataset,
    count,
    episode_files,
    episode_paths,
    number,
    numbers,
    read_lines,
    table_of,
)
from invdyn.errors import FormatError, SignalError

__all__ = ["matches", "open", "read_trc", "write", "write_trc"]

REMEDY = "Export the markers again, or repair the line."


def matches(path: Path | str) -> bool:
    """Whether this is a .trc file."""
    return Path(path).suffix.lower() == ".trc" and Path(path).is_file()


def read_trc(path: Path | str, *, units: str | None = None) -> Markers:
    """Read the markers of a .trc file, in m.

    Args:
        path: the file.
        units: `m`, `mm` or `cm`, for files whose header does not say it.

    Raises:
        FormatError: a header that does not agree with the rows, an unknown unit, words where numbers belong,
            a row of another length, time that does not increase.
    """
    path = Path(path)
    lines = read_lines(path)
    if len(lines) < 5 or not lines[0].lstrip().startswith("PathFileType"):
        raise complaint(
            path, "no PathFileType in the first of five lines", expected="the header of a .trc file", remedy=REMEDY
        )
    keys, told = lines[1].split(), lines[2].split()
    header = dict(zip(keys, told))  # files of some programs leave the last values out
    unit = units or header.get("Units", "")
    if unit not in LENGTHS:
        raise complaint(
            path,
            f"Units {unit[:40]!r}",
            expected=f"one of {', '.join(LENGTHS)}",
            remedy='Pass units="mm" (or m, cm).',
        )
    names = [cell.strip() for cell in lines[3].split("\t")[2:] if cell.strip()]
    markers = count(header.get("NumMarkers", ""), path, 3, "NumMarkers", len(lines[3]))
    if len(names) != markers or not names:
        raise complaint(
            path,
            f"line 4: {len(names)} names",
            expected=f"NumMarkers = {markers} of line 3, at least one",
            remedy=REMEDY,
        )
    rate = number(header.get("DataRate", ""), path, 3, "DataRate")
    if not rate > 0:
        raise complaint(path, f"line 3: DataRate {rate}", expected="frames per second", remedy=REMEDY)
    table = _rows(lines, names, path)
    frames = header.get("NumFrames", "")
    if frames.isdecimal() and frames != str(len(table)):
        raise complaint(
            path,
            f"{len(table)} rows",
            expected=f"NumFrames = {frames[:20]}",
            remedy="Cut off? Copy it again.",
        )
    points = table[:, 2:].reshape(len(table), len(names), 3) / LENGTHS[unit]
    points[np.isnan(points).any(axis=2)] = np.nan
    try:
        return Markers(tuple(names), table[:, 1].copy(), points, rate, {"unit_in_file": unit})
    except SignalError as error:
        raise FormatError(f"{path}: {error}") from None


def _rows(lines: Sequence[str], names: Sequence[str], path: Path) -> np.ndarray:
    """[rows, 2 + 3 markers] the numbers; an empty line ends them."""
    columns = ["Frame#", "Time", *(f"{n} {axis}" for n in names for axis in "XYZ")]
    start = 5 if len(lines) > 5 and lines[5].strip() else 6
    flat = array("d")
    before = float("-inf")
    for at in range(start, len(lines)):
        if not lines[at].strip():
            break
        cells = lines[at].split("\t")
        if len(cells) == len(columns) + 1 and not cells[-1].strip():
            del cells[-1]
        if len(cells) != len(columns):
            raise complaint(
                path,
                f"line {at + 1}: {len(cells)} cells",
                expected=f"{len(columns)} (frame, time and 3 per marker), with empty cells for markers not seen",
                remedy=REMEDY,
            )
        row = numbers(cells, columns, path, at + 1)
        if not row[1] > before:
            raise complaint(
                path,
                f"line {at + 1}: time {row[1]} after {before}",
                expected="time that increases",
                remedy="Sort the rows by time and drop repeated ones.",
            )
        before = row[1]
        flat.extend(row)
    if not flat:
        raise complaint(path, "no rows", expected="at least one", remedy=REMEDY)
    return table_of(flat, len(columns))


def open(  # noqa: A001 - every format module has `open`
    path: Path | str, *, units: str | None = None, nan: MissingPolicy = "mask", task: str = ""
) -> Dataset:
    """Open .trc files, one episode each: a signal `observation.marker.<label>` [time, 3] in m per marker.

    Args:
        path: a file, or a folder with one file per episode.
        units: `m`, `mm` or `cm`, for files whose header does not say it.
        nan: `mask` to read markers that are not seen as missing, or `refuse`.
        task: what was asked, in words, of every episode.

    Raises:
        FormatError: a broken file, see `read_trc`.
    """
    path = Path(path)
    read = [(file, read_trc(file, units=units)) for file in episode_files(path, (".trc",))]
    recordings = [Recording(f, m.signals(f, nan), m.time, {"markers": list(m.names), **m.metadata}) for f, m in read]
    return as_dataset(path, recordings, read[0][1].rate, task)


def write_trc(markers: Markers, path: Path | str, *, units: str = "m") -> None:
    """Write markers; in m every number comes back bit for bit, in mm or cm to the last bit of float64.

    Raises:
        FormatError: an unknown unit, or a label with a tab or a line break.
    """
    if units not in LENGTHS:
        raise complaint(path, f"option units={units!r}", expected=f"one of {', '.join(LENGTHS)}", remedy="Correct it.")
    for name in markers.names:
        if re.search(r"[\t\r\n]", name) or name != name.strip():
            raise complaint(
                path, f"label {name!r}", expected="no tabs, line breaks or outer blanks", remedy="Rename it."
            )
    rate, frames = repr(markers.rate), len(markers.time)
    lines = [
        f"PathFileType\t4\t(X/Y/Z)\t{Path(path).name}",
        "DataRate\tCameraRate\tNumFrames\tNumMarkers\tUnits\tOrigDataRate\tOrigDataStartFrame\tOrigNumFrames",
        f"{rate}\t{rate}\t{frames}\t{len(markers.names)}\t{units}\t{rate}\t1\t{frames}",
        "Frame#\tTime\t" + "\t\t\t".join(markers.names) + "\t\t",
        "\t\t" + "\t".join(f"{axis}{k + 1}" for k in range(len(markers.names)) for axis in "XYZ"),
        "",
    ]
    cells = (markers.positions * LENGTHS[units]).reshape(frames, -1).tolist()
    for frame, (seconds, row) in enumerate(zip(markers.time.tolist(), cells, strict=True)):
        told = ["" if value != value else repr(value) for value in row]
        lines.append("\t".join([str(frame + 1), repr(seconds), *told]))
    Path(path).write_text("\n".join(lines) + "\n", "utf-8")


def write(dataset: Dataset, path: Path | str, *, units: str = "m") -> None:
    """Write the markers of recordings: a .trc file (one episode), or a folder of `episode_000000.trc` (several).

    Raises:
        FormatError: an episode without markers, see `Markers.from_episode` and `write_trc`.
    """
    for episode, file in zip(dataset, episode_paths(dataset, Path(path), ".trc"), strict=True):
        write_trc(Markers.from_episode(episode, file), file, units=units)
