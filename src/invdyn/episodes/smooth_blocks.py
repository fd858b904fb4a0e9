"""The Kalman filter and smoother of `smooth_kalman` where no gain stands still: clocks that jitter, many gaps.

A recording is cut into about sqrt(T) blocks, run side by side: Python takes about 3 sqrt(T) steps instead of T, and
nothing is approximated.

1. Every block is run from a state known exactly (covariance 0), keeping the transition A from that start to the end,
   and the information J that the block's measurements hold of the start.
2. From block to block, P_end = A (P_start^-1 + J)^-1 A' + C, C the covariance that the first run ended with (the
   element of Sarkka & Garcia-Fernandez, IEEE Trans. Automatic Control 66, 2021).
3. Every block is run again from its true covariance and from mean 0; means are linear in their start, so what the
   block before left is added afterwards.

The first samples, while next to nothing is known, are taken one by one: there 2. and 3. would lose digits.

Inside, derivatives are divided by factorials (the Taylor shift is then a handful of sums), and blocks and rates stand
last, so that each operation goes over all of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import factorial
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from invdyn.episodes.smooth_settled import States, Track, diffusions, transitions

__all__ = ["Pass", "backward_blocks", "forward_blocks"]

BEGINNING = 32  # moves at least that are taken one by one, and as many as a block has (our choice)


@dataclass(frozen=True)
class Pass:
    """What a run forward leaves.

    Attributes:
        innovation: [moves, g, c] measurement minus prediction, 0 where there is no measurement.
        variance: [moves, g] of the innovation, the noise's own 1 included.
        track: the states, with the given one in front; None where they were not to be kept.
    """

    innovation: Float[np.ndarray, "moves g c"]
    variance: Float[np.ndarray, "moves g"]
    track: Track | None


@dataclass(frozen=True)
class _Blocks:
    """Moves in blocks: `length` of them in each of `count`, the last filled up with moves that measure nothing."""

    steps: Float[np.ndarray, "length count"]
    valid: Bool[np.ndarray, "length count"]
    rows: Int[np.ndarray, "length count"]

    @classmethod
    def of(cls, steps: Float[np.ndarray, " moves"], valid: Bool[np.ndarray, " moves"], length: int) -> _Blocks:
        size = len(steps)
        count = -(-size // length)
        rows = np.arange(length)[:, None] + length * np.arange(count)
        inside = rows < size
        rows = np.minimum(rows, size - 1)
        return cls(np.where(inside, steps[rows], 1.0), inside & valid[rows], rows)

    def in_order(self, x: np.ndarray, size: int) -> np.ndarray:
        """[length, ..., count, g] to [size, g, ...]."""
        x = np.moveaxis(x, (-2, 0, -1), (0, 1, 2))
        return x.reshape(-1, *x.shape[2:])[:size]


def forward_blocks(
    y: Float[np.ndarray, "moves g c"],
    valid: Bool[np.ndarray, " moves"],
    steps: Float[np.ndarray, " moves"],
    rate: Float[np.ndarray, " g"],
    mean: Float[np.ndarray, "g c m"],
    spread: Float[np.ndarray, "g m m"],
    keep: bool,
) -> Pass:
    """Filter the samples after the first.

    Args:
        y: measurements after each move, read where valid. steps: of the clock, before each.
        rate: see `smooth_kalman`.
        mean, spread: state of the sample before, and its covariance.
        keep: whether states are wanted.
    """
    order = mean.shape[-1]
    scale = np.array([1.0 / factorial(i) for i in range(order)])
    both = scale[:, None] * scale
    x, p = mean.transpose(2, 1, 0) * scale[:, None, None], spread.transpose(1, 2, 0) * both[..., None]
    length = max(1, int(np.sqrt(len(steps))))
    begin = min(len(steps), max(BEGINNING, length))
    off, variance, kept = [], [], []
    for part, size in ((slice(0, begin), begin), (slice(begin, None), length)):
        if len(steps[part]):
            blocks = _Blocks.of(steps[part], valid[part], size)
            x, p, *told = _stage(blocks, y[part], rate, x, p, keep)
            count = len(steps[part])
            off.append(blocks.in_order(told[0], count))
            variance.append(blocks.in_order(told[1], count))
            kept.append([blocks.in_order(z, count) for z in told[2]])
    if not keep:
        return Pass(np.concatenate(off), np.concatenate(variance), None)
    before, predicted, after, posterior = (np.concatenate(parts) for parts in zip(*kept))
    before, after = (np.concatenate([mean[None], np.swapaxes(z, -1, -2) / scale]) for z in (before, after))
    predicted, posterior = (np.concatenate([spread[None], z / both]) for z in (predicted, posterior))
    track = Track(np.arange(len(before)), predicted, posterior, before, after)
    return Pass(np.concatenate(off), np.concatenate(variance), track)


def _stage(
    blocks: _Blocks,
    y: Float[np.ndarray, "moves g c"],
    rate: Float[np.ndarray, " g"],
    mean: Float[np.ndarray, "m c g"],
    spread: Float[np.ndarray, "m m g"],
    keep: bool,
) -> tuple[Any, ...]:
    """Moves in blocks of their own, from a mean and a covariance to those at the end.

    Returns:
        Mean and covariance at the end of the last block; innovations [length, c, count, g], their variance [length,
        count, g]; where kept, means and covariances before and after each measurement [length, m, c or m, count, g].
    """
    order, columns = mean.shape[:2]
    count = blocks.steps.shape[1]
    start = np.zeros((order, order, count, len(rate)))
    begun = np.zeros((order, columns, count, len(rate)))
    if count > 1:
        known, gone, (seen, variance), _ = _run(blocks, None, rate, start, begun[:, :0], False)
        tells = np.einsum("linb,ljnb->ijnb", seen, seen / variance[:, None])
    start[:, :, 0], begun[:, :, 0] = spread, mean
    for b in range(count - 1):
        start[:, :, b + 1] = _through(start[:, :, b], gone[:, :, b], tells[:, :, b], known[:, :, b])
    end, ends, (off, variance), states = _run(blocks, y, rate, start, begun, keep)
    left, own = ends[:, :columns], ends[:, columns:]
    missed = np.zeros_like(begun)  # by which the mean before each block differs from what it was begun with
    for b in range(count):
        mean = left[:, :, b] + np.einsum("ijg,jcg->icg", own[:, :, b], missed[:, :, b])
        if b + 1 < count:
            missed[:, :, b + 1] = mean
    innovation = -off[:, :columns] - np.einsum("ljbg,jcbg->lcbg", off[:, columns:], missed)
    kept = []
    for state in states:
        unit = state[:, :, order + columns :]
        kept.append(state[:, :, order : order + columns] + np.einsum("lijbg,jcbg->licbg", unit, missed))
        kept.append(state[:, :, :order])
    return mean, end[:, :, -1], innovation, variance, kept


def _run(
    blocks: _Blocks,
    y: Float[np.ndarray, "moves g c"] | None,
    rate: Float[np.ndarray, " g"],
    start: Float[np.ndarray, "m m count g"],
    begun: Float[np.ndarray, "m c count g"],
    keep: bool,
) -> tuple[np.ndarray, np.ndarray, tuple[np.ndarray, np.ndarray], list[np.ndarray]]:
    """All blocks side by side from covariances `start` and means `begun`.

    Beside the means stand m columns without data that start as the unit vectors: what a change of the start becomes.

    Returns:
        The covariance at the end [m, m, count, g]; means and unit columns at the end [m, c + m, count, g]; prediction
        minus measurement, of the unit columns too [length, c + m, count, g], and its variance [length, count, g]; and
        where kept covariance, means and unit columns before and after each measurement [length, m, 2 m + c, ...].
    """
    order, _, count, g = start.shape
    columns = begun.shape[1]
    length, wide = len(blocks.steps), columns + order
    x = np.zeros((order, order + wide, count, g))
    x[:, :order] = start
    x[:, order : order + columns] = begun
    x[:, order + columns :] = np.eye(order)[:, :, None, None]
    covariance = x[:, :order]
    off, variance = np.empty((length, wide, count, g)), np.empty((length, count, g))
    kept = [np.empty((length, *x.shape)) for _ in range(2)] if keep else []
    scale = np.array([1.0 / factorial(i) for i in range(order)])
    noise = diffusions(blocks.steps.reshape(-1), order) * (scale[:, None] * scale)
    noise = np.ascontiguousarray(np.moveaxis(noise, 0, 2)).reshape(order, order, length, count)
    for k in range(length):
        step = blocks.steps[k][:, None]
        _shift(x, step)
        _shift(np.swapaxes(covariance, 0, 1), step)
        covariance += noise[:, :, k, :, None] * rate
        if keep:
            kept[0][k] = x
        variance[k] = covariance[0, 0] + 1.0
        gain = covariance[:, 0] * (blocks.valid[k][:, None] / variance[k])
        predicted = x[0].copy()
        if y is not None:
            measured = np.where(blocks.valid[k][:, None, None], y[blocks.rows[k]], 0.0)
            predicted[order : order + columns] -= np.moveaxis(measured, 2, 0)
        off[k] = predicted[order:]
        x -= gain[:, None] * predicted
        covariance += (gain - covariance[:, 0])[:, None] * gain  # Joseph's form
        if keep:
            kept[1][k] = x
    off *= blocks.valid[:, None, :, None]
    return covariance, x[:, order:], (off, variance), kept


def _shift(x: Float[np.ndarray, "m other count g"], step: Float[np.ndarray, "count 1"]) -> None:
    """Rows, the derivatives of a motion over their factorials, a step later; in place (Horner)."""
    for low in range(len(x) - 1):
        for j in range(len(x) - 2, low - 1, -1):
            x[j] += step * x[j + 1]


def _through(
    before: Float[np.ndarray, "m m g"],
    gone: Float[np.ndarray, "m m g"],
    tells: Float[np.ndarray, "m m g"],
    known: Float[np.ndarray, "m m g"],
) -> Float[np.ndarray, "m m g"]:
    """A (P^-1 + J)^-1 A' + C, without P^-1: as S (1 + R S J S)^-1 R S with P = S R S, S the standard deviations."""
    p, a, j, c = (x.transpose(2, 0, 1) for x in (before, gone, tells, known))
    with np.errstate(invalid="ignore"):  # a covariance that lost all digits over a long gap: NaN, and not chosen
        size = np.sqrt(np.einsum("gii->gi", p))
    both = size[:, :, None] * size[:, None, :]
    ratio = p / both
    left = np.linalg.solve(np.eye(len(before)) + ratio @ (j * both), ratio) * both
    left = (left + left.swapaxes(1, 2)) / 2
    return np.asarray((a @ left @ a.swapaxes(1, 2) + c).transpose(1, 2, 0))


