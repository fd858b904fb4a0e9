"""Sizes and test functions of the nesterov-dynamics study."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from invdyn.errors import require
from invdyn.learning import Objective, kinked, log_sum_exp, logistic, orthogonal_init, quadratic

__all__ = ["NesterovConfig", "known_functions", "normal", "spectrum"]


@dataclass(frozen=True)
class NesterovConfig:
    """Sizes of one scale. Card = the study's specification; ours = chosen here."""

    parts: tuple[str, ...] = (
        "manifold",
        "slow",
        "limit",
        "splitting",
        "certificate",
        "cycle",
        "radii",
        "rates",
        "identify",
        "performance",
    )
    """Which experiments run."""
    dim: int = 20
    """Unknowns of the random functions (ours; rates: `rate_dim`)."""
    rate_dim: int = 100
    """Unknowns of the quadratics whose iterations are counted (card)."""
    kappas: tuple[float, ...] = (10.0, 31.6, 100.0, 316.0, 1000.0, 3160.0, 10_000.0)
    """Condition numbers of the rates (card: 10 to 1e4)."""
    features: int = 64
    """Width of the frozen random network under the logistic head (ours)."""
    images: int = 600
    """Digits the head is trained on (ours)."""
    starts: int = 8
    """Starts per function whose certificates are checked at every step (ours)."""
    steps: int = 300
    """Steps of the certificate check (ours)."""
    cycle_starts: int = 1000
    """Random starts of heavy ball on the kinked function (ours)."""
    trials: int = 5
    """Optimisers to identify per seed, function and method, without and with noise (ours)."""
    performance_steps: int = 5
    """Steps of the semidefinite worst case (card: N = 1 to 5, kappa 10)."""


def normal(g: torch.Generator, *shape: int) -> Tensor:
    """Standard normal numbers, float64."""
    return torch.randn(*shape, generator=g, dtype=torch.float64)


def spectrum(kappa: float, dim: int) -> Tensor:
    """Eigenvalues from 1 to kappa, even on a logarithmic scale, both ends included."""
    return torch.logspace(0, math.log10(kappa), dim, dtype=torch.float64)


def known_functions(config: NesterovConfig, g: torch.Generator, kappa: float = 100.0) -> list[Objective]:
    """A rotated quadratic, log-sum-exp with ridge, a logistic head on a frozen random network, the kinked function.

    The head tells even from odd digits (8 x 8 pixels, scikit-learn); its features are scaled to L - mu = 1, mu = 0.01.
    """
    n = config.dim
    rotated = quadratic(spectrum(kappa, n), orthogonal_init(n, n, g)[0], normal(g, n))
    soft = log_sum_exp(normal(g, 2 * n, n) / 3, normal(g, 2 * n), 0.5, normal(g, n))
    pixels, classes = require("sklearn.datasets", "studies").load_digits(return_X_y=True)
    images = torch.from_numpy(np.asarray(pixels[: config.images], float) / 16)
    hidden = torch.tanh((images - images.mean(0)) @ normal(g, images.shape[1], config.features))
    hidden = hidden * (2 * len(images) ** 0.5 / torch.linalg.matrix_norm(hidden, 2))
    signs = torch.from_numpy(1.0 - 2.0 * (np.asarray(classes[: config.images]) % 2))
    return [rotated, soft, logistic(hidden, signs, 0.01), kinked(3)]
