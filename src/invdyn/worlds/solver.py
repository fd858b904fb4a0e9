"""Integrators of ordinary differential equations on tensors of any shape: fixed-step RK4, adaptive Tsit5.

The right-hand side is `rhs(t, y)`. In adaptive runs with `per_sample=True` the batch is the last axis, every sample
keeps its own clock and step, and `t` has shape [batch]; otherwise `t` is a scalar tensor.
Source of Tsit5: Tsitouras, Computers & Mathematics with Applications 62 (2011), table 1.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from invdyn.errors import ConfigError, SignalError

__all__ = ["RK4", "Tsit5", "integrate", "rk4_step"]

Rhs = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class RK4:
    """Classical Runge-Kutta of order 4 with a fixed step."""

    dt: float
    """Largest step, in the unit of time; every output interval is cut into equal steps no longer than this."""


@dataclass(frozen=True)
class Tsit5:
    """Explicit Runge-Kutta of order 5 with an error estimate of order 4 and steps of its own choice."""

    rtol: float = 1e-8
    """Allowed local error relative to the state."""
    atol: float = 1e-10
    """Allowed local error, in the unit of the state."""
    per_sample: bool = False
    """A step per sample of the last axis; else one step for all, chosen by the worst sample."""
    max_steps: int = 1_000_000
    """Steps (accepted and rejected) after which integration is given up with an error."""


def rk4_step(rhs: Rhs, t: Tensor, y: Tensor, dt: Tensor) -> Tensor:
    """One step of order 4 from y(t) to y(t + dt)."""
    k1 = rhs(t, y)
    k2 = rhs(t + dt / 2, y + dt / 2 * k1)
    k3 = rhs(t + dt / 2, y + dt / 2 * k2)
    k4 = rhs(t + dt, y + dt * k3)
    return y + dt / 6 * (k1 + 2 * (k2 + k3) + k4)


def integrate(
    rhs: Rhs, start: Float[Tensor, "*shape"], times: Float[Tensor, " time"], method: RK4 | Tsit5
) -> Float[Tensor, time * shape]:
    """The solution of dy/dt = rhs(t, y) with y(times[0]) = start, at the given increasing times.

    Raises:
        ConfigError: a step or tolerance that is not positive.
        SignalError: times that do not increase, a solution that stops being finite, too many steps.
    """
    if times.numel() > 1 and not bool((times.diff() > 0).all()):
        raise SignalError("integrate: times must increase strictly.")
    if isinstance(method, RK4):
        return _fixed(rhs, start, times, method)
    return _adaptive(rhs, start, times, method)


def _fixed(rhs: Rhs, y: Tensor, times: Tensor, method: RK4) -> Tensor:
    if method.dt <= 0:
        raise ConfigError(f"RK4: dt {method.dt} must be positive.")
    out = [y]
    for begin, end in itertools.pairwise(times):
        # The tolerance keeps a span that is a whole number of steps from getting one more by rounding.
        steps = max(1, int(torch.ceil((end - begin) / method.dt - 1e-9)))
        dt = (end - begin) / steps
        for i in range(steps):
            y = rk4_step(rhs, begin + i * dt, y, dt)
        _check_finite(y, end)
        out.append(y)
    return torch.stack(out)


# Tsitouras (2011), table 1: nodes, stage weights (the last row is the solution of order 5), error weights.
_C = (0.0, 0.161, 0.327, 0.9, 0.9800255409045097, 1.0, 1.0)
_A: tuple[tuple[float, ...], ...] = (
    (),
    (0.161,),
    (-0.008480655492356989, 0.335480655492357),
    (2.8971530571054935, -6.359448489975075, 4.3622954328695815),
    (5.325864828439257, -11.748883564062828, 7.4955393428898365, -0.09249506636175525),
    (5.86145544294642, -12.92096931784711, 8.159367898576159, -0.071584973281401, -0.028269050394068383),
    (0.09646076681806523, 0.01, 0.4798896504144996, 1.379008574103742, -3.290069515436081, 2.324710524099774),
)
_E = (
    0.00178001105222577714,
    0.0008164344596567469,
    -0.007880878010261995,
    0.1447110071732629,
    -0.5823571654525552,
    0.45808210592918697,
    -1 / 66,
)


def _tsit5_step(rhs: Rhs, t: Tensor, y: Tensor, dt: Tensor, first: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """y(t + dt), the local error estimate, and the slope at the end, which is the first stage of the next step."""
    stages = [first]
    for c, row in zip(_C[1:], _A[1:], strict=True):
        argument = y + dt * sum(a * k for a, k in zip(row, stages, strict=True))
        stages.append(rhs(t + c * dt, argument))
    return argument, dt * sum(e * k for e, k in zip(_E, stages, strict=True)), stages[-1]


def _adaptive(rhs: Rhs, y: Tensor, times: Tensor, method: Tsit5) -> Tensor:
    if method.rtol <= 0 or method.atol < 0:
        raise ConfigError(f"Tsit5: rtol {method.rtol} must be positive and atol {method.atol} not negative.")
    clock = (y.shape[-1],) if method.per_sample else ()
    t = times[0].to(y).expand(clock).clone()
    slope = rhs(t, y)
    step = torch.full(clock, float(times[-1] - times[0]) * 1e-3, dtype=y.dtype, device=y.device)
    out, used = [y], 0
    for end in times[1:].to(y):
        while bool((t < end).any()):
            if (used := used + 1) > method.max_steps:
                raise SignalError(
                    f"Tsit5: {method.max_steps} steps did not reach t = {float(end):g}. Loosen rtol, atol."
                )
            dt = torch.minimum(step, end - t)
            new, error, new_slope = _tsit5_step(rhs, t, y, dt, slope)
            ratio = _error_ratio(error, y, new, method)
            if not bool(torch.isfinite(ratio).all()) and bool((dt < 1e-14 * (1 + end.abs())).any()):
                raise SignalError(f"integrate: the solution stops being finite near t = {float(t.min()):g}.")
            ratio = torch.nan_to_num(ratio, nan=1e6, posinf=1e6)
            accept = (ratio <= 1) & (t < end)
            # A step cut to land on an output time says nothing about the step to take next, unless it failed.
            proposal = dt * (0.9 * ratio.clamp(min=1e-10) ** -0.2).clamp(0.2, 5.0)
            step = torch.where(
                t < end, torch.where(accept & (dt < step), torch.maximum(step, proposal), proposal), step
            )
            landed = dt == end - t
            t = torch.where(accept, torch.where(landed, end, t + dt), t)
            y, slope = torch.where(accept, new, y), torch.where(accept, new_slope, slope)
        out.append(y)
    return torch.stack(out)


def _error_ratio(error: Tensor, old: Tensor, new: Tensor, method: Tsit5) -> Tensor:
    """Root-mean-square of error / allowed error: over everything, or per sample of the last axis."""
    squared = (error / (method.atol + method.rtol * torch.maximum(old.abs(), new.abs()))).square()
    if not method.per_sample:
        return squared.mean().sqrt()
    return squared.reshape(-1, squared.shape[-1]).mean(0).sqrt()


def _check_finite(y: Tensor, t: Tensor) -> None:
    if not bool(torch.isfinite(y).all()):
        raise SignalError(f"integrate: the solution stops being finite before t = {float(t):g}. Use a smaller step.")
