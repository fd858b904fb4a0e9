"""`ProbabilisticEnsemble`: nets that each tell mean and variance; `EnsembleDynamics`: the model made of them.

Chua, Calandra, McAllister, Levine, NeurIPS 2018 (arXiv 1805.12114) with the sizes, start and decay of MBPO (Janner et
al., NeurIPS 2019, arXiv 1906.08253), which MOPO, RAVL and MOREC use unchanged.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn
from torch.nn import functional

from invdyn.errors import ConfigError
from invdyn.nn.stacked_mlp import StackedMLP
from invdyn.worlds.forward_model import ForwardModel, ModelStep

__all__ = ["DECAYS", "WIDEST", "Ends", "EnsembleDynamics", "ProbabilisticEnsemble"]

DECAYS = (2.5e-5, 5e-5, 7.5e-5, 7.5e-5, 1e-4)
"""Of the squared weights of each layer (MBPO)."""
BOUND_WEIGHT = 0.01
"""Of the distance between the bounds of the log-variance in the loss (Chua et al., appendix A.1)."""
WIDEST = 10.0
"""Standardised inputs are clipped here (card ravl): far outside the data the nets would extrapolate without limit."""

Ends = Callable[[Tensor, Tensor, Tensor], Bool[Tensor, " batch"]]
"""State, cause and next state to whether the episode ends: known for the tasks, not learnt."""


class ProbabilisticEnsemble(nn.Module):
    """Members that tell a Gaussian each, [member, batch, out].

    The log-variance is held softly between two learnt bounds per output, which all members share.

    Args:
        inputs, outputs: features in and out.
        members: nets.
        width, depth: units of each hidden layer, and their number.
        generator: of the start weights: normal with sd 1/(2 sqrt(inputs)), cut at two sd; biases 0.
    """

    shift: Tensor
    scale: Tensor
    elites: Tensor

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        members: int = 7,
        width: int = 200,
        depth: int = 4,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.members, self.outputs = members, outputs
        self.nets = StackedMLP(members, inputs, 2 * outputs, width=width, depth=depth, activation="silu")
        with torch.no_grad():
            for weight, bias in zip(self.nets.weights, self.nets.biases):
                sd = 0.5 * weight.shape[1] ** -0.5
                nn.init.trunc_normal_(weight, std=sd, a=-2 * sd, b=2 * sd, generator=generator)
                bias.zero_()
        self.highest = nn.Parameter(torch.full((outputs,), 0.5))
        self.lowest = nn.Parameter(torch.full((outputs,), -10.0))
        self.register_buffer("shift", torch.zeros(inputs))
        self.register_buffer("scale", torch.ones(inputs))
        self.register_buffer("elites", torch.arange(members))

    def standardise(self, inputs: Float[Tensor, "rows in"]) -> None:
        """Take shift and scale of the inputs from training data."""
        self.shift.copy_(inputs.mean(0))
        self.scale.copy_(inputs.std(0).clamp(min=1e-6))

    def forward(
        self, inputs: Float[Tensor, "member batch in"]
    ) -> tuple[Float[Tensor, "member batch out"], Float[Tensor, "member batch out"]]:
        """Mean and log-variance."""
        x = ((inputs - self.shift) / self.scale).clamp(-WIDEST, WIDEST)
        mean, raw = self.nets(x).chunk(2, -1)
        raw = self.highest - functional.softplus(self.highest - raw)
        return mean, self.lowest + functional.softplus(raw - self.lowest)

    def everywhere(
        self, inputs: Float[Tensor, "batch in"]
    ) -> tuple[Float[Tensor, "member batch out"], Float[Tensor, "member batch out"]]:
        """Every member's mean and log-variance of the same inputs."""
        return self(inputs.expand(self.members, *inputs.shape))

    def loss(
        self, inputs: Float[Tensor, "member batch in"], wanted: Float[Tensor, "member batch out"]
    ) -> Float[Tensor, ""]:
        """Sum over members of mean(log var + err^2 / var), the bounds' distance, the layers' decay."""
        mean, log_variance = self(inputs)
        fit = (log_variance + (mean - wanted).square() * torch.exp(-log_variance)).mean((1, 2)).sum()
        bounds = BOUND_WEIGHT * (self.highest.sum() - self.lowest.sum())
        layers = len(self.nets.weights)
        decays = DECAYS if layers == len(DECAYS) else [DECAYS[0]] * (layers - 1) + [DECAYS[-1]]
        decay = sum(0.5 * d * w.square().sum() for d, w in zip(decays, self.nets.weights))
        return fit + bounds + decay

    @torch.no_grad()
    def errors(self, inputs: Float[Tensor, "batch in"], wanted: Float[Tensor, "batch out"]) -> Float[Tensor, " member"]:
        """Mean squared error of each member's mean."""
        return (self.everywhere(inputs)[0] - wanted).square().mean((1, 2))

    def choose(self, elites: Sequence[int]) -> None:
        """Which members predict from now on.

        Raises:
            ConfigError: none, or one that is not there.
        """
        if not elites or not all(0 <= e < self.members for e in elites):
            raise ConfigError(f"ensemble: elites {list(elites)} are not among its {self.members} members, or none.")
        self.elites = torch.tensor(sorted(elites), device=self.elites.device)


