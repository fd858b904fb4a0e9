"""OpenSim's inverse dynamics: model, coordinates and external loads in, generalised forces out, as its tool gives them.

Same steps as InverseDynamicsTool of OpenSim 4: coordinates filtered and differentiated by `smooth_opensim`, loads
interpolated by natural cubic splines, forces M(q) a + c + g minus those of loads and springs; constraints are ignored,
which leaves each coupled coordinate its own force. What differs on purpose: coupled coordinates follow their coupling
(OpenSim takes whatever the table says, or the default), and joints are exact: Ball and Free (see `osim_joints`), and
custom joints in which one coordinate turns about several axes. To those Simbody gives an angular acceleration that the
motion does not have (FunctionBasedImpl::buildHdot turns the second axis with the whole angular velocity): with the
knees of Rajagopal's model, walking, 0.3 N and 0.3 N m rms at the pelvis and 0.1 N m at the knee.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float64

from invdyn.bodies.dynamics import Dynamics
from invdyn.bodies.osim import OsimModel, read_opensim
from invdyn.episodes.formats.external_loads import ExternalLoads, read_external_loads
from invdyn.episodes.formats.opensim import angle_unit, coordinate_name
from invdyn.episodes.formats.opensim_tables import Table, read_table
from invdyn.episodes.smooth_opensim import OpenSimMotion, natural_spline, opensim_motion
from invdyn.errors import SignalError
from invdyn.forces.torques_smoothing import follow_couplings
from invdyn.kernels.function import Backend

__all__ = ["OpenSimProblem", "coordinate_motion", "load_wrenches", "opensim_problem"]

log = logging.getLogger(__name__)

Couplings = Literal["model", "table"]
FAR, FAINT = 10.0, 1.0
"""m from the body beyond which a load is reported, and N below which it does not count (points of no load are wild)."""
DISAGREES = 1e-3
"""rad or m; coupled columns further from their coupling are reported."""


@dataclass(frozen=True)
class OpenSimProblem:
    """Everything the generalised forces follow from.

    Args:
        model: the model.
        motion: positions (rad, m), velocities and accelerations, [time, coordinate] in the model's order.
        wrenches: [time, 6 nbody] external force (N) and moment about the body's origin (N m) in the body's axes.
    """

    model: OsimModel
    motion: OpenSimMotion
    wrenches: Float64[np.ndarray, "time six_per_body"]

    def forces(self, backend: Backend = "auto") -> Float64[np.ndarray, "time coordinate"]:
        """Generalised forces, N m or N, one per coordinate: what actuators (muscles) have to give."""
        q, v, a = (torch.from_numpy(np.ascontiguousarray(x.T)) for x in (self.motion.q, self.motion.v, self.motion.a))
        wrenches = torch.from_numpy(np.ascontiguousarray(self.wrenches.T))
        tau = Dynamics(self.model.bodies, backend).rnea(q, v, a, wrenches=wrenches).numpy().T
        for k, c in enumerate(self.model.bodies.coordinates):
            if c.stiffness or c.damping:
                tau = tau.copy()
                tau[:, k] += c.stiffness * (self.motion.q[:, k] - c.rest) + c.damping * self.motion.v[:, k]
        return np.ascontiguousarray(tau)

    def table(self, backend: Backend = "auto") -> Table:
        """`forces` as OpenSim writes them: `<coordinate>_moment` of rotations, `_force` of all others."""
        kinds = {"rotational": "moment"}
        names = tuple(f"{c.name}_{kinds.get(c.motion, 'force')}" for c in self.model.coordinates)
        title = "Inverse Dynamics Generalized Forces"
        return Table(names, self.motion.time, self.forces(backend), in_degrees=False, title=title)


def opensim_problem(
    model: Path | str,
    coordinates: Path | str,
    loads: Path | str | None = None,
    *,
    at: Float64[np.ndarray, " time"] | None = None,
    cutoff: float | None = 6.0,
    units: str | None = None,
    couplings: Couplings = "model",
) -> OpenSimProblem:
    """Read an inverse dynamics problem from OpenSim's files.

    Args:
        model: .osim.
        coordinates: .mot or .sto; columns are coordinates, by name or path. Columns the model does not have are left
            out, coordinates without a column keep their default value; both are logged.
        loads: external loads (.xml), its table beside it; None for none.
        at: times wanted, s; None: those of the coordinates.
        cutoff: Hz of the low-pass on coordinates; None for none.
        units: `deg` or `rad`, for tables that do not say it.
        couplings: `model`: coupled coordinates follow the model's couplings; `table`: they are read like all others.

    Raises:
        FormatError: a broken file; see `read_opensim`, `read_table`, `read_external_loads`, `angle_unit`.
        SignalError: no coordinate among the columns, missing values, too few steps, loads that do not cover `at`.
        UnknownNameError: a load on a body that the model does not have.
    """
    read = read_opensim(model)
    motion = coordinate_motion(read, read_table(coordinates), coordinates, at, cutoff, units, couplings)
    wrenches = np.zeros((len(motion.time), 6 * len(read.bodies.bodies)))
    if loads is not None:
        told = read_external_loads(loads)
        wrenches = load_wrenches(read, motion, told, read_table(told.table_path))
    return OpenSimProblem(read, motion, wrenches)


def coordinate_motion(
    model: OsimModel,
    table: Table,
    path: Path | str = "table",
    at: Float64[np.ndarray, " time"] | None = None,
    cutoff: float | None = 6.0,
    units: str | None = None,
    couplings: Couplings = "model",
) -> OpenSimMotion:
    """Positions, velocities and accelerations of all coordinates out of a table; see `opensim_problem`.

    Degrees are converted for rotational coordinates only, as in OpenSim; coupled ones stand in rad.
    """
    columns = {coordinate_name(n): k for k, n in enumerate(table.names) if not n.endswith("/speed")}
    known = [c for c in model.coordinates if c.name in columns]
    if not known or table.width != 1:
        raise SignalError(
            f"{path}: none of its {len(table.names)} columns is a coordinate of model {model.bodies.name!r}; "
            f"expected columns such as {model.coordinates[0].name!r}. Pass the table that goes with the model."
        )
    scale = np.pi / 180 if angle_unit(table, path, units) == "deg" else 1.0
    factors = np.array([scale if c.motion == "rotational" else 1.0 for c in known])
    values = table.values[:, [columns[c.name] for c in known]] * factors
    found = opensim_motion(table.time, values, at, cutoff)
    steps, nq = len(found.time), len(model.coordinates)
    q, v, a = np.tile(model.defaults, (steps, 1)), np.zeros((steps, nq)), np.zeros((steps, nq))
    where = [model.coordinates.index(c) for c in known]
    q[:, where], v[:, where], a[:, where] = found.q, found.v, found.a
    driven = model.bodies.couplings if couplings == "model" else {}
    lost = [c.name for k, c in enumerate(model.coordinates) if c.name not in columns and k not in driven]
    if lost:
        log.warning("%s: no column for %s; they keep the model's default.", path, ", ".join(lost))
    told = q.copy()
    if driven:
        follow_couplings(model.bodies, q, v, a)
    for k in driven:
        off = float(np.abs(told[:, k] - q[:, k]).max())
        if model.coordinates[k].name in columns and off > DISAGREES:
            name = model.coordinates[k].name
            log.warning("%s: %s is up to %.3g off its coupling, which is taken instead.", path, name, off)
    return OpenSimMotion(found.time, q, v, a)


def load_wrenches(
    model: OsimModel, motion: OpenSimMotion, loads: ExternalLoads, table: Table, backend: Backend = "eager"
) -> Float64[np.ndarray, "time six_per_body"]:
    """External loads as wrenches on the bodies of the tree.

    Args:
        model: the model.
        motion: where the bodies are.
        loads: which columns push what.
        table: the columns; splined to the times of `motion`.
        backend: of the kinematics.

    Returns:
        Per body force (N), moment about the body's origin (N m), both in the body's axes.

    Raises:
        SignalError: times outside the table by more than one of its steps.
        FormatError, UnknownNameError: columns or bodies that are not there.
    """
    tree = model.bodies
    acting = [load for load in loads.loads if load.applies]
    wrenches = np.zeros((len(motion.time), 6 * len(tree.bodies)))
    sites = {n: tree.site(n) for load in acting for n in (load.body, load.force_frame, load.point_frame)}
    names = [*dict.fromkeys([*sites, *(tree.bodies[s.body].name for s in sites.values() if s.body >= 0)])]
    moving = [n for n in names if tree.site(n).body >= 0]
    frames = Dynamics(tree, backend).frames(torch.from_numpy(np.ascontiguousarray(motion.q.T)), moving)
    rotation = {n: np.moveaxis(frames.rotation[k].numpy(), -1, 0) for k, n in enumerate(moving)}
    origin = {n: frames.translation[k].numpy().T for k, n in enumerate(moving)}
    for n in set(names) - set(moving):  # fixed in the ground
        where = tree.site(n).placement
        rotation[n] = np.tile(np.asarray(where.rotation), (len(motion.time), 1, 1))
        origin[n] = np.tile(np.asarray(where.translation), (len(motion.time), 1))
    for load in acting:
        applied = load.over(table, loads.path)
        force, point, torque = (
            None if x is None else _splined(table.time, x, motion.time, loads.path)
            for x in (applied.force, applied.point, applied.torque)
        )
        push = np.zeros_like(origin[load.body]) if force is None else _turned(rotation[load.force_frame], force)
        moment = np.zeros_like(push) if torque is None else _turned(rotation[load.force_frame], torque)
        at = origin[load.body]
        if point is not None:
            at = origin[load.point_frame] + _turned(rotation[load.point_frame], point)
            pushing = np.linalg.norm(push, axis=1) > FAINT
            away = float(np.median(np.linalg.norm(at - origin[load.body], axis=1)[pushing])) if pushing.any() else 0.0
            if point.any() and away > FAR:
                log.warning(
                    "%s: load %r acts %.4g m from %r, as its points are taken as m. Convert them if they are not.",
                    loads.path,
                    load.name,
                    away,
                    load.body,
                )
        index = sites[load.body].body
        if index >= 0:
            body = tree.bodies[index].name
            back = np.swapaxes(rotation[body], 1, 2)
            about = moment + np.cross(at - origin[body], push)
            wrenches[:, 6 * index : 6 * index + 6] += np.hstack([_turned(back, push), _turned(back, about)])
    return wrenches


def _turned(
    rotation: Float64[np.ndarray, "time 3 3"], vectors: Float64[np.ndarray, "time 3"]
) -> Float64[np.ndarray, "time 3"]:
    return np.einsum("tij,tj->ti", rotation, vectors)


def _splined(
    time: Float64[np.ndarray, " row"], values: Float64[np.ndarray, "row 3"], at: np.ndarray, path: Path
) -> Float64[np.ndarray, "time 3"]:
    """A column of an external force at other times, as ExternalForce.cpp has it: a natural cubic spline, straight
    lines through two or three rows, a constant through one."""
    if len(time) == 1:
        return np.tile(values[0], (len(at), 1))
    step = float(np.diff(time).max())
    if at[0] < time[0] - step or at[-1] > time[-1] + step:
        first, last = max(at[0], time[0]), min(at[-1], time[-1])
        remedy = f"Cut the motion (span={first:.6g}, {last:.6g})." if first < last else "Are the clocks the same?"
        raise SignalError(
            f"{path}: loads from {time[0]:.6g} to {time[-1]:.6g} s, motion from {at[0]:.6g} to {at[-1]:.6g} s; "
            f"expected loads at every step. {remedy}"
        )
    return natural_spline(time, values, 3 if len(time) > 3 else 1)(at)
