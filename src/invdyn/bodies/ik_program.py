"""What inverse kinematics moves, and one traced program for where the frames are and how they move with it."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from functools import cached_property, partial
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from invdyn.bodies.joints import motion_columns
from invdyn.bodies.kinematics import path_to, placements, site_placement
from invdyn.bodies.manifold import integrate, plain_numbers
from invdyn.bodies.model import BodyModel, Site
from invdyn.errors import ConfigError
from invdyn.kernels.algebra import Matrix, cross, matvec, scale, vadd, vsub, zeros
from invdyn.kernels.function import Backend, Function
from invdyn.kernels.program import Block, Program, trace
from invdyn.kernels.scalar import Scalar, add, mul

__all__ = ["Independent", "task_program"]


class Independent:
    """The velocity numbers that may move by themselves: neither coupled to others nor held.

    Args:
        model: its `couplings` are kept: dependent positions follow.
        held: names of coordinates that stay where they start.

    Attributes:
        v: numbers that move. lower, upper: [len(v)] their limits (infinite for those of quaternions).

    Raises:
        UnknownNameError: a held coordinate the model lacks.
        ConfigError: couplings that run in a circle.
    """

    def __init__(self, model: BodyModel, held: Collection[str] = (), backend: Backend = "auto") -> None:
        self.model, self.backend = model, backend
        at_q, at_v = plain_numbers(model)
        self.q_of = dict(zip(at_v, at_q))
        self.v_of = dict(zip(at_q, at_v))
        still = {model.coordinate(name) for name in held} | {self.v_of[q] for q in model.couplings}
        self.v = [k for k in range(model.nv) if k not in still]
        self.place = {k: i for i, k in enumerate(self.v)}
        plain = [k in self.q_of for k in self.v]
        named = [model.coordinates[k] for k in self.v]
        self.lower = [c.lower if p else -math.inf for c, p in zip(named, plain)]
        self.upper = [c.upper if p else math.inf for c, p in zip(named, plain)]
        for number in model.couplings:
            self._check_circle(number, ())

    def moved(self, q: Float[Tensor, "nq batch"], step: Float[Tensor, "moving batch"]) -> Float[Tensor, "nq batch"]:
        """Positions after a step of the moving numbers; those with limits stay inside; dependent ones follow."""
        full = step.new_zeros(self.model.nv, step.shape[1])
        full[self.v] = step
        return self.kept(integrate(self.model, q, full))

    def kept(self, q: Float[Tensor, "nq batch"]) -> Float[Tensor, "nq batch"]:
        """The same positions with dependent ones as their couplings say."""
        if not self.model.couplings:
            return q
        q = q.clone()
        q[list(self.model.couplings)] = self._followers(q)[0]
        return q

    def within(self, q: Float[Tensor, "nq batch"]) -> Float[Tensor, "nq batch"]:
        """The same positions, moving ones between their limits."""
        q = q.clone()
        for k, low, high in zip(self.v, self.lower, self.upper):
            if k in self.q_of:
                q[self.q_of[k]] = q[self.q_of[k]].clamp(low, high)
        return self.kept(q)

    def values(self, q: Float[Tensor, "nq batch"]) -> Float[Tensor, "moving batch"]:
        """Moving positions by number; NaN for those of quaternions."""
        rows = [q[self.q_of[k]] if k in self.q_of else torch.full_like(q[0], math.nan) for k in self.v]
        return torch.stack(rows) if rows else q[:0]

    def columns(self, k: int, q: Sequence[Scalar]) -> Mapping[int, Scalar]:
        """How much velocity number k moves with each moving number (as places in `v`)."""
        number = self.q_of.get(k)
        if number is None or number not in self.model.couplings:
            return {self.place[k]: 1.0} if k in self.place else {}
        return self._coupled(number, q)[1]

    def _coupled(self, number: int, q: Sequence[Scalar]) -> tuple[Scalar, Mapping[int, Scalar]]:
        """Value of a position number and its slopes in the moving ones, through chains of couplings."""
        if number not in self.model.couplings:
            return q[number], self.columns(self.v_of[number], q)
        value: Scalar = 0.0
        slopes: dict[int, Scalar] = {}
        for term in self.model.couplings[number].terms:
            at, inner = self._coupled(term.q, q) if term.q >= 0 else (0.0, {})
            here, slope, _ = term.evaluate(at)
            value = add(value, here)
            for i, s in inner.items():
                slopes[i] = add(slopes.get(i, 0.0), mul(slope, s))
        return value, slopes

    @cached_property
    def _followers(self) -> Function:
        """Values of the dependent positions."""
        numbers = list(self.model.couplings)
        name = f"{self.model.name}.couplings"
        return Function(
            trace(name, lambda q: {"q": [self._coupled(i, q)[0] for i in numbers]}, [Block("q", self.model.nq)]),
            self.backend,
        )

    def _check_circle(self, number: int, seen: tuple[int, ...]) -> None:
        if number in seen:
            raise ConfigError(
                f"model {self.model.name!r}: coordinate {self.model.coordinates[self.v_of[number]].name!r} depends on "
                "itself through its couplings. Leave one of them out."
            )
        if number in self.model.couplings:
            for term in self.model.couplings[number].terms:
                if term.q >= 0:
                    self._check_circle(term.q, (*seen, number))


def task_program(moving: Independent, points: Sequence[Site], frames: Sequence[Site]) -> Program:
    """Where sites are in the world, and their Jacobians in the moving numbers.

    Returns:
        A program of q with outputs `translation` [sites, 3] of points and then frames, `linear` [sites, 3, moving]
        (m/s in world axes), and of frames alone `rotation` [frames, 3, 3] and `angular` [frames, 3, moving].
    """
    return trace(f"{moving.model.name}.ik", partial(_sites, moving, points, frames), [Block("q", moving.model.nq)])


def _sites(moving: Independent, points: Sequence[Site], frames: Sequence[Site], q: Any) -> dict[str, Any]:
    model = moving.model
    sites = (*points, *frames)
    world = placements(model, q, sorted({s.body for s in sites if s.body >= 0}))
    turns: dict[int, list[tuple[Mapping[int, Scalar], list[Scalar], list[Scalar]]]] = {}
    found: dict[str, list[Scalar]] = {"translation": [], "linear": [], "rotation": [], "angular": []}
    for at, site in enumerate(sites):
        r, p = site_placement(site, world)
        linear: Matrix = [zeros(len(moving.v)) for _ in range(3)]
        angular: Matrix = [zeros(len(moving.v)) for _ in range(3)]
        for i in path_to(model, site.body):
            if i not in turns:
                columns = motion_columns(model.bodies[i].joint, q)
                r0 = world[i][0]
                turns[i] = [(moving.columns(k, q), matvec(r0, lin), matvec(r0, ang)) for k, lin, ang in columns]
            for slopes, lin, ang in turns[i]:
                u = vadd(lin, cross(ang, vsub(p, world[i][1])))
                for k, slope in slopes.items():
                    for rows, part in ((linear, scale(slope, u)), (angular, scale(slope, ang))):
                        for row in range(3):
                            rows[row][k] = add(rows[row][k], part[row])
        found["translation"] += p
        found["linear"] += [x for row in linear for x in row]
        if at >= len(points):
            found["rotation"] += [x for row in r for x in row]
            found["angular"] += [x for row in angular for x in row]
    return found
