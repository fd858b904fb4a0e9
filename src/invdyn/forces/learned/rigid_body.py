"""Rigid-body least squares on a regressor, and what a learned model adds to it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from invdyn.errors import ConfigError, SignalError
from invdyn.forces.learned.rows import TorqueEstimate, TorqueModel, TorqueRows, check_joints

__all__ = ["RigidBody", "SemiParametric", "fit_rigid_body", "fit_semiparametric"]

Regressor = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]
"""(q, qd, qdd) [N, n] -> Y [N, n, p], the torque Y pi being linear in p parameters."""

AT_A_TIME = 2048
COLUMNS = 4  # of friction, per joint


@dataclass(frozen=True)
class RigidBody(TorqueModel):
    """tau = Y(q, qd, qdd) pi + friction.

    Args:
        regressor: Y. parameters: [p] pi; only the combinations Y tells apart are meaningful (the shortest pi is taken).
        friction: [n, 4] viscous (N m s/rad), Coulomb (N m), constant (N m), rotor inertia (kg m^2); zeros without.
        slow: [n] rad/s, where Coulomb friction tanh(qd / slow) turns over.
        noise: [n] N m, RMS left over.
        rank: number of combinations told apart, friction included.
    """

    regressor: Regressor
    parameters: Float64[np.ndarray, " parameters"]
    friction: Float64[np.ndarray, "joint terms"]
    slow: Float64[np.ndarray, " joints"]
    noise: Float64[np.ndarray, " joints"]
    rank: int

    @property
    def joints(self) -> int:  # type: ignore[override]
        return len(self.friction)

    def predict(self, rows: TorqueRows) -> TorqueEstimate:
        check_joints(self, rows)
        both = np.concatenate([self.parameters, self.friction.ravel()])
        parts = [
            columns(rows[i : i + AT_A_TIME], self.regressor, self.slow) @ both for i in range(0, len(rows), AT_A_TIME)
        ]
        mean = np.concatenate(parts)
        return TorqueEstimate(mean, np.broadcast_to(self.noise, mean.shape).copy())


def columns(
    rows: TorqueRows, regressor: Regressor, slow: Float64[np.ndarray, " joints"]
) -> Float64[np.ndarray, "rows joint parameters"]:
    """[N, n, p + 4n] regressor and friction columns side by side.

    Raises:
        SignalError: a regressor of another shape, or with values that are not finite.
    """
    n = rows.joints
    y = np.asarray(regressor(rows.q, rows.qd, rows.qdd), dtype=np.float64)
    if y.ndim != 3 or y.shape[:2] != rows.q.shape or not np.isfinite(y).all():
        raise SignalError(
            f"rigid body: the regressor gave shape {y.shape}"
            + ("" if np.isfinite(y).all() else " with values that are not finite")
            + f", expected finite [{len(rows)}, {n}, p]. Pass a function of (q, qd, qdd), each [N, n]."
        )
    lost = np.zeros((len(rows), n, n, COLUMNS))
    each = np.arange(n)
    lost[:, each, each] = np.stack([rows.qd, np.tanh(rows.qd / slow), np.ones_like(rows.qd), rows.qdd], -1)
    return np.concatenate([y, lost.reshape(len(rows), n, n * COLUMNS)], -1)


def fit_rigid_body(
    rows: TorqueRows, regressor: Regressor, *, friction: bool = True, cut: float = 1e-6, passes: int = 3
) -> RigidBody:
    """Least squares for pi and friction, joints weighted by 1 / (error left over)^2 and solved again.

    Args:
        rows: measured torques, NaN where a joint was not measured.
        regressor: Y.
        friction: fit friction, a constant torque and a rotor's inertia per joint.
        cut: singular values below this share of the largest, columns at length 1, are combinations that the motion
            does not tell apart; they are left at 0.
        passes: solutions; the first takes all joints' errors for proportional to their torques.

    Raises:
        SignalError: a joint without a measured torque, a regressor that does not fit.
        ConfigError: passes below 1, cut not in (0, 1).
    """
    if passes < 1 or not 0 < cut < 1:
        raise ConfigError(f"rigid body: passes={passes}, cut={cut}; expected passes >= 1 and 0 < cut < 1.")
    sizes = np.array([rows.of_joint(j).tau[:, j].std() for j in range(rows.joints)])
    sigma = np.where(sizes > 0, sizes, 1.0)
    speed = rows.qd.std(0)
    slow = np.where(speed > 0, 0.05 * speed, 1.0)
    y, known = columns(rows, regressor, slow), rows.measured
    inertial = y.shape[-1] - COLUMNS * rows.joints
    if not friction:
        y[..., inertial:] = 0
    for _ in range(passes):
        a, b = (y / sigma[:, None])[known], (rows.tau / sigma)[known]
        length = np.sqrt((a**2).sum(0))
        length = np.where(length > 0, length, 1.0)
        found, _, rank, _ = np.linalg.lstsq(a / length, b, rcond=cut)
        found = found / length
        off = y @ found - rows.tau
        noise = np.sqrt(np.nanmean(off**2, 0))
        sigma = np.maximum(noise, 1e-9 * sizes)
        sigma = np.where(sigma > 0, sigma, 1.0)
    return RigidBody(
        regressor, found[:inertial], found[inertial:].reshape(rows.joints, COLUMNS), slow, noise, int(rank)
    )


@dataclass(frozen=True)
class SemiParametric(TorqueModel):
    """Rigid body plus a model of what it leaves over, whose spread is told. Args: body, residual: their torques add."""

    body: RigidBody
    residual: TorqueModel

    @property
    def joints(self) -> int:  # type: ignore[override]
        return self.body.joints

    def predict(self, rows: TorqueRows) -> TorqueEstimate:
        left = self.residual.predict(rows)
        return TorqueEstimate(self.body.predict(rows).mean + left.mean, left.spread)


def fit_semiparametric(
    rows: TorqueRows, regressor: Regressor, residual: Callable[[TorqueRows], TorqueModel], *, cut: float = 1e-6
) -> SemiParametric:
    """Rigid-body least squares, then a learned model of the torque it does not explain.

    Args:
        rows: measured torques. regressor, cut: as `fit_rigid_body`.
        residual: from rows, whose tau are what is left over, to a model: `fit_gp`, `fit_network`.

    Raises:
        as `fit_rigid_body` and `residual` do.
    """
    body = fit_rigid_body(rows, regressor, cut=cut)
    return SemiParametric(body, residual(rows.with_torque(rows.tau - body.predict(rows).mean)))
