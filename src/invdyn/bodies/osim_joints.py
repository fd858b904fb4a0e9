"""Joints of OpenSim models, as moves along and about axes that are functions of coordinates.

| joint | coordinates | moves, each in the frame left by the one before |
|---|---|---|
| Weld | | |
| Pin | angle | about z |
| Slider | distance | along x |
| Universal | 2 angles | about x, y |
| Ball, Gimbal | 3 angles | about x, y, z |
| Planar | angle, 2 distances | along x, y, about z |
| Free | 3 angles, 3 distances | along x, y, z, about x, y, z |
| Custom | up to 6 | along three axes, about three axes |

Translations come first: they are told in the parent's joint frame (Simbody's FunctionBased, Planar and Free
mobilizers). Angles of Ball and Free joints are the body-fixed x-y-z angles of OpenSim's motion files, and the
generalised force of each is what does work on its rate. OpenSim's own inverse dynamics differs there: the speeds of
its Ball and Free joints are the angular velocity in the parent's frame, into which it puts the rates of the angles.
Custom joints of three rotations (as gait models have) are alike in both.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

from invdyn.bodies.model import Placement, Vector3
from invdyn.bodies.osim_functions import FUNCTIONS, function_element, is_constant
from invdyn.bodies.xml_reading import XmlDocument, named, quoted

__all__ = ["JOINTS", "Move", "OsimCoordinate", "OsimJoint", "body_fixed_xyz", "read_joint"]

Kind = Literal["prismatic", "revolute"]
Motion = Literal["rotational", "translational", "coupled"]
MOTIONS: Mapping[str, Motion] = {
    "rotational": "rotational",
    "translational": "translational",
    "coupled": "coupled",
}
X, Y, Z = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)
T: Kind = "prismatic"
R: Kind = "revolute"

JOINTS: Mapping[str, tuple[tuple[int, Kind, Vector3], ...] | None] = {
    "WeldJoint": (),
    "PinJoint": ((0, R, Z),),
    "SliderJoint": ((0, T, X),),
    "UniversalJoint": ((0, R, X), (1, R, Y)),
    "BallJoint": ((0, R, X), (1, R, Y), (2, R, Z)),
    "GimbalJoint": ((0, R, X), (1, R, Y), (2, R, Z)),
    "PlanarJoint": ((1, T, X), (2, T, Y), (0, R, Z)),
    "FreeJoint": ((3, T, X), (4, T, Y), (5, T, Z), (0, R, X), (1, R, Y), (2, R, Z)),
    "CustomJoint": None,
}
"""Joint -> (coordinate, kind, axis) of each move; None: the file tells."""
AXES = ("translation1", "translation2", "translation3", "rotation1", "rotation2", "rotation3")
SHORTEST = 1e-3
"""Axes below are none."""
IN_JOINT = ("VisibleObject", "components", "FrameGeometry", "WrapObjectSet")
IN_COORDINATE = (
    *("initial_value", "prescribed_function", "is_free_to_satisfy_constraints", "tolerance"),
    *("restraint_function", "min_restraint_function", "max_restraint_function", "restraint_active"),
)


@dataclass(frozen=True)
class OsimCoordinate:
    """A coordinate as the file has it.

    Args:
        name: of the coordinate.
        motion: rotational (rad), translational (m) or coupled (whatever its functions expect; OpenSim never converts
            degrees of those).
        default: value before any other is set, rad or m.
        lower, upper: range in rad or m where the model clamps the coordinate to it, else infinite.
        locked: whether the model holds it at its default.
        prescribed: whether the model prescribes it as a function of time.
    """

    name: str
    motion: Motion = "rotational"
    default: float = 0.0
    lower: float = -np.inf
    upper: float = np.inf
    locked: bool = False
    prescribed: bool = False


@dataclass(frozen=True)
class Move:
    """One displacement along or about a unit axis.

    Args:
        name: of the axis.
        kind: prismatic or revolute.
        axis: unit vector in the frame left by the moves before.
        coordinates: names of those it depends on; none for a constant.
        function: element of the function; None for the coordinate itself (or 0 without one).
    """

    name: str
    kind: Kind
    axis: Vector3
    coordinates: tuple[str, ...] = ()
    function: Any | None = field(default=None, compare=False)


@dataclass(frozen=True)
class OsimJoint:
    """A joint as the file has it; where it stands is the reader's business.

    Args:
        name: of the joint.
        kind: its tag.
        coordinates: in their order.
        moves: what carries the child's joint frame away from the parent's.
        element: for messages.
    """

    name: str
    kind: str
    coordinates: tuple[OsimCoordinate, ...]
    moves: tuple[Move, ...]
    element: Any = field(compare=False)


def body_fixed_xyz(angles: tuple[float, ...]) -> np.ndarray:
    """[3, 3] Rx(a) Ry(b) Rz(c), the orientation OpenSim means by three angles (rad)."""
    (sa, sb, sc), (ca, cb, cc) = np.sin(angles), np.cos(angles)
    return np.array(
        [
            [cb * cc, -cb * sc, sb],
            [ca * sc + sa * sb * cc, ca * cc - sa * sb * sc, -sa * cb],
            [sa * sc - ca * sb * cc, sa * cc + ca * sb * sc, ca * cb],
        ]
    )


def read_joint(document: XmlDocument, element: Any, placing: tuple[str, ...]) -> OsimJoint:
    """A joint element, checked.

    Args:
        document: it stands in.
        element: the joint.
        placing: children that say where it stands, read by the caller.

    Raises:
        FormatError: an unknown joint (with its line), a reversed joint, broken axes, coordinates that do not fit.
    """
    if element.tag not in JOINTS:
        raise document.error(
            element,
            f"joint {named(element)}",
            f"one of {', '.join(JOINTS)}",
            "Replace it by a CustomJoint with the same motion.",
        )
    name = document.attribute(element, "name")
    parts = document.sort(
        element, ("CoordinateSet", "coordinates", "SpatialTransform", "reverse"), (*IN_JOINT, *placing)
    )
    reverse = document.at_most_one(element, parts["reverse"])
    if reverse is not None and document.text(reverse) and document.truth(reverse, document.text(reverse), "reverse"):
        raise document.error(
            reverse, f"joint {quoted(name)} is reversed", "reverse false", "Swap its parent and child in OpenSim."
        )
    declared = _coordinates(document, element, parts)
    fixed = JOINTS[element.tag]
    if fixed is None:
        moves = _spatial(document, element, document.at_most_one(element, parts["SpatialTransform"]))
        return OsimJoint(name, element.tag, _used(document, element, declared, moves), moves, element)
    count = len({number for number, _, _ in fixed})
    while len(declared) < count:  # as OpenSim calls coordinates that the file leaves out
        declared.append(OsimCoordinate(f"{name}_coord_{len(declared)}"))
    if len(declared) != count:
        raise document.error(element, f"{named(element)} with {len(declared)} coordinates", str(count))
    kinds: dict[int, Motion] = {n: "rotational" if kind == R else "translational" for n, kind, _ in fixed}
    coordinates = tuple(_with_motion(c, kinds[n]) for n, c in enumerate(declared))
    moves = tuple(Move(f"{kind[0]}{n}", kind, axis, (declared[n].name,)) for n, kind, axis in fixed)
    return OsimJoint(name, element.tag, coordinates, moves, element)


def _with_motion(coordinate: OsimCoordinate, motion: Motion) -> OsimCoordinate:
    return replace(coordinate, motion=motion)


def _coordinates(document: XmlDocument, element: Any, parts: dict[str, list[Any]]) -> list[OsimCoordinate]:
    """Those declared in <CoordinateSet><objects> (OpenSim 3) or <coordinates> (4)."""
    holders = list(parts["coordinates"])
    for group in parts["CoordinateSet"]:
        holders += document.sort(group, ("objects",), ("groups",))["objects"]
    found = []
    for holder in holders:
        for child in document.sort(holder, ("Coordinate",))["Coordinate"]:
            found.append(_coordinate(document, child))
    names = [c.name for c in found]
    if len(set(names)) < len(names):
        raise document.error(element, f"{named(element)} with two coordinates of one name", "names of their own")
    return found


def _coordinate(document: XmlDocument, element: Any) -> OsimCoordinate:
    name = document.attribute(element, "name")
    known = ("motion_type", "default_value", "range", "clamped", "locked", "prescribed", "default_speed_value")
    parts = {tag: document.at_most_one(element, e) for tag, e in document.sort(element, known, IN_COORDINATE).items()}

    def text(tag: str, default: str) -> str:
        return default if parts[tag] is None else document.text(parts[tag]) or default

    def truth(tag: str) -> bool:
        return document.truth(element if parts[tag] is None else parts[tag], text(tag, "false"), tag)

    motion = text("motion_type", "rotational").lower()
    if motion not in MOTIONS:
        raise document.error(parts["motion_type"], f"motion_type {quoted(motion)}", f"one of {', '.join(MOTIONS)}")
    told = {}
    if parts["range"] is not None and truth("clamped"):
        told["lower"], told["upper"] = document.numbers(parts["range"], text("range", ""), 2, f"range of {name}")
        if told["lower"] > told["upper"]:
            raise document.error(parts["range"], f"range of {quoted(name)} with min > max", "min <= max")
    default = document.number(
        element if parts["default_value"] is None else parts["default_value"],
        text("default_value", "0"),
        f"default_value of {name}",
    )
    return OsimCoordinate(
        name,
        MOTIONS[motion],
        default,
        locked=truth("locked"),
        prescribed=truth("prescribed"),
        **told,
    )


def _spatial(document: XmlDocument, element: Any, transform: Any | None) -> tuple[Move, ...]:
    """The six axes of a custom joint, translations first."""
    if transform is None:
        raise document.error(element, f"{named(element)} without <SpatialTransform>", "a SpatialTransform")
    axes: dict[str, Any] = {}
    for child in document.sort(transform, ("TransformAxis",))["TransformAxis"]:
        axis = document.attribute(child, "name")
        if axis not in AXES or axis in axes:
            again = "again" if axis in axes else "unknown"
            raise document.error(child, f"TransformAxis {quoted(axis)} ({again})", f"each of {', '.join(AXES)} once")
        axes[axis] = child
    moves = []
    for axis in AXES:
        if axis in axes:
            moves.append(_move(document, axis, axes[axis]))
    turns = [np.asarray(m.axis) for m in moves if m.kind == R and m.coordinates]
    for i, first in enumerate(turns):
        for second in turns[i + 1 :]:
            if np.linalg.norm(np.cross(first, second)) < 1e-5:  # as OpenSim has it
                raise document.error(element, f"{named(element)} has parallel rotation axes", "independent axes")
    return tuple(moves)


def _move(document: XmlDocument, name: str, element: Any) -> Move:
    """One axis; of any length, as Simbody normalises it (models of OpenSim 2 have some of 0.98)."""
    known = ("coordinates", "axis")
    parts = document.sort(element, known, ("function", *FUNCTIONS))
    function = function_element(document, element)
    holder = document.at_most_one(element, parts["coordinates"])
    coordinates = () if holder is None else tuple(document.text(holder).split())
    default = np.eye(3)[int(name[-1]) - 1]
    told = document.at_most_one(element, parts["axis"])
    axis = default if told is None else np.array(document.numbers(told, document.text(told), 3, f"axis of {name}"))
    length = float(np.linalg.norm(axis))
    if length < SHORTEST:
        raise document.error(element, f"axis of {name} has the length {length:.4g}", "a direction")
    if function is None and len(coordinates) > 1:
        raise document.error(element, f"{name} of {len(coordinates)} coordinates without a function", "a function")
    if is_constant(document, function):
        coordinates = ()
    elif function is not None and not coordinates:
        raise document.error(element, f"{name} has a {function.tag} but no coordinate", "the coordinate's name")
    kind: Kind = "prismatic" if name.startswith("t") else "revolute"
    return Move(name, kind, Placement.of(translation=axis / length).translation, coordinates, function)


def _used(
    document: XmlDocument, element: Any, declared: list[OsimCoordinate], moves: tuple[Move, ...]
) -> tuple[OsimCoordinate, ...]:
    """Coordinates in their declared order with their motions; those only named by axes follow.

    Motion, as OpenSim 4 decides it whatever `motion_type` says: rotational or translational where the coordinate is
    itself the displacement about or along an axis, else coupled.
    """
    order = ("rotation1", "rotation2", "rotation3", "translation1", "translation2", "translation3")
    by_name = {m.name: m for m in moves}
    named_by_axes = [c for a in order if a in by_name for c in by_name[a].coordinates]
    known = {c.name: c for c in declared}
    for lost in [c for c in known if c not in named_by_axes]:
        raise document.error(element, f"coordinate {quoted(lost)} moves no axis of {named(element)}", "one that does")
    found = []
    for name in dict.fromkeys([*known, *named_by_axes]):
        motion: Motion = "coupled"
        for axis in order:
            move = by_name.get(axis)
            if move is not None and name in move.coordinates and _is_identity(document, move):
                motion = "rotational" if move.kind == R else "translational"
                break
        found.append(_with_motion(known.get(name, OsimCoordinate(name)), motion))
    return tuple(found)


def _is_identity(document: XmlDocument, move: Move) -> bool:
    """Whether the displacement is plus or minus the (first) coordinate, up to a constant."""
    if move.function is None:
        return True
    if move.function.tag != "LinearFunction":
        return False
    told = document.at_most_one(move.function, document.sort(move.function, ("coefficients",))["coefficients"])
    return told is None or document.numbers(told, document.text(told), None, "coefficients")[0] in (1.0, -1.0)
