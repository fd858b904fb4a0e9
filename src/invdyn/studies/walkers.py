"""Offline sets of Hopper, HalfCheetah and Walker2d, models fitted to them, true returns: for every study on them.

A partly trained agent records the sets (`decisions/offline_sets.py`), once per task, as D4RL's are fixed; seeds then
vary models and learners.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from invdyn.decisions.learned_dynamics import DynamicsConfig, fit_dynamics
from invdyn.decisions.offline import Learner, model_returns
from invdyn.decisions.offline_sets import SetConfig, record_set, train_checkpoints
from invdyn.decisions.rollout_loop import RolloutLoop
from invdyn.decisions.transitions import Transitions, transitions_of
from invdyn.nn.probabilistic_ensemble import EnsembleDynamics, ProbabilisticEnsemble
from invdyn.training.seeding import mixed_seed
from invdyn.verify.metrics import normalized_return
from invdyn.worlds.forward_model import ExactDynamics
from invdyn.worlds.locomotion import Locomotion, ends

__all__ = ["PENALTIES", "TrueScore", "WalkerSet", "WalkersConfig", "fitted", "untrained", "walker_sets"]

PENALTIES = {"hopper": 10.0, "halfcheetah": 0.5, "walker2d": 0.5}
"""MOPO's c per task (card morec: 10 to 15, 0.5, 0.25 to 1)."""


@dataclass(frozen=True)
class WalkersConfig:
    """Sizes of what every study on the walkers needs. Card = the studies' specifications; ours = chosen here."""

    maker: SetConfig = field(
        default_factory=lambda: SetConfig(
            epochs=100, episodes=5, updates=2000, batch=256, width=256, lr=3e-4, alpha=0.2
        )
    )
    """The agent whose checkpoints record: 2e5 updates, at most 5e5 steps (ours)."""
    episodes: int = 200
    """Recorded per set; D4RL has five times as many steps (ours)."""
    horizon: int = 1000
    """Steps of an episode (Gymnasium)."""
    seed: int = 0
    """Of the agent and the recordings (ours)."""
    copies: int = 50
    """Of the simulator while recording (ours)."""
    threads: int = 8
    """That step the simulator (ours)."""
    dynamics: DynamicsConfig = field(default_factory=DynamicsConfig)
    """The ensemble: 7 nets of 4 x 200, 5 elites (card)."""
    evaluation: int = 10
    """Episodes of an evaluation (ours)."""


@dataclass(frozen=True)
class WalkerSet:
    """One recorded set, where it is learnt from.

    Args:
        task: `hopper`, `halfcheetah` or `walker2d`.
        data: transitions of one run.
        states: the simulator's, in which they started.
        low, high: bounds of the cause.
        random, expert: mean returns of uniform actions and of the agent's best checkpoint.
    """

    task: str
    data: Transitions
    states: Float64[Tensor, "rows state"]
    low: Float[Tensor, " cause"]
    high: Float[Tensor, " cause"]
    random: float
    expert: float

    @property
    def sizes(self) -> tuple[int, int]:
        """Components of observation and cause."""
        return self.data.observation.shape[2], self.data.cause.shape[2]

    def cause(self, unit: Float[Tensor, "*batch cause"]) -> Float[Tensor, "*batch cause"]:
        """Causes in their own unit."""
        return (self.high + self.low) / 2 + (self.high - self.low) / 2 * unit


def walker_sets(task: str, kinds: Sequence[str], config: WalkersConfig, device: str) -> dict[str, WalkerSet]:
    """Train the agent of a task and record the sets asked for."""

    def world(copies: int) -> Locomotion:
        return Locomotion(task, copies, horizon=config.horizon, threads=config.threads)

    agent = train_checkpoints(world(config.maker.episodes), config.maker, config.seed, device=device)
    found = {}
    for number, kind in enumerate(kinds):
        first = mixed_seed(config.seed, 91, number) % 2**31
        recorded = record_set(
            kind, world(min(config.copies, config.episodes)), config.episodes, checkpoints=agent, seed=first
        )
        data, states = transitions_of(recorded, agent.low, agent.high)
        assert states is not None
        found[kind] = WalkerSet(
            task,
            Transitions(*(v.to(device) for v in data)),
            states.to(device),
            agent.low.to(device),
            agent.high.to(device),
            agent.random,
            agent.returns[agent.expert],
        )
    return found


def fitted(
    given: WalkerSet, seeds: Sequence[int], config: WalkersConfig, *, limit: float | None = None
) -> list[EnsembleDynamics]:
    """An ensemble per seed that knows when its task ends; `limit` as in `EnsembleDynamics`."""
    return [
        EnsembleDynamics(
            fit_dynamics(given.data, given.low, given.high, config.dynamics, seed=seed).model.ensemble,
            given.low,
            given.high,
            ends=partial(ends, given.task),
            limit=limit,
        )
        for seed in seeds
    ]


def untrained(given: WalkerSet, seed: int, config: WalkersConfig) -> EnsembleDynamics:
    """The mean of an ensemble as it is before it learns: a random model."""
    c, (seen, causes) = config.dynamics, given.sizes
    net = ProbabilisticEnsemble(
        seen + causes, seen + 1, members=c.members, width=c.width, depth=c.depth,
        generator=torch.Generator().manual_seed(mixed_seed(seed, 92)),
    )  # fmt: skip
    net.to(given.states.device).standardise(torch.cat([given.data.observation[0], given.data.cause[0]], -1))
    return EnsembleDynamics(net, given.low, given.high, ends=partial(ends, given.task), average=True)


class TrueScore:
    """The normalised return of every run's median action in the simulator: 0 random, 100 the agent's best checkpoint.

    Args:
        given: names the task and the scale.
        runs: of the learners that are judged.
        config: episodes and their length.
    """

    def __init__(self, given: WalkerSet, runs: int, config: WalkersConfig) -> None:
        world = Locomotion(given.task, config.evaluation, horizon=config.horizon)
        self.start, self.steps = world.state().to(given.states.device), config.horizon
        every = Locomotion(given.task, runs * config.evaluation, horizon=config.horizon, threads=config.threads)
        self.truth = RolloutLoop(ExactDynamics(every), 1, given.low, given.high)
        self.scale = {"random": given.random, "expert": given.expert}

    def __call__(self, agent: Learner) -> list[float]:
        """Mean over the episodes, per run."""
        returns = model_returns(agent, self.truth, self.start, self.steps).mean(1)
        return normalized_return(returns.double().cpu(), **self.scale).tolist()
