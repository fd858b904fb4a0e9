"""What OpenSim's published results were computed with, where that is not what its files say today.

Each function takes a problem as the files give it and returns it as it was when the result was written; found in the
history of the repository opensim-org/opensim-core and in the source of Simbody. With them every coordinate agrees.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import torch

from invdyn.bodies.dynamics import Dynamics
from invdyn.bodies.model import Inertia
from invdyn.episodes.formats.external_loads import read_external_loads
from invdyn.episodes.formats.opensim_tables import Table, read_table
from invdyn.episodes.smooth_opensim import natural_spline
from invdyn.forces.opensim_problem import OpenSimProblem

MOMENTS_2011 = {
    "pelvis": (0.09929249, 0.08412817, 0.05592446),
    "femur": (0.12933136, 0.03390240, 0.13638229),
    "tibia": (0.04868036, 0.00492599, 0.04935648),
    "talus": (0.00096588, 0.00096588, 0.00096588),
    "calcn": (0.00135223, 0.00376693, 0.00396011),
    "toes": (0.00009659, 0.00009659, 0.00009659),
    "torso": (1.42419038, 0.72972250, 1.38256094),
}
"""kg m^2, of subject01 in April 2011 (subject01_simbody.osim beside the result): scaled by mass but not by length. The
toes' third moment was 0.00096588, more than the other two together; that OpenSim put the first in place of all."""


def with_inertias_of_2011(problem: OpenSimProblem) -> OpenSimProblem:
    """subject01 with the inertias its result was computed with."""
    bodies = []
    for body in problem.model.bodies.bodies:
        if body.inertia.mass:
            moments = MOMENTS_2011[body.name.split("_")[0]]
            body = dataclasses.replace(body, inertia=Inertia.of(body.inertia.mass, body.inertia.com, np.diag(moments)))
        bodies.append(body)
    tree = dataclasses.replace(problem.model.bodies, bodies=tuple(bodies))
    return dataclasses.replace(problem, model=dataclasses.replace(problem.model, bodies=tree))


def with_points_carried(problem: OpenSimProblem, coordinates: Table, loads: Path) -> OpenSimProblem:
    """Points of the ground forces fixed in the feet of a pose that was filtered otherwise.

    OpenSim of April 2011 (DynamicsTool::initializeExternalLoads) moved the points into the foot by coordinates that had
    gone through a windowed-sinc filter (order 50, 6 Hz; Signal::LowpassFIR), while the dynamics took those of the
    Butterworth filter. Today's versions apply the points in the ground.
    """
    model, tree = problem.model, problem.model.bodies
    size, time, x = len(coordinates.time) // 2, coordinates.time, coordinates.values

    def odd(y: np.ndarray) -> np.ndarray:
        return np.concatenate([2 * y[0] - y[size:0:-1], y, 2 * y[-1] - y[-2 : -size - 2 : -1]])

    time, x = odd(time), odd(x)
    step = float(np.diff(time).min())
    even = time[0] + step * np.arange(int((time[-1] - time[0]) / step + 1e-9) + 1)
    k = np.arange(-50, 51)
    taps = np.sinc(12 * step * k) * (0.54 + 0.46 * np.cos(np.pi * k / 50))
    smooth = np.stack([np.convolve(c, taps / taps.sum(), "same") for c in natural_spline(time, x, 5)(even).T], 1)
    turning = np.array([np.pi / 180 if c.motion == "rotational" else 1.0 for c in model.coordinates])
    columns = [coordinates.names.index(c.name) for c in model.coordinates]
    pose = natural_spline(even, smooth, 5)(problem.motion.time)[:, columns] * turning

    read = read_external_loads(loads)
    table = read_table(read.table_path)
    wrenches = problem.wrenches.copy()
    for load in read.loads:
        applied = load.over(table, loads)
        force, point, torque = (
            natural_spline(table.time, v, 3)(problem.motion.time)
            for v in (applied.force, applied.point, applied.torque)
            if v is not None
        )
        index = tree.site(load.body).body
        carried, origin = _frames(problem, pose, index)
        now, _ = _frames(problem, problem.motion.q, index)
        arm, push = _into(carried, point - origin), _into(now, force)
        wrenches[:, 6 * index : 6 * index + 6] = np.hstack([push, _into(now, torque) + np.cross(arm, push)])
    return dataclasses.replace(problem, wrenches=wrenches)


