"""Elements of a URDF, one at a time: joints with their limits and losses, places, inertias."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from invdyn.bodies.model import Coordinate, Inertia, Placement
from invdyn.bodies.xml_reading import XmlDocument, named, quoted

__all__ = ["JointElement", "read_inertia", "read_joint"]

KINDS = ("revolute", "continuous", "prismatic", "fixed", "floating", "planar")
IN_LINK = (
    *("visual", "collision", "sensor", "gazebo", "material", "contact", "self_filter", "collision_checking"),
    *("origin", "kinematic", "gravity", "surface"),  # no URDF, but written by exporters; no parser reads them
)
IN_JOINT = ("calibration", "safety_controller", "hardwareInterface", "gazebo", "sensor")


@dataclass(frozen=True)
class JointElement:
    """A joint as the file has it."""

    name: str
    kind: str
    parent: str
    child: str
    placement: Placement
    axis: tuple[float, float, float]
    coordinate: Coordinate
    mimic: tuple[str, float, float] | None  # master, multiplier, offset
    element: Any


def read_joint(document: XmlDocument, element: Any, follow: bool) -> JointElement:
    """A joint element, checked."""
    name, kind = document.attribute(element, "name"), document.attribute(element, "type")
    if kind not in KINDS:
        raise document.error(element, f"joint {quoted(name)} has type {quoted(kind)}", f"one of {', '.join(KINDS)}")
    known = ("parent", "child", "origin", "axis", "limit", "dynamics", "mimic")
    parts = {tag: document.at_most_one(element, e) for tag, e in document.sort(element, known, IN_JOINT).items()}
    for end in ("parent", "child"):
        if parts[end] is None:
            raise document.error(element, f"joint {quoted(name)} without <{end}>", f'<{end} link="..."/>')
    axis = (1.0, 0.0, 0.0)  # the specification's default
    if parts["axis"] is not None and kind not in ("fixed", "floating"):
        axis = _axis(document, parts["axis"], name)
    mimic = None
    if parts["mimic"] is not None and follow and kind != "fixed":
        if kind not in ("revolute", "continuous", "prismatic"):
            raise document.error(parts["mimic"], f"the {kind} joint {quoted(name)} mimics another", "a one-dof joint")
        mimic = (
            document.attribute(parts["mimic"], "joint"),
            document.attribute_number(parts["mimic"], "multiplier", 1.0),
            document.attribute_number(parts["mimic"], "offset", 0.0),
        )
    return JointElement(
        name,
        kind,
        document.attribute(parts["parent"], "link"),
        document.attribute(parts["child"], "link"),
        _origin(document, parts["origin"]),
        axis,
        _coordinate(document, name, kind, parts["limit"], parts["dynamics"]),
        mimic,
        element,
    )


def _coordinate(document: XmlDocument, name: str, kind: str, limit: Any, dynamics: Any) -> Coordinate:
    """Limits and losses of a one-dof joint.

    Without lower and upper there are no limits: the specification's default, 0 and 0, would hold the joint, and the
    robots that leave them out mean wheels.
    """
    told: dict[str, float] = {}
    if limit is not None:
        for key in ("velocity", "effort"):
            if limit.get(key) is not None:
                told[key] = _bound(document, limit, key)
                if told[key] < 0:
                    raise document.error(limit, f"joint {quoted(name)} has {key} {told[key]:g}", "0 or more")
        if kind in ("revolute", "prismatic") and (limit.get("lower") or limit.get("upper")):
            told["lower"] = _bound(document, limit, "lower")
            told["upper"] = _bound(document, limit, "upper")
            if told["lower"] > told["upper"]:
                raise document.error(limit, f"joint {quoted(name)} has lower > upper", "lower <= upper")
    if dynamics is not None:
        for key in ("damping", "friction"):
            told[key] = document.attribute_number(dynamics, key, 0.0)
            if told[key] < 0:
                raise document.error(dynamics, f"joint {quoted(name)} has {key} {told[key]:g}", "0 or more")
    return Coordinate(name, rotational=kind != "prismatic", **told)


def _bound(document: XmlDocument, limit: Any, key: str) -> float:
    """A limit, 0 by default as the specification says; endless where it is written as infinite or beyond 1e9."""
    text = limit.get(key, "0").strip()
    try:
        value = float(text) if "_" not in text else math.nan
    except ValueError:
        value = math.nan
    if abs(value) >= 1e9:
        return math.copysign(math.inf, value)
    return document.number(limit, text, f"limit {key}")


def _axis(document: XmlDocument, element: Any, name: str) -> tuple[float, float, float]:
    axis = np.asarray(document.attribute_numbers(element, "xyz", (1.0, 0.0, 0.0)))
    length = float(np.linalg.norm(axis))
    if length < 1e-6:
        raise document.error(element, f"joint {quoted(name)} has the axis {axis.tolist()}", "a direction")
    return Placement.of(translation=axis / length).translation


def _origin(document: XmlDocument, element: Any) -> Placement:
    """<origin xyz rpy>: turned about the fixed axes x, y, z by roll, pitch, yaw."""
    if element is None:
        return Placement()
    xyz = document.attribute_numbers(element, "xyz", (0.0, 0.0, 0.0))
    rpy = document.attribute_numbers(element, "rpy", (0.0, 0.0, 0.0))
    (sr, sp, sy), (cr, cp, cy) = np.sin(rpy), np.cos(rpy)
    rotation = [
        [cy * cp, cy * sp * sr - sy * cr, cy * sp * cr + sy * sr],
        [sy * cp, sy * sp * sr + cy * cr, sy * sp * cr - cy * sr],
        [-sp, cp * sr, cp * cr],
    ]
    return Placement.of(rotation, xyz)


def read_inertia(document: XmlDocument, link: Any) -> Inertia:
    """<inertial>; a link without one weighs nothing."""
    parts = document.sort(link, ("inertial",), IN_LINK)
    element = document.at_most_one(link, parts["inertial"])
    if element is None:
        return Inertia()
    inside = {
        tag: document.at_most_one(element, e)
        for tag, e in document.sort(element, ("origin", "mass", "inertia")).items()
    }
    if inside["mass"] is None:
        raise document.error(element, f"<inertial> of {named(link)} without <mass>", '<mass value="..."/>')
    mass = document.attribute_number(inside["mass"], "value")
    about = np.zeros((3, 3))
    if inside["inertia"] is not None:
        for key in ("ixx", "ixy", "ixz", "iyy", "iyz", "izz"):
            i, j = "xyz".index(key[1]), "xyz".index(key[2])
            about[i, j] = about[j, i] = document.attribute_number(inside["inertia"], key, 0.0)
    if mass < 0 or min(about.diagonal()) < -1e-9:  # exporters write rounding errors
        what = f"mass {mass:g}" if mass < 0 else f"moments of inertia {about.diagonal().tolist()}"
        raise document.error(element, f"{named(link)} has {what}", "0 or more")
    origin = _origin(document, inside["origin"])
    return Inertia.of(mass, (0.0, 0.0, 0.0), about).moved(origin)
