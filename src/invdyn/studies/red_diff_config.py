"""Sizes, data and nets of the RED-diff study."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

from torch import Tensor, nn

from invdyn.diffusion import Denoiser, DenoisingLoss, DiscretePath, Times
from invdyn.studies.nets import Draw, fit_net
from invdyn.studies.renders import RendersConfig

__all__ = ["PATH", "RedDiffConfig", "Shaped", "descending", "grid", "train"]

PATH = DiscretePath.linear()
"""1,000 levels, betas 1e-4 to 0.02: the paper's."""


@dataclass(frozen=True)
class RedDiffConfig:
    """Sizes of one scale. Card = the study's specification; ours = chosen here."""

    parts: tuple[str, ...] = ("gaussian", "field", "mixture", "digits", "force")
    """Which experiments run."""
    problems: int = 3
    """Random (S, H) of the Gaussian case (card)."""
    dim: int = 6
    """Components of the Gaussian case (card: 6 to 64)."""
    averaged_steps: int = 1200
    """Steps of the Gaussian case, averaged over their second half (card)."""
    gaussian_draws: int = 4
    """Noises averaged in one of them (ours)."""
    field_draws: int = 50
    """Noises per level and point of the Monte-Carlo field (ours)."""
    mixture_dim: int = 16
    """Components of the mixture case (card: 6 to 64)."""
    mixture_runs: int = 100
    """Measurements of the mixture (card)."""
    mixture_steps: int = 600
    """Steps of RED-diff on it (ours; 1,000 in the paper)."""
    calls: int = 100
    """Calls of the net for every method on the digits (card)."""
    net_steps: int = 2000
    """Updates of the digits' net (ours)."""
    force_net_steps: int = 1500
    """Updates of the force histories' net (ours)."""
    width: int = 256
    """Units of its three hidden layers (ours)."""
    cost_width: int = 512
    """Units of the hidden layers of the net that memory and time are measured on (ours)."""
    cost_depth: int = 8
    """How many of them (ours)."""
    batch: int = 256
    """Samples an update (ours)."""
    lr: float = 2e-3
    """Adam's rate, falling along a cosine (ours)."""
    held: int = 1400
    """Digits the net is trained on; the others are held out (ours)."""
    tuning: int = 50
    """Held-out digits every method's settings are chosen on (ours)."""
    images: int = 200
    """Other held-out digits it is judged on (card)."""
    noise: float = 0.05
    """Sd of the measurements of digits in [-1, 1] (ours; the paper's code: 0 to 0.1)."""
    phase_images: int = 50
    """Digits of phase retrieval (ours; the other experiments take 200)."""
    phase_starts: int = 10
    """Starts each (card)."""
    phase_calls: int = 400
    """Calls of the net per start (ours)."""
    forces: int = 100
    """Force histories recovered (ours)."""
    force_calls: int = 300
    """Calls of the net for every method on them (ours)."""
    renders: RendersConfig = field(default_factory=lambda: RendersConfig(side=64))
    """Sizes of the experiment on rendered frames, which is not among the parts above."""
    render_images: int = 256
    """Held-out frames every method is judged on (card)."""
    render_tuning: int = 32
    """Other held-out frames its settings are chosen on (ours)."""
    gaussian_frames: int = 4096
    """Frames that the Wiener filter's Gaussian is estimated from (ours: a third of a frame's 12,288 components)."""


def descending(calls: int, path: DiscretePath = PATH) -> list[float]:
    """RED-diff's levels: evenly from the loudest to the quietest, one call each."""
    return [path.level_time(round((path.steps - 1) * (1 - i / (calls - 1)))) for i in range(calls)]


def grid(calls: int, path: DiscretePath = PATH) -> list[float]:
    """A sampler's times of as many calls: the same levels, then the data."""
    return [*descending(calls, path), 0.0]


class Shaped(nn.Module):
    """A net over vectors asked about arrays of any shape."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor, t: Tensor, condition: object = None) -> Tensor:
        out: Tensor = self.net(x.flatten(1), t)
        return out.reshape(x.shape)


def train(
    make: Callable[[], nn.Module],
    draw: Draw,
    spread: float,
    *,
    steps: int,
    batch: int,
    lr: float,
    seed: int,
    warmup: int = 0,
    device: str = "cpu",
) -> tuple[Denoiser, list[float]]:
    """The frozen prior, by EDM's loss on the study's path, and its logged losses; the rest as `fit_net` takes it."""
    # EDM's noise levels moved with the data's spread, and wider: RED-diff asks at all of them.
    times = Times("log_normal", -1.2 + math.log(spread / 0.5), 1.6)
    net, losses = fit_net(
        make,
        DenoisingLoss(PATH, "edm", "edm", times, spread),
        draw,
        steps=steps,
        batch=batch,
        lr=lr,
        seed=seed,
        logs=10,
        warmup=warmup,
        device=device,
    )
    net.requires_grad_(False)
    return Denoiser(net, PATH, "edm", spread), losses
