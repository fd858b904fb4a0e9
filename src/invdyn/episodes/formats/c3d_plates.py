"""Force plates of a C3D file: its FORCE_PLATFORM group and analog channels as `ForcePlate` and numbers in SI units."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64

from invdyn.episodes.formats.c3d_file import C3dFile
from invdyn.episodes.formats.force_plates import CHANNELS, ForcePlate
from invdyn.episodes.formats.foreign import complaint
from invdyn.episodes.formats.markers import LENGTHS
from invdyn.errors import SignalError

__all__ = ["read_plates"]

log = logging.getLogger(__name__)

FORCE_UNITS = {"N": 1.0, "": 1.0}
MOMENT_UNITS = {"NM": 1.0, "NMM": 1e3, "NCM": 1e2}
"""Per N m; spelt in capitals without dots, stars, dashes and blanks."""


def read_plates(
    file: C3dFile, path: Path, per_metre: float, units: Sequence[str]
) -> list[tuple[ForcePlate, Float64[np.ndarray, "samples plate_channel"]]]:
    """The plates with their channels in SI units.

    Args:
        file: the file.
        path: for messages.
        per_metre: units of its points in one metre.
        units: of every analog channel.

    Returns:
        Per plate: where it stands, and [samples, 6 or 8] N, N m and m (type 4: as its matrix takes them).

    Raises:
        FormatError: plates of another type than 1 to 4, without what they need, or with channels in other units.
    """

    def broken(found: str, expected: str) -> Exception:
        return complaint(
            path, found, expected=expected, remedy="Correct the file, or pass plates=False to read it without plates."
        )

    used = file.numbers("FORCE_PLATFORM", "USED").reshape(-1)
    number = int(used[0]) if used.size and np.isfinite(used[0]) else 0
    if number < 1:
        return []
    kinds = file.numbers("FORCE_PLATFORM", "TYPE").reshape(-1)
    corners, origins, channels, matrices = (
        file.numbers("FORCE_PLATFORM", name) for name in ("CORNERS", "ORIGIN", "CHANNEL", "CAL_MATRIX")
    )
    if (
        kinds.size < number
        or corners.shape[:2] != (3, 4)
        or corners.size < 12 * number
        or origins.shape[:1] != (3,)
        or origins.size < 3 * number
        or channels.ndim < 1
        or channels.size < max(1, channels.shape[0]) * number
    ):
        raise broken(
            f"{number} force plates with {kinds.size} types, corners {corners.shape}, origins {origins.shape}, "
            f"channels {channels.shape}",
            "one of each per plate",
        )
    corners, origins = corners.reshape(3, 4, -1, order="F"), origins.reshape(3, -1, order="F")
    channels = channels.reshape(channels.shape[0], -1, order="F")
    found = []
    for k in range(number):
        kind = int(kinds[k]) if np.isfinite(kinds[k]) else 0
        matrix = None
        if kind == 4:
            if matrices.shape[:2] != (6, 6) or matrices.size < 36 * (k + 1) or not np.isfinite(matrices).all():
                raise broken(
                    f"force plate {k + 1} of type 4 with CAL_MATRIX {matrices.shape}", "6 x 6 numbers per plate"
                )
            matrix = matrices.reshape(6, 6, -1, order="F")[:, :, k] / np.repeat([1.0, per_metre], 3)[:, None]
        try:
            plate = ForcePlate(kind, corners[:, :, k].T / per_metre, origins[:, k] / per_metre, matrix)
        except SignalError as error:
            raise broken(f"force plate {k + 1}: {str(error).rstrip('.')}", "a plate of type 1 to 4") from None
        at = channels[: CHANNELS[kind], k] - 1
        if not (
            np.isfinite(at).all() and len(at) == CHANNELS[kind] and ((at >= 0) & (at < file.analog.shape[1])).all()
        ):
            raise broken(
                f"force plate {k + 1} with channels {(at + 1).tolist()}", f"{CHANNELS[kind]} of the analog ones"
            )
        picked = at.astype(np.int64)
        values = file.analog[:, picked] - _baseline(file, picked)
        factors = np.array([_factor(kind, j, units[c], per_metre, broken) for j, c in enumerate(picked.tolist())])
        found.append((plate, values / factors))
        _report(plate, values / factors, k + 1, path)
    return found


def _report(plate: ForcePlate, channels: Float64[np.ndarray, "samples plate_channel"], number: int, path: Path) -> None:
    """Warn of what is read by convention although the file may mean it otherwise."""
    if plate.kind in (2, 4) and plate.origin[2] > 0:
        log.warning(
            "%s: ORIGIN of force plate %d has z above 0, so it runs from the surface to the transducer; turned round.",
            path,
            number,
        )
    normal = plate.wrench(channels)[0][:, 2]
    if normal.size and normal.max() > max(100.0, -2 * normal.min()):
        log.warning(
            "%s: force plate %d pulls its load down by up to %.0f N: the file seems to hold the force on the plate, "
            "not on the subject. No sign was changed; check it before using the forces.",
            path,
            number,
            normal.max(),
        )


def _factor(kind: int, position: int, unit: str, per_metre: float, broken: Any) -> float:
    """What a channel is divided by to be in N, N m or m. Without a unit: N, and N times the unit of the points."""
    if kind == 4:
        return 1.0  # the matrix takes volts
    told = unit.upper().translate(str.maketrans("", "", ".*- ·"))
    if kind == 3 or position < 3:
        if told in FORCE_UNITS:
            return FORCE_UNITS[told]
    elif kind == 1 and position < 5:
        if told.lower() in LENGTHS or not told:
            return LENGTHS.get(told.lower(), per_metre)
    elif told in MOMENT_UNITS or not told:
        return MOMENT_UNITS.get(told, per_metre)
    raise broken(f"a channel of a force plate of type {kind} in {unit[:20]!r}", "N, Nmm or Nm, or mm or m on type 1")


def _baseline(file: C3dFile, channels: Sequence[int] | np.ndarray) -> Float64[np.ndarray, " plate_channel"]:
    """Mean of the frames that FORCE_PLATFORM:ZERO names (first, last, from 1), zero where it names none."""
    zero = file.numbers("FORCE_PLATFORM", "ZERO").reshape(-1)
    if zero.size < 2 or not np.isfinite(zero).all() or not 1 <= zero[0] <= zero[1] <= len(file.points):
        return np.zeros(len(channels))
    rows = slice((int(zero[0]) - 1) * file.samples, int(zero[1]) * file.samples)
    return np.asarray(file.analog[rows][:, channels].mean(axis=0))
