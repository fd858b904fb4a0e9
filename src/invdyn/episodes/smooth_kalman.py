"""Kalman filter and Rauch-Tung-Striebel smoother of motion driven by white noise, with nothing assumed at the start.

State x = (p, p', ..., p^(m-1)); p^(m) is white noise of density s (m = 3: white jerk); measurements y = p + noise of
variance r. In units of a step h and of the noise, everything but the data depends on rate = s h^(2m-1) / r. The
posterior mean is the smoothing spline of degree 2m-1 (Wahba, JRSS B 40, 1978): one engine serves both methods.

Covariances do not depend on the data: `g` rates are carried side by side, each for `c` columns, so that a grid of
rates costs little more than one. Where the clock is regular and no value is missing the covariance settles; from there
the gains stand still, and the means are linear recursions, run in blocks (`recursion`) rather than step by step.

Numerics: covariance form throughout (Joseph form); the first m measurements, for which no prior exists, are
taken together (generalised least squares), so that no large number stands for "unknown".
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import comb, factorial

import numpy as np
from jaxtyping import Bool, Float, Int

__all__ = ["UNCOUNTED", "Filtered", "States", "recursion", "run_filter", "run_smoother"]

UNCOUNTED = 6  # measurements the likelihood leaves out, so that it compares orders up to as many
SETTLED = 1e-11  # relative change of a covariance over a step below which it stands still (our choice)


@lru_cache(maxsize=256)
def transition(d: float, order: int) -> Float[np.ndarray, "m m"]:
    """State after d without noise: Taylor's series. Kept for regular clocks: not to be written to; so is the next."""
    return np.array([[d ** (j - i) / factorial(j - i) if j >= i else 0.0 for j in range(order)] for i in range(order)])


@lru_cache(maxsize=256)
def diffusion(d: float, order: int) -> Float[np.ndarray, "m m"]:
    """Covariance that unit white noise in the m-th derivative adds over d."""
    up = range(order - 1, -1, -1)  # integrations between the noise and each component
    return np.array([[d ** (i + j + 1) / (factorial(i) * factorial(j) * (i + j + 1)) for j in up] for i in up])


