"""Answers of neighbouring steps that belong together: better ones passed on along time, turns of angles without jumps.

Three angles about crossing axes reach one orientation in two ways and any number of turns, at the same cost. Which of
them a step finds is chance; along a recording they must not change.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from invdyn.bodies.ik_levenberg import Arrived, minimise
from invdyn.bodies.ik_program import Independent
from invdyn.bodies.ik_tasks import Objective

__all__ = ["chain", "exchanged", "joined"]

GAIN = 1e-6
"""Another answer counts as better when it lowers the cost by this share, and as good when it does not raise it so."""
SAME = 1e-3
"""Answers of a key step count as equally good when their costs differ by no more than this share."""
JUMP = 1.0
"""rad or m between neighbouring steps: looked at for a branch that joins better (our choice)."""


def chain(
    moving: Independent,
    posture: Float[Tensor, "nq 1"],
    answers: Float[Tensor, "nq tries keys"],
    cost: Float[Tensor, "tries keys"],
) -> Float[Tensor, "nq keys"]:
    """One answer per key step: of the good ones the nearest to the posture, then the nearest to those beside it."""
    keys = cost.shape[1]
    good = cost <= cost.min(0).values * (1 + SAME) + 1e-18

    def distance(key: int, other: Tensor) -> Tensor:
        away = (moving.values(answers[:, :, key]) - moving.values(other)).nan_to_num().square().sum(0)
        return away.where(good[:, key], torch.inf)

    away = torch.stack([distance(k, posture) for k in range(keys)], 1)
    first = int(away.amin(0).argmin())
    chosen = answers[:, 0].clone()
    chosen[:, first] = answers[:, away[:, first].argmin(), first]
    for side in (range(first + 1, keys), range(first - 1, -1, -1)):
        before = first
        for k in side:
            chosen[:, k] = answers[:, distance(k, chosen[:, before : before + 1]).argmin(), k]
            before = k
    return chosen


def exchanged(objective: Objective, found: Arrived, limits: bool, rounds: int) -> Arrived:
    """Begin again at the neighbours' answers, while that finds something better; improvements run on along time."""
    steps = found.q.shape[1]
    fresh = torch.ones(steps, dtype=torch.bool)
    for _ in range(2 * steps):
        new = fresh.nonzero()[:, 0]
        after, before = new[new + 1 < steps], new[new > 0]
        to, origin = torch.cat([after + 1, before - 1]), torch.cat([after, before])
        if not len(to):
            break
        tried = minimise(objective, found.q[:, origin], to, limits=limits, rounds=rounds)
        fresh = torch.zeros(steps, dtype=torch.bool)
        for i in torch.argsort(tried.cost, descending=True).tolist():  # the best of both comes last
            t = int(to[i])
            if tried.cost[i] < found.cost[t] * (1 - GAIN) - 1e-18:
                _take(found, t, tried, i)
                fresh[t] = True
    return found


def joined(objective: Objective, found: Arrived, posture: Float[Tensor, "nq 1"], limits: bool, rounds: int) -> Arrived:
    """Where neighbours lie far apart: the answer that is as good and nearer, from the step nearest the posture on."""
    moving, steps = objective.moving, found.q.shape[1]
    anchor = int((moving.values(found.q) - moving.values(posture)).nan_to_num().square().sum(0).argmin())
    settled = torch.zeros(steps, dtype=torch.bool)
    inward = torch.where(torch.arange(steps) > anchor, -1, 1)
    for _ in range(2 * steps):
        values = moving.values(found.q).nan_to_num()
        jumps = values.diff(dim=1).abs().amax(0) > JUMP
        far = torch.cat([jumps[:anchor], torch.zeros(1, dtype=torch.bool), jumps[anchor:]]) & ~settled
        to = far.nonzero()[:, 0]
        if not len(to):
            break
        origin = to + inward[to]
        tried = minimise(objective, found.q[:, origin], to, limits=limits, rounds=rounds)
        gap = (moving.values(tried.q).nan_to_num() - values[:, origin]).abs().amax(0)
        take = (tried.cost <= found.cost[to] * (1 + GAIN) + 1e-18) & (
            gap < 0.5 * (values[:, to] - values[:, origin]).abs().amax(0)
        )
        settled[to] = True
        for i in take.nonzero()[:, 0].tolist():
            t = int(to[i])
            _take(found, t, tried, i)
            if t != anchor and 0 <= t - int(inward[t]) < steps:
                settled[t - int(inward[t])] = False
    return found


def _take(found: Arrived, t: int, tried: Arrived, i: int) -> None:
    found.q[:, t], found.cost[t] = tried.q[:, i], tried.cost[i]
    found.converged[t], found.rounds[t] = tried.converged[i], tried.rounds[i]
