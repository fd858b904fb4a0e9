"""Closed forms of the diffusion-painters study: solution, D, emergence, rotation, sensitivity, explained share."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, field

import numpy as np
import torch
from scipy.integrate import quad_vec
from scipy.linalg import expm
from torch import Tensor

from invdyn.diffusion import PATHS, DeltaMixturePrior, EDMPath, GaussianPrior, Heun, Sampler, edm_grid, make_path
from invdyn.diffusion.moments import gaussian_of, round_about
from invdyn.diffusion.outline import emergence, explained_share, half_times, plane_share, sensitivity
from invdyn.studies.diffusion_painters_config import (
    BANDWIDTH,
    EDM,
    LEVELS,
    DiffusionPaintersConfig,
    heun,
    labelled_digits,
)
from invdyn.studies.part import Part, generators
from invdyn.verify.metrics import spearman

__all__ = ["closed", "emergences", "shares"]

D64 = torch.float64
TOP = 20
"""Components whose emergence is judged (card)."""


def _noise(g: torch.Generator, size: int, scale: float = 80.0) -> Tensor:
    return scale * torch.randn(size, 64, generator=g, dtype=D64)


def _at(value: float, size: int) -> Tensor:
    return torch.full((size,), value, dtype=D64)


def closed(seed: int, config: DiffusionPaintersConfig) -> Part:
    """Points 1 and 2: the flow's closed form against Heun, a matrix exponential and other paths; D; two moments."""
    g, _ = generators(seed, "closed")
    x0, _ = labelled_digits()
    prior, low = gaussian_of(x0), gaussian_of(x0, 61)  # 61 of 64 pixels vary
    metrics = {
        "closed.heun": _against_heun(prior, g),
        "closed.expm": max(_against_expm(prior, s) for s in (10.0, 1.0, 0.1, 0.002)),
        "closed.paths": max(_against_paths(p, g) for p in (prior, low)),
        "closed.tweedie": max(_against_autograd(p, x0, g) for p in (prior, low)),
        "closed.sensitivity": _against_push(prior, g),
    }
    sigmas = np.geomspace(5.0, 50.0, 11)
    delta = DeltaMixturePrior(x0)
    apart = []
    for s in sigmas.tolist():
        x, when = x0 + s * _noise(g, len(x0), 1.0), _at(s, len(x0))
        told = prior.score(x, when, EDM)
        apart.append(float(((delta.score(x, when, EDM) - told).square().sum() / told.square().sum()).sqrt()))
    metrics["closed.third_slope"] = float(np.polyfit(np.log(sigmas), np.log(apart), 1)[0])
    return Part(metrics, {"sigmas": sigmas.tolist(), "apart": apart})


def _against_heun(prior: GaussianPrior, g: torch.Generator) -> float:
    """Largest difference after 400 steps of Heun on the Gaussian score, 80 to 0.002."""
    x, grid = _noise(g, 32), edm_grid(401, zero=False)
    found = Sampler(EDM, grid, Heun("sigma"))(prior.denoiser(EDM), x)
    return float((found - prior.flow_map(x, _at(grid[0], 32), _at(grid[-1], 32), EDM)).abs().max())


def _against_expm(prior: GaussianPrior, s: float) -> float:
    """Largest difference of the linear map 80 -> s from expm of the quadrature of d log x / d log sigma."""
    covariance = prior.covariances[0].numpy()
    eye = np.eye(64)

    def rate(log_sigma: float) -> np.ndarray:
        square = math.exp(2 * log_sigma)
        return np.asarray(np.linalg.solve(square * eye + covariance, square * eye))

    knots = np.linspace(math.log(80.0), math.log(s), 13)
    whole = sum(quad_vec(rate, a, b, epsabs=1e-14, epsrel=1e-13)[0] for a, b in itertools.pairwise(knots))
    unit = torch.eye(64, dtype=D64) + prior.mean()
    ours = (prior.flow_map(unit, _at(80.0, 64), _at(s, 64), EDM) - prior.mean()).mT
    return float(np.abs(expm(whole) - ours.numpy()).max())


def _against_paths(prior: GaussianPrior, g: torch.Generator) -> float:
    """Largest difference of every path's closed form from EDM's after the change of (alpha, sigma)."""
    worst = 0.0
    for name in PATHS:
        path = make_path(name)
        if isinstance(path, EDMPath):
            continue
        t, r = _at(0.9, 20), _at(0.2, 20)
        alpha, sigma = path.alpha(t)[:, None], path.sigma(t)[:, None]
        x = sigma * _noise(g, 20, 1.0) + alpha * prior.mean()
        there = prior.flow_map(x, t, r, path)
        start, end = (path.sigma(v) / path.alpha(v) for v in (t, r))
        same = prior.flow_map(x / alpha, start, end, EDM) * path.alpha(r)[:, None]
        # The card's own formula, written out: alpha m + sum psi c u + (sigma_t / sigma_T) x_perp.
        u, variance = prior.basis[0], prior.variances[0]
        away = x - alpha * prior.mean()
        spread = [(path.sigma(v)[0] ** 2 + path.alpha(v)[0] ** 2 * variance).sqrt() for v in (t, r)]
        inside = away @ u
        by_hand = path.alpha(r)[:, None] * prior.mean() + (inside * (spread[1] / spread[0])) @ u.mT
        by_hand = by_hand + (path.sigma(r) / path.sigma(t))[:, None] * (away - inside @ u.mT)
        worst = max(worst, float((there - same).abs().max()), float((there - by_hand).abs().max()))
    return worst


