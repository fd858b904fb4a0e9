"""Guides: hooks (x, t, D) -> D of the one sampling loop. Conditions, measurements, known entries bend D, nothing else.

Since score = (alpha D - x) / sigma^2, adding grad log p(y | x_t) to the score adds sigma^2 / alpha times it to D
(Lai et al. 2025, arXiv 2510.21890, chapter 8).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from invdyn.diffusion.parameterize import Denoise
from invdyn.diffusion.path import Path, along
from invdyn.errors import ConfigError

__all__ = ["Chain", "ClassifierFree", "ClassifierGuide", "Imputation", "Measurement"]


@dataclass(frozen=True)
class ClassifierFree:
    """D_w = D_u + w (D_c - D_u): the loop's D is without condition (Ho, Salimans 2022, arXiv 2207.12598).

    Samples do not follow p(x) p(c|x)^w: the tilted density's score at noise t is not the tilt of the scores there.

    Args:
        conditional: D under the condition.
        weight: 0 leaves D_u, 1 gives D_c, both exactly; above 1 pushes further.
        path: of the interval.
        interval: lambda = log(alpha/sigma) within which the weight holds; outside it is 1 (Kynkäänniemi et al. 2024).
    """

    conditional: Denoise
    weight: float
    path: Path | None = None
    interval: tuple[float, float] = (-math.inf, math.inf)

    def __post_init__(self) -> None:
        if self.path is None and self.interval != (-math.inf, math.inf):
            raise ConfigError("classifier-free guidance on an interval of lambda needs the path. Pass path=.")

    def __call__(
        self, x: Float[Tensor, "batch *event"], t: Float[Tensor, " batch"], denoised: Float[Tensor, "batch *event"]
    ) -> Float[Tensor, "batch *event"]:
        if self.path is None:
            # lerp is exact at both ends, D_u + w (D_c - D_u) is not.
            return denoised if self.weight == 0 else torch.lerp(denoised, self.conditional(x, t), self.weight)
        ratio = self.path.log_ratio(t)
        inside = (ratio >= self.interval[0]) & (ratio <= self.interval[1])
        weight = torch.where(inside, self.weight, 1.0).to(x.dtype)
        return torch.lerp(denoised, self.conditional(x, t), along(weight, x).expand_as(x))


@dataclass(frozen=True)
class ClassifierGuide:
    """D + w sigma^2/alpha grad_x log p(y | x_t), for a likelihood that reads the noisy x itself.

    Args:
        log_likelihood: (x, t) -> log p(y | x_t) [batch], differentiable in x.
        path: of the samples.
        weight: factor on the gradient.
    """

    log_likelihood: Callable[[Tensor, Tensor], Tensor]
    path: Path
    weight: float = 1.0

    def __call__(
        self, x: Float[Tensor, "batch *event"], t: Float[Tensor, " batch"], denoised: Float[Tensor, "batch *event"]
    ) -> Float[Tensor, "batch *event"]:
        with torch.enable_grad():
            leaf = x.detach().requires_grad_(True)
            (slope,) = torch.autograd.grad(self.log_likelihood(leaf, t).sum(), leaf)
        return denoised + self.weight * _lever(self.path, t, x) * slope


@dataclass(frozen=True)
class Measurement:
    """D + w sigma^2/alpha grad_x log p(y | D(x_t)), the gradient taken through the network.

    With log p = -|y - f(D)|^2 / (2 r_t^2) this is diffusion posterior sampling (Chung et al. 2023, arXiv 2209.14687);
    with the covariance of x0 given x_t in the likelihood it is exact for a Gaussian prior and linear f. Where
    alpha is 0 gradient and lever are 0 and infinite: nothing is pushed there, so start a little below pure noise.

    Args:
        log_likelihood: (D, t) -> log p(y | D) [batch], differentiable in D.
        path: of the samples.
        weight: factor on the gradient.
    """

    log_likelihood: Callable[[Tensor, Tensor], Tensor]
    path: Path
    weight: float = 1.0
    through_net: ClassVar[bool] = True

    def __call__(
        self, x: Float[Tensor, "batch *event"], t: Float[Tensor, " batch"], denoised: Float[Tensor, "batch *event"]
    ) -> Float[Tensor, "batch *event"]:
        if not denoised.requires_grad:
            raise ConfigError(
                "measurement guide: D does not depend on x by autograd; the sampler passes it with its graph."
            )
        (slope,) = torch.autograd.grad(self.log_likelihood(denoised, t).sum(), x, retain_graph=True)
        return denoised + self.weight * _lever(self.path, t, x) * slope


@dataclass(frozen=True)
class Imputation:
    """Known entries of the data stand in D as they are; the others follow the model (in-painting, first frames, goals).

    Args:
        known: values [batch, ...] or broadcastable; what is not known is ignored.
        mask: True where known.
    """

    known: Tensor
    mask: Bool[Tensor, "..."]

    def __call__(
        self, x: Float[Tensor, "batch *event"], t: Float[Tensor, " batch"], denoised: Float[Tensor, "batch *event"]
    ) -> Float[Tensor, "batch *event"]:
        return torch.where(self.mask, self.known.to(denoised.dtype), denoised)


class Chain:
    """Several guides, one after another."""

    def __init__(self, *guides: Callable[[Tensor, Tensor, Tensor], Tensor]) -> None:
        self.guides = guides
        self.through_net = any(getattr(g, "through_net", False) for g in guides)

    def __call__(
        self, x: Float[Tensor, "batch *event"], t: Float[Tensor, " batch"], denoised: Float[Tensor, "batch *event"]
    ) -> Float[Tensor, "batch *event"]:
        for guide in self.guides:
            denoised = guide(x, t, denoised)
        return denoised


def _lever(path: Path, t: Tensor, x: Tensor) -> Tensor:
    """sigma^2 / alpha; 0 where alpha is: pure noise says nothing about the data and takes no push."""
    alpha, sigma = path.alpha(t), path.sigma(t)
    return along(torch.where(alpha > 0, sigma.square() / alpha, 0.0), x)
