"""Adaptive conformal inference: intervals on a stream whose distribution drifts."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Float64

from invdyn.errors import ConfigError
from invdyn.verify.metrics.arrays import Array, columns

__all__ = ["AdaptiveConformal", "StreamIntervals"]


@dataclass(frozen=True)
class StreamIntervals:
    """Intervals along a stream.

    Args:
        lower, upper: [time, cause]; infinite while the level in use exceeds what the past supports.
        covered: [time, cause].
        alpha: [time, cause] miscoverage level in use at each step.
    """

    lower: Float64[np.ndarray, "time cause"]
    upper: Float64[np.ndarray, "time cause"]
    covered: Bool[np.ndarray, "time cause"]
    alpha: Float64[np.ndarray, "time cause"]


@dataclass
class AdaptiveConformal:
    """Gibbs and Candès (2021), per dimension: alpha <- alpha + rate ((1 - level) - missed), eq. 2.

    For *any* stream, without assumptions, |mean of missed - (1 - level)| <= (max(level, 1 - level) + rate) / (rate T)
    after T steps (Proposition 4.1): a promise about the average over the stream, not about single steps.
    Unlike the calibrations by episode it needs the true cause soon after each answer.

    Args:
        level: coverage aimed at.
        rate: step size gamma; 0.005 in the paper's experiments.
        memory: number of past scores whose quantile is taken.

    Raises:
        ConfigError: a level outside (0, 1), rate or memory not positive.
    """

    level: float = 0.9
    rate: float = 0.005
    memory: int = 500
    _scores: deque[np.ndarray] = field(init=False, repr=False)
    _alpha: np.ndarray | None = field(init=False, repr=False, default=None)

    def __post_init__(self) -> None:
        if not 0 < self.level < 1:
            raise ConfigError(f"an interval level lies between 0 and 1, got {self.level}. 0.9 means 90 %.")
        if self.rate <= 0 or self.memory < 1:
            raise ConfigError(f"adaptive conformal needs rate > 0 and memory >= 1, got {self.rate} and {self.memory}.")
        self._scores = deque(maxlen=self.memory)

    def interval(self, point: np.ndarray, spread: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """[cause] ends for one answer: point ± quantile of past scores at 1 - alpha, times spread."""
        alpha = self._state(len(point))
        reach = np.empty(len(point))
        past = np.array(self._scores).reshape(len(self._scores), len(point))
        for dim, a in enumerate(alpha):
            # alpha <= 0 asks for certainty (everything), alpha >= 1 for nothing (a negative reach covers no value).
            rank = np.ceil((len(past) + 1) * (1 - a))
            if a <= 0 or rank > len(past):
                reach[dim] = np.inf
            elif a >= 1:
                reach[dim] = -np.inf
            else:
                reach[dim] = np.sort(past[:, dim])[max(int(rank), 1) - 1]
        wide = np.where(np.isinf(reach), reach, reach * np.maximum(spread, 1e-12))
        return point - wide, point + wide

    def update(self, truth: np.ndarray, point: np.ndarray, spread: np.ndarray) -> Bool[np.ndarray, " cause"]:
        """Learn the truth of one answer; returns whether its interval had covered it."""
        lower, upper = self.interval(point, spread)
        covered = (lower <= truth) & (truth <= upper)
        self._alpha = self._state(len(point)) + self.rate * ((1 - self.level) - ~covered)
        self._scores.append(np.abs(truth - point) / np.maximum(spread, 1e-12))
        return covered

    def run(self, truth: Array, point: Array, spread: Array) -> StreamIntervals:
        """The whole stream [time, cause] in order: each interval is made before its truth is seen."""
        (y, centre, scale), _ = columns("adaptive conformal", truth, point, spread)
        lower, upper, alpha = (np.empty_like(y) for _ in range(3))
        covered = np.empty(y.shape, bool)
        for t in range(len(y)):
            alpha[t] = self._state(y.shape[1])
            lower[t], upper[t] = self.interval(centre[t], scale[t])
            covered[t] = self.update(y[t], centre[t], scale[t])
        return StreamIntervals(lower, upper, covered, alpha)

    def _state(self, size: int) -> np.ndarray:
        if self._alpha is None:
            self._alpha = np.full(size, 1 - self.level)
        return self._alpha
