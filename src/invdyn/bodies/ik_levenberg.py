"""Levenberg-Marquardt for many small least-squares problems at once, with bounds, on the manifold of positions.

Each step of a trajectory is a problem with its own damping; those that have arrived leave the batch. Bounds are kept
by projection: numbers at a bound that the gradient pushes outwards do not move (Bertsekas, SIAM J. Control 20, 1982;
Marquardt 1963; stopping as in MINPACK, More 1978).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from invdyn.bodies.ik_tasks import Objective, Residual

__all__ = ["BLOCK", "Arrived", "minimise"]

FIRST, LEAST, MOST = 1e-3, 1e-10, 1e12
"""Damping, relative to the squared length of each column."""
COSINE, STEP = 1e-7, 1e-10
"""Arrived: no column of J closer to the residual than this cosine, or the next step (rad, m) shorter than this."""
BLOCK = 128
"""Problems at once: their Jacobians stay in the cache."""


@dataclass(frozen=True)
class Arrived:
    """Attributes:
    q: [nq, problems].
    cost: [problems] sum of squares.
    converged: [problems] whether the optimality conditions hold.
    rounds: [problems] evaluations used.
    """

    q: Float[Tensor, "nq problems"]
    cost: Float[Tensor, " problems"]
    converged: Bool[Tensor, " problems"]
    rounds: Int[Tensor, " problems"]


def minimise(
    objective: Objective,
    start: Float[Tensor, "nq problems"],
    steps: Int[Tensor, " problems"],
    *,
    limits: bool = True,
    rounds: int = 200,
) -> Arrived:
    """Least squares of the given steps of an objective.

    Args:
        start: where each problem starts. steps: [problems] which step of the trajectory each is.
        limits: keep the coordinates' limits.
        rounds: evaluations at most.
    """
    parts = [
        _minimise(objective, start[:, i : i + BLOCK], steps[i : i + BLOCK], limits, rounds)
        for i in range(0, max(len(steps), 1), BLOCK)
    ]
    return Arrived(
        torch.cat([p.q for p in parts], 1),
        torch.cat([p.cost for p in parts]),
        torch.cat([p.converged for p in parts]),
        torch.cat([p.rounds for p in parts]),
    )


class _Normal(NamedTuple):
    """The normal equations: cost [batch], gradient J'r [moving, batch], square J'J [batch, moving, moving]."""

    cost: Tensor
    gradient: Tensor
    square: Tensor

    @classmethod
    def of(cls, residual: Residual) -> _Normal:
        value, jacobian = residual
        slopes = jacobian.transpose(1, 2)
        return cls((value**2).sum(0), (slopes @ value.T[:, :, None])[:, :, 0].T, slopes @ jacobian)


def _minimise(objective: Objective, start: Tensor, steps: Tensor, limits: bool, rounds: int) -> Arrived:
    moving = objective.moving
    low, high = (torch.tensor(x, dtype=start.dtype)[:, None] for x in (moving.lower, moving.upper))
    if not limits:
        low, high = torch.full_like(low, -torch.inf), torch.full_like(high, torch.inf)
    q = (moving.within(start) if limits else moving.kept(start)).clone()
    cost, gradient, square = _Normal.of(objective.at(q, steps))
    damping = torch.full_like(cost, FIRST)
    converged = torch.zeros_like(cost, dtype=torch.bool)
    used = torch.ones_like(steps)
    live = torch.arange(len(steps))
    for _ in range(rounds):
        here = moving.values(q[:, live])
        still = ((here <= low) & (gradient > 0)) | ((here >= high) & (gradient < 0))  # at a bound and pushed outwards
        pull = gradient.masked_fill(still, 0.0)
        length = square.diagonal(dim1=1, dim2=2).sqrt().T  # of the columns of J, [moving, live]
        arrived = (pull.abs() <= COSINE * length * cost[live].sqrt()).all(0)
        step = _step(square, pull, still, length, damping[live])
        step = (here + step).clamp(low, high).where(~here.isnan(), step) - here.nan_to_num()
        arrived |= (step.abs() <= STEP).all(0) & (damping[live] <= FIRST)
        converged[live[arrived]] = True
        keep = ~arrived & (damping[live] < MOST)
        live, step, gradient, square = live[keep], step[:, keep], gradient[:, keep], square[keep]
        if not len(live):
            break
        trial = moving.moved(q[:, live], step)
        new = _Normal.of(objective.at(trial, steps[live]))
        better = new.cost < cost[live]
        q[:, live[better]] = trial[:, better]
        cost[live[better]] = new.cost[better]
        gradient = torch.where(better, new.gradient, gradient)
        square = torch.where(better[:, None, None], new.square, square)
        damping[live] = torch.where(better, damping[live] / 5, damping[live] * 4).clamp_min(LEAST)
        used[live] += 1
    return Arrived(q, cost, converged, used)


def _step(square: Tensor, gradient: Tensor, still: Tensor, length: Tensor, damping: Tensor) -> Tensor:
    """Solution of (J'J + damping diag(J'J)) step = -gradient, [moving, batch]; numbers that are still get zero."""
    free = (~still).T
    diagonal = torch.where((length == 0) | still, 1.0, damping * length**2).T
    matrix = square * (free[:, :, None] & free[:, None, :]) + torch.diag_embed(diagonal)
    factor = torch.linalg.cholesky_ex(matrix)[0]
    return -torch.cholesky_solve(gradient.T[:, :, None], factor)[:, :, 0].T
