"""The inverse use of the closed forms: from a recorded learning curve back to what caused it.

A loss curve of a deep linear network is floor + sum_i (s_i - u_i(t))^2 / 2, every u_i a known function of strength s_i,
start u0_i, tau and depth L. Depth shows in the shape: the exponent 2 - 2/L of a mode's growth, and how growth rates
of different modes compare.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.optimize import OptimizeResult, least_squares
from scipy.special import expit

from invdyn.errors import SignalError
from invdyn.learning.deep_linear import half_tick, progress, unbalanced

__all__ = ["LossFit", "ModeFit", "fit_loss_curve", "fit_mode_curve", "identify_depth", "loss_curve"]


@dataclass(frozen=True)
class LossFit:
    """Causes of a loss curve, strongest mode first."""

    depth: int
    strengths: Float[np.ndarray, " mode"]
    """s_i, in units of the loss's square root."""
    starts: Float[np.ndarray, " mode"]
    """u0_i, the network's strength of each mode at time 0."""
    tau: float
    """1 / learning rate, in the unit of the recorded times."""
    floor: float
    """Loss that no linear map can remove."""
    residual: float
    """Root mean square of recorded minus fitted loss."""


@dataclass(frozen=True)
class ModeFit:
    """Causes of the curve of one mode in a two-layer network."""

    strength: float
    start: float
    """u0 = a0 b0."""
    imbalance: float
    """c0 = |a0^2 - b0^2|, conserved."""
    tau: float
    residual: float
    """Root mean square of recorded minus fitted u."""


def _mode_strengths(
    times: np.ndarray, strengths: np.ndarray, half_times: np.ndarray, tau: float, depth: int
) -> np.ndarray:
    speed = depth * strengths ** (2 - 2 / depth) / tau
    return strengths * progress(half_tick(depth) + speed * (times[:, None] - half_times), depth)


def loss_curve(
    times: Float[np.ndarray, " time"],
    strengths: Float[np.ndarray, " mode"],
    half_times: Float[np.ndarray, " mode"],
    tau: float,
    depth: int,
    floor: float = 0.0,
) -> Float[np.ndarray, " time"]:
    """The closed form, with modes placed by the times at which they are half learnt."""
    gap = strengths - _mode_strengths(times, strengths, half_times, tau, depth)
    return floor + (gap**2).sum(1) / 2


