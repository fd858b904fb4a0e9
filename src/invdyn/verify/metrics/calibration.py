"""Quality of uncertainty: `coverage` with an interval over episodes, `sharpness`, `nll`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float64

from invdyn.errors import SignalError
from invdyn.nn.distributions import CauseDistribution
from invdyn.verify.metrics.arrays import Array, as_array, columns

__all__ = ["Coverage", "coverage", "nll", "sharpness"]


@dataclass(frozen=True)
class Coverage:
    """Measured coverage.

    Args:
        per_dim: [dim] share of frames whose truth lies in the interval.
        overall: mean over all frames and dimensions kept.
        lower, upper: `level` bootstrap interval of `overall`, whole episodes resampled (frames of one episode are
            not independent); NaN for a single episode.
        level: of that bootstrap interval.
        episodes, frames: how much was measured.
    """

    per_dim: Float64[np.ndarray, " dim"]
    overall: float
    lower: float
    upper: float
    level: float
    episodes: int
    frames: int


def coverage(
    truth: Array,
    lower: Array,
    upper: Array,
    mask: Array | None = None,
    *,
    episode: Array | None = None,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> Coverage:
    """Share of frames with lower <= truth <= upper, per dimension and overall, with its uncertainty.

    Args:
        truth, lower, upper: [frames, dim] (or [frames]); infinite ends are allowed.
        mask: [frames] or [frames, dim], False leaves out.
        episode: [frames] which episode each frame is of: the unit that is resampled. Without it every frame is
            its own unit, which is right only for independent frames.
        level, resamples, seed: of the percentile bootstrap.

    Raises:
        SignalError: different shapes, NaN in frames kept, nothing kept.
    """
    inside = [np.clip(as_array(a).astype(np.float64), -1e300, 1e300) for a in (truth, lower, upper)]
    (y, low, high), keep = columns("coverage", *inside, mask=mask)
    if not keep.any():
        raise SignalError("coverage: the mask leaves no frame to measure on.")
    hit = keep & (low <= y) & (y <= high)
    units = np.arange(len(y)) if episode is None else as_array(episode).reshape(-1)
    if len(units) != len(y):
        raise SignalError(f"coverage: {len(units)} episode numbers for {len(y)} frames.")
    used = keep.any(1)
    names, at = np.unique(units[used], return_inverse=True)
    hits = np.bincount(at, hit[used].sum(1).astype(float), len(names))
    counts = np.bincount(at, keep[used].sum(1).astype(float), len(names))
    ends = (np.nan, np.nan)
    if len(names) > 1:
        draw = np.random.default_rng(seed).multinomial(len(names), np.full(len(names), 1 / len(names)), resamples)
        share = (draw @ hits) / (draw @ counts)
        ends = tuple(np.quantile(share, [(1 - level) / 2, (1 + level) / 2]))
    with np.errstate(invalid="ignore"):
        per_dim = hit.sum(0) / keep.sum(0)
    return Coverage(
        per_dim, float(hits.sum() / counts.sum()), float(ends[0]), float(ends[1]), level, len(names), int(used.sum())
    )


def sharpness(lower: Array, upper: Array, mask: Array | None = None) -> Float64[np.ndarray, " dim"]:
    """Mean width of the intervals per dimension, in the unit of the values; smaller is better at equal coverage.

    NaN where no frame is kept; infinite where an interval kept is infinite.
    """
    low, high = as_array(lower).astype(np.float64), as_array(upper).astype(np.float64)
    (low, high), keep = columns("sharpness", np.clip(low, -1e300, 1e300), np.clip(high, -1e300, 1e300), mask=mask)
    with np.errstate(invalid="ignore", over="ignore"):
        width = np.where(keep, high - low, 0.0)
        total = np.where((width >= 1e300).any(0), np.inf, width.sum(0))
        return total / keep.sum(0)


def nll(distribution: CauseDistribution, truth: Array, mask: Array | None = None) -> float:
    """Mean negative log-likelihood of the true causes in nats per frame (summed over dimensions).

    Args:
        distribution: of a batch of frames.
        truth: [frames, *event].
        mask: [frames] False leaves out. NaN where no frame is kept; infinite for a `Delta` that is off.
    """
    value = truth if isinstance(truth, torch.Tensor) else torch.from_numpy(np.asarray(truth))
    with torch.no_grad():
        each = -as_array(distribution.log_prob(value)).astype(np.float64)
    keep = np.ones(len(each), bool) if mask is None else as_array(mask).astype(bool).reshape(-1)
    if len(keep) != len(each):
        raise SignalError(f"nll: the mask has {len(keep)} frames, the distribution {len(each)}.")
    if np.isnan(each[keep]).any():
        raise SignalError(f"nll: log-probability is NaN at frame {int(np.flatnonzero(keep & np.isnan(each))[0])}.")
    return float(each[keep].mean()) if keep.any() else float("nan")
