"""Orientations and free bodies: smoothing on the manifold of rotations.

Quaternions are xyzw and turn body into parent; rates are in body axes. A smooth path R_k through measurements M_k is
sought whose increments log(R_k^T R_k+1), summed, are smooth. From a first guess (R = M) the linear smoother is given
z_k = sum of R's increments + log(R_k^T M_k), and R is moved by what it answers; three rounds suffice (each leaves what
the last correction does not commute with).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from invdyn.episodes.smooth_result import Smoothed, check_clock, check_values
from invdyn.episodes.smooth_rts import smooth_white
from invdyn.errors import SignalError

__all__ = ["SmoothedFree", "SmoothedRotation", "smooth_free", "smooth_rotation"]

ROUNDS = 3


@dataclass(frozen=True)
class SmoothedRotation:
    """Attributes:
    time: [T] s.
    orientation: [T, 4] unit quaternions xyzw, body to parent, without jumps of sign.
    omega: [T, 3] rad/s, body axes. alpha: [T, 3] rad/s^2, body axes (d omega / dt).
    noise_std: rad, of each component of the measured rotation.
    cutoff: Hz, half power. order: which derivative was taken for white noise.
    covariance: [T, 3, 3, 3] per body axis, of (rotation, rate, acceleration) in rad, rad/s, rad/s^2.
    """

    time: Float[np.ndarray, " steps"]
    orientation: Float[np.ndarray, "steps 4"]
    omega: Float[np.ndarray, "steps 3"]
    alpha: Float[np.ndarray, "steps 3"]
    noise_std: float
    cutoff: float
    order: int
    covariance: Float[np.ndarray, "steps 3 3 3"]


@dataclass(frozen=True)
class SmoothedFree:
    """A free joint's coordinates and their rates.

    Attributes:
        time: [T] s.
        q: [T, 7] position of the body's origin in the parent (m), quaternion xyzw.
        v: [T, 6] linear velocity of that origin and angular velocity, both in body axes (m/s, rad/s).
        a: [T, 6] dv/dt, the plain derivative of the six numbers: what `Dynamics.rnea` and Pinocchio take.
        covariance: [T, 6, 3, 3] per component in body axes, of (displacement, rate, acceleration), first order: what
            the uncertain orientation does to the linear components is left out.
        translation, rotation: how each half was smoothed.
    """

    time: Float[np.ndarray, " steps"]
    q: Float[np.ndarray, "steps 7"]
    v: Float[np.ndarray, "steps 6"]
    a: Float[np.ndarray, "steps 6"]
    covariance: Float[np.ndarray, "steps 6 3 3"]
    translation: Smoothed
    rotation: SmoothedRotation


def _check_quaternions(time: Float[np.ndarray, " steps"], quaternions: Float[np.ndarray, "rows 4"]) -> np.ndarray:
    """Which samples are there; SignalError for lengths other than one."""
    check_clock(time)
    check_values(time, quaternions, "quaternion")
    there = ~np.isnan(quaternions).any(1)
    lengths = np.linalg.norm(quaternions[there], axis=1)
    off = np.flatnonzero(np.abs(lengths - 1) > 1e-2)
    if len(off):
        row = int(np.flatnonzero(there)[off[0]])
        raise SignalError(
            f"smooth: quaternion[{row}] has length {lengths[off[0]]:.4g}; expected 1. Are these xyzw quaternions?"
        )
    if there.sum() < 2:
        raise SignalError(f"smooth: {int(there.sum())} quaternions are not missing. Give a longer recording.")
    return there


def _bridge(measured: Rotation, there: np.ndarray, time: np.ndarray) -> Rotation:
    """One rotation a sample: measured ones, and turning evenly (at the ends: resting) where there is none."""
    at = np.flatnonzero(there)
    before = np.clip(np.searchsorted(at, np.arange(len(time)), side="right") - 1, 0, len(at) - 2)
    share = (time - time[at[before]]) / (time[at[before + 1]] - time[at[before]])
    turn = (measured[before].inv() * measured[before + 1]).as_rotvec()
    return measured[before] * Rotation.from_rotvec(turn * np.clip(share, 0, 1)[:, None])


def smooth_rotation(
    time: Float[np.ndarray, " steps"], quaternions: Float[np.ndarray, "rows 4"], **settings: Any
) -> SmoothedRotation:
    """Orientation, angular velocity and angular acceleration of recorded quaternions.

    Args:
        time: [T] s, strictly increasing.
        quaternions: [T, 4] xyzw, body to parent, of length one; either sign; rows with NaN are missing. Turns between
            neighbouring measurements must stay below half a revolution.
        settings: of `smooth_white` (order, cutoff, noise_std, density).

    Raises:
        SignalError: a bad clock, quaternions whose length is not one.
    """
    there = _check_quaternions(time, quaternions)
    measured = Rotation.from_quat(quaternions[there])
    path = _bridge(measured, there, time)
    given = np.full((len(time), 3), np.nan)
    for _ in range(ROUNDS):
        increments = (path[:-1].inv() * path[1:]).as_rotvec()
        turned = np.concatenate([np.zeros((1, 3)), np.cumsum(increments, axis=0)])
        given[there] = turned[there] + (path[there].inv() * measured).as_rotvec()
        smooth = smooth_white(time, given, tied=True, **settings)
        path = path * Rotation.from_rotvec(smooth.position - turned)
    assert smooth.covariance is not None
    assert smooth.noise_std is not None
    assert smooth.order is not None
    omega, alpha = _rates(time, smooth)
    quaternion = path.as_quat()
    flips = np.concatenate([[1.0], np.sign((quaternion[1:] * quaternion[:-1]).sum(1))])
    quaternion *= np.cumprod(np.where(flips < 0, -1.0, 1.0))[:, None]
    noise_std, cutoff, order = float(smooth.noise_std[0]), float(smooth.cutoff[0]), int(smooth.order[0])
    return SmoothedRotation(time, quaternion, omega, alpha, noise_std, cutoff, order, smooth.covariance)


def _rates(
    time: Float[np.ndarray, " steps"], smooth: Smoothed
) -> tuple[Float[np.ndarray, "steps 3"], Float[np.ndarray, "steps 3"]]:
    """Body rates from the derivatives of the summed increments.

    The logarithm of the turn over a step h is h w + h^3/12 w x w' + ... (Magnus), so the sum grows by
    w + h^2/12 w x w' a second; what is left after taking that off is of fourth order in h.
    """
    step = np.gradient(time)[:, None]
    excess = step**2 / 12 * np.cross(smooth.velocity, smooth.acceleration)
    return smooth.velocity - excess, smooth.acceleration - np.gradient(excess, time, axis=0)


def smooth_free(
    time: Float[np.ndarray, " steps"],
    position: Float[np.ndarray, "rows 3"],
    quaternions: Float[np.ndarray, "rows 4"],
    *,
    translation: dict[str, Any] | None = None,
    rotation: dict[str, Any] | None = None,
) -> SmoothedFree:
    """Coordinates, velocities and accelerations of a free body, in the layout of a free joint.

    With R body to parent, p the origin: v = R^T p', a = R^T p'' - w x v.

    Args:
        time: [T] s.
        position: [T, 3] m in the parent; NaN where missing.
        quaternions: [T, 4] xyzw.
        translation, rotation: settings of `smooth_white` for either half.

    Raises:
        SignalError: as `smooth_white` and `smooth_rotation`.
    """
    turned = smooth_rotation(time, quaternions, **(rotation or {}))
    moved = smooth_white(time, position, tied=True, **(translation or {}))
    assert moved.covariance is not None
    to_body = Rotation.from_quat(turned.orientation).inv()
    linear = to_body.apply(moved.velocity)
    pushed = to_body.apply(moved.acceleration) - np.cross(turned.omega, linear)
    return SmoothedFree(
        time,
        np.concatenate([moved.position, turned.orientation], axis=1),
        np.concatenate([linear, turned.omega], axis=1),
        np.concatenate([pushed, turned.alpha], axis=1),
        np.concatenate([moved.covariance, turned.covariance], axis=1),
        moved,
        turned,
    )
