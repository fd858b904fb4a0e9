"""MJCF written from a `BodyModel`: rigid bodies, joints, springs and losses, frames, motors; no geometry.

Massless bodies with one child, which MuJoCo does not take, become several joints of one body, as composite joints are
in MuJoCo; a body called world is written as world.body. qpos0 is zero, so that q is the same there but for the order of
quaternions (`mujoco_convention`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from invdyn.bodies.model import Body, BodyModel, Coordinate, Joint, Placement
from invdyn.errors import ConfigError, require

__all__ = ["mjcf_text", "write_mjcf"]

TYPES = {"revolute": "hinge", "prismatic": "slide", "spherical": "ball", "free": "free"}
REMEDY = "Write the part without it."
ENDLESS = 1e9
"""The limit that stands for none, as MuJoCo limits both sides; readers take it as none."""
LEAST = 1e-15
"""MuJoCo's mjMINVAL: the least mass and moment of inertia of a moving body."""


def write_mjcf(model: BodyModel, path: Path | str) -> None:
    """Write an MJCF file; see `mjcf_text`."""
    Path(path).write_text(mjcf_text(model), "utf-8")


def mjcf_text(model: BodyModel) -> str:
    """The model as an MJCF document.

    Raises:
        ConfigError: what MuJoCo has not: driven joints (mimic, OpenSim), massless bodies that do not carry exactly one
            body, free joints below the world's children, couplings, inertias that no solid body has.
        MissingExtraError: lxml is not installed.
    """
    etree = require("lxml.etree", "bodies")
    if model.couplings:
        raise ConfigError(f"model {model.name!r} has coupled coordinates, which are not written as MJCF. {REMEDY}")
    root = etree.Element("mujoco", model=model.name)
    etree.SubElement(
        root, "compiler", angle="radian", autolimits="false", inertiafromgeom="false", balanceinertia="false"
    )
    etree.SubElement(root, "option", gravity=_text(model.gravity))
    world = etree.SubElement(root, "worldbody")
    elements: dict[int, Any] = {-1: world}
    done: set[int] = set()
    for i in range(len(model.bodies)):
        if i in done:
            continue
        chain = _chain(model, i)
        done.update(chain)
        element = _body(etree, model, elements, chain)
        for j in chain:
            elements[j] = element
    for site in model.sites:
        if site.body >= 0 and model.bodies[site.body].inertia.mass == 0 and _chain(model, site.body)[1:]:
            raise ConfigError(
                f"model {model.name!r}: frame {site.name!r} stands on the massless body "
                f"{model.bodies[site.body].name!r} inside a chain of joints, which MuJoCo has not. {REMEDY}"
            )
        etree.SubElement(elements[site.body], "site", name=site.name, **_where(site.placement))
    motors = etree.SubElement(root, "actuator") if model.actuators else None
    for actuator in model.actuators:
        joint = next((b.joint for b in model.bodies if b.joint.v == actuator.v and b.joint.kind in _ONE), None)
        if joint is None:
            raise ConfigError(f"model {model.name!r}: actuator {actuator.name!r} is not on a one-dof joint. {REMEDY}")
        etree.SubElement(motors, "motor", name=actuator.name, joint=joint.name, gear=_text([actuator.gear]))
    etree.indent(root)
    return str(etree.tostring(root, encoding="unicode"))


_ONE = ("revolute", "prismatic")


def _chain(model: BodyModel, i: int) -> list[int]:
    """A body, and while it weighs nothing the only body it carries: they are one body to MuJoCo."""
    chain = [i]
    while not model.bodies[chain[-1]].inertia.mass:
        below = model.children[chain[-1]]
        if len(below) != 1:
            raise ConfigError(
                f"model {model.name!r}: body {model.bodies[chain[-1]].name!r} moves, weighs nothing and carries "
                f"{len(below)} bodies; MuJoCo has none such. Give it an inertia, or lock its joint (merging.locked)."
            )
        chain.append(below[0])
    return chain


