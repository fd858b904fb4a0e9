"""The unactuated root: which rows of the forces are its, and the wrench they stand for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float

from invdyn.bodies.dynamics import Dynamics
from invdyn.bodies.kinematics import path_to
from invdyn.bodies.model import NV, BodyModel
from invdyn.forces.torques_evaluation import last

__all__ = ["Root", "find_root", "root_wrench"]


@dataclass(frozen=True)
class Root:
    """The body that six numbers carry through the world.

    Args:
        body: its index. rows: its six velocity numbers.
    """

    body: int
    rows: tuple[int, ...]


def find_root(model: BodyModel) -> Root | None:
    """The body that carries the model through the world; None where the model stands on the ground.

    Objects may lie beside a robot, each on a free joint of its own. What is meant is the tree with the most bodies that
    have mass, of equals the heaviest: the cube before an arm that is bolted down is not the arm's root. In that tree it
    is the first body with six velocity numbers between it and the world: a free joint, or three displacements and three
    rotations with no mass between them (OpenSim's pelvis; not an arm with six joints, nor a gantry with a wrist).
    """
    tops = [path_to(model, i)[0] for i in range(len(model.bodies))]

    def size(top: int) -> tuple[int, float]:
        masses = [b.inertia.mass for b, t in zip(model.bodies, tops) if t == top and b.inertia.mass > 0]
        return len(masses), sum(masses)

    largest = max(dict.fromkeys(tops), key=size, default=-1)
    for i in (i for i, top in enumerate(tops) if top == largest):
        path = [model.bodies[k] for k in path_to(model, i)]
        rows: set[int] = set()
        for joint in (b.joint for b in path):
            if joint.drive is not None:
                rows |= {t.v for t in joint.drive.terms if t.v >= 0}
            else:
                rows |= set(range(joint.v, joint.v + NV[joint.kind]))
        turns = sum(model.coordinates[k].rotational for k in rows)
        together = not any(b.inertia.mass > 0 for b in path[:-1])
        if len(rows) == 6 and (path[0].joint.kind == "free" or (turns == 3 and together)):
            return Root(i, tuple(sorted(rows)))
    return None


def root_wrench(
    model: BodyModel,
    dynamics: Dynamics,
    root: Root,
    q: Float[np.ndarray, "time nq"],
    tau: Float[np.ndarray, "time nv"],
) -> Float[np.ndarray, "time 6"]:
    """Force (N) and moment about the root body's origin (N m), world axes, of the root's six generalised forces.

    J' w = tau over the six rows, J the Jacobian of the root's frame. Near a singular pose of a root of six single
    coordinates (its second rotation at 90 degrees) the moment is ill-determined.
    """
    jacobian = dynamics.jacobian(last(q), model.bodies[root.body].name)[:, list(root.rows)]
    transposed = torch.movedim(jacobian, -1, 0).transpose(1, 2)
    rows = torch.from_numpy(np.ascontiguousarray(tau[:, list(root.rows)]))
    return np.asarray(torch.linalg.solve(transposed, rows[:, :, None])[..., 0].numpy())
