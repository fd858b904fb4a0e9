"""Sizes, data and nets of the diffusion-principles study."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

from invdyn.diffusion import GaussianMixturePrior, GaussianPrior
from invdyn.errors import require
from invdyn.studies.nets import Draw
from invdyn.studies.renders import RendersConfig

__all__ = ["DiffusionPrinciplesConfig", "digits", "digits_gaussian", "grey_levels", "mixture"]


@dataclass(frozen=True)
class DiffusionPrinciplesConfig:
    """Sizes of one scale. Card = the study's specification; ours = chosen here."""

    parts: tuple[str, ...] = ("exact", "order", "views", "guidance", "schedulers", "mixture", "digits")
    """Which experiments run."""
    points: int = 1000
    """Random (x, t) of the identities (card)."""
    order_starts: int = 64
    """Trajectories whose error is averaged in the order experiment (ours)."""
    order_steps: tuple[int, ...] = (32, 64, 128, 256, 512)
    """Steps N (card)."""
    moments: int = 20_000
    """Samples of the SDE experiments (ours)."""
    steps: int = 4000
    """Updates of every net on the mixture (card: 2,500 to 6,000)."""
    digits_steps: int = 1000
    """Updates of every net on the digits (ours)."""
    batch: int = 256
    """Samples an update (card)."""
    width: int = 128
    """Units of three hidden layers (card); the digits have twice as many (ours)."""
    lr: float = 2e-3
    """Adam's rate, falling along a cosine (ours; the card's 6e-4 is for a U-Net)."""
    w2_points: int = 1500
    """Samples on each side of the exact transport distance (card)."""
    sliced_points: int = 20_000
    """Samples on each side of the sliced one (card)."""
    renders: RendersConfig = field(default_factory=RendersConfig)
    """Sizes of the experiment on rendered frames, which is not among the parts above."""


def mixture() -> GaussianMixturePrior:
    """Three round parts of variance 0.1 on a triangle of radius 2, shares 0.5, 0.3, 0.2 (ours)."""
    angle = torch.arange(3, dtype=torch.float64) * (2 * math.pi / 3)
    means = 2 * torch.stack([angle.cos(), angle.sin()], 1)
    round_parts = 0.1 * torch.eye(2, dtype=torch.float64).expand(3, 2, 2)
    return GaussianMixturePrior(torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64), means, round_parts)


def digits() -> Tensor:
    """The 1,797 digits of scikit-learn, 64 pixels in [-1, 1], float64."""
    pixels = require("sklearn.datasets", "studies").load_digits().data
    return torch.from_numpy(pixels) / 8 - 1


def grey_levels(seen: Tensor) -> Draw:
    """Draws of digits whose grey levels, multiples of 1/8, are spread evenly within their step."""

    def draw(g: torch.Generator, size: int) -> Tensor:
        chosen = seen[torch.randint(len(seen), (size,), generator=g)]
        return chosen + (torch.rand(chosen.shape, generator=g) - 0.5) / 8

    return draw


def digits_gaussian() -> GaussianPrior:
    """The Gaussian with the digits' mean and covariance."""
    x = digits()
    return GaussianPrior(x.mean(0), torch.cov(x.T))
