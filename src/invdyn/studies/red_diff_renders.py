"""Colour frames in the RED-diff study: half of the pixels hidden, or seen x4 coarser, under a U-Net's prior."""

from __future__ import annotations

from functools import partial
from typing import Any

from torch import Tensor

from invdyn.diffusion.operators import Map, Operator
from invdyn.studies.part import Part, generators
from invdyn.studies.red_diff_config import RedDiffConfig, train
from invdyn.studies.red_diff_digits import RANGE, Trial, methods, quality, tasks
from invdyn.studies.renders import draws, gaussian, pixels, rendered, unet
from invdyn.verify.metrics import ssim

__all__ = ["each_colour", "on_renders"]

TASKS = ("inpaint", "super")
FACTOR = 4
"""Of super-resolution (card)."""
SHOWN = 8


def each_colour(f: Operator) -> Operator:
    """A measurement of grey pictures [batch, height, width], made of every colour of [batch, 3, h, w] alone."""

    def apart(work: Map) -> Map:
        return lambda x: work(x.flatten(0, 1)).unflatten(0, (-1, 3))

    adjoint, damped = f.linear("colours apart")

    def both(y: Tensor, c: float) -> Tensor:
        return apart(lambda grey: damped(grey, c))(y)

    return Operator(apart(f.forward), apart(f.guess), apart(adjoint), both)


def on_renders(seed: int, config: RedDiffConfig, device: str = "cpu") -> Part:
    """PSNR and SSIM of every method at equal calls on held-out frames, settings chosen on other held-out frames."""
    c = config.renders
    g, _ = generators(seed, "renders")
    seen = rendered(c.frames, c.side, seed).frames.to(device)
    held = rendered(config.render_tuning + config.render_images, c.side, seed, first=c.frames).frames.to(device)
    tuned_on, truth = held[: config.render_tuning], held[config.render_tuning :]
    denoise, losses = train(
        partial(unet, c),
        draws(seen),
        float(seen.var(0).mean().sqrt()),
        steps=c.steps,
        batch=c.batch,
        lr=c.lr,
        seed=seed,
        warmup=c.steps // 20,
        device=device,
    )
    asked = methods(denoise, config, truth.shape[1:])
    trial = Trial(asked, gaussian(seen[: config.gaussian_frames]), tuned_on, truth, config.noise)
    metrics: dict[str, Any] = {}
    shown: dict[str, Any] = {}
    for task, grey in tasks(g, c.side, FACTOR).items():
        if task not in TASKS:
            continue
        _, answers, chosen = trial(each_colour(grey), g)
        metrics |= {f"renders.{task}.setting.{name}": number for name, number in chosen.items()}
        for name, x in answers.items():
            grey_of = x.clamp(-1, 1).flatten(0, 1)
            metrics[f"renders.{task}.psnr.{name}"] = quality(x, truth)
            metrics[f"renders.{task}.ssim.{name}"] = float(ssim(grey_of, truth.flatten(0, 1), RANGE).mean())
        shown[task] = {name: pixels(x[:SHOWN]) for name, x in answers.items()} | {"truth": pixels(truth[:SHOWN])}
        psnr = {name: metrics[f"renders.{task}.psnr.{name}"] for name in answers}
        rivals = [value for name, value in psnr.items() if not name.startswith("red_diff")]
        metrics[f"renders.{task}.over_best"] = psnr["red_diff"] - max(rivals)
    return Part(metrics, {"losses": losses} | shown)
