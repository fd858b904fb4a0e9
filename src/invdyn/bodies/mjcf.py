"""MJCF: MuJoCo's models, read by MuJoCo itself and taken from its compiled arrays (mujoco 3.3 to 4).

q and v keep MuJoCo's addresses, so that one-dof joints have the same numbers here and there; only quaternions and free
joints differ (`mujoco_convention`). A body of several joints becomes a chain of massless bodies; bodies without a joint
are merged; mocap bodies stand where the file puts them. What geoms touch is no part of a `BodyModel`.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from invdyn.bodies.drive import Drive, Term
from invdyn.bodies.merging import WORLD, Assembly, free_coordinates
from invdyn.bodies.mjcf_compile import compile_mjcf
from invdyn.bodies.model import Actuator, BodyModel, Coordinate, Inertia, Joint, Placement, Site
from invdyn.bodies.xml_reading import XmlDocument, quoted
from invdyn.episodes.formats.foreign import complaint
from invdyn.errors import ConfigError, FormatError, require

__all__ = ["IGNORABLE", "model_of_mujoco", "read_mjcf"]

LOG = logging.getLogger(__name__)
IGNORABLE = ("equality", "tendon", "fluid", "gravcomp", "nonlinear")
"""What acts on bodies in MuJoCo and has no place in a `BodyModel`; refused unless ignored by name."""
FREE, BALL, SLIDE, HINGE = range(4)  # mjtJoint
NO_PLACEMENT = Placement()


def read_mjcf(path: Path | str, ignore: Collection[str] = (), geometry: bool = True) -> BodyModel:
    """A model from an MJCF file.

    Args:
        path: of the file; what it includes and its meshes are found by MuJoCo.
        ignore: of `IGNORABLE`: forces to leave out of the model.
        geometry: False reads a model without its mesh files; see `compile_mjcf`.

    Raises:
        FormatError: MuJoCo refuses the file, or the model has forces that a `BodyModel` cannot hold.
        ConfigError: `ignore` names something else.
        MissingExtraError: mujoco or lxml is not installed.
    """
    mj, document = compile_mjcf(path, geometry)
    return model_of_mujoco(mj, ignore, document)


def model_of_mujoco(mj: Any, ignore: Collection[str] = (), document: XmlDocument | None = None) -> BodyModel:
    """As `read_mjcf`, from a `mujoco.MjModel`; the document, if there is one, tells the lines of complaints."""
    mujoco = require("mujoco", "worlds")
    wrong = sorted(set(ignore) - set(IGNORABLE))
    if wrong:
        raise ConfigError(f"ignore names {wrong[0]!r}; expected some of {', '.join(IGNORABLE)}. Correct ignore=.")
    source = document.path if document is not None else Path("MuJoCo model")

    def name_of(kind: str, i: int) -> str:
        return str(mujoco.mj_id2name(mj, getattr(mujoco.mjtObj, f"mjOBJ_{kind}"), i) or "")

    for what, tag, name, found in _foreign_forces(mj, mujoco, name_of):
        if what not in ignore:
            raise _refusal(source, document, tag, name, found, what)
    parts, nv = Assembly(), int(mj.nv)
    coordinates: list[Coordinate | None] = [None] * nv
    links = _names([name_of("BODY", i) for i in range(mj.nbody)], "body")
    links[0] = WORLD
    joints = _names([name_of("JOINT", j) for j in range(mj.njnt)], "joint")
    for i in range(1, mj.nbody):
        principal = Placement.of(rotation(mj.body_iquat[i]), mj.body_ipos[i])
        inertia = Inertia.of(mj.body_mass[i], (0, 0, 0), np.diag(mj.body_inertia[i])).moved(principal)
        parent = links[mj.body_parentid[i]]
        placement = Placement.of(rotation(mj.body_quat[i]), mj.body_pos[i])
        own = range(mj.body_jntadr[i], mj.body_jntadr[i] + mj.body_jntnum[i])
        if not own:
            parts.weld(links[i], parent, placement, inertia)
        for j in own:
            last = j == own[-1]
            joint, before, after = _joint(mj, j, joints[j])
            if joint.kind == "free":
                placement = NO_PLACEMENT  # the position holds it
                if mj.dof_armature[joint.v : joint.v + 6].any():
                    raise _refusal(source, document, "joint", joints[j], "armature on a free joint", None)
            link = links[i] if last else f"{links[i]}.{joints[j]}"
            parts.move(link, parent, placement.then(before), joint, inertia if last else Inertia(), after, named=last)
            parent, placement = link, NO_PLACEMENT
            for k, coordinate in enumerate(_coordinates(mj, j, joints[j], joint)):
                coordinates[joint.v + k] = coordinate
    sites = list(parts.sites)
    for s in range(mj.nsite):
        body, outer = parts.at[links[mj.site_bodyid[s]]]
        if name_of("SITE", s):
            here = Placement.of(rotation(mj.site_quat[s]), mj.site_pos[s])
            sites.append(Site(name_of("SITE", s), body, outer.then(here)))
    try:
        return BodyModel(
            name=document.root.get("model", source.stem) if document is not None else "mujoco",
            bodies=tuple(parts.bodies),
            coordinates=tuple(c for c in coordinates if c is not None),
            nq=int(mj.nq),
            gravity=Placement.of(translation=mj.opt.gravity).translation,
            sites=tuple(sites),
            actuators=_actuators(mj, mujoco, name_of),
            couplings={} if "equality" in ignore else _couplings(mj, mujoco),
            source=str(document.path) if document is not None else "",
        )
    except ConfigError as error:  # names that meet, as a joint called root.tx
        raise FormatError(f"{source}: {error}") from None


def rotation(quaternion: Any) -> np.ndarray:
    """Rotation matrix of a quaternion w x y z, [3, 3]."""
    w, x, y, z = np.asarray(quaternion, float) / np.linalg.norm(quaternion)
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )


def _names(given: list[str], word: str) -> list[str]:
    """Names for everything: the nameless are called by their number, out of the way of the others."""
    taken, found = set(given), []
    for i, name in enumerate(given):
        while not name or (name in taken and not given[i]):
            name = f"{word}{i}" if not name else f"{name}_"
        found.append(name)
    return found


def _joint(mj: Any, j: int, name: str) -> tuple[Joint, Placement, Placement]:
    """The joint, its frame in the body's, and the body's frame in the joint's moved frame.

    MuJoCo turns the body about an anchor, and counts displacements from qpos0; here the joint's frame stands at the
    anchor, and the body is set back by qpos0 inside of it, so that q is qpos.
    """
    kind, q, v = int(mj.jnt_type[j]), int(mj.jnt_qposadr[j]), int(mj.jnt_dofadr[j])
    if kind == FREE:
        return Joint(name, "free", q=q, v=v), NO_PLACEMENT, NO_PLACEMENT
    anchor = np.asarray(mj.jnt_pos[j])
    if kind == BALL:
        return Joint(name, "spherical", q=q, v=v), Placement.of(translation=anchor), Placement.of(translation=-anchor)
    axis = np.asarray(mj.jnt_axis[j]) / np.linalg.norm(mj.jnt_axis[j])
    direction, start = Placement.of(translation=axis).translation, float(mj.qpos0[q])
    if kind == SLIDE:
        return Joint(name, "prismatic", direction, q, v), NO_PLACEMENT, Placement.of(translation=-start * axis)
    back = rotation([np.cos(start / 2), *(-np.sin(start / 2) * axis)]) if start else np.eye(3)
    return (
        Joint(name, "revolute", direction, q, v),
        Placement.of(translation=anchor),
        Placement.of(back, back @ -anchor),
    )


def _coordinates(mj: Any, j: int, name: str, joint: Joint) -> Iterator[Coordinate]:
    """The velocity numbers of a joint: limits of one-dof joints, losses, armature, springs of one-dof joints."""
    v = joint.v
    if joint.kind == "free":
        plain: tuple[Coordinate, ...] = free_coordinates(name)
    elif joint.kind == "spherical":
        plain = tuple(Coordinate(f"{name}.{axis}") for axis in ("rx", "ry", "rz"))
    else:
        lower, upper = mj.jnt_range[j] if mj.jnt_limited[j] else (-np.inf, np.inf)
        lower, upper = (np.copysign(np.inf, x) if abs(x) >= 1e9 else x for x in (lower, upper))
        effort = float(max(abs(mj.jnt_actfrcrange[j]))) if mj.jnt_actfrclimited[j] else np.inf
        plain = (
            Coordinate(
                name,
                joint.kind == "revolute",
                float(lower),
                float(upper),
                effort=effort,
                stiffness=float(mj.jnt_stiffness[j]),
                rest=float(mj.qpos_spring[joint.q]),
            ),
        )
    for k, coordinate in enumerate(plain):
        yield replace(
            coordinate,
            armature=float(mj.dof_armature[v + k]),
            damping=float(mj.dof_damping[v + k]),
            friction=float(mj.dof_frictionloss[v + k]),
        )


def _foreign_forces(mj: Any, mujoco: Any, name_of: Any) -> Iterator[tuple[str, str, str, str]]:
    """(of `IGNORABLE`, tag, name, what) of all that moves bodies and is not in a `BodyModel`."""
    kinds = {int(getattr(mujoco.mjtEq, f"mjEQ_{k.upper()}")): k for k in ("connect", "weld", "joint", "tendon")}
    for e in range(mj.neq):
        kind = kinds.get(int(mj.eq_type[e]), "flex")
        if mj.eq_active0[e] and kind != "joint":
            yield "equality", kind, name_of("EQUALITY", e), f"an equality constraint of type {kind}"
    acting = [
        np.asarray(getattr(mj, f"tendon_{w}", np.zeros(mj.ntendon))) for w in ("stiffness", "damping", "armature")
    ]
    for t in range(mj.ntendon):
        if any(a[t] for a in acting) or mj.tendon_frictionloss[t] or mj.tendon_limited[t]:
            yield "tendon", "*", name_of("TENDON", t), "a tendon with stiffness, damping, friction, armature or limits"
    if mj.opt.density or mj.opt.viscosity:
        yield "fluid", "option", "", "a surrounding fluid (density or viscosity)"
    for i in range(mj.nbody):
        if mj.body_gravcomp[i]:
            yield "gravcomp", "body", name_of("BODY", i), "gravity compensation"
    for j in range(mj.njnt):
        v, type_ = mj.jnt_dofadr[j], int(mj.jnt_type[j])
        poly = [getattr(mj, "jnt_stiffnesspoly", None), getattr(mj, "dof_dampingpoly", None)]  # since 3.6
        bent = any(p is not None and np.any(p[i]) for p, i in zip(poly, (j, v)))
        if bent or (mj.jnt_stiffness[j] and type_ in (FREE, BALL)):
            yield "nonlinear", "joint", name_of("JOINT", j), "a spring on a free or ball joint, or a polynomial force"
    if mj.nflex:
        yield "equality", "*", "", "flexible bodies"


def _refusal(
    source: Path, document: XmlDocument | None, tag: str, name: str, found: str, what: str | None
) -> FormatError:
    """The complaint about something a `BodyModel` cannot hold."""
    line = ""
    if document is not None:
        for element in document.root.iter(tag):
            if name == (element.get("name") or ""):
                line = f"line {element.sourceline}: "
                break
    called = f" ({quoted(name)})" if name else ""
    remedy = f"Remove it, or pass ignore=({what!r},) to leave it out." if what else "Remove it."
    return complaint(
        source, f"{line}{found}{called}", expected="rigid bodies, joints, springs and losses of joints", remedy=remedy
    )


def _actuators(mj: Any, mujoco: Any, name_of: Any) -> tuple[Actuator, ...]:
    """Motors on one-dof joints; others are named in a warning, as they do not enter the torques of a motion."""
    found, left = [], []
    names = _names([name_of("ACTUATOR", a) for a in range(mj.nu)], "actuator")
    for a in range(mj.nu):
        j = int(mj.actuator_trnid[a, 0])
        on_joint = int(mj.actuator_trntype[a]) == int(mujoco.mjtTrn.mjTRN_JOINT) and mj.jnt_type[j] in (SLIDE, HINGE)
        motor = (
            int(mj.actuator_gaintype[a]) == int(mujoco.mjtGain.mjGAIN_FIXED)
            and int(mj.actuator_biastype[a]) == int(mujoco.mjtBias.mjBIAS_NONE)
            and int(mj.actuator_dyntype[a]) == int(mujoco.mjtDyn.mjDYN_NONE)
        )
        if on_joint and motor:
            gear = float(mj.actuator_gear[a, 0] * mj.actuator_gainprm[a, 0])
            found.append(Actuator(names[a], int(mj.jnt_dofadr[j]), gear))
        else:
            left.append(names[a])
    if left:
        LOG.warning("actuators that are no motors on one joint are left out: %s", ", ".join(left[:8]))
    return tuple(found)


def _couplings(mj: Any, mujoco: Any) -> dict[int, Drive]:
    """Equality constraints between joints: y - y0 = a0 + a1 (x - x0) + ... as functions of q."""
    found: dict[int, Drive] = {}
    for e in range(mj.neq):
        if int(mj.eq_type[e]) != int(mujoco.mjtEq.mjEQ_JOINT) or not mj.eq_active0[e]:
            continue
        one, other = int(mj.eq_obj1id[e]), int(mj.eq_obj2id[e])
        y = int(mj.jnt_qposadr[one])
        shape = np.polynomial.Polynomial(np.asarray(mj.eq_data[e, :5], float))
        if other < 0:
            found[y] = Drive.constant(float(mj.qpos0[y] + shape.coef[0]))
            continue
        x = int(mj.jnt_qposadr[other])
        moved = shape(np.polynomial.Polynomial([-float(mj.qpos0[x]), 1.0])) + float(mj.qpos0[y])
        term = Term(x, int(mj.jnt_dofadr[other]), "polynomial", tuple(float(c) for c in moved.coef))
        found[y] = Drive((term,))
    return found
