"""`MixedDynamics`: a model as good as one likes, between a random, a learnt and the true one.

How much a method's score depends on its model is asked by giving it models of every quality (RAVL, arXiv 2402.12527).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from invdyn.errors import ConfigError
from invdyn.worlds.forward_model import ExactDynamics, ForwardModel, ModelStep

__all__ = ["MixedDynamics"]


class MixedDynamics(ForwardModel):
    """Next observation and reward on straight lines from the random model to the learnt to the true one.

    The state is the world's with the observation behind it, [world state | observation]: models of observations read
    the latter, the simulator the former, where the difference that mixing makes to what is seen is added to the numbers
    that are seen. So at quality 1 the simulation is the world's own, bit for bit, and at 0 the learnt model's.

    Args:
        random, learnt: models of observations without noise, e.g. ensembles that predict their mean.
        exact: the world as a model; its observation is shown by single numbers of its state.
        seen: those numbers, in the observation's order.
        quality: -1 random, 0 learnt, 1 true.
        ends: the known done function of observations; None for tasks that never end.

    Raises:
        ConfigError: a quality beyond -1 .. 1.
    """

    deterministic = True

    def __init__(
        self,
        random: ForwardModel,
        learnt: ForwardModel,
        exact: ExactDynamics,
        seen: slice,
        quality: float,
        *,
        ends: Callable[[Tensor, Tensor, Tensor], Bool[Tensor, " batch"]] | None = None,
    ) -> None:
        if not -1 <= quality <= 1:
            raise ConfigError(f"mixed dynamics: quality is {quality}, expected -1 (random) to 1 (true).")
        self.random, self.learnt, self.exact, self.seen, self.quality = random, learnt, exact, seen, quality
        self.ends = ends
        self.observed = len(range(*seen.indices(2**31)))

    def extended(self, state: Float[Tensor, "*batch state"]) -> Float[Tensor, "*batch both"]:
        """States of the world as states of this model."""
        rows = state.reshape(-1, state.shape[-1])
        seen = self.exact.observe(rows).to(state)
        return torch.cat([rows, seen], -1).reshape(*state.shape[:-1], -1)

    def observe(self, state: Float[Tensor, "batch both"]) -> Float[Tensor, "batch obs"]:
        return state[:, -self.observed :].float()

    def step(
        self,
        state: Float[Tensor, "batch both"],
        cause: Float[Tensor, "batch cause"],
        generator: torch.Generator | None = None,
    ) -> ModelStep:
        world, seen = state[:, : -self.observed], self.observe(state)
        told = self.learnt.step(seen, cause)
        if self.quality < 0:
            told = _between(self.random.step(seen, cause), told, 1 + self.quality)
        ended = torch.zeros_like(told.terminated) if self.ends is None else self.ends(seen, cause, told.state)
        # Nothing of the world is needed up to the learnt model, so it stands still there.
        following, after = world, told
        if self.quality > 0:
            true = self.exact.step(world, cause)
            truth = true._replace(state=self.exact.observe(true.state).to(seen))
            after = _between(told, truth, self.quality)
            following = true.state.clone()
            following[:, self.seen] += after.state.double() - truth.state.double()
            if self.quality == 1:
                ended = true.terminated
            elif self.ends is not None:
                ended = self.ends(seen, cause, after.state)
        return ModelStep(torch.cat([following, after.state.to(following)], -1), after.reward, ended, after.spread)


def _between(first: ModelStep, second: ModelStep, share: float) -> ModelStep:
    """From the first step (share 0) to the second (1), exactly at both; ends are not mixed."""
    state, reward, spread = (
        torch.lerp(getattr(first, part), getattr(second, part), share) for part in ("state", "reward", "spread")
    )
    return ModelStep(state, reward, second.terminated, spread)
