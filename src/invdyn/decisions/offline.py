"""`train_offline`: the loop of model-based offline reinforcement learning; an agent's run as a policy of a world."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from invdyn.decisions.rollout_loop import RolloutLoop, Rollouts
from invdyn.decisions.transitions import RecentRollouts, Transitions, concatenate
from invdyn.errors import ConfigError
from invdyn.nn.streams import Streams
from invdyn.training.seeding import mixed_seed

__all__ = ["Learner", "OfflineConfig", "RunPolicy", "model_returns", "train_offline"]

ROLLOUTS, BATCHES = 3, 4  # streams of random numbers


@runtime_checkable
class Learner(Protocol):
    """What the loop trains: SAC, TD3BC, CQL."""

    runs: int
    device: str

    def act(self, observation: Tensor, noise: Tensor | None = None) -> Tensor: ...

    def update(self, batch: Transitions) -> Mapping[str, Tensor]: ...


@dataclass(frozen=True)
class OfflineConfig:
    """Schedule; defaults are RAVL's for D4RL (card ravl).

    Args:
        epochs: rounds of rollouts and updates.
        updates: per epoch.
        starts: rollouts per epoch, branched from states of the data.
        keep: epochs of rollouts that are drawn from.
        batch: transitions per update.
        real: share of recorded transitions in a batch; the rest are rollouts.
    """

    epochs: int = 3000
    updates: int = 1000
    starts: int = 50_000
    keep: int = 5
    batch: int = 256
    real: float = 0.05

    def __post_init__(self) -> None:
        if min(self.epochs, self.updates, self.starts, self.keep, self.batch) < 1 or not 0 <= self.real <= 1:
            raise ConfigError(
                f"offline: epochs, updates, starts, keep and batch are at least 1 and real lies in [0, 1], got {self}."
            )


def train_offline(
    agent: Learner,
    config: OfflineConfig,
    seeds: Sequence[int],
    *,
    data: Transitions | None = None,
    loop: RolloutLoop | None = None,
    starts: Float[Tensor, "run rows state"] | None = None,
    on_epoch: Callable[[int, Mapping[str, Tensor], Rollouts | None], None] | None = None,
) -> None:
    """Train all runs of an agent in place.

    Args:
        agent: learns from batches.
        config: schedule.
        seeds: of rollouts and batches, one per run.
        data: recorded transitions, of one run for all or of each; may be left out when `real` is 0.
        loop: rolls the model; None learns from the data alone.
        starts: states that rollouts branch from, of one run for all or of each.
        on_epoch: called after each epoch with its number (from 1), the means of what the updates told, the rollouts.

    Raises:
        ConfigError: nothing to learn from.
    """
    real = config.batch if loop is None else round(config.real * config.batch)
    if real and data is None:
        raise ConfigError("offline: batches are to hold recorded transitions, and no data were given.")
    if loop is not None and starts is None:
        raise ConfigError("offline: rollouts need states to start from, and none were given.")
    draws = Streams([mixed_seed(seed, BATCHES) for seed in seeds], agent.device)
    paths = Streams([mixed_seed(seed, ROLLOUTS) for seed in seeds], agent.device)
    recent, rollouts = RecentRollouts(config.keep), None
    for epoch in range(config.epochs):
        if loop is not None and starts is not None:
            rows = paths.index(starts.shape[1], config.starts)
            chosen = starts.expand(agent.runs, -1, -1).gather(1, rows[..., None].expand(-1, -1, starts.shape[-1]))
            rollouts = loop.roll(agent.act, chosen, paths)
            recent.add(rollouts.rows, rollouts.kept)
        told: dict[str, Tensor] = {}
        for _ in range(config.updates):
            parts = []
            if real and data is not None:
                parts.append(data.take(draws.index(data.rows, real)))
            if real < config.batch:
                parts.append(recent.draw(draws, config.batch - real))
            for name, value in agent.update(parts[0] if len(parts) == 1 else concatenate(parts)).items():
                told[name] = told.get(name, 0.0) + value / config.updates
        if on_epoch is not None:
            on_epoch(epoch + 1, told, rollouts)


@torch.no_grad()
def model_returns(
    agent: Learner, loop: RolloutLoop, start: Float[Tensor, "rows state"], steps: int
) -> Float[Tensor, "run rows"]:
    """Undiscounted return of every run's median action from the same starts, in the loop's own (one) model.

    With `ExactDynamics` this is the true return; all runs go together, where `evaluate` takes one policy at a time.
    """
    state = start.expand(agent.runs, *start.shape).flatten(0, 1)
    total = torch.zeros(len(state), dtype=torch.float64, device=state.device)
    alive = torch.ones(len(state), dtype=torch.bool, device=state.device)
    for _ in range(steps):
        seen = loop.models[0].observe(state).reshape(agent.runs, len(start), -1)
        after = loop.models[0].step(state, loop.middle + loop.half * agent.act(seen).flatten(0, 1))
        total += alive * after.reward
        alive, state = alive & ~after.terminated, after.state
    return total.reshape(agent.runs, len(start)).float()


class RunPolicy:
    """One run of an agent as a policy of a world, deterministic: what `verify.evaluate` and `worlds.record` ask for.

    Args:
        agent: its runs act together, so one run's observations are given to all and its own answer is taken.
        run: which.
        low, high: bounds of the cause in its own unit.
        signals: observations, end to end, in the order the agent learnt them.
    """

    def __init__(
        self,
        agent: Learner,
        run: int,
        low: Float[Tensor, " cause"],
        high: Float[Tensor, " cause"],
        signals: Sequence[str],
    ) -> None:
        self.agent, self.run, self.signals = agent, run, tuple(signals)
        self.middle, self.half = (high + low) / 2, (high - low) / 2

    def reset(self, batch: int) -> None:
        """Nothing is remembered."""

    def act(self, observation: Mapping[str, Tensor]) -> Tensor:
        seen = torch.cat([observation[s].reshape(len(observation[s]), -1).float() for s in self.signals], -1)
        everyone = seen.to(self.agent.device).expand(self.agent.runs, -1, -1)
        return self.middle + self.half * self.agent.act(everyone)[self.run].cpu()
