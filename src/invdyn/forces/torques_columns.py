"""Recorded columns to the positions of a model: matched by name, converted by the unit that somebody told.

Position numbers are named after their coordinates; those of a free joint `<joint>.tx .ty .tz .qx .qy .qz .qw`, of a
spherical one `<joint>.qx .qy .qz .qw` (quaternions x y z w, body to parent).
"""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Float

from invdyn.bodies.model import BodyModel
from invdyn.episodes.episode import Episode
from invdyn.episodes.formats.opensim import angle_unit, coordinate_name
from invdyn.episodes.formats.opensim_tables import Table
from invdyn.errors import ConfigError, SignalError, unknown_name

__all__ = [
    "Columns",
    "Positions",
    "episode_columns",
    "frame_rate",
    "match_positions",
    "position_names",
    "table_columns",
]

ANGLES = {"rad": 1.0, "deg": np.pi / 180}
LENGTHS = {"m": 1.0, "mm": 1e-3, "cm": 1e-2}
QUATERNION = ("qx", "qy", "qz", "qw")


@dataclass(frozen=True)
class Columns:
    """Named numbers over time.

    Args:
        names: one per column. time: [T] s. values: [T, n], NaN where missing.
        angles, lengths: per column the unit if it is an angle or a length; empty where the file does not say.
        origin: the file, for messages.
        words: columns that hold text, with the first word of each.
    """

    names: tuple[str, ...]
    time: Float[np.ndarray, " time"]
    values: Float[np.ndarray, "time columns"]
    angles: tuple[str, ...]
    lengths: tuple[str, ...]
    origin: str
    words: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Positions:
    """Recorded positions of a model.

    Attributes:
        time: [T] s.
        q: [T, nq] rad, m, unit quaternions; NaN where missing and in coupled numbers, which follow the others.
        recorded: [nq] whether the number was recorded (false: held, or coupled).
        unused: columns that are no position of the model.
        origin: the file.
    """

    time: Float[np.ndarray, " time"]
    q: Float[np.ndarray, "time nq"]
    recorded: tuple[bool, ...]
    unused: tuple[str, ...]
    origin: str


def frame_rate(time: Float[np.ndarray, " time"]) -> float:
    """Steps per second: one over the median step."""
    return 1 / float(np.median(np.diff(time)))


def position_names(model: BodyModel) -> tuple[str, ...]:
    """One name per position number."""
    names = [""] * model.nq
    for body in model.bodies:
        joint = body.joint
        if joint.drive is not None:
            continue
        if joint.kind in ("revolute", "prismatic"):
            names[joint.q] = model.coordinates[joint.v].name
        else:
            parts = ("tx", "ty", "tz", *QUATERNION) if joint.kind == "free" else QUATERNION
            names[joint.q : joint.q + len(parts)] = [f"{joint.name}.{p}" for p in parts]
    # OpenSim's coordinates are position numbers of their own, read by joints through drives
    if model.nq == model.nv:
        names = [n or c.name for n, c in zip(names, model.coordinates)]
    return tuple(names)


def position_kinds(model: BodyModel) -> tuple[str, ...]:
    """`angle`, `length` or `quaternion` per position number."""
    kinds = []
    coordinates = {c.name: c.rotational for c in model.coordinates}
    for name in position_names(model):
        part = name.rpartition(".")[2]
        if name in coordinates:
            kinds.append("angle" if coordinates[name] else "length")
        else:
            kinds.append("quaternion" if part in QUATERNION else "length")
    return tuple(kinds)


def table_columns(table: Table, path: Path | str, units: str | None = None) -> Columns:
    """Columns of an OpenSim table: lengths in m, angles as the file says; speeds are left out.

    Raises:
        FormatError: nobody tells the unit of angles, or file and `units` disagree.
        SignalError: columns of several numbers each.
    """
    if table.width != 1:
        raise SignalError(f"{path}: columns of {table.width} numbers; expected one coordinate each. Pass coordinates.")
    told = angle_unit(table, path, units)
    kept = [k for k, n in enumerate(table.names) if not n.endswith("/speed")]
    names = tuple(coordinate_name(table.names[k]) for k in kept)
    return Columns(names, table.time, table.values[:, kept], (told,) * len(names), ("m",) * len(names), str(path))


