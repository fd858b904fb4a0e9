"""Edge-of-reach states: bootstrapped from, never updated. Where they are, what they do, exactly on a chain.

Sims, Lu, Foerster, Teh, "The edge-of-reach problem in offline model-based reinforcement learning", NeurIPS 2024, arXiv
2402.12527. With starts nu_0, rollouts of k steps and a policy, s is edge-of-reach if some rollout ends in it and none
passes through it earlier (definition 1). Its value is what the net's start happened to be, and a Bellman update carries
that error one step back (proposition 1).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Float64, Int64
from torch import Tensor

from invdyn.decisions.transitions import Transitions

__all__ = ["Pessimism", "bellman_sweeps", "edge_states", "effective_penalty", "expected_least", "nearest_edge"]


def edge_states(
    following: Int64[Tensor, "state cause"], start: Bool[Tensor, " state"], length: int
) -> tuple[Bool[Tensor, " state"], Bool[Tensor, " state"]]:
    """Which states of a finite deterministic world are passed through (t < k), and which are edge-of-reach.

    Args:
        following: next state of every state and cause; every cause may be taken.
        start: where rollouts start.
        length: k.
    """
    now, within = start.clone(), torch.zeros_like(start)
    for _ in range(length):
        within = within | now
        now = torch.zeros_like(now).index_put((following[now].reshape(-1),), torch.tensor(True))
    return within, now & ~within


def bellman_sweeps(
    values: Float64[Tensor, "critic state cause"],
    following: Int64[Tensor, "state cause"],
    reward: Float64[Tensor, "state cause"],
    within: Bool[Tensor, " state"],
    gamma: float,
    sweeps: int,
) -> Float64[Tensor, "critic state cause"]:
    """Q after synchronous updates of the states passed through: Q(s, a) = r + gamma max_a' min_n Q_n(s', a')."""
    values = values.clone()
    for _ in range(sweeps):
        best = values.amin(0).amax(-1)
        values[:, within] = (reward + gamma * best[following])[within]
    return values


def expected_least(critics: int, points: int = 20_001) -> float:
    """E[min of N standard normal draws], by the trapezoid rule over its survival function.

    >>> round(expected_least(1), 12), round(expected_least(2), 12)
    (0.0, -0.564189583548)
    """
    x = torch.linspace(0, 12, points, dtype=torch.float64)
    # E[X] = int_0^inf P(X > x) dx - int_0^inf P(X < -x) dx
    above, below = torch.special.ndtr(-x) ** critics, 1 - torch.special.ndtr(x) ** critics
    return float(torch.trapezoid(above - below, x))


def nearest_edge(
    rollouts: Transitions,
    kept: Bool[Tensor, "run batch"],
    *,
    quantile: float = 0.99,
    sample: int = 2000,
    generator: torch.Generator | None = None,
) -> tuple[Transitions, Bool[Tensor, "run sample"]]:
    """Which bootstrapped states of rollouts lie off everything the rollouts passed through.

    In a continuous world no state is met twice. s' counts as edge-of-reach when it is the last of its rollout and its
    nearest neighbour among the states that steps were taken from is further away than `quantile` of those states have
    their own nearest neighbour in an independent half. Components are scaled by the standard deviation of the states
    passed through.

    Args:
        rollouts: rows of an epoch of rollouts.
        kept: which rows exist.
        quantile: of within-reach distances that counts as within reach.
        sample: rows examined and, twice as many, compared with, per run.
        generator: of the sample.

    Returns:
        The examined rows, and which of their s' are edge-of-reach.
    """
    chosen, edges = [], []
    for run in range(len(kept)):
        rows = kept[run].nonzero()[:, 0]

        def pick(count: int, rows: Tensor = rows) -> Tensor:
            return rows[torch.randint(len(rows), (count,), generator=generator)]

        passed = rollouts.observation[run]
        first, second, look = passed[pick(2 * sample)], passed[pick(2 * sample)], pick(sample)
        scale = passed[rows].std(0).clamp(min=1e-6)
        usual = torch.cdist(second / scale, first / scale).amin(1).quantile(quantile)
        away = torch.cdist(rollouts.next_observation[run][look] / scale, first / scale).amin(1) > usual
        chosen.append(look)
        edges.append(away & rollouts.last[run][look])
    return rollouts.take(torch.stack(chosen)), torch.stack(edges)


class Pessimism(NamedTuple):
    """What an ensemble says about states, per run.

    Args:
        edge, within: medians of mean_n Q - min_n Q ("effective penalty") at edge-of-reach and at other states.
        value_edge, value_within: medians of min_n Q.
        share: of the states that are edge-of-reach.
    """

    edge: Float[Tensor, " run"]
    within: Float[Tensor, " run"]
    value_edge: Float[Tensor, " run"]
    value_within: Float[Tensor, " run"]
    share: Float[Tensor, " run"]


def effective_penalty(
    values: Float[Tensor, "run critic batch"], edge: Bool[Tensor, "run batch"], kept: Bool[Tensor, "run batch"]
) -> Pessimism:
    """What taking the least of N critics costs at edge-of-reach states and elsewhere; NaN where there are none.

    Args:
        values: of the states s' of rollouts.
        edge: which of them are edge-of-reach.
        kept: which rows exist.
    """
    gap, least = values.mean(1) - values.amin(1), values.amin(1)
    edge, within = edge & kept, ~edge & kept

    def median(value: Tensor, where: Tensor) -> Tensor:
        return torch.where(where, value, torch.nan).nanmedian(1).values

    share = edge.sum(1) / kept.sum(1)
    return Pessimism(median(gap, edge), median(gap, within), median(least, edge), median(least, within), share)
