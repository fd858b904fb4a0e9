"""Static Schrödinger bridges: `gaussian_coupling` in closed form, `sinkhorn` between point sets.

The bridge between two populations under a Brownian reference of variance s^2 = sigma^2 T is the coupling that minimises
E|x - y|^2 / 2 - s^2 H: entropic optimal transport with cost |x - y|^2 / 2 and regularisation s^2 (Léonard 2014).
Between Gaussians its cross-covariance is C = (S0^1/2 (4 S0^1/2 S1 S0^1/2 + s^4 I)^1/2 S0^-1/2 - s^2 I) / 2 (Bunne et
al., AISTATS 2023; Janati et al., NeurIPS 2020).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from invdyn.errors import ConfigError

__all__ = ["Coupling", "gaussian_coupling", "sinkhorn"]


def _root(matrix: Float[Tensor, "d d"]) -> Float[Tensor, "d d"]:
    values, vectors = torch.linalg.eigh(matrix)
    return (vectors * values.clamp_min(0).sqrt()) @ vectors.mT


def gaussian_coupling(
    first: Float[Tensor, "d d"], second: Float[Tensor, "d d"], variance: float
) -> Float[Tensor, "d d"]:
    """Cross-covariance E[(x - m0)(y - m1)'] of the bridge between N(m0, first) and N(m1, second).

    Args:
        first, second: covariances; the first must have full rank.
        variance: s^2 = sigma^2 T of the Brownian reference.
    """
    root = _root(first)
    inner = 4 * root @ second @ root + variance**2 * torch.eye(len(first)).to(first)
    return (root @ _root(inner) @ torch.linalg.inv(root) - variance * torch.eye(len(first)).to(first)) / 2


@dataclass(frozen=True)
class Coupling:
    """An entropic transport plan.

    Args:
        plan: joint weights, summing to one.
        gap: largest difference of a marginal from the wanted one, as a share of the uniform weight.
        rounds: Sinkhorn rounds used.
    """

    plan: Float[Tensor, "n m"]
    gap: float
    rounds: int


def sinkhorn(
    x: Float[Tensor, "n d"],
    y: Float[Tensor, "m d"],
    variance: float,
    *,
    tolerance: float = 1e-9,
    rounds: int = 10_000,
) -> Coupling:
    """The bridge's coupling of two equally weighted point sets, by iterative proportional fitting in logarithms.

    Args:
        x, y: points.
        variance: s^2, the entropic regularisation for the cost |x - y|^2 / 2.
        tolerance: of the marginal, as a share of the uniform weight.
        rounds: at most.

    Raises:
        ConfigError: a variance that is not above zero.
    """
    if not variance > 0:
        raise ConfigError(f"sinkhorn: variance {variance}; the reference needs noise, above 0.")
    kernel = -(x.double()[:, None] - y.double()[None]).square().sum(-1) / (2 * variance)
    left, right = kernel.new_full((len(x),), -math.log(len(x))), kernel.new_full((len(y),), -math.log(len(y)))
    f, g = torch.zeros_like(left), torch.zeros_like(right)
    used, gap = 0, float("inf")
    while used < rounds and not gap < tolerance:
        used += 1
        g = right - torch.logsumexp(kernel + f[:, None], 0)
        row = torch.logsumexp(kernel + g[None], 1)
        gap = float(((f + row - left).exp() - 1).abs().max())
        f = left - row
    return Coupling((kernel + f[:, None] + g[None]).exp().to(x.dtype), gap, used)
