"""Closed-loop outcomes: `success_rate` with its Wilson interval, `normalized_return`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from invdyn.errors import ConfigError, SignalError
from invdyn.verify.metrics.arrays import Array, as_array

__all__ = ["Rate", "normalized_return", "success_rate"]


@dataclass(frozen=True)
class Rate:
    """A share of successes and its Wilson score interval.

    Args:
        rate: successes / episodes.
        lower, upper: Wilson interval at `level`.
        successes, episodes: the counts.
        level: of the interval.
    """

    rate: float
    lower: float
    upper: float
    successes: int
    episodes: int
    level: float


def success_rate(success: Array, level: float = 0.95) -> Rate:
    """Share of successful episodes with its Wilson interval (Wilson 1927), which stays sensible at 0 and 1.

    >>> rate = success_rate(np.array([True, True, False, True]))
    >>> round(rate.rate, 2), round(rate.lower, 3), round(rate.upper, 3)
    (0.75, 0.301, 0.954)

    Raises:
        SignalError: no episodes.
    """
    from scipy.stats import binomtest

    won = as_array(success).astype(bool).reshape(-1)
    if not len(won):
        raise SignalError("success_rate: no episodes were given; evaluate at least one seed.")
    interval = binomtest(int(won.sum()), len(won)).proportion_ci(level, method="wilson")
    return Rate(float(won.mean()), float(interval.low), float(interval.high), int(won.sum()), len(won), level)


def normalized_return(returns: Array, *, random: float, expert: float) -> Float64[np.ndarray, ...]:
    """Returns on the scale where 0 is a random policy's mean return and 100 the expert's (or oracle's).

    Raises:
        ConfigError: an expert no better than random, for which the scale has no meaning.
    """
    if not expert > random:
        raise ConfigError(
            f"normalized_return: the expert returns {expert}, random returns {random}; the expert must be better."
        )
    return 100.0 * (as_array(returns).astype(np.float64) - random) / (expert - random)
