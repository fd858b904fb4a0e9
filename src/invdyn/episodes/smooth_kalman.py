"""Kalman filter and Rauch-Tung-Striebel smoother of motion driven by white noise, with nothing assumed at the start.

State x = (p, p', ..., p^(m-1)); p^(m) is white noise of density s (m = 3: white jerk); measurements y = p + noise of
variance r. In units of a step h and of the noise, everything but the data depends on rate = s h^(2m-1) / r. The
posterior mean is the smoothing spline of degree 2m-1 (Wahba, JRSS B 40, 1978): one engine serves both methods.

Covariances do not depend on the data: `g` rates are carried side by side, each for `c` columns, so that a grid of
rates costs little more than one. Where the clock is regular and next to no value is missing the covariance settles;
from there gains stand still, and means are a few large products (`smooth_settled`). Where it cannot settle, covariances
and means are run in blocks side by side (`smooth_blocks`).

Numerics: covariance form throughout (Joseph form); the first m measurements, for which no prior exists, are
taken together (generalised least squares), so that no large number stands for "unknown".
"""

from __future__ import annotations

from dataclasses import dataclass
from math import comb, factorial

import numpy as np
from jaxtyping import Bool, Float, Int

from invdyn.episodes.smooth_blocks import backward_blocks, forward_blocks
from invdyn.episodes.smooth_settled import (
    States,
    Track,
    backward_settled,
    diffusion,
    forward_settled,
    innovations_settled,
    transition,
)

__all__ = ["UNCOUNTED", "Filtered", "Fit", "States", "run_filter", "run_fit", "run_smoother"]

UNCOUNTED = 6  # measurements the likelihood leaves out, so that it compares orders up to as many
INTERRUPTED = 4  # gaps in a regular clock from which on covariances are not waited for to settle again (our choice)


@dataclass(frozen=True)
class Fit:
    """How well predictions met the measurements that count.

    Args:
        squares: [g, c] sum of innovation^2 / variance. logs: [g] sum of log variance. count: innovations.
    """

    squares: Float[np.ndarray, "g c"]
    logs: Float[np.ndarray, " g"]
    count: int


@dataclass(frozen=True)
class Filtered:
    """What the forward pass leaves, in units of a step and of the noise.

    Args:
        first: sample at which m measurements have been seen. track: from there on. fit: of the innovations.
        settled: whether covariances were run one after another until they settled, not in blocks.
    """

    first: int
    track: Track
    fit: Fit
    settled: bool


def _settles_down(valid: Bool[np.ndarray, " length"], steps: Float[np.ndarray, " moves"]) -> bool:
    """Whether most samples will share one covariance."""
    return bool((steps == 1.0).all()) and int((valid[:-1] & ~valid[1:]).sum()) < INTERRUPTED


def _seen(
    at: int,
    seen: Int[np.ndarray, " seen"],
    clock: Float[np.ndarray, " steps"],
    rate: Float[np.ndarray, " g"],
    order: int,
) -> tuple[Float[np.ndarray, "seen m"], Float[np.ndarray, "g seen seen"]]:
    """Measurements `seen`, none after sample `at`, as y = B x(at) + e: B, and the covariance of e.

    e holds the noise and what drove the motion since: integral of (t_i - s)^(m-1) / (m-1)! dw(s) from t_i to t(at),
    up to a sign all share.
    """
    lag = clock[seen] - clock[at]
    design = np.stack([lag**j / factorial(j) for j in range(order)], axis=1)
    apart, left, top = np.abs(lag[:, None] - lag), -np.maximum(lag[:, None], lag), order - 1
    driven = (
        sum(  # integral of u^top (u + apart)^top from 0 to left
            comb(top, j) * apart ** (top - j) * left ** (top + j + 1) / (top + j + 1) for j in range(order)
        )
        / factorial(top) ** 2
    )
    return design, np.eye(len(seen)) + rate[:, None, None] * driven


def _begin(
    y: Float[np.ndarray, "steps g c"],
    valid: Bool[np.ndarray, " steps"],
    clock: Float[np.ndarray, " steps"],
    rate: Float[np.ndarray, " g"],
    order: int,
) -> tuple[int, Float[np.ndarray, "g c m"], Float[np.ndarray, "g m m"]]:
    """The sample at which m measurements have been seen, its mean and covariance."""
    seen = np.flatnonzero(valid)[:order]
    design, noise = _seen(int(seen[-1]), seen, clock, rate, order)
    inverse = np.linalg.inv(design)
    return int(seen[-1]), np.einsum("ij,jgc->gci", inverse, y[seen]), inverse @ noise @ inverse.T


def _fit(
    innovation: Float[np.ndarray, "length g c"],
    variance: Float[np.ndarray, "length g"],
    valid: Bool[np.ndarray, " length"],
    already: int,
) -> Fit:
    """Of the samples after `already` measurements."""
    used = valid & (np.cumsum(valid) + already > UNCOUNTED)
    innovation, variance = innovation[used], variance[used]
    squares = np.einsum("tgc,tgc,tg->gc", innovation, innovation, 1 / variance)
    with np.errstate(invalid="ignore"):  # the caller drops what is not a number
        logs = np.log(variance).sum(0)
    return Fit(squares, logs, int(used.sum()))


