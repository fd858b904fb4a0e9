"""The same contest on a trained net, transport distance to digits held out, and what the net learns first."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from invdyn.diffusion import DeltaMixturePrior, Denoiser, GaussianPrior, Teleport
from invdyn.diffusion.moments import ClassGaussians, gaussian_of, round_about
from invdyn.diffusion.outline import explained_share
from invdyn.diffusion.parameterize import Denoise
from invdyn.nn.time_mlp import TimeMLP
from invdyn.studies.diffusion_painters_config import (
    EDM,
    LEVELS,
    POINTS,
    DiffusionPaintersConfig,
    heun,
    kernel,
    labelled_digits,
    single,
)
from invdyn.studies.diffusion_painters_kernel import HIGH, contest, judged, miss
from invdyn.studies.diffusion_principles_config import grey_levels
from invdyn.studies.diffusion_principles_nets import losses
from invdyn.studies.nets import fit_net
from invdyn.studies.part import Part, generators
from invdyn.verify.metrics import sliced_w2, spearman

__all__ = ["on_net"]

TOP = 20
WATCHED = (0.2, *LEVELS)
"""Noise levels at which learning is watched."""


class Learning:
    """How much of the Gaussian is learnt by when: at every level, and component by component at sigma = 1."""

    def __init__(self, prior: GaussianPrior, data: Tensor, spread: float, steps: int, g: torch.Generator) -> None:
        self.prior, self.data, self.spread, self.state = prior, data, spread, g.get_state()
        self.due = sorted({0, steps, *np.unique(np.geomspace(4, steps, 28).round().astype(int)).tolist()})
        self.steps: list[int] = []
        self.levels: list[list[float]] = []
        self.components: list[list[float]] = []

    def __call__(self, step: int, net: nn.Module) -> None:
        """Called by the Trainer before every update."""
        if step not in self.due:
            return
        denoise = Denoiser(net, EDM, "edm", self.spread)
        g, row = torch.Generator(), []
        for s in WATCHED:
            g.set_state(self.state)
            row.append(explained_share(denoise, self.prior, self.data, s, EDM, g))
        g.set_state(self.state)
        when = self.data.new_ones(len(self.data))
        x = self.data + torch.randn(self.data.shape, generator=g)
        axes, mean = self.prior.basis[0].flip(1)[:, :TOP], self.prior.mean()
        with torch.no_grad():
            made = (denoise(x, when) - mean) @ axes
        told = (self.prior.denoised(x, when, EDM) - mean) @ axes
        self.steps.append(step)
        self.levels.append(row)
        self.components.append((1 - (made - told).square().sum(0) / told.square().sum(0)).tolist())


def reached(steps: list[int], share: np.ndarray, part: float = 0.9) -> np.ndarray:
    """The first watched step at which each column has this part of its best value; 0 where it starts with it."""
    return np.array(steps, float)[np.argmax(share >= part * share.max(0), 0)]


def on_net(seed: int, config: DiffusionPaintersConfig) -> Part:
    """Point 9 on a net trained by EDM (b), the digits it has not seen, and the learning side."""
    g, _ = generators(seed, "net")
    x0, labels = labelled_digits()
    order = torch.randperm(len(x0), generator=g)
    seen, held, kinds = x0[order[config.held :]], x0[order[: config.held]], labels[order[config.held :]]
    prior, spread = single(gaussian_of(seen)), float(seen.var(0).mean().sqrt())
    learning = Learning(prior, seen[:512].float(), spread, config.steps, g)
    net = _trained(seen.float(), spread, config, seed, learning)
    denoise = Denoiser(net, EDM, "edm", spread)
    noise = HIGH * torch.randn(config.net_starts, 64, generator=g)
    truth = heun(config.reference)(denoise, noise)
    ways = contest(prior, denoise)
    made = {name: way(noise) for name, way in ways.items()}
    errors = {name: miss(x, truth) for name, x in made.items()}
    white = prior.mean() + 3.0 * torch.randn(noise.shape, generator=g)
    made |= {"reference": truth, "white_12_3": heun(12, 3.0)(denoise, white)}
    for name, other in {
        "delta": DeltaMixturePrior(seen.float()).denoiser(EDM),
        "kernel": kernel(seen),
        "classes": single(ClassGaussians.of(seen, kinds).mixture()).denoiser(EDM),
    }.items():
        made[name] = heun(POINTS)(other, noise)
        errors[name] = miss(made[name], truth)
    metrics: dict[str, Any] = {f"net.mse_{k}": v for k, v in errors.items()}
    metrics |= {f"net.{k}": v for k, v in judged(errors).items()}
    metrics |= {f"net.w2_{k}": sliced_w2(held, x.double()) for k, x in made.items()}
    metrics["net.w2_ratio"] = metrics["net.w2_skip_4"] / metrics["net.w2_skip_0"]
    metrics["net.delta_over_gaussian"] = errors["delta"] / errors["gaussian"]
    metrics["net.w2_seen"] = sliced_w2(held, seen)
    metrics |= _explained(denoise, prior, held.float(), g)
    auto = Teleport.measured(heun(POINTS), prior, denoise, held.float(), g)
    metrics |= {"net.landing": auto.landing, "net.calls": float(auto.calls())}
    metrics |= {"net.mse_auto": miss(auto(denoise, noise), truth), "net.w2_auto": sliced_w2(held, auto(denoise, noise))}
    metrics |= _learnt(learning, prior)
    shown = {name: x[:8].tolist() for name, x in made.items()}
    curves = {"steps": learning.steps, "levels": learning.levels, "components": learning.components, "shown": shown}
    return Part(metrics, curves | {"errors": errors})


def _trained(seen: Tensor, spread: float, config: DiffusionPaintersConfig, seed: int, watch: Learning) -> TimeMLP:
    return fit_net(
        lambda: TimeMLP(64, width=config.width, octaves=0),
        losses(spread)["edm"],
        grey_levels(seen),
        steps=config.steps,
        batch=config.batch,
        lr=config.lr,
        seed=seed,
        observe=watch,
    )[0]


def _explained(denoise: Denoise, prior: GaussianPrior, data: Tensor, g: torch.Generator) -> dict[str, float]:
    """Shares of the net's score, on digits it has not seen, by the Gaussian and by the mean alone."""
    found = {}
    for s in WATCHED:
        for name, other in (("gaussian", prior), ("mean", round_about(prior))):
            found[f"net.share_{name}_{s:g}"] = explained_share(denoise, other, data, s, EDM, g)
    return found


def _learnt(learning: Learning, prior: GaussianPrior) -> dict[str, float]:
    """Rank correlations of the time of learning with noise level and variance (-1: high and large first)."""
    levels = reached(learning.steps, np.array(learning.levels))
    components = reached(learning.steps, np.array(learning.components))
    top = prior.variances[0].flip(0)[:TOP].numpy()
    return {
        **{f"net.learnt_{s:g}": float(step) for s, step in zip(WATCHED, levels)},
        "net.learnt_first_component": float(components[0]),
        "net.learnt_last_component": float(components[-1]),
        "net.learnt_by_level": spearman(np.array(WATCHED), levels),
        "net.learnt_by_variance": spearman(top, components),
    }
