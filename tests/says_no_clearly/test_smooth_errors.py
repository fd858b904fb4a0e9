"""What smoothing refuses, and how it says so."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from invdyn.episodes.smooth import cutoff_sweep, smooth, smooth_rotation
from invdyn.errors import ConfigError, InvdynError, SignalError, UnknownNameError

TIME = np.arange(50) / 50
VALUES = np.stack([np.sin(TIME), TIME], axis=1)


def changed(array: np.ndarray, at: Any, value: float) -> np.ndarray:
    new = array.copy()
    new[at] = value
    return new


UNEVEN = changed(TIME, 10, 0.213)
SPARSE = VALUES.copy()
SPARSE[9:, 1] = np.nan


@pytest.mark.parametrize(
    ("time", "values", "settings", "kind", "message"),
    [
        (TIME[:4], VALUES[:4], {}, SignalError, "4 samples; second derivatives need at least 6"),
        (changed(TIME, 3, np.nan), VALUES, {}, SignalError, r"time\[3\] is nan"),
        (changed(TIME, 3, 0.04), VALUES, {}, SignalError, r"time\[3\] = 0.04 s does not come after time\[2\]"),
        (TIME, VALUES[:-1], {}, SignalError, "values has 49 rows for 50 times"),
        (TIME, VALUES[:, 0], {}, SignalError, r"expected \[T\] and \[T, n\]"),
        (TIME, changed(VALUES, (5, 1), np.inf), {}, SignalError, r"values\[5, 1\] is infinite"),
        (TIME, SPARSE, {}, SignalError, "column 1 has 9 values; at least 10"),
        (TIME, VALUES, {"method": "butter"}, UnknownNameError, "Did you mean 'butterworth'"),
        (TIME, VALUES, {"window": 5}, ConfigError, "method='rts' has no setting 'window'. It has: cutoff"),
        (TIME, VALUES, {"order": 2}, ConfigError, "order=2; expected one of 3, 4, 5, 6"),
        (TIME, VALUES, {"density": 1.0}, ConfigError, "Say of which: order=3"),
        (
            TIME,
            VALUES,
            {"order": np.array([3, 4, 5])},
            ConfigError,
            r"order has shape \(3,\); expected a number or one",
        ),
        (TIME, VALUES, {"order": np.array([3, 4]), "tied": True}, ConfigError, "tied; expected one order"),
        (TIME, VALUES, {"cutoff": -1.0}, ConfigError, "cutoff=-1.0; expected positive"),
        (TIME, VALUES, {"noise_std": np.ones(3)}, ConfigError, r"noise_std has shape \(3,\)"),
        (TIME, VALUES, {"cutoff": 5.0, "density": 1.0, "order": 3}, ConfigError, "both set the ratio"),
        (UNEVEN, VALUES, {"method": "butterworth"}, SignalError, "needs a regular clock. Use method='rts'"),
        (TIME, changed(VALUES, (4, 0), np.nan), {"method": "savgol"}, SignalError, r"values\[4, 0\] is missing"),
        (TIME, VALUES, {"method": "butterworth", "cutoff": 30.0}, ConfigError, "expected between 0 and 25"),
        (TIME, VALUES, {"method": "butterworth", "cutoff": np.ones(3)}, ConfigError, r"cutoff has shape \(3,\)"),
        (TIME, VALUES, {"method": "savgol", "window": 10}, ConfigError, "an odd number above 4, at most 49"),
        (TIME, VALUES, {"method": "savgol", "window": 9, "cutoff": 3.0}, ConfigError, "set the same thing"),
        (TIME, VALUES, {"method": "savgol", "cutoff": -3.0}, ConfigError, "cutoff=-3 Hz; expected a positive"),
    ],
)
def test_smooth_refuses(
    time: np.ndarray, values: np.ndarray, settings: dict[str, Any], kind: type[InvdynError], message: str
) -> None:
    with pytest.raises(kind, match=message):
        smooth(time, values, **settings)


def test_quaternions_must_have_length_one() -> None:
    quaternions = np.tile([0.0, 0.0, 0.0, 1.0], (50, 1))
    with pytest.raises(SignalError, match=r"quaternion\[7\] has length 2; expected 1. Are these xyzw"):
        smooth_rotation(TIME, changed(quaternions, 7, 1.0))
    quaternions[1:] = np.nan
    with pytest.raises(SignalError, match="1 quaternions are not missing"):
        smooth_rotation(TIME, quaternions)


def test_a_sweep_needs_cutoffs_to_compare() -> None:
    with pytest.raises(ConfigError, match="1 cut-offs; give at least two"):
        cutoff_sweep(TIME, VALUES, [5.0], lambda motion: motion.velocity)
    with pytest.raises(ConfigError, match=r"reference=4 Hz is none of the cut-offs \[5.0, 6.0\]"):
        cutoff_sweep(TIME, VALUES, [5.0, 6.0], lambda motion: motion.velocity, reference=4.0)