def _body(etree: Any, model: BodyModel, elements: dict[int, Any], chain: list[int]) -> Any:
    """One <body>: its joints seen from its own frame with all displacements zero."""
    bodies = [model.bodies[j] for j in chain]
    inner = Placement()
    seen: list[tuple[Body, Placement]] = []
    for body in reversed(bodies):
        seen.append((body, inner))  # the last body's frame in this body's
        inner = body.placement.then(inner)
    element = etree.SubElement(elements[bodies[0].parent], "body", name=_name(bodies[-1].name), **_where(inner))
    for body, last in reversed(seen):
        joint = body.joint
        if joint.drive is not None:
            raise ConfigError(
                f"model {model.name!r}: joint {joint.name!r} is driven by coordinates, which MuJoCo has not. "
                "Write URDF, where joints mimic others, or the part without it."
            )
        if joint.kind == "free" and (len(bodies) > 1 or body.parent >= 0 or body.placement != Placement()):
            raise ConfigError(
                f"model {model.name!r}: the free joint {joint.name!r} does not stand in the world's frame. {REMEDY}"
            )
        _joint(etree, element, joint, model.coordinates[joint.v], last.inverse())
    inertia = bodies[-1].inertia
    moments, axes = np.linalg.eigh(np.asarray(inertia.about_com))  # MuJoCo's own, of fullinertia, is good to 1e-8
    axes[:, 2] = np.cross(axes[:, 0], axes[:, 1])
    rounding = 1e-9 * moments[2]
    if moments[0] < LEAST or inertia.mass < LEAST or moments[2] - moments[0] - moments[1] > rounding:
        raise ConfigError(
            f"model {model.name!r}: body {bodies[-1].name!r} has mass {inertia.mass:g} and principal moments "
            f"{', '.join(f'{m:.6g}' for m in moments)}; MuJoCo expects all above 0 and none above the sum of the other "
            "two. Correct its inertia (with_parameters)."
        )
    moments[2] = min(moments[2], moments[0] + moments[1])  # a flat plate, rounded
    etree.SubElement(
        element,
        "inertial",
        pos=_text(inertia.com),
        quat=_text(_quaternion(axes)),
        mass=_text([inertia.mass]),
        diaginertia=_text(moments),
    )
    return element


def _name(body: str) -> str:
    """MuJoCo keeps the name world to itself."""
    return "world.body" if body == "world" else body


def _joint(etree: Any, element: Any, joint: Joint, c: Coordinate, frame: Placement) -> None:
    """<joint>; `frame` is the joint's frame in the body's."""
    told = {"name": joint.name, "type": TYPES[joint.kind], "armature": _text([c.armature])}
    told |= {"damping": _text([c.damping]), "frictionloss": _text([c.friction])}
    if joint.kind in _ONE:
        told["axis"] = _text(np.asarray(frame.rotation) @ np.asarray(joint.axis))
        told |= {"stiffness": _text([c.stiffness]), "springref": _text([c.rest])}
        if math.isfinite(c.lower) or math.isfinite(c.upper):
            lower, upper = max(c.lower, -ENDLESS), min(c.upper, ENDLESS)
            upper = max(upper, lower + max(1e-12, 1e-12 * abs(lower)))  # MuJoCo takes no range of one point
            told |= {"limited": "true", "range": _text([lower, upper])}
        if math.isfinite(c.effort) and c.effort > 0:
            told |= {"actuatorfrclimited": "true", "actuatorfrcrange": _text([-c.effort, c.effort])}
    if joint.kind in ("revolute", "spherical"):
        told["pos"] = _text(frame.translation)
    etree.SubElement(element, "joint", **told)


def _where(placement: Placement) -> dict[str, str]:
    """pos and quat."""
    return {"pos": _text(placement.translation), "quat": _text(_quaternion(np.asarray(placement.rotation)))}


def _quaternion(r: np.ndarray) -> np.ndarray:
    """w x y z of a rotation matrix: the dominant eigenvector of Bar-Itzhack's matrix (2000), free of branches."""
    k = np.array(
        [
            [r[0, 0] + r[1, 1] + r[2, 2], r[2, 1] - r[1, 2], r[0, 2] - r[2, 0], r[1, 0] - r[0, 1]],
            [r[2, 1] - r[1, 2], r[0, 0] - r[1, 1] - r[2, 2], r[0, 1] + r[1, 0], r[0, 2] + r[2, 0]],
            [r[0, 2] - r[2, 0], r[0, 1] + r[1, 0], r[1, 1] - r[0, 0] - r[2, 2], r[1, 2] + r[2, 1]],
            [r[1, 0] - r[0, 1], r[0, 2] + r[2, 0], r[1, 2] + r[2, 1], r[2, 2] - r[0, 0] - r[1, 1]],
        ]
    )
    return np.asarray(np.linalg.eigh(k)[1][:, -1])


def _text(values: Iterable[float]) -> str:
    """Numbers that read back exactly."""
    return " ".join(repr(float(v)) for v in values)
