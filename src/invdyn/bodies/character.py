"""Characters of DeepMimic: the skeleton, shapes and masses of a character file as a `BodyModel`, clips as positions.

A shape's matter is spread evenly in it: spheres of diameter `Param0`, capsules of diameter `Param0` whose caps' centres
lie `Param1` apart along y, boxes of full widths `Param0..2`. The world's y points up.

Source: Peng et al. 2018 (DeepMimic), repository xbpeng/DeepMimic, KinTree.cpp (joints, frames, angles) and
SimCharacter.cpp (shapes).
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Float64
from scipy.spatial.transform import Rotation

from invdyn.bodies.merging import WORLD, Assembly
from invdyn.bodies.model import NQ, NV, BodyModel, Coordinate, Inertia, Joint, Placement, Site
from invdyn.episodes.episode import Episode
from invdyn.episodes.formats.foreign import complaint
from invdyn.episodes.formats.motion_files import read_text
from invdyn.errors import FormatError, SignalError

__all__ = ["clip_positions", "read_character", "solid_box", "solid_capsule", "solid_sphere"]

GRAVITY = (0.0, -9.8, 0.0)
"""m/s^2; World.cpp of DeepMimic."""
KINDS: Mapping[str, Literal["revolute", "prismatic", "spherical", "free"]] = {
    "revolute": "revolute",
    "prismatic": "prismatic",
    "spherical": "spherical",
    "none": "free",
}
AXES = {"revolute": (0.0, 0.0, 1.0), "prismatic": (1.0, 0.0, 0.0)}
LARGEST = 2**24
"""Bytes of a character file."""
MOST = 1000
"""Joints."""
REMEDY = "Correct the character file."


def read_character(path: Path | str) -> BodyModel:
    """The model of a character file.

    Bodies are called like the joints that carry them; those on fixed joints are merged with their parents and stay as
    sites. Boxes (feet) get contact sites `<body>.sole0..3` at their lower corners.

    Raises:
        FormatError: no character file, joints that do not form one tree under the first, a joint or shape we do not
            know, numbers that cannot be.
    """
    path = Path(path)
    joints, shapes = _parts(path)
    tree, nq = Assembly(), 0
    coordinates: list[Coordinate] = []
    soles: list[Site] = []
    names = _names(path, joints)
    for k, (told, shape) in enumerate(zip(joints, shapes)):
        name, kind = names[k], str(told.get("Type"))
        parent = _number(path, name, told, "Parent")
        if (k == 0) != (kind == "none") or not parent.is_integer() or not (-1 if k == 0 else 0) <= parent < max(k, 1):
            raise _wrong(
                path, name, f"type {kind[:40]!r} and parent {parent:g}", "one root of type 'none', parents first"
            )
        at = Placement.of(_turned(path, name, told), [_number(path, name, told, f"Attach{x}") for x in "XYZ"])
        above = names[int(parent)] if k else WORLD
        inertia, corners = _matter(path, name, shape)
        if kind == "fixed":
            tree.weld(name, above, at, inertia)
        elif kind in KINDS:
            joint = Joint(name, KINDS[kind], AXES.get(kind, (0.0, 0.0, 1.0)), nq, len(coordinates))
            tree.move(name, above, at, joint, inertia)
            nq += NQ[joint.kind]
            coordinates += _coordinates(path, joint, told)
        else:
            raise _wrong(path, name, f"type {kind[:40]!r}", f"one of {', '.join([*KINDS, 'fixed'])}")
        body, offset = tree.at[name]
        for i, corner in enumerate(corners):
            soles.append(Site(f"{name}.sole{i}", body, offset.then(Placement.of(translation=corner)), "contact"))
    return BodyModel(
        path.stem, tuple(tree.bodies), tuple(coordinates), nq, GRAVITY, (*tree.sites, *soles), source=str(path)
    )


def clip_positions(model: BodyModel, episode: Episode) -> Float64[np.ndarray, "time nq"]:
    """Positions of a character from a clip opened by `formats.deepmimic.open(..., character=)`.

    Quaternions are of length one and continuous along time.

    Raises:
        SignalError: a clip of another character, or opened without one.
    """
    state = episode["observation.state"]
    wanted = []
    for body in model.bodies[1:]:
        single = NQ[body.joint.kind] == 1
        wanted += [body.joint.name] if single else [f"{body.joint.name}.{x}" for x in "xyzw"]
    if list(state.spec.names or ()) != wanted:
        raise SignalError(
            f"clip: its {state.values.shape[1]} joint numbers are not those of character {model.name!r} "
            f"({len(wanted)}, from {wanted[0]!r} on). Open the clip with character= and the same character's file."
        )
    parts = [episode[f"observation.root.{x}"].values for x in ("position", "rotation")] + [state.values]
    q = np.concatenate(parts, axis=1).astype(np.float64)
    for body in model.bodies:
        if NQ[body.joint.kind] >= 4:
            at = slice(body.joint.q + NQ[body.joint.kind] - 4, body.joint.q + NQ[body.joint.kind])
            q[:, at] /= np.linalg.norm(q[:, at], axis=1, keepdims=True)
            turned = np.cumprod(np.where((q[1:, at] * q[:-1, at]).sum(1) < 0, -1.0, 1.0))
            q[1:, at] *= turned[:, None]
    return q


def solid_sphere(mass: float, radius: float) -> np.ndarray:
    """Inertia about the centre, kg m^2, [3, 3]."""
    return 0.4 * mass * radius**2 * np.eye(3)


def solid_box(mass: float, widths: Sequence[float]) -> np.ndarray:
    """Inertia about the centre, kg m^2, [3, 3]; full widths in m."""
    square = np.asarray(widths) ** 2
    return np.diag(mass / 12 * (square.sum() - square))


def solid_capsule(mass: float, radius: float, length: float) -> np.ndarray:
    """Inertia about the centre, kg m^2, [3, 3]: a cylinder of this length along y between two half balls."""
    cylinder, ball = radius**2 * length, 4 / 3 * radius**3  # volumes over pi
    m, b = mass * cylinder / (cylinder + ball), mass * ball / (cylinder + ball)
    along = m * radius**2 / 2 + 0.4 * b * radius**2
    across = m * (length**2 / 12 + radius**2 / 4) + b * (0.4 * radius**2 + length**2 / 4 + 3 / 8 * length * radius)
    return np.diag([across, along, across])


def _parts(path: Path) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Joints and the shape each carries, in order."""
    try:
        told = json.loads(read_text(path, LARGEST))
    except (ValueError, RecursionError) as error:
        if isinstance(error, FormatError):
            raise
        reason = "nested too deeply" if isinstance(error, RecursionError) else str(error)[:80]
        raise complaint(path, f"no JSON ({reason})", expected="a DeepMimic character", remedy=REMEDY) from None
    skeleton = told.get("Skeleton") if isinstance(told, dict) else None
    joints = skeleton.get("Joints") if isinstance(skeleton, dict) else None
    shapes = told.get("BodyDefs") if isinstance(told, dict) else None
    for what, given in (("Skeleton.Joints", joints), ("BodyDefs", shapes)):
        if not isinstance(given, list) or not given or not all(isinstance(x, dict) for x in given):
            raise complaint(path, f"no {what}", expected="a DeepMimic character with a list of it", remedy=REMEDY)
    if len(joints) != len(shapes) or len(joints) > MOST:  # type: ignore[arg-type]
        raise complaint(
            path,
            f"{len(joints)} joints and {len(shapes)} bodies",  # type: ignore[arg-type]
            expected=f"one body a joint, at most {MOST}",
            remedy=REMEDY,
        )
    return joints, shapes  # type: ignore[return-value]


