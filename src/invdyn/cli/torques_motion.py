"""Motion files of `invdyn torques` as positions of the model: tables, markers, or episodes of any recordings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from invdyn.cli.output import note
from invdyn.cli.torques_reading import Reading
from invdyn.errors import ConfigError, unknown_name

if TYPE_CHECKING:
    from invdyn.bodies.model import BodyModel
    from invdyn.episodes.formats.c3d import C3d
    from invdyn.episodes.formats.external_loads import ExternalLoads
    from invdyn.episodes.formats.markers import Markers
    from invdyn.episodes.formats.opensim_tables import Table
    from invdyn.forces.torques_columns import Columns, Positions
    from invdyn.training.progress import Bar

__all__ = ["Recorded", "read_loads", "read_motion"]

TURNS = 2
"""Turns of a joint from which on its angles are looked at with doubt (our choice)."""
AXES = {"x": (1, 0, 0), "y": (0, 1, 0), "z": (0, 0, 1), "-x": (-1, 0, 0), "-y": (0, -1, 0), "-z": (0, 0, -1)}


@dataclass(frozen=True)
class Recorded:
    """What the command line said about the motion; see `Torques`."""

    path: Path
    reading: Reading
    up: str | None = None
    markers: Mapping[str, str] | None = None

    @cached_property
    def c3d(self) -> C3d:
        """The motion's C3D file, which holds markers and plates: read once."""
        from invdyn.episodes.formats.c3d import read_c3d

        return read_c3d(self.path, units=self.reading.units)


def read_motion(model: BodyModel, given: Recorded, bar: Bar) -> tuple[list[Positions], list[str], dict[str, Any]]:
    """Positions of every recording, its task, and the fit of the markers (empty without); the bar tells what is read.

    Raises:
        ConfigError: options of markers for a recording without.
    """
    kind = given.reading.kind(given.path)
    bar.advance(0, f"reading {given.path}")
    if kind == "markers":
        positions, fit = _from_markers(model, given, bar)
        return [positions], [""], fit
    if given.markers:
        raise ConfigError(f"{given.path}: --markers goes with .trc and .c3d files. Leave it out, or name columns.")
    if kind == "table":
        from invdyn.episodes.formats.opensim_tables import read_table
        from invdyn.forces.torques_columns import table_columns

        columns = table_columns(read_table(given.path), given.path, given.reading.units)
        return [_matched(model, columns, replace(given.reading, units=None))], [""], {}
    return *_from_episodes(model, given), {}


def _matched(model: BodyModel, columns: Columns, reading: Reading) -> Positions:
    from invdyn.forces.torques_columns import match_positions, position_kinds, position_names

    named, hold = reading.named(), reading.held()
    found = match_positions(model, columns, named=named, hold=hold, units=reading.units, lengths=reading.lengths)
    if found.unused:
        names = ", ".join(found.unused[:6]) + (" ..." if len(found.unused) > 6 else "")
        note(f"{found.origin}: {len(found.unused)} columns are no position of the model and are left out: {names}")
    for name, kind, q in zip(position_names(model), position_kinds(model), found.q.T):
        if kind == "angle" and (np.abs(q) > TURNS * 2 * np.pi).any():
            most = float(np.nanmax(np.abs(q)))
            note(
                f"{found.origin}: {name} reaches {most:.4g} rad, {most / (2 * np.pi):.0f} turns. Are these degrees? "
                "See --units."
            )
    told = zip(position_names(model), found.recorded, np.isnan(found.q).sum(0))
    gaps = [f"{name} at {n}" for name, there, n in told if there and n]
    if gaps:
        many = ", ".join(gaps[:6]) + (" ..." if len(gaps) > 6 else "")
        note(f"{found.origin}: of {len(found.time)} steps some have no value, which smoothing bridges: {many}")
    return found


def _from_episodes(model: BodyModel, given: Recorded) -> tuple[list[Positions], list[str]]:
    from invdyn.bodies.files import model_format
    from invdyn.episodes.formats import deepmimic
    from invdyn.forces.torques_columns import episode_columns
    from invdyn.forces.torques_recordings import body_columns, simulator_columns

    path, reading, more = given.path, given.reading, []
    clip = reading.format in (None, "deepmimic") and path.is_file() and deepmimic.matches(path)
    if clip and model_format(model.source) == "DeepMimic" and not any(r.startswith("character=") for r in reading.read):
        more = [f"character={model.source}"]  # which divides the clip's numbers among the joints
    found, tasks = [], []
    for episode, origin in reading.episodes(path, more):
        columns = None
        if reading.signal is None:
            columns = body_columns(episode, origin, model) or simulator_columns(episode, origin, model)
        columns = columns or episode_columns(episode, origin, reading.signal, model)
        found.append(_matched(model, columns, reading))
        tasks.append(episode.task)
    return found, tasks


