"""Pictures of the project's own world for the diffusion studies: `rendered` frames with their states, nets over them.

What varies in a frame is where a black pusher and three coloured discs are, eight numbers; the floor is plain. That
makes the state a complete account of a frame, and a net that reads it a fair judge (renders_judge.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from jaxtyping import Float32, Float64
from torch import Tensor

from invdyn.diffusion import GaussianPrior
from invdyn.nn.unet2d import ConditionalUnet2D
from invdyn.studies.nets import Draw, fit_net
from invdyn.worlds.push2d import Push2D

__all__ = ["Renders", "RendersConfig", "draws", "fit_unet", "gaussian", "pixels", "rendered", "unet"]

BLOCK = 2048
"""Copies of the world at once."""
FEWEST = 1e-10
"""Principal components with less than this share of the largest variance are rounding."""


@dataclass(frozen=True)
class RendersConfig:
    """Sizes of the experiments on frames. Card = the studies' specifications; ours = chosen here."""

    side: int = 32
    """Pixels a side (card: 32; 64 for inverse problems)."""
    frames: int = 20_000
    """Frames that nets are trained on (ours)."""
    held: int = 2048
    """Other frames that distances are measured to (ours)."""
    samples: int = 2048
    """Frames that every way of sampling makes (ours)."""
    widths: tuple[int, ...] = (64, 128, 256)
    """Channels of the U-Net's levels: 10.6 million weights (card: 30 million; ours, for its 10 minutes)."""
    steps: int = 3000
    """Updates of every U-Net (ours)."""
    batch: int = 256
    """Frames an update (as on the digits)."""
    lr: float = 6e-4
    """Adam's highest rate, after a rise over the first twentieth (card)."""
    features: int = 64
    """Numbers that the judging net sees in a frame (ours)."""
    judge_steps: int = 2000
    """Updates of the judging net (ours)."""
    judge_lr: float = 2e-3
    """Its rate (ours)."""


@dataclass(frozen=True)
class Renders:
    """Frames and what they show."""

    frames: Float32[Tensor, "frame 3 side side2"]
    """Colours in [-1, 1]."""
    states: Float32[Tensor, "frame place"]
    """Pusher, then discs, x and y each, as shares of the arena's side."""

    def to(self, device: str) -> Renders:
        return Renders(self.frames.to(device), self.states.to(device))


def rendered(count: int, side: int, seed: int, first: int = 0) -> Renders:
    """Frames of random starts of `Push2D`; frame number k of a seed is the same whatever is drawn beside it.

    Args:
        count: how many.
        side: pixels a side.
        seed: of the starts; seeds differ in every frame.
        first: number of the first frame: held-out frames begin where others end.
    """
    frames, states = [], []
    start = (seed << 32) + first
    for begin in range(0, count, BLOCK):
        size = min(BLOCK, count - begin)
        world = Push2D(size, goal="reach")
        world.reset(range(start + begin, start + begin + size))
        frames.append(world.render(side, side).permute(0, 3, 1, 2).float() / 127.5 - 1)
        states.append(world.state()[:, : 2 + 2 * world.config.discs].float())
    return Renders(torch.cat(frames).contiguous(), torch.cat(states))


def draws(frames: Float32[Tensor, "frame 3 side side2"]) -> Draw:
    """Random ones of these frames; only their numbers are drawn on the CPU."""

    def draw(g: torch.Generator, size: int) -> Tensor:
        return frames[torch.randint(len(frames), (size,), generator=g).to(frames.device)]

    return draw


def gaussian(frames: Float32[Tensor, "frame 3 side side2"]) -> GaussianPrior:
    """The Gaussian with the frames' mean and covariance, float64: as many components as frames or pixels tell."""
    flat = frames.flatten(1).double()
    mean, (count, dim) = flat.mean(0), flat.shape
    away = flat - mean
    # The smaller of the two products has all the spectrum there is.
    values, axes = torch.linalg.eigh(away.mT @ away if dim <= count else away @ away.mT)
    kept = values > FEWEST * values[-1]
    values, axes = values[kept], axes[:, kept]
    if dim > count:
        axes = away.mT @ axes / values.sqrt()
    return GaussianPrior(mean, basis=axes, variances=values / (count - 1))


def unet(config: RendersConfig, scalars: int = 1) -> ConditionalUnet2D:
    """The net of every study on frames."""
    return ConditionalUnet2D(3, scalars=scalars, widths=config.widths)


def fit_unet(
    config: RendersConfig,
    loss: Any,
    frames: Float32[Tensor, "frame 3 side side2"],
    *,
    seed: int,
    scalars: int = 1,
    device: str = "cpu",
) -> tuple[ConditionalUnet2D, list[float]]:
    """A U-Net trained on frames by an objective, and its logged losses."""
    return fit_net(
        partial(unet, config, scalars=scalars),
        loss,
        draws(frames),
        steps=config.steps,
        batch=config.batch,
        lr=config.lr,
        seed=seed,
        warmup=config.steps // 20,
        device=device,
    )


def pixels(frames: Float32[Tensor, "frame 3 side side2"] | Float64[Tensor, "frame 3 side side2"]) -> list[object]:
    """Frames as a figure shows them: [frame][row][column][colour] in 0 .. 255."""
    shown = ((frames.detach().clamp(-1, 1) + 1) * 127.5).round().to("cpu", torch.uint8)
    return list(shown.permute(0, 2, 3, 1).tolist())