def episode_columns(
    episode: Episode, origin: str, signal: str | None = None, model: BodyModel | None = None
) -> Columns:
    """Columns of an episode: one per component of its signals of numbers, named by component; of a name that an
    earlier signal has (velocities named as their positions), by signal and component.

    Args:
        signal: only this one; without names of components, they are the model's position numbers in order.

    Raises:
        UnknownNameError: no such signal. SignalError: it has another number of components than the model has positions.
    """
    named: list[tuple[str, str]] = []
    units: list[str] = []
    values = []
    words: dict[str, str] = {}
    if signal is not None and signal not in episode:
        raise unknown_name(f"signal of {origin}", signal, list(episode))
    for name in [signal] if signal is not None else list(episode):
        spec = episode.schema[name]
        if spec.is_text:
            words[name] = next((w for w in map(str, episode[name].values) if not _is_number(w)), "")
        if spec.is_text or len(spec.shape) > 1 or spec.numpy_dtype.kind not in "iuf":
            continue
        if signal is None and spec.kind in ("force", "action", "reward"):
            continue  # which may be named after the joints as well
        here = episode[name]
        labels = spec.names or _unnamed(name, spec.shape, spec.size, model if signal is not None else None, origin)
        told = [u.strip() for u in spec.unit.split(",")]
        named += [(name.removeprefix("observation."), n.removeprefix("observation.")) for n in labels]
        units += told if len(told) == spec.size else [spec.unit.strip()] * spec.size
        numbers = np.asarray(here.values, float).reshape(len(here), -1)
        values.append(np.where(here.mask[:, None], numbers, np.nan))
    if not values:
        raise SignalError(f"{origin}: no signal of numbers; expected positions. Pass a recording of motion.")
    names: list[str] = []
    for of, label in named:
        names.append(label if label not in names else f"{of}.{label}")
    return Columns(tuple(names), episode.timestamp, np.hstack(values), tuple(units), tuple(units), origin, words)


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _unnamed(name: str, shape: tuple[int, ...], size: int, model: BodyModel | None, origin: str) -> list[str]:
    if model is None:
        return [name] if shape == () else [f"{name}[{k}]" for k in range(size)]
    if size != model.nq:
        raise SignalError(
            f"{origin}: signal {name!r} has {size} components without names, model {model.name!r} has {model.nq} "
            f"position numbers. Name them with --columns, or pass the model that goes with the recording."
        )
    return list(position_names(model))