def recursion(
    matrix: Float[np.ndarray, "g m m"], inputs: Float[np.ndarray, "length g c m"], start: Float[np.ndarray, "g c m"]
) -> Float[np.ndarray, "length g c m"]:
    """x[j] = matrix x[j-1] + inputs[j], x[-1] = start, in about 2 sqrt(length) steps.

    Blocks are run side by side from zero; then each is given what the one before left.
    """
    length, step = len(inputs), np.swapaxes(matrix, -1, -2)
    size = max(1, int(np.sqrt(length)))
    blocks = -(-length // size)
    x = np.zeros((blocks * size, *inputs.shape[1:]))
    x[:length] = inputs
    x = x.reshape(blocks, size, *inputs.shape[1:])
    powers = [step]
    for j in range(1, size):
        x[:, j] += x[:, j - 1] @ step
        powers.append(powers[-1] @ step)
    carried = start
    stacked = np.stack(powers)
    for block in range(blocks):
        x[block] += carried @ stacked
        carried = x[block, -1]
    return x.reshape(blocks * size, *inputs.shape[1:])[:length]


@dataclass(frozen=True)
class Filtered:
    """What the forward pass leaves, in units of a step and of the noise.

    Attributes:
        first: sample at which m measurements have been seen; the arrays below begin there.
        slot: [T - first] number of the covariance of each sample.
        predicted: [slots, g, m, m] covariance before the sample's own measurement (the first: not used).
        posterior: [slots, g, m, m] covariance after it.
        mean_before, mean_after: [T - first, g, c, m].
        squares: [g, c] sum of innovation^2 / variance; `logs`: [g] sum of log variance; `count`: innovations.
    """

    first: int
    slot: Int[np.ndarray, " length"]
    predicted: Float[np.ndarray, "slots g m m"]
    posterior: Float[np.ndarray, "slots g m m"]
    mean_before: Float[np.ndarray, "length g c m"]
    mean_after: Float[np.ndarray, "length g c m"]
    squares: Float[np.ndarray, "g c"]
    logs: Float[np.ndarray, " g"]
    count: int


@dataclass(frozen=True)
class States:
    """Smoothed states [T, g, c, m], their covariances [slots, g, m, m], and which of these each sample has."""

    mean: Float[np.ndarray, "steps g c m"]
    covariance: Float[np.ndarray, "slots g m m"]
    slot: Int[np.ndarray, " steps"]


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


def _covariances(
    start: Float[np.ndarray, "g m m"],
    rate: Float[np.ndarray, " g"],
    valid: Bool[np.ndarray, " length"],
    steps: Float[np.ndarray, " moves"],
) -> tuple[Int[np.ndarray, " length"], Float[np.ndarray, "slots g m m"], Float[np.ndarray, "slots g m m"]]:
    """Slot of each sample, covariances before and after its measurement; the first sample's is `start`."""
    slot = np.zeros(len(valid), dtype=np.int64)
    before, after = [start], [start]
    even = bool((steps == 1.0).all())
    order = start.shape[-1]
    gaps = np.flatnonzero(~valid)
    k = 1
    while k < len(valid):
        move = transition(float(steps[k - 1]), order)
        predicted = move @ after[-1] @ move.T + rate[:, None, None] * diffusion(float(steps[k - 1]), order)
        posterior = predicted
        if valid[k]:
            gain = predicted[:, :, 0] / (predicted[:, :1, 0] + 1.0)
            keep = np.eye(order) - gain[:, :, None] * np.eye(order)[0]
            posterior = keep @ predicted @ np.swapaxes(keep, -1, -2) + gain[:, :, None] * gain[:, None, :]
        scale = np.sqrt(np.einsum("gii->gi", predicted))
        change = np.abs(predicted - before[-1]) / (scale[:, :, None] * scale[:, None, :])
        slot[k] = len(before)
        before.append(predicted)
        after.append(posterior)
        k += 1
        if even and k > 2 and valid[k - 1] and valid[k - 2] and change.max() < SETTLED:
            following = gaps[np.searchsorted(gaps, k) :]
            until = int(following[0]) if len(following) else len(valid)
            slot[k:until] = slot[k - 1]
            k = until
    return slot, np.stack(before), np.stack(after)


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
    y = values if values.ndim == 3 else np.broadcast_to(values[:, None], (len(values), len(rate), values.shape[1]))
    seen = np.flatnonzero(valid)[:order]
    first = int(seen[-1])
    design, noise = _seen(first, seen, clock, rate, order)
    inverse = np.linalg.inv(design)
    steps = np.diff(clock[first:])
    here = valid[first:]
    slot, predicted, posterior = _covariances(inverse @ noise @ inverse.T, rate, here, steps)
    variance = predicted[:, :, 0, 0] + 1.0
    gain = predicted[:, :, :, 0] / variance[:, :, None]
    before = np.empty((len(here), *y.shape[1:], order))
    after = np.empty_like(before)
    before[0] = after[0] = np.einsum("ij,jgc->gci", inverse, y[seen])
    k = 1
    while k < len(here):
        stop = k + 1
        if here[k] and slot[k] == slot[k - 1]:  # a settled stretch: the predictions are one linear recursion
            other = np.flatnonzero(slot[k:] != slot[k])
            stop = k + int(other[0]) if len(other) else len(here)
            move = transition(1.0, order)
            fixed = gain[slot[k]]
            loop = move @ (np.eye(order) - fixed[:, :, None] * np.eye(order)[0])
            push = np.einsum("ij,gj->gi", move, fixed)
            inputs = y[first + k - 1 : first + stop - 1][..., None] * push[None, :, None, :]
            before[k:stop] = recursion(loop, inputs, before[k - 1])
        else:
            before[k] = after[k - 1] @ transition(float(steps[k - 1]), order).T
        if here[k]:
            innovation = y[first + k : first + stop] - before[k:stop, ..., 0]
            after[k:stop] = before[k:stop] + innovation[..., None] * gain[slot[k]][None, :, None, :]
        else:
            after[k:stop] = before[k:stop]
        k = stop
    used = here & (np.cumsum(valid)[first:] > UNCOUNTED)
    innovations = y[first:][used] - before[used][..., 0]
    spread = variance[slot[used]]
    return Filtered(
        first,
        slot,
        predicted,
        posterior,
        before,
        after,
        (innovations**2 / spread[:, :, None]).sum(0),
        np.log(spread).sum(0),
        int(used.sum()),
    )


def _settles(old: Float[np.ndarray, "g m m"], new: Float[np.ndarray, "g m m"]) -> bool:
    scale = np.sqrt(np.einsum("gii->gi", new))
    return bool((np.abs(new - old) / (scale[:, :, None] * scale[:, None, :])).max() < SETTLED)


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
    y = values if values.ndim == 3 else np.broadcast_to(values[:, None], (len(values), len(rate), values.shape[1]))
    first, slot = forward.first, forward.slot
    steps = np.diff(clock)
    mean = np.empty((len(values), *forward.mean_after.shape[1:]))
    where = np.empty(len(values), dtype=np.int64)
    mean[-1] = forward.mean_after[-1]
    covariances = [forward.posterior[slot[-1]]]
    where[-1] = 0
    order = mean.shape[-1]
    one = np.eye(order)
    k = len(values) - 2
    while k >= first:
        here, following = slot[k - first], slot[k + 1 - first]
        move, noise = transition(float(steps[k]), order), rate[:, None, None] * diffusion(float(steps[k]), order)
        posterior = forward.posterior[here]
        back = np.swapaxes(np.linalg.solve(forward.predicted[following], move @ posterior), -1, -2)
        keep = one - back @ move
        own = keep @ posterior @ np.swapaxes(keep, -1, -2) + back @ noise @ np.swapaxes(back, -1, -2)
        start = k  # this gain serves samples start .. k
        if here == following:
            other = np.flatnonzero(slot[: k - first] != here)
            start = first + (int(other[-1]) + 1 if len(other) else 0)
        inputs = forward.mean_after[start - first : k + 1 - first] - forward.mean_before[
            start + 1 - first : k + 2 - first
        ] @ np.swapaxes(back, -1, -2)
        mean[start : k + 1] = recursion(back, inputs[::-1], mean[k + 1])[::-1]
        for j in range(k, start - 1, -1):
            covariances.append(own + back @ covariances[-1] @ np.swapaxes(back, -1, -2))
            where[j] = len(covariances) - 1
            if _settles(covariances[-2], covariances[-1]):
                where[start:j] = where[j]
                break
        k = start - 1
    for k in range(first - 1, -1, -1):  # fewer than m measurements so far: nothing to invert
        seen = np.flatnonzero(valid[: k + 1])
        design, errors = _seen(k, seen, clock, rate, order)
        undo = transition(-float(steps[k]), order)
        prior = rate[:, None, None] * (undo @ diffusion(float(steps[k]), order) @ undo.T)
        gain = prior @ design.T @ np.linalg.inv(design @ prior @ design.T + errors)
        keep = one - gain @ design
        back = keep @ undo
        own = keep @ prior @ np.swapaxes(keep, -1, -2) + gain @ errors @ np.swapaxes(gain, -1, -2)
        mean[k] = mean[k + 1] @ np.swapaxes(back, -1, -2) + np.einsum("gij,jgc->gci", gain, y[seen])
        covariances.append(own + back @ covariances[-1] @ np.swapaxes(back, -1, -2))
        where[k] = len(covariances) - 1
    return States(mean, np.stack(covariances), where)
