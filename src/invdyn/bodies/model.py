"""`BodyModel`: a tree of bodies, what holds them together, what they weigh.

A joint carries its body from a frame fixed in the parent body (`placement`) by a motion of its kind. Everything
that is not one of the five kinds is composed of them with massless bodies between: planar = two prismatic and a
revolute, universal and gimbal = two and three revolutes, OpenSim's custom joints = three prismatic and three
revolutes whose displacements are functions of coordinates (`Drive`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np

from invdyn.bodies.drive import Drive
from invdyn.errors import ConfigError, unknown_name

__all__ = ["Actuator", "Body", "BodyModel", "Coordinate", "Inertia", "Joint", "Placement", "Site"]

Vector3 = tuple[float, float, float]
Matrix3 = tuple[Vector3, Vector3, Vector3]
UNIT: Matrix3 = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
NQ = {"revolute": 1, "prismatic": 1, "spherical": 4, "free": 7}
NV = {"revolute": 1, "prismatic": 1, "spherical": 3, "free": 6}


@dataclass(frozen=True)
class Placement:
    """Where a frame stands in another: x_outer = rotation x_inner + translation (m)."""

    rotation: Matrix3 = UNIT
    translation: Vector3 = (0.0, 0.0, 0.0)

    @classmethod
    def of(cls, rotation: Any = UNIT, translation: Any = (0.0, 0.0, 0.0)) -> Placement:
        """From anything numpy reads."""
        r, p = np.asarray(rotation, float).reshape(3, 3), np.asarray(translation, float).reshape(3)
        return cls(tuple(tuple(float(x) for x in row) for row in r), tuple(float(x) for x in p))  # type: ignore[arg-type]

    def then(self, inner: Placement) -> Placement:
        """This placement followed by one inside it."""
        r, p = np.asarray(self.rotation), np.asarray(self.translation)
        return Placement.of(r @ np.asarray(inner.rotation), r @ np.asarray(inner.translation) + p)

    def inverse(self) -> Placement:
        r, p = np.asarray(self.rotation), np.asarray(self.translation)
        return Placement.of(r.T, -r.T @ p)


@dataclass(frozen=True)
class Inertia:
    """What a body weighs.

    Args:
        mass: kg.
        com: centre of mass in the body's frame, m.
        about_com: rotational inertia about the centre of mass in the body's axes, kg m^2.
    """

    mass: float = 0.0
    com: Vector3 = (0.0, 0.0, 0.0)
    about_com: Matrix3 = ((0.0, 0.0, 0.0), (0.0, 0.0, 0.0), (0.0, 0.0, 0.0))

    @classmethod
    def of(cls, mass: float, com: Any, about_com: Any) -> Inertia:
        """From anything numpy reads."""
        moved = Placement.of(about_com, com)  # the same shapes
        return cls(float(mass), moved.translation, moved.rotation)

    @property
    def parameters(self) -> np.ndarray:
        """(m, m c, Ixx, Ixy, Iyy, Ixz, Iyz, Izz), the inertia about the frame's origin; [10]."""
        c = np.asarray(self.com)
        inertia = np.asarray(self.about_com) + self.mass * (c @ c * np.eye(3) - np.outer(c, c))
        xx, xy, yy, xz, yz, zz = inertia[[0, 0, 1, 0, 1, 2], [0, 1, 1, 2, 2, 2]]
        return np.array([self.mass, *(self.mass * c), xx, xy, yy, xz, yz, zz])

    @classmethod
    def from_parameters(cls, parameters: Any) -> Inertia:
        """The inverse of `parameters`."""
        m, hx, hy, hz, xx, xy, yy, xz, yz, zz = (float(x) for x in parameters)
        c = np.array([hx, hy, hz]) / m if m else np.zeros(3)
        about = np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]])
        return cls.of(m, c, about - m * (c @ c * np.eye(3) - np.outer(c, c)))

    @property
    def possible(self) -> bool:
        """Whether a mass can have these moments, to a part in a thousand: none negative or above the others' sum."""
        low, middle, high = np.linalg.eigvalsh(np.asarray(self.about_com))
        slack = 1e-9 + 1e-3 * abs(high)  # exporters round
        return bool(low >= -slack and high <= low + middle + slack)

    def moved(self, placement: Placement) -> Inertia:
        """The same body seen from a frame in which its own frame has `placement`."""
        r, p = np.asarray(placement.rotation), np.asarray(placement.translation)
        return Inertia.of(self.mass, r @ np.asarray(self.com) + p, r @ np.asarray(self.about_com) @ r.T)

    def plus(self, other: Inertia) -> Inertia:
        """Both bodies as one; their frames coincide."""
        return Inertia.from_parameters(self.parameters + other.parameters) if other.mass or other.about_com else self


