"""`regret`: what a choice gives away, in expected return, optionally as a share of what was at stake."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64

from invdyn.errors import ConfigError
from invdyn.verify.metrics.arrays import Array, as_array

__all__ = ["regret"]


def regret(expected: Array | float, best: float, *, worst: float | None = None) -> Float64[np.ndarray, "..."]:
    """best - expected return of what was chosen; with `worst`, divided by best - worst (0 = best, 1 = worst).

    Expected returns, not realised ones: luck is no merit. Cumulative regret over time is its running sum.

    >>> regret(np.array([3.0, 1.0]), 3.0).tolist(), regret(np.array([3.0, 1.0]), 3.0, worst=-1.0).tolist()
    ([0.0, 2.0], [0.0, 0.5])

    Raises:
        ConfigError: a worst that is not below the best: nothing is at stake.
    """
    lost = best - as_array(np.asarray(expected) if isinstance(expected, float) else expected).astype(np.float64)
    if worst is None:
        return np.asarray(lost)
    if not worst < best:
        raise ConfigError(f"regret: worst return {worst} and best {best}; with nothing at stake there is no share.")
    return np.asarray(lost / (best - worst))
