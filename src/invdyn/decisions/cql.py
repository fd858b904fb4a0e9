"""`CQL`: soft actor-critic whose critics are pressed down where the data are not.

Kumar, Zhou, Tucker, Levine, NeurIPS 2020 (arXiv 2006.04779), CQL(H): to the critics' loss comes

    w (T log int exp(Q(s, a) / T) da - Q(s, a_data)),

the integral estimated with importance weights from uniform actions and from the policy at s and at s' (appendix F).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from invdyn.decisions.sac import SAC, SACConfig
from invdyn.decisions.transitions import Transitions
from invdyn.errors import ConfigError

__all__ = ["CQL", "CQLConfig"]

CQL_SAC = SACConfig(critics=2, eta=0.0, actor_lr=1e-4, critic_lr=3e-4, alpha_lr=1e-4, entropy_backup=False)


@dataclass(frozen=True)
class CQLConfig:
    """Settings; defaults are those of card ssorl.

    Args:
        sac: the actor-critic underneath.
        weight: w.
        samples: actions drawn per state from each of the three sources.
        temperature: T.
    """

    sac: SACConfig = CQL_SAC
    weight: float = 5.0
    samples: int = 10
    temperature: float = 1.0

    def __post_init__(self) -> None:
        if self.samples < 1 or self.temperature <= 0 or self.weight < 0:
            raise ConfigError(
                f"CQL: samples {self.samples} is at least 1, temperature {self.temperature} positive, "
                f"weight {self.weight} not negative."
            )


class CQL(SAC):
    """Conservative Q-learning for several runs side by side.

    Args:
        config: settings.
        observations, causes: components of s and a.
        seeds: one per run.
        device: where it learns.
    """

    def __init__(
        self, config: CQLConfig, observations: int, causes: int, seeds: Sequence[int], *, device: str = "cpu"
    ) -> None:
        super().__init__(config.sac, observations, causes, seeds, device=device)
        self.conservative = config

    def log_integral(
        self, observation: Float[Tensor, "run batch obs"], following: Float[Tensor, "run batch obs"]
    ) -> Float[Tensor, "run critic batch"]:
        """T log int exp(Q(s, a) / T) da over the action box, estimated."""
        c, (runs, batch, _) = self.conservative, observation.shape
        repeated = observation.repeat_interleave(c.samples, 1)
        noise = self.noise.normal(2, batch * c.samples, self.causes)
        uniform = (2 * self.noise.uniform(batch * c.samples, self.causes) - 1).float()
        flat = torch.full((runs, batch * c.samples), self.causes * math.log(0.5), device=self.device)
        sources = [(uniform, flat)]
        with torch.no_grad():
            for number, place in enumerate((repeated, following.repeat_interleave(c.samples, 1))):
                sources.append(self.policy(place).draw(noise[:, number]))
        parts = []
        for cause, log_density in sources:
            weighted = self.critic(repeated, cause) / c.temperature - log_density[:, None]
            parts.append(weighted.reshape(runs, -1, batch, c.samples))
        every = torch.cat(parts, -1)
        return c.temperature * (torch.logsumexp(every, -1) - math.log(every.shape[-1]))

    def regularizer(self, batch: Transitions, values: Float[Tensor, "run critic batch"]) -> Float[Tensor, " run"]:
        """w (log-integral - value of the recorded action), mean over the batch, sum over critics."""
        gap = self.log_integral(batch.observation, batch.next_observation) - values
        return self.conservative.weight * gap.mean(-1).sum(-1)
