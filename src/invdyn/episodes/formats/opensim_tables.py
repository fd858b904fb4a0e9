"""OpenSim tables (.mot, .sto): coordinates, generalised forces, ground reactions; read and written.

Header lines, a line `endheader`, tab-separated labels that begin with `time`, then rows. Old headers (`version=1`,
`nRows=`, `inDegrees=`, also `datarows 3`) and version 3 (`DataType=`, elements of several numbers joined by commas).
Source: the OpenSim documentation "Motion (.mot) and Storage (.sto) files"; TimeSeriesTable of OpenSim 4.
"""

from __future__ import annotations

import logging
import re
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Float64

from invdyn.episodes.formats.foreign import complaint
from invdyn.episodes.formats.motion_files import numbers, read_lines, table_of
from invdyn.errors import unknown_name

__all__ = ["Table", "read_table", "write_table"]

log = logging.getLogger(__name__)

WIDTHS = {"double": 1, "Quaternion": 4, "UnitVec3": 3, "SpatialVec": 6} | {f"Vec{n}": n for n in range(2, 13)}
"""Numbers of one element by `DataType`; a Quaternion has its scalar first."""
SETTING = re.compile(r"^\s*(?P<key>[A-Za-z][\w ]*?)\s*=\s*(?P<value>.*?)\s*$")
OLD_SETTING = re.compile(r"^\s*(?P<key>datarows|datacolumns|otherdata|range|name)\s+(?P<value>.*?)\s*$")
SENTENCE = re.compile(r"^\s*angles are in (?P<unit>degrees|radians)\b", re.IGNORECASE)
"""What OpenSim itself writes into headers without `inDegrees`."""
TRUTH = {"yes": True, "no": False, "true": True, "false": False, "y": True, "n": False}
REMEDY = "Export the table again, or repair the line."


@dataclass(frozen=True)
class Table:
    """One OpenSim table.

    Args:
        names: one label per column after `time`.
        time: [time] seconds, strictly increasing.
        values: [time, column * width] in the units of the file; NaN where a cell is empty or says nan.
        in_degrees: whether rotations are in degrees; None where the file does not say.
        title: the first line of the header.
        data_type: what one column holds, see `WIDTHS`.
        header: every `key=value` of the header as it stands there.
    """

    names: tuple[str, ...]
    time: Float64[np.ndarray, " time"]
    values: Float64[np.ndarray, "time numbers"]
    in_degrees: bool | None = None
    title: str = ""
    data_type: str = "double"
    header: Mapping[str, str] = field(default_factory=dict)

    @property
    def width(self) -> int:
        """Numbers per column: 1, or more for vectors and quaternions."""
        return WIDTHS[self.data_type]

    def columns(self, names: Sequence[str]) -> Float64[np.ndarray, "time numbers"]:
        """[time, len(names) * width] these columns in this order.

        Raises:
            UnknownNameError: a column that is not there.
        """
        for name in names:
            if name not in self.names:
                raise unknown_name("column", name, self.names)
        at = [self.names.index(n) * self.width + k for n in names for k in range(self.width)]
        return self.values[:, at]


def read_table(path: Path | str) -> Table:
    """Read a .mot or .sto file as it stands: no unit is converted, none is guessed.

    Raises:
        FormatError: no `endheader`, labels that do not begin with `time`, rows of another length, words where
            numbers belong, time that does not increase, an element type we do not know.
    """
    path = Path(path)
    lines = read_lines(path)
    end = next((i for i, line in enumerate(lines) if line.strip().lower() == "endheader"), None)
    if end is None:
        raise complaint(path, "no line 'endheader'", expected="the header of a .mot or .sto file", remedy=REMEDY)
    header = _header(lines[:end])
    found = {key.lower(): value for key, value in header.items()}
    data_type = found.get("datatype", "double")
    if data_type not in WIDTHS:
        raise complaint(path, f"DataType={data_type[:40]}", expected=f"one of {', '.join(WIDTHS)}", remedy=REMEDY)
    said = found.get("indegrees")
    if said is not None and said.lower() not in TRUTH:
        raise complaint(path, f"inDegrees={said[:40]}", expected="yes or no", remedy=REMEDY)
    start = next((i for i in range(end + 1, len(lines)) if lines[i].strip()), None)
    if start is None:
        raise complaint(path, "nothing after 'endheader'", expected="a line of labels", remedy=REMEDY)
    names = _labels(lines[start], path, start + 1)
    time, values = _rows(lines, start + 1, names, WIDTHS[data_type], path)
    for key, number, what in (("nrows", len(time), "rows"), ("ncolumns", len(names) + 1, "columns")):
        told = found.get(key, found.get("data" + key[1:]))
        if told is not None and told != str(number):
            log.warning("%s: the header tells %s %s, the table has %d; the table counts.", path, told, what, number)
    in_degrees = None if said is None else TRUTH[said.lower()]
    for match in filter(None, map(SENTENCE.match, lines[:end])):
        if in_degrees is None:
            in_degrees = match["unit"].lower() == "degrees"
    title = lines[0].strip() if end and not SETTING.match(lines[0]) else ""
    return Table(names, time, values, in_degrees, title, data_type, header)


