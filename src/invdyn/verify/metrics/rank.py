"""Rank agreement of two scores: `spearman`, `kendall`."""

from __future__ import annotations

from invdyn.errors import SignalError
from invdyn.verify.metrics.arrays import Array, columns

__all__ = ["kendall", "spearman"]


def _pair(metric: str, first: Array, second: Array, mask: Array | None) -> tuple:
    (a, b), keep = columns(metric, first, second, mask=mask)
    if a.shape[1] != 1:
        raise SignalError(
            f"{metric}: two arrays [frames] are needed, got {a.shape[1]} dimensions. Compare one at a time."
        )
    frames = keep[:, 0]
    if frames.sum() < 2:
        raise SignalError(f"{metric}: {int(frames.sum())} frames kept; ranks need at least two.")
    return a[frames, 0], b[frames, 0]


def spearman(first: Array, second: Array, mask: Array | None = None) -> float:
    """Spearman's rho: Pearson correlation of the ranks, ties given their average rank; NaN if one side is constant."""
    from scipy.stats import pearsonr, rankdata

    a, b = (rankdata(x) for x in _pair("spearman", first, second, mask))
    return float("nan") if a.std() == 0 or b.std() == 0 else float(pearsonr(a, b).statistic)


def kendall(first: Array, second: Array, mask: Array | None = None) -> float:
    """Kendall's tau-b: (concordant - discordant) / sqrt(pairs untied in one x pairs untied in the other)."""
    from scipy.stats import kendalltau

    return float(kendalltau(*_pair("kendall", first, second, mask), variant="b").statistic)