@dataclass(frozen=True)
class Joint:
    """How a body moves against its parent.

    Args:
        name: of the joint.
        kind: revolute (about `axis`), prismatic (along `axis`), spherical or free.
        axis: unit vector in the joint frame; unused by spherical and free.
        q, v: first position and velocity number; -1 where `drive` decides the displacement.
        drive: displacement (rad or m) as a function of positions; None where it is `q` itself.
    """

    name: str
    kind: Literal["revolute", "prismatic", "spherical", "free"]
    axis: Vector3 = (0.0, 0.0, 1.0)
    q: int = -1
    v: int = -1
    drive: Drive | None = None


@dataclass(frozen=True)
class Body:
    """A body, the joint that carries it, and where that joint stands.

    Args:
        name: of the body.
        parent: index of the parent body; -1 is the world. Parents come before children.
        joint: how it moves.
        placement: of the joint's frame in the parent body's frame.
        inertia: in the body's frame, which is the joint's frame moved by the joint.
    """

    name: str
    parent: int
    joint: Joint
    placement: Placement = Placement()
    inertia: Inertia = Inertia()


@dataclass(frozen=True)
class Coordinate:
    """One velocity number of the model.

    Args:
        name: of the coordinate (a one-dof joint's name; `root.tx`, `root.rx`, ... of a free joint).
        rotational: torque in N m and rad if true, force in N and m else.
        lower, upper: position limits, rad or m (infinite if none).
        velocity, effort: their limits (rad/s or m/s; N m or N).
        armature: rotor inertia on the joint side, kg m^2 or kg.
        damping, friction: viscous (per rad/s or m/s) and Coulomb (N m or N).
        stiffness, rest: of a spring to the position `rest` (rad or m): force = -stiffness (q - rest).
    """

    name: str
    rotational: bool = True
    lower: float = -np.inf
    upper: float = np.inf
    velocity: float = np.inf
    effort: float = np.inf
    armature: float = 0.0
    damping: float = 0.0
    friction: float = 0.0
    stiffness: float = 0.0
    rest: float = 0.0


@dataclass(frozen=True)
class Site:
    """A named frame on a body, -1 the world (a link merged by a fixed joint, a marker, a contact point)."""

    name: str
    body: int
    placement: Placement = Placement()
    kind: Literal["frame", "marker", "contact"] = "frame"


@dataclass(frozen=True)
class Actuator:
    """A motor: generalised force = gear * control on one velocity number."""

    name: str
    v: int
    gear: float = 1.0