def _by_rate(
    values: Float[np.ndarray, "steps c"] | Float[np.ndarray, "steps g c"], rate: Float[np.ndarray, " g"]
) -> Float[np.ndarray, "steps g c"]:
    return values if values.ndim == 3 else np.broadcast_to(values[:, None], (len(values), len(rate), values.shape[1]))


def run_fit(
    values: Float[np.ndarray, "steps c"],
    valid: Bool[np.ndarray, " steps"],
    clock: Float[np.ndarray, " steps"],
    rate: Float[np.ndarray, " g"],
    order: int = 3,
) -> Fit:
    """`run_filter` where only the fit is wanted: no states are kept."""
    y = _by_rate(values, rate)
    first, mean, spread = _begin(y, valid, clock, rate, order)
    steps, here = np.diff(clock[first:]), valid[first:]
    if _settles_down(here, steps):
        innovation, variance = innovations_settled(values[first:], here, rate, mean, spread)
        return _fit(innovation[1:], variance[1:], here[1:], order)
    found = forward_blocks(y[first + 1 :], here[1:], steps, rate, mean, spread, keep=False)
    return _fit(found.innovation, found.variance, here[1:], order)


def run_filter(
    values: Float[np.ndarray, "steps c"] | Float[np.ndarray, "steps g c"],
    valid: Bool[np.ndarray, " steps"],
    clock: Float[np.ndarray, " steps"],
    rate: Float[np.ndarray, " g"],
    order: int = 3,
) -> Filtered:
    """Filter c columns at g rates.

    Args:
        values: [T, c], the same at every rate, or [T, g, c]; read where valid.
        valid: [T], more than `UNCOUNTED` True.
        clock: [T] in steps (regular clocks: 0, 1, 2, ...).
        rate: [g] s h^(2m-1) / r.
        order: m.
    """
    y = _by_rate(values, rate)
    first, mean, spread = _begin(y, valid, clock, rate, order)
    steps, here = np.diff(clock[first:]), valid[first:]
    settled = _settles_down(here, steps)
    if settled:
        track = forward_settled(y[first:], here, rate, mean, spread)
        innovation = y[first + 1 :] - track.mean_before[1:, ..., 0]
        variance = track.predicted[track.slot[1:], :, 0, 0] + 1.0
    else:
        found = forward_blocks(y[first + 1 :], here[1:], steps, rate, mean, spread, keep=True)
        assert found.track is not None
        track, innovation, variance = found.track, found.innovation, found.variance
    return Filtered(first, track, _fit(innovation, variance, here[1:], order), settled)


def run_smoother(
    values: Float[np.ndarray, "steps c"] | Float[np.ndarray, "steps g c"],
    valid: Bool[np.ndarray, " steps"],
    clock: Float[np.ndarray, " steps"],
    rate: Float[np.ndarray, " g"],
    forward: Filtered,
) -> States:
    """The backward pass over what `run_filter` left, and on to samples before its first.

    x_k | all = x_k|k + C (x_k+1 | all - x_k+1|k), C = P_k|k Phi' P_k+1|k^-1 (Rauch, Tung, Striebel 1965);
    P_k | all = (1 - C Phi) P_k|k (1 - C Phi)' + C (Q + P_k+1 | all) C'.
    """
    y, first, steps = _by_rate(values, rate), forward.first, np.diff(clock)
    if forward.settled:
        later = backward_settled(rate, forward.track)
    else:
        later = backward_blocks(steps[first:], rate, forward.track)
    order = later.mean.shape[-1]
    mean, covariance, added = later.mean[0], later.covariance[later.slot[0]], []
    for k in range(first - 1, -1, -1):  # fewer than m measurements so far: nothing to invert
        seen = np.flatnonzero(valid[: k + 1])
        design, errors = _seen(k, seen, clock, rate, order)
        undo = transition(-float(steps[k]), order)
        prior = rate[:, None, None] * (undo @ diffusion(float(steps[k]), order) @ undo.T)
        gain = prior @ design.T @ np.linalg.inv(design @ prior @ design.T + errors)
        keep = np.eye(order) - gain @ design
        back = keep @ undo
        own = keep @ prior @ np.swapaxes(keep, -1, -2) + gain @ errors @ np.swapaxes(gain, -1, -2)
        mean = mean @ np.swapaxes(back, -1, -2) + np.einsum("gij,jgc->gci", gain, y[seen])
        covariance = own + back @ covariance @ np.swapaxes(back, -1, -2)
        added.append((mean, covariance))
    slots = len(later.covariance) + np.arange(first)[::-1]
    means = [m[None] for m, _ in reversed(added)]
    return States(
        np.concatenate([*means, later.mean]),
        np.concatenate([later.covariance, *(p[None] for _, p in added)]),
        np.concatenate([slots, later.slot]),
    )
