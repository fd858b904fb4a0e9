"""Real-time iteration: a few denoising steps from a good guess instead of many from noise, and when that contracts.

RTI-DP (Duan, Yin, Kragic 2025, arXiv 2508.05396): the last chunk, shifted by one, enters a low level k as it is; one
DDPM step k -> k-1 is made for every listed level, whatever the next one listed is (gaps relabel the level). The mean of
such a step is the map mu_k(x) = (x - beta_k / sqrt(1 - abar_k) eps(x)) / sqrt(alpha_k); the product of the largest
stretches of these maps bounds how much of the guess's error is left. For Gaussian data N(m, s2 I) it has closed form:

    g_k = sqrt(alpha_k) D_{k-1} / D_k,  D_k = abar_k s2 + 1 - abar_k,  g_0 ... g_K' = sqrt(abar_K') s2 / D_K'
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor

from invdyn.diffusion.parameterize import Denoise
from invdyn.diffusion.path import DiscretePath
from invdyn.errors import ConfigError
from invdyn.nn.gaussians import standard_normal
from invdyn.training.hvp import spectral_norm

__all__ = ["gaussian_contraction", "guess_distance", "iteration_pairs", "measured_contraction", "shifted"]


def iteration_pairs(path: DiscretePath, levels: Sequence[int]) -> list[tuple[float, float]]:
    """Times (from, to) of one step down from each listed level, for a `Sampler`.

    Raises:
        ConfigError: no level, levels that do not fall, or that do not end at 0.
    """
    listed = list(levels)
    if not listed or any(a <= b for a, b in pairwise(listed)) or listed[-1] != 0:
        raise ConfigError(f"real-time iteration: levels {listed}; expected falling levels that end in 0, as [2, 1, 0].")
    return [(path.level_time(k), path.level_time(k - 1)) for k in listed]


def shifted(chunk: Float[Tensor, "batch time channel"], by: int = 1) -> Float[Tensor, "batch time channel"]:
    """The chunk `by` steps later, its last step repeated.

    Raises:
        ConfigError: a shift by more than the chunk.
    """
    if not 0 <= by <= chunk.shape[1]:
        raise ConfigError(f"a chunk of {chunk.shape[1]} steps cannot be shifted by {by}.")
    return torch.cat([chunk[:, by:], chunk[:, -1:].expand(-1, by, -1)], 1)


def guess_distance(
    path: DiscretePath, guess: Float[Tensor, "batch *event"], chunk: Float[Tensor, "batch *event"]
) -> Float[Tensor, " level"]:
    """Root mean square between the guess and alpha_k times the chunk it should have become, for every level k.

    The paper's remark on where to begin: at the level where this is least.
    """
    times = torch.tensor([path.level_time(k) for k in range(path.steps)], dtype=torch.float64)
    a = path.alpha(times)
    g, c = guess.double().flatten(), chunk.double().flatten()
    return ((g.square().sum() - 2 * a * (g * c).sum() + a.square() * c.square().sum()).clamp(min=0) / len(g)).sqrt()


def gaussian_contraction(
    path: DiscretePath, levels: Sequence[int], variance: Float[Tensor, "*any"]
) -> Float[Tensor, "*any"]:
    """Share of the guess's error that the mean maps of the listed levels leave, for data N(m, variance I).

    For [K', K'-1, ..., 0] it is sqrt(abar_K') s2 / D_K', below 1 iff s2 < 1 + 1 / sqrt(abar_K').
    """
    left = torch.ones_like(variance, dtype=torch.float64)
    for t, s in iteration_pairs(path, levels):
        ends = torch.tensor([t, s], dtype=torch.float64)
        alpha, sigma = path.alpha(ends), path.sigma(ends)
        spread = alpha[:, None] ** 2 * variance.double().reshape(1, -1) + sigma[:, None] ** 2
        left = left * (alpha[0] / alpha[1] * spread[1] / spread[0]).reshape(variance.shape)
    return left


def measured_contraction(
    denoise: Denoise,
    path: DiscretePath,
    levels: Sequence[int],
    guess: Float[Tensor, "batch *event"],
    generator: torch.Generator,
    tolerance: float = 1e-3,
) -> list[float]:
    """Per sample, the product over the levels of each mean map's largest stretch along the chain from `guess`.

    Largest singular values by power iteration on Jacobian products; the chain itself is run without noise.
    """
    found = []
    for one in guess.split(1):
        x, product = one, 1.0
        for t, s in iteration_pairs(path, levels):

            def mean(x: Tensor, t: float = t, s: float = s) -> Tensor:
                return _mean_map(denoise, path, t, s, x)

            product *= spectral_norm(mean, x, standard_normal(x, generator), tolerance=tolerance)
            with torch.no_grad():
                x = mean(x)
        found.append(product)
    return found


def _mean_map(denoise: Denoise, path: DiscretePath, t: float, s: float, x: Tensor) -> Tensor:
    """Mean of the DDPM posterior of x_s: the step of DDIM(eta=1) with its noise left out."""
    ends = torch.tensor([t, s], dtype=torch.float64)
    (alpha, below), (sigma, sigma_below) = path.alpha(ends).tolist(), path.sigma(ends).tolist()
    keep = alpha / below * (sigma_below / sigma) ** 2
    return keep * x + (below - keep * alpha) * denoise(x, torch.full((len(x),), t, dtype=x.dtype, device=x.device))
