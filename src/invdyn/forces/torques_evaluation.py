"""Generalised forces of a motion under loads that stand in the world, and how they change with the motion."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from invdyn.bodies.dynamics import Dynamics
from invdyn.bodies.manifold import integrate, plain_numbers
from invdyn.bodies.model import BodyModel, Coordinate
from invdyn.forces.torques_loads import WorldLoads, body_wrenches
from invdyn.forces.torques_smoothing import SmoothMotion, follow_couplings

__all__ = ["Evaluation", "force_slopes", "forces_std", "passive_forces"]

STEP = 1e-5
"""rad or m that positions are moved by for central differences; those of velocity and acceleration are exact."""

SLIDES = 0.01
"""rad/s or m/s about which dry friction changes its sign (our choice)."""

BLOCK = 2048
"""Steps whose derivatives are held at a time: enough that calls cost little beside what they compute."""


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
        self,
        q: Float[np.ndarray, "time nq"],
        v: Float[np.ndarray, "time nv"],
        a: Float[np.ndarray, "time nv"],
        wrenches: Float[np.ndarray, "time six_per_body"] | None = None,
    ) -> Float[np.ndarray, "time nv"]:
        """[T, nv] N m or N: what everything but the loads must provide (springs and dampers of joints included).

        Args:
            wrenches: `self.wrenches(q)`, where they are at hand.
        """
        wrenches = self.wrenches(q) if wrenches is None else wrenches
        tau = self.dynamics.rnea(last(q), last(v), last(a), wrenches=None if wrenches is None else last(wrenches))
        return tau.numpy().T


def last(x: np.ndarray) -> Tensor:
    """Batch last, contiguous; nothing is copied of an array that lies so in memory (Fortran's order)."""
    return torch.from_numpy(np.ascontiguousarray(x.T))


def passive_forces(model: BodyModel, motion: SmoothMotion) -> Float[np.ndarray, "time nv"]:
    """What springs, dampers and dry friction of the joints do, N m or N: -k (q - rest) - d v - f tanh(v / 0.01).

    The tanh (per `SLIDES`) keeps noise about standstill from flipping the sign.
    """
    number = dict(zip(*reversed(plain_numbers(model))))
    found = np.zeros(motion.v.shape)
    for k, c in enumerate(model.coordinates):
        found[:, k] -= c.damping * motion.v[:, k] + c.friction * np.tanh(motion.v[:, k] / SLIDES)
        if c.stiffness:
            found[:, k] -= c.stiffness * (motion.q[:, number[k]] - c.rest)
    return found


def passive_slopes(model: BodyModel, motion: SmoothMotion, number: int) -> Float[np.ndarray, "time nv 3"]:
    """Of `passive_forces`, in displacement, velocity and acceleration of a velocity number, coupled ones following.

    A coupled coordinate x(q) moves by x' and, while q moves, gains the speed x'' v: its spring errs with the first, its
    damper and friction with both.
    """
    found = np.zeros((*motion.v.shape, 3))
    shift, speed = follower_slopes(model, motion, number)
    for k in np.flatnonzero((shift != 0).any(0) | (speed != 0).any(0)):
        c = model.coordinates[k]
        drag = c.damping + c.friction / SLIDES / np.cosh(np.clip(motion.v[:, k] / SLIDES, -300, 300)) ** 2
        found[:, k, 0] = -c.stiffness * shift[:, k] - drag * speed[:, k]
        found[:, k, 1] = -drag * shift[:, k]
    return found


def is_passive(c: Coordinate) -> bool:
    """Whether the joint pulls by itself."""
    return bool(c.stiffness or c.damping or c.friction)


def follower_slopes(
    model: BodyModel, motion: SmoothMotion, number: int
) -> tuple[Float[np.ndarray, "time nv"], Float[np.ndarray, "time nv"]]:
    """d displacement and d velocity of every velocity number in the displacement of one.

    Of coupled ones those that have springs, dampers or friction; 0 for others.
    """
    shift, speed = np.zeros(motion.v.shape), np.zeros(motion.v.shape)
    shift[:, number] = 1.0
    at_q, at_v = plain_numbers(model) if model.couplings else ([], [])
    place = dict(zip(at_v, at_q))
    followers = [(k, place[k]) for k in at_v if place[k] in model.couplings and is_passive(model.coordinates[k])]
    if number in place and followers:
        ends = []
        for by in (STEP, -STEP):
            q, v, a = motion.q.copy(), motion.v.copy(), motion.a.copy()
            q[:, place[number]] += by
            follow_couplings(model, q, v, a)
            ends.append((q, v))
        for k, i in followers:
            shift[:, k] = (ends[0][0][:, i] - ends[1][0][:, i]) / (2 * STEP)
            speed[:, k] = (ends[0][1][:, k] - ends[1][1][:, k]) / (2 * STEP)
    return shift, speed


def forces_std(
    evaluation: Evaluation, motion: SmoothMotion, tell: Callable[[float], None] = lambda share: None
) -> Float[np.ndarray, "time nv"]:
    """[T, nv] N m or N, standard deviation of the torques from the noise of the recorded positions, to first order.

    var(tau_i) = sum_kl r_kl h_ik . h_il, h_ik = L_k' g_ik, g_ik = d tau_i / d(displacement, velocity, acceleration) of
    number k, L_k L_k' the smoother's covariance of number k, and r_kl the noise's correlation between numbers: what the
    smoother leaves of two numbers' noise is as correlated as the noise itself where it treats them alike, which is our
    approximation where it does not. Derivatives are of everything that depends on the motion: the dynamics, loads that
    stand in the world, coupled coordinates, and what the joints' own springs, dampers and friction give (coupled joints
    included). What the model itself is uncertain of, and the loads, is not in it.

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
    for k, slope in zip(noisy, force_slopes(evaluation, motion, noisy.tolist())):
        own = slope - passive_slopes(evaluation.model, motion, int(k))
        pulls.append(own @ _roots(spread[:, k]))
    whole = np.stack(pulls)  # [noisy, T, nv, 3]
    mixed = whole
    if motion.correlation is not None:
        mixed = np.tensordot(motion.correlation[np.ix_(noisy, noisy)], whole, axes=1)
    return np.sqrt(np.maximum((whole * mixed).sum(axis=(0, 3)), 0.0))


def force_slopes(
    evaluation: Evaluation, motion: SmoothMotion, numbers: Sequence[int]
) -> Iterator[Float[np.ndarray, "time nv 3"]]:
    """For each of these velocity numbers d tau / d(displacement, velocity, acceleration), coupled numbers following."""
    motion = replace(motion, q=np.asfortranarray(motion.q))
    wrenches = evaluation.wrenches(motion.q)
    still = evaluation.forces(motion.q, motion.v, motion.a, wrenches)

    def moved(k: int, which: int, by: float) -> Float[np.ndarray, "time nv"]:
        q, v, a = (x.copy(order="F") for x in (motion.q, motion.v, motion.a))
        if which == 0:
            step = np.zeros(v.shape, order="F")
            step[:, k] = by
            q = integrate(evaluation.model, last(q), last(step)).numpy().T
        else:
            (v if which == 1 else a)[:, k] += by
        follow_couplings(evaluation.model, q, v, a)
        return evaluation.forces(q, v, a, None if which == 0 else wrenches)

    for k in numbers:
        yield np.stack(
            [
                (moved(k, 0, STEP) - moved(k, 0, -STEP)) / (2 * STEP),
                (moved(k, 1, 1.0) - moved(k, 1, -1.0)) / 2,  # forces are of second degree in velocities,
                moved(k, 2, 1.0) - still,  # of first in accelerations
            ],
            axis=-1,
        )


def _roots(spread: Float[np.ndarray, "time 3 3"]) -> Float[np.ndarray, "time 3 3"]:
    """L with L L' = spread: of the correlations, for displacement and acceleration differ by many orders."""
    size = np.sqrt(np.maximum(np.einsum("taa->ta", spread), 1e-300))
    values, vectors = np.linalg.eigh(spread / size[:, :, None] / size[:, None, :])
    root = (vectors * np.sqrt(np.maximum(values, 0.0))[:, None, :]) @ vectors.transpose(0, 2, 1)
    return np.asarray(size[:, :, None] * root)
