"""Teleports and their controls on a model whose score is exact: the kernel mixture on the digits; classes apart."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from invdyn.diffusion import DeltaMixturePrior, GaussianPrior, Teleport
from invdyn.diffusion.moments import ClassGaussians, GivenClass, gaussian_of
from invdyn.diffusion.outline import explained_share
from invdyn.diffusion.parameterize import Denoise
from invdyn.diffusion.teleport import HasFlow
from invdyn.studies.diffusion_painters_config import (
    BANDWIDTH,
    EDM,
    LEVELS,
    POINTS,
    DiffusionPaintersConfig,
    heun,
    in_blocks,
    kernel,
    labelled_digits,
    single,
)
from invdyn.studies.part import Part, generators

__all__ = ["HIGH", "classes", "contest", "landed", "miss", "on_kernel", "skipping"]

HIGH = 80.0
SKIPPED = (0, 2, 4, 6, 8, 10)
Way = Callable[[Tensor], Tensor]


def landed(prior: HasFlow, x: Tensor, sigma: float) -> Tensor:
    """Where the closed form takes noise from 80."""
    return prior.flow_map(x, x.new_full((len(x),), HIGH), x.new_full((len(x),), sigma), EDM)


def contest(prior: GaussianPrior, denoise: Denoise) -> dict[str, Way]:
    """Every way from the same noise to samples: teleports, fewer points, other starts at the same level, the Gaussian.

    Names end in the points of the grid and the level it starts from; calls are 2 points - 1, 2 fewer a point skipped.
    """
    full, mean = heun(POINTS), prior.mean()

    def fewer(points: int, start: Way, sigma: float = HIGH) -> Way:
        return lambda x: heun(points, sigma)(denoise, start(x))

    def regrid(points: int, sigma: float) -> Way:
        return lambda x: Teleport.regrid(full, prior, points, sigma)(denoise, x)

    ways: dict[str, Way] = {f"skip_{k}": skipping(prior, denoise, k) for k in SKIPPED}
    return ways | {
        "full_12": fewer(12, lambda x: x),
        "full_9": fewer(9, lambda x: x),
        "regrid_12_5": regrid(12, 5.0),
        "regrid_12_3": regrid(12, 3.0),
        "regrid_9_3": regrid(9, 3.0),
        "about_mean_12_3": fewer(12, lambda x: mean + 3 / HIGH * (x - mean), 3.0),
        "about_zero_12_3": fewer(12, lambda x: 3 / HIGH * x, 3.0),
        "gaussian": lambda x: landed(prior, x, 0.0),
    }


def skipping(prior: GaussianPrior, denoise: Denoise, skipped: int) -> Way:
    """The full grid without its first points, the closed form in their place."""
    return lambda x: Teleport.skip(heun(POINTS), prior, skipped)(denoise, x)


def miss(found: Tensor, truth: Tensor) -> float:
    """Mean squared error a pixel."""
    return float((found - truth).square().mean(dtype=torch.float64))


def judged(errors: dict[str, float]) -> dict[str, float]:
    """The ratios that claims 5 to 7 are about."""
    return {
        "change_4": abs(errors["skip_4"] / errors["skip_0"] - 1),
        "hurt_10": errors["skip_10"] / errors["skip_0"],
        "regrid_12": errors["regrid_12_5"] / errors["full_12"],
        "regrid_9": errors["regrid_9_3"] / errors["full_9"],
        "about_mean": errors["about_mean_12_3"] / errors["regrid_12_3"],
        "about_zero": errors["about_zero_12_3"] / errors["regrid_12_3"],
    }


def on_kernel(seed: int, config: DiffusionPaintersConfig) -> Part:
    """Points 5 to 8 on the exact score of the kernel mixture (a)."""
    g, _ = generators(seed, "kernel")
    x0, labels = labelled_digits()
    prior, denoise = single(gaussian_of(x0)), kernel(x0)
    noise = HIGH * torch.randn(config.starts, 64, generator=g)
    truth = in_blocks(lambda x: heun(config.reference)(denoise, x), noise)
    errors: dict[str, float] = {}
    # The three of point 5 on all starts: a trajectory that changes its mode outweighs a hundred that do not.
    many = {k: in_blocks(skipping(prior, denoise, k), noise) for k in (0, 4, 10)}
    apart = {k: (x - truth).square().mean(1).double() for k, x in many.items()}
    part, aim = noise[: config.controls], truth[: config.controls]
    medians: dict[str, float] = {}
    for name, way in contest(prior, denoise).items():
        found = in_blocks(way, part)
        errors[name], medians[name] = miss(found, aim), float((found - aim).square().mean(1).median())
    others = {
        "delta": DeltaMixturePrior(x0.float()).denoiser(EDM),
        "classes": single(ClassGaussians.of(x0, labels).mixture()).denoiser(EDM),
    }
    for name, other in others.items():
        errors[name] = miss(in_blocks(partial(heun(POINTS), other), part), aim)
    metrics: dict[str, Any] = {f"kernel.mse_{k}": v for k, v in errors.items()}
    metrics |= {f"kernel.{k}": v for k, v in judged(errors).items()}
    metrics |= {f"kernel.{k}_median": v for k, v in judged(medians).items()}
    metrics |= {
        "kernel.change_4": abs(float(apart[4].mean() / apart[0].mean()) - 1),
        "kernel.hurt_10": float(apart[10].mean() / apart[0].mean()),
        "kernel.change_4_error": float((apart[4] - apart[0]).std() / len(noise) ** 0.5 / apart[0].mean()),
        "kernel.other_mode": float((apart[0] > 0.05).double().mean()),
        "kernel.other_mode_share": float(apart[0][apart[0] > 0.05].sum() / apart[0].sum()),
        "kernel.variance": float(x0.var()),
    }
    shown = {name: in_blocks(way, part[:8]).tolist() for name, way in contest(prior, denoise).items()}
    return Part(metrics, {"errors": errors, "shown": shown | {"reference": aim[:8].tolist()}})


def classes(seed: int, config: DiffusionPaintersConfig) -> Part:
    """A conditional model: kernels of the sample's own class only; Gaussians of each class against that of all."""
    g, _ = generators(seed, "classes")
    x0, labels = labelled_digits()
    each = {k: DeltaMixturePrior(x0[labels == k].float(), BANDWIDTH) for k in range(10)}
    own, pooled = ClassGaussians.of(x0, labels), gaussian_of(x0)
    chosen = torch.arange(config.controls) % 10

    def conditional(which: Tensor) -> Denoise:
        def denoise(x: Tensor, t: Tensor) -> Tensor:
            out = torch.empty_like(x)
            for k, model in each.items():
                rows = which == k
                out[rows] = model.denoised(x[rows], t[rows], EDM)
            return out

        return denoise

    data = torch.empty(config.controls, 64)
    for k, model in each.items():
        data[chosen == k] = model.sample(int((chosen == k).sum()), g)
    priors: dict[str, GivenClass | GaussianPrior] = {"pooled": single(pooled)}
    priors["own"] = GivenClass({k: single(p) for k, p in own.priors.items()}, chosen)
    metrics: dict[str, float] = {}
    state = g.get_state()
    for name, prior in priors.items():
        for s in LEVELS:
            g.set_state(state)
            metrics[f"classes.share_{name}_{s:g}"] = explained_share(conditional(chosen), prior, data, s, EDM, g)
    noise, denoise = HIGH * torch.randn(config.controls, 64, generator=g), conditional(chosen)
    truth = heun(config.reference)(denoise, noise)
    for name, prior in priors.items():
        for sigma in (3.0, 2.0):
            found = Teleport.regrid(heun(POINTS), prior, 12, sigma)(denoise, noise)
            metrics[f"classes.mse_{name}_12_{sigma:g}"] = miss(found, truth)
    metrics["classes.mse_full_18"] = miss(heun(POINTS)(denoise, noise), truth)
    gains = [metrics[f"classes.share_own_{s:g}"] - metrics[f"classes.share_pooled_{s:g}"] for s in LEVELS]
    metrics["classes.ahead"] = min(gains)
    metrics["classes.better"] = metrics["classes.mse_own_12_2"] / metrics["classes.mse_pooled_12_2"]
    return Part(metrics, {})
