"""OpenSim tables as recordings: what each column is, by the names OpenSim gives; `opensim_tables.py` reads the file.

| columns | signal | unit |
|---|---|---|
| `<coordinate>`, `/jointset/.../value` | `observation.state` | see `open` |
| `/jointset/.../speed` | `observation.velocity` | as above, per second |
| `<coordinate>_moment`, `<joint>_<body>_MX` ... | `force.moment` | N m |
| `<coordinate>_force`, `<joint>_<body>_FX` ... | `force.linear` | N |
| `<stem>_vx, _vy, _vz` | `<stem>_v`, as an external-loads file calls it | N |
| `<stem>_px, _py, _pz` | `<stem>_p` | m |
| `<...torque...>x, y, z` | `<...torque...>` | N m |
| elements of several numbers (version 3) | `observation.<label>`, quaternions scalar first | |
| other paths (`/forceset/.../activation`) | `observation.other` | |
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64

from invdyn.episodes.dataset import Dataset
from invdyn.episodes.episode import Episode
from invdyn.episodes.formats.foreign import MissingPolicy, complaint
from invdyn.episodes.formats.motion_files import (
    Recording,
    as_dataset,
    episode_files,
    episode_paths,
    float_spec,
    masked,
    steady_rate,
)
from invdyn.episodes.formats.opensim_tables import Table, read_table, write_table
from invdyn.episodes.signal import Kind, Signal

__all__ = ["angle_unit", "coordinate_name", "matches", "not_radians", "open", "write"]

log = logging.getLogger(__name__)

ENDINGS = (".mot", ".sto")
STATE, VELOCITY, OTHER = "observation.state", "observation.velocity", "observation.other"
TRIPLET = re.compile(r"^(?P<stem>.*(?P<what>_v|_p|torque(_\w*)?))x$")
MOMENT = re.compile(r"_(moment|M[XYZ])$")
LINEAR = re.compile(r"_(force|F[XYZ])$")
ELEMENTS: Mapping[str, tuple[str, ...]] = {
    "Quaternion": ("w", "x", "y", "z"),
    "Vec3": ("x", "y", "z"),
    "UnitVec3": ("x", "y", "z"),
}
DEGREE = np.pi / 180


@dataclass(frozen=True)
class _Group:
    """The columns of one signal."""

    signal: str
    columns: tuple[str, ...]
    kind: Kind = "state"
    unit: str = ""


def matches(path: Path | str) -> bool:
    """Whether this is a .mot or .sto file."""
    return Path(path).suffix.lower() in ENDINGS and Path(path).is_file()


def _groups(table: Table) -> list[_Group]:
    """What the columns are, by their names; every column is in one group."""
    names = set(table.names)
    found: dict[str, _Group] = {}
    taken: dict[str, str] = {}
    for name in table.names:
        match = TRIPLET.match(name)
        if match and {match["stem"] + axis for axis in "xyz"} <= names:
            stem = match["stem"]
            kind, unit = {"_v": ("force", "N"), "_p": ("state", "m")}.get(match["what"], ("force", "N m"))
            found[stem] = _Group(stem, tuple(stem + axis for axis in "xyz"), kind, unit)  # type: ignore[arg-type]
            taken |= dict.fromkeys(found[stem].columns, stem)
    rest: dict[str, list[str]] = {}
    for name in table.names:
        if name not in taken:
            if MOMENT.search(name):
                rest.setdefault("force.moment", []).append(name)
            elif LINEAR.search(name):
                rest.setdefault("force.linear", []).append(name)
            elif name.startswith("/") and not name.endswith(("/value", "/speed")):
                rest.setdefault(OTHER, []).append(name)
            else:
                rest.setdefault(VELOCITY if name.endswith("/speed") else STATE, []).append(name)
    units = {"force.moment": "N m", "force.linear": "N"}
    first = [
        _Group(signal, tuple(columns), "force" if signal in units else "state", units.get(signal, ""))
        for signal, columns in rest.items()
    ]
    return first + list(found.values())


def coordinate_name(label: str) -> str:
    """The coordinate a column is about, without its path.

    >>> coordinate_name("/jointset/ground_pelvis/pelvis_tilt/value"), coordinate_name("knee_angle_r")
    ('pelvis_tilt', 'knee_angle_r')
    """
    parts = label.split("/")
    return parts[-2] if len(parts) > 2 and parts[-1] in ("value", "speed") else label


def angle_unit(table: Table, path: Path | str, units: str | None = None) -> str:
    """`deg` or `rad`: what the file says of its rotations, or what the caller says where it does not.

    Raises:
        FormatError: neither says it (the message tells how far the widest column reaches), or they disagree.
    """
    if units not in (None, "deg", "rad"):
        raise complaint(path, f"option units={units!r}", expected="'deg' or 'rad'", remedy="Correct units=...")
    if table.in_degrees is None and units is None:
        spans = np.nanmax(np.abs(np.where(np.isnan(table.values), 0.0, table.values)), axis=0)
        at = int(np.argmax(spans))
        column, name = table.values[:, at], table.names[at // table.width]
        low, high = (np.nanmin(column), np.nanmax(column)) if not np.isnan(column).all() else (np.nan, np.nan)
        looks = "degrees" if spans[at] > 4 * np.pi else "radians or small degrees"
        raise complaint(
            path,
            f"inDegrees is absent and column {name!r} spans {low:.4g} ... {high:.4g}, which looks like {looks}",
            expected="a unit for the rotations",
            remedy='Pass units="deg" or units="rad" to settle it.',
        )
    told = None if table.in_degrees is None else "deg" if table.in_degrees else "rad"
    if told and units and told != units:
        raise complaint(
            path,
            f"the file says its rotations are in {told}, option units says {units}",
            expected="one of them",
            remedy="Leave units=... out, or correct inDegrees in the file.",
        )
    return str(told or units)


def not_radians(table: Table, names: Sequence[str]) -> list[str]:
    """Which of these columns reach beyond two turns (4 pi), which no joint angle in rad does: degrees or lengths.

    Programs that convert a table to radians leave coupled coordinates in degrees (`knee_angle_r_beta`).
    """
    return [n for n in names if np.nanmax(np.abs(table.columns([n])), initial=0.0) > 4 * np.pi]


def open(  # noqa: A001 - every format module has `open`
    path: Path | str,
    *,
    units: str | None = None,
    rotations: Sequence[str] | None = None,
    nan: MissingPolicy = "mask",
    task: str = "",
) -> Dataset:
    """Open .mot and .sto files, one episode each.

    Which coordinates are rotations is known to the model only. Without `rotations` the values of coordinates and
    speeds stay as in the file, the signal has no unit, and the episode's metadata say `angle_unit`. With them the
    rotations become rad, and the unit of the signal is one per component (`rad, rad, m`).

    Args:
        path: a file, or a folder with one file per episode.
        units: `deg` or `rad`, for files that do not say it; needed where there are coordinates.
        rotations: coordinate columns that are angles; the others are lengths in m.
        nan: `mask` to read steps with an empty cell or nan as missing, or `refuse`.
        task: what was asked, in words, of every episode.

    Raises:
        FormatError: no angle unit, a rotation that is not a column, or a broken table (see `read_table`).
    """
    path = Path(path)
    recordings, fps = [], 0.0
    for file in episode_files(path, ENDINGS):
        table = read_table(file)
        fps = fps or steady_rate(table.time, file)
        metadata: dict[str, Any] = {"title": table.title}
        if table.width == 1:
            groups = _groups(table)
            if any(g.signal in (STATE, VELOCITY) for g in groups):
                metadata["angle_unit"] = angle_unit(table, file, units)
                if metadata["angle_unit"] == "rad":
                    _report(table, [n for g in groups if g.signal == STATE for n in g.columns], file)
            signals = [_signal(table, g, file, metadata.get("angle_unit"), rotations, nan) for g in groups]
            if rotations is not None and "angle_unit" in metadata:
                metadata["angle_unit"] = "rad"
        else:
            signals = [_element(table, name, file, nan) for name in table.names]
        _known_rotations(rotations, table, file)
        recordings.append(Recording(file, signals, table.time, metadata))
    return as_dataset(path, recordings, fps, task)


def _report(table: Table, names: Sequence[str], file: Path) -> None:
    found = not_radians(table, names)
    if found:
        log.warning(
            "%s: rotations are said to be in rad, but %s reach beyond two turns; degrees? Nothing was converted.",
            file,
            ", ".join(found[:5]),
        )


def _known_rotations(rotations: Sequence[str] | None, table: Table, file: Path) -> None:
    for name in rotations or ():
        if name not in table.names:
            raise complaint(
                file,
                f"option rotations names {name!r}, which is no column",
                expected=f"columns such as {', '.join(table.names[:4])}",
                remedy="Correct the option.",
            )


def _signal(
    table: Table, group: _Group, file: Path, unit: str | None, rotations: Sequence[str] | None, nan: MissingPolicy
) -> Signal:
    values, told = table.columns(group.columns), group.unit
    if group.signal in (STATE, VELOCITY) and rotations is not None:
        turns = np.array([name in rotations for name in group.columns])
        if unit == "deg":
            values = np.where(turns, values * DEGREE, values)
        per = "/s" if group.signal == VELOCITY else ""
        each = [("rad" if turn else "m") + per for turn in turns]
        told = each[0] if len(set(each)) == 1 else ", ".join(each)
    return masked(float_spec(file, group.signal, group.columns, group.kind, told), values, file, nan)


def _element(table: Table, name: str, file: Path, nan: MissingPolicy) -> Signal:
    spec = float_spec(file, f"observation.{name}", ELEMENTS.get(table.data_type), size=table.width)
    return masked(spec, table.columns([name]), file, nan)


def write(dataset: Dataset, path: Path | str, *, units: str | None = None) -> None:
    """Write recordings as a table (one episode), or a folder of `episode_000000.sto` files (several).

    Every component of every signal of numbers becomes a column named after it; missing steps are nan. Values are
    written as they are and come back bit for bit; images, words and whole arrays per step have no place in a table.

    Args:
        dataset: what to write.
        path: the file or folder to make.
        units: `deg` or `rad`, the unit of rotations in the values; None takes the episode's `angle_unit`, or rad
            where all units of coordinates are told.

    Raises:
        FormatError: coordinates whose angle unit nobody tells, a signal that is no vector, two components of one name.
    """
    for episode, file in zip(dataset, episode_paths(dataset, Path(path), ".sto"), strict=True):
        write_table(_table(episode, file, units), file)


def _table(episode: Episode, file: Path, units: str | None) -> Table:
    names: list[str] = []
    columns: list[Float64[np.ndarray, "time numbers"]] = []
    for name, signal in episode.items():
        spec = signal.spec
        if spec.is_text or len(spec.shape) > 1:
            raise complaint(
                file,
                f"steps of shape {spec.shape} and dtype {spec.dtype}",
                expected="numbers or vectors of numbers",
                remedy="Leave the signal out of the table.",
                signal=name,
            )
        plain = (name,) if spec.shape == () else tuple(f"{name}_{k + 1}" for k in range(spec.size))
        names += spec.names or plain
        values = signal.values.reshape(len(signal), -1).astype(np.float64)
        columns.append(np.where(signal.mask[:, None], values, np.nan))
    if len(set(names)) != len(names) or any(re.search(r"[\t\r\n]", n) or not n.strip() for n in names):
        raise complaint(
            file,
            "components with one name, or names that hold tabs or nothing",
            expected="a name of its own per column",
            remedy="Rename the components of the signals.",
        )
    told = units or episode.metadata.get("angle_unit")
    coordinates = [s.spec for n, s in episode.items() if n in (STATE, VELOCITY)]
    if told not in ("deg", "rad"):
        if any(not s.unit for s in coordinates) or any("deg" in s.unit for s in coordinates):
            raise complaint(
                file,
                "nobody tells the unit of rotations",
                expected="deg or rad",
                remedy='Pass units="deg" or units="rad".',
            )
        told = "rad"
    title = str(episode.metadata.get("title") or episode.task or "Motion")
    return Table(tuple(names), episode.timestamp, np.concatenate(columns, axis=1), told == "deg", title)
