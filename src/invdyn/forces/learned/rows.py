"""Motion beside measured torques, and what a model says of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float64, Int64

from invdyn.errors import ConfigError, SignalError

__all__ = ["LeftOut", "TorqueEstimate", "TorqueModel", "TorqueRows", "check_joints", "evenly", "time_blocks"]

Rows = Float64[np.ndarray, "rows joint"]
Array = Float64[np.ndarray, "..."]
"""[N, n], said by `TorqueRows` itself where it is not."""


@dataclass(frozen=True)
class TorqueRows:
    """Samples of an arm's motion and of the torques that went with it.

    Args:
        q, qd, qdd: [N, n] position, velocity, acceleration: rad, rad/s, rad/s^2 (m for prismatic joints).
        tau: [N, n] N m (N); NaN where the torque of a joint was not measured.
        block: [N] which stretch of a recording a sample is from. Samples of one block resemble each other, so what
            is left out is left out by block. `time_blocks` cuts a recording; `np.arange(N)` says all are independent.

    Raises:
        SignalError: arrays that do not fit together, motion that is not finite, an infinite torque, no row.
    """

    q: Array
    qd: Array
    qdd: Array
    tau: Array
    block: Int64[np.ndarray, " samples"]

    def __post_init__(self) -> None:
        told = {"q": self.q, "qd": self.qd, "qdd": self.qdd, "tau": self.tau}
        shapes = {name: array.shape for name, array in told.items()}
        if len(set(shapes.values())) > 1 or self.q.ndim != 2 or len(self.block) != len(self.q):
            raise SignalError(
                f"torque rows: shapes {shapes} with {len(self.block)} block numbers; expected 4 x [N, n] and [N]."
            )
        if self.q.size == 0:
            raise SignalError("torque rows: no sample, or no joint. Give at least one row.")
        for name, array in told.items():
            bad = np.isinf(array) if name == "tau" else ~np.isfinite(array)
            if bad.any():
                row, joint = (int(i) for i in np.argwhere(bad)[0])
                raise SignalError(
                    f"torque rows: {name} of joint {joint + 1} is {array[row, joint]} in row {row}. Drop the row"
                    + (", or mark a torque that was not measured by NaN." if name == "tau" else ", or fill the gap.")
                )

    def __len__(self) -> int:
        return len(self.q)

    def __getitem__(self, index: slice | np.ndarray) -> TorqueRows:
        """Some of the rows."""
        return TorqueRows(self.q[index], self.qd[index], self.qdd[index], self.tau[index], self.block[index])

    @property
    def joints(self) -> int:
        return self.q.shape[1]

    @property
    def motion(self) -> Float64[np.ndarray, "rows inputs"]:
        """[N, 3n] q, qd, qdd side by side."""
        return np.concatenate([self.q, self.qd, self.qdd], 1)

    @property
    def measured(self) -> Bool[np.ndarray, "rows joint"]:
        """[N, n] where a torque was measured."""
        return ~np.isnan(self.tau)

    def with_torque(self, tau: Rows) -> TorqueRows:
        """The same motion with other torques (residuals, for one)."""
        return replace(self, tau=tau)

    def thinned(self, most: int) -> TorqueRows:
        """At most so many rows, evenly spaced."""
        if most < 1:
            raise ConfigError(f"torque rows: thinned to {most} rows, expected at least 1.")
        return self if len(self) <= most else self[evenly(len(self), most)]

    def of_joint(self, joint: int) -> TorqueRows:
        """The rows in which the torque of one joint was measured.

        Raises:
            SignalError: none was.
        """
        keep = self.measured[:, joint]
        if not keep.any():
            raise SignalError(f"torque rows: no torque of joint {joint + 1} was measured. Give rows that have it.")
        return self[keep]


@dataclass(frozen=True)
class TorqueEstimate:
    """Torques as a model sees them.

    Args:
        mean: [N, n] N m.
        spread: [N, n] N m, standard deviation by the model's own account; zeros where it has none.
    """

    mean: Rows
    spread: Rows


@dataclass(frozen=True)
class LeftOut:
    """Torques of one joint and what a model that had not seen their block says of them.

    Args:
        truth, mean, spread: [N] N m.
        block: [N] as in `TorqueRows`.
    """

    truth: Float64[np.ndarray, " samples"]
    mean: Float64[np.ndarray, " samples"]
    spread: Float64[np.ndarray, " samples"]
    block: Int64[np.ndarray, " samples"]

    def thinned(self, most: int) -> LeftOut:
        """The samples that `TorqueRows.thinned` keeps, where the joint was measured in every row."""
        keep = evenly(len(self.truth), most)
        return LeftOut(self.truth[keep], self.mean[keep], self.spread[keep], self.block[keep])


class TorqueModel(ABC):
    """What says the torques of a motion."""

    joints: int

    @abstractmethod
    def predict(self, rows: TorqueRows) -> TorqueEstimate:
        """Torques [N, n] of the motion of these rows; their `tau` is not looked at."""


def check_joints(model: TorqueModel, rows: TorqueRows) -> None:
    """Refuse an arm with another number of joints (`SignalError`)."""
    if rows.joints != model.joints:
        raise SignalError(
            f"{type(model).__name__} was fitted to an arm of {model.joints} joints, got rows of {rows.joints}. "
            "Fit it to this arm."
        )


def evenly(rows: int, most: int) -> Int64[np.ndarray, " samples"]:
    """Numbers of at most so many of the rows, evenly spaced, first and last among them."""
    return np.arange(rows) if rows <= most else np.linspace(0, rows - 1, most).round().astype(int)


def time_blocks(rows: int, blocks: int) -> Int64[np.ndarray, " samples"]:
    """[rows] number of the contiguous block, all about equally long.

    Raises:
        ConfigError: fewer than one block or more blocks than rows.
    """
    if not 1 <= blocks <= rows:
        raise ConfigError(f"{blocks} blocks of {rows} rows; between 1 and {rows} are possible.")
    return np.arange(rows) * blocks // rows
