"""Experiments of the nesterov-dynamics study on differential equations: the slow manifold and the limits of NAG."""

from __future__ import annotations

import math

import numpy as np
import torch
from scipy.interpolate import pade

from invdyn.learning import (
    certificate,
    double_well,
    drift_kick,
    flow,
    iterate,
    log_sum_exp,
    off_manifold,
    orthogonal_init,
    quadratic,
    worst_excess,
)
from invdyn.learning import method as method_of
from invdyn.studies.nesterov_dynamics_config import NesterovConfig, normal, spectrum
from invdyn.studies.part import Part, generators
from invdyn.worlds.solver import Tsit5

__all__ = ["limit", "manifold", "slow", "splitting"]


def manifold(seed: int, config: NesterovConfig) -> Part:
    """Claim 1: |z| dies exactly as e^(-lam t), on a convex, a strongly convex and a nonconvex function."""
    g, rng = generators(seed, "manifold")
    n = config.dim
    lam = float(rng.uniform(2, 4))
    cases = {
        "quadratic": (quadratic(spectrum(100.0, n), orthogonal_init(n, n, g)[0]), 0.02, normal(g, n)),
        "log-sum-exp": (log_sum_exp(normal(g, 2 * n, n) / 3, normal(g, 2 * n), 0.5, normal(g, n)), 0.2, normal(g, n)),
        "double well": (double_well(n), 0.2, 2.8 * torch.rand(n, generator=g, dtype=torch.float64) - 1.4),
    }
    times = torch.linspace(0, 8 / lam, 41, dtype=torch.float64)
    errors, curves = {}, {}
    for name, (objective, k, start) in cases.items():
        path = flow("passivity", objective, lam=lam, k=k).follow(start, times, Tsit5(1e-9, 1e-11), normal(g, n))
        z = off_manifold(objective, path, k)
        errors[name] = float((z / z[0] * torch.exp(lam * times) - 1).abs().max())
        curves[name] = (z / z[0]).tolist()
    return Part(
        {f"manifold.error_{name.replace(' ', '_')}": value for name, value in errors.items()}
        | {"manifold.error": float(np.max(list(errors.values())))},  # NaN stays NaN
        {"times": (lam * times).tolist(), "curves": curves},
    )


def slow(seed: int, config: NesterovConfig) -> Part:
    """Claim 2: distances that shrink as 1/lam, with the manifold's tangent term and without."""
    g, _ = generators(seed, "slow")
    n, factors = config.dim, (4, 8, 16, 32, 64)
    cases = [
        quadratic(spectrum(100.0, n), orthogonal_init(n, n, g)[0]),
        log_sum_exp(normal(g, 2 * n, n) / 3, normal(g, 2 * n), 0.5, normal(g, n)),
    ]
    slopes: dict[str, list[float]] = {"friction": [], "passivity": []}
    exact, curves = [], {}
    for objective in cases:
        k = 1 / objective.smoothness  # time in units of 1 / (k L): transients of rate lam = factor are over by t = 3
        times = torch.tensor([0.0, 3.0, 4.0, 5.0], dtype=torch.float64)
        assert objective.minimiser is not None
        start = objective.minimiser + normal(g, n)
        tight = Tsit5(1e-9, 1e-12)
        descent = flow("gradient", objective, k=k).follow(start, times, tight)[1:, 0]
        for kind in ("friction", "passivity"):
            distances = []
            for factor in factors:
                path = flow(kind, objective, lam=factor * k * objective.smoothness, k=k).follow(start, times, tight)
                off = (off_manifold(objective, path, k) / path[:, 1].norm(dim=-1))[1:]
                gap = (path[1:, 0] - descent).norm(dim=-1)
                distances.append(float((off if kind == "friction" else gap).max()))
            if kind == "passivity":
                exact.append(float(off.max()))
            slopes[kind].append(float(np.polyfit(np.log(factors), np.log(distances), 1)[0]))
            curves[f"{objective.name}, {kind}"] = distances

    def worst(values: list[float]) -> float:
        return max(values, key=lambda slope: abs(slope + 1))

    return Part(
        {
            "slow.friction_slope": worst(slopes["friction"]),
            "slow.passivity_slope": worst(slopes["passivity"]),
            "slow.passivity_off": float(np.max(exact)),
            "slow.slopes": slopes["friction"] + slopes["passivity"],
        },
        {"factors": list(factors), "curves": curves},
    )


