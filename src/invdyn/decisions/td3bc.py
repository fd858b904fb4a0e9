"""`TD3BC`: twin delayed deterministic policy gradients that stay near the recorded actions.

Fujimoto and Gu, NeurIPS 2021 (arXiv 2106.06860): the actor maximises lambda Q_1(s, pi(s)) - (pi(s) - a)^2 with
lambda = alpha / mean |Q_1|; critics as in TD3 (arXiv 1802.09477).
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from invdyn.decisions.sac import INIT, NOISE, optimizer_step
from invdyn.decisions.transitions import Transitions
from invdyn.errors import ConfigError
from invdyn.nn.stacked_mlp import StackedMLP
from invdyn.nn.streams import Streams
from invdyn.nn.vectorized_critic import VectorizedCritic, redraw
from invdyn.training.seeding import mixed_seed

__all__ = ["TD3BC", "TD3BCConfig"]


@dataclass(frozen=True)
class TD3BCConfig:
    """Settings; defaults are those of card ssorl.

    Args:
        alpha: weight of the value against the distance to the recorded action.
        width, depth: units of each hidden layer, and their number.
        gamma: discount.
        tau: share of actor and critics that their targets take over.
        noise, clip: spread of the smoothing noise on target actions, and its bound.
        delay: updates of the critics per update of the actor and the targets.
        lr: rate of Adam.
    """

    alpha: float = 2.5
    width: int = 256
    depth: int = 2
    gamma: float = 0.99
    tau: float = 0.005
    noise: float = 0.2
    clip: float = 0.5
    delay: int = 2
    lr: float = 3e-4

    def __post_init__(self) -> None:
        if self.delay < 1 or not (0 <= self.gamma < 1 and 0 < self.tau <= 1):
            raise ConfigError(
                f"TD3BC: delay {self.delay} is at least 1, gamma {self.gamma} lies in [0, 1), tau {self.tau} in (0, 1]."
            )


class TD3BC:
    """TD3+BC for several runs side by side; observations should come normalised.

    Args:
        config: settings.
        observations, causes: components of s and a.
        seeds: one per run.
        device: where it learns.
    """

    def __init__(
        self, config: TD3BCConfig, observations: int, causes: int, seeds: Sequence[int], *, device: str = "cpu"
    ) -> None:
        self.config, self.runs, self.device, self.causes = config, len(seeds), device, causes
        init = Streams([mixed_seed(seed, INIT) for seed in seeds])
        self.noise = Streams([mixed_seed(seed, NOISE) for seed in seeds], device)
        self.actor = StackedMLP(self.runs, observations, causes, width=config.width, depth=config.depth)
        redraw(self.actor, self.runs, init)
        self.critic = VectorizedCritic(
            self.runs, 2, observations, causes, width=config.width, depth=config.depth, streams=init
        )
        self.actor.to(device)
        self.critic.to(device)
        self.slow_actor, self.slow_critic = copy.deepcopy(self.actor), copy.deepcopy(self.critic)
        self._actor = torch.optim.Adam(self.actor.parameters(), lr=config.lr, fused=True)
        self._critic = torch.optim.Adam(self.critic.parameters(), lr=config.lr, fused=True)
        self.updates = 0

    @torch.no_grad()
    def act(
        self, observation: Float[Tensor, "run batch obs"], noise: Float[Tensor, "run batch cause"] | None = None
    ) -> Float[Tensor, "run batch cause"]:
        """The action; noise of a rollout is scaled by `config.noise`."""
        action = self.actor(observation).tanh()
        return action if noise is None else (action + self.config.noise * noise).clamp(-1, 1)

    @torch.no_grad()
    def targets(self, batch: Transitions, noise: Float[Tensor, "run batch cause"]) -> Float[Tensor, "run batch"]:
        """r + gamma (1 - terminated) min Q'(s', clip(pi'(s') + clipped noise))."""
        c = self.config
        smoothed = self.slow_actor(batch.next_observation).tanh() + (c.noise * noise).clamp(-c.clip, c.clip)
        least = self.slow_critic(batch.next_observation, smoothed.clamp(-1, 1)).amin(1)
        return batch.reward + c.gamma * (~batch.terminated) * least

    def update(self, batch: Transitions) -> dict[str, Float[Tensor, " run"]]:
        """One step of the critics; every `delay`-th also of the actor and the targets."""
        target = self.targets(batch, self.noise.normal(batch.rows, self.causes))
        values = self.critic(batch.observation, batch.cause)
        error = (values - target[:, None]).square().mean(-1).sum(-1)
        optimizer_step(self._critic, list(self.critic.parameters()), error)
        self.updates += 1
        if self.updates % self.config.delay == 0:
            action = self.actor(batch.observation).tanh()
            value = self.critic(batch.observation, action)[:, 0]
            weight = self.config.alpha / value.detach().abs().mean(1).clamp(min=1e-8)
            near = (action - batch.cause).square().mean((1, 2))
            optimizer_step(self._actor, list(self.actor.parameters()), near - weight * value.mean(1))
            with torch.no_grad():
                for slow, fast in ((self.slow_actor, self.actor), (self.slow_critic, self.critic)):
                    for old, new in zip(slow.parameters(), fast.parameters()):
                        old.lerp_(new, self.config.tau)
        return {"critic_loss": error.detach(), "value": values.detach().mean((1, 2))}
