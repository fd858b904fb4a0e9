"""Teleports on pictures: a U-Net trained by EDM on rendered frames, 0 to half of its grid skipped."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from invdyn.diffusion import Denoiser
from invdyn.diffusion.outline import explained_share
from invdyn.studies.diffusion_painters_config import (
    EDM,
    LEVELS,
    POINTS,
    DiffusionPaintersConfig,
    heun,
    in_blocks,
    single,
)
from invdyn.studies.diffusion_painters_kernel import HIGH, landed, miss, skipping
from invdyn.studies.diffusion_principles_nets import losses
from invdyn.studies.part import Part, generators
from invdyn.studies.renders import fit_unet, gaussian, pixels, rendered
from invdyn.studies.renders_judge import Judge

__all__ = ["SKIPPED", "on_renders"]

SHARES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5)
"""Of the grid's points that are skipped (card)."""
SKIPPED = tuple(round(share * POINTS) for share in SHARES)
SHOWN = 8


def on_renders(seed: int, config: DiffusionPaintersConfig, device: str = "cpu") -> Part:
    """Error to a fine reference from the same noise, and Fréchet distance to frames held out, by points skipped.

    Beside every teleport stands its control, white noise of the landing's level about the mean.
    """
    c = config.renders
    g, _ = generators(seed, "renders")
    data = rendered(c.frames, c.side, seed).to(device)
    held = rendered(c.held, c.side, seed, first=c.frames).to(device)
    judge = Judge.trained(data, held, c, seed, device)
    prior, spread = single(gaussian(data.frames)), float(data.frames.var(0).mean().sqrt())
    net, curve = fit_unet(c, losses(spread)["edm"], data.frames, seed=seed, device=device)
    denoise = Denoiser(net, EDM, "edm", spread)

    shape = data.frames.shape[1:]
    noise = HIGH * torch.randn(c.samples, *shape, generator=g).to(device)
    white = torch.randn(c.samples, *shape, generator=g).to(device)
    few = min(config.render_starts, c.samples)
    truth = in_blocks(partial(heun(config.reference), denoise), noise[:few])
    grid, mean = heun(POINTS), prior.mean().reshape(shape)

    def from_white(x: Tensor, skipped: int) -> Tensor:
        left = grid.pairs[skipped:]
        return replace(grid, times=left)(denoise, mean + left[0][0] * x)

    metrics: dict[str, Any] = {"renders.unread": judge.unread(), "renders.components": prior.variances.shape[1]}
    shown: dict[str, Any] = {"reference": pixels(truth[:SHOWN])}
    for k in SKIPPED:
        made = in_blocks(skipping(prior, denoise, k), noise)
        metrics[f"renders.calls_skip_{k}"] = 2 * (POINTS - k) - 1
        metrics[f"renders.mse_skip_{k}"] = miss(made[:few], truth)
        metrics[f"renders.frechet_skip_{k}"] = judge.distance(made)
        metrics[f"renders.frechet_white_{k}"] = judge.distance(in_blocks(partial(from_white, skipped=k), white))
        shown[f"skip_{k}"] = pixels(made[:SHOWN])
    alone = in_blocks(partial(landed, prior, sigma=0.0), noise)
    metrics["renders.mse_gaussian"] = miss(alone[:few], truth)
    metrics["renders.frechet_gaussian"] = judge.distance(alone)
    metrics["renders.frechet_reference"] = judge.distance(truth)
    shown["gaussian"] = pixels(alone[:SHOWN])
    for s in LEVELS:
        metrics[f"renders.share_{s:g}"] = explained_share(denoise, prior, held.frames[:few], s, EDM, g)
    return Part(metrics, {"losses": curve, "skipped": list(SKIPPED), "shown": shown})
