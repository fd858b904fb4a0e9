"""Integrators: measured order equals claimed order; samples with clocks of their own; clear errors."""

from __future__ import annotations

import math

import pytest
import torch

from invdyn.errors import ConfigError, SignalError
from invdyn.verify.convergence import convergence_order
from invdyn.worlds.solver import RK4, Tsit5, integrate

START = torch.tensor([1.0, 0.0], dtype=torch.float64)
TIMES = torch.linspace(0, 2, 5, dtype=torch.float64)


def oscillator(t: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return torch.stack([y[1], -y[0]])


def truth(times: torch.Tensor) -> torch.Tensor:
    return torch.stack([times.cos(), -times.sin()], 1)


def test_rk4_shows_order_four() -> None:
    def error(dt: float) -> float:
        return float((integrate(oscillator, START, TIMES, RK4(dt)) - truth(TIMES)).abs().max())

    # The next error term bends the slope by about the step: 0.1 covers steps up to 0.25.
    assert convergence_order(error, [0.25, 0.125, 0.0625, 0.03125]) == pytest.approx(4, abs=0.1)


def test_tsit5_keeps_its_tolerance_and_its_error_falls_with_it() -> None:
    errors = []
    for rtol in (1e-4, 1e-7, 1e-10):
        found = integrate(oscillator, START, TIMES, Tsit5(rtol, rtol))
        errors.append(float((found - truth(TIMES)).abs().max()))
        assert errors[-1] < 10 * rtol  # local tolerance; a few steps add up
    assert errors[0] > 30 * errors[1] > 900 * errors[2]


def test_tsit5_agrees_with_scipy_on_a_nonlinear_clocked_problem() -> None:
    from scipy.integrate import solve_ivp

    def rhs(t: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return torch.stack([y[1], (1 - y[0] ** 2) * y[1] - y[0] + torch.sin(t)])

    def reference(t: float, y: list[float]) -> list[float]:
        return [y[1], (1 - y[0] ** 2) * y[1] - y[0] + math.sin(t)]

    times = torch.linspace(0, 10, 21, dtype=torch.float64)
    found = integrate(rhs, START, times, Tsit5(1e-10, 1e-12))
    other = solve_ivp(reference, (0, 10), [1.0, 0.0], "DOP853", t_eval=times.numpy(), rtol=1e-12, atol=1e-13)
    assert float((found - torch.from_numpy(other.y.T.copy())).abs().max()) < 1e-8


def test_samples_keep_their_own_clock() -> None:
    rates = torch.tensor([1.0, 30.0], dtype=torch.float64)
    calls: list[torch.Tensor] = []

    def rhs(t: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        calls.append(t)
        return -rates * y * (1 + t.cos())

    start = torch.ones(3, 2, dtype=torch.float64)
    found = integrate(rhs, start, TIMES, Tsit5(1e-9, 1e-12, per_sample=True))
    expected = torch.exp(-rates * (TIMES + TIMES.sin())[:, None])[:, None].expand(5, 3, 2)
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-9)
    assert any(bool(t[0] != t[1]) for t in calls)


def test_bad_input_says_what_is_wrong() -> None:
    with pytest.raises(SignalError, match="times must increase"):
        integrate(oscillator, START, TIMES.flip(0), RK4(0.1))
    with pytest.raises(ConfigError, match=r"dt 0.0 must be positive"):
        integrate(oscillator, START, TIMES, RK4(0.0))
    with pytest.raises(ConfigError, match="rtol -1"):
        integrate(oscillator, START, TIMES, Tsit5(-1.0))
    with pytest.raises(SignalError, match=r"3 steps did not reach t = 0.5"):
        integrate(oscillator, START, TIMES, Tsit5(1e-12, 1e-12, max_steps=3))
    blow_up = torch.tensor([1.0], dtype=torch.float64)
    with pytest.raises(SignalError, match="stops being finite before t"):
        integrate(lambda t, y: y * y, blow_up, torch.tensor([0.0, 9.0], dtype=torch.float64), RK4(0.1))
    with pytest.raises(SignalError, match=r"stops being finite near t = 1|steps did not reach"):
        integrate(lambda t, y: y * y, blow_up, torch.tensor([0.0, 2.0], dtype=torch.float64), Tsit5(max_steps=20_000))
    with pytest.raises(SignalError, match="two different steps"):
        convergence_order(lambda h: h, [0.1])
    with pytest.raises(SignalError, match="must be positive and finite"):
        convergence_order(lambda h: 0.0, [0.1, 0.2])
