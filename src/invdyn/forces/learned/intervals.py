"""Conformal intervals around torques, from models that had not seen the block of a sample."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from invdyn.errors import SignalError
from invdyn.forces.learned.rows import LeftOut, TorqueEstimate, TorqueModel, TorqueRows
from invdyn.verify.conformal import Calibration, Method, PointScore, calibrate
from invdyn.verify.cross_conformal import folds_of

__all__ = ["TorqueIntervals", "calibrate_torques", "leave_out"]

Fit = Callable[[TorqueRows], TorqueModel]


@dataclass(frozen=True)
class TorqueIntervals:
    """One calibration per joint.

    Args:
        parts: what `verify.conformal` found for each joint; `parts[j].guarantee` says what is promised.
    """

    parts: tuple[Calibration, ...]

    def around(
        self, estimate: TorqueEstimate, *, level: float | None = None
    ) -> tuple[Float64[np.ndarray, "rows joint"], Float64[np.ndarray, "rows joint"]]:
        """Lower and upper ends [N, n] N m at the calibrated level, or another that was kept.

        Raises:
            SignalError: another number of joints. ConfigError: a level without a quantile.
        """
        if estimate.mean.shape[1] != len(self.parts):
            raise SignalError(
                f"torque intervals: calibrated for {len(self.parts)} joints, got torques of {estimate.mean.shape[1]}. "
                "Calibrate on this arm."
            )
        ends = [
            part.interval(estimate.mean[:, j : j + 1], estimate.spread[:, j : j + 1], level=level)
            for j, part in enumerate(self.parts)
        ]
        return np.concatenate([low for low, _ in ends], 1), np.concatenate([high for _, high in ends], 1)

    def coverage(
        self, rows: TorqueRows, estimate: TorqueEstimate, *, level: float | None = None
    ) -> Float64[np.ndarray, " joints"]:
        """[n] measured share of torques inside, over the rows in which they were measured."""
        lower, upper = self.around(estimate, level=level)
        inside = (rows.tau >= lower) & (rows.tau <= upper)
        return np.where(rows.measured, inside, False).sum(0) / rows.measured.sum(0)


def calibrate_torques(
    left_out: Sequence[LeftOut], *, level: float = 0.9, method: Method = "pooled", score: PointScore = "normalised"
) -> TorqueIntervals:
    """Intervals from errors at left-out blocks (`leave_out`, or `ArmGP.left_out`); blocks are the exchangeable units.

    Put around a model fitted to all rows this is the cross-conformal interval, whose level holds as far as that model
    errs as those that left a block out; and new motion must be like the motion recorded.

    Raises:
        ConfigError: a level that so few blocks cannot support (0.9 needs 9).
    """
    return TorqueIntervals(
        tuple(
            calibrate(
                part.truth[:, None],
                part.mean[:, None],
                part.spread[:, None],
                part.block,
                level=level,
                method=method,
                score=score,
            )
            for part in left_out
        )
    )


def leave_out(fit: Fit, rows: TorqueRows, *, folds: int, seed: int = 0) -> tuple[LeftOut, ...]:
    """Fit once per fold on the blocks of the others, and answer on the fold's own.

    Args:
        fit: from rows to a model, from scratch; called `folds` times.
        rows: measured torques.
        folds: how many; blocks are shuffled over them.
        seed: of the shuffle.

    Returns:
        per joint, all rows in which it was measured.

    Raises:
        ConfigError: fewer than two folds or more than blocks.
    """
    names, block = np.unique(rows.block, return_inverse=True)
    of = folds_of(len(names), folds, seed)[block]
    mean, spread = np.empty(rows.q.shape), np.empty(rows.q.shape)
    for fold in range(int(of.max()) + 1):
        told = fit(rows[of != fold]).predict(rows[of == fold])
        mean[of == fold], spread[of == fold] = told.mean, told.spread
    return tuple(
        LeftOut(rows.tau[keep, j], mean[keep, j], spread[keep, j], rows.block[keep])
        for j, keep in enumerate(rows.measured.T)
    )
