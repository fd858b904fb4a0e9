"""Generalised forces of a motion under loads that stand in the world, and how they change with the motion."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from invdyn.bodies.dynamics import Dynamics
from invdyn.bodies.manifold import integrate, plain_numbers
from invdyn.bodies.model import BodyModel
from invdyn.forces.torques_loads import WorldLoads, body_wrenches
from invdyn.forces.torques_smoothing import SmoothMotion, follow_couplings

__all__ = ["Evaluation", "forces_std", "passive_forces"]

STEP = 1e-5
"""rad or m, and times one second where rates are moved: central differences, exact in velocity and acceleration."""

BLOCK = 512
"""Steps whose derivatives are held at a time."""


@dataclass(frozen=True)
class Evaluation:
    """M(q) a + c(q, v) + g(q) - J' w of a model under loads.

    Args:
        model, dynamics: the model. loads: in the world, over the steps of the motion; None for none.
    """

    model: BodyModel
    dynamics: Dynamics
    loads: WorldLoads | None = None

    def part(self, rows: slice) -> Evaluation:
        """Under the loads of some of the steps."""
        return self if self.loads is None else replace(self, loads=replace(self.loads, wrench=self.loads.wrench[rows]))

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


def forces_std(
    evaluation: Evaluation, motion: SmoothMotion, tell: Callable[[float], None] = lambda share: None
) -> Float[np.ndarray, "time nv"]:
    """[T, nv] N m or N, standard deviation of the forces from the noise of the recorded positions, to first order.

    var(tau_i) = sum_kl r_kl h_ik . h_il, h_ik = L_k' g_ik, g_ik = d tau_i / d(displacement, velocity, acceleration) of
    number k, L_k L_k' the smoother's covariance of number k, and r_kl the noise's correlation between numbers: what the
    smoother leaves of two numbers' noise is as correlated as the noise itself where it treats them alike, which is our
    approximation where it does not. Derivatives are central differences of everything that depends on the motion: the
    dynamics, loads that stand in the world, coupled coordinates. What the model itself is uncertain of, and the loads,
    is not in it.

    Args:
        tell: called with the share that is done.

    Raises:
        ValueError: a motion without covariance (asked of the caller).
    """
    if motion.covariance is None:
        raise ValueError("forces_std needs a motion with covariance.")
    steps = len(motion.time)
    found = [np.zeros((0, motion.v.shape[1]))]
    for first in range(0, steps, BLOCK):
        rows = slice(first, first + BLOCK)
        found.append(_std(evaluation.part(rows), motion.part(rows)))
        tell(min(first + BLOCK, steps) / steps)
    return np.concatenate(found)


def _std(evaluation: Evaluation, motion: SmoothMotion) -> Float[np.ndarray, "time nv"]:
    """`forces_std` of a block of steps."""
    spread = motion.covariance
    assert spread is not None
    noisy = np.flatnonzero(spread.any(axis=(0, 2, 3)))
    if not len(noisy):
        return np.zeros(motion.v.shape)
    pulls = []
    for k in noisy:
        slope = np.stack([_moved(evaluation, motion, int(k), which) for which in range(3)], axis=-1)  # [T, nv, 3]
        pulls.append(slope @ _roots(spread[:, k]))
    whole = np.stack(pulls)  # [noisy, T, nv, 3]
    mixed = whole
    if motion.correlation is not None:
        mixed = np.tensordot(motion.correlation[np.ix_(noisy, noisy)], whole, axes=1)
    return np.sqrt(np.maximum((whole * mixed).sum(axis=(0, 3)), 0.0))


def _roots(spread: Float[np.ndarray, "time 3 3"]) -> Float[np.ndarray, "time 3 3"]:
    """L with L L' = spread: of the correlations, for displacement and acceleration differ by many orders."""
    size = np.sqrt(np.maximum(np.einsum("taa->ta", spread), 1e-300))
    values, vectors = np.linalg.eigh(spread / size[:, :, None] / size[:, None, :])
    root = (vectors * np.sqrt(np.maximum(values, 0.0))[:, None, :]) @ vectors.transpose(0, 2, 1)
    return np.asarray(size[:, :, None] * root)


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
