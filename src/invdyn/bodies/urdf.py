"""URDF: robots as links and joints (https://wiki.ros.org/urdf/XML), read by hand to keep line numbers.

Joints are numbered depth first, children in the order of their joints' names, as Pinocchio does. Unlike there, a
continuous joint is one angle, a planar joint has two displacements and an angle, and mimic joints follow their master
unless told: they have no numbers of their own, and their losses are felt at the master. As there, a root link that is
fixed to the world weighs nothing.

What enters no equation of motion is skipped: visual, collision, material, transmission, gazebo, sensor and the like.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal

import numpy as np

from invdyn.bodies.drive import Drive
from invdyn.bodies.merging import WORLD, Assembly, free_coordinates
from invdyn.bodies.model import BodyModel, Coordinate, Inertia, Joint, Placement
from invdyn.bodies.urdf_elements import JointElement, read_inertia, read_joint
from invdyn.bodies.xml_reading import XmlDocument, named, quoted, read_xml
from invdyn.errors import ConfigError, FormatError

__all__ = ["ROOTS", "read_urdf"]

LOG = logging.getLogger(__name__)

ROOTS = ("fixed", "free", "planar")
IN_ROBOT = (
    *("material", "transmission", "gazebo", "sensor", "ros2_control", "disable_collisions", "loop_joint"),
    *("mujoco", "drake", "safety_controller", "joint_properties", "group", "version", "author"),
)
SPOKEN = ("link", "joint", "parent", "child", "origin", "axis", "limit", "dynamics", "mimic", "mass", "inertia")
"""Elements whose attributes are read."""
MOST_LINKS = 10_000


def read_urdf(path: Path | str, root: str = "fixed", mimic: bool = True) -> BodyModel:
    """A robot from a URDF file.

    Args:
        path: of the file.
        root: how the root link stands in the world: fixed; free (coordinates root.tx, .ty, .tz, .rx, .ry, .rz);
            planar in the world's x-y plane (root.tx, root.ty, root.rz).
        mimic: whether mimic joints follow their master. False makes them joints of their own, as
            `pinocchio.buildModelFromUrdf` does unless told.

    Returns:
        The model; links merged by fixed joints are sites.

    Raises:
        FormatError: no URDF, an unknown element, numbers that cannot be; links that do not form one tree.
        ConfigError: an unknown root.
        MissingExtraError: lxml is not installed.
    """
    document = read_xml(path, remedy="Correct the URDF file.")
    return urdf_model(document, root, mimic)


def urdf_model(document: XmlDocument, root: str = "fixed", mimic: bool = True) -> BodyModel:
    """As `read_urdf`, from a parsed document."""
    if root not in ROOTS:
        raise ConfigError(f"root={root!r}: expected one of {', '.join(ROOTS)}. Correct root=.")
    robot = document.root
    if robot.tag != "robot":
        raise document.error(robot, f"root element {quoted(robot.tag)}", "<robot>", "Pass a URDF file.")
    for element in robot.iter():
        found_xacro = _xacro(element) if isinstance(element.tag, str) else ""
        if found_xacro:
            raise document.error(element, found_xacro, "plain URDF", "Expand it first: xacro FILE > robot.urdf.")
    found = document.sort(robot, ("link", "joint"), IN_ROBOT)
    links: dict[str, Any] = {}
    for element in found["link"]:
        name = document.attribute(element, "name")
        if name in links:
            raise document.error(element, f"link {quoted(name)} again", "every link once", "Rename one.")
        links[name] = element
    if not 0 < len(links) <= MOST_LINKS:
        raise document.error(robot, f"{len(links)} links", f"1 to {MOST_LINKS}")
    joints: dict[str, JointElement] = {}
    for element in found["joint"]:
        joint = read_joint(document, element, mimic)
        if joint.name in joints:
            raise document.error(element, f"joint {quoted(joint.name)} again", "every joint once", "Rename one.")
        joints[joint.name] = joint
    top, order = _tree(document, links, joints)
    return _assembled(document, root, top, links, order, joints)


def _xacro(element: Any) -> str:
    """What of xacro, whose address has changed over time, an element is or has where a name or number belongs."""
    if "xacro" in element.tag.partition("}")[0]:
        return "a xacro macro"
    left = next((v for v in element.values() if "${" in v or "$(" in v), None) if element.tag in SPOKEN else None
    return "" if left is None else f"the xacro expression {quoted(left)} in {named(element)}"


def _tree(
    document: XmlDocument, links: dict[str, Any], joints: dict[str, JointElement]
) -> tuple[str, list[JointElement]]:
    """The root link, and the joints depth first."""
    below: dict[str, list[JointElement]] = {name: [] for name in links}
    carried: set[str] = set()
    for name in sorted(joints, key=str.encode):
        joint = joints[name]
        for end in (joint.parent, joint.child):
            if end not in links:
                raise document.error(
                    joint.element, f"joint {quoted(name)} refers to link {quoted(end)}, which is not there", "a link"
                )
        if joint.child in carried:
            raise document.error(
                joint.element,
                f"link {quoted(joint.child)} is the child of a second joint",
                "a tree: one joint above each link",
                "Cut the loop, and close it by a constraint of your own.",
            )
        carried.add(joint.child)
        below[joint.parent].append(joint)
    tops = [name for name in links if name not in carried]
    if len(tops) != 1:
        raise document.error(
            document.root,
            f"{len(tops)} links without a joint above them ({', '.join(map(quoted, tops[:3])) or 'a circle'})",
            "one root link",
            "Connect the links by joints into one tree.",
        )
    order: list[JointElement] = []
    waiting = list(reversed(below[tops[0]]))
    while waiting:
        joint = waiting.pop()
        order.append(joint)
        waiting.extend(reversed(below[joint.child]))
    if len(order) < len(joints):
        lost = next(j for j in joints.values() if j not in order)
        raise document.error(lost.element, f"joint {quoted(lost.name)} hangs in a circle", "a tree")
    return tops[0], order


class _Numbers:
    """Position and velocity numbers given out so far."""

    def __init__(self) -> None:
        self.nq = 0
        self.coordinates: list[Coordinate] = []

    def take(self, coordinates: tuple[Coordinate, ...], nq: int) -> tuple[int, int]:
        """First position and velocity number of a joint."""
        first = self.nq, len(self.coordinates)
        self.nq += nq
        self.coordinates.extend(coordinates)
        return first


def _assembled(
    document: XmlDocument,
    root: str,
    top: str,
    links: dict[str, Any],
    order: list[JointElement],
    joints: dict[str, JointElement],
) -> BodyModel:
    """The model from what was read."""
    parts, numbers = Assembly(), _Numbers()
    inertia = read_inertia(document, links[top])
    if root == "fixed":
        parts.weld(top, WORLD, Placement(), inertia)
    elif root == "free":
        q, v = numbers.take(free_coordinates("root"), 7)
        parts.move(top, WORLD, Placement(), Joint("root", "free", q=q, v=v), inertia)
    else:
        _planar(parts, numbers, "root", top, WORLD, Placement(), (0.0, 0.0, 1.0), inertia)
    first: dict[str, tuple[int, int]] = {}
    driven: list[tuple[int, JointElement]] = []
    for joint in order:
        inertia = read_inertia(document, links[joint.child])
        place = (joint.child, joint.parent, joint.placement)
        if joint.kind == "fixed":
            parts.weld(*place, inertia)
        elif joint.kind == "floating":
            q, v = numbers.take(free_coordinates(joint.name), 7)
            parts.move(*place, Joint(joint.name, "free", q=q, v=v), inertia)
        elif joint.kind == "planar":
            _planar(parts, numbers, joint.name, *place, joint.axis, inertia)
        else:
            kind: Literal["revolute", "prismatic"] = "prismatic" if joint.kind == "prismatic" else "revolute"
            if joint.mimic is None:
                q, v = first[joint.name] = numbers.take((joint.coordinate,), 1)
            else:
                q, v = -1, -1
                driven.append((len(parts.bodies), joint))
            parts.move(*place, Joint(joint.name, kind, joint.axis, q, v), inertia)
    for index, joint in driven:
        master, slope, offset = _master(document, joint, joints)
        if master not in first:
            raise document.error(
                joint.element,
                f"joint {quoted(joint.name)} mimics the {joints[master].kind} joint {quoted(master)}",
                "a revolute, continuous or prismatic joint as its master",
                "Fix the joint too, or leave <mimic> out to let it move by itself.",
            )
        q, v = first[master]
        body = parts.bodies[index]
        parts.bodies[index] = replace(body, joint=replace(body.joint, drive=Drive.linear(q, v, slope, offset)))
        own, its = joint.coordinate, numbers.coordinates[v]
        numbers.coordinates[v] = replace(
            its, damping=its.damping + slope**2 * own.damping, friction=its.friction + abs(slope) * own.friction
        )
    return _checked(document, parts, numbers)


def _checked(document: XmlDocument, parts: Assembly, numbers: _Numbers) -> BodyModel:
    odd = [b.name for b in parts.bodies if not b.inertia.possible]
    if odd:
        LOG.warning(
            "%s: no mass has the moments of inertia of %s (negative, or one above the sum of the two others); they are "
            "taken as they are, and accelerations computed with them may be wrong",
            document.path,
            ", ".join(odd[:8]) + (" ..." if len(odd) > 8 else ""),
        )
    try:
        return BodyModel(
            name=document.root.get("name") or document.path.stem,
            bodies=tuple(parts.bodies),
            coordinates=tuple(numbers.coordinates),
            nq=numbers.nq,
            sites=tuple(parts.sites),
            source=str(document.path),
        )
    except ConfigError as error:  # names that meet: root.tx of a joint called so
        raise FormatError(f"{document.path}: {error}") from None


def _planar(
    parts: Assembly,
    numbers: _Numbers,
    name: str,
    child: str,
    parent: str,
    placement: Placement,
    normal: tuple[float, float, float],
    inertia: Inertia,
) -> None:
    """Two displacements in the plane across `normal`, then a turn about it."""
    z = np.asarray(normal)
    x = np.eye(3)[0] - z * z[0] if abs(z[0]) < 0.9 else np.eye(3)[1] - z * z[1]
    x /= np.linalg.norm(x)
    for axis, along in (("tx", x), ("ty", np.cross(z, x))):
        q, v = numbers.take((Coordinate(f"{name}.{axis}", rotational=False),), 1)
        direction = Placement.of(translation=along).translation
        parts.move(
            f"{child}.{axis}", parent, placement, Joint(f"{name}.{axis}", "prismatic", direction, q, v), Inertia()
        )
        parent, placement = f"{child}.{axis}", Placement()
    q, v = numbers.take((Coordinate(f"{name}.rz"),), 1)
    parts.move(child, parent, placement, Joint(f"{name}.rz", "revolute", normal, q, v), inertia)


def _master(document: XmlDocument, joint: JointElement, joints: dict[str, JointElement]) -> tuple[str, float, float]:
    """The joint at the end of a chain of mimic joints, and displacement = slope * its + offset."""
    slope, offset, seen, here = 1.0, 0.0, {joint.name}, joint
    while here.mimic is not None:
        name, multiplier, shift = here.mimic
        if name not in joints:
            raise document.error(
                here.element,
                f"joint {quoted(here.name)} mimics joint {quoted(name)}, which is not there",
                " or ".join(map(quoted, get_close_matches(name, set(joints) - {here.name}, 2, 0.5))) or "a joint",
                "Correct the name, or leave <mimic> out to let the joint move by itself.",
            )
        if name in seen:
            raise document.error(here.element, f"joint {quoted(here.name)} mimics itself", "another joint")
        seen.add(name)
        slope, offset, here = slope * multiplier, offset + slope * shift, joints[name]
    return here.name, slope, offset
