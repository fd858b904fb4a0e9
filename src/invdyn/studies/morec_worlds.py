"""The two worlds of the MOREC study: recordings of a part of each, ensembles and rewards fitted to them, the truth."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from invdyn.decisions.dynamics_readout import DynamicsReward
from invdyn.decisions.dynamics_reward import fit_dynamics_reward
from invdyn.decisions.learned_dynamics import fit_dynamics
from invdyn.decisions.transitions import Transitions, transitions_of
from invdyn.nn.probabilistic_ensemble import EnsembleDynamics
from invdyn.studies.morec_config import MorecConfig
from invdyn.training.seeding import mixed_seed
from invdyn.worlds.forward_model import ExactDynamics
from invdyn.worlds.mixtures import Behaviour, BehaviourMixture
from invdyn.worlds.pendulum import Pendulum
from invdyn.worlds.refrigerator import PID, OnOff, Refrigerator
from invdyn.worlds.torch_world import Quality

__all__ = ["CASES", "Case", "fitted_case", "pendulum_state"]

ROWS = 512
"""Copies of the worlds that tell the truth."""
WEDGE = math.pi / 9
"""Pendulum: recorded is what starts further than this from theta = -pi / 2, lying on one side (ours): 20 degrees."""
NOISE = 0.3
"""Refrigerator: standard deviation of the noise on the PID's command, so that recordings tell what it does (ours)."""


@dataclass(frozen=True)
class Case:
    """A world and what was learnt of it, per seed.

    Args:
        data: recordings, [seed, rows]; rows of all seeds are cut to the shortest.
        models, rewards: one per seed.
        low, high: bounds of the cause.
        span: [obs] range of the states, in which errors are measured.
        exact: the noise-free world.
        state: observations to states of the world.
    """

    data: Transitions
    models: list[EnsembleDynamics]
    rewards: list[DynamicsReward]
    low: Float[Tensor, " cause"]
    high: Float[Tensor, " cause"]
    span: Float[Tensor, " obs"]
    exact: ExactDynamics
    state: Callable[[Tensor], Tensor]

    def cause(self, unit: Tensor) -> Tensor:
        """Causes in their own unit."""
        return (self.high + self.low) / 2 + (self.high - self.low) / 2 * unit

    def truth(self, observation: Float[Tensor, "batch obs"], unit: Float[Tensor, "batch cause"]) -> Tensor:
        """What comes next, without noise; causes in half-ranges."""
        return self.exact.observe(self.exact.step(self.state(observation), self.cause(unit)).state)

    def error(self, found: Tensor, true: Tensor) -> Tensor:
        """Largest component of the difference, as a share of the range of the states."""
        return ((found - true).abs() / self.span).amax(-1)


def _same(observation: Float[Tensor, "batch obs"]) -> Tensor:
    """The refrigerator's observation is its state."""
    return observation.double()


def pendulum_state(observation: Float[Tensor, "batch obs"]) -> Tensor:
    """(cos, sin, omega), off the circle too, to (theta, omega)."""
    return torch.stack([torch.atan2(observation[:, 1], observation[:, 0]), observation[:, 2]], 1).double()


def _refrigerator(seed: int, config: MorecConfig) -> Transitions:
    world = Refrigerator(config.refrigerator_episodes)
    maker = Behaviour("pid", config.refrigerator_episodes, lambda w: PID(noise=NOISE, seed=mixed_seed(seed, 74)))
    low, high = torch.zeros(1), torch.ones(1)
    recorded = BehaviourMixture(world, [maker]).record(first_seed=mixed_seed(seed, 75) % 2**31)
    return transitions_of(recorded, low, high)[0]


def _pendulum(seed: int, config: MorecConfig) -> Transitions:
    world = Pendulum(config.pendulum_episodes, horizon=40)
    noisy = Quality(noise=1.0, random=0.5)
    maker = Behaviour("swing-up", config.pendulum_episodes, lambda w: w.expert(noisy))  # type: ignore[call-arg]
    low, high = torch.full((1,), -2.0), torch.full((1,), 2.0)
    found, _ = transitions_of(
        BehaviourMixture(world, [maker]).record(first_seed=mixed_seed(seed, 76) % 2**31), low, high
    )
    return found.take((found.observation[0, :, 1] > -math.cos(WEDGE)).nonzero()[:, 0][None])


CASES: dict[str, Callable[[int, MorecConfig], Transitions]] = {"refrigerator": _refrigerator, "pendulum": _pendulum}


def fitted_case(name: str, seeds: Sequence[int], config: MorecConfig) -> Case:
    """Record, fit an ensemble per seed, play the game for all seeds at once."""
    parts = [CASES[name](seed, config) for seed in seeds]
    rows = min(p.rows for p in parts)
    data = Transitions(*(torch.cat([v[:, :rows] for v in values]) for values in zip(*parts)))
    if name == "refrigerator":
        world: Any = Refrigerator(ROWS, noise=0.0)
        low, high = torch.zeros(1), torch.ones(1)
        coldest, warmest = world.config.reach
        span, state = torch.tensor([warmest - coldest]), _same
        dynamics, game = config.refrigerator_dynamics, config.refrigerator_reward
    else:
        world, low, high = Pendulum(ROWS), torch.full((1,), -2.0), torch.full((1,), 2.0)
        span, state = torch.tensor([2.0, 2.0, 16.0]), pendulum_state
        dynamics, game = config.dynamics, config.pendulum_reward
    models = []
    for run, seed in enumerate(seeds):
        own = Transitions(*(v[run : run + 1] for v in data))
        net = fit_dynamics(own, low, high, dynamics, seed=seed).model.ensemble
        models.append(EnsembleDynamics(net, low, high, limit=25.0))
    rewards = fit_dynamics_reward(data, game, seeds).rewards
    return Case(data, models, rewards, low, high, span, ExactDynamics(world), state)


class Unseen:
    """Policies the data do not know, as acting functions of `RolloutLoop`: causes in half-ranges."""

    def __init__(self, name: str) -> None:
        self.policy = OnOff(-10.0, 20.0) if name == "refrigerator" else None

    def reset(self, runs: int, batch: int) -> None:
        if self.policy is not None:
            self.policy.reset(runs * batch)

    def __call__(self, observation: Float[Tensor, "run batch obs"], noise: Tensor) -> Float[Tensor, "run batch cause"]:
        if self.policy is None:  # full torque along the motion: it spins, through the wedge never recorded
            return torch.where(observation[..., 2:] < 0, -1.0, 1.0)
        told = self.policy.act({"observation.state": observation.flatten(0, 1)})
        return 2 * told.reshape(*observation.shape[:2], 1) - 1


def outside(name: str, rows: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Observations and causes (half-ranges) uniform in what was never recorded."""
    cause = 2 * torch.rand(rows, 1, generator=generator) - 1
    draw = torch.rand(rows, 2, generator=generator)
    if name == "refrigerator":  # 1 to 8 degrees beyond where recordings start
        away = 1 + 7 * draw[:, :1]
        return torch.where(draw[:, 1:] < 0.5, 3 - away, 7 + away), cause
    theta = -math.pi / 2 + WEDGE * (2 * draw[:, 0] - 1)
    omega = 12 * draw[:, 1] - 6
    return torch.stack([theta.cos(), theta.sin(), omega], 1), cause
