"""Experiments of the nesterov-dynamics study on iterations: certificates, cycles, rates, identification."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from invdyn.learning import (
    METHODS,
    Method,
    Objective,
    certificate,
    fit_passivity,
    flow,
    identify_optimizer,
    iterate,
    kinked,
    quadratic_radius,
    three_sequences,
    worst_case,
    worst_excess,
)
from invdyn.learning import method as method_of
from invdyn.studies.nesterov_dynamics_config import NesterovConfig, known_functions, normal, spectrum
from invdyn.studies.part import Part, generators
from invdyn.worlds.solver import Tsit5

__all__ = ["certify", "cycle", "identify", "performance", "radii", "rates"]

CYCLE = torch.tensor([792.0, -2208.0, 2592.0], dtype=torch.float64) / 1225


def certify(seed: int, config: NesterovConfig) -> Part:
    """Claim 5: V falls by its factor at every step on every function; momentum and three-sequence forms are one."""
    g, _ = generators(seed, "certificate")
    excess, forms, curves = {}, [], {}
    for kappa in (10.0, 100.0, 1e4):
        functions = known_functions(config, g, kappa)
        for objective in functions if kappa == 100.0 else functions[:1]:
            assert objective.minimiser is not None
            start = objective.minimiser + 3 * normal(g, config.starts, len(objective.minimiser))
            mu, top = objective.mu, objective.smoothness
            found = certificate("nesterov", objective)
            path = three_sequences(mu, top, objective.gradient, start, config.steps)
            name = f"{objective.name} {kappa:g}" if objective.name == "quadratic" else objective.name
            excess[name] = worst_excess(found, path.x, path.z, torch.arange(config.steps + 1, dtype=torch.float64))
            momentum = iterate(method_of("nesterov", mu, top), objective.gradient, start, config.steps)
            forms.append(float((momentum - path.x).abs().max() / start.abs().max()))
            values = found.value(path.x, path.z)[:, 0]
            curves[name] = {"values": (values / values[0]).tolist(), "log_rate": found.log_rate}
    return Part(
        {
            "certificate.excess": float(np.max(list(excess.values()))) - 1,
            "certificate.form_error": float(np.max(forms)),
            "certificate.ratios": list(excess.values()),
        },
        curves,
    )


def cycle(seed: int, config: NesterovConfig) -> Part:
    """Claims 6 and 7: heavy ball cycles on the kinked function, Nesterov and triple momentum arrive."""
    _, rng = generators(seed, "cycle")
    objective = kinked()
    start = torch.tensor([3.3], dtype=torch.float64)
    lengths = {"heavy_ball": 1000, "nesterov": 100, "triple_momentum": 100}
    paths = {name: iterate(method_of(name, 1.0, 25.0), objective.gradient, start, n) for name, n in lengths.items()}
    end = paths["heavy_ball"][-3:, 0]
    orders = torch.stack([CYCLE.roll(i) for i in range(3)])
    triple = method_of("triple_momentum", 1.0, 25.0)
    x = paths["triple_momentum"]
    outputs = triple.output(x[1:], x[:-1])[:, 0].abs()
    many = torch.from_numpy(rng.uniform(-10, 10, (config.cycle_starts, 1)))
    shares = {}
    for name, n in lengths.items():
        last = iterate(method_of(name, 1.0, 25.0), objective.gradient, many, n)[-1, :, 0]
        shares[name] = float((last.abs() > 0.1).double().mean())
    return Part(
        {
            "cycle.error": float((end - orders).abs().amax(1).min()),
            "cycle.others": max(float(paths[name][100].abs().max()) for name in ("nesterov", "triple_momentum")),
            "cycle.rate_error": float((outputs[41:81] / outputs[40:80] - 0.8).abs().max()),
            "cycle.share": shares["heavy_ball"],
            "cycle.share_nesterov": shares["nesterov"],
            "cycle.share_triple_momentum": shares["triple_momentum"],
        },
        {name: path[:60, 0].tolist() for name, path in paths.items()},
    )


def radii(seed: int, config: NesterovConfig) -> Part:
    """Claim 8: worst spectral radius over [mu, L], by stepping, against the four formulas."""
    errors, rows = [], {}
    for kappa in (10.0, 100.0, 1000.0):
        root = math.sqrt(kappa)
        formulas = {
            "gradient_descent": (kappa - 1) / (kappa + 1),
            "heavy_ball": (root - 1) / (root + 1),
            "nesterov": 1 - 1 / root,
            "triple_momentum": 1 - 1 / root,
        }
        for name, expected in formulas.items():
            found = float(quadratic_radius(method_of(name, 1.0, kappa), spectrum(kappa, 401)).max())
            errors.append(abs(found - expected))
            rows[f"radii.{name}_{kappa:g}"] = found
    return Part({"radii.error": float(np.max(errors)), **rows}, {})


def _count(how: Method, gradient: Any, start: Tensor, best: Tensor, cap: int) -> float:
    """Iterations until the output is within 1e-8 of the first distance; NaN where the cap came first."""
    x, before, goal = start, start, 1e-8 * float((start - best).norm())
    for k in range(cap):
        if float((how.output(x, before) - best).norm()) <= goal:
            return float(k)
        x, before = how.advance(x, before, gradient), x
    return math.nan


def rates(seed: int, config: NesterovConfig) -> Part:
    """Claim 9: iterations to a distance of 1e-8 against the condition number."""
    g, _ = generators(seed, "rates")
    start, zero = normal(g, config.rate_dim), torch.zeros(config.rate_dim, dtype=torch.float64)
    counts: dict[str, list[float]] = {name: [] for name in METHODS}
    for kappa in config.kappas:
        h = spectrum(kappa, config.rate_dim)  # rotating the axes changes no step: the gradient is h x
        for name in METHODS:
            counts[name].append(_count(method_of(name, 1.0, kappa), lambda x, h=h: h * x, start, zero, 200_000))
    slopes = {n: float(np.polyfit(np.log(config.kappas), np.log(c), 1)[0]) for n, c in counts.items()}
    metrics: dict[str, Any] = {f"rates.{name}_slope": slope for name, slope in slopes.items()}
    metrics |= {f"rates.{name}_counts": values for name, values in counts.items()}
    for objective in known_functions(config, g)[1:3]:
        assert objective.minimiser is not None
        for name in METHODS:
            how = method_of(name, objective.mu, objective.smoothness)
            begin = objective.minimiser + normal(g, len(objective.minimiser))
            metrics[f"rates.{objective.name}_{name}"] = _count(
                how, objective.gradient, begin, objective.minimiser, 20_000
            )
    return Part(metrics, {"kappas": list(config.kappas), **counts})


def _recorded(objective: Objective, name: str, noise: float, g: torch.Generator) -> tuple[Method, Tensor]:
    """60 iterates of a method whose gradients carry relative noise."""
    assert objective.minimiser is not None
    how = method_of(name, objective.mu, objective.smoothness)
    dim = len(objective.minimiser)

    def gradient(x: Tensor) -> Tensor:
        true = objective.gradient(x)
        return true + noise * true.norm() * normal(g, dim) / dim**0.5

    return how, iterate(how, gradient, objective.minimiser + 2 * normal(g, dim), 59)


def identify(seed: int, config: NesterovConfig) -> Part:
    """Claim 10: which method, with which coefficients, made 60 iterates; lam and k of a recorded passivity flow."""
    g, rng = generators(seed, "identify")
    named: dict[float, list[bool]] = {0.0: [], 0.01: []}
    errors: dict[float, list[float]] = {0.0: [], 0.01: []}
    points = []
    for noise in named:
        for _ in range(config.trials):
            kappa = float(np.exp(rng.uniform(np.log(20), np.log(200))))
            for objective in known_functions(config, g, kappa)[:3]:
                for name in METHODS:
                    how, path = _recorded(objective, name, noise, g)
                    found = identify_optimizer(path, objective.gradient, objective.hvp)
                    named[noise].append(found.method.name == name)
                    if named[noise][-1]:
                        pairs = [(getattr(found.method, c), getattr(how, c)) for c in ("step", "beta", "gamma")]
                        errors[noise].append(max(abs(a / b - 1) for a, b in pairs if b))
                        if noise:
                            points.append([list(METHODS).index(name), how.beta, found.method.beta])
    drifts: dict[float, list[float]] = {0.0: [], 1e-3: []}
    objective = known_functions(config, g)[1]
    assert objective.minimiser is not None
    times = torch.linspace(0, 6, 301, dtype=torch.float64)
    for lam, k in ((3.0, 0.2), (1.0, 0.5)):
        path = flow("passivity", objective, lam=lam, k=k).follow(
            objective.minimiser + normal(g, config.dim), times, Tsit5(1e-9, 1e-11), normal(g, config.dim)
        )[:, 0]
        for noise, drift in drifts.items():
            fit = fit_passivity(times, path + noise * normal(g, *path.shape), objective.gradient)
            drift.append(max(abs(fit.lam / lam - 1), abs(fit.k / k - 1)))
    return Part(
        {
            "identify.named": float(np.mean(named[0.0])),
            "identify.named_noisy": float(np.mean(named[0.01])),
            "identify.error": float(np.max(errors[0.0])),
            "identify.error_noisy": float(np.max(errors[0.01])),
            "identify.passivity_error": float(np.max(drifts[0.0])),
            "identify.passivity_error_noisy": float(np.max(drifts[1e-3])),
        },
        {"points": points},
    )


def performance(seed: int, config: NesterovConfig) -> Part:
    """Beyond the claims of the card: exact worst cases over the whole class by semidefinite programming, kappa = 10."""
    mu, top, th = 1.0, 10.0, 10**-0.5
    counts = range(1, config.performance_steps + 1)
    methods = {name: method_of(name, mu, top) for name in METHODS}
    worst = {name: [worst_case(how, mu, top, n) for n in counts] for name, how in methods.items()}
    potential = [
        worst_case(methods["nesterov"], mu, top, n, initial="potential", final="potential", delta=(1 - th) / th)
        for n in counts
    ]
    ratio = ((top - mu) / (top + mu)) ** 2
    return Part(
        {
            "performance.nesterov_excess": max(v / (1 - th) ** n for v, n in zip(potential, counts)),
            "performance.descent_error": max(abs(v / ratio**n - 1) for v, n in zip(worst["gradient_descent"], counts)),
            "performance.heavy_ball": worst["heavy_ball"],
            "performance.nesterov": worst["nesterov"],
            "performance.triple_momentum": worst["triple_momentum"],
        },
        {"counts": list(counts), **worst},
    )
