"""Motion clips of dm_control's CMU humanoid (HDF5): one group per clip, arrays with time last.

Source: dm_control, locomotion/mocap (loader and mocap.proto): `dt` and `num_steps` of a clip, `walkers/walker_0` with
position (m), quaternion (scalar first), joints (rad) and bodies in world coordinates, z up; the root's linear velocity
in the world's frame, its angular velocity in its own. Names of the joints stand in the walker's model, not in the file.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np

from invdyn.episodes.dataset import Dataset
from invdyn.episodes.formats.foreign import MissingPolicy, complaint
from invdyn.episodes.formats.hdf5 import Hdf5File, decode
from invdyn.episodes.formats.motion_files import Recording, as_dataset, float_spec, masked
from invdyn.episodes.signal import Signal
from invdyn.errors import InvdynError

__all__ = ["matches", "open"]

AXES, TURN = ("x", "y", "z"), ("x", "y", "z", "w")
WALKER = {
    "position": ("observation.root.position", AXES, "m"),
    "quaternion": ("observation.root.rotation", TURN, ""),
    "velocity": ("observation.root.velocity", AXES, "m/s"),
    "angular_velocity": ("observation.root.angular_velocity", AXES, "rad/s"),
    "joints": ("observation.state", None, "rad"),
    "joints_velocity": ("observation.velocity", None, "rad/s"),
    "center_of_mass": ("observation.center_of_mass", AXES, "m"),
    "end_effectors": ("observation.end_effectors", None, "m"),
    "appendages": ("observation.appendages", None, "m"),
    "body_positions": ("observation.body_positions", None, "m"),
    "body_quaternions": ("observation.body_rotations", None, ""),
}
"""Arrays of a walker: signal, names of components, unit. Quaternions become xyzw."""
PROP = ("position", "quaternion", "velocity", "angular_velocity")
LARGEST = 2**28
REMEDY = "Copy or download the file again."


def matches(path: Path | str) -> bool:
    """Whether this is an HDF5 file whose groups are clips (`dt`, `num_steps`, `walkers`)."""

    def clips(root: Any) -> bool:
        first = next(iter(root), None)
        found: Any = root.get(first) if first is not None else None
        return hasattr(found, "keys") and {"dt", "num_steps"} <= set(found.attrs) and "walkers" in found

    return Path(path).suffix in (".h5", ".hdf5") and Hdf5File.looks_like(Path(path), clips)


def open(  # noqa: A001 - every format module has `open`
    path: Path | str, *, nan: MissingPolicy = "refuse", task: str = ""
) -> Dataset:
    """Open a file of clips, one episode each, in natural order of their names.

    Signals of the first walker are in `WALKER`; those of a prop k are `observation.prop_<k>.position` and so on. All
    rotations are quaternions xyzw. The metadata hold the clip's name and the walker's.

    Args:
        path: the file.
        nan: `refuse`, or `mask` to read steps with a NaN as missing.
        task: what was asked, in words, of every episode.

    Raises:
        FormatError: a damaged file, a clip without a time step, or arrays of another length than the clip.
    """
    path = Path(path)
    try:
        return _clips(path, nan, task)
    except InvdynError:
        raise
    except (OSError, RuntimeError, KeyError, ValueError, TypeError) as error:  # what h5py meets in damaged files
        reason = " ".join(str(error).split())[:200]
        raise complaint(path, f"cannot be read as HDF5 ({reason})", expected="a whole file", remedy=REMEDY) from None


def _clips(path: Path, nan: MissingPolicy, task: str) -> Dataset:
    file = Hdf5File(path)

    def natural(name: str) -> list[tuple[int, int | str]]:
        return [(0, int(p)) if p.isdecimal() else (1, p) for p in re.split(r"(\d+)", name) if p]

    recordings, fps = [], 0.0
    for clip in sorted(file.root, key=natural):
        group = file.group(clip)
        told = [np.asarray(group.attrs.get(key, np.nan)).reshape(-1) for key in ("dt", "num_steps")]
        if any(v.size != 1 or v.dtype.kind not in "iuf" for v in told) or not 1e-6 < float(told[0][0]) < 1e6:
            raise complaint(path, f"clip {clip!r} has no dt and num_steps", expected="seconds and steps", remedy=REMEDY)
        dt, steps = float(told[0][0]), float(told[1][0])
        signals, walker = _signals(file, clip, steps, nan)
        fps = fps or round(1 / dt, 6)
        clock = np.arange(len(signals[0])) * dt
        recordings.append(Recording(path, signals, clock, {"clip": clip, "walker": walker}))
    if not recordings:
        raise complaint(path, "no clip", expected="at least one", remedy=REMEDY)
    return as_dataset(path, recordings, fps, task)


def _signals(file: Hdf5File, clip: str, steps: float, nan: MissingPolicy) -> tuple[list[Signal], str]:
    base = f"{clip}/walkers/walker_0"
    walker = file.group(base)
    found = [
        _signal(file, f"{base}/{key}", signal, names, unit, steps, nan)
        for key, (signal, names, unit) in WALKER.items()
        if key in walker
    ]
    props = file.group(f"{clip}/props") if file.exists(f"{clip}/props") else ()
    for prop in sorted(props):
        for key in PROP:
            if file.exists(f"{clip}/props/{prop}/{key}"):
                _, names, unit = WALKER[key]
                name = f"observation.{prop}.{'rotation' if key == 'quaternion' else key}"
                found.append(_signal(file, f"{clip}/props/{prop}/{key}", name, names, unit, steps, nan))
    if not found:
        raise complaint(file.path, f"clip {clip!r} has no arrays", expected="at least joints", remedy=REMEDY)
    return found, str(decode(walker.attrs.get("name", "")))


def _signal(
    file: Hdf5File, at: str, name: str, names: tuple[str, ...] | None, unit: str, steps: float, nan: MissingPolicy
) -> Signal:
    data = file.dataset(at)
    size = data.shape[0] if len(data.shape) == 2 else 0
    wide = len(names) if names else size
    turns = at.endswith(("quaternion", "quaternions"))
    if (
        data.dtype.kind not in "iuf"
        or len(data.shape) != 2
        or size != wide
        or not size
        or data.shape[1] != steps
        or data.size * 8 > LARGEST
        or (turns and size % 4)
    ):
        raise complaint(
            file.path,
            f"{at} is {data.dtype} of shape {data.shape}",
            expected=f"numbers of shape ({wide or 'components'}, {steps:g})",
            remedy=REMEDY,
        )
    values = np.ascontiguousarray(file.values(data, 0, size).T, np.float64)
    if turns:
        values = np.ascontiguousarray(values.reshape(len(values), -1, 4)[:, :, [1, 2, 3, 0]].reshape(len(values), -1))
    if np.isinf(values).any():
        raise complaint(file.path, f"{at} holds infinity", expected="finite numbers", remedy=REMEDY)
    return masked(float_spec(file.path, name, names, unit=unit, size=size), values, file.path, nan)
