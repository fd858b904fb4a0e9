"""Closed forms of learning in deep linear networks (whitened inputs, squared error, gradient flow).

tau dW_l/dt = -d/dW_l of |Sigma_31 - W_L ... W_1|^2 / 2. With tau = 1 / learning rate, t counts epochs. In aligned
coordinates every singular mode of Sigma_31 (strength s) is learnt on its own; u is the network's strength of it.
Source: Saxe, McClelland, Ganguli, arXiv 1312.6120; the matrix form: Fukumizu, "Effect of batch learning in multilayer
neural networks", 1998.

| function | start | equation |
|---|---|---|
| `balanced` | two layers, a = b | tau du = 2 u (s - u) |
| `unbalanced` | two layers, a^2 - b^2 = c0 | tau dtheta = 2 s - c0 sinh theta |
| `deep`, `deep_time` | L layers, equal | tau du = L u^(2 - 2/L) (s - u) |
| `infinite_time` | L -> infinity | L t -> tau (integral of du / (u^2 (s - u))) |
| `riccati` | two layers, balanced, unaligned matrices | tau dQ = F Q - Q Q^T Q / 2 |
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from scipy.special import expit, hyp2f1
from torch import Tensor

from invdyn.errors import ConfigError

__all__ = ["balanced", "balanced_time", "deep", "deep_time", "infinite_time", "riccati", "unbalanced"]

Values = float | int | np.number | np.ndarray
"""Numbers or arrays; they broadcast."""


def balanced(s: Values, u0: Values, t: Values, tau: float = 1.0) -> np.ndarray:
    """u(t) = s e^(2st/tau) / (e^(2st/tau) - 1 + s/u0), in a form that neither overflows nor divides by s = 0."""
    s, u0, t = (np.asarray(x, float) for x in (s, u0, t))
    x = 2 * s * t / tau
    with np.errstate(divide="ignore", invalid="ignore"):
        gained = np.where(s == 0, 2 * t / tau, -np.expm1(-x) / s)
    return np.asarray(1 / (np.exp(-x) / u0 + gained))


def balanced_time(s: Values, u0: Values, uf: Values, tau: float = 1.0) -> np.ndarray:
    """Time from u0 to uf: tau/(2s) ln[uf (s - u0) / (u0 (s - uf))]."""
    s, u0, uf = (np.asarray(x, float) for x in (s, u0, uf))
    return np.asarray(tau / (2 * s) * np.log(uf * (s - u0) / (u0 * (s - uf))))


def unbalanced(s: Values, a0: Values, b0: Values, t: Values, tau: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """(a(t), b(t)) of a mode from an unbalanced start a0, b0 > 0, s > 0; u = a b, and a^2 - b^2 stays c0.

    With w = b/a = tanh(theta/2) (the smaller over the larger), w+- = (-c0 +- sqrt(c0^2 + 4 s^2)) / (2 s):
    (w - w+)/(w - w-) = [(w0 - w+)/(w0 - w-)] exp(-sqrt(c0^2 + 4 s^2) t / tau).
    """
    s, a0, b0, t = np.broadcast_arrays(*(np.asarray(x, float) for x in (s, a0, b0, t)))
    large, small = np.maximum(a0, b0), np.minimum(a0, b0)
    c0 = large**2 - small**2
    root = np.sqrt(c0**2 + 4 * s**2)
    # 2 s / (c0 + root) is (-c0 + root) / (2 s) without cancellation.
    high, low = 2 * s / (c0 + root), -(c0 + root) / (2 * s)
    w0 = small / large
    q = (w0 - high) / (w0 - low) * np.exp(-root * t / tau)
    w = (high - q * low) / (1 - q)
    with np.errstate(divide="ignore", invalid="ignore"):
        first = np.where(c0 == 0, np.sqrt(balanced(s, large * small, t, tau)), np.sqrt(c0 / (1 - w**2)))
    second = np.where(c0 == 0, first, first * w)
    return np.where(a0 >= b0, first, second), np.where(a0 >= b0, second, first)


def _check_depth(depth: int) -> None:
    if depth < 2:
        raise ConfigError(f"depth {depth}: these closed forms are for two weight matrices or more.")


def _clock(x: np.ndarray, depth: int) -> np.ndarray:
    """The integral of dx / (x^(2 - 2/L) (1 - x)): the time of mode strength 1, up to a constant.

    -x^(-k)/k 2F1(1, -k; 1 - k; x) with k = 1 - 2/L; ln(x / (1 - x)) for L = 2.
    """
    k = 1 - 2 / depth
    return np.asarray(np.log(x / (1 - x)) if depth == 2 else -(x**-k) / k * hyp2f1(1, -k, 1 - k, x))


def deep_time(s: Values, u0: Values, uf: Values, depth: int, tau: float = 1.0) -> np.ndarray:
    """Time from u0 to uf < s for L = `depth` balanced layers: (tau/L) times the integral of du / (u^(2-2/L) (s - u)).

    Raises:
        ConfigError: fewer than two layers.
    """
    _check_depth(depth)
    s, u0, uf = (np.asarray(x, float) for x in (s, u0, uf))
    spent = _clock(np.asarray(uf / s), depth) - _clock(np.asarray(u0 / s), depth)
    return np.asarray(tau / (depth * s ** (2 - 2 / depth)) * spent)


def infinite_time(s: Values, u0: Values, uf: Values, tau: float = 1.0) -> np.ndarray:
    """The limit of L times `deep_time`: tau [ln(uf (s-u0) / (u0 (s-uf))) / s^2 + 1/(s u0) - 1/(s uf)]."""
    s, u0, uf = (np.asarray(x, float) for x in (s, u0, uf))
    return np.asarray(tau * (np.log(uf * (s - u0) / (u0 * (s - uf))) / s**2 + 1 / (s * u0) - 1 / (s * uf)))


class _ClockInverse:
    """x as a function of `_clock(x)`: cubic Hermite in z = ln(x / (1 - x)), whose slope x^k is known exactly."""

    def __init__(self, depth: int, low: float = -16.0, high: float = 16.0, nodes: int = 3201) -> None:
        from scipy.interpolate import CubicHermiteSpline

        self.k = 1 - 2 / depth
        self.z = np.linspace(low, high, nodes)
        x = 1 / (1 + np.exp(-self.z))
        self.ticks = _clock(x, depth)
        self.spline = CubicHermiteSpline(self.ticks, self.z, x**self.k)

    def __call__(self, tick: np.ndarray) -> np.ndarray:
        inside = np.clip(tick, self.ticks[0], self.ticks[-1])
        z = self.spline(inside)
        # Beyond the table: z grows with the clock; far below it x^(-k) = -k clock to the leading order.
        z = np.where(tick > self.ticks[-1], self.z[-1] + tick - self.ticks[-1], z)
        if self.k > 0:
            with np.errstate(divide="ignore", invalid="ignore"):
                z = np.where(tick < self.ticks[0], -np.log(np.maximum(-self.k * tick, 1e-300)) / self.k, z)
        else:
            z = np.where(tick < self.ticks[0], self.z[0] + tick - self.ticks[0], z)
        return np.asarray(expit(z))


_INVERSES: dict[int, _ClockInverse] = {}


def deep(s: Values, u0: Values, t: Values, depth: int, tau: float = 1.0) -> np.ndarray:
    """u(t) for L = `depth` >= 2 balanced layers and 0 < u0 < s: `deep_time` inverted (relative error below 1e-8)."""
    _check_depth(depth)
    s, u0, t = (np.asarray(x, float) for x in (s, u0, t))
    return s * progress(_clock(np.asarray(u0 / s), depth) + depth * s ** (2 - 2 / depth) * t / tau, depth)


def progress(tick: Values, depth: int) -> np.ndarray:
    """u / s at a reading of the clock of `depth`; the reading at half is `half_tick(depth)`."""
    _check_depth(depth)
    if depth not in _INVERSES:
        _INVERSES[depth] = _ClockInverse(depth)
    return _INVERSES[depth](np.asarray(tick, float))


def half_tick(depth: int) -> float:
    """The clock's reading at u = s / 2."""
    return float(_clock(np.asarray(0.5), depth))


