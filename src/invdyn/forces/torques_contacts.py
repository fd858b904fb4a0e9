"""Contacts that nobody measured: found from the motion, their forces by the friction-cone QP of `contacts.py`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float

from invdyn.bodies.model import BodyModel, Placement, Site
from invdyn.errors import ConfigError
from invdyn.forces.contacts import Pressure, centre_of_pressure, contact_forces, detect_contacts
from invdyn.forces.torques_evaluation import Evaluation, last
from invdyn.forces.torques_loads import WorldLoads
from invdyn.forces.torques_root import Root
from invdyn.forces.torques_smoothing import SmoothMotion

__all__ = ["ContactPoint", "FoundContacts", "contact_model", "find_contact_forces"]


@dataclass(frozen=True)
class ContactPoint:
    """A point that may touch the ground: a named frame or body, and where in it.

    Args:
        site: frame or body. offset: m, in its axes.
    """

    site: str
    offset: tuple[float, float, float] = (0.0, 0.0, 0.0)

    @property
    def name(self) -> str:
        return self.site if not any(self.offset) else f"{self.site}@{','.join(f'{x:g}' for x in self.offset)}"

    @classmethod
    def parse(cls, text: str) -> ContactPoint:
        """`SITE` or `SITE@x,y,z`.

        Raises:
            ConfigError: an offset that is not three numbers.
        """
        site, at, numbers = text.partition("@")
        if not at:
            return cls(site)
        try:
            x, y, z = (float(n) for n in numbers.split(","))
        except ValueError:
            raise ConfigError(
                f"--contacts {text!r}: expected SITE or SITE@x,y,z in m, for example left_foot@0.1,0,-0.05."
            ) from None
        return cls(site, (x, y, z))


@dataclass(frozen=True)
class FoundContacts:
    """Attributes:
    names: of the points. closed: [T, k]. height: [T, k] m above the ground. force: [T, k, 3] N, world.
    pressure: centre of pressure and free moment of all of them on the ground.
    loads: the forces, by body.
    """

    names: tuple[str, ...]
    closed: Bool[np.ndarray, "time k"]
    height: Float[np.ndarray, "time k"]
    force: Float[np.ndarray, "time k 3"]
    pressure: Pressure
    loads: WorldLoads

    def untouched(self) -> list[tuple[str, float]]:
        """Points that never close, and their least height, m."""
        return [(n, float(self.height[:, k].min())) for k, n in enumerate(self.names) if not self.closed[:, k].any()]


def contact_model(model: BodyModel, points: Sequence[ContactPoint]) -> BodyModel:
    """The model with a frame of its own for each point.

    Raises:
        UnknownNameError: a frame the model does not have. ConfigError: a point of the world, or given twice.
    """
    added: list[Site] = []
    for point in points:
        base = model.site(point.site)
        if base.body < 0:
            raise ConfigError(f"--contacts {point.name}: it is fixed to the world. Name a frame of a moving body.")
        if any(s.name == f"contact:{point.name}" for s in added):
            raise ConfigError(f"--contacts {point.name} stands twice. Leave one out.")
        where = base.placement.then(Placement.of(translation=point.offset))
        added.append(Site(f"contact:{point.name}", base.body, where, "contact"))
    return replace(model, sites=(*model.sites, *added))


def upwards(model: BodyModel) -> Float[np.ndarray, " 3"]:
    """Unit vector against gravity, in the world.

    Raises:
        ConfigError: a model without gravity.
    """
    gravity = np.asarray(model.gravity, float)
    if not np.linalg.norm(gravity) > 0:
        raise ConfigError(f"model {model.name!r} has no gravity, so nothing says where up is. Give it one.")
    return -gravity / np.linalg.norm(gravity)


def find_contact_forces(
    evaluation: Evaluation,
    motion: SmoothMotion,
    points: Sequence[ContactPoint],
    root: Root,
    *,
    ground: float = 0.0,
    friction: float = 0.8,
    thresholds: tuple[float, float] = (0.03, 0.3),
    smoothness: float = 0.0,
) -> FoundContacts:
    """Contact forces that explain the root.

    Args:
        evaluation: of a model made by `contact_model`.
        ground: height of the ground along up (against gravity), m.
        thresholds: height (m) and speed (m/s) below which a contact closes; it opens at 5/3 and twice of them.
        friction, smoothness: see `contact_forces`.
    """
    model, dynamics = evaluation.model, evaluation.dynamics
    up = upwards(model)
    names = [f"contact:{p.name}" for p in points]
    q = last(motion.q)
    where = np.moveaxis(dynamics.frames(q, names).translation.numpy(), -1, 0)
    jacobian = np.stack([torch.movedim(dynamics.jacobian(q, n)[:3], -1, 0).numpy() for n in names], axis=1)
    velocity = np.einsum("tkij,tj->tki", jacobian, motion.v)
    height = where @ up - ground
    closed = detect_contacts(
        motion.time,
        height,
        np.linalg.norm(velocity, axis=2),
        closes=thresholds,
        opens=(thresholds[0] * 5 / 3, thresholds[1] * 2),
    )
    bare = evaluation.forces(motion.q, motion.v, motion.a)
    first = [*root.rows, *(k for k in range(model.nv) if k not in root.rows)]
    found = contact_forces(
        np.ascontiguousarray(bare[:, first]),
        np.ascontiguousarray(jacobian[..., first]),
        up,
        friction,
        closed=closed,
        smoothness=smoothness,
    )
    moment = np.cross(where, found.force)
    total = np.concatenate([found.force.sum(1), moment.sum(1)], axis=1)
    owners = [model.site(n).body for n in names]
    bodies = tuple(dict.fromkeys(owners))
    wrench = np.zeros((len(motion.time), len(bodies), 6))
    for k, owner in enumerate(owners):
        wrench[:, bodies.index(owner)] += np.concatenate([found.force[:, k], moment[:, k]], axis=1)
    pressure = centre_of_pressure(total, origin=ground * up, normal=up)
    return FoundContacts(
        tuple(p.name for p in points), closed, height, found.force, pressure, WorldLoads(bodies, wrench)
    )
