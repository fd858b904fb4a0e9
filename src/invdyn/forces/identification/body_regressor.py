"""The regressor of a `BodyModel` as identification asks for it: numpy, time first; of the joints that moved."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float

from invdyn.bodies.dynamics import Dynamics
from invdyn.bodies.manifold import plain_numbers
from invdyn.bodies.model import BodyModel
from invdyn.errors import ConfigError
from invdyn.forces.identification.equations import Regressor

__all__ = ["body_regressor", "check_joints", "moving_regressor"]


def body_regressor(model: BodyModel) -> Regressor:
    """q [T, nq], qd [T, nv], qdd [T, nv] -> Y [T, nv, 10 nbody], tau = Y pi, armature and friction left out.

    The parameters are those of `BodyModel.parameters`: `model.with_parameters(estimate.inertial)` is the model found.
    """
    dynamics = Dynamics(model)

    def regressor(q: np.ndarray, qd: np.ndarray, qdd: np.ndarray) -> np.ndarray:
        motion = (torch.from_numpy(np.ascontiguousarray(x, dtype=np.float64)).T for x in (q, qd, qdd))
        return dynamics.regressor(*motion).permute(2, 0, 1).numpy()

    return regressor


def check_joints(model: BodyModel) -> None:
    """Refuse a model whose joints' torques are not measured one by one.

    Raises:
        ConfigError: no joints, free or spherical joints, or coupled coordinates.
    """
    if not model.coordinates:
        raise ConfigError(f"identification: model {model.name!r} has no joint that moves. Pass a model of an arm.")
    for body in model.bodies:
        if body.joint.kind in ("free", "spherical"):
            raise ConfigError(
                f"identification: joint {body.joint.name!r} of model {model.name!r} is {body.joint.kind}; expected "
                "joints with one torque each. Pass a model that stands on the ground, without loose bodies."
            )
    if model.couplings:
        raise ConfigError(
            f"identification: model {model.name!r} has coupled coordinates, whose torques are not told apart. "
            "Identify the part without them."
        )


def moving_regressor(model: BodyModel, moving: Sequence[int], still: Float[np.ndarray, " nq"]) -> Regressor:
    """The regressor of some coordinates, the others held where they are.

    Args:
        model: of one-dof joints.
        moving: their velocity numbers, k of them.
        still: all positions, rad or m; those of moving coordinates do not matter.

    Returns:
        q, qd, qdd [T, k] -> Y [T, k, 10 nbody].

    Raises:
        ConfigError: as `check_joints`.
    """
    check_joints(model)
    whole = body_regressor(model)
    rows, number = list(moving), dict(zip(*reversed(plain_numbers(model))))
    at = [number[k] for k in rows]

    def regressor(q: np.ndarray, qd: np.ndarray, qdd: np.ndarray) -> np.ndarray:
        position = np.tile(np.asarray(still, float), (len(q), 1))
        position[:, at] = q
        rates = np.zeros((2, len(q), model.nv))
        rates[:, :, rows] = qd, qdd
        return whole(position, *rates)[:, rows]

    return regressor