def riccati(
    weights: tuple[Float[Tensor, "batch hidden in"], Float[Tensor, "batch out hidden"]],
    input_output: Float[Tensor, "out in"],
    t: float,
    tau: float = 1.0,
) -> Float[Tensor, "batch out in"]:
    """The product W2 W1 at time t from any balanced start (W1 W1^T = W2^T W2), aligned or not.

    Q = [W1^T; W2] follows tau dQ = F Q - Q Q^T Q / 2 with F = [[0, Sigma^T], [Sigma, 0]], so that
    Q Q^T(t) = e^(Ft) Q0 [1 + Q0^T (int_0^t e^(2Fr) dr) Q0]^-1 Q0^T e^(Ft).

    Raises:
        ConfigError: a start that is not balanced (relative to its size, 1e-9), for which this is not the solution.
    """
    first, second = weights
    imbalance = float((first @ first.mT - second.mT @ second).abs().max())
    if imbalance > 1e-9 * float((first @ first.mT).abs().max()):
        raise ConfigError(f"riccati: W1 W1^T and W2^T W2 differ by {imbalance:.1e}; a balanced start is needed.")
    out, inputs = input_output.shape
    block = input_output.new_zeros(out + inputs, out + inputs)
    block[inputs:, :inputs], block[:inputs, inputs:] = input_output, input_output.mT
    rates, vectors = torch.linalg.eigh(block)
    x = rates * (t / tau)
    # (e^(2x) - 1) / (2 rate), and t / tau where the rate is zero.
    small = rates.abs() < 1e-12
    integral = torch.where(small, torch.full_like(x, t / tau), torch.expm1(2 * x) / (2 * rates.masked_fill(small, 1.0)))
    start = vectors.mT @ torch.cat([first.mT, second], -2)
    grown = torch.exp(x)[:, None] * start
    inner = torch.eye(start.shape[-1], dtype=start.dtype) + start.mT @ (integral[:, None] * start)
    stack = vectors @ grown
    product = stack @ torch.linalg.solve(inner, stack.mT)
    return product[..., inputs:, :inputs]
