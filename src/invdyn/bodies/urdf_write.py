"""URDF written from a `BodyModel`: links, joints, mimic joints, limits and losses; frames as fixed links.

URDF has no gravity, motors' gears or kinds of frames: they are not written. What it cannot say of the motion itself is
refused. A free joint becomes a floating one below a link `world`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from invdyn.bodies.drive import Drive
from invdyn.bodies.model import Body, BodyModel, Coordinate, Inertia, Placement
from invdyn.errors import ConfigError, require

__all__ = ["urdf_text", "write_urdf"]

REMEDY = "Write MJCF instead, or the part without it."
TYPES = {"revolute": "revolute", "prismatic": "prismatic", "free": "floating"}


def write_urdf(model: BodyModel, path: Path | str) -> None:
    """Write a URDF file; see `urdf_text`."""
    Path(path).write_text(urdf_text(model), "utf-8")


def urdf_text(model: BodyModel) -> str:
    """The model as a URDF document.

    Raises:
        ConfigError: what URDF has not: ball joints, armature, springs, drives that are not linear, couplings.
        MissingExtraError: lxml is not installed.
    """
    etree = require("lxml.etree", "bodies")
    if model.couplings:
        raise ConfigError(f"model {model.name!r} has coupled coordinates, which are not written as URDF. {REMEDY}")
    for c in model.coordinates:
        if c.armature or c.stiffness:
            what = "armature" if c.armature else "a spring"
            raise ConfigError(f"model {model.name!r}: coordinate {c.name!r} has {what}, which URDF has not. {REMEDY}")
    names = {b.name for b in model.bodies}
    ground = next(n for n in ("world", "_world", "__world") if n not in names)
    root = etree.Element("robot", name=model.name)
    etree.SubElement(root, "link", name=ground)
    masters = {b.joint.q: b.joint.name for b in model.bodies if b.joint.drive is None}
    for body in model.bodies:
        _link(etree, root, body.name, body.inertia)
        _joint(etree, root, model, body, ground, masters)
    joints = {b.joint.name for b in model.bodies}
    for site in model.sites:
        if site.name in names or site.name == ground:
            continue
        names.add(site.name)
        _link(etree, root, site.name, Inertia())
        name = f"{site.name}.fixed"
        while name in joints:
            name += "_"
        joints.add(name)
        joint = etree.SubElement(root, "joint", name=name, type="fixed")
        etree.SubElement(joint, "parent", link=ground if site.body < 0 else model.bodies[site.body].name)
        etree.SubElement(joint, "child", link=site.name)
        _origin(etree, joint, site.placement)
    etree.indent(root)
    return str(etree.tostring(root, encoding="unicode"))


def _joint(etree: Any, root: Any, model: BodyModel, body: Body, ground: str, masters: dict[int, str]) -> None:
    joint = body.joint
    if joint.kind == "spherical":
        raise ConfigError(f"model {model.name!r}: joint {joint.name!r} is a ball joint, which URDF has not. {REMEDY}")
    c = model.coordinates[joint.v] if joint.drive is None else None
    endless = joint.kind == "revolute" and (c is None or not (math.isfinite(c.lower) and math.isfinite(c.upper)))
    element = etree.SubElement(root, "joint", name=joint.name, type="continuous" if endless else TYPES[joint.kind])
    etree.SubElement(element, "parent", link=ground if body.parent < 0 else model.bodies[body.parent].name)
    etree.SubElement(element, "child", link=body.name)
    _origin(etree, element, body.placement)
    if joint.kind != "free":
        etree.SubElement(element, "axis", xyz=_text(joint.axis))
        if c is None:
            _mimic(etree, element, model, joint.name, joint.drive, masters)
        else:
            _coordinate(etree, element, c)


def _coordinate(etree: Any, element: Any, c: Coordinate) -> None:
    """<limit> and <dynamics>; infinite limits as 1e30, which readers take as none."""
    bounds = {"lower": c.lower, "upper": c.upper, "velocity": c.velocity, "effort": c.effort}
    told = {k: _text([x if math.isfinite(x) else math.copysign(1e30, x)]) for k, x in bounds.items()}
    etree.SubElement(element, "limit", **told)
    etree.SubElement(element, "dynamics", damping=_text([c.damping]), friction=_text([c.friction]))


def _mimic(etree: Any, element: Any, model: BodyModel, name: str, drive: Drive | None, masters: dict[int, str]) -> None:
    """<mimic> of a linear drive."""
    slope, offset, master = 0.0, 0.0, ""
    for term in drive.terms if drive is not None else ():
        coefficients = (*term.coefficients, 0.0, 0.0)
        if term.kind != "polynomial" or any(coefficients[2:]) or (term.q >= 0 and master not in ("", masters[term.q])):
            raise ConfigError(
                f"model {model.name!r}: joint {name!r} follows its coordinates by a curve or follows several, "
                f"which URDF has not. {REMEDY}"
            )
        offset += coefficients[0]
        if term.q >= 0:
            slope, master = slope + coefficients[1], masters[term.q]
    if not master:
        raise ConfigError(f"model {model.name!r}: joint {name!r} is held at a constant. {REMEDY}")
    etree.SubElement(element, "mimic", joint=master, multiplier=_text([slope]), offset=_text([offset]))


def _link(etree: Any, root: Any, name: str, inertia: Inertia) -> None:
    link = etree.SubElement(root, "link", name=name)
    if not inertia.mass and not np.any(inertia.about_com):
        return
    element = etree.SubElement(link, "inertial")
    _origin(etree, element, Placement(translation=inertia.com))
    etree.SubElement(element, "mass", value=_text([inertia.mass]))
    about = inertia.about_com
    entries = {
        f"i{a}{b}": _text([about["xyz".index(a)]["xyz".index(b)]]) for a, b in ("xx", "xy", "xz", "yy", "yz", "zz")
    }
    etree.SubElement(element, "inertia", **entries)


def _origin(etree: Any, element: Any, placement: Placement) -> None:
    """<origin>, roll pitch yaw; at the pole of pitch yaw is zero."""
    r = np.asarray(placement.rotation)
    level = math.hypot(r[0, 0], r[1, 0])
    if level > 1e-9:
        rpy = [math.atan2(r[2, 1], r[2, 2]), math.atan2(-r[2, 0], level), math.atan2(r[1, 0], r[0, 0])]
    else:
        rpy = [math.atan2(-r[1, 2], r[1, 1]), math.atan2(-r[2, 0], level), 0.0]
    etree.SubElement(element, "origin", xyz=_text(placement.translation), rpy=_text(rpy))


def _text(values: Iterable[float]) -> str:
    """Numbers that read back exactly."""
    return " ".join(repr(float(v)) for v in values)
