"""`Smoothed`: a recording's motion with its first two time derivatives, and how they were made."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from invdyn.errors import SignalError

__all__ = ["Smoothed", "check_clock", "check_values", "regular_step"]

REGULAR = 1e-4  # clocks whose steps differ by less than this share of a step are regular (our choice)


@dataclass(frozen=True)
class Smoothed:
    """Motion with derivatives; u is the unit of the values (rad, m), time in seconds.

    Attributes:
        time: [T] s.
        position, velocity, acceleration: [T, n] u, u/s, u/s^2.
        method: which smoother.
        cutoff: [n] Hz, where the gain from recording to position has fallen to 1/sqrt(2).
        noise_std: [n] u, standard deviation of the measurement noise (`rts`; otherwise None).
        order: [n] which derivative of the position was taken for white noise: 3 for jerk (`rts`; otherwise None).
        density: [n] u^2/s^(2 order - 1), spectral density of that noise (`rts`; otherwise None).
        covariance: [T, n, 3, 3] of (position, velocity, acceleration) given the recording (`rts`; otherwise None).
    """

    time: Float[np.ndarray, " steps"]
    position: Float[np.ndarray, "steps columns"]
    velocity: Float[np.ndarray, "steps columns"]
    acceleration: Float[np.ndarray, "steps columns"]
    method: str
    cutoff: Float[np.ndarray, " columns"]
    noise_std: Float[np.ndarray, " columns"] | None = None
    order: Int[np.ndarray, " columns"] | None = None
    density: Float[np.ndarray, " columns"] | None = None
    covariance: Float[np.ndarray, "steps columns 3 3"] | None = None

    def _std(self, derivative: int) -> Float[np.ndarray, "steps columns"]:
        if self.covariance is None:
            raise SignalError(f"smooth: method={self.method!r} knows no uncertainty. Use method='rts'.")
        return np.sqrt(self.covariance[:, :, derivative, derivative])

    @property
    def position_std(self) -> Float[np.ndarray, "steps columns"]:
        """[T, n] u. Raises SignalError where the method knows none; so do the two below."""
        return self._std(0)

    @property
    def velocity_std(self) -> Float[np.ndarray, "steps columns"]:
        """[T, n] u/s."""
        return self._std(1)

    @property
    def acceleration_std(self) -> Float[np.ndarray, "steps columns"]:
        """[T, n] u/s^2."""
        return self._std(2)


def check_clock(time: Float[np.ndarray, " steps"]) -> None:
    """SignalError unless times are finite, strictly increasing and at least six."""
    if len(time) < 6:
        raise SignalError(f"smooth: {len(time)} samples; second derivatives need at least 6. Give a longer recording.")
    if not np.isfinite(time).all():
        at = int(np.flatnonzero(~np.isfinite(time))[0])
        raise SignalError(f"smooth: time[{at}] is {time[at]}. Times must be finite, in seconds.")
    back = np.flatnonzero(np.diff(time) <= 0)
    if len(back):
        at = int(back[0]) + 1
        raise SignalError(
            f"smooth: time[{at}] = {time[at]:g} s does not come after time[{at - 1}] = {time[at - 1]:g} s. "
            "Sort the samples and drop repeated ones."
        )


def check_values(time: Float[np.ndarray, " steps"], values: np.ndarray, name: str = "values") -> None:
    """SignalError unless there is one row a time and no infinite value (NaN marks a missing one)."""
    if len(values) != len(time):
        raise SignalError(f"smooth: {name} has {len(values)} rows for {len(time)} times. Give one row a time.")
    bad = np.argwhere(np.isinf(values))
    if len(bad):
        raise SignalError(
            f"smooth: {name}{bad[0].tolist()} is infinite. Mark missing values with NaN, or leave the sample out."
        )


def regular_step(time: Float[np.ndarray, " steps"]) -> float | None:
    """The step of a regular clock in s, or None where steps differ."""
    steps = np.diff(time)
    step = float(steps.mean())
    return step if np.abs(steps / step - 1).max() < REGULAR else None
