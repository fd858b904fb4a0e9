"""DeepMimic motion clips: JSON with one list of numbers per frame (duration, root position and quaternion, joints).

Source: Peng et al. 2018 (DeepMimic), repository xbpeng/DeepMimic, "Motion format". Quaternions have their scalar first
in the file and last here. How the joints' numbers are divided stands in the character's file only.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64

from invdyn.episodes.dataset import Dataset
from invdyn.episodes.formats.foreign import complaint
from invdyn.episodes.formats.motion_files import Recording, as_dataset, float_spec, masked, read_text, steady_rate

log = logging.getLogger(__name__)

__all__ = ["matches", "open", "read_character", "read_clip"]

WIDTHS = {"none": 0, "fixed": 0, "revolute": 1, "prismatic": 1, "planar": 3, "spherical": 4}
ROOT = 8
"""Numbers before those of the joints: duration, position (3), quaternion (4)."""
LARGEST = 2**26
"""Bytes of a clip; those of seconds have some 100 kB."""
SHORTEST, OFF = 0.1, 0.01
"""Length of a quaternion that tells no rotation any more, and how far from 1 is worth a word."""
REMEDY = "Export the clip again, or repair it."


def matches(path: Path | str) -> bool:
    """Whether this is a clip: a text file that begins as a JSON object and names `Frames` in its first 64 kB."""
    try:
        with Path(path).open("rb") as stream:
            start = stream.read(2**16)
    except OSError:
        return False
    return start.lstrip()[:1] == b"{" and b'"Frames"' in start


def _object(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(read_text(path, LARGEST))
    except (ValueError, RecursionError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else str(error)[:80]
        raise complaint(path, f"no JSON ({reason})", expected="a DeepMimic file", remedy=REMEDY) from None
    if not isinstance(found, dict):
        raise complaint(path, "no JSON object", expected="a DeepMimic file", remedy=REMEDY)
    return found


def read_clip(path: Path | str) -> tuple[Float64[np.ndarray, "time numbers"], Mapping[str, Any]]:
    """The frames as they stand in the file, and what else it says (`Loop`, ...).

    Raises:
        FormatError: no JSON, frames that are empty, of different lengths, or hold anything but finite numbers.
    """
    path = Path(path)
    told = _object(path)
    frames = told.get("Frames")
    if not isinstance(frames, list) or not frames or not all(isinstance(f, list) for f in frames):
        raise complaint(path, "no list of lists named Frames", expected="at least one frame", remedy=REMEDY)
    width = len(frames[0])
    for k, frame in enumerate(frames):
        if len(frame) != width or width <= ROOT:
            raise complaint(
                path,
                f"frame {k} has {len(frame)} numbers",
                expected=f"{max(width, ROOT + 1)}: duration, root position and quaternion, joints",
                remedy=REMEDY,
            )
        if not all(isinstance(v, (int, float)) and not isinstance(v, bool) and abs(v) < 1e300 for v in frame):
            raise complaint(path, f"frame {k} holds more than numbers", expected="finite numbers", remedy=REMEDY)
    rest = {k: v for k, v in told.items() if k != "Frames" and isinstance(v, (str, int, float, bool))}
    return np.array(frames, np.float64), rest


def read_character(path: Path | str) -> list[tuple[str, str]]:
    """Name and type of every joint of a character file, root first.

    Raises:
        FormatError: no `Skeleton`, or a type of joint we do not know.
    """
    path = Path(path)
    skeleton = _object(path).get("Skeleton")
    joints = skeleton.get("Joints") if isinstance(skeleton, dict) else None
    if not isinstance(joints, list) or not joints or not all(isinstance(j, dict) for j in joints):
        raise complaint(path, "no Skeleton with Joints", expected="a DeepMimic character file", remedy=REMEDY)
    found = [(str(j.get("Name")), str(j.get("Type"))) for j in joints]
    for name, kind in found:
        if kind not in WIDTHS:
            raise complaint(
                path,
                f"joint {name[:40]!r} of type {kind[:40]!r}",
                expected=f"one of {', '.join(WIDTHS)}",
                remedy=REMEDY,
            )
    return found


def open(  # noqa: A001 - every format module has `open`
    path: Path | str, *, character: Path | str | None = None, task: str = ""
) -> Dataset:
    """Open a clip: `observation.root.position` (m), `observation.root.rotation` (quaternion xyzw), `observation.state`.

    Args:
        path: the file.
        character: the character's file, which divides the joints' numbers: then components are named
            `<joint>.x ... <joint>.w` (quaternions, xyzw) and `<joint>` (rad). Without it they stay as in the file,
            quaternions scalar first, without names. Quaternions that are told apart are made of length 1.
        task: what was asked, in words.

    Raises:
        FormatError: a broken clip, a frame that lasts no time before the last, or a character of another size.
    """
    path = Path(path)
    table, rest = read_clip(path)
    durations = table[:, 0]
    if (durations[:-1] <= 0).any():
        at = int(np.flatnonzero(durations[:-1] <= 0)[0])
        raise complaint(
            path, f"frame {at} lasts {durations[at]} s", expected="a duration above 0 before the last", remedy=REMEDY
        )
    with np.errstate(over="ignore"):
        clock = np.concatenate([[0.0], np.cumsum(durations[:-1])])
    names: list[str] | None = None
    joints, turn = table[:, ROOT:].copy(), table[:, [5, 6, 7, 4]]
    if character is not None:
        names, order = _layout(read_character(character), path, joints.shape[1])
        joints, turn = joints[:, order], _unit(turn, "the root", path)
        for at in (k for k, name in enumerate(names) if name.endswith(".w")):
            joints[:, at - 3 : at + 1] = _unit(joints[:, at - 3 : at + 1], names[at].removesuffix(".w"), path)
    names_of_quaternion = ("x", "y", "z", "w")
    signals = [
        masked(float_spec(path, "observation.root.position", ("x", "y", "z"), unit="m"), table[:, 1:4].copy(), path),
        masked(float_spec(path, "observation.root.rotation", names_of_quaternion), turn, path),
        masked(float_spec(path, "observation.state", names, size=joints.shape[1]), joints, path),
    ]
    return as_dataset(path, [Recording(path, signals, clock, rest)], steady_rate(clock, path), task)


def _unit(quaternions: Float64[np.ndarray, "time 4"], joint: str, path: Path) -> Float64[np.ndarray, "time 4"]:
    """Quaternions made as long as one, as DeepMimic does when it reads (cKinTree::PostProcessPose).

    The published clips were interpolated number by number: jump, cartwheel and kick hold some that are 1 to 42 % short.
    """
    lengths = np.linalg.norm(quaternions, axis=1)
    worst = int(np.abs(lengths - 1).argmax())
    if lengths.min() < SHORTEST:
        raise complaint(
            path,
            f"frame {lengths.argmin()}: quaternion of {joint} has length {lengths.min():.3g}",
            expected="1, or about",
            remedy=REMEDY,
        )
    if abs(lengths[worst] - 1) > OFF:
        log.warning(
            "%s: quaternions of %s are not of length 1 (%.3g at frame %d); they are made so.",
            path,
            joint,
            lengths[worst],
            worst,
        )
    return quaternions / lengths[:, None]


def _layout(joints: Sequence[tuple[str, str]], path: Path, width: int) -> tuple[list[str], list[int]]:
    """Names of the components, and where each stands in the file."""
    names: list[str] = []
    order: list[int] = []
    at = 0
    for name, kind in joints[1:]:
        size = WIDTHS[kind]
        if kind == "spherical":
            names += [f"{name}.{axis}" for axis in "xyzw"]
            order += [at + 1, at + 2, at + 3, at]
        else:
            names += [name] if size == 1 else [f"{name}.{axis}" for axis in "xyz"[:size]]
            order += list(range(at, at + size))
        at += size
    if at != width:
        raise complaint(
            path,
            f"{width} numbers for the joints of a frame",
            expected=f"{at} by the character's file",
            remedy="Pass the character of this clip.",
        )
    return names, order