def foot_of_early_2024(model: Path, folder: Path) -> Path:
    """The walking model with the toes where they stood when its result was written (commit f0787670d): a weld whose
    place had been scaled. They turn on a pin at the unscaled place since November 2024."""
    text = model.read_text(encoding="utf-8")
    for side, z in (("r", ""), ("l", "-")):
        now = f"<translation>0.17879999999999999 -0.002 {z}0.00108</translation>"
        assert text.count(now) == 1, side
        text = text.replace(now, f"<translation>0.2066228289444 -0.0022341696478 {z}0.001409673008664</translation>")
    (folder / "walk.osim").write_text(text, encoding="utf-8")
    return folder / "walk.osim"


def with_simbodys_knees(problem: OpenSimProblem) -> OpenSimProblem:
    """Knees whose three rotations follow one angle, with the accelerations Simbody gives them.

    Rotations a1 a2 a3 about axes w1 w2 w3 turn w2 at the rate a1' w1 x w2. Simbody takes the whole angular velocity,
    (a1' w1 + a2' w2 + a3' w3) x w2, where one coordinate drives all three (FunctionBasedImpl::buildHdot: V1 = V when N
    is 1), so that the shank gets an angular acceleration of a2' a3' w3 x w2 that does not belong to the motion. Here
    its inertial forces are added as loads.
    """
    tree, motion = problem.model.bodies, problem.motion
    wrenches = problem.wrenches.copy()
    names = [c.name for c in problem.model.coordinates]
    for side in "rl":
        second, third = (
            next(k for k, b in enumerate(tree.bodies) if b.joint.name == f"walker_knee_{side}.rotation{n}")
            for n in (2, 3)
        )
        number, turned = names.index(f"knee_angle_{side}"), []
        for k in (second, third):
            joint = tree.bodies[k].joint
            assert joint.drive is not None
            slope = np.asarray(joint.drive.slopes(list(torch.from_numpy(motion.q.T)))[number][0])
            axis = _frames(problem, motion.q, k)[0] @ np.asarray(joint.axis)
            turned.append((slope * motion.v[:, number])[:, None] * axis)
        extra = np.cross(turned[1], turned[0])
        center = _frames(problem, motion.q, third)[1]
        below = {third}
        for k, body in enumerate(tree.bodies):
            if k in below or body.parent in below:
                below.add(k)
                rotation, origin = _frames(problem, motion.q, k)
                alpha = _into(rotation, extra)
                com = np.asarray(body.inertia.com)
                force = body.inertia.mass * (_into(rotation, np.cross(extra, origin - center)) + np.cross(alpha, com))
                moment = alpha @ np.asarray(body.inertia.about_com).T + np.cross(com, force)
                wrenches[:, 6 * k : 6 * k + 6] -= np.hstack([force, moment])
    return dataclasses.replace(problem, wrenches=wrenches)


def _frames(problem: OpenSimProblem, q: np.ndarray, index: int) -> tuple[np.ndarray, np.ndarray]:
    """Rotation [time, 3, 3] and origin [time, 3] of a body of the tree in the ground."""
    dynamics = Dynamics(problem.model.bodies, "eager")
    frames = dynamics.frames(torch.from_numpy(np.ascontiguousarray(q.T)), [problem.model.bodies.bodies[index].name])
    return np.moveaxis(frames.rotation[0].numpy(), -1, 0), frames.translation[0].numpy().T


def _into(rotation: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """Vectors of the ground in the axes of a body."""
    return np.einsum("tji,tj->ti", rotation, vectors)
