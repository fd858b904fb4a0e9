"""Contacts of recorded motion: when they are closed, what they must have carried, where it acted, what is left over.

Arrays are numpy, time first; forces in N, moments in N m, lengths in m, time in s.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from jaxtyping import Bool, Float

from invdyn.bodies.contact_qp import contact_axes, solve_contact_qp
from invdyn.errors import ConfigError, SignalError

__all__ = [
    "ContactForces",
    "Pressure",
    "ResidualReport",
    "centre_of_pressure",
    "contact_forces",
    "detect_contacts",
    "loaded_contacts",
    "residual_report",
]

AXES = ("Fx", "Fy", "Fz", "Mx", "My", "Mz")


def detect_contacts(
    time: Float[np.ndarray, " time"],
    height: Float[np.ndarray, "heights k"],
    speed: Float[np.ndarray, "speeds k"],
    *,
    closes: tuple[float, float] = (0.03, 0.3),
    opens: tuple[float, float] = (0.05, 0.6),
    shortest: float = 0.03,
) -> Bool[np.ndarray, "time k"]:
    """Which points are in contact, from how high above the ground they are and how fast they move, with hysteresis.

    Args:
        time: [T] s.
        height: [T, k] m above the ground. speed: [T, k] m/s, length of the velocity.
        closes: height and speed, m and m/s: a contact closes when both are below (our choice, for feet).
        opens: height and speed: it opens when either is above.
        shortest: s; contacts, and then breaks between contacts, that last less are dropped.

    Raises:
        ConfigError: opening thresholds below closing ones.
        SignalError: NaN in height or speed; shapes that differ.
    """
    if height.shape != speed.shape or len(height) != len(time):
        raise SignalError(
            f"contacts: height {height.shape}, speed {speed.shape}, time {time.shape}; expected [T, k], [T, k] and [T]."
        )
    if opens[0] < closes[0] or opens[1] < closes[1]:
        raise ConfigError(
            f"contacts: opens={opens} lies below closes={closes}; a contact would close and open at once."
        )
    for name, given in (("height", height), ("speed", speed)):
        _refuse_missing(name, given)
    shut = (height < closes[0]) & (speed < closes[1])
    lost = (height > opens[0]) | (speed > opens[1])
    return _without_short(time, _latched(shut, lost), shortest)


def loaded_contacts(
    time: Float[np.ndarray, " time"],
    force: Float[np.ndarray, "rows k"],
    *,
    closes: float = 20.0,
    opens: float = 10.0,
    shortest: float = 0.03,
) -> Bool[np.ndarray, "time k"]:
    """Which contacts are closed, from their measured normal force, with hysteresis.

    Args:
        time: [T] s. force: [T, k] N along the normal, positive into the body.
        closes, opens: N; a contact closes above one and opens below the other (20 N is usual for force plates).
        shortest: s, as `detect_contacts`.

    Raises:
        ConfigError: `opens` above `closes`. SignalError: NaN; lengths that differ.
    """
    if len(force) != len(time):
        raise SignalError(f"contacts: {len(force)} forces for {len(time)} times. Give one row a time.")
    if opens > closes:
        raise ConfigError(f"contacts: opens={opens:g} N lies above closes={closes:g} N; expected at most that.")
    _refuse_missing("force", force)
    return _without_short(time, _latched(force > closes, force < opens), shortest)


def _refuse_missing(name: str, values: np.ndarray) -> None:
    bad = np.argwhere(np.isnan(values))
    if len(bad):
        raise SignalError(f"contacts: {name}{bad[0].tolist()} is missing. Bridge gaps first, e.g. with smooth().")


def _latched(shut: Bool[np.ndarray, "time k"], lost: Bool[np.ndarray, "time k"]) -> Bool[np.ndarray, "time k"]:
    """True from a True of `shut` to the next of `lost`; open before either."""
    rows = np.arange(len(shut))[:, None]
    last = np.maximum.accumulate(np.where(shut | lost, rows, -1), axis=0)
    return np.take_along_axis(shut, np.maximum(last, 0), axis=0) & (last >= 0)


def _without_short(
    time: Float[np.ndarray, " time"], closed: Bool[np.ndarray, "time k"], shortest: float
) -> Bool[np.ndarray, "time k"]:
    """Contacts, then breaks, shorter than `shortest` dropped; those cut off by an end of the recording stay."""
    found = closed.copy()
    for value in (True, False):
        for column in found.T:
            edges = np.flatnonzero(np.diff(column)) + 1
            for start, stop in pairwise(edges):
                if column[start] == value and time[stop] - time[start] < shortest:
                    column[start:stop] = not value
    return found


@dataclass(frozen=True)
class ContactForces:
    """Attributes:
    force: [T, k, 3] N, in the axes of the Jacobian; zero where the contact is open.
    torque: [T, nv] N m or N, what the joints do once contacts are taken into account; the base's six are `residual`.
    residual: [T, 6] the base's rows that no allowed force explains: force (N), moment (N m), in the base's axes.
    """

    force: Float[np.ndarray, "time k 3"]
    torque: Float[np.ndarray, "time nv"]
    residual: Float[np.ndarray, "time 6"]


def contact_forces(
    bare: Float[np.ndarray, "frames rows"],
    jacobian: Float[np.ndarray, "time k 3 nv"],
    normal: Float[np.ndarray, "*k 3"],
    friction: float | Float[np.ndarray, " k"] = 0.8,
    *,
    closed: Bool[np.ndarray, "time k"] | None = None,
    regularization: float = 1e-6,
    smoothness: float = 0.0,
) -> ContactForces:
    """Contact forces that were not measured, from motion: what the unactuated base needs, within the friction cones.

    tau = bare - J' f; the QP is that of `solve_contact_qp`, on the six rows of the base, which come first.

    Args:
        bare: [T, nv] inverse dynamics without contacts.
        jacobian: [T, k, 3, nv] of the contact points' velocities, in any axes (usually the world's).
        normal: [3] or [k, 3], into the body, in the Jacobian's axes.
        friction: mu, of all contacts or each.
        closed: [T, k]; None: always.
        regularization, smoothness: eps and rho of the QP.

    Raises:
        SignalError: fewer than six rows, lengths that differ, a normal of length zero, and as `solve_contact_qp`.
        ConfigError: as `solve_contact_qp`.
    """
    frames, contacts, _, nv = jacobian.shape
    if bare.shape != (frames, nv) or nv < 6:
        raise SignalError(
            f"contacts: inverse dynamics {bare.shape} beside a Jacobian {jacobian.shape}; expected [T, nv] and "
            "[T, k, 3, nv] with nv at least 6, the base's rows first."
        )
    normals = np.broadcast_to(normal, (contacts, 3))
    if (np.linalg.norm(normals, axis=1) == 0).any():
        raise SignalError("contacts: a normal has length zero. Give directions, e.g. [0, 0, 1].")
    axes = contact_axes(torch.tensor(normals, dtype=torch.float64)).numpy()
    matrix = np.einsum("tkwi,kwc->tikc", jacobian[..., :6], axes)
    found = solve_contact_qp(
        torch.from_numpy(np.ascontiguousarray(matrix)),
        torch.from_numpy(np.ascontiguousarray(bare[:, :6])),
        torch.as_tensor(friction, dtype=torch.float64).expand(contacts),
        contact=None if closed is None else torch.from_numpy(closed),
        regularization=regularization,
        smoothness=smoothness,
    )
    force = np.einsum("kwc,tkc->tkw", axes, found.force.numpy())
    return ContactForces(force, bare - np.einsum("tkwi,tkw->ti", jacobian, force), found.residual.numpy())


@dataclass(frozen=True)
class Pressure:
    """Attributes:
    point: [T, 3] m, where on the plane the force acts without a tangential moment; NaN without enough force.
    free_moment: [T] N m about the normal at that point; NaN without enough force.
    """

    point: Float[np.ndarray, "time 3"]
    free_moment: Float[np.ndarray, " time"]


def centre_of_pressure(
    wrench: Float[np.ndarray, "time 6"],
    *,
    origin: Float[np.ndarray, " 3"] | None = None,
    normal: Float[np.ndarray, " 3"] | None = None,
    least: float = 10.0,
) -> Pressure:
    """Centre of pressure and free moment on a plane: r = n x M / (n F), T = n (M - r x F), M about the plane's origin.

    Args:
        wrench: [T, 6] force (N) and moment about the coordinate origin (N m), on the body.
        origin: a point of the plane, m; None: the coordinate origin.
        normal: of the plane, any length; None: z.
        least: N of normal force below which there is no answer (our choice; the point is noise over force).

    Raises:
        SignalError: a normal of length zero.
    """
    n = np.array([0.0, 0.0, 1.0]) if normal is None else np.asarray(normal, dtype=float)
    start = np.zeros(3) if origin is None else np.asarray(origin, dtype=float)
    if np.linalg.norm(n) == 0:
        raise SignalError("centre of pressure: the normal has length zero. Give a direction, e.g. [0, 0, 1].")
    n = n / np.linalg.norm(n)
    force = wrench[:, :3]
    moment = wrench[:, 3:] - np.cross(start, force)
    up = force @ n
    pressed = np.where(up >= least, up, np.nan)
    lever = np.cross(n, moment) / pressed[:, None]
    return Pressure(start + lever, (moment - np.cross(lever, force)) @ n)


@dataclass(frozen=True)
class ResidualReport:
    """What the root needed and nothing provided: forces (N) and moments (N m) of the six axes `names`.

    Attributes:
        names: Fx .. Mz. rms, peak: [6] over time (peak: greatest magnitude).
        rms_percent, peak_percent: [6] of body weight; moments of body weight times `length`.
        length: m.
    """

    names: tuple[str, ...]
    rms: Float[np.ndarray, " 6"]
    peak: Float[np.ndarray, " 6"]
    rms_percent: Float[np.ndarray, " 6"]
    peak_percent: Float[np.ndarray, " 6"]
    length: float

    def __str__(self) -> str:
        lines = ["axis        RMS       peak   RMS % BW  peak % BW"]
        rows = zip(self.names, self.rms, self.peak, self.rms_percent, self.peak_percent)
        return "\n".join(lines + [f"{name:4} {a:10.3f} {b:10.3f} {c:10.3f} {d:10.3f}" for name, a, b, c, d in rows])


def residual_report(root_wrench: Float[np.ndarray, "time 6"], weight: float, *, length: float = 1.0) -> ResidualReport:
    """Residual forces at the root as the field reports them.

    A rule of thumb for human movement (Hicks et al., J. Biomech. Eng. 137, 2015): peak forces below 5 % of the external
    force, peak moments below 1 % of that force times the height of the centre of mass (give it as `length`).

    Args:
        root_wrench: [T, 6] N, N m.
        weight: N, mass times gravity.
        length: m, by which moments are divided too.

    Raises:
        SignalError: no frame, or NaN. ConfigError: weight or length not positive.
    """
    if not weight > 0 or not length > 0:
        raise ConfigError(f"residuals: weight={weight:g} N, length={length:g} m; expected positive numbers.")
    if not len(root_wrench) or np.isnan(root_wrench).any():
        raise SignalError(f"residuals: {len(root_wrench)} frames, some missing or none. Leave missing frames out.")
    rms, peak = np.sqrt((root_wrench**2).mean(0)), np.abs(root_wrench).max(0)
    unit = 100.0 / (weight * np.array([1.0, 1.0, 1.0, length, length, length]))
    return ResidualReport(AXES, rms, peak, rms * unit, peak * unit, length)