def match_positions(
    model: BodyModel,
    columns: Columns,
    *,
    named: Mapping[str, str] | None = None,
    hold: Mapping[str, float] | None = None,
    units: str | None = None,
    lengths: str | None = None,
) -> Positions:
    """Positions of the model out of columns.

    Args:
        named: position number (see `position_names`) -> its column, where names differ.
        hold: position number -> value (rad or m) of those that were not recorded, or whose column is not to be used.
        units, lengths: `deg` or `rad`; `m`, `cm` or `mm`: of columns whose file does not say it.

    Raises:
        UnknownNameError: `named` or `hold` name what is not there.
        SignalError: a position without column; a unit nobody tells; a unit that is none of those.
        ConfigError: a unit that the file contradicts.
    """
    names, kinds, named, hold = position_names(model), position_kinds(model), dict(named or {}), dict(hold or {})
    for given in (named, hold):
        for name in given:
            if name not in names:
                raise unknown_name(f"position of model {model.name!r}", name, names)
    for name, value in hold.items():
        if kinds[names.index(name)] == "angle" and not abs(value) <= 2 * np.pi:
            raise ConfigError(
                f"--hold {name}={value:g}: angles are held in rad; expected at most a whole turn. "
                f"{value:g} degrees are {np.radians(value):.5g}."
            )
    for column in named.values():
        if column not in columns.names:
            raise unknown_name(f"column of {columns.origin}", column, columns.names)
    q = np.full((len(columns.time), model.nq), np.nan)
    recorded = [False] * model.nq
    used: set[str] = set()
    lacking: list[str] = []
    for i, (name, kind) in enumerate(zip(names, kinds)):
        column = named.get(name, name)
        if column in columns.names and name not in hold:
            used.add(column)
        if i in model.couplings:
            continue
        if name in hold:  # whatever was recorded of it
            q[:, i] = hold[name]
        elif column in columns.names:
            at = columns.names.index(column)
            q[:, i] = columns.values[:, at] * _factor(columns, at, kind, units, lengths)
            recorded[i] = True
        else:
            lacking.append(name)
    if lacking:
        raise _missing(model, lacking, columns)
    lost = [names[i] for i in range(model.nq) if recorded[i] and np.isnan(q[:, i]).all()]
    if lost:
        raise SignalError(f"{columns.origin}: column of {lost[0]!r} has no value at all. Give it, or --hold it.")
    unused = tuple(n for n in columns.names if n not in used)
    return Positions(columns.time, q, tuple(recorded), unused, columns.origin)


def _factor(columns: Columns, at: int, kind: str, units: str | None, lengths: str | None) -> float:
    """To rad or m."""
    if kind == "quaternion":
        return 1.0
    told, given, known, option = (
        (columns.angles[at], units, ANGLES, "--units")
        if kind == "angle"
        else (columns.lengths[at], lengths, LENGTHS, "--lengths")
    )
    name = columns.names[at]
    if not told and given is None:
        values = columns.values[:, at]
        span = f"spans {np.nanmin(values):.4g} ... {np.nanmax(values):.4g}" if (~np.isnan(values)).any() else "is empty"
        raise SignalError(
            f"{columns.origin}: column {name!r} {span} without a unit; expected {' or '.join(known)}. "
            f"Pass {option} {' or '.join(known)} to settle it."
        )
    if told and told not in known:
        raise SignalError(
            f"{columns.origin}: column {name!r} is in {told!r}; expected {' or '.join(known)} of a joint's {kind}. "
            f"Convert it, or name the right column with --columns."
        )
    if told and given is not None and told != given:
        raise ConfigError(
            f"{columns.origin}: column {name!r} is in {told} by the file, {option} says {given}. Leave {option} out."
        )
    unit = told or str(given)
    if unit not in known:
        raise unknown_name(f"unit ({option})", unit, known)
    return known[unit]


def _missing(model: BodyModel, lacking: Sequence[str], columns: Columns) -> SignalError:
    name, rest = lacking[0], lacking[1:]
    if name in columns.words:
        return SignalError(
            f"{columns.origin}: column {name!r} holds words ({columns.words[name][:40]!r}); expected numbers. "
            f"Repair the cell, or --hold {name}=VALUE if it did not move."
        )
    near = difflib.get_close_matches(name, columns.names, n=2, cutoff=0.5)
    there = ", ".join(columns.names[:6]) + (" ..." if len(columns.names) > 6 else "")
    hint = "The nearest is " + " or ".join(repr(n) for n in near) if near else f"It has {there}"
    more = f" (nor for {', '.join(rest)})" if rest else ""
    whole = Counter(n.partition("[")[0] for n in columns.names if n.endswith("]"))
    signal = next((stem for stem, count in whole.items() if count == len(lacking)), None)
    order = "" if signal is None else f"--signal {signal} if its numbers are these in the model's order, "
    return SignalError(
        f"{columns.origin}: no column for {name!r} of model {model.name!r}{more}. {hint}. "
        f"Pass {order}--columns {name}=COLUMN, or --hold {name}=VALUE if it did not move."
    )
