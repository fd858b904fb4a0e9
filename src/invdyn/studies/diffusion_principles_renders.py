"""The pictures of the diffusion-principles study: U-Nets on rendered frames, sampled in 35 calls, in 10, in one."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from invdyn.studies.diffusion_principles_config import DiffusionPrinciplesConfig
from invdyn.studies.diffusion_principles_nets import losses, samples
from invdyn.studies.part import Part, generators
from invdyn.studies.renders import fit_unet, pixels, rendered
from invdyn.studies.renders_judge import Judge

__all__ = ["on_renders"]

MODELS = ("flow", "edm", "mean_flow")
SHOWN = 8
BLOCK = 256
"""Samples grown together."""


def on_renders(seed: int, config: DiffusionPrinciplesConfig, device: str = "cpu") -> Part:
    """One net each by flow matching, EDM and MeanFlow, equal updates; Fréchet distances to frames held out."""
    c = config.renders
    g, _ = generators(seed, "renders")
    data = rendered(c.frames, c.side, seed).to(device)
    held = rendered(c.held, c.side, seed, first=c.frames).to(device)
    fresh = rendered(c.samples, c.side, seed, first=c.frames + c.held).frames.to(device)
    judge = Judge.trained(data, held, c, seed, device)
    spread = float(data.frames.var(0).mean().sqrt())

    nets: dict[str, nn.Module] = {}
    curves = {}
    for name in MODELS:
        scalars = 2 if name == "mean_flow" else 1
        nets[name], curves[name] = fit_unet(
            c, losses(spread)[name], data.frames, seed=seed, scalars=scalars, device=device
        )
    noise = torch.randn(c.samples, *data.frames.shape[1:], generator=g).to(device)
    made = [samples(nets, spread, block) for block in noise.split(BLOCK)]
    metrics: dict[str, Any] = {
        "renders.unread": judge.unread(),
        "renders.frechet_fresh": judge.distance(fresh),
        "renders.frechet_noise": judge.distance(noise),
    }
    shown: dict[str, Any] = {"data": pixels(held.frames[:SHOWN])}
    for name in made[0]:
        frames = torch.cat([block[name] for block in made])
        metrics[f"renders.frechet_{name}"] = judge.distance(frames)
        shown[name] = pixels(frames[:SHOWN])
    metrics["renders.mean_flow_against_euler_1"] = (
        metrics["renders.frechet_mean_flow_1"] / (metrics["renders.frechet_euler_1"])
    )
    return Part(metrics, {"losses": curves, "samples": shown})
