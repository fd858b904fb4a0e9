"""Errors of real-valued estimates: `r2`, `fvu`, `mae`, `rmse`; all per dimension."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64

from invdyn.verify.metrics.arrays import Array, as_array, columns

__all__ = ["fvu", "mae", "r2", "rmse"]


def fvu(
    truth: Array, estimate: Array, mask: Array | None = None, *, missed: float | None = None
) -> Float64[np.ndarray, " dim"]:
    """Fraction of variance unexplained, sum (y - ŷ)² / sum (y - mean y)², per dimension.

    Args:
        truth, estimate: [frames, dim] (or [frames]: one dimension) in one unit.
        mask: [frames] or [frames, dim], False leaves out (in-range and above-range frames are two masks, two calls).
        missed: what a NaN estimate counts as (0 for events that were not found); None refuses NaN.

    Returns:
        [dim]; NaN for a dimension whose truth does not vary over the frames kept, where it is undefined.

    Raises:
        SignalError: different shapes, or NaN in frames kept.
    """
    if missed is not None:
        estimate = np.nan_to_num(as_array(estimate), nan=missed)
    (y, guess), keep = columns("fvu", truth, estimate, mask=mask)
    count = keep.sum(0)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(keep, y, 0.0).sum(0) / count
        total = np.where(keep, (y - mean) ** 2, 0.0).sum(0)
        left = np.where(keep, (y - guess) ** 2, 0.0).sum(0)
        # Below the rounding of the mean the "variance" of a constant is noise, not a scale.
        varies = total > count * (1e-12 * np.maximum(np.abs(mean), 1e-30)) ** 2
        return np.where(varies, left / total, np.nan)


def r2(
    truth: Array, estimate: Array, mask: Array | None = None, *, missed: float | None = None
) -> Float64[np.ndarray, " dim"]:
    """Coefficient of determination per dimension, 1 - `fvu`; 1 is perfect, 0 is the mean, negative is worse than it.

    >>> r2(np.array([0.0, 1.0, 2.0]), np.array([0.0, 1.0, 2.5])).round(3).tolist()
    [0.875]
    """
    return 1.0 - fvu(truth, estimate, mask, missed=missed)


def mae(truth: Array, estimate: Array, mask: Array | None = None) -> Float64[np.ndarray, " dim"]:
    """Mean absolute error per dimension, in the unit of the values; NaN where no frame is kept."""
    (y, guess), keep = columns("mae", truth, estimate, mask=mask)
    with np.errstate(invalid="ignore"):
        return np.where(keep, np.abs(y - guess), 0.0).sum(0) / keep.sum(0)


def rmse(truth: Array, estimate: Array, mask: Array | None = None) -> Float64[np.ndarray, " dim"]:
    """Root of the mean squared error per dimension, in the unit of the values; NaN where no frame is kept."""
    (y, guess), keep = columns("rmse", truth, estimate, mask=mask)
    with np.errstate(invalid="ignore"):
        return np.sqrt(np.where(keep, (y - guess) ** 2, 0.0).sum(0) / keep.sum(0))
