"""Several models of a torque in one: weights that would have been best for torques none of them had seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64
from scipy.optimize import nnls

from invdyn.errors import ConfigError, SignalError
from invdyn.forces.learned.rows import LeftOut, TorqueEstimate, TorqueModel, TorqueRows, check_joints

__all__ = ["Stacked", "stack", "stack_left_out", "stacking_weights"]


@dataclass(frozen=True)
class Stacked(TorqueModel):
    """tau_j = sum_k w_kj tau_kj. Args: models: K of them; weights: [K, n] >= 0, each joint's sum 1."""

    models: tuple[TorqueModel, ...]
    weights: Float64[np.ndarray, "models joint"]

    @property
    def joints(self) -> int:  # type: ignore[override]
        return self.weights.shape[1]

    def predict(self, rows: TorqueRows) -> TorqueEstimate:
        """Weighted mean of the models' torques, and of their spreads: models of one recording err alike."""
        check_joints(self, rows)
        told = [model.predict(rows) for model in self.models]
        mean = sum((w * t.mean for w, t in zip(self.weights, told, strict=True)), np.zeros(rows.q.shape))
        spread = sum((w * t.spread for w, t in zip(self.weights, told, strict=True)), np.zeros(rows.q.shape))
        return TorqueEstimate(mean, spread)


def stacking_weights(left_out: Sequence[Sequence[LeftOut]]) -> Float64[np.ndarray, "models joint"]:
    """[K, n] weights >= 0 of sum 1 that leave the least squared error at left-out rows (Breiman 1996).

    Args:
        left_out: per model, per joint: the same rows for all, as `leave_out` and `ArmGP.left_out` give them.

    Raises:
        ConfigError: no model. SignalError: models answered on different rows.
    """
    if not left_out:
        raise ConfigError("stacking: no model given; give at least one.")
    joints = len(left_out[0])
    for k, parts in enumerate(left_out):
        for j in range(joints):
            if len(parts) != joints or not np.array_equal(parts[j].truth, left_out[0][j].truth):
                raise SignalError(
                    f"stacking: model {k + 1} was left out on other rows than model 1 (joint {j + 1}). "
                    "Leave out with the same rows, for Gaussian processes with no more of them than `rows`."
                )
    columns = []
    for j in range(joints):
        truth = left_out[0][j].truth
        off = np.stack([parts[j].mean - truth for parts in left_out], 1)
        # With weights of sum 1 the error is off @ w; a heavy row holds the sum, and scaling then makes it exact.
        heavy = 1e4 * np.sqrt((off**2).sum())
        found, _ = nnls(np.vstack([off, np.full((1, off.shape[1]), heavy)]), np.append(np.zeros(len(off)), heavy))
        columns.append(found / found.sum())
    return np.stack(columns, 1)


def stack_left_out(
    left_out: Sequence[Sequence[LeftOut]], weights: Float64[np.ndarray, "models joint"]
) -> tuple[LeftOut, ...]:
    """Per joint, what the stack says of the left-out rows: for intervals. The weights have seen all rows, but they are
    a handful of numbers."""
    made = []
    for j, first in enumerate(left_out[0]):
        mean = sum((w * parts[j].mean for w, parts in zip(weights[:, j], left_out)), np.zeros(len(first.mean)))
        spread = sum((w * parts[j].spread for w, parts in zip(weights[:, j], left_out)), np.zeros(len(first.mean)))
        made.append(LeftOut(first.truth, mean, spread, first.block))
    return tuple(made)


def stack(models: Sequence[TorqueModel], left_out: Sequence[Sequence[LeftOut]]) -> Stacked:
    """Models fitted to all rows, weighed by how those fitted without some of the blocks did there.

    Args:
        models: K, fitted to all rows. left_out: as `stacking_weights`, in the same order.

    Raises:
        ConfigError: another number of models. Others as `stacking_weights`.
    """
    if len(models) != len(left_out):
        raise ConfigError(f"stacking: {len(models)} models and {len(left_out)} sets of left-out torques; give as many.")
    return Stacked(tuple(models), stacking_weights(left_out))