def _header(lines: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for line in lines:
        match = SETTING.match(line) or OLD_SETTING.match(line)
        if match:
            found[match["key"]] = match["value"]
    return found


def _labels(line: str, path: Path, at: int) -> tuple[str, ...]:
    labels = [cell.strip() for cell in line.rstrip("\t ").split("\t")]
    if labels[0].lower() != "time" or len(labels) < 2:
        raise complaint(
            path,
            f"line {at}: labels {line.strip()[:60]!r}",
            expected="`time` and at least one column, separated by tabs",
            remedy=REMEDY,
        )
    seen: set[str] = set()
    for label in labels:
        if not label or label in seen:
            raise complaint(
                path,
                f"line {at}: label {label[:60]!r} {'twice' if label else '(empty)'}",
                expected="one name per column",
                remedy=REMEDY,
            )
        seen.add(label)
    return tuple(labels[1:])


def _rows(
    lines: Sequence[str], start: int, names: Sequence[str], width: int, path: Path
) -> tuple[Float64[np.ndarray, " time"], Float64[np.ndarray, "time numbers"]]:
    columns = ["time", *(n for n in names for _ in range(width))]
    flat = array("d")
    before = float("-inf")
    for at in range(start, len(lines)):
        line = lines[at]
        if not line.strip():
            continue
        cells = line.split("\t")
        if len(cells) > len(names) + 1 and not "".join(cells[len(names) + 1 :]).strip():
            del cells[len(names) + 1 :]  # trailing tabs
        if len(cells) != len(names) + 1:
            raise complaint(
                path, f"line {at + 1}: {len(cells)} cells", expected=f"{len(names) + 1}, as labels", remedy=REMEDY
            )
        if width > 1:
            cells = [cells[0], *(part for cell in cells[1:] for part in _parts(cell, width, path, at + 1))]
        row = numbers(cells, columns, path, at + 1)
        if not row[0] > before:
            raise complaint(
                path,
                f"line {at + 1}: time {row[0]} after {before}",
                expected="time that increases",
                remedy="Sort the rows by time and drop repeated ones.",
            )
        before = row[0]
        flat.extend(row)
    if not flat:
        raise complaint(path, "no rows", expected="at least one", remedy=REMEDY)
    table = table_of(flat, len(columns))
    return table[:, 0].copy(), table[:, 1:].copy()


def _parts(cell: str, width: int, path: Path, line: int) -> list[str]:
    parts = cell.strip().split(",") if cell.strip() else ["nan"] * width
    if len(parts) != width:
        raise complaint(
            path, f"line {line}: an element of {len(parts)} numbers", expected=f"{width} by DataType", remedy=REMEDY
        )
    return parts


def write_table(table: Table, path: Path | str) -> None:
    """Write a table that OpenSim 3 (doubles) and 4 read; every number comes back bit for bit.

    Raises:
        FormatError: a table that does not say whether its rotations are in degrees.
    """
    if table.in_degrees is None:
        raise complaint(
            path,
            "the table does not say whether rotations are in degrees",
            expected="in_degrees True or False",
            remedy="Pass dataclasses.replace(table, in_degrees=...); False where there are no rotations.",
        )
    lines = [
        re.sub(r"[\r\n=]", " ", table.title) or "Table",
        f"inDegrees={'yes' if table.in_degrees else 'no'}",
        f"nRows={len(table.time)}",
        f"nColumns={len(table.names) + 1}",
    ]
    simple = table.data_type == "double"
    lines += ["version=1"] if simple else [f"DataType={table.data_type}", "version=3"]
    lines += ["endheader", "\t".join(["time", *table.names])]
    shape = (len(table.time), len(table.names), table.width)
    for seconds, row in zip(table.time.tolist(), table.values.reshape(shape).tolist(), strict=True):
        lines.append("\t".join([repr(seconds), *(",".join(map(repr, cell)) for cell in row)]))
    Path(path).write_text("\n".join(lines) + "\n", "utf-8")
