"""Force plates: channels to ground force, moment, free moment and centre of pressure in the laboratory frame.

Types 1 to 4 of the C3D user guide (c3d.org, "The FORCE_PLATFORM group"). A plate's frame has its origin in the centre
of the working surface, x from corner 2 to corner 1, z = x cross (corner 4 to corner 1), which points into the floor.
Channels hold the reaction, the force *on the subject*, in that frame: standing gives a negative z.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from invdyn.errors import SignalError

__all__ = ["CHANNELS", "ForcePlate", "PlateLoad"]

CHANNELS = {1: 6, 2: 6, 3: 8, 4: 6}
"""Channels by type: 1 Fx Fy Fz and centre of pressure x y and Tz; 2 Fx Fy Fz Mx My Mz; 3 Fx12 Fx34 Fy14 Fy23 Fz1 to
Fz4; 4 as 2, times the calibration matrix."""


@dataclass(frozen=True)
class PlateLoad:
    """What a plate measured, in the laboratory frame.

    Args:
        force: [time, 3] N on the subject.
        moment: [time, 3] N m on the subject about the origin of the laboratory.
        free_moment: [time, 3] N m about the centre of pressure (along the plate's normal); NaN where it has none.
        cop: [time, 3] m centre of pressure on the surface; NaN where the plate carries less than the threshold.
    """

    force: Float64[np.ndarray, "time 3"]
    moment: Float64[np.ndarray, "time 3"]
    free_moment: Float64[np.ndarray, "time 3"]
    cop: Float64[np.ndarray, "time 3"]


@dataclass(frozen=True)
class ForcePlate:
    """One force plate.

    Args:
        kind: type 1, 2, 3 or 4 of the C3D format.
        corners: [4, 3] m in the laboratory, corner 1 in the quadrant +x +y of the plate, then around.
        origin: [3] m. Types 2 and 4: from the transducer's origin to the centre of the surface, in the plate's frame.
            The surface lies above the transducer, so z is negative; some programs store the opposite vector, which is
            turned round. Type 3: distances a and b of the sensors from the axes, and the height of the
            surface, turned likewise. Type 1: not used, as the channels are on the surface.
        calibration: [6, 6] of type 4: (N, N m) = calibration @ channels.

    Raises:
        SignalError: an unknown type, corners that span no plane, type 4 without a matrix.
    """

    kind: int
    corners: Float64[np.ndarray, "4 3"]
    origin: Float64[np.ndarray, "3"]
    calibration: Float64[np.ndarray, "6 6"] | None = None

    def __post_init__(self) -> None:
        if self.kind not in CHANNELS:
            raise SignalError(
                f"force plate of type {self.kind}; expected one of {', '.join(map(str, CHANNELS))}. "
                "Convert the recording with its maker's program, or read the analog channels alone."
            )
        if self.kind == 4 and self.calibration is None:
            raise SignalError("force plate of type 4 without CAL_MATRIX; expected 6 x 6 numbers. Add it to the file.")
        x, y = self.corners[0] - self.corners[1], self.corners[0] - self.corners[3]
        if not (
            np.isfinite(self.corners).all()
            and np.isfinite(self.origin).all()
            and np.linalg.norm(np.cross(x, y)) > 1e-6 * np.linalg.norm(x) * np.linalg.norm(y) > 0
        ):
            raise SignalError(
                f"force plate with corners {self.corners.tolist()}; expected four corners of a rectangle. "
                "Correct FORCE_PLATFORM:CORNERS, or read the analog channels alone."
            )

    @property
    def axes(self) -> Float64[np.ndarray, "3 3"]:
        """Rotation from the plate's frame to the laboratory (columns x, y, z)."""
        x = self.corners[0] - self.corners[1]
        z = np.cross(x, self.corners[0] - self.corners[3])
        x, z = x / np.linalg.norm(x), z / np.linalg.norm(z)
        return np.stack([x, np.cross(z, x), z], axis=1)

    @property
    def centre(self) -> Float64[np.ndarray, "3"]:
        """[3] m, the centre of the surface in the laboratory."""
        return np.asarray(self.corners.mean(axis=0))

    def _surface(self) -> Float64[np.ndarray, "3"]:
        """From the transducer's origin to the centre of the surface, m in the plate's frame, z negative."""
        origin = np.array([0.0, 0.0, self.origin[2]]) if self.kind == 3 else self.origin
        turned = -np.abs(origin) if self.kind == 3 else np.where(origin[2] > 0, -origin, origin)
        return np.asarray(turned, np.float64)

    def wrench(
        self, channels: Float64[np.ndarray, "time channel"]
    ) -> tuple[Float64[np.ndarray, "time 3"], Float64[np.ndarray, "time 3"]]:
        """Force N and moment N m about the centre of the surface, in the plate's frame.

        Args:
            channels: [time, 6 or 8] in N, N m and m, by type (see `CHANNELS`); type 4 as the matrix expects them.

        Raises:
            SignalError: another number of channels.
        """
        if channels.shape[1] != CHANNELS[self.kind]:
            raise SignalError(
                f"force plate of type {self.kind} with {channels.shape[1]} channels; expected {CHANNELS[self.kind]}. "
                "Correct FORCE_PLATFORM:CHANNEL."
            )
        if self.kind == 1:
            force, (px, py, tz) = channels[:, :3], channels[:, 3:].T
            fx, fy, fz = force.T
            return force, np.stack([py * fz, -px * fz, tz + px * fy - py * fx], axis=1)
        if self.kind == 3:
            x12, x34, y14, y23, z1, z2, z3, z4 = channels.T
            a, b = self.origin[0], self.origin[1]
            force = np.stack([x12 + x34, y14 + y23, z1 + z2 + z3 + z4], axis=1)
            moment = np.stack(
                [b * (z1 + z2 - z3 - z4), a * (-z1 + z2 + z3 - z4), b * (-x12 + x34) + a * (y14 - y23)], axis=1
            )
        else:
            table = channels if self.calibration is None else channels @ self.calibration.T
            force, moment = table[:, :3], table[:, 3:]
        return force, moment - np.cross(self._surface(), force)

    def load(self, channels: Float64[np.ndarray, "time channel"], threshold: float = 20.0) -> PlateLoad:
        """Force, moments and centre of pressure in the laboratory.

        On the surface (z = 0) the centre of pressure is where the horizontal moments vanish:
        x = -My / Fz, y = Mx / Fz; what remains, Tz = Mz - x Fy + y Fx, is the free moment.

        Args:
            channels: see `wrench`.
            threshold: N of normal force from which on there is a centre of pressure (our choice; 10 to 50 in use).
        """
        force, moment = self.wrench(channels)
        fx, fy, fz = force.T
        loaded = np.abs(fz) >= max(threshold, np.finfo(np.float64).tiny)
        divisor = np.where(loaded, fz, np.nan)
        x, y = -moment[:, 1] / divisor, moment[:, 0] / divisor
        nothing = np.zeros_like(x)
        free = np.stack([nothing, nothing, moment[:, 2] - x * fy + y * fx], axis=1)
        free[~loaded] = np.nan
        axes = self.axes
        lab_force = force @ axes.T
        return PlateLoad(
            lab_force,
            moment @ axes.T + np.cross(self.centre, lab_force),
            free @ axes.T,
            np.stack([x, y, nothing], axis=1) @ axes.T + self.centre,
        )
