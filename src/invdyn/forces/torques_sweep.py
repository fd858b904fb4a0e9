"""What the cut-off does to the torques: the same recording smoothed at others, all else kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from invdyn.errors import ConfigError
from invdyn.forces.torques_columns import Positions, frame_rate
from invdyn.forces.torques_evaluation import Evaluation, passive_forces
from invdyn.forces.torques_smoothing import Smoother, SmoothMotion, smooth_positions

__all__ = ["BELOW", "CutoffEffect", "sweep_cutoffs", "swept"]

FACTORS = (0.5, 0.75, 1.0, 1.5, 2.0)
HABIT = (3.0, 4.5, 6.0, 9.0, 12.0)
"""Cut-offs tried where the smoother chose its own, Hz; 6 is the habit for human walking."""
BELOW = 0.45
"""Of the sampling rate; cut-offs above it smooth nothing."""


@dataclass(frozen=True)
class CutoffEffect:
    """What the cut-off does to the torques.

    Attributes:
        cutoffs: [K] Hz. rms, peak: [K, nv] N m or N over time.
        change: [K, nv] RMS difference from the torques that were reported.
    """

    cutoffs: Float[np.ndarray, " cutoffs"]
    rms: Float[np.ndarray, "cutoffs nv"]
    peak: Float[np.ndarray, "cutoffs nv"]
    change: Float[np.ndarray, "cutoffs nv"]


def swept(positions: Positions, smoother: Smoother, cutoff: float | None, asked: Sequence[float] | None) -> list[float]:
    """Hz whose effect is shown: those asked for, or five about the cut-off used; none where nothing is smoothed.

    Raises:
        ConfigError: cut-offs asked for that the recording is too slow for.
    """
    if smoother == "none" or len(positions.time) < 2:
        return []
    rate = frame_rate(positions.time)
    highest = BELOW * rate
    fast = [c for c in asked or () if c >= highest]
    if fast:
        raise ConfigError(
            f"--sweep {fast[0]:g}: {positions.origin} has {rate:g} steps/s; expected cut-offs below {highest:.4g} Hz. "
            "Lower it."
        )
    usual = HABIT if cutoff is None else [f * cutoff for f in FACTORS]
    return [c for c in (usual if asked is None else asked) if c < highest]


def sweep_cutoffs(
    evaluation: Evaluation,
    positions: Positions,
    smoother: Smoother,
    cutoffs: Sequence[float],
    rows: slice,
    motion: SmoothMotion,
    torque: Float[np.ndarray, "time nv"],
    tell: Callable[[float], None] = lambda share: None,
) -> CutoffEffect:
    """Torques at other cut-offs, all else kept: the loads (found contact forces included), the order of the noise."""
    found = []
    for k, cutoff in enumerate(cutoffs):
        tell(k / len(cutoffs))
        other = smooth_positions(evaluation.model, positions, smoother, cutoff, motion.order).part(rows)
        found.append(evaluation.forces(other.q, other.v, other.a) - passive_forces(evaluation.model, other))
    taus = np.array(found).reshape(len(cutoffs), *torque.shape)
    return CutoffEffect(
        np.array(cutoffs),
        np.sqrt((taus**2).mean(1)),
        np.abs(taus).max(1),
        np.sqrt(((taus - torque) ** 2).mean(1)),
    )
