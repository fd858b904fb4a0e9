"""Sizes and data of the diffusion-painters study."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from dataclasses import dataclass, field
from typing import TypeVar

import torch
from torch import Tensor

from invdyn.diffusion import DeltaMixturePrior, GaussianMixturePrior, Heun, Sampler, edm_grid, make_path
from invdyn.diffusion.parameterize import Denoise
from invdyn.errors import require
from invdyn.studies.renders import RendersConfig

__all__ = ["EDM", "LEVELS", "DiffusionPaintersConfig", "heun", "in_blocks", "kernel", "labelled_digits", "single"]

Mixture = TypeVar("Mixture", bound=GaussianMixturePrior)

EDM = make_path("edm")
LEVELS = (0.5, 1.0, 2.0, 5.0)
"""Noise levels of the explained share (card)."""
BANDWIDTH = 0.15
"""Of the kernel mixture on the digits (card)."""
POINTS = 18
"""Of the full grid (card): 80 to 0.002, rho 7; 35 calls."""


@dataclass(frozen=True)
class DiffusionPaintersConfig:
    """Sizes of one scale. Card = the study's specification; ours = chosen here."""

    parts: tuple[str, ...] = ("closed", "emergence", "share", "kernel", "classes", "net", "chunks")
    """Which experiments run."""
    share_samples: int = 3000
    """Samples of the explained share (ours)."""
    starts: int = 8192
    """Noise samples of the kernel mixture's experiments (ours: few trajectories carry most of the error)."""
    controls: int = 1536
    """Those of them that every baseline and control starts from too (ours)."""
    reference: int = 256
    """Points of the reference's grid (card)."""
    net_starts: int = 512
    """Noise samples of the net's experiments (ours)."""
    held: int = 397
    """Digits that neither net nor kernels see, for the transport distance (ours)."""
    steps: int = 12_000
    """Updates of the net, some 3 minutes (card)."""
    width: int = 256
    """Units of its three hidden layers (ours)."""
    batch: int = 256
    """Samples an update (ours)."""
    lr: float = 2e-3
    """Adam's rate, falling along a cosine (as in diffusion-principles)."""
    episodes: int = 25
    """Demonstrations a task (as many as adroit_door_human has)."""
    horizon: int = 16
    """Steps of an action chunk (as in Diffusion Policy)."""
    chunks: int = 1500
    """Chunks kept of a task at most (ours; the digits are 1,797)."""
    chunk_starts: int = 256
    """Noise samples of a task (ours)."""
    renders: RendersConfig = field(default_factory=RendersConfig)
    """Sizes of the experiment on rendered frames, which is not among the parts above."""
    render_starts: int = 512
    """Noise samples of it whose error to the reference is measured (ours)."""


def labelled_digits() -> tuple[Tensor, Tensor]:
    """The 1,797 digits of scikit-learn, 64 pixels in [-1, 1], float64, and what they show."""
    found = require("sklearn.datasets", "studies").load_digits()
    return torch.from_numpy(found.data) / 8 - 1, torch.from_numpy(found.target)


def kernel(points: Tensor, bandwidth: float = BANDWIDTH) -> Denoise:
    """The exact D of a round Gaussian on every point, in float32: the model (a) of the card."""
    return DeltaMixturePrior(points.float(), bandwidth).denoiser(EDM)


def heun(points: int, high: float = 80.0) -> Sampler:
    """EDM's sampler without churn: 2 points - 1 calls."""
    return Sampler(EDM, edm_grid(points, high=high), Heun("sigma"))


def in_blocks(work: Callable[[Tensor], Tensor], x: Tensor, size: int = 256) -> Tensor:
    """Work on so many rows at a time: a block's softmax over the whole data set stays in the cache."""
    return torch.cat([work(block) for block in x.split(size)])


def single(prior: Mixture) -> Mixture:
    """The same prior in float32, as the nets are."""
    made = copy(prior)
    for name in ("log_weights", "means", "basis", "variances", "rest"):
        setattr(made, name, getattr(prior, name).float())
    return made
