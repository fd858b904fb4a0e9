"""`convergence_order`: the order a solver, sampler or mesh shows, measured, to be compared with the one it claims."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from scipy.stats import linregress

from invdyn.errors import SignalError

__all__ = ["convergence_order"]


def convergence_order(error: Callable[[float], float], steps: Sequence[float]) -> float:
    """Slope of log error against log step: 4 for a method of order 4.

    Args:
        error: the error at a step (or mesh width), positive.
        steps: at least two different steps, all in the range where the error is neither saturated nor at rounding.

    >>> round(convergence_order(lambda h: 3 * h**2, [0.1, 0.05, 0.025]), 6)
    2.0

    Raises:
        SignalError: fewer than two steps, or an error that is not positive and finite.
    """
    if len(set(steps)) < 2:
        raise SignalError(f"convergence_order: two different steps are needed, got {list(steps)}.")
    errors = [float(error(h)) for h in steps]
    if not all(np.isfinite(errors)) or min(errors) <= 0:
        raise SignalError(f"convergence_order: errors {errors} must be positive and finite; choose larger steps.")
    return float(linregress(np.log(list(steps)), np.log(errors)).slope)
