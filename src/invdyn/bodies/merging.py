"""Links that cannot move, merged into the bodies that carry them: `Assembly` while reading, `locked` afterwards."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from invdyn.bodies.drive import Drive, Term
from invdyn.bodies.model import NV, Body, BodyModel, Coordinate, Inertia, Joint, Placement, Site
from invdyn.errors import ConfigError

__all__ = ["WORLD", "Assembly", "free_coordinates", "locked", "massless_leaves"]

WORLD = ""
"""The name under which `Assembly` knows the world; no link can be called so."""
AT_ORIGIN = Placement()


@dataclass
class Assembly:
    """Links so far.

    Args:
        bodies: those that move.
        sites: links that do not move against their parent, as frames; also other frames.
        at: link -> the body it belongs to (-1 the world) and the placement of the link's frame in that body's.
    """

    bodies: list[Body] = field(default_factory=list)
    sites: list[Site] = field(default_factory=list)
    at: dict[str, tuple[int, Placement]] = field(default_factory=lambda: {WORLD: (-1, Placement())})

    def weld(self, link: str, parent: str, placement: Placement, inertia: Inertia) -> None:
        """A link fixed to another; what is fixed to the world weighs nothing, as nothing moves it."""
        body, outer = self.at[parent]
        where = outer.then(placement)
        self.at[link] = body, where
        self.sites.append(Site(link, body, where))
        if body >= 0:
            merged = self.bodies[body].inertia.plus(inertia.moved(where))
            self.bodies[body] = replace(self.bodies[body], inertia=merged)

    def move(
        self,
        link: str,
        parent: str,
        placement: Placement,
        joint: Joint,
        inertia: Inertia,
        offset: Placement = AT_ORIGIN,
        named: bool = True,
    ) -> None:
        """A link carried by a joint.

        Args:
            link, parent: names.
            placement: of the joint's frame in the parent link's frame.
            joint: how it moves.
            inertia: in the link's frame.
            offset: of the link's frame in the joint's moved frame, which is the body's; if there is one, the link's
                frame is kept as a site called like the link, and the body is called `<link>.body`.
            named: False for a link that only stands between two joints and needs no site.
        """
        body, outer = self.at[parent]
        index = len(self.bodies)
        name = link if offset == AT_ORIGIN else f"{link}.body"
        self.bodies.append(Body(name, body, joint, outer.then(placement), inertia.moved(offset)))
        self.at[link] = index, offset
        if named and name != link:
            self.sites.append(Site(link, index, offset))


def massless_leaves(model: BodyModel) -> tuple[str, ...]:
    """Bodies that weigh nothing and carry nothing that does: M(q) is singular unless their joints have armature."""
    heavy = [b.inertia.mass > 0 or bool(np.any(b.inertia.about_com)) for b in model.bodies]
    for i in reversed(range(len(model.bodies))):
        parent = model.bodies[i].parent
        if parent >= 0:
            heavy[parent] = heavy[parent] or heavy[i]
    return tuple(b.name for b, h in zip(model.bodies, heavy) if not h)


def locked(model: BodyModel, positions: Mapping[str, float]) -> BodyModel:
    """The same tree with some one-dof joints held still, their bodies merged into the parents.

    Args:
        model: the tree.
        positions: coordinate name -> where it is held, rad or m.

    Raises:
        UnknownNameError: no such coordinate.
        ConfigError: a coordinate of a free or spherical joint.
    """
    held = {model.coordinate(name): float(value) for name, value in positions.items()}
    held_q: dict[int, float] = {}
    for body in model.bodies:
        joint = body.joint
        if joint.drive is None:
            if joint.kind in ("revolute", "prismatic"):
                if joint.v in held:
                    held_q[joint.q] = held[joint.v]
                continue
            bad = sorted(v for v in held if joint.v <= v < joint.v + NV[joint.kind])
            if bad:
                raise ConfigError(
                    f"model {model.name!r}: coordinate {model.coordinates[bad[0]].name!r} belongs to the {joint.kind} "
                    f"joint {joint.name!r}; expected one of a one-dof joint. Load the model with another root instead."
                )
    q_of = {q: k for k, q in enumerate(q for q in range(model.nq) if q not in held_q)}
    v_of = {v: k for k, v in enumerate(v for v in range(model.nv) if v not in held)}
    at: dict[int, tuple[int, Placement]] = {-1: (-1, Placement())}
    bodies: list[Body] = []
    for i, body in enumerate(model.bodies):
        parent, outer = at[body.parent]
        joint, placement = body.joint, outer.then(body.placement)
        drive = None if joint.drive is None else _held(joint.drive, held_q, q_of, v_of)
        still = joint.drive is None and joint.v in held
        if still or (drive is not None and all(t.q < 0 for t in drive.terms)):
            x = held[joint.v] if drive is None else float(sum(float(t.evaluate(0.0)[0]) for t in drive.terms))
            where = placement.then(_moved(joint, x))
            at[i] = parent, where
            if parent >= 0:
                bodies[parent] = replace(bodies[parent], inertia=bodies[parent].inertia.plus(body.inertia.moved(where)))
            continue
        numbers = {"drive": drive} if drive is not None else {"q": q_of[joint.q], "v": v_of[joint.v]}
        at[i] = len(bodies), Placement()
        bodies.append(Body(body.name, parent, replace(joint, **numbers), placement, body.inertia))
    frames = [Site(b.name, i) for i, b in enumerate(model.bodies) if at[i][1] != AT_ORIGIN]
    return replace(
        model,
        bodies=tuple(bodies),
        coordinates=tuple(c for v, c in enumerate(model.coordinates) if v in v_of),
        nq=len(q_of),
        sites=tuple(
            replace(s, body=at[s.body][0], placement=at[s.body][1].then(s.placement)) for s in (*model.sites, *frames)
        ),
        actuators=tuple(replace(a, v=v_of[a.v]) for a in model.actuators if a.v in v_of),
        couplings={q_of[q]: _held(d, held_q, q_of, v_of) for q, d in model.couplings.items() if q in q_of},
    )


def _held(drive: Drive, held: Mapping[int, float], q_of: Mapping[int, int], v_of: Mapping[int, int]) -> Drive:
    """A drive whose held coordinates have become constants, the others renumbered."""
    terms = []
    for term in drive.terms:
        if term.q in held:
            terms.append(Term(-1, -1, "polynomial", (float(term.evaluate(held[term.q])[0]),)))
        elif term.q < 0:
            terms.append(term)
        else:
            terms.append(replace(term, q=q_of[term.q], v=v_of[term.v]))
    return Drive(tuple(terms))


def _moved(joint: Joint, x: float) -> Placement:
    """Where a one-dof joint takes its body."""
    axis = np.asarray(joint.axis)
    if joint.kind == "prismatic":
        return Placement.of(translation=x * axis)
    k = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    return Placement.of(np.eye(3) + np.sin(x) * k + (1 - np.cos(x)) * k @ k)


def free_coordinates(name: str) -> tuple[Coordinate, ...]:
    """The six coordinates of a free joint."""
    return tuple(
        Coordinate(f"{name}.{axis}", rotational=axis[0] == "r") for axis in ("tx", "ty", "tz", "rx", "ry", "rz")
    )
