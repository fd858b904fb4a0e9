"""OpenSim joints put together: chains of massless bodies between the bodies of a model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from invdyn.bodies.drive import Drive
from invdyn.bodies.merging import WORLD, Assembly
from invdyn.bodies.model import Inertia, Joint, Placement
from invdyn.bodies.osim_frames import GROUND
from invdyn.bodies.osim_functions import function_drive
from invdyn.bodies.osim_joints import Move, OsimJoint
from invdyn.bodies.xml_reading import XmlDocument, named, quoted

__all__ = ["PlacedJoint", "assembled"]


@dataclass(frozen=True)
class PlacedJoint:
    """A joint and where it stands.

    Args:
        joint: as the file has it.
        parent, on_parent: body (or ground), and the joint's frame in it.
        child, on_child: the body it carries, and the joint's moved frame in it.
    """

    joint: OsimJoint
    parent: str
    on_parent: Placement
    child: str
    on_child: Placement


def assembled(
    document: XmlDocument,
    model: Any,
    joints: Sequence[PlacedJoint],
    inertias: Mapping[str, Inertia],
    number: Mapping[str, int],
) -> Assembly:
    """The bodies of a model, parents first.

    Args:
        document, model: for messages.
        joints: in the order of the file.
        inertias: of every body but the ground.
        number: coordinate -> position (and velocity) number.

    Raises:
        FormatError: a body without a joint or with two, a joint that carries the ground, joints in a circle.
    """
    carried: set[str] = set()
    for placed in joints:
        if placed.child in carried or placed.child == GROUND:
            raise document.error(
                placed.joint.element,
                f"{named(placed.joint.element)} carries {quoted(placed.child)}"
                + (", but the ground stays" if placed.child == GROUND else ", which another joint carries"),
                "a tree: one joint above each body",
                "Cut the loop, and close it by a constraint of your own.",
            )
        carried.add(placed.child)
    lost = [name for name in inertias if name not in carried]
    if lost:
        raise document.error(model, f"body {quoted(lost[0])} without a joint", "a joint", "Add a FreeJoint to ground.")
    parts = Assembly()
    parts.at[GROUND] = parts.at[WORLD]
    waiting = list(joints)
    while waiting:
        ready = [p for p in waiting if p.parent in parts.at]
        if not ready:
            element = waiting[0].joint.element
            raise document.error(element, f"{named(element)} hangs in a circle", "a tree on the ground")
        for placed in ready:
            _chain(document, parts, placed, inertias[placed.child], number)
        waiting = [p for p in waiting if p.child not in parts.at]
    return parts


def _chain(
    document: XmlDocument, parts: Assembly, placed: PlacedJoint, inertia: Inertia, number: Mapping[str, int]
) -> None:
    """A joint as massless bodies between parent and child, one per move that is not constant."""
    at, place, offset = placed.parent, placed.on_parent, placed.on_child.inverse()
    links: list[tuple[Placement, Joint]] = []
    used = Counter(c for m in placed.joint.moves for c in m.coordinates)
    for move in placed.joint.moves:
        drive = _drive(document, move, number)
        first = drive.terms[0]
        if all(t.q < 0 for t in drive.terms):
            place = place.then(_still(move, float(drive.displacement([]))))
            continue
        name = f"{placed.joint.name}.{move.name}"
        turned = _itself(drive)
        if turned is not None and used[move.coordinates[0]] == 1:
            sign, offset_by = turned
            axis = Placement.of(translation=sign * np.asarray(move.axis)).translation
            links.append((place.then(_still(move, offset_by)), Joint(name, move.kind, axis, first.q, first.v)))
        else:
            links.append((place, Joint(name, move.kind, move.axis, drive=drive)))
        place = Placement()
    if not links:
        parts.weld(placed.child, at, place.then(offset), inertia)
        return
    for where, joint in links[:-1]:
        parts.move(joint.name, at, where, joint, Inertia())
        at = joint.name
    where, joint = links[-1]
    parts.move(placed.child, at, where, joint, inertia, place.then(offset))


def _drive(document: XmlDocument, move: Move, number: Mapping[str, int]) -> Drive:
    numbers = [(number[c], number[c]) for c in move.coordinates]
    if move.function is not None:
        return function_drive(document, move.function, numbers)
    return Drive.linear(*numbers[0]) if numbers else Drive.constant(0.0)


def _itself(drive: Drive) -> tuple[float, float] | None:
    """Sign and offset of a displacement that is the coordinate itself, perhaps turned round and shifted; else None."""
    if len(drive.terms) > 1 or drive.terms[0].kind != "polynomial" or len(drive.terms[0].coefficients) != 2:
        return None
    offset, slope = drive.terms[0].coefficients
    return (slope, offset) if abs(slope) == 1 else None


def _still(move: Move, x: float) -> Placement:
    """Where a constant move takes its body."""
    axis = np.asarray(move.axis)
    if move.kind == "prismatic":
        return Placement.of(translation=x * axis)
    k = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    return Placement.of(np.eye(3) + np.sin(x) * k + (1 - np.cos(x)) * k @ k)
