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
    """The first body with six velocity numbers between it and the world; None where the model stands on the ground."""
    for i in range(len(model.bodies)):
        rows: list[int] = []
        for k in path_to(model, i):
            joint = model.bodies[k].joint
            if joint.drive is not None:
                rows += [t.v for t in joint.drive.terms if t.v >= 0]
            else:
                rows += range(joint.v, joint.v + NV[joint.kind])
        unique = tuple(sorted(set(rows)))
        if len(unique) == 6 and not _hinged(model, unique):
            return Root(i, unique)
        if len(unique) > 6 and i == 0:
            return None
    return None


def _hinged(model: BodyModel, rows: tuple[int, ...]) -> bool:
    """Whether these are not three rotations and three displacements: an arm with six joints."""
    turns = sum(model.coordinates[k].rotational for k in rows)
    free = any(b.joint.kind == "free" and b.joint.v == rows[0] for b in model.bodies)
    return turns != 3 and not free


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
