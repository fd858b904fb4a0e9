"""The identified model run beside the recording: its torques for the motion, its motion for the torques."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from invdyn.errors import SignalError
from invdyn.forces.identification.equations import Regressor
from invdyn.forces.identification.estimate import Estimate

__all__ = ["MotionReplay", "TorqueReplay", "acceleration", "mass_and_force", "replay_motion", "replay_torque"]


GAMMA = 1 - 1 / np.sqrt(2)  # ROS2 is then L-stable
NEAR = 0.01  # rad/s or m/s, over which the slope of friction is taken


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


def mass_and_force(
    estimate: Estimate,
    regressor: Regressor,
    q: Float[np.ndarray, "batch nv"],
    qd: Float[np.ndarray, "batch nv"],
    tau: Float[np.ndarray, "batch nv"],
) -> tuple[Float[np.ndarray, "batch nv nv"], Float[np.ndarray, "batch nv"]]:
    """M(q) of the model, rotors included, and tau - tau(q, qd, 0): M qdd = force.

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
    return mass, tau - torque[:, 0]


def acceleration(
    estimate: Estimate,
    regressor: Regressor,
    q: Float[np.ndarray, "batch nv"],
    qd: Float[np.ndarray, "batch nv"],
    tau: Float[np.ndarray, "batch nv"],
) -> Float[np.ndarray, "batch nv"]:
    """Forward dynamics of the model, rotors and friction included, rad/s^2 or m/s^2.

    Raises:
        SignalError: as `mass_and_force`.
    """
    mass, force = mass_and_force(estimate, regressor, q, qd, tau)
    return np.linalg.solve(mass, force[..., None])[..., 0]


def replay_motion(
    estimate: Estimate,
    regressor: Regressor,
    time: Float[np.ndarray, " steps"],
    q: Float[np.ndarray, "steps nq"],
    qd: Float[np.ndarray, "steps nv"],
    tau: Float[np.ndarray, "steps nv"],
    *,
    horizon: float = 0.25,
    substeps: int = 4,
) -> MotionReplay:
    """Motion of the model under the recorded torques, from the recorded state at the start of every piece.

    Torque linear between samples, all pieces at once. Friction of a light link is stiff (a gear's friction over the
    inertia of a wrist: thousands per second), so it enters implicitly: the two-stage Rosenbrock method ROS2 of Verwer
    et al. 1999, of order 2 whatever its matrix, here the slope of friction over 0.01 rad/s or m/s.

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
            part = [tau[now] + (tau[now + 1] - tau[now]) * (s + d) / substeps for d in (0.0, 1.0)]
            mass, force = mass_and_force(estimate, regressor, position, velocity, part[0])
            slope = GAMMA * h[:, :, None] * (np.eye(q.shape[1]) * _slope(estimate, velocity)[:, None])
            first = _solve(mass + slope, force)
            here, there = position + h * velocity, velocity + h * first
            far = ~(np.isfinite(there) & (np.abs(here) < reach)).all(1)
            here[far], there[far] = position[far], velocity[far]
            second = _solve(
                mass + slope, _times(mass, acceleration(estimate, regressor, here, there, part[1]) - 2 * first)
            )
            # The same for positions, whose matrix is zero: k1 = v, k2 = v + h k1 - 2 k1.
            position = position + h * (1.5 * velocity + 0.5 * (there - 2 * velocity))
            velocity = velocity + h * (1.5 * first + 0.5 * second)
            lost = ~(np.isfinite(velocity) & np.isfinite(position) & (np.abs(position) < reach)).all(1)
            alive &= ~lost
            position[lost], velocity[lost] = q[start][lost], 0.0
        alive &= (np.abs(position) < reach).all(1) & np.isfinite(velocity).all(1)
        # A piece that flew off stays where it is: its numbers are NaN in the answer and must not reach the others.
        position[~alive], velocity[~alive] = q[start][~alive], 0.0
        error[:, k + 1] = np.where(alive[:, None], position - q[now + 1], np.nan)
        moved[:, k + 1] = q[now + 1] - q[start]
    return MotionReplay(start, error, np.sqrt(np.square(moved).mean((0, 1))))


def _slope(estimate: Estimate, velocity: Float[np.ndarray, "batch nv"]) -> Float[np.ndarray, "batch nv"]:
    """How fast friction grows with velocity, N m s or N s; not below zero."""
    sides = (estimate.friction.columns(velocity + d, np.zeros_like(velocity)) for d in (NEAR, -NEAR))
    high, low = ((x * estimate.coefficients).sum(2) for x in sides)
    return np.maximum((high - low) / (2 * NEAR), 0.0)


def _solve(matrix: Float[np.ndarray, "batch nv nv"], right: Float[np.ndarray, "batch nv"]) -> np.ndarray:
    return np.asarray(np.linalg.solve(matrix, right[..., None])[..., 0])


def _times(matrix: Float[np.ndarray, "batch nv nv"], x: Float[np.ndarray, "batch nv"]) -> np.ndarray:
    return np.asarray((matrix @ x[..., None])[..., 0])