@dataclass(frozen=True)
class BodyModel:
    """A tree of bodies.

    Args:
        name: of the model.
        bodies: parents before children.
        coordinates: one per velocity number.
        nq: position numbers.
        gravity: acceleration of free fall in the world frame, m/s^2.
        sites: named frames.
        actuators: motors; empty means one per coordinate with gear 1.
        couplings: position number -> its prescribed function of the others (kept independent in the dynamics, as
            OpenSim does; `coupled` positions satisfy them).
        source: file it came from.

    Raises:
        ConfigError: a parent after its child, numbers of a joint outside the model, a repeated name.
    """

    name: str
    bodies: tuple[Body, ...]
    coordinates: tuple[Coordinate, ...]
    nq: int
    gravity: Vector3 = (0.0, 0.0, -9.81)
    sites: tuple[Site, ...] = ()
    actuators: tuple[Actuator, ...] = ()
    couplings: Mapping[int, Drive] = field(default_factory=dict)
    source: str = ""

    def __post_init__(self) -> None:
        for i, body in enumerate(self.bodies):
            if not -1 <= body.parent < i:
                raise ConfigError(
                    f"model {self.name!r}: body {body.name!r} stands before its parent. List parents first."
                )
            joint = body.joint
            if joint.drive is None and not (
                0 <= joint.q <= self.nq - NQ[joint.kind] and 0 <= joint.v <= self.nv - NV[joint.kind]
            ):
                raise ConfigError(
                    f"model {self.name!r}: joint {joint.name!r} uses numbers outside q [{self.nq}] and v [{self.nv}]."
                )
        for what, names in (
            ("body", [b.name for b in self.bodies]),
            ("coordinate", [c.name for c in self.coordinates]),
        ):
            twice = sorted({n for n in names if names.count(n) > 1})
            if twice:
                raise ConfigError(f"model {self.name!r}: the {what} name {twice[0]!r} is used twice. Rename one.")

    @property
    def nv(self) -> int:
        return len(self.coordinates)

    @property
    def mass(self) -> float:
        """Total mass, kg."""
        return sum(b.inertia.mass for b in self.bodies)

    @cached_property
    def children(self) -> Mapping[int, tuple[int, ...]]:
        """Children of each body; of the world under -1."""
        found: dict[int, list[int]] = {i: [] for i in range(-1, len(self.bodies))}
        for i, body in enumerate(self.bodies):
            found[body.parent].append(i)
        return {i: tuple(c) for i, c in found.items()}

    @cached_property
    def parameters(self) -> np.ndarray:
        """Inertial parameters of all bodies end to end, [10 nbody]; see `Inertia.parameters`."""
        return np.array([b.inertia.parameters for b in self.bodies]).reshape(-1)

    @cached_property
    def neutral(self) -> np.ndarray:
        """[nq] the position with all displacements zero and unit quaternions."""
        q = np.zeros(self.nq)
        for body in self.bodies:
            if body.joint.drive is None and body.joint.kind in ("spherical", "free"):
                q[body.joint.q + NQ[body.joint.kind] - 1] = 1.0
        return q

    @cached_property
    def key(self) -> str:
        """A hash of everything that enters the dynamics."""
        facts = [asdict(b) for b in self.bodies], [asdict(c) for c in self.coordinates], self.nq, self.gravity
        text = json.dumps([facts, {k: asdict(d) for k, d in self.couplings.items()}], sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()

    def body(self, name: str) -> int:
        """Index of a body."""
        return self._index("body", name, [b.name for b in self.bodies])

    def coordinate(self, name: str) -> int:
        """Velocity number of a coordinate."""
        return self._index("coordinate", name, [c.name for c in self.coordinates])

    def site(self, name: str) -> Site:
        """A named frame; a body's own frame under the body's name."""
        found = {s.name: s for s in self.sites} | {b.name: Site(b.name, i) for i, b in enumerate(self.bodies)}
        if name not in found:
            raise unknown_name(f"frame of model {self.name!r}", name, found)
        return found[name]

    def with_parameters(self, parameters: Sequence[float] | np.ndarray) -> BodyModel:
        """The same tree with other inertial parameters [10 nbody]."""
        rows = np.asarray(parameters, float)
        if rows.size != 10 * len(self.bodies):
            raise ConfigError(
                f"model {self.name!r}: {rows.size} inertial parameters given for {len(self.bodies)} bodies; "
                f"expected 10 a body."
            )
        rows = rows.reshape(-1, 10)
        for body, row in zip(self.bodies, rows):
            if not np.isfinite(row).all() or (row[0] == 0 and row[1:4].any()):
                what = "first moments without mass" if np.isfinite(row).all() else "numbers that are not finite"
                raise ConfigError(
                    f"model {self.name!r}: the parameters of body {body.name!r} have {what} ({row.tolist()}); expected "
                    "(m, m c, Ixx, Ixy, Iyy, Ixz, Iyz, Izz). Correct them."
                )
        bodies = [replace(b, inertia=Inertia.from_parameters(p)) for b, p in zip(self.bodies, rows)]
        return replace(self, bodies=tuple(bodies))

    def with_payload(self, site: str, inertia: Inertia) -> BodyModel:
        """The same tree with a load fixed in a named frame; `inertia` is in that frame's axes."""
        at = self.site(site)
        if at.body < 0:
            raise ConfigError(
                f"model {self.name!r}: frame {site!r} is fixed to the world, which carries no payload. Name "
                "a frame that moves."
            )
        if not (np.isfinite(inertia.parameters).all() and inertia.mass >= 0):
            raise ConfigError(
                f"model {self.name!r}: a payload of {inertia.mass:g} kg at {site!r}; expected finite numbers and a "
                "mass of 0 or more. Correct it."
            )
        bodies = list(self.bodies)
        bodies[at.body] = replace(bodies[at.body], inertia=bodies[at.body].inertia.plus(inertia.moved(at.placement)))
        return replace(self, bodies=tuple(bodies))

    def with_gravity(self, gravity: Sequence[float] | np.ndarray) -> BodyModel:
        """The same tree under other gravity, m/s^2 in the world's axes."""
        told = np.asarray(gravity, float)
        if told.shape != (3,) or not np.isfinite(told).all():
            raise ConfigError(
                f"model {self.name!r}: gravity {gravity}; expected three numbers, for example (0, 0, -9.81)."
            )
        return replace(self, gravity=Placement.of(translation=told).translation)

    def _index(self, what: str, name: str, names: list[str]) -> int:
        if name not in names:
            raise unknown_name(f"{what} of model {self.name!r}", name, names)
        return names.index(name)
