"""The cut-off of the motion and the lag of the torque, chosen by the torque error of blocks left out.

A smoother that keeps all of the motion keeps noise in the acceleration, and inertias fitted to noisy accelerations come
out too small (errors in the regressor, not in the torque). The likelihood of the positions alone does not see that; the
torque does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from invdyn.bodies.model import BodyModel
from invdyn.errors import ConfigError
from invdyn.forces.identification.body_regressor import moving_regressor
from invdyn.forces.identification.crossvalidation import cross_validate
from invdyn.forces.identification.equations import equations_of
from invdyn.forces.identification.least_squares import fit_least_squares
from invdyn.forces.identification.recordings import Measured, Recording, smoothed, split, without_springs
from invdyn.forces.identification.settings import IdentifySettings
from invdyn.forces.torques_columns import frame_rate
from invdyn.forces.torques_smoothing import Smoother
from invdyn.forces.torques_sweep import BELOW

__all__ = ["CUTOFFS", "Smoothing", "choose_smoothing"]

CUTOFFS = (None, 2.5, 5.0, 10.0, 20.0)
"""Hz; None: the smoother's own choice. Tried where nobody gave a cut-off."""
WIDTH = 0.05  # of the friction's sign while smoothing is chosen, a part of each joint's RMS velocity


@dataclass(frozen=True)
class Smoothing:
    """What was chosen.

    Attributes:
        cutoff: Hz; None: the smoother's own choice. lag: s.
        scores: geometric mean over the joints of the left-out nMSE, per setting tried.
    """

    cutoff: float | None
    lag: float
    scores: dict[str, float]


def choose_smoothing(
    model: BodyModel,
    moving: Sequence[int],
    still: Float[np.ndarray, " nq"],
    measured: Sequence[Measured],
    held_out: float,
    *,
    cutoffs: Sequence[float | None] = CUTOFFS,
    lags: Sequence[float] = (0.0,),
    smoother: Smoother = "rts",
    settings: IdentifySettings | None = None,
    tell: Callable[[str], None] = lambda stage: None,
) -> Smoothing:
    """Try cut-offs at the first lag, then the other lags at the best cut-off, on the part that is fitted.

    Args:
        model, moving, still: see `identify`.
        measured, held_out: recordings, and the share at their end that is not looked at.
        cutoffs: Hz; those above 0.45 of the sampling rate are left out.
        lags: s.
        smoother, settings: as they will be used.
        tell: called with the name of each stage.

    Raises:
        ConfigError: nothing to try. SignalError: as `recordings_of`.
    """
    settings = settings or IdentifySettings()
    rate = min(frame_rate(m.positions.time) for m in measured)
    cutoffs = [c for c in cutoffs if c is None or c < BELOW * rate]
    if not cutoffs or not lags:
        raise ConfigError(
            f"--cutoff: expected Hz below {BELOW * rate:.3g}, for there are {rate:.4g} samples/s. Lower it."
        )
    if len(cutoffs) == len(lags) == 1:
        return Smoothing(cutoffs[0], lags[0], {})
    regressor = moving_regressor(model, moving, still)
    fitted = [split(m, held_out)[0] for m in measured]

    def error(cutoff: float | None, lag: float) -> float:
        parts = [smoothed(model, moving, m, smoother=smoother, cutoff=cutoff, lag=lag) for m in fitted]
        return _error(model, moving, regressor, [without_springs(model, moving, r) for r in parts], settings)

    tried: dict[tuple[float | None, float], float] = {}
    for cutoff in cutoffs:
        tell(f"cut-off {'by the smoother' if cutoff is None else f'{cutoff:g} Hz'}")
        tried[cutoff, lags[0]] = error(cutoff, lags[0])
    best = min(tried, key=lambda key: tried[key])[0]
    for lag in lags[1:]:
        tell(f"lag {lag:g} s")
        tried[best, lag] = error(best, lag)
    cutoff, lag = min(tried, key=lambda key: tried[key])
    names = {k: ("smoother's own cut-off" if k[0] is None else f"{k[0]:g} Hz") + f", lag {k[1]:g} s" for k in tried}
    return Smoothing(cutoff, lag, {names[k]: v for k, v in tried.items()})


def _error(model, moving, regressor, parts: Sequence[Recording], settings: IdentifySettings) -> float:  # type: ignore[no-untyped-def]
    """Geometric mean over the joints of the left-out nMSE."""
    speed = np.sqrt(np.mean(np.concatenate([r.qd for r in parts]) ** 2, axis=0))
    rise = None if "stribeck" not in settings.friction else tuple(float(v) for v in 2 * WIDTH * speed)
    friction = settings.columns(tuple(float(v) for v in WIDTH * speed), rise)
    equations = equations_of(model, moving, regressor, parts, friction, settings)
    found = cross_validate(equations, lambda e: fit_least_squares(e, "ordinary").estimate)
    return float(np.exp(np.log(np.maximum(found.mean, 1e-300)).mean()))
