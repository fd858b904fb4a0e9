"""The smoothing of OpenSim's inverse dynamics tool, step by step: for comparisons with its results.

The tool pads a table by half its length on both sides (odd reflection), samples it at its smallest step, runs a
third-order Butterworth low-pass forwards and backwards, and differentiates the natural quintic spline through the
result. Two habits differ from what the field writes in its papers: two passes lower the cut-off (the power at the
nominal one is a quarter, not a half), and each pass leaves its first three samples as they are.

Source: InverseDynamicsTool.cpp, Storage::pad and ::lowpassIIR, Signal::LowpassIIR and ::Pad, GCVSpline.cpp of
OpenSim 4. `smooth.py` has the methods we recommend.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64
from scipy.interpolate import BSpline, make_interp_spline
from scipy.signal import lfilter, lfiltic

from invdyn.errors import SignalError

__all__ = ["OpenSimMotion", "natural_spline", "opensim_lowpass", "opensim_motion"]

log = logging.getLogger(__name__)

MOST_SAMPLES = 100_000
"""Storage::resample gives no more."""


@dataclass(frozen=True)
class OpenSimMotion:
    """Positions and their rates as OpenSim's inverse dynamics sees them.

    Args:
        time: [time] s.
        q, v, a: [time, coordinate] positions and their first and second derivatives.
    """

    time: Float64[np.ndarray, " time"]
    q: Float64[np.ndarray, "time coordinate"]
    v: Float64[np.ndarray, "time coordinate"]
    a: Float64[np.ndarray, "time coordinate"]


def opensim_motion(
    time: Float64[np.ndarray, " time"],
    values: Float64[np.ndarray, "time coordinate"],
    at: Float64[np.ndarray, " step"] | None = None,
    cutoff: float | None = 6.0,
) -> OpenSimMotion:
    """A table of positions smoothed and differentiated as OpenSim's inverse dynamics tool does.

    Args:
        time: s, increasing.
        values: positions, in any unit.
        at: where the result is wanted, s; None: at `time`.
        cutoff: Hz; None differentiates the table as it is.

    Raises:
        SignalError: fewer than six steps, missing values, time that does not increase, a cut-off that is not positive.
    """
    _check(time, values, 6)
    if cutoff is not None:
        if not 0 < cutoff < np.inf:
            raise SignalError(
                f"cutoff is {cutoff} Hz; expected a positive number. Pass None to leave the motion as is."
            )
        smooth_time, smooth = opensim_lowpass(*_padded(time, values, len(time) // 2), cutoff)
    else:
        smooth_time, smooth = time, values
    spline = natural_spline(smooth_time, smooth, 5)
    where = time if at is None else at
    return OpenSimMotion(where, spline(where), spline(where, 1), spline(where, 2))


def opensim_lowpass(
    time: Float64[np.ndarray, " time"], values: Float64[np.ndarray, "time coordinate"], cutoff: float
) -> tuple[Float64[np.ndarray, " sample"], Float64[np.ndarray, "sample coordinate"]]:
    """Storage::lowpassIIR: sampled evenly at the smallest step, then filtered both ways.

    Transfer function of one pass: the third-order Butterworth low-pass by the bilinear transform, cut-off warped,
    1 / ((s + 1)(s^2 + s + 1)). At half the sampling rate and above the cut-off becomes 0.49 of it, with a warning.

    Returns:
        Time (s) and values.
    """
    _check(time, values, 6)
    step = float(np.diff(time).min())
    span = float(time[-1] - time[0])
    if span / (len(time) - 1) - step > np.finfo(float).eps:
        step = max(step, span / MOST_SAMPLES)
        even = time[0] + step * np.arange(int(np.floor(span / step + 1e-9)) + 1)
        time, values = even, natural_spline(time, values, 5)(even)
    if cutoff >= 0.5 / step:
        log.warning(
            "a cut-off of %g Hz is not below half of %g Hz; 0.49 of it is taken, as OpenSim does.", cutoff, 1 / step
        )
        cutoff = 0.49 / step
    for _ in range(2):
        values = _pass(values, step, cutoff)[::-1]
    return time, np.ascontiguousarray(values)


def natural_spline(
    time: Float64[np.ndarray, " time"], values: Float64[np.ndarray, "time coordinate"], degree: int
) -> BSpline:
    """GCVSpline without smoothing: the natural spline of odd degree 2m-1 through the points; its derivatives of orders
    m ... 2m-2 vanish at both ends."""
    free = [(order, np.zeros(values.shape[1:])) for order in range((degree + 1) // 2, degree)]
    return make_interp_spline(time, values, degree, bc_type=(free, free))


def _pass(values: Float64[np.ndarray, "time coordinate"], step: float, cutoff: float) -> np.ndarray:
    """One run of the filter; the first three samples stay."""
    w = np.tan(np.pi * cutoff * step)
    scale = (w + 1) * (w * w + w + 1)
    b = np.array([1.0, 3.0, 3.0, 1.0]) * w**3 / scale
    a = np.array(
        [
            1.0,
            (3 * w**3 + 2 * w**2 - 2 * w - 3) / scale,
            (3 * w**3 - 2 * w**2 - 2 * w + 3) / scale,
            (w - 1) * (w * w - w + 1) / scale,
        ]
    )
    filtered = values.copy()
    for k in range(values.shape[1]):
        start = lfiltic(b, a, values[2::-1, k], values[2::-1, k])
        filtered[3:, k] = lfilter(b, a, values[3:, k], zi=start)[0]
    return filtered


def _padded(
    time: Float64[np.ndarray, " time"], values: Float64[np.ndarray, "time coordinate"], size: int
) -> tuple[Float64[np.ndarray, " sample"], Float64[np.ndarray, "sample coordinate"]]:
    """Signal::Pad of time and values: reflected through their first and last points."""

    def odd(x: np.ndarray) -> np.ndarray:
        return np.concatenate([2 * x[0] - x[size:0:-1], x, 2 * x[-1] - x[-2 : -size - 2 : -1]])

    return odd(time), odd(values)


def _check(time: Float64[np.ndarray, " time"], values: Float64[np.ndarray, "time coordinate"], fewest: int) -> None:
    if len(time) < fewest:
        raise SignalError(f"{len(time)} steps of motion; expected {fewest} or more. Record longer.")
    if not (np.isfinite(values).all() and np.isfinite(time).all()):
        raise SignalError("the motion has missing values; expected a number at every step. Fill the gaps first.")
    if not (np.diff(time) > 0).all():
        raise SignalError("time does not increase at every step; expected it to. Sort them and drop repeated ones.")
