"""Generalised forces of a motion under loads that stand in the world, and how they change with the motion."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from invdyn.bodies.dynamics import Dynamics
from invdyn.bodies.manifold import integrate, plain_numbers
from invdyn.bodies.model import BodyModel
from invdyn.forces.torques_loads import WorldLoads, body_wrenches
from invdyn.forces.torques_smoothing import SmoothMotion, follow_couplings
from invdyn.training.progress import Bar

__all__ = ["Evaluation", "forces_std", "passive_forces"]

STEP = 1e-5
"""rad or m, and times one second where rates are moved: central differences, exact in velocity and acceleration."""


@dataclass(frozen=True)
class Evaluation:
    """M(q) a + c(q, v) + g(q) - J' w of a model under loads.

    Args:
        model, dynamics: the model. loads: in the world, over the steps of the motion; None for none.
    """

    model: BodyModel
    dynamics: Dynamics
    loads: WorldLoads | None = None

    def wrenches(self, q: Float[np.ndarray, "time nq"]) -> Float[np.ndarray, "time six_per_body"] | None:
        """The loads in body axes at these poses."""
        return None if self.loads is None else body_wrenches(self.model, self.dynamics, q, self.loads)

    def forces(
        self, q: Float[np.ndarray, "time nq"], v: Float[np.ndarray, "time nv"], a: Float[np.ndarray, "time nv"]
    ) -> Float[np.ndarray, "time nv"]:
        """[T, nv] N m or N: what everything but the loads must provide (springs and dampers of joints included)."""
        wrenches = self.wrenches(q)
        tau = self.dynamics.rnea(last(q), last(v), last(a), wrenches=None if wrenches is None else last(wrenches))
        return np.ascontiguousarray(tau.numpy().T)


def last(x: np.ndarray) -> Tensor:
    """Batch last, contiguous."""
    return torch.from_numpy(np.ascontiguousarray(x.T))


def passive_forces(model: BodyModel, motion: SmoothMotion) -> Float[np.ndarray, "time nv"]:
    """What springs, dampers and dry friction of the joints do, N m or N: -k (q - rest) - d v - f tanh(v / 0.01).

    The tanh (per 0.01 rad/s or m/s, our choice) keeps noise about standstill from flipping the sign.
    """
    number = dict(zip(*reversed(plain_numbers(model))))
    found = np.zeros(motion.v.shape)
    for k, c in enumerate(model.coordinates):
        found[:, k] -= c.damping * motion.v[:, k] + c.friction * np.tanh(motion.v[:, k] / 0.01)
        if c.stiffness:
            found[:, k] -= c.stiffness * (motion.q[:, number[k]] - c.rest)
    return found


def forces_std(evaluation: Evaluation, motion: SmoothMotion, bar: Bar | None = None) -> Float[np.ndarray, "time nv"]:
    """[T, nv] N m or N, standard deviation of the forces from the noise of the recorded positions, to first order.

    var(tau_i) = sum_k g_ik' C_k g_ik, g_ik = d tau_i / d(displacement, velocity, acceleration) of number k and C_k the
    smoother's covariance; numbers are recorded independently of each other. Derivatives are central differences of
    everything that depends on the motion: the dynamics, loads that stand in the world, coupled coordinates. What the
    model itself is uncertain of, and the loads, is not in it.

    Raises:
        ValueError: a motion without covariance (asked of the caller).
    """
    if motion.covariance is None:
        raise ValueError("forces_std needs a motion with covariance.")
    model = evaluation.model
    variance = np.zeros(motion.v.shape)
    for k in range(model.nv):
        spread = motion.covariance[:, k]
        if not spread.any():
            continue
        moved = [_moved(evaluation, motion, k, which) for which in range(3)]
        slope = np.stack(moved, axis=-1)  # [T, nv, 3]
        variance += np.einsum("tia,tab,tib->ti", slope, spread, slope)
        if bar is not None:
            bar.advance()
    return np.sqrt(np.maximum(variance, 0.0))


def _moved(evaluation: Evaluation, motion: SmoothMotion, k: int, which: int) -> Float[np.ndarray, "time nv"]:
    """d tau / d displacement, velocity or acceleration (0, 1, 2) of velocity number k."""
    size = STEP if which == 0 else 1.0
    sides = []
    for sign in (1.0, -1.0):
        q, v, a = motion.q.copy(), motion.v.copy(), motion.a.copy()
        if which == 0:
            step = np.zeros(v.shape)
            step[:, k] = sign * size
            q = np.ascontiguousarray(integrate(evaluation.model, last(q), last(step)).numpy().T)
        else:
            (v if which == 1 else a)[:, k] += sign * size
        follow_couplings(evaluation.model, q, v, a)
        sides.append(evaluation.forces(q, v, a))
    return (sides[0] - sides[1]) / (2 * size)
