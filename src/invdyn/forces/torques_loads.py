"""Measured external loads as wrenches on the bodies of a model, for any pose near the recorded one.

A load stands in the world (force plates), so its wrench in body axes turns with the pose; what is kept is force and
moment about the world's origin, per body.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float

from invdyn.bodies.dynamics import Dynamics
from invdyn.bodies.model import BodyModel, Site
from invdyn.bodies.osim import OsimModel
from invdyn.episodes.formats.c3d import C3d
from invdyn.episodes.formats.external_loads import ExternalLoad, ExternalLoads, read_external_loads
from invdyn.episodes.formats.opensim_tables import Table, read_table
from invdyn.episodes.smooth_opensim import OpenSimMotion
from invdyn.errors import SignalError, unknown_name
from invdyn.forces.opensim_problem import load_wrenches

log = logging.getLogger(__name__)

__all__ = ["WorldLoads", "body_wrenches", "plate_table", "table_loads", "world_loads", "xml_loads"]


@dataclass(frozen=True)
class WorldLoads:
    """Loads over time.

    Args:
        bodies: indices of the bodies pushed.
        wrench: [T, bodies, 6] force (N) and moment about the world's origin (N m), world axes.
    """

    bodies: tuple[int, ...]
    wrench: Float[np.ndarray, "time loaded 6"]

    @property
    def total(self) -> Float[np.ndarray, "time 6"]:
        """All of them together."""
        return np.asarray(self.wrench.sum(1))


def xml_loads(path: Path | str) -> tuple[ExternalLoads, Table]:
    """An external-loads file of OpenSim with its table.

    Raises:
        FormatError: see `read_external_loads` and `read_table`.
    """
    told = read_external_loads(path)
    return told, read_table(told.table_path)


def table_loads(table: Table, path: Path | str, bodies: Mapping[str, str]) -> ExternalLoads:
    """What `BODY=STEM` says of a table: columns `<stem>_vx ..` N, `<stem>_px ..` m, `<stem>_mx ..` N m, in the world.

    OpenSim's own tables hold the moments of `ground_force_vx ..` as `ground_torque_x ..`, which are taken as well. What
    a load has no columns for is logged: without points it acts at the body's origin.

    Raises:
        SignalError: a stem without the three force columns, or with one or two of points or moments.
    """

    def begins(beginning: str) -> bool:
        there = [axis for axis in "xyz" if beginning + axis in table.names]
        if len(there) in (1, 2):
            lost = next(axis for axis in "xyz" if axis not in there)
            raise SignalError(
                f"{path}: column {beginning}{there[0]} without {beginning}{lost}; expected x, y and z. "
                "Export the table again."
            )
        return bool(there)

    loads = []
    for body, stem in bodies.items():
        if not begins(f"{stem}_v"):
            stems = sorted({n[:-3] for n in table.names if n.endswith("_vx")})
            raise SignalError(
                f"{path}: no columns {stem}_vx, {stem}_vy, {stem}_vz for the load on {body!r}; "
                f"it has {', '.join(stems) or 'no forces named so'}. Correct --grf-body {body}=STEM."
            )
        point = f"{stem}_p" if begins(f"{stem}_p") else None
        moments = [f"{stem}_m", *([f"{stem.replace('force', 'torque')}_"] if "force" in stem else [])]
        moment = next((m for m in moments if begins(m)), None)
        if point is None:
            log.warning("%s: no columns %s_px ...: the load acts at the origin of %r.", path, stem, body)
        if moment is None:
            log.warning(
                "%s: no columns %s: the load on %r has no moment.", path, " nor ".join(m + "x" for m in moments), body
            )
        loads.append(ExternalLoad(f"{body}={stem}", body, force=f"{stem}_v", point=point, torque=moment))
    return ExternalLoads(tuple(loads), "", Path(path))


def plate_table(recording: C3d, turn: Float[np.ndarray, "3 3"] | None = None) -> Table:
    """Force plates of a C3D file as a table: `plate1_vx ..` N, `plate1_px ..` (zero: moments are about the origin),
    `plate1_mx ..` N m on the clock of the channels, in the model's axes (`turn`: model from laboratory).

    Raises:
        SignalError: no plates.
    """
    if not recording.plates:
        raise SignalError("the C3D file has no force plates. Give the loads with --grf FILE, or leave --grf-body out.")
    rotation = np.eye(3) if turn is None else turn
    names, columns = [], []
    for number, load in enumerate(recording.loads(), 1):
        for part, values in (("v", load.force), ("p", np.zeros_like(load.force)), ("m", load.moment)):
            names += [f"plate{number}_{part}{axis}" for axis in "xyz"]
            columns.append(values @ rotation.T)
    return Table(tuple(names), recording.analog_time, np.hstack(columns), in_degrees=False)


def world_loads(
    model: BodyModel,
    dynamics: Dynamics,
    time: Float[np.ndarray, " time"],
    q: Float[np.ndarray, "time nq"],
    loads: ExternalLoads,
    table: Table,
) -> WorldLoads:
    """Loads at the times of the motion, in the world.

    Raises:
        UnknownNameError: a body the model does not have. FormatError: columns that are not there.
        SignalError: loads that do not cover the motion.
    """
    known = {b.name for b in model.bodies} | {s.name for s in model.sites}
    for load in loads.loads:
        if load.body not in known:
            raise unknown_name(f"body of model {model.name!r}", load.body, known)
    grounded = model
    if "ground" not in known:
        grounded = replace(model, sites=(*model.sites, Site("ground", -1)))
    zeros = np.zeros(q.shape)  # rates do not enter
    motion = OpenSimMotion(time, q, zeros, zeros)
    flat = load_wrenches(OsimModel(grounded, ()), motion, loads, table)
    per_body = flat.reshape(len(time), -1, 6)
    pushed = tuple(int(i) for i in np.flatnonzero(np.abs(per_body).max((0, 2)) > 0))
    rotation, origin = _frames(model, dynamics, q, pushed)
    force = np.einsum("btij,tbj->tbi", rotation, per_body[:, list(pushed), :3])
    moment = np.einsum("btij,tbj->tbi", rotation, per_body[:, list(pushed), 3:])
    moment = moment + np.cross(np.moveaxis(origin, 0, 1), force)
    return WorldLoads(pushed, np.concatenate([force, moment], axis=2))


def body_wrenches(
    model: BodyModel, dynamics: Dynamics, q: Float[np.ndarray, "time nq"], loads: WorldLoads
) -> Float[np.ndarray, "time six_per_body"]:
    """The loads as `Dynamics.rnea` takes them at these poses: per body in its axes, moment about its origin."""
    wrenches = np.zeros((len(model.bodies), 6, len(q)))  # in memory as the algorithms take them
    if loads.bodies:
        rotation, origin = _frames(model, dynamics, q, loads.bodies)
        force, moment = loads.wrench[..., :3], loads.wrench[..., 3:]
        about = moment - np.cross(np.moveaxis(origin, 0, 1), force)
        for part, values in ((slice(0, 3), force), (slice(3, 6), about)):
            wrenches[list(loads.bodies), part] = np.einsum("btji,tbj->bit", rotation, values)
    return wrenches.reshape(-1, len(q)).T


def _frames(
    model: BodyModel, dynamics: Dynamics, q: np.ndarray, bodies: tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """Rotations [bodies, T, 3, 3] and origins [bodies, T, 3] m in the world."""
    if not bodies:
        return np.zeros((0, len(q), 3, 3)), np.zeros((0, len(q), 3))
    rows = torch.from_numpy(np.ascontiguousarray(q.T))
    frames = dynamics.frames(rows, [model.bodies[i].name for i in bodies])
    return np.moveaxis(frames.rotation.numpy(), -1, 1), np.moveaxis(frames.translation.numpy(), -1, 1)
