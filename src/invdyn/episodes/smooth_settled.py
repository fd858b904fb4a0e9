"""The Kalman filter and smoother of `smooth_kalman` on a regular clock, where covariances settle.

From there on gains stand still, samples share a covariance, and means are linear recursions run in blocks.
"""

from __future__ import annotations

from functools import lru_cache
from math import factorial
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

__all__ = [
    "States",
    "Track",
    "backward_settled",
    "diffusion",
    "diffusions",
    "forward_settled",
    "innovations_settled",
    "recursion",
    "transition",
    "transitions",
]

SETTLED = 1e-11  # relative change of a covariance over a step below which it stands still (our choice)
STRETCH = 48  # samples under one gain taken at a time (our choice; from 32 to 96 it hardly matters)


class Track(NamedTuple):
    """What a run forward leaves.

    slot [length]: number of the covariance of each sample. predicted, posterior [slots, g, m, m]: covariances before
    and after the sample's own measurement (of the first sample both are those given). mean_before, mean_after
    [length, g, c, m] likewise.
    """

    slot: Int[np.ndarray, " length"]
    predicted: Float[np.ndarray, "slots g m m"]
    posterior: Float[np.ndarray, "slots g m m"]
    mean_before: Float[np.ndarray, "length g c m"]
    mean_after: Float[np.ndarray, "length g c m"]


class States(NamedTuple):
    """Smoothed states [T, g, c, m], their covariances [slots, g, m, m], and which of these each sample has."""

    mean: Float[np.ndarray, "steps g c m"]
    covariance: Float[np.ndarray, "slots g m m"]
    slot: Int[np.ndarray, " steps"]


def transitions(steps: Float[np.ndarray, " moves"], order: int) -> Float[np.ndarray, "moves m m"]:
    """State after each step without noise: Taylor's series."""
    found = np.zeros((len(steps), order, order))
    for i in range(order):
        for j in range(i, order):
            found[:, i, j] = steps ** (j - i) / factorial(j - i)
    return found


def diffusions(steps: Float[np.ndarray, " moves"], order: int) -> Float[np.ndarray, "moves m m"]:
    """Covariance that unit white noise in the m-th derivative adds over each step."""
    found = np.empty((len(steps), order, order))
    for i in range(order):
        for j in range(order):
            up, other = order - 1 - i, order - 1 - j  # integrations between the noise and each component
            found[:, i, j] = steps ** (up + other + 1) / (factorial(up) * factorial(other) * (up + other + 1))
    return found


@lru_cache(maxsize=256)
def transition(d: float, order: int) -> Float[np.ndarray, "m m"]:
    """`transitions` of one step. Kept for regular clocks: not to be written to; so is the next."""
    return transitions(np.array([d]), order)[0]


@lru_cache(maxsize=256)
def diffusion(d: float, order: int) -> Float[np.ndarray, "m m"]:
    """`diffusions` of one step."""
    return diffusions(np.array([d]), order)[0]


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


def _covariances(
    start: Float[np.ndarray, "g m m"], rate: Float[np.ndarray, " g"], valid: Bool[np.ndarray, " length"]
) -> tuple[Int[np.ndarray, " length"], Float[np.ndarray, "slots g m m"], Float[np.ndarray, "slots g m m"]]:
    """Slot of each sample, covariances before and after its measurement; the first sample's is `start`. Steps of 1."""
    slot = np.zeros(len(valid), dtype=np.int64)
    before, after = [start], [start]
    order = start.shape[-1]
    move, noise = transition(1.0, order), rate[:, None, None] * diffusion(1.0, order)
    gaps = np.flatnonzero(~valid)
    k = 1
    while k < len(valid):
        predicted = move @ after[-1] @ move.T + noise
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
        if k > 2 and valid[k - 1] and valid[k - 2] and change.max() < SETTLED:
            following = gaps[np.searchsorted(gaps, k) :]
            until = int(following[0]) if len(following) else len(valid)
            slot[k:until] = slot[k - 1]
            k = until
    return slot, np.stack(before), np.stack(after)


def forward_settled(
    y: Float[np.ndarray, "length g c"],
    valid: Bool[np.ndarray, " length"],
    rate: Float[np.ndarray, " g"],
    mean: Float[np.ndarray, "g c m"],
    spread: Float[np.ndarray, "g m m"],
) -> Track:
    """Filter the samples after the first, whose mean and covariance (`spread`) are given."""
    order = mean.shape[-1]
    move = transition(1.0, order)
    slot, predicted, posterior = _covariances(spread, rate, valid)
    gain = predicted[:, :, :, 0] / (predicted[:, :, :1, 0] + 1.0)
    before = np.empty((*y.shape, order))
    after = np.empty_like(before)
    before[0] = after[0] = mean
    k = 1
    while k < len(valid):
        stop = k + 1
        if valid[k] and slot[k] == slot[k - 1]:  # a settled stretch: the predictions are one linear recursion
            other = np.flatnonzero(slot[k:] != slot[k])
            stop = k + int(other[0]) if len(other) else len(valid)
            fixed = gain[slot[k]]
            loop = move @ (np.eye(order) - fixed[:, :, None] * np.eye(order)[0])
            push = np.einsum("ij,gj->gi", move, fixed)
            before[k:stop] = recursion(loop, y[k - 1 : stop - 1][..., None] * push[None, :, None, :], before[k - 1])
        else:
            before[k] = after[k - 1] @ move.T
        after[k:stop] = before[k:stop]
        if valid[k]:
            after[k:stop] += (y[k:stop] - before[k:stop, ..., 0])[..., None] * gain[slot[k]][None, :, None, :]
        k = stop
    return Track(slot, predicted, posterior, before, after)