def limit(seed: int, config: NesterovConfig) -> Part:
    """Claim 3: NAG follows the high-resolution equation, not the low-resolution one (mu = 1, L = 100, up to time 2)."""
    g, _ = generators(seed, "limit")
    n = config.dim
    objective = quadratic(spectrum(100.0, n), orthogonal_init(n, n, g)[0])
    start, tight = normal(g, n), Tsit5(1e-9, 1e-11)
    high, low, plain, curves = [], [], [], {}
    for divisor in (1, 4, 16, 64):
        step = 1 / (100.0 * divisor)
        nag = method_of("nesterov", 1.0, 1 / step)
        x = iterate(nag, objective.gradient, start, round(2 / math.sqrt(step)))
        seen = x + nag.gamma * torch.cat([x[:1] * 0, x.diff(dim=0)])  # where gradients are taken: the paper's x_k
        times = torch.arange(len(x), dtype=torch.float64) * math.sqrt(step)
        paths = {
            kind: flow(kind, objective, step=step).follow(start, times, tight)
            for kind in ("high_resolution", "low_resolution", "hessian_free")
        }
        gaps = {kind: (path[:, 0] - seen).norm(dim=-1) for kind, path in paths.items()}
        high.append(float(gaps["high_resolution"].max()))
        low.append(float(gaps["low_resolution"].max()))
        plain.append(float((paths["high_resolution"][:, 0] - x).norm(dim=-1).max()))
        if divisor == 1:
            pair = float((paths["hessian_free"][:, 0] - paths["high_resolution"][:, 0]).abs().max())
            found = certificate("high_resolution", objective, step=step)
            excess = worst_excess(found, paths["high_resolution"][:, 0], paths["high_resolution"][:, 1], times)
        curves[str(divisor)] = {
            "times": times.tolist(),
            "high": gaps["high_resolution"].tolist(),
            "low": gaps["low_resolution"].tolist(),
        }
    ratios = np.array(high) / np.array(low)
    return Part(
        {
            "limit.ratio": float(ratios.max()),
            "limit.shrinks": float((np.array(high)[1:] / np.array(high)[:-1]).max()),
            "limit.iterates_ratio": float((np.array(plain) / np.array(low)).max()),
            "limit.high": high,
            "limit.low": low,
            "limit.pair_error": pair,
            "limit.energy_excess": excess,
        },
        curves,
    )


def splitting(seed: int, config: NesterovConfig) -> Part:
    """Claim 4: NAG is heavy ball with the kick at the drifted point; the friction is the Cayley value of its decay."""
    g, rng = generators(seed, "splitting")
    n = config.dim
    damping, cayley, forms = [], [], []
    for kappa in (10.0, 100.0, float(rng.uniform(1e3, 1e4))):
        basis = orthogonal_init(n, n, g)[0]
        objective = quadratic(spectrum(kappa, n), basis)
        nag = method_of("nesterov", 1.0, kappa)
        ball = type(nag)("heavy_ball", nag.step, nag.beta)  # NAG's own numbers, gradient at x
        x, before = normal(g, n), normal(g, n)
        gap = nag.advance(x, before, objective.gradient) - ball.advance(x, before, objective.gradient)
        expected = -nag.step * nag.beta * objective.hvp(x, x - before)
        damping.append(float((gap - expected).abs().max()))
        # (1, 1) Pade approximant of e^(-2 u) from its Taylor series, at u = sqrt(mu s).
        top, bottom = pade([1.0, -2.0, 2.0], 1)
        cayley.append(abs(float(top(kappa**-0.5) / bottom(kappa**-0.5)) - nag.beta))
        v = torch.zeros_like(x)
        path = iterate(nag, objective.gradient, x, 50)
        for expected_x in path[1:]:
            x, v = drift_kick(nag, x, v, objective.gradient)
            forms.append(float((x - expected_x).abs().max()))
    return Part(
        {
            "splitting.damping_error": float(np.max(damping)),
            "splitting.cayley_error": float(np.max(cayley)),
            "splitting.form_error": float(np.max(forms)),
        },
        {},
    )
