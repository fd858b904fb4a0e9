"""Filters of a model's candidate next states: by a dynamics reward, by the model's own uncertainty, or by chance.

MOREC (Luo, Xu, Cao, Yu, ICLR 2024, arXiv 2310.05422): of all elites' draws the one of highest dynamics reward is taken
(or one by a softmax over the rewards); where even that is below a cut, the transition is dropped and the rollout ends.
The others are its controls: the same loop without the reward.
"""

from __future__ import annotations

from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from invdyn.decisions.dynamics_readout import CUT, DynamicsReward
from invdyn.decisions.rollout_loop import Choice
from invdyn.errors import ConfigError, unknown_name
from invdyn.worlds.forward_model import ModelStep

__all__ = ["RewardFilter", "Selection", "UncertaintyFilter"]

Selection = Literal["argmax", "softmax", "random", "argmin"]
"""`argmax` and `softmax` are MOREC's; the others are controls."""


class RewardFilter:
    """Takes a candidate by its dynamics reward.

    Args:
        reward: r_D of this run.
        select: which candidate.
        cut: least reward of a transition that is kept; None keeps all.
        temperature: of the softmax (released code: weights exp(10 r_D)).
    """

    def __init__(
        self,
        reward: DynamicsReward,
        select: str = "argmax",
        *,
        cut: float | None = CUT,
        temperature: float = 0.1,
    ) -> None:
        if select not in get_args(Selection):
            raise unknown_name("selection", select, get_args(Selection))
        if not temperature > 0:
            raise ConfigError(f"reward filter: temperature is {temperature}, expected above 0.")
        self.reward, self.select, self.cut, self.temperature = reward, select, cut, temperature

    def score(self, observation: Tensor, cause: Tensor, candidates: ModelStep) -> Float[Tensor, "candidate batch"]:
        """r_D of every candidate."""
        count = len(candidates.state)
        rows = [v.expand(count, *v.shape).flatten(0, 1) for v in (observation, cause)]
        return self.reward(rows[0], rows[1], candidates.state.flatten(0, 1)).reshape(count, -1)

    def __call__(
        self, observation: Tensor, cause: Tensor, candidates: ModelStep, generator: torch.Generator | None
    ) -> Choice:
        """`cause` in half-ranges, as the recorded transitions that the reward was learnt from."""
        score = self.score(observation, cause, candidates)
        if self.select == "argmax":
            which = score.argmax(0)
        elif self.select == "argmin":
            which = score.argmin(0)
        else:
            scale = self.temperature if self.select == "softmax" else torch.inf
            # The largest of logits plus Gumbel noise is a draw of their softmax.
            drawn = torch.rand(score.shape, generator=generator).clamp(min=1e-20).to(score)
            which = (score / scale - (-drawn.log()).log()).argmax(0)
        kept = score.gather(0, which[None])[0]
        return Choice(which, torch.ones_like(which, dtype=torch.bool) if self.cut is None else kept >= self.cut)


class UncertaintyFilter:
    """A random candidate, dropped where the members' largest |sd| is above a limit.

    Args:
        limit: largest spread that is kept, e.g. a quantile of the spreads of recorded transitions.
    """

    def __init__(self, limit: float) -> None:
        self.limit = limit

    def __call__(
        self, observation: Tensor, cause: Tensor, candidates: ModelStep, generator: torch.Generator | None
    ) -> Choice:
        count, rows = candidates.spread.shape
        which = torch.randint(count, (rows,), generator=generator).to(candidates.spread.device)
        return Choice(which, candidates.spread[0] <= self.limit)
