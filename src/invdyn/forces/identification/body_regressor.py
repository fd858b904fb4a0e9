"""The regressor of a `BodyModel` as identification asks for it: numpy, time first."""

from __future__ import annotations

import numpy as np
import torch

from invdyn.bodies.dynamics import Dynamics
from invdyn.bodies.model import BodyModel
from invdyn.forces.identification.equations import Regressor

__all__ = ["body_regressor"]


def body_regressor(model: BodyModel) -> Regressor:
    """q [T, nq], qd [T, nv], qdd [T, nv] -> Y [T, nv, 10 nbody], tau = Y pi, armature and friction left out.

    The parameters are those of `BodyModel.parameters`: `model.with_parameters(estimate.inertial)` is the model found.
    """
    dynamics = Dynamics(model)

    def regressor(q: np.ndarray, qd: np.ndarray, qdd: np.ndarray) -> np.ndarray:
        motion = (torch.from_numpy(np.ascontiguousarray(x, dtype=np.float64)).T for x in (q, qd, qdd))
        return dynamics.regressor(*motion).permute(2, 0, 1).numpy()

    return regressor
