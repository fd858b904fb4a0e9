"""MOREC's read-out by its arithmetic, and a planted reward: linear-Gaussian dynamics whose density is known."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from invdyn.decisions.dynamics_readout import calibrated, probability_of, reward_of
from invdyn.decisions.dynamics_reward import fit_dynamics_reward
from invdyn.decisions.transitions import Transitions
from invdyn.studies.morec_config import MorecConfig
from invdyn.training.seeding import mixed_seed
from invdyn.verify.metrics.rank import spearman

__all__ = ["planted", "readout"]

A = torch.tensor([[0.9, 0.2], [-0.2, 0.9]])
B = torch.tensor([[0.0], [0.5]])
K = torch.tensor([[-0.1, -0.3]])
NOISE, STEPS = 0.1, 100
TEST = 3000
NEAR, FAR = 2.5, 4.0
"""Held-out states: this many standard deviations of the data from their mean, in a random direction."""


def readout(seeds: Sequence[int]) -> Mapping[str, Any]:
    """Claim 1 on random snapshots."""
    found = {}
    for seed in seeds:
        g = torch.Generator().manual_seed(mixed_seed(seed, 71))
        learner = torch.randn(7, generator=g, dtype=torch.float64) * 3
        expert = learner + 0.1 + 5 * torch.rand(7, generator=g, dtype=torch.float64)
        ends = [calibrated(v[:, None], expert, learner)[:, 0] for v in (learner, expert, learner - 9, expert + 9)]
        wrong = [float((e - w).abs().max()) for e, w in zip(ends, (-1, 1, -1, 1))]
        half = torch.tensor(0.5, dtype=torch.float64)
        found[str(seed)] = {
            "metrics": {
                "readout.half": abs(float(reward_of(half)) - math.log(2)),
                "readout.cut": abs(probability_of(0.6) - (1 - math.exp(-0.6))),
                "readout.ends": max(wrong),
            },
            "curves": {},
        }
    return found


def recordings(seed: int, rows: int) -> Transitions:
    """The world under u = K s + noise, one run."""
    g = torch.Generator().manual_seed(mixed_seed(seed, 72))
    state = 0.5 * torch.randn(max(1, rows // STEPS), 2, generator=g)
    steps = []
    for _ in range(STEPS):
        cause = (state @ K.T + 0.3 * torch.randn(len(state), 1, generator=g)).clamp(-1, 1)
        after = state @ A.T + cause @ B.T + NOISE * torch.randn(state.shape, generator=g)
        steps.append((state, cause, after))
        state = after
    s, a, after = (torch.stack(v, 1).flatten(0, 1)[None] for v in zip(*steps))
    ends = torch.zeros(s.shape[:2], dtype=torch.bool)
    ends[:, STEPS - 1 :: STEPS] = True
    return Transitions(s, a, torch.zeros(s.shape[:2]), after, ends, torch.zeros_like(ends))


def planted(seeds: Sequence[int], config: MorecConfig) -> Mapping[str, Any]:
    """Claims 2 and 4: rank agreement of r_D with log p(s'|s, a) over perturbed s', in the data and outside."""
    parts = [recordings(seed, config.rows) for seed in seeds]
    data = Transitions(*(torch.cat(values) for values in zip(*parts)))
    fitted = fit_dynamics_reward(data, config.reward, seeds)
    found = {}
    for run, seed in enumerate(seeds):
        g = torch.Generator().manual_seed(mixed_seed(seed, 73))
        spread = data.observation[run].std(0)
        metrics: dict[str, float] = {"planted.snapshots": float(len(fitted.rewards[run].expert))}
        for place in ("in", "out"):
            if place == "in":
                rows = torch.randint(data.rows, (TEST,), generator=g)
                state, cause = data.observation[run, rows], data.cause[run, rows]
            else:
                angle = 2 * math.pi * torch.rand(TEST, generator=g)
                away = NEAR + (FAR - NEAR) * torch.rand(TEST, 1, generator=g)
                state = torch.stack([angle.cos(), angle.sin()], 1) * away * spread
                cause = 2 * torch.rand(TEST, 1, generator=g) - 1
            # From half to eight times the noise, evenly in the logarithm.
            size = torch.exp(math.log(0.5) + math.log(16) * torch.rand(TEST, 1, generator=g))
            moved = size * torch.randn(TEST, 2, generator=g)
            after = state @ A.T + cause @ B.T + NOISE * moved
            density = -0.5 * moved.square().sum(1)
            reward = fitted.rewards[run]
            for name, judge in (("all", reward), ("last", reward.only([-1]))):
                metrics[f"planted.{place}.{name}"] = spearman(judge(state, cause, after).numpy(), density.numpy())
        metrics["planted.gain"] = metrics["planted.out.all"] - metrics["planted.out.last"]
        found[str(seed)] = {"metrics": metrics, "curves": {"game": _game(fitted.expert, fitted.learner, run)}}
    return found


def _game(expert: Tensor, learner: Tensor, run: int) -> Mapping[str, Any]:
    return {"expert": expert[:, run].tolist(), "learner": learner[:, run].tolist()}
