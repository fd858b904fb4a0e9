"""Recordings of `invdyn identify`: positions and torques of the model's joints out of tables and episodes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from invdyn.cli.options import open_recordings
from invdyn.cli.output import note
from invdyn.cli.torques_reading import OPENSIM, Reading
from invdyn.errors import ConfigError

if TYPE_CHECKING:
    import numpy as np

    from invdyn.bodies.model import BodyModel
    from invdyn.episodes.episode import Episode
    from invdyn.forces.identification.recordings import Measured
    from invdyn.forces.torques_columns import Columns

__all__ = ["Asked", "read_measured"]

FORCE = "force.torque"
"""The signal our own Datasets hold torques in."""


@dataclass(frozen=True)
class Asked:
    """What the command line said about the recordings; see `Identify`."""

    reading: Reading
    torque_file: Path | None = None
    torque_units: tuple[str, ...] = ()
    torques: Mapping[str, str] | None = None
    torque_signal: str | None = None


def read_measured(model: BodyModel, path: Path, asked: Asked) -> list[Measured]:
    """Every episode of a recording with its torques."""
    reading = asked.reading
    kind = reading.kind(path)
    if kind == "markers":
        raise ConfigError(
            f"{path}: markers hold no joint torques. Find positions first (invdyn torques ... --out FOLDER), and pass "
            "them with --torque-file."
        )
    if kind == "table":
        columns = _table(path, reading.units)
        return [_measured(model, columns, columns, replace(asked, reading=replace(reading, units=None)))]
    episodes = reading.episodes(path)
    if asked.torque_file is not None and len(episodes) > 1:
        raise ConfigError(f"{path}: {len(episodes)} episodes for one --torque-file. Choose one with --episode N.")
    found = []
    for episode, origin in episodes:
        positions, torques = _columns(episode, origin, reading.signal), _forces(episode, origin, asked.torque_signal)
        found.append(_measured(model, positions, torques, asked))
    return found


def _columns(episode: Episode, origin: str, signal: str | None) -> Columns:
    from invdyn.forces.torques_columns import episode_columns

    return episode_columns(episode, origin, signal)


def _forces(episode: Episode, origin: str, signal: str | None) -> Columns:
    """Columns that may be torques."""
    if signal is None and FORCE in episode:
        signal = FORCE
    found = _columns(episode, origin, signal)
    # Named after coordinates, as our own Datasets have them: told apart from positions by the signal they stand in.
    return (
        found
        if signal is None or _unnamed(found, signal)
        else replace(found, names=tuple(f"tau.{n}" for n in found.names))
    )


def _table(path: Path, units: str | None) -> Columns:
    """An OpenSim table: its generalized forces are N m and N."""
    from invdyn.episodes.formats.opensim_tables import read_table
    from invdyn.forces.torques_columns import table_columns

    read = table_columns(read_table(path), path, units)
    kinds = {"_moment": "N m", "_force": "N"}
    told = [next((u for end, u in kinds.items() if n.endswith(end)), a) for n, a in zip(read.names, read.angles)]
    return replace(read, angles=tuple(told))


def _other(path: Path, asked: Asked) -> Columns:
    """The columns of --torque-file."""
    if not path.exists():
        raise ConfigError(f"{path} does not exist. Check --torque-file.")
    if path.suffix.lower() in OPENSIM:
        return _table(path, "rad")  # forces have no angle whose unit could be in doubt
    data = open_recordings(path)
    if len(data) != 1:
        raise ConfigError(f"{path}: {len(data)} episodes; expected one, that of the motion. Pass one --torque-file.")
    return _forces(data[0], str(path), asked.torque_signal)


def _measured(model: BodyModel, columns: Columns, torques: Columns, asked: Asked) -> Measured:
    from invdyn.forces.identification.recordings import Measured, match_torques, moving_coordinates, resample
    from invdyn.forces.torques_columns import match_positions

    reading = asked.reading
    hold = reading.held()
    # A coordinate that is held stands still, though a column says how it trembled.
    columns = replace(columns, names=tuple(f"{n} (held)" if n in hold else n for n in columns.names))
    named = reading.named() | _in_order(model, columns, reading.signal, hold)
    positions = match_positions(model, columns, named=named, hold=hold, units=reading.units, lengths=reading.lengths)
    moving = moving_coordinates(model, positions.recorded)
    if not moving:
        raise ConfigError(f"{columns.origin}: every coordinate is held. Nothing moved that could be identified.")
    if asked.torque_file is not None:
        torques = _other(asked.torque_file, asked)
    told = dict(asked.torques or {}) | _torques_in_order(model, torques, moving, asked.torque_signal)
    tau: np.ndarray = match_torques(model, moving, torques, named=told, units=asked.torque_units)
    if asked.torque_file is not None:
        tau = resample(positions.time, torques, tau)
    used = {*named.values(), *told.values(), *(c.name for c in model.coordinates)}
    spoken = ("tau", "torque", "effort")
    unused = [n for n in positions.unused if n not in used and not n.startswith(spoken) and not n.endswith("(held)")]
    if unused:
        note(f"{columns.origin}: {len(unused)} columns are neither position nor torque and are left out.")
    return Measured(positions, tau)


def _in_order(model: BodyModel, columns: Columns, signal: str | None, hold: Mapping[str, float]) -> dict[str, str]:
    """Positions of a signal whose components have no names: the model's order, without those that are held."""
    from invdyn.forces.torques_columns import position_names

    if signal is None or not _unnamed(columns, signal):
        return {}
    free = [n for i, n in enumerate(position_names(model)) if i not in model.couplings and n not in hold]
    if len(free) != len(columns.names):
        raise ConfigError(
            f"{columns.origin}: --signal {signal} has {len(columns.names)} components without names, model "
            f"{model.name!r} has {len(free)} positions that are not held ({', '.join(free)}). Hold the others (--hold "
            "NAME=VALUE), or name columns (--columns)."
        )
    return dict(zip(free, columns.names))


def _torques_in_order(
    model: BodyModel, torques: Columns, moving: tuple[int, ...], signal: str | None
) -> dict[str, str]:
    """Torques of a signal whose components have no names: the order of the coordinates that moved."""
    if signal is None or not _unnamed(torques, signal):
        return {}
    names = [model.coordinates[k].name for k in moving]
    if len(names) != len(torques.names):
        raise ConfigError(
            f"{torques.origin}: --torque-signal {signal} has {len(torques.names)} components without names, "
            f"{len(names)} coordinates moved ({', '.join(names)}). Name columns with --torques NAME=COLUMN."
        )
    return dict(zip(names, torques.names))


def _unnamed(columns: Columns, signal: str) -> bool:
    """Whether these are the numbered components of a signal."""
    stem = signal.removeprefix("observation.")
    whole = [f"{stem}[{k}]" for k in range(len(columns.names))]
    return list(columns.names) == whole or columns.names == (stem,)
