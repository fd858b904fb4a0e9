"""Motion files of `invdyn torques` as positions of the model: tables, markers, or episodes of any recordings."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from invdyn.cli.options import open_recordings
from invdyn.cli.output import note
from invdyn.errors import ConfigError, InvdynError

if TYPE_CHECKING:
    from invdyn.bodies.model import BodyModel
    from invdyn.episodes.formats.c3d import C3d
    from invdyn.episodes.formats.external_loads import ExternalLoads
    from invdyn.episodes.formats.markers import Markers
    from invdyn.episodes.formats.opensim_tables import Table
    from invdyn.forces.torques_columns import Columns, Positions

__all__ = ["Given", "pairs", "read_loads", "read_motion"]

AXES = {"x": (1, 0, 0), "y": (0, 1, 0), "z": (0, 0, 1), "-x": (-1, 0, 0), "-y": (0, -1, 0), "-z": (0, 0, -1)}

SPOKEN = (
    (r"Pass fps=\.\.\. or time=<key of the seconds>", "Pass --read fps=... or --read time=KEY (of the seconds)"),
    (r'units="(\w+)" or units="(\w+)"', r"--units \1 or --units \2"),
    (r'units="(\w+)"', r"--units \1"),
    (r"units=\.\.\.", "--units"),
    (r"names=\{recorded: site\}", "--markers RECORDED=SITE ..."),
    (r"geometry=False", "--no-geometry"),
    (r"ignore=\('(\w+)',\)", r"--ignore \1"),
    (r"ignore=", "--ignore"),
)
"""What stands in a message -> what one types."""


@dataclass(frozen=True)
class Given:
    """What the command line said about the motion; see `Torques`."""

    motion: Path
    units: str | None = None
    lengths: str | None = None
    columns: Mapping[str, str] | None = None
    hold: Mapping[str, float] | None = None
    signal: str | None = None
    episode: int | None = None
    up: str | None = None
    markers: Mapping[str, str] | None = None
    format: str | None = None
    read: tuple[str, ...] = ()


def pairs(option: str, texts: Sequence[str], example: str) -> dict[str, str]:
    """`NAME=VALUE` options as a dictionary.

    Raises:
        ConfigError: a word without `=`, or a name given twice.
    """
    found: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not (name and equals and value):
            raise ConfigError(f"{option} {text!r}: expected NAME=VALUE, for example {example}.")
        if name in found:
            raise ConfigError(f"{option} {name}=... stands twice. Leave one out.")
        found[name] = value
    return found


@contextmanager
def as_options() -> Iterator[None]:
    """Remedies that our functions name as their arguments, named as this command's options."""
    try:
        yield
    except InvdynError as error:
        text = str(error)
        for pattern, option in SPOKEN:
            text = re.sub(pattern, option, text)
        error.args = (text,)
        raise


def read_motion(model: BodyModel, given: Given) -> tuple[list[Positions], list[str], dict[str, Any]]:
    """Positions of every recording, its task, and the fit of the markers (empty without)."""
    kind = given.motion.suffix.lower()
    if not given.motion.exists():
        raise ConfigError(f"{given.motion} does not exist. Check the path.")
    if given.format is None and kind in (".trc", ".c3d"):
        positions, fit = _from_markers(model, given, kind)
        return [positions], [""], fit
    if given.format is None and kind in (".sto", ".mot"):
        from invdyn.episodes.formats.opensim_tables import read_table
        from invdyn.forces.torques_columns import table_columns

        table = read_table(given.motion)
        return [_matched(model, table_columns(table, given.motion, given.units), replace(given, units=None))], [""], {}
    return *_from_episodes(model, given), {}


def _matched(model: BodyModel, columns: Columns, given: Given) -> Positions:
    from invdyn.forces.torques_columns import match_positions

    found = match_positions(
        model, columns, named=given.columns, hold=given.hold, units=given.units, lengths=given.lengths
    )
    if found.unused:
        names = ", ".join(found.unused[:6]) + (" ..." if len(found.unused) > 6 else "")
        note(f"{found.origin}: {len(found.unused)} columns are no position of the model and are left out: {names}")
    return found


