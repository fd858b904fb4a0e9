"""The filters of the field: zero-phase Butterworth (biomechanics) and Savitzky-Golay. Regular clocks, no gaps."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from scipy.interpolate import make_interp_spline
from scipy.signal import butter, freqz, savgol_coeffs, savgol_filter, sosfiltfilt

from invdyn.episodes.smooth_result import Smoothed, check_clock, check_values, regular_step
from invdyn.errors import ConfigError, SignalError

__all__ = ["butterworth", "savitzky_golay"]

PASSES = 2  # forwards and backwards: 4th order in all


def _regular(time: Float[np.ndarray, " steps"], values: Float[np.ndarray, "rows columns"], method: str) -> float:
    """The step in s; SignalError where the filter cannot be run."""
    check_clock(time)
    check_values(time, values)
    step = regular_step(time)
    if step is None:
        gaps = np.diff(time)
        raise SignalError(
            f"smooth: steps from {gaps.min():g} to {gaps.max():g} s; method={method!r} needs a regular clock. "
            "Use method='rts', which takes any clock."
        )
    missing = np.argwhere(np.isnan(values))
    if len(missing):
        raise SignalError(
            f"smooth: values{missing[0].tolist()} is missing; method={method!r} cannot bridge gaps. "
            "Use method='rts', which can."
        )
    return step


def butterworth(
    time: Float[np.ndarray, " steps"],
    values: Float[np.ndarray, "rows columns"],
    cutoff: float | Float[np.ndarray, " given"] = 6.0,
) -> Smoothed:
    """Second-order Butterworth low-pass run forwards and backwards, then derivatives of the quintic through the result.

    The cut-off is that of both passes together: each is designed at tan(pi f / fs) / (2^(1/passes) - 1)^(1/4)
    (Winter, Biomechanics and Motor Control of Human Movement, 4th ed., 2.2.4.4), so that the gain at `cutoff` is
    1/sqrt(2) after both. The ends are extended by odd reflection over three periods of the cut-off, or what there is.

    Args:
        time: [T] s, regular.
        values: [T, n] u, no NaN.
        cutoff: Hz, of all columns or of each; 6 is the habit for human walking.

    Raises:
        SignalError: irregular clock or missing values.
        ConfigError: a cut-off that is not between 0 and what half the sampling rate leaves of it.
    """
    step = _regular(time, values, "butterworth")
    rate = 1.0 / step
    cut = np.asarray(cutoff, dtype=float)
    if cut.shape not in ((), (values.shape[1],)):
        raise ConfigError(f"smooth: cutoff has shape {cut.shape}; expected a number or one a column.")
    cut = np.broadcast_to(cut, (values.shape[1],))
    if not ((cut > 0) & (cut < rate / 2)).all():
        raise ConfigError(
            f"smooth: cutoff={cutoff!r} Hz for samples at {rate:g} Hz; expected between 0 and {rate / 2:g}. Lower it."
        )
    single = np.arctan(np.tan(np.pi * cut * step) / (2 ** (1 / PASSES) - 1) ** 0.25) * rate / np.pi
    position = np.empty(values.shape)
    for at in np.unique(cut):
        columns = cut == at
        sections = butter(2, single[columns][0], fs=rate, output="sos")
        pad = min(len(time) - 1, int(np.ceil(3 * rate / at)))
        position[:, columns] = sosfiltfilt(sections, values[:, columns], axis=0, padtype="odd", padlen=pad)
    through = make_interp_spline(time, position, k=5)
    return Smoothed(time, position, through(time, 1), through(time, 2), "butterworth", cut.copy())


def savitzky_golay(
    time: Float[np.ndarray, " steps"],
    values: Float[np.ndarray, "rows columns"],
    window: int | None = None,
    degree: int = 4,
    *,
    cutoff: float | None = None,
) -> Smoothed:
    """A polynomial fitted to the samples around each (Savitzky & Golay, Anal. Chem. 36, 1964), differentiated.

    Args:
        time: [T] s, regular.
        values: [T, n] u, no NaN.
        window: samples, odd; 31 where neither it nor `cutoff` is given.
        degree: of the polynomial.
        cutoff: Hz, instead of `window`: the window whose half-power frequency comes nearest.

    Raises:
        SignalError: irregular clock or missing values.
        ConfigError: a window that is even, longer than the recording or too short for the degree; window and cut-off.
    """
    step = _regular(time, values, "savgol")
    if window is not None and cutoff is not None:
        raise ConfigError("smooth: window and cutoff set the same thing for method='savgol'. Give one of them.")
    if cutoff is not None and not cutoff > 0:
        raise ConfigError(f"smooth: cutoff={cutoff:g} Hz; expected a positive number.")
    longest = len(time) - (len(time) + 1) % 2
    if cutoff is not None:
        sizes = np.arange(degree + 1 + degree % 2, longest + 1, 2)
        reached = np.array([_half_power(int(size), degree, step) for size in sizes])
        window = int(sizes[np.abs(reached - cutoff).argmin()])
    window = 31 if window is None else window
    if window % 2 == 0 or not max(degree, 2) < window <= longest:
        raise ConfigError(
            f"smooth: window={window} with degree={degree} on {len(time)} samples; "
            f"expected an odd number above {max(degree, 2)}, at most {longest}. Pass window=... or cutoff=..."
        )
    found = [savgol_filter(values, window, degree, deriv=d, delta=step, axis=0) for d in range(3)]
    reached = np.full(values.shape[1], _half_power(window, degree, step))
    return Smoothed(time, found[0], found[1], found[2], "savgol", reached)


def _half_power(window: int, degree: int, step: float) -> float:
    """Hz where the gain of the fitted position first falls to 1/sqrt(2)."""
    frequencies, gain = freqz(savgol_coeffs(window, degree), worN=4096, fs=1.0 / step)
    below = np.flatnonzero(np.abs(gain) < np.sqrt(0.5))
    return float(frequencies[below[0]]) if len(below) else 0.5 / step
