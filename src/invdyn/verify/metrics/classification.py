"""Discrete answers: `accuracy` (top 1) and `auc` (area under the ROC curve)."""

from __future__ import annotations

from invdyn.errors import SignalError
from invdyn.verify.metrics.arrays import Array, as_array, columns

__all__ = ["accuracy", "auc"]


def accuracy(truth: Array, answer: Array, mask: Array | None = None) -> float:
    """Share of frames whose answer equals the truth in every dimension; NaN where no frame is kept.

    On resolvable frames only: pass `mask=ReplayOracle(...).consistent(...).unique`.

    Args:
        truth, answer: [frames] or [frames, dim] classes or discrete causes.
        mask: [frames] False leaves out.
    """
    (y, guess), keep = columns("accuracy", truth, answer, mask=mask)
    frames = keep.all(1)
    return float((y == guess).all(1)[frames].mean()) if frames.any() else float("nan")


def auc(positive: Array, score: Array, mask: Array | None = None) -> float:
    """Probability that a positive frame has a higher score than a negative one; ties count one half.

    The Mann-Whitney statistic on average ranks: the area under the ROC curve.

    Args:
        positive: [frames] bool.
        score: [frames] higher means more likely positive.

    Raises:
        SignalError: only one class among the frames kept, where it is undefined.
    """
    from scipy.stats import rankdata

    (_, values), keep = columns("auc", as_array(positive).astype(float), score, mask=mask)
    frames = keep[:, 0]
    label, ranks = as_array(positive).astype(bool).reshape(-1)[frames], rankdata(values[frames, 0])
    ones, zeros = int(label.sum()), int((~label).sum())
    if not ones or not zeros:
        raise SignalError(f"auc: {ones} positive and {zeros} negative frames; at least one of each is needed.")
    return float((ranks[label].sum() - ones * (ones + 1) / 2) / (ones * zeros))