def _steps(times: np.ndarray, loss: np.ndarray, modes: int) -> tuple[np.ndarray, np.ndarray]:
    """(drop times, drop heights) of the best piecewise constant curve with modes + 1 levels, by dynamic programming."""
    pick = np.unique(np.linspace(0, len(times) - 1, 240).astype(int))
    y = loss[pick]
    n = len(y)
    sums, squares = np.concatenate([[0], np.cumsum(y)]), np.concatenate([[0], np.cumsum(y**2)])
    i, j = np.arange(n)[:, None], np.arange(1, n + 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        cost = (squares[j] - squares[i]) - (sums[j] - sums[i]) ** 2 / (j - i)
    cost = np.where(j > i, cost, np.inf)  # of one level over samples i .. j-1
    best, cuts = cost[0], []
    for _ in range(modes):
        total = best[:-1, None] + cost[1:]
        cuts.append(total.argmin(0))
        best = total.min(0)
    ends, edge = [], n - 1
    for cut in reversed(cuts):
        edge = int(cut[edge])
        ends.append(edge)
    edges = np.array(ends[::-1])
    bounds = np.concatenate([[0], edges + 1, [n]])
    levels = np.array([y[a:b].mean() for a, b in itertools.pairwise(bounds)])
    levels[0] = y[0]
    return times[pick[edges]], np.maximum(-np.diff(levels), 1e-3 * (y[0] - y[-1]))


def fit_loss_curve(
    times: Float[np.ndarray, " time"], loss: Float[np.ndarray, " time"], modes: int, depth: int
) -> LossFit:
    """Least squares for {s_i, u0_i, tau, floor} at a given depth, from several starting guesses of tau.

    Args:
        times: when the loss was recorded, increasing, from 0 until all modes are learnt.
        loss: half squared error, noise included.
        modes: how many modes to explain it with.
        depth: number of weight matrices.

    Raises:
        SignalError: fewer records than unknowns, times that do not increase, values that are not finite.
    """
    unknowns = 2 * modes + 2
    if len(times) != len(loss) or len(times) <= unknowns:
        raise SignalError(
            f"fit_loss_curve: {len(times)} times and {len(loss)} losses for {unknowns} unknowns. Record more points."
        )
    if not (np.isfinite(times).all() and np.isfinite(loss).all() and (np.diff(times) > 0).all()):
        raise SignalError("fit_loss_curve: times must increase and every loss must be finite. Cut the record there.")
    when, drops = _steps(times, loss, modes)
    strengths = np.sqrt(2 * drops)
    scale = float(loss[0] - loss[-1])

    def misfit(p: np.ndarray, t: np.ndarray, y: np.ndarray) -> np.ndarray:
        s, half = np.exp(p[:modes]), np.exp(p[modes : 2 * modes])
        return (loss_curve(t, s, half, float(np.exp(p[-2])), depth, p[-1] * scale) - y) / scale

    thin = slice(None, None, max(1, len(times) // 300))
    rough: OptimizeResult | None = None
    # A mode grows over about tau / (L s^(2-2/L)) around its half time: try widths from narrow to wide, on few points.
    for width in (0.05, 0.15, 0.45, 1.0):
        tau = width * float(np.median(when * depth * strengths ** (2 - 2 / depth)))
        guess = np.concatenate([np.log(strengths), np.log(np.maximum(when, times[1])), [np.log(tau), loss[-1] / scale]])
        try:
            found = least_squares(misfit, guess, x_scale="jac", max_nfev=60, args=(times[thin], loss[thin]))
        except ValueError:  # a wild step left the numbers; another guess will do
            continue
        if rough is None or found.cost < rough.cost:
            rough = found
    if rough is None:
        raise SignalError("fit_loss_curve: no starting guess fits. Is this a learning curve from time 0?")
    best = least_squares(misfit, rough.x, x_scale="jac", max_nfev=200, args=(times, loss))
    order = np.argsort(-best.x[:modes])
    s, half = np.exp(best.x[:modes])[order], np.exp(best.x[modes : 2 * modes])[order]
    tau = float(np.exp(best.x[-2]))
    return LossFit(
        depth=depth,
        strengths=s,
        starts=_mode_strengths(np.zeros(1), s, half, tau, depth)[0],
        tau=tau,
        floor=float(best.x[-1] * scale),
        residual=float(np.sqrt(2 * best.cost / len(times)) * scale),
    )


def identify_depth(
    times: Float[np.ndarray, " time"],
    loss: Float[np.ndarray, " time"],
    modes: int,
    depths: Sequence[int] = (2, 3, 4, 8),
) -> LossFit:
    """The fit of the depth that explains the curve best; all depths have equally many unknowns."""
    return min((fit_loss_curve(times, loss, modes, depth) for depth in depths), key=lambda fit: fit.residual)


def fit_mode_curve(times: Float[np.ndarray, " time"], curve: Float[np.ndarray, " time"]) -> ModeFit:
    """Least squares for {s, u0, c0, tau} of one mode of a two-layer network from the record of its strength u(t).

    Raises:
        SignalError: fewer than 8 records, or values that are not finite.
    """
    if len(times) != len(curve) or len(times) < 8 or not (np.isfinite(times).all() and np.isfinite(curve).all()):
        raise SignalError(f"fit_mode_curve: {len(times)} times, {len(curve)} values; 8 finite pairs are needed.")
    final = float(np.median(curve[-max(3, len(curve) // 20) :]))
    half = float(times[int(np.argmax(curve >= final / 2))]) or float(times[1])

    def model(p: np.ndarray) -> np.ndarray:
        s, large, ratio, tau = np.exp(p[0]), np.exp(p[1]), expit(p[2]), np.exp(p[3])
        a, b = unbalanced(s, large, large * ratio, times, float(tau))
        return a * b

    best: OptimizeResult | None = None
    for ratio in (-4.0, -1.0, 2.0):
        for large in (0.02, 0.1, 0.4):
            guess = np.array([np.log(final), np.log(large * final**0.5), ratio, np.log(half * final / 2)])
            found = least_squares(lambda p: (model(p) - curve) / final, guess, x_scale="jac", max_nfev=200)
            if best is None or found.cost < best.cost:
                best = found
    assert best is not None
    s, large, tau = np.exp(best.x[[0, 1, 3]])
    small = large * expit(best.x[2])
    return ModeFit(
        strength=float(s),
        start=float(large * small),
        imbalance=float(large**2 - small**2),
        tau=float(tau),
        residual=float(np.sqrt(2 * best.cost / len(times)) * final),
    )
