"""Accelerated methods and flows: forms that must agree, known worst cases, laws found back from what they did."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp
from torch import Tensor

from invdyn.errors import ConfigError, SignalError, UnknownNameError
from invdyn.learning import (
    METHODS,
    Method,
    certificate,
    double_well,
    drift_kick,
    fit_passivity,
    flow,
    identify_optimizer,
    iterate,
    kinked,
    log_sum_exp,
    logistic,
    method,
    nesterov_convex,
    off_manifold,
    orthogonal_init,
    quadratic,
    quadratic_radius,
    three_sequences,
    worst_case,
    worst_excess,
)
from invdyn.worlds.solver import Tsit5

F64 = torch.float64


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def soft(g: torch.Generator, n: int = 6) -> tuple[object, Tensor]:
    rows, offsets, best = (torch.randn(*s, generator=g, dtype=F64) for s in ((12, n), (12,), (n,)))
    return log_sum_exp(rows, offsets, 0.5, best), best


def test_objectives_know_their_minimum_and_curvature() -> None:
    g = generator()
    features = torch.randn(40, 6, generator=g, dtype=F64)
    found = [
        quadratic(torch.tensor([1.0, 4.0, 9.0], dtype=F64), orthogonal_init(3, 3, g)[0]),
        soft(g)[0],
        logistic(features, torch.randn(40, generator=g, dtype=F64).sign(), 0.1),
        kinked(2),
    ]
    for objective in found:
        best = objective.minimiser
        assert float(objective.gradient(best).norm()) < 1e-12
        points = best + 3 * torch.randn(50, len(best), generator=g, dtype=F64)
        assert bool((objective.gap(points) > 0).all())
        # Hessians column by column: symmetric, eigenvalues within [mu, L].
        for x in points[:5]:
            hessian = torch.stack([objective.hvp(x, e) for e in torch.eye(len(best), dtype=F64)])
            torch.testing.assert_close(hessian, hessian.mT)
            values = torch.linalg.eigvalsh(hessian)
            assert float(values[0]) >= objective.mu - 1e-9
            assert float(values[-1]) <= objective.smoothness + 1e-9
    well = double_well(3)
    assert float(well.gradient(torch.ones(3, dtype=F64)).norm()) == 0
    with pytest.raises(ConfigError, match="'double well' has no single minimiser"):
        well.gap(torch.zeros(3, dtype=F64))
    with pytest.raises(SignalError, match=r"signs \+1 or -1"):
        logistic(features, torch.zeros(40, dtype=F64), 0.1)


@pytest.mark.parametrize("kind", ["passivity", "friction", "high_resolution", "hessian_free", "low_resolution"])
def test_flows_agree_with_scipy_on_a_quadratic(kind: str) -> None:
    """The oracle: the linear system written out and integrated by DOP853."""
    h = torch.tensor([1.0, 5.0, 25.0], dtype=F64)
    objective, lam, k, s = quadratic(h), 3.0, 0.1, 0.02
    start = torch.tensor([1.0, -2.0, 0.5], dtype=F64)
    given = flow(kind, objective, lam=lam, k=k, step=s)
    times = torch.linspace(0, 2, 5, dtype=F64)
    ours = given.follow(start, times, Tsit5(1e-10, 1e-12))[:, 0].numpy()
    c, q = h.numpy(), math.sqrt(s)
    laws = {
        "passivity": lambda x, v: (v, -(lam + k * c) * v - lam * k * c * x),
        "friction": lambda x, v: (v, -lam * v - lam * k * c * x),
        "low_resolution": lambda x, v: (v, -2 * v - c * x),
        "high_resolution": lambda x, v: (v, -2 * v - q * c * v - (1 + q) * c * x),
    }
    law = laws["high_resolution" if kind == "hessian_free" else kind]
    first = -2 * q * c * start.numpy() / (1 + q) if kind in ("high_resolution", "hessian_free") else 0 * c
    theirs = (
        solve_ivp(
            lambda t, y: np.concatenate(law(y[:3], y[3:])),
            (0, 2),
            np.concatenate([start.numpy(), first]),
            "DOP853",
            times.numpy(),
            rtol=1e-11,
            atol=1e-13,
        )
        .y[:3]
        .T
    )
    np.testing.assert_allclose(ours, theirs, atol=1e-8)


def test_passivity_makes_the_manifold_invariant_and_friction_does_not() -> None:
    objective, best = soft(generator(1))
    start, k, lam = best + 1, 0.1, 5.0
    times = torch.linspace(0, 1, 6, dtype=F64)
    offs = {}
    for kind in ("passivity", "friction"):
        path = flow(kind, objective, lam=lam, k=k).follow(
            start, times, Tsit5(1e-9, 1e-12), velocity=-k * objective.gradient(start)
        )
        offs[kind] = off_manifold(objective, path, k)
    assert float(offs["passivity"].max()) < 1e-9
    assert float(offs["friction"].max()) > 1e-3


def test_convex_method_follows_its_equation() -> None:
    h = torch.tensor([0.05, 1.0], dtype=F64)
    objective, start = quadratic(h), torch.ones(2, dtype=F64)
    gaps = []
    for s in (0.01, 0.0025):
        given = flow("high_resolution_convex", objective, step=s)
        points = nesterov_convex(objective.gradient, start, s, round(2 / math.sqrt(s)))
        times = given.start_time + torch.arange(len(points), dtype=F64) * math.sqrt(s)
        gaps.append(float((given.follow(start, times, Tsit5(1e-9, 1e-11))[:, 0] - points).abs().max()))
    assert gaps[0] < 0.05
    assert gaps[1] < 0.6 * gaps[0]  # at least order sqrt(s)


def test_three_forms_of_nesterov_are_one() -> None:
    objective, best = soft(generator(2))
    start = best + 2 * torch.ones_like(best)
    nag = method("nesterov", objective.mu, objective.smoothness)
    path = iterate(nag, objective.gradient, start, 60)
    three = three_sequences(objective.mu, objective.smoothness, objective.gradient, start, 60)
    torch.testing.assert_close(path, three.x, rtol=0, atol=1e-13)
    x, v = start, torch.zeros_like(start)
    for expected in path[1:]:
        x, v = drift_kick(nag, x, v, objective.gradient)
        torch.testing.assert_close(x, expected, rtol=0, atol=1e-13)


def test_certificates_hold_and_a_false_one_does_not() -> None:
    objective, best = soft(generator(3))
    start = best + torch.randn(4, 6, generator=generator(4), dtype=F64)
    steps = torch.arange(101, dtype=F64)
    three = three_sequences(objective.mu, objective.smoothness, objective.gradient, start, 100)
    found = certificate("nesterov", objective)
    assert worst_excess(found, three.x, three.z, steps) <= 1
    greedy = certificate("nesterov", quadratic(torch.tensor([0.9, 1.0] * 3, dtype=F64), minimiser=best))
    assert worst_excess(greedy, three.x, three.z, steps) > 1.1
    descent = iterate(method("gradient_descent", objective.mu, objective.smoothness), objective.gradient, start, 100)
    assert worst_excess(certificate("gradient_descent", objective), descent, descent, steps) <= 1
    times = torch.linspace(0, 3, 31, dtype=F64)
    s = 1 / objective.smoothness
    for kind, given, made in (
        ("high_resolution", flow("high_resolution", objective, step=s), {"step": s}),
        ("gradient", flow("gradient", objective, k=0.5), {"k": 0.5}),
        ("passivity", flow("passivity", objective, lam=2.0, k=0.1), {"lam": 2.0, "k": 0.1}),
    ):
        path = given.follow(start, times, Tsit5(1e-9, 1e-12))
        excess = worst_excess(certificate(kind, objective, **made), path[:, 0], path[:, 1], times, least=1e-8)
        assert excess <= 1 + 1e-5, kind
        if kind == "passivity":
            assert excess >= 1 - 1e-5  # an equality


def test_radii_are_the_formulas_and_wrong_numbers_show() -> None:
    h = torch.logspace(0, 2, 201, dtype=F64)
    expected = {"gradient_descent": 99 / 101, "heavy_ball": 9 / 11, "nesterov": 0.9, "triple_momentum": 0.9}
    for name, value in expected.items():
        assert float(quadratic_radius(method(name, 1.0, 100.0), h).max()) == pytest.approx(value, abs=1e-6)
    assert float(quadratic_radius(Method("greedy", 0.021), h).max()) > 1


def test_heavy_ball_cycles_where_nesterov_arrives() -> None:
    gradient, start = kinked().gradient, torch.tensor([3.3], dtype=F64)
    end = iterate(method("heavy_ball", 1.0, 25.0), gradient, start, 1000)[-3:, 0] * 1225
    np.testing.assert_allclose(sorted(end.tolist()), [-2208, 792, 2592], atol=1e-9)
    assert abs(float(iterate(method("nesterov", 1.0, 25.0), gradient, start, 100)[-1])) < 1e-9


def test_worst_cases_are_those_of_the_literature() -> None:
    # Gradient descent on convex functions: L / (4 N + 2) (Drori and Teboulle 2014, theorem 3.1).
    for n in (1, 4):
        assert worst_case(Method("gd", 1.0), 0.0, 1.0, n, final="value") == pytest.approx(1 / (4 * n + 2), rel=1e-6)
    # Nesterov, mu = 0.1, L = 1, N = 2: the value PEPit's documentation prints for its interior-point solver.
    nag = method("nesterov", 0.1, 1.0)
    assert worst_case(nag, 0.1, 1.0, 2, initial="potential", final="value") == pytest.approx(0.347602226, abs=1e-6)
    # A worst case is not below what a function of the class shows.
    path = iterate(method("heavy_ball", 1.0, 25.0), kinked().gradient, torch.tensor([3.3], dtype=F64), 3)
    assert worst_case(method("heavy_ball", 1.0, 25.0), 1.0, 25.0, 3) >= float((path[-1] / path[0]) ** 2)
    with pytest.raises(ConfigError, match="steps >= 1, 0 <= mu < L expected"):
        worst_case(nag, 1.0, 0.5, 2)


@pytest.mark.parametrize("name", METHODS)
def test_the_optimiser_is_named_from_its_iterates(name: str) -> None:
    g = generator(5)
    objective, best = soft(g, 10)
    how = method(name, objective.mu, objective.smoothness)
    start = best + 2 * torch.randn(10, generator=g, dtype=F64)
    clean = identify_optimizer(iterate(how, objective.gradient, start, 59), objective.gradient, objective.hvp)
    assert clean.method.name == name
    assert (clean.method.step, clean.method.beta, clean.method.gamma) == pytest.approx(
        (how.step, how.beta, how.gamma), rel=1e-6
    )
    assert clean.residual < 1e-7

    def noisy(x: Tensor) -> Tensor:
        true = objective.gradient(x)
        return true + 0.01 * true.norm() * torch.randn(10, generator=g, dtype=F64) / 10**0.5

    rough = identify_optimizer(iterate(how, noisy, start, 59), objective.gradient)
    assert rough.method.name == name
    assert (rough.method.step, rough.method.beta, rough.method.gamma) == pytest.approx(
        (how.step, how.beta, how.gamma), rel=0.05
    )
    assert rough.residual == pytest.approx(0.01 / 10**0.5, rel=0.2)


def test_explicit_hessian_damping_is_told_from_an_extrapolated_gradient() -> None:
    objective, best = soft(generator(6), 8)
    x, before = best + 3, best + 3
    path = [x]
    for _ in range(40):
        moved = x - before
        new = x + 0.5 * moved - 0.05 * objective.gradient(x) - 0.02 * objective.hvp(x, moved)
        x, before = new, x
        path.append(x)
    found = identify_optimizer(torch.stack(path), objective.gradient, objective.hvp)
    assert found.method.name == "hessian_damping"
    assert (found.method.step, found.method.beta, found.hessian) == pytest.approx((0.05, 0.5, 0.02), rel=1e-6)


def test_a_passivity_flow_is_found_back_from_positions() -> None:
    objective, best = soft(generator(7))
    times = torch.linspace(0, 5, 201, dtype=F64)
    path = flow("passivity", objective, lam=2.0, k=0.3).follow(best + 2, times, Tsit5(1e-9, 1e-11), best * 0 + 1)[:, 0]
    fit = fit_passivity(times, path, objective.gradient)
    assert (fit.lam, fit.k) == pytest.approx((2.0, 0.3), rel=1e-5)
    rough = fit_passivity(
        times, path + 1e-3 * torch.randn(path.shape, generator=generator(8), dtype=F64), objective.gradient
    )
    assert (rough.lam, rough.k) == pytest.approx((2.0, 0.3), rel=0.05)
    assert rough.residual == pytest.approx(1e-3, rel=0.2)


def test_wrong_questions_are_refused() -> None:
    objective, best = soft(generator(9))
    with pytest.raises(UnknownNameError, match=r"unknown method 'nesterof'. Did you mean 'nesterov'"):
        method("nesterof", 1.0, 2.0)
    with pytest.raises(ConfigError, match="0 < mu < L is expected"):
        method("nesterov", 2.0, 1.0)
    with pytest.raises(UnknownNameError, match=r"unknown flow 'pasivity'. Did you mean 'passivity'"):
        flow("pasivity", objective)
    with pytest.raises(ConfigError, match="flow 'passivity': lam is None; it needs a positive number"):
        flow("passivity", objective, k=1.0)
    with pytest.raises(ConfigError, match="'double well' has mu -1; mu > 0 is expected"):
        flow("low_resolution", double_well(2))
    with pytest.raises(UnknownNameError, match="unknown certificate"):
        certificate("nesterow", objective)
    with pytest.raises(ConfigError, match="step is missing"):
        certificate("high_resolution", objective)
    with pytest.raises(ConfigError, match="lam is missing"):
        certificate("passivity", objective)
    with pytest.raises(ConfigError, match="is not strongly convex"):
        certificate("nesterov", double_well(2))
    with pytest.raises(SignalError, match="3 iterates; at least 6 finite ones"):
        identify_optimizer(best.expand(3, -1), objective.gradient)
    with pytest.raises(SignalError, match="the gradient at x_0 is zero"):
        identify_optimizer(torch.zeros(9, 2, dtype=F64), kinked(2).gradient)
    with pytest.raises(SignalError, match="at least 12 of each"):
        fit_passivity(torch.arange(3.0, dtype=F64), torch.zeros(3, 2, dtype=F64), objective.gradient)
    with pytest.raises(SignalError, match="positions must be finite"):
        fit_passivity(torch.arange(20.0, dtype=F64), torch.full((20, 6), math.nan, dtype=F64), objective.gradient)