def _from_episodes(model: BodyModel, given: Given) -> tuple[list[Positions], list[str]]:
    from invdyn.bodies.files import model_format
    from invdyn.episodes.formats import deepmimic
    from invdyn.forces.torques_columns import episode_columns
    from invdyn.forces.torques_recordings import body_columns, simulator_columns

    read = given.read
    clip = given.format in (None, "deepmimic") and given.motion.is_file() and deepmimic.matches(given.motion)
    if clip and model_format(model.source) == "DeepMimic" and not any(r.startswith("character=") for r in read):
        read = (*read, f"character={model.source}")  # which divides the clip's numbers among the joints
    data = open_recordings(given.motion, given.format, read)
    if given.episode is not None and not 0 <= given.episode < len(data):
        raise ConfigError(f"--episode {given.episode}: {given.motion} has episodes 0 to {len(data) - 1}. Correct it.")
    chosen = range(len(data)) if given.episode is None else [given.episode]
    found, tasks = [], []
    for k in chosen:
        origin = str(given.motion) if len(data) == 1 else f"{given.motion}, episode {k}"
        columns = None
        if given.signal is None:
            columns = body_columns(data[k], origin, model) or simulator_columns(data[k], origin, model)
        columns = columns or episode_columns(data[k], origin, given.signal, model)
        found.append(_matched(model, columns, given))
        tasks.append(data[k].task)
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


def _from_markers(model: BodyModel, given: Given, kind: str) -> tuple[Positions, dict[str, Any]]:
    """Positions by inverse kinematics of the markers."""
    from invdyn.bodies.inverse_kinematics import solve_markers
    from invdyn.bodies.model import Placement
    from invdyn.forces.torques_columns import Positions

    if given.columns or given.hold or given.signal or given.lengths:
        raise ConfigError(
            f"{given.motion}: --columns, --hold, --signal and --lengths go with tables, not with markers."
        )
    markers = _markers(given, kind)
    turn = laboratory(model, given.up)
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
    return Positions(markers.time, q, tuple(rows), fit.unused, str(given.motion)), told


def _markers(given: Given, kind: str) -> Markers:
    if kind == ".c3d":
        return read_recording(given.motion, given.units).markers
    from invdyn.episodes.formats.trc import read_trc

    return read_trc(given.motion, units=given.units)


def read_recording(path: Path, units: str | None = None) -> C3d:
    """A C3D file."""
    from invdyn.episodes.formats.c3d import read_c3d

    return read_c3d(path, units=units)


def read_loads(
    model: BodyModel, given: Given, grf: Path | None, bodies: Mapping[str, str]
) -> tuple[ExternalLoads, Table] | None:
    """Measured loads: an external-loads file, a table with `--grf-body`, or the plates of a C3D file."""
    from invdyn.episodes.formats.opensim_tables import read_table
    from invdyn.forces.torques_loads import plate_table, table_loads, xml_loads

    source = grf
    if source is None:
        if not bodies:
            if given.motion.suffix.lower() == ".c3d":
                note(f"{given.motion}: its plates are not used. Say which body each pushes: --grf-body BODY=plate1.")
            return None
        if given.motion.suffix.lower() != ".c3d":
            raise ConfigError("--grf-body without --grf: nothing says the forces. Give their file with --grf.")
        source = given.motion
    if not source.exists():
        raise ConfigError(f"{source} does not exist. Check --grf.")
    kind = source.suffix.lower()
    if kind == ".xml":
        if bodies:
            raise ConfigError(f"{source} says itself which bodies it pushes. Leave --grf-body out.")
        return xml_loads(source)
    if kind not in (".sto", ".mot", ".c3d"):
        raise ConfigError(f"{source}: expected external loads (.xml), a table (.mot, .sto) or a .c3d file with plates.")
    table = plate_table(read_recording(source), laboratory(model, given.up)) if kind == ".c3d" else read_table(source)
    if not bodies:
        stems = sorted({n[:-3] for n in table.names if n.endswith("_vx")})
        raise ConfigError(
            f"{source}: nothing says which bodies its forces push ({', '.join(stems) or 'none found'}). "
            f"Pass --grf-body BODY={stems[0] if stems else 'STEM'} for each."
        )
    return table_loads(table, source, bodies), table
