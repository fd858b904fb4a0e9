"""`SAC` with N critics and the diversity of EDAC: the learner of offline reinforcement learning, runs side by side.

Haarnoja et al., ICML 2018 (arXiv 1801.01290), automatic temperature as in arXiv 1812.05905. N critics with the least
of them as target are SAC-N, their diversity EDAC (An, Moon, Kim, Song, NeurIPS 2021, arXiv 2110.01548): the agent of
RAVL (arXiv 2402.12527) is N = 10, eta = 1, its base N = 2, eta = 0.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from invdyn.decisions.transitions import Transitions
from invdyn.errors import ConfigError
from invdyn.nn.gaussians import SquashedGaussian
from invdyn.nn.stacked_mlp import StackedMLP
from invdyn.nn.streams import Streams
from invdyn.nn.vectorized_critic import VectorizedCritic, diversity, redraw
from invdyn.training.seeding import mixed_seed

__all__ = ["SAC", "Bootstrap", "SACConfig", "optimizer_step"]

LOG_STD = (-5.0, 2.0)  # card ravl
ACTOR_LAST = 1e-3  # half-width of the actor's last layer (EDAC's released code)
INIT, NOISE = 1, 2  # streams of random numbers

Bootstrap = Callable[[Transitions, Float[Tensor, "run batch"]], Float[Tensor, "run batch"]]
"""Batch and the values of its s' that would be bootstrapped, to those that are: the place of an oracle's patch."""


@dataclass(frozen=True)
class SACConfig:
    """Settings; defaults are RAVL's for D4RL (card ravl).

    Args:
        critics: N.
        eta: weight of the diversity; 0 leaves it out.
        width, depth: units of each hidden layer of actor and critics, and their number.
        gamma: discount.
        tau: share of the critics that the target critics take over in every update.
        actor_lr, critic_lr, alpha_lr: rates of Adam.
        alpha: temperature at the start.
        automatic: whether the temperature is learnt.
        target_entropy: what it is learnt for; None for -|A|.
        entropy_backup: whether targets hold the entropy of the next action (CQL's do not).
    """

    critics: int = 10
    eta: float = 1.0
    width: int = 256
    depth: int = 3
    gamma: float = 0.99
    tau: float = 0.005
    actor_lr: float = 3e-4
    critic_lr: float = 3e-4
    alpha_lr: float = 3e-4
    alpha: float = 1.0
    automatic: bool = True
    target_entropy: float | None = None
    entropy_backup: bool = True

    def __post_init__(self) -> None:
        if self.critics < 1 or self.width < 1 or self.depth < 1:
            raise ConfigError(
                f"SAC: critics {self.critics}, width {self.width}, depth {self.depth}; each is at least 1."
            )
        if not (0 <= self.gamma < 1 and 0 < self.tau <= 1 and self.alpha > 0 and self.eta >= 0):
            raise ConfigError(
                f"SAC: gamma {self.gamma} lies in [0, 1), tau {self.tau} in (0, 1], alpha {self.alpha} is positive, "
                f"eta {self.eta} not negative."
            )


class SAC:
    """Soft actor-critic for `len(seeds)` independent runs in one set of tensors.

    Runs share nothing but the computation: what a run learns depends on its seed and its batches.

    Args:
        config: settings.
        observations, causes: components of s and a.
        seeds: one per run; runs of one seed start alike and draw the same noise.
        device: where it learns.
        bootstrap: changes the value of s' before it enters the target (see `Bootstrap`); None for none.
    """

    def __init__(
        self,
        config: SACConfig,
        observations: int,
        causes: int,
        seeds: Sequence[int],
        *,
        device: str = "cpu",
        bootstrap: Bootstrap | None = None,
    ) -> None:
        self.config, self.runs, self.device, self.bootstrap = config, len(seeds), device, bootstrap
        self.causes = causes
        init = Streams([mixed_seed(seed, INIT) for seed in seeds])
        self.noise = Streams([mixed_seed(seed, NOISE) for seed in seeds], device)
        self.actor = StackedMLP(self.runs, observations, 2 * causes, width=config.width, depth=config.depth)
        redraw(self.actor, self.runs, init, last=ACTOR_LAST)
        self.critic = VectorizedCritic(
            self.runs, config.critics, observations, causes, width=config.width, depth=config.depth, streams=init
        )
        self.target = copy.deepcopy(self.critic)
        for net in (self.actor, self.critic, self.target):
            net.to(device)
        self.log_alpha = nn.Parameter(torch.full((self.runs,), config.alpha, device=device).log())
        self.bound = torch.ones(causes, device=device)
        self.entropy = float(-causes if config.target_entropy is None else config.target_entropy)
        self._actor = torch.optim.Adam(self.actor.parameters(), lr=config.actor_lr, fused=True)
        self._critic = torch.optim.Adam(self.critic.parameters(), lr=config.critic_lr, fused=True)
        self._alpha = torch.optim.Adam([self.log_alpha], lr=config.alpha_lr)
        self.updates = 0

    # ---- acting ------------------------------------------------------------------------------------------------------

    def policy(self, observation: Float[Tensor, "run batch obs"]) -> SquashedGaussian:
        """pi(a|s) over causes within +-1."""
        mean, raw = self.actor(observation).chunk(2, -1)
        return SquashedGaussian(mean, raw.clamp(*LOG_STD), -self.bound, self.bound)

    @torch.no_grad()
    def act(
        self, observation: Float[Tensor, "run batch obs"], noise: Float[Tensor, "run batch cause"] | None = None
    ) -> Float[Tensor, "run batch cause"]:
        """A draw for given noise; without noise the median action."""
        policy = self.policy(observation)
        return policy.point() if noise is None else policy.draw(noise)[0]

    @torch.no_grad()
    def values(self, observation: Float[Tensor, "run batch obs"]) -> Float[Tensor, "run critic batch"]:
        """Every critic at the policy's median action."""
        return self.critic(observation, self.act(observation))

    # ---- learning ----------------------------------------------------------------------------------------------------

    def update(self, batch: Transitions) -> dict[str, Float[Tensor, " run"]]:
        """One step of temperature, actor and critics, in this order; then the target critics follow."""
        c, rows = self.config, batch.rows
        noise = self.noise.normal(2, rows, self.causes)
        alpha = self.log_alpha.detach().exp()[:, None]

        cause, log_prob = self.policy(batch.observation).draw(noise[:, 0])
        least = self.critic(batch.observation, cause).amin(1)
        optimizer_step(self._actor, list(self.actor.parameters()), (alpha * log_prob - least).mean(1))
        if c.automatic:
            missing = (log_prob.detach() + self.entropy).mean(1)
            optimizer_step(self._alpha, [self.log_alpha], -self.log_alpha * missing)

        target = self.targets(batch, noise[:, 1])
        if c.eta:
            values, slopes = self.critic.with_slopes(batch.observation, batch.cause)
            spread = diversity(slopes)
        else:
            values = self.critic(batch.observation, batch.cause)
            spread = torch.zeros(self.runs, device=self.device)
        error = (values - target[:, None]).square().mean(-1).sum(-1)
        loss = error + c.eta * spread + self.regularizer(batch, values)
        optimizer_step(self._critic, list(self.critic.parameters()), loss)
        with torch.no_grad():
            for old, new in zip(self.target.parameters(), self.critic.parameters()):
                old.lerp_(new, c.tau)
        self.updates += 1
        return {
            "critic_loss": error.detach(),
            "value": values.detach().mean((1, 2)),
            "entropy": -log_prob.detach().mean(1),
            "alpha": alpha[:, 0],
            "diversity": spread.detach(),
        }

    @torch.no_grad()
    def targets(self, batch: Transitions, noise: Float[Tensor, "run batch cause"]) -> Float[Tensor, "run batch"]:
        """r + gamma (1 - terminated) (min_n Q_n(s', a') - alpha log pi(a'|s')), target critics, a' ~ pi."""
        cause, log_prob = self.policy(batch.next_observation).draw(noise)
        least = self.target(batch.next_observation, cause).amin(1)
        value = least - self.log_alpha.exp()[:, None] * log_prob if self.config.entropy_backup else least
        if self.bootstrap is not None:
            value = self.bootstrap(batch, value)
        return batch.reward + self.config.gamma * (~batch.terminated) * value

    def regularizer(
        self, batch: Transitions, values: Float[Tensor, "run critic batch"]
    ) -> Float[Tensor, " run"] | float:
        """What a variant adds to the critics' loss, given their values of the batch."""
        return 0.0


def optimizer_step(optimizer: torch.optim.Optimizer, parameters: list[nn.Parameter], loss: Tensor) -> None:
    """One step down the sum over runs of a loss.

    Only the gradients asked for are computed: an actor's step needs none of the critics' weights.
    """
    for parameter, gradient in zip(parameters, torch.autograd.grad(loss.sum(), parameters)):
        parameter.grad = gradient
    optimizer.step()