def laboratory(model: BodyModel, up: str | None) -> np.ndarray:
    """[3, 3] from the recording's axes to the model's: the smallest turn that takes its up to the model's."""
    from scipy.spatial.transform import Rotation

    from invdyn.forces.torques_contacts import upwards

    if up is None:
        return np.eye(3)
    if up not in AXES:
        raise ConfigError(f"--up {up!r}: expected one of {', '.join(AXES)}, the axis of the recording that points up.")
    start, end = np.array(AXES[up], float), upwards(model)
    axis, cosine = np.cross(start, end), float(start @ end)
    if np.linalg.norm(axis) < 1e-12:
        turn = np.zeros(3) if cosine > 0 else np.pi * np.eye(3)[int(np.argmin(np.abs(start)))]
        return np.asarray(Rotation.from_rotvec(turn).as_matrix())
    return np.asarray(Rotation.from_rotvec(axis / np.linalg.norm(axis) * np.arccos(np.clip(cosine, -1, 1))).as_matrix())


def _from_markers(model: BodyModel, given: Recorded, bar: Bar) -> tuple[Positions, dict[str, Any]]:
    """Positions by inverse kinematics of the markers."""
    from invdyn.bodies.inverse_kinematics import solve_markers
    from invdyn.bodies.model import Placement
    from invdyn.forces.torques_columns import Positions

    reading = given.reading
    if reading.columns or reading.hold or reading.signal or reading.lengths:
        raise ConfigError(f"{given.path}: --columns, --hold, --signal and --lengths go with tables, not with markers.")
    turn = laboratory(model, given.up)
    markers = _markers(given)
    bar.advance(0, f"inverse kinematics of {len(markers.time)} steps")
    fit = solve_markers(model, markers, names=given.markers, laboratory=Placement.of(turn))
    note(str(fit))
    q = fit.q.copy()
    q[np.isnan(fit.rms)] = np.nan
    rows = [i not in model.couplings for i in range(model.nq)]
    told = {
        "markers": list(fit.names),
        "unused": list(fit.unused),
        "rms": float(np.sqrt(np.nanmean(fit.error**2))),
        "worst": {n: float(r) for n, r in zip(fit.names, fit.marker_rms)},
        "converged": float(fit.pose.converged.mean()),
        "not_seen": list(fit.pose.free),
    }
    return Positions(markers.time, q, tuple(rows), fit.unused, str(given.path)), told


def _markers(given: Recorded) -> Markers:
    if given.path.suffix.lower() == ".c3d":
        return given.c3d.markers
    from invdyn.episodes.formats.trc import read_trc

    return read_trc(given.path, units=given.reading.units)


def read_loads(
    model: BodyModel, given: Recorded, grf: Path | None, bodies: Mapping[str, str], bar: Bar
) -> tuple[ExternalLoads, Table] | None:
    """Measured loads: an external-loads file, a table with `--grf-body`, or the plates of a C3D file.

    Raises:
        ConfigError: loads that are not there, or that nobody says the bodies of; `--up` where nothing is turned.
        UnknownNameError: a body the model does not have.
    """
    from invdyn.episodes.formats.c3d import read_c3d
    from invdyn.episodes.formats.opensim_tables import read_table
    from invdyn.forces.torques_loads import plate_table, table_loads, xml_loads

    source = grf
    turned = {".c3d", ".trc"} & {given.path.suffix.lower(), "" if grf is None else grf.suffix.lower()}
    if given.up is not None and not turned:
        raise ConfigError(
            f"--up {given.up} turns markers and plates (.trc, .c3d), of which there are none. Leave it out."
        )
    if source is None:
        if not bodies:
            if given.path.suffix.lower() == ".c3d" and given.c3d.plates:
                note(f"{given.path}: its plates are not used. Say which body each pushes: --grf-body BODY=plate1.")
            return None
        if given.path.suffix.lower() != ".c3d":
            raise ConfigError("--grf-body without --grf: nothing says the forces. Give their file with --grf.")
        source = given.path
    if not source.exists():
        raise ConfigError(f"{source} does not exist. Check --grf.")
    kind = source.suffix.lower()
    bar.advance(0, f"reading {source}")
    if kind == ".xml":
        if bodies:
            raise ConfigError(f"{source} says itself which bodies it pushes. Leave --grf-body out.")
        return xml_loads(source)
    if kind not in (".sto", ".mot", ".c3d"):
        raise ConfigError(f"{source}: expected external loads (.xml), a table (.mot, .sto) or a .c3d file with plates.")
    if kind == ".c3d":
        recording = given.c3d if source == given.path else read_c3d(source)
        table = plate_table(recording, laboratory(model, given.up))
    else:
        table = read_table(source)
    if not bodies:
        stems = sorted({n[:-3] for n in table.names if n.endswith("_vx")})
        raise ConfigError(
            f"{source}: nothing says which bodies its forces push ({', '.join(stems) or 'none found'}). "
            f"Pass --grf-body BODY={stems[0] if stems else 'STEM'} for each."
        )
    known = {b.name for b in model.bodies} | {site.name for site in model.sites}
    for body in bodies:
        if body not in known:
            raise unknown_name(f"body of model {model.name!r}", body, known)
    return table_loads(table, source, bodies), table
