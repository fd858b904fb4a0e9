"""Continuous answers: diagonal, tanh-squashed and clipped Gaussians, Gaussian mixtures.

All work on [..., cause]; leading axes (batch, or member and batch) are independent.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from invdyn.nn.distributions import CauseDistribution

__all__ = ["ClippedGaussian", "Factored", "Gaussian", "GaussianMixture", "SquashedGaussian"]

LOG_2PI = math.log(2 * math.pi)
MARGIN = 1e-6
"""Squashed values keep this distance from their bounds, as a share of half the range (SS-ORL: 1e-6 on [-1, 1])."""


def normal_log_density(z: Tensor, log_std: Tensor) -> Tensor:
    """log N of a standardised deviation z = (x - mean) / std."""
    return -0.5 * (z * z + LOG_2PI) - log_std


def standard_normal(like: Tensor, generator: torch.Generator | None) -> Tensor:
    """Drawn where the generator lives (one of the CPU gives the same numbers for every device), put beside `like`."""
    device = like.device if generator is None else generator.device
    return torch.randn(like.shape, generator=generator, dtype=like.dtype, device=device).to(like.device)


class Factored(CauseDistribution):
    """A distribution with independent dimensions, so that missing ones can be left out of a loss."""

    def log_prob_per_dimension(self, value: Float[Tensor, "*batch cause"]) -> Float[Tensor, "*batch cause"]:
        """Log-density of each dimension."""
        raise NotImplementedError

    def log_prob(self, value: Float[Tensor, "*batch cause"]) -> Float[Tensor, "*batch"]:
        return self.log_prob_per_dimension(value).sum(-1)


class Gaussian(Factored):
    """N(mean, std^2) per dimension.

    Args:
        mean, log_std: [..., cause] in the cause's unit.
        low, high: bounds the point is clipped to (the density is not), or None.
    """

    def __init__(
        self,
        mean: Float[Tensor, "*batch cause"],
        log_std: Float[Tensor, "*batch cause"],
        low: Float[Tensor, " cause"] | None = None,
        high: Float[Tensor, " cause"] | None = None,
    ) -> None:
        self.mean, self.log_std, self.low, self.high = mean, log_std, low, high

    def point(self) -> Float[Tensor, "*batch cause"]:
        if self.low is None and self.high is None:
            return self.mean
        return torch.clamp(self.mean, self.low, self.high)

    def sample(self, generator: torch.Generator | None = None) -> Float[Tensor, "*batch cause"]:
        return self.mean + self.log_std.exp() * standard_normal(self.mean, generator)

    def log_prob_per_dimension(self, value: Float[Tensor, "*batch cause"]) -> Float[Tensor, "*batch cause"]:
        return normal_log_density((value - self.mean) * torch.exp(-self.log_std), self.log_std)

    def spread(self) -> Float[Tensor, "*batch cause"]:
        return self.log_std.exp()

    def deviation(
        self, value: Float[Tensor, "*batch cause"]
    ) -> tuple[Float[Tensor, "*batch cause"], Bool[Tensor, "*batch cause"]]:
        """Value - mean of the base Gaussian, and where that is known (not for saturated causes)."""
        return value - self.mean, torch.ones_like(value, dtype=torch.bool)

    @property
    def variance(self) -> Float[Tensor, "*batch cause"]:
        return torch.exp(2 * self.log_std)


class SquashedGaussian(Factored):
    """a = low + (high - low) (tanh(u) + 1) / 2 with u ~ N(mean, std^2): a bounded cause (SS-ORL; SAC, appendix C).

    The Jacobian needs no tanh of large numbers: with d = a - low and e = high - a,
    u = (log d - log e) / 2 and log da/du = log 2 + log d + log e - log(high - low).

    Args:
        mean, log_std: [..., cause] of the base Gaussian, before squashing.
        low, high: [cause] bounds in the cause's unit.
    """

    def __init__(
        self,
        mean: Float[Tensor, "*batch cause"],
        log_std: Float[Tensor, "*batch cause"],
        low: Float[Tensor, " cause"],
        high: Float[Tensor, " cause"],
    ) -> None:
        self.base_mean, self.log_std, self.low, self.high = mean, log_std, low, high

    def squash(self, u: Tensor) -> Tensor:
        middle, half = (self.high + self.low) / 2, (self.high - self.low) / 2
        return middle + half * torch.tanh(u)

    def point(self) -> Float[Tensor, "*batch cause"]:
        """The base mean, squashed: the median (and, for a small spread, the mean)."""
        return self.squash(self.base_mean)

    def sample(self, generator: torch.Generator | None = None) -> Float[Tensor, "*batch cause"]:
        return self.squash(self.base_mean + self.log_std.exp() * standard_normal(self.base_mean, generator))

    def draw(
        self, noise: Float[Tensor, "*batch cause"]
    ) -> tuple[Float[Tensor, "*batch cause"], Float[Tensor, "*batch"]]:
        """The cause that standard normal noise stands for, and its log-density; both differentiable.

        Unlike `log_prob` of the drawn value this needs no inverse, so its gradient is exact at saturation too (SAC,
        appendix C; log(1 - tanh^2 u) = 2 (log 2 - u - softplus(-2 u))).
        """
        u = self.base_mean + self.log_std.exp() * noise
        jacobian = torch.log((self.high - self.low) / 2) + 2 * (math.log(2) - u - torch.nn.functional.softplus(-2 * u))
        return self.squash(u), (normal_log_density(noise, self.log_std) - jacobian).sum(-1)

    def log_prob_per_dimension(self, value: Float[Tensor, "*batch cause"]) -> Float[Tensor, "*batch cause"]:
        margin = MARGIN * (self.high - self.low) / 2
        # Both distances are clamped at both ends: no value is further out than the margin, whatever its rounding.
        below, above = (
            torch.log(torch.minimum(torch.maximum(d, margin), self.high - self.low - margin))
            for d in (value - self.low, self.high - value)
        )
        jacobian = math.log(2) + below + above - torch.log(self.high - self.low)
        z = ((below - above) / 2 - self.base_mean) * torch.exp(-self.log_std)
        return normal_log_density(z, self.log_std) - jacobian

    def deviation(
        self, value: Float[Tensor, "*batch cause"]
    ) -> tuple[Float[Tensor, "*batch cause"], Bool[Tensor, "*batch cause"]]:
        """Unsquashed value - base mean, and where that is known (not at the bounds)."""
        share = (value - self.low) / (self.high - self.low)
        inside = (share > MARGIN) & (share < 1 - MARGIN)
        u = torch.logit(torch.where(inside, share, torch.full_like(share, 0.5))) / 2
        return u - self.base_mean, inside

    def _expect(self, nodes: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
        values = self.squash(self.base_mean[..., None, :] + self.log_std.exp()[..., None, :] * nodes[:, None])
        mean = (values * weights[:, None]).sum(-2)
        return mean, ((values - mean[..., None, :]).square() * weights[:, None]).sum(-2)

    def moments(self) -> tuple[Float[Tensor, "*batch cause"], Float[Tensor, "*batch cause"]]:
        """Mean and variance of the cause: trapezoid rule over +-8 base deviations, 129 nodes.

        The rule converges like exp(-2 pi r / h) with r = pi / (2 std) the distance of tanh's nearest pole:
        better than 1e-6 for every std the heads can give (<= e^2).
        """
        nodes = torch.linspace(-8, 8, 129, dtype=self.base_mean.dtype, device=self.base_mean.device)
        weights = torch.exp(-0.5 * nodes * nodes)
        return self._expect(nodes, weights / weights.sum())

    def spread(self) -> Float[Tensor, "*batch cause"]:
        """Standard deviation of the cause by an 8-point Gauss-Hermite rule (fast; `moments` is exact)."""
        x, w = np.polynomial.hermite_e.hermegauss(8)
        nodes, weights = (torch.as_tensor(v, dtype=self.base_mean.dtype, device=self.base_mean.device) for v in (x, w))
        return self._expect(nodes, weights / weights.sum())[1].sqrt()


class ClippedGaussian(Factored):
    """a = clip(u, low, high) with u ~ N(mean, std^2): a cause that saturates (a clipped controller, a bang-bang force).

    Between the bounds it has the Gaussian's density; on each bound sits the mass beyond it (Tobin 1958), so a
    saturated label only says that the wish was at least that large. `log_prob` is a density inside and a
    log-probability on the bounds.

    Args:
        mean, log_std: [..., cause] before clipping, in the cause's unit.
        low, high: [cause] bounds in the cause's unit.
    """

    def __init__(
        self,
        mean: Float[Tensor, "*batch cause"],
        log_std: Float[Tensor, "*batch cause"],
        low: Float[Tensor, " cause"],
        high: Float[Tensor, " cause"],
    ) -> None:
        self.base_mean, self.log_std, self.low, self.high = mean, log_std, low, high

    def point(self) -> Float[Tensor, "*batch cause"]:
        """The median: the base mean, clipped."""
        return torch.clamp(self.base_mean, self.low, self.high)

    def sample(self, generator: torch.Generator | None = None) -> Float[Tensor, "*batch cause"]:
        u = self.base_mean + self.log_std.exp() * standard_normal(self.base_mean, generator)
        return torch.clamp(u, self.low, self.high)

    def log_prob_per_dimension(self, value: Float[Tensor, "*batch cause"]) -> Float[Tensor, "*batch cause"]:
        inverse = torch.exp(-self.log_std)
        margin = MARGIN * (self.high - self.low) / 2
        inside = normal_log_density((value - self.base_mean) * inverse, self.log_std)
        low, high = value <= self.low + margin, value >= self.high - margin
        # Only where they are asked for: the gradient of log_ndtr far out is NaN, and 0 times NaN is NaN.
        at_low = torch.special.log_ndtr(((self.low - self.base_mean) * inverse).where(low, 0.0))
        at_high = torch.special.log_ndtr(((self.base_mean - self.high) * inverse).where(high, 0.0))
        return torch.where(low, at_low, torch.where(high, at_high, inside))

    def deviation(
        self, value: Float[Tensor, "*batch cause"]
    ) -> tuple[Float[Tensor, "*batch cause"], Bool[Tensor, "*batch cause"]]:
        """Value - base mean, and where that is known (not at the bounds)."""
        margin = MARGIN * (self.high - self.low) / 2
        return value - self.base_mean, (value > self.low + margin) & (value < self.high - margin)

    def moments(self) -> tuple[Float[Tensor, "*batch cause"], Float[Tensor, "*batch cause"]]:
        """Mean and variance of the cause, in closed form."""
        std = self.log_std.exp()
        a, b = (self.low - self.base_mean) / std, (self.high - self.base_mean) / std
        below, above = torch.special.ndtr(a), torch.special.ndtr(-b)
        inside = 1 - below - above
        pdf_a, pdf_b = (torch.exp(-0.5 * x * x - 0.5 * LOG_2PI) for x in (a, b))
        # Moments of the deviation from the base mean, in base deviations: stable when the bounds are far away.
        first = pdf_a - pdf_b + below * a + above * b
        second = inside + a * pdf_a - b * pdf_b + below * a * a + above * b * b
        return self.base_mean + std * first, (std * std * (second - first * first)).clamp_min(0)

    def spread(self) -> Float[Tensor, "*batch cause"]:
        """Standard deviation before clipping: the certainty of a saturated answer would otherwise read as 0."""
        return self.log_std.exp()


class GaussianMixture(CauseDistribution):
    """sum_k p_k N(mean_k, diag std_k^2): several explanations of one observation.

    Args:
        logits: [..., component].
        means, log_stds: [..., component, cause] in the cause's unit.
        low, high: bounds the point is clipped to, or None.
        answer: `mode` (the component mean of highest density) or `mean`.
    """

    def __init__(
        self,
        logits: Float[Tensor, "*batch component"],
        means: Float[Tensor, "*batch component cause"],
        log_stds: Float[Tensor, "*batch component cause"],
        low: Float[Tensor, " cause"] | None = None,
        high: Float[Tensor, " cause"] | None = None,
        answer: str = "mode",
    ) -> None:
        self.log_weights = torch.log_softmax(logits, -1)
        self.means, self.log_stds, self.low, self.high, self.answer = means, log_stds, low, high, answer

    @property
    def mean(self) -> Float[Tensor, "*batch cause"]:
        return (self.log_weights.exp()[..., None] * self.means).sum(-2)

    @property
    def mode(self) -> Float[Tensor, "*batch cause"]:
        """The component mean with the highest density under the whole mixture (exact for separated components)."""
        at_means = torch.stack([self.log_prob(m) for m in self.means.unbind(-2)], -1)
        best = at_means.argmax(-1)[..., None, None].expand(*self.means.shape[:-2], 1, self.means.shape[-1])
        return self.means.gather(-2, best).squeeze(-2)

    def point(self) -> Float[Tensor, "*batch cause"]:
        point = self.mode if self.answer == "mode" else self.mean
        return point if self.low is None and self.high is None else torch.clamp(point, self.low, self.high)

    def sample(self, generator: torch.Generator | None = None) -> Float[Tensor, "*batch cause"]:
        weights = self.log_weights.exp().reshape(-1, self.log_weights.shape[-1])
        which = torch.multinomial(weights, 1, generator=generator).reshape(*self.log_weights.shape[:-1], 1, 1)
        which = which.expand(*self.means.shape[:-2], 1, self.means.shape[-1])
        mean, log_std = (t.gather(-2, which).squeeze(-2) for t in (self.means, self.log_stds))
        return mean + log_std.exp() * standard_normal(mean, generator)

    def log_prob(self, value: Float[Tensor, "*batch cause"]) -> Float[Tensor, "*batch"]:
        z = (value[..., None, :] - self.means) * torch.exp(-self.log_stds)
        return torch.logsumexp(self.log_weights + normal_log_density(z, self.log_stds).sum(-1), -1)

    @property
    def variance(self) -> Float[Tensor, "*batch cause"]:
        weights = self.log_weights.exp()[..., None]
        within = torch.exp(2 * self.log_stds) + (self.means - self.mean[..., None, :]).square()
        return (weights * within).sum(-2)

    def spread(self) -> Float[Tensor, "*batch cause"]:
        """Standard deviation of the whole mixture."""
        return self.variance.sqrt()
