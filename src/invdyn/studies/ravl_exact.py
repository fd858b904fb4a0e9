"""RAVL's propositions on a chain, and its learner against plain code: what needs no training."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch

from invdyn.decisions.edge_of_reach import bellman_sweeps, edge_states, expected_least
from invdyn.nn import Streams, VectorizedCritic, diversity
from invdyn.studies.ravl_config import RavlConfig
from invdyn.training.seeding import mixed_seed

__all__ = ["exact"]

STATES, STARTS, LENGTH, GAMMA = 12, 3, 4, 0.9
"""A chain walked to the right: starts in its first three states, rollouts of four steps, so the edge is state 6."""


def exact(seed: int, config: RavlConfig) -> Mapping[str, Any]:
    """Claims 1, 2 and 9."""
    g = torch.Generator().manual_seed(mixed_seed(seed, 11))
    return {"metrics": {**_chain(g), **_least(g, config), **_learner(seed, g)}, "curves": {}}


def _walk(chains: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Next states and start states of several chains side by side; the last state of each keeps."""
    here = torch.arange(chains * STATES)
    place = here % STATES
    return torch.where(place < STATES - 1, here + 1, here)[:, None], place < STARTS


def _chain(g: torch.Generator) -> dict[str, float]:
    """Everything random: the edge's value stays, and after j sweeps state (edge - j) holds gamma^j of its error."""
    following, start = _walk(1)
    within, edge = edge_states(following, start, LENGTH)
    reward = torch.randn(STATES, 1, generator=g, dtype=torch.float64)
    values = torch.randn(1, STATES, 1, generator=g, dtype=torch.float64)
    at = int(edge.nonzero()[0])
    truth = torch.zeros(STATES, dtype=torch.float64)  # from the edge on, the true value may be anything; take 0
    for state in reversed(range(at)):
        truth[state] = reward[state, 0] + GAMMA * truth[state + 1]
    moved, wrong = 0.0, 0.0
    for sweeps in range(1, at + 1):
        found = bellman_sweeps(values, following, reward, within, GAMMA, sweeps)
        moved = max(moved, float((found - values)[:, edge].abs().max()))
        for distance in range(1, sweeps + 1):
            error = float(found[0, at - distance, 0] - truth[at - distance])
            wrong = max(wrong, abs(error - GAMMA**distance * float(values[0, at, 0])))
    return {"chain.edge_moved": moved, "chain.error": wrong, "chain.edges": float(edge.sum())}


def _least(g: torch.Generator, config: RavlConfig) -> dict[str, float]:
    """The bias that the least of N independent starts brings, one step before the edge, in standard errors."""
    n = config.replicas
    following, start = _walk(n)
    within, edge = edge_states(following, start, LENGTH)
    reward = torch.zeros(n * STATES, 1, dtype=torch.float64)
    values = torch.randn(config.critics, n * STATES, 1, generator=g, dtype=torch.float64)
    found = bellman_sweeps(values, following, reward, within, GAMMA, 1)
    before = (edge.nonzero()[:, 0] - 1)[:n]
    drawn = found[0, before, 0] / GAMMA
    expected = expected_least(config.critics)
    return {
        "least.bias": float(drawn.mean()),
        "least.expected": expected,
        "least.standard_errors": abs(float(drawn.mean()) - expected) / (float(drawn.std()) / math.sqrt(n)),
    }


def _learner(seed: int, g: torch.Generator) -> dict[str, float]:
    critic = VectorizedCritic(2, 10, 3, 2, width=64, depth=2, streams=Streams([seed, seed + 1]))
    s, a = torch.randn(2, 64, 3, generator=g), torch.rand(2, 64, 2, generator=g) * 2 - 1
    with torch.no_grad():
        values, slopes = critic.with_slopes(s, a)
        apart, loop = 0.0, 0.0
        for run in range(2):
            for n in range(10):
                alone = critic.nets.member(10 * run + n)(torch.cat([s[run], a[run]], -1))[:, 0]
                apart = max(apart, float((alone - values[run, n]).abs().max()))
            total = 0.0
            for i in range(10):
                for j in range(10):
                    if i != j:
                        cosine = torch.nn.functional.cosine_similarity(slopes[run, i], slopes[run, j], dim=-1)
                        total += float(cosine.double().mean()) / 9
            loop = max(loop, abs(total - float(diversity(slopes.double())[run])))
    return {"critics.error": apart, "diversity.error": loop}
