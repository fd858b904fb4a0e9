"""The weight of a label: how much of the cause's range its interval rules out, less where its replay went astray.

    w = mean over dimensions of (1 - min(1, width / range)) / (1 + r)

width is that of the calibrated interval, or without a calibration 3.29 spreads (90 % of a Gaussian); for classes it is
the probability given to other classes, and range 1. range is high - low of the target's bounds, else 3.29 standard
deviations of the measured causes. r is the replay residual in one-step scales, 0 where the label was not replayed.
A dimension that leaves no trace has an interval as wide as its range and adds nothing; a measured cause weighs 1.
The rule is ours.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from invdyn.episodes.dataset import Dataset
from invdyn.episodes.label import MEASURED, label_specs
from invdyn.episodes.signal import SignalSpec
from invdyn.errors import ConfigError

__all__ = ["NINETY", "cause_range", "confidence"]

NINETY = 3.2897
"""Width of the central 90 % of a Gaussian, in standard deviations."""


def cause_range(dataset: Dataset, target: SignalSpec) -> Float[np.ndarray, " cause"]:
    """[cause] what an interval's width is compared with: the bounds' distance, else 3.29 measured standard deviations.

    Raises:
        ConfigError: a target without finite bounds that is nowhere measured, or never changes.
    """
    if target.low is not None and target.high is not None:
        width = np.broadcast_to(np.asarray(target.high, float) - np.asarray(target.low, float), (target.size,))
        if np.isfinite(width).all() and (width > 0).all():
            return width.copy()
    if target.name in dataset.schema:
        column = dataset.column(target.name)
        values = column.values[column.valid & _measured(dataset, target)].reshape(-1, target.size).astype(float)
        if len(values) > 1 and (values.std(0) > 0).all():
            return NINETY * values.std(0)
    raise ConfigError(
        f"{dataset.source.origin}: {target.name!r} has no finite bounds and too few measured values to tell the "
        "range its intervals are compared with. Give the signal its bounds."
    )


def _measured(dataset: Dataset, target: SignalSpec) -> np.ndarray:
    name = label_specs(target)["source"].name
    if name not in dataset.schema:
        return np.ones(dataset.frames, bool)
    source = dataset.column(name)
    measured: np.ndarray = np.where(source.valid, source.values, MEASURED) == MEASURED
    return measured


def confidence(
    width: Float[np.ndarray, "time cause"],
    span: Float[np.ndarray, " cause"],
    residual: Float[np.ndarray, " time"],
) -> Float[np.ndarray, " time"]:
    """[time] weights in [0, 1] by the rule above; NaN widths (no label) weigh 0, NaN residuals count as not replayed.

    >>> confidence(np.array([[0.2], [2.0], [0.2]]), np.array([2.0]), np.array([np.nan, np.nan, 1.0])).round(3).tolist()
    [0.9, 0.0, 0.45]
    """
    kept = 1 - np.minimum(1, width / span)
    return np.nan_to_num(kept.mean(1)) / (1 + np.nan_to_num(residual))
