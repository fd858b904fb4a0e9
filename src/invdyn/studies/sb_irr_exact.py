"""Experiments of the sb-irr study with closed answers: static bridges, projection onto a family, the zero family."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from invdyn.diffusion.bridges import gaussian_coupling, sinkhorn
from invdyn.diffusion.bridges_drift import RegressionConfig, simulate
from invdyn.diffusion.bridges_families import NoDrift, lotka_volterra
from invdyn.diffusion.bridges_ipf import BridgeConfig, bridge
from invdyn.diffusion.bridges_refined import refine_reference
from invdyn.studies.part import Part, generators
from invdyn.studies.sb_irr_config import SYSTEMS, SbIrrConfig, simulated
from invdyn.verify.metrics import w2_exact

__all__ = ["projection", "static", "zero"]

FIRST = torch.tensor([[1.0, 0.3], [0.3, 0.5]], dtype=torch.float64)
SECOND = torch.tensor([[0.6, -0.2], [-0.2, 1.2]], dtype=torch.float64)
MEAN = torch.tensor([1.0, -1.0], dtype=torch.float64)


def normal(n: int, covariance: Tensor, mean: Tensor, g: torch.Generator) -> Tensor:
    """Points whose own mean and covariance are exactly these: the closed form is then that of the points."""
    x = torch.randn(n, 2, dtype=torch.float64, generator=g)
    x = x - x.mean(0)
    white = torch.linalg.solve(torch.linalg.cholesky(x.T @ x / n), x.T).T
    return mean + white @ torch.linalg.cholesky(covariance).T


def static(seed: int, config: SbIrrConfig) -> Part:
    """Claims 1 and 2: two Gaussians, Brownian reference."""
    g, _ = generators(seed, "static")
    c = gaussian_coupling(FIRST, SECOND, 1.0).clone().requires_grad_()
    joint = torch.cat([torch.cat([FIRST, c], 1), torch.cat([c.T, SECOND], 1)])
    objective = c.trace() + torch.logdet(joint) / 2  # entropic transport among Gaussians: stationary at the optimum
    x, y = normal(config.points, FIRST, 0 * MEAN, g), normal(config.points, SECOND, MEAN, g)
    plan = sinkhorn(x, y, 1.0)
    metrics: dict[str, Any] = {
        "static.stationary": float(torch.autograd.grad(objective, c)[0].abs().max()),
        "static.sinkhorn": float((x.T @ plan.plan @ (y - MEAN) - c.detach()).abs().max()),
    }
    x, y = normal(config.paths, FIRST, 0 * MEAN, g), normal(config.paths, SECOND, MEAN, g)
    inner = BridgeConfig(0.5, 1 / 50, config.rounds, config.copies, regression=RegressionConfig(features=30))
    found = bridge(x, y, (0.0, 1.0), inner, g)
    path = simulate(found.forward, x.repeat(6, 1), found.times, inner.sigma, g)
    start, end = path[0] - path[0].mean(0), path[-1] - path[-1].mean(0)
    wanted = gaussian_coupling(FIRST, SECOND, inner.sigma**2)
    metrics["static.ipf"] = float((start.T @ end / len(end) - wanted).abs().max())
    fresh, pushed = [], []
    for k in range(6):
        target = normal(len(y), SECOND, MEAN, g)[:400]
        fresh.append(w2_exact(target, normal(len(y), SECOND, MEAN, g)[:400]))
        pushed.append(w2_exact(target, path[-1][k * len(x) : k * len(x) + 400]))
    metrics["static.marginal"] = sum(pushed) / sum(fresh)
    return Part(metrics, {})


def projection(seed: int, config: SbIrrConfig) -> Part:
    """Claim 3: least squares on true paths of the generator, and Adam run to the end."""
    g, _ = generators(seed, "projection")
    system, family, step = SYSTEMS["lotka_volterra"], lotka_volterra(), 0.02
    truth = torch.tensor(system.parameters, dtype=torch.float64)
    path = [torch.tensor(system.low) + system.side * torch.rand(50, 2, dtype=torch.float64, generator=g)]
    for _ in range(500):
        noise = torch.randn(50, 2, dtype=torch.float64, generator=g) * math.sqrt(step)
        path.append(path[-1] + step * family.evaluate(truth, path[-1]) + system.relative * path[-1] * noise)
    paths = torch.stack(path)
    x, rise = paths[:-1].flatten(0, 1), ((paths[1:] - paths[:-1]) / step).flatten(0, 1)
    weight = torch.full((len(x),), step / 0.1**2, dtype=torch.float64)
    found = family.fit(x, rise, weight, None)
    some = slice(None, None, 25)
    exact = family.fit(x[some], rise[some], weight[some], None).parameters
    slow = family.fit_adam(x[some], rise[some], weight[some], torch.full((4,), 0.5, dtype=torch.float64), 1500, 0.02)
    metrics = {
        "projection.error": float((found.parameters / truth - 1).abs().max()),
        "projection.parameters": found.parameters.tolist(),
        "projection.standard_errors": found.errors.tolist(),
        "projection.adam": float((slow.parameters - exact).abs().max()),
    }
    return Part(metrics, {})


def zero(seed: int, config: SbIrrConfig) -> Part:
    """Claim 7: with nothing to choose, three outer iterations give the plain bridge, bit for bit."""
    g, _ = generators(seed, "zero")
    problem = replace(simulated("lotka_volterra", 20, g), family=NoDrift())
    seen, times = problem.snapshots[::2][:3], problem.times[::2][:3]
    quick = replace(config, grid=10, rounds=2, features=20)
    paths = [
        refine_reference(
            seen, times, problem.family, quick.refine(problem, k), torch.Generator().manual_seed(seed)
        ).paths
        for k in (1, 3)
    ]
    return Part({"zero.difference": float((paths[1] - paths[0]).abs().max())}, {})