def backward_blocks(steps: Float[np.ndarray, " moves"], rate: Float[np.ndarray, " g"], forward: Track) -> States:
    """The backward pass; see `smooth_kalman.run_smoother`.

    No gain waits for another, and means and covariances are linear in those of the sample that follows.
    """
    order, count = forward.mean_after.shape[-1], len(steps)
    posterior = forward.posterior[:-1]
    move = transitions(steps, order)[:, None]
    back = np.swapaxes(np.linalg.solve(forward.predicted[1:], move @ posterior), -1, -2)
    turned = np.swapaxes(back, -1, -2)
    keep = np.eye(order) - back @ move
    noise = rate[:, None, None] * diffusions(steps, order)[:, None]
    own = keep @ posterior @ np.swapaxes(keep, -1, -2) + back @ noise @ turned
    inputs = forward.mean_after[:-1] - forward.mean_before[1:] @ turned
    length = max(1, int(np.sqrt(count)))
    blocks = -(-count // length)
    rows = count - 1 - (np.arange(length)[:, None] + length * np.arange(blocks))  # from the end on
    inside = rows >= 0
    mean, covariance = np.empty_like(forward.mean_after), np.empty_like(forward.posterior)
    mean[-1], covariance[-1] = forward.mean_after[-1], forward.posterior[-1]
    x, p = np.zeros((blocks, *inputs.shape[1:])), np.zeros((blocks, *own.shape[1:]))
    whole = np.broadcast_to(np.eye(order), p.shape)  # what the sample after the block becomes
    reach = np.empty((length, *p.shape))
    for k in range(length):
        at = np.maximum(rows[k], 0)
        x = x @ turned[at] + inputs[at]
        p = back[at] @ p @ turned[at] + own[at]
        whole = back[at] @ whole
        there = inside[k]
        mean[at[there]], covariance[at[there]], reach[k] = x[there], p[there], whole
    for b in range(blocks):
        at, grown = rows[inside[:, b], b], reach[inside[:, b], b]
        mean[at] += mean[at[0] + 1] @ np.swapaxes(grown, -1, -2)
        covariance[at] += grown @ covariance[at[0] + 1] @ np.swapaxes(grown, -1, -2)
    return States(mean, covariance, np.arange(count + 1))