def _matter(path: Path, name: str, shape: Mapping[str, Any]) -> tuple[Inertia, list[np.ndarray]]:
    """Inertia in the joint's moved frame, and the lower corners of a box there, m."""
    kind, mass = shape.get("Shape"), _number(path, name, shape, "Mass")
    a, b, c = (_number(path, name, shape, f"Param{i}") for i in range(3))
    rotation = _turned(path, name, shape)
    centre = np.array([_number(path, name, shape, f"Attach{x}") for x in "XYZ"])
    if not mass > 0 or min(a, b, c) <= 0:
        raise _wrong(path, name, f"mass {mass:g} and sizes {a:g}, {b:g}, {c:g}", "numbers above 0 (kg, m)")
    corners: list[np.ndarray] = []
    if kind == "sphere":
        about = solid_sphere(mass, a / 2)
    elif kind == "capsule":
        about = solid_capsule(mass, a / 2, b)
    elif kind == "box":
        about = solid_box(mass, (a, b, c))
        corners = [centre + rotation @ (np.array([x * a, -b, z * c]) / 2) for x in (-1, 1) for z in (-1, 1)]
    else:
        raise _wrong(path, name, f"shape {str(kind)[:40]!r}", "one of sphere, capsule, box")
    return Inertia.of(mass, centre, rotation @ about @ rotation.T), corners


def _coordinates(path: Path, joint: Joint, told: Mapping[str, Any]) -> list[Coordinate]:
    """One per velocity number; limits of one-dof joints (low above high: none) and torque limits."""
    n = NV[joint.kind]
    if joint.kind == "free":
        return [Coordinate(f"{joint.name}.{x}", x[0] == "r") for x in ("tx", "ty", "tz", "rx", "ry", "rz")]
    strength = "ForceLim" if joint.kind == "prismatic" else "TorqueLim"
    effort = _number(path, joint.name, told, strength) if strength in told else math.inf
    if n > 1:
        return [Coordinate(f"{joint.name}.r{x}", effort=effort) for x in "xyz"]
    low, high = (
        _number(path, joint.name, told, f"Lim{x}0") if f"Lim{x}0" in told else x == "Low" for x in ("Low", "High")
    )
    bounds = (float(low), float(high)) if low <= high else (-math.inf, math.inf)
    return [Coordinate(joint.name, joint.kind == "revolute", *bounds, effort=effort)]


def _turned(path: Path, name: str, told: Mapping[str, Any]) -> np.ndarray:
    """Rotation by the file's three angles: about x, then y, then z of the outer frame."""
    angles = [_number(path, name, told, f"AttachTheta{x}") if f"AttachTheta{x}" in told else 0.0 for x in "XYZ"]
    return Rotation.from_euler("xyz", angles).as_matrix()


def _names(path: Path, joints: Sequence[Mapping[str, Any]]) -> list[str]:
    names = [j.get("Name") for j in joints]
    for k, name in enumerate(names):
        if not isinstance(name, str) or not name or name in names[:k]:
            raise complaint(path, f"joint {k} is called {str(name)[:40]!r}", expected="names, each once", remedy=REMEDY)
    return [str(n) for n in names]


def _number(path: Path, name: str, told: Mapping[str, Any], key: str) -> float:
    value = told.get(key)
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not abs(value) < 1e9:
        raise _wrong(path, name, f"{key} {str(value)[:40]}", "a finite number")
    return float(value)


def _wrong(path: Path, name: str, what: str, expected: str) -> FormatError:
    return complaint(path, f"{name[:40]!r} has {what}", expected=expected, remedy=REMEDY)