def _against_autograd(prior: GaussianPrior, x0: Tensor, g: torch.Generator) -> float:
    """Largest relative difference of D from x + sigma^2 d log p / dx, by autograd, over sigma."""
    worst = 0.0
    for s in (0.1, 0.5, 2.0, 10.0, 80.0):
        x = (x0[:200] + s * _noise(g, 200, 1.0)).requires_grad_(True)
        (slope,) = torch.autograd.grad(prior.log_prob(x, _at(s, 200), EDM).sum(), x)
        x = x.detach()
        found = prior.denoised(x, _at(s, 200), EDM)
        worst = max(worst, float(((x + s**2 * slope - found).norm(dim=1) / found.norm(dim=1)).max()))
    return worst


def _against_push(prior: GaussianPrior, g: torch.Generator) -> float:
    """Largest difference of what is left of a push along a component from its formula, on EDM and VP paths."""
    worst = 0.0
    for name, t in (("edm", 20.0), ("edm", 0.7), ("vp_linear", 0.4)):
        path = make_path(name)
        x = _noise(g, 1, 1.0).expand(65, -1).clone()
        x[1:] += prior.basis[0].mT
        ends = prior.flow_map(x, _at(t, 65), _at(0.0, 65), path)
        left = ((ends[1:] - ends[0]) * prior.basis[0].mT).sum(1)
        worst = max(worst, float((left - sensitivity(prior, t, path)).abs().max()))
    return worst


@dataclass
class _Watch:
    """What a sampling run went through: times and states from the start on, D of every step."""

    times: list[float]
    states: list[Tensor]
    denoised: list[Tensor] = field(default_factory=list)

    def __call__(self, t: float, x: Tensor, denoised: Tensor) -> None:
        self.times.append(t)
        self.states.append(x)
        self.denoised.append(denoised)


def emergences(seed: int, config: DiffusionPaintersConfig) -> Part:
    """Point 3: at which sigma each of the top components is half there, under the Gaussian and the kernel mixture."""
    g, _ = generators(seed, "emergence")
    x0, _ = labelled_digits()
    prior = gaussian_of(x0)
    top, axes = prior.variances[0].flip(0)[:TOP], prior.basis[0].flip(1)[:, :TOP]
    noise, sampler = _noise(g, 256), heun(config.reference)
    metrics: dict[str, float] = {}
    curves: dict[str, list[float]] = {"variances": top.tolist()}
    models = {"gaussian": prior.denoiser(EDM), "kernel": DeltaMixturePrior(x0, BANDWIDTH).denoiser(EDM)}
    for name, denoise in models.items():
        watch = _Watch([80.0], [noise])
        sampler(denoise, noise, watch=watch)
        halves = half_times(emergence(torch.stack(watch.denoised), prior.mean(), axes), watch.times[:-1])
        metrics[f"emergence.{name}_order"] = round(spearman(halves, top), 12)  # 1, not 1 - 1e-16
        inside = plane_share(torch.stack(watch.states), watch.times, prior.mean(), EDM)
        metrics[f"emergence.{name}_plane"] = float(inside.mean())
        curves[name] = halves.tolist()
        if name == "gaussian":
            metrics["emergence.half"] = float((halves / (3 * top).sqrt() - 1).abs().max())
    return Part(metrics, curves)


def shares(seed: int, config: DiffusionPaintersConfig) -> Part:
    """Point 4: the share of the kernel mixture's score, and of its D, that the Gaussian explains on its own samples.

    Beside it the score about the mean alone (the paper's control) and the round Gaussian of the same total variance
    (the one behind the card's pilot figures).
    """
    g, _ = generators(seed, "share")
    x0, _ = labelled_digits()
    model = DeltaMixturePrior(x0, BANDWIDTH)
    prior, data = gaussian_of(x0), model.sample(config.share_samples, g)
    evened = prior.variances[0].mean().expand(64)
    against = {
        "gaussian": prior,
        "round": GaussianPrior(prior.mean(), basis=prior.basis[0], variances=evened),
        "mean": round_about(prior),
    }
    metrics: dict[str, float] = {}
    sigmas = sorted({*LEVELS, *np.geomspace(0.1, 20.0, 14).tolist()})
    curves: dict[str, list[float]] = {"sigmas": sigmas, **{name: [] for name in against}}
    ahead = []
    for s in sigmas:
        state = g.get_state()
        found = {}
        for name, other in against.items():
            g.set_state(state)  # the same noise for all three
            found[name] = explained_share(model.denoiser(EDM), other, data, s, EDM, g)
            curves[name].append(found[name])
            if s in LEVELS:
                g.set_state(state)
                metrics[f"share.{name}_{s:g}"] = found[name]
                told = explained_share(model.denoiser(EDM), other, data, s, EDM, g, kind="x0")
                metrics[f"share.{name}_d_{s:g}"] = told
        if s in LEVELS:
            ahead.append(found["gaussian"] - max(found["round"], found["mean"]))
    return Part(metrics | {"share.ahead": min(ahead)}, curves)
