"""The identified model run beside the recording: its torques for the motion, its motion for the torques."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from invdyn.errors import SignalError
from invdyn.forces.identification.equations import Regressor
from invdyn.forces.identification.estimate import Estimate

__all__ = ["MotionReplay", "TorqueReplay", "acceleration", "replay_motion", "replay_torque"]


@dataclass(frozen=True)
class TorqueReplay:
    """Attributes:
    torque: [T, nv] of the model, N m or N.
    rmse: [nv] N m or N.
    nmse: [nv] mean squared error over the variance of the recorded torque.
    """

    torque: Float[np.ndarray, "time nv"]
    rmse: Float[np.ndarray, " nv"]
    nmse: Float[np.ndarray, " nv"]


@dataclass(frozen=True)
class MotionReplay:
    """Attributes:
    start: [pieces] first row of each piece of the recording.
    error: [pieces, steps + 1, nv] position of the model minus the recorded one, rad or m; NaN once it flew off.
    still: [nv] root mean square of how far the recording itself moves from the start of a piece, rad or m.
    """

    start: Int[np.ndarray, " pieces"]
    error: Float[np.ndarray, "pieces steps nv"]
    still: Float[np.ndarray, " nv"]

    @property
    def rmse(self) -> Float[np.ndarray, " nv"]:
        """[nv] over pieces and steps, rad or m."""
        return np.sqrt(np.square(self.error).mean((0, 1)))


def replay_torque(
    estimate: Estimate,
    regressor: Regressor,
    q: Float[np.ndarray, "time nq"],
    qd: Float[np.ndarray, "time nv"],
    qdd: Float[np.ndarray, "time nv"],
    tau: Float[np.ndarray, "time nv"],
) -> TorqueReplay:
    """Torques of the model for a recorded motion, compared with the measured ones (rows with NaN left out).

    Raises:
        SignalError: a joint whose torque never changes.
    """
    torque = estimate.torque(regressor, q, qd, qdd)
    known = np.isfinite(tau).all(1)
    square = np.square(torque - tau)[known].mean(0)
    variance = tau[known].var(0)
    if not (variance > 0).all():
        name = estimate.joints[int((variance <= 0).argmax())]
        raise SignalError(f"replay: the torque of {name!r} never changes, so its error has no scale. Leave it out.")
    return TorqueReplay(torque, np.sqrt(square), square / variance)


def acceleration(
    estimate: Estimate,
    regressor: Regressor,
    q: Float[np.ndarray, "batch nv"],
    qd: Float[np.ndarray, "batch nv"],
    tau: Float[np.ndarray, "batch nv"],
) -> Float[np.ndarray, "batch nv"]:
    """Forward dynamics of the model, rotors and friction included: M(q) qdd = tau - tau(q, qd, 0), rad/s^2 or m/s^2.

    The columns of M are differences of torques, so any regressor will do and base parameters suffice.

    Raises:
        SignalError: a mass matrix that is not positive definite, as inconsistent parameters have.
    """
    size, nv = qd.shape
    rest = np.zeros((1, nv))
    pushes = np.concatenate([rest, np.eye(nv)])
    positions, velocities = (np.repeat(x, nv + 1, axis=0) for x in (q, qd))
    torque = estimate.torque(regressor, positions, velocities, np.tile(pushes, (size, 1))).reshape(size, nv + 1, nv)
    mass = (torque[:, 1:] - torque[:, :1]).swapaxes(1, 2)
    mass = (mass + mass.swapaxes(1, 2)) / 2
    try:
        np.linalg.cholesky(mass)
    except np.linalg.LinAlgError:
        raise SignalError(
            f"replay: the mass matrix of the {estimate.method} fit is not positive definite. Use a physically "
            "consistent fit (feasible, log-cholesky)."
        ) from None
    return np.linalg.solve(mass, (tau - torque[:, 0])[..., None])[..., 0]


def replay_motion(
    estimate: Estimate,
    regressor: Regressor,
    time: Float[np.ndarray, " steps"],
    q: Float[np.ndarray, "steps nq"],
    qd: Float[np.ndarray, "steps nv"],
    tau: Float[np.ndarray, "steps nv"],
    *,
    horizon: float = 0.25,
    substeps: int = 2,
) -> MotionReplay:
    """Motion of the model under the recorded torques, from the recorded state at the start of every piece.

    Runge-Kutta of order 4, torque linear between samples, all pieces at once.

    Args:
        estimate: physically consistent.
        regressor: Y, of joints with as many positions as velocities.
        time: [T] s, about regular.
        q, qd, tau: recorded.
        horizon: s, length of a piece.
        substeps: per sample.

    Raises:
        SignalError: positions and velocities of different number; a recording shorter than a piece; see `acceleration`.
    """
    if q.shape != qd.shape:
        raise SignalError(f"replay: q {q.shape} and qd {qd.shape}; motion is replayed for one-dof joints.")
    step = float(np.median(np.diff(time)))
    steps = max(1, round(horizon / step))
    if len(time) <= steps:
        raise SignalError(f"replay: {len(time)} samples are shorter than a piece of {steps}. Shorten the horizon.")
    start = np.arange(0, len(time) - steps, steps)
    position, velocity = q[start].copy(), qd[start].copy()
    error = np.zeros((len(start), steps + 1, q.shape[1]))
    moved = np.zeros_like(error)
    alive = np.ones(len(start), bool)
    reach = 100 * np.ptp(q, axis=0).max()
    for k in range(steps):
        now = start + k
        whole = (time[now + 1] - time[now])[:, None]
        h = whole / substeps
        for s in range(substeps):

            def rate(p: np.ndarray, v: np.ndarray, part: float, now: np.ndarray = now) -> tuple[np.ndarray, np.ndarray]:
                force = tau[now] + (tau[now + 1] - tau[now]) * part
                return v, acceleration(estimate, regressor, p, v, force)

            a, b, c = s / substeps, (s + 0.5) / substeps, (s + 1) / substeps
            v1, a1 = rate(position, velocity, a)
            v2, a2 = rate(position + h / 2 * v1, velocity + h / 2 * a1, b)
            v3, a3 = rate(position + h / 2 * v2, velocity + h / 2 * a2, b)
            v4, a4 = rate(position + h * v3, velocity + h * a3, c)
            position = position + h / 6 * (v1 + 2 * v2 + 2 * v3 + v4)
            velocity = velocity + h / 6 * (a1 + 2 * a2 + 2 * a3 + a4)
        alive &= (np.abs(position) < reach).all(1) & np.isfinite(velocity).all(1)
        # A piece that flew off stays where it is: its numbers are NaN in the answer and must not reach the others.
        position[~alive], velocity[~alive] = q[start][~alive], 0.0
        error[:, k + 1] = np.where(alive[:, None], position - q[now + 1], np.nan)
        moved[:, k + 1] = q[now + 1] - q[start]
    return MotionReplay(start, error, np.sqrt(np.square(moved).mean((0, 1))))