class EnsembleDynamics(ForwardModel):
    """An ensemble that predicts (change of state, reward) as a `ForwardModel`.

    Args:
        ensemble: from (state, cause in half-ranges) to (change of state, reward).
        low, high: bounds of the cause.
        ends: the known done function; None for tasks that never end.
        samples: draws of each elite that `candidates` gives.
        limit: predicted states and rewards are held within +-limit; None leaves them (MOREC: 25 for D4RL).
        average: predict the mean of the elites' means instead of draws, always the same.
    """

    def __init__(
        self,
        ensemble: ProbabilisticEnsemble,
        low: Float[Tensor, " cause"],
        high: Float[Tensor, " cause"],
        *,
        ends: Ends | None = None,
        samples: int = 2,
        limit: float | None = None,
        average: bool = False,
    ) -> None:
        self.ensemble, self.ends, self.samples = ensemble.eval(), ends, samples
        self.limit, self.average = torch.inf if limit is None else limit, average
        self.middle, self.half = (high + low) / 2, (high - low) / 2

    @torch.no_grad()
    def _predict(self, state: Tensor, cause: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Means and sd of the elites, and max over all members of |sd|."""
        inputs = torch.cat([state, (cause - self.middle) / self.half], -1)
        mean, log_variance = self.ensemble.everywhere(inputs)
        std = torch.exp(0.5 * log_variance)
        return mean[self.ensemble.elites], std[self.ensemble.elites], std.norm(dim=-1).amax(0)

    def _made(self, state: Tensor, cause: Tensor, drawn: Tensor, spread: Tensor) -> ModelStep:
        after = (state + drawn[..., :-1]).clamp(-self.limit, self.limit)
        reward = drawn[..., -1].clamp(-self.limit, self.limit)
        ended = torch.zeros(after.shape[:-1], dtype=torch.bool, device=state.device)
        if self.ends is not None:
            several = after.reshape(-1, *state.shape)
            ended = torch.stack([self.ends(state, cause, a) for a in several]).reshape(after.shape[:-1])
        return ModelStep(after, reward, ended, spread.expand(after.shape[:-1]))

    def step(
        self,
        state: Float[Tensor, "batch state"],
        cause: Float[Tensor, "batch cause"],
        generator: torch.Generator | None = None,
    ) -> ModelStep:
        """One draw of one elite per row, chosen at random."""
        mean, std, spread = self._predict(state, cause)
        if self.average:
            return self._made(state, cause, mean.mean(0), spread)
        rows = torch.arange(len(state), device=state.device)
        which: Int64[Tensor, " batch"] = torch.randint(len(mean), (len(state),), generator=generator).to(state.device)
        noise = torch.randn(mean.shape[1:], generator=generator).to(state)
        return self._made(state, cause, mean[which, rows] + std[which, rows] * noise, spread)

    def candidates(
        self,
        state: Float[Tensor, "batch state"],
        cause: Float[Tensor, "batch cause"],
        generator: torch.Generator | None = None,
    ) -> ModelStep:
        """`samples` draws of every elite."""
        if self.average:
            return super().candidates(state, cause, generator)
        mean, std, spread = self._predict(state, cause)
        mean, std = (v.repeat(self.samples, 1, 1) for v in (mean, std))
        drawn = mean + std * torch.randn(mean.shape, generator=generator).to(state)
        return self._made(state, cause, drawn, spread)