def _settles(old: Float[np.ndarray, "g m m"], new: Float[np.ndarray, "g m m"]) -> bool:
    scale = np.sqrt(np.einsum("gii->gi", new))
    return bool((np.abs(new - old) / (scale[:, :, None] * scale[:, None, :])).max() < SETTLED)


def innovations_settled(
    y: Float[np.ndarray, "length c"],
    valid: Bool[np.ndarray, " length"],
    rate: Float[np.ndarray, " g"],
    mean: Float[np.ndarray, "g c m"],
    spread: Float[np.ndarray, "g m m"],
) -> tuple[Float[np.ndarray, "length g c"], Float[np.ndarray, "length g"]]:
    """Innovations and their variance, without states; see `forward_settled`. Of the first sample 0 and 1."""
    order = mean.shape[-1]
    move = transition(1.0, order)
    slot, predicted, _ = _covariances(spread, rate, valid)
    variance = predicted[:, :, 0, 0] + 1.0
    gain = predicted[:, :, :, 0] / variance[:, :, None]
    found = np.zeros((len(y), len(rate), y.shape[1]))
    before = mean @ move.T
    k = 1
    while k < len(valid):
        stop = k + 1
        if valid[k] and slot[k] == slot[k - 1]:
            other = np.flatnonzero(slot[k:] != slot[k])
            stop = k + int(other[0]) if len(other) else len(valid)
            found[k:stop], before = _stretch(y[k:stop], move, gain[slot[k]], before, STRETCH)
        else:
            if valid[k]:
                found[k] = y[k] - before[..., 0]
                before = before + found[k][..., None] * gain[slot[k]][:, None, :]
            before = before @ move.T
        k = stop
    variance[0] = 1.0
    return found, variance[slot]


def _stretch(
    y: Float[np.ndarray, "length c"],
    move: Float[np.ndarray, "m m"],
    gain: Float[np.ndarray, "g m"],
    start: Float[np.ndarray, "g c m"],
    size: int,
) -> tuple[Float[np.ndarray, "length g c"], Float[np.ndarray, "g c m"]]:
    """Innovations under gains that stand still, from the prediction of the first sample, and the one after the last.

    `size` samples at a time are linear in the prediction of their first and in themselves: a few large products.
    """
    columns, (g, order), size = y.shape[1], gain.shape, min(size, len(y))
    whole = len(y) // size
    loop = move @ (np.eye(order) - gain[:, :, None] * np.eye(order)[0])
    powers = [np.broadcast_to(np.eye(order), loop.shape)]
    for _ in range(size):
        powers.append(powers[-1] @ loop)
    fades = np.stack(powers)  # [size + 1, g, m, m]: of a prediction, so many samples later
    echoes = fades[:-1] @ (gain @ move.T)[:, :, None]  # [size, g, m, 1]: of a measurement, in later predictions
    own = np.tile(np.eye(size), (g, 1, 1))
    for j in range(1, size):
        own[:, j, :j] -= echoes[:j, :, 0, 0][::-1].T
    given = y[: whole * size].reshape(whole, size, columns).swapaxes(0, 1).reshape(size, -1)
    pushes = echoes[::-1, :, :, 0].transpose(1, 2, 0) @ given
    ends = recursion(fades[-1], pushes.reshape(g, order, whole, columns).transpose(2, 0, 3, 1), start)
    starts = np.concatenate([start[None], ends[:-1]]).transpose(1, 3, 0, 2).reshape(g, order, -1)
    found = own @ given - fades[:-1, :, 0].swapaxes(0, 1) @ starts
    found = found.reshape(g, size, whole, columns).transpose(2, 1, 0, 3).reshape(-1, g, columns)
    rest = y[whole * size :]
    if not len(rest):
        return found, ends[-1]
    last, end = _stretch(rest, move, gain, ends[-1], len(rest))
    return np.concatenate([found, last]), end


def backward_settled(rate: Float[np.ndarray, " g"], forward: Track) -> States:
    """The backward pass; see `smooth_kalman.run_smoother`."""
    slot = forward.slot
    mean = np.empty_like(forward.mean_after)
    where = np.empty(len(mean), dtype=np.int64)
    mean[-1], where[-1] = forward.mean_after[-1], 0
    covariances = [forward.posterior[slot[-1]]]
    order = mean.shape[-1]
    move, noise = transition(1.0, order), rate[:, None, None] * diffusion(1.0, order)
    k = len(mean) - 2
    while k >= 0:
        posterior = forward.posterior[slot[k]]
        back = np.swapaxes(np.linalg.solve(forward.predicted[slot[k + 1]], move @ posterior), -1, -2)
        keep = np.eye(order) - back @ move
        own = keep @ posterior @ np.swapaxes(keep, -1, -2) + back @ noise @ np.swapaxes(back, -1, -2)
        start = k  # this gain serves samples start .. k
        if slot[k] == slot[k + 1]:
            other = np.flatnonzero(slot[:k] != slot[k])
            start = int(other[-1]) + 1 if len(other) else 0
        behind = forward.mean_before[start + 1 : k + 2] @ np.swapaxes(back, -1, -2)
        inputs = forward.mean_after[start : k + 1] - behind
        mean[start : k + 1] = recursion(back, inputs[::-1], mean[k + 1])[::-1]
        for j in range(k, start - 1, -1):
            covariances.append(own + back @ covariances[-1] @ np.swapaxes(back, -1, -2))
            where[j] = len(covariances) - 1
            if _settles(covariances[-2], covariances[-1]):
                where[start:j] = where[j]
                break
        k = start - 1
    return States(mean, np.stack(covariances), where)
