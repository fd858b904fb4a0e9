"""Recorded motion to position, velocity and acceleration: one door to four smoothers, and what the cut-off does.

| method | what chooses the smoothing | clock, gaps | uncertainty |
|---|---|---|---|
| `rts` (default) | likelihood of the recording, or `cutoff` | any, bridged | covariance |
| `spline` | quintic, generalised cross-validation, or `cutoff` | any, bridged | |
| `butterworth` | `cutoff` (6 Hz), zero phase, 4th order | regular, none | |
| `savgol` | `window` (31 samples), `degree` (4), or `cutoff` | regular, none | |
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from jaxtyping import Float

from invdyn.episodes.smooth_filters import butterworth, savitzky_golay
from invdyn.episodes.smooth_result import Smoothed
from invdyn.episodes.smooth_rotations import SmoothedFree, SmoothedRotation, smooth_free, smooth_rotation
from invdyn.episodes.smooth_rts import smooth_white
from invdyn.errors import ConfigError, SignalError, unknown_name

__all__ = [
    "CutoffSweep",
    "Method",
    "Smoothed",
    "SmoothedFree",
    "SmoothedRotation",
    "cutoff_sweep",
    "smooth",
    "smooth_free",
    "smooth_rotation",
]

Method = Literal["rts", "butterworth", "spline", "savgol"]
SETTINGS = {
    "rts": ("cutoff", "noise_std", "density", "order", "tied"),
    "butterworth": ("cutoff",),
    "spline": ("cutoff", "tied"),
    "savgol": ("cutoff", "window", "degree"),
}


def smooth(
    time: Float[np.ndarray, " steps"],
    values: Float[np.ndarray, "rows ..."],
    method: str = "rts",
    **settings: Any,
) -> Smoothed:
    """Smooth and differentiate recorded motion.

    Args:
        time: [T] s, strictly increasing.
        values: [T, n] u; NaN where a value is missing. `rts` and `spline` bridge gaps, and go on past the first and
            last value of a column, where `position_std` grows fast: cut off what is not wanted.
        method: one of the table above.
        settings: cutoff (Hz, of all columns or each; half power of the whole filter); `rts`: noise_std (u), density
            (u^2/s^(2 order - 1)), order (3 to 6, of all columns or each), tied (columns are components of one vector);
            `savgol`: window (samples), degree.

    Returns:
        position, velocity, acceleration [T, n] and what was used.

    Raises:
        UnknownNameError: no such method. ConfigError: a setting the method does not have, or cannot use.
        SignalError: bad times or values.

    >>> t = np.arange(200) / 100
    >>> found = smooth(t, np.sin(3 * t)[:, None])
    >>> bool(np.abs(found.acceleration[:, 0] + 9 * np.sin(3 * t)).max() < 1e-3)
    True
    """
    if method not in get_args(Method):
        raise unknown_name("smoothing method", method, get_args(Method))
    for name in settings:
        if name not in SETTINGS[method]:
            raise ConfigError(
                f"smooth: method={method!r} has no setting {name!r}. It has: {', '.join(SETTINGS[method])}."
            )
    time, values = np.asarray(time, dtype=float), np.asarray(values, dtype=float)
    if time.ndim != 1 or values.ndim != 2:
        raise SignalError(
            f"smooth: time of shape {time.shape}, values of shape {values.shape}; expected [T] and [T, n]."
        )
    if method == "butterworth":
        return butterworth(time, values, **settings)
    if method == "savgol":
        return savitzky_golay(time, values, **settings)
    return smooth_white(time, values, "likelihood" if method == "rts" else "gcv", **settings)


@dataclass(frozen=True)
class CutoffSweep:
    """What was computed from the motion at each cut-off.

    Attributes:
        cutoffs: [K] Hz.
        quantity: [K, T, m] what `quantity` said of each smoothed motion.
        rms, peak: [K, m] over time.
        change: [K, m] RMS difference from the quantity at `reference`.
        residual: [K, n] u, RMS of recording minus position: flat where only noise is removed (Winter's analysis).
        reference: number of the cut-off compared with.
    """

    cutoffs: Float[np.ndarray, " cutoffs"]
    quantity: Float[np.ndarray, "cutoffs steps m"]
    rms: Float[np.ndarray, "cutoffs m"]
    peak: Float[np.ndarray, "cutoffs m"]
    change: Float[np.ndarray, "cutoffs m"]
    residual: Float[np.ndarray, "cutoffs columns"]
    reference: int


def cutoff_sweep(
    time: Float[np.ndarray, " steps"],
    values: Float[np.ndarray, "rows ..."],
    cutoffs: Sequence[float],
    quantity: Callable[[Smoothed], Float[np.ndarray, "steps m"]],
    *,
    method: str = "butterworth",
    reference: float | None = None,
    **settings: Any,
) -> CutoffSweep:
    """The effect of the cut-off on what is computed from the motion, e.g. torques.

    Args:
        time, values: as `smooth`.
        cutoffs: Hz, at least two.
        quantity: from smoothed motion to [T, m], e.g. `lambda s: torques(s.position, s.velocity, s.acceleration)`.
        method, settings: as `smooth`.
        reference: Hz, the cut-off others are compared with, one of `cutoffs`; None: the middle one.

    Raises:
        ConfigError: fewer than two cut-offs, or a reference that is none of them.
    """
    if len(cutoffs) < 2:
        raise ConfigError(f"cutoff_sweep: {len(cutoffs)} cut-offs; give at least two to compare.")
    if reference is not None and reference not in cutoffs:
        raise ConfigError(f"cutoff_sweep: reference={reference:g} Hz is none of the cut-offs {list(cutoffs)}.")
    at = len(cutoffs) // 2 if reference is None else list(cutoffs).index(reference)
    motions = [smooth(time, values, method, cutoff=float(cutoff), **settings) for cutoff in cutoffs]
    found = np.stack([np.asarray(quantity(motion), dtype=float) for motion in motions])
    off = np.stack([values - motion.position for motion in motions])
    return CutoffSweep(
        cutoffs=np.array(cutoffs, dtype=float),
        quantity=found,
        rms=np.sqrt((found**2).mean(1)),
        peak=np.abs(found).max(1),
        change=np.sqrt(((found - found[at]) ** 2).mean(1)),
        residual=np.sqrt(np.nanmean(off**2, axis=1)),
        reference=at,
    )
