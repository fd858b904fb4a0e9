"""Recursive Newton-Euler: the generalised forces a motion needs (Luh, Walker & Paul 1980; Featherstone 2008, 5.3)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from invdyn.bodies.joints import body_placement, joint_motion, motion_columns
from invdyn.bodies.model import Body, BodyModel, Inertia
from invdyn.kernels.algebra import Matrix, Vector, cross, dot, matvec, scale, transpose, vadd, vsub, zeros
from invdyn.kernels.scalar import Scalar, add, mul, neg, sub

__all__ = ["BodyMotion", "inertial_wrench", "moved_on", "rnea"]


Matter = tuple[Scalar, Vector, Matrix]
"""Mass, mass times centre, second moments."""


@dataclass
class BodyMotion:
    """How a body moves, in its own axes.

    Args:
        w: angular velocity.
        b: [dw]x + [w]x[w]x: what turns a point of the body into its acceleration against the origin.
        a: classical acceleration of the origin, minus the fall of gravity.
    """

    w: Vector
    dw: Vector
    b: Matrix
    a: Vector


def rnea(
    model: BodyModel,
    q: Sequence[Scalar],
    v: Sequence[Scalar],
    a: Sequence[Scalar],
    gravity: Sequence[Scalar] | None = None,
    wrenches: Sequence[Scalar] | None = None,
    inertias: Sequence[Scalar] | None = None,
) -> Vector:
    """Generalised forces tau = M(q) a + c(q, v) + g(q) - sum J^T w, with armature, without friction.

    Args:
        model: the tree.
        q, v, a: positions, velocities and their rates (see `joints`), lists of nq, nv, nv scalars.
        gravity: acceleration of free fall in the world, m/s^2; None takes the model's.
        wrenches: external (force N, moment N m about the body's origin) per body in the body's axes, 6 nbody.
        inertias: inertial parameters per body (`Inertia.parameters`), 10 nbody; None takes the model's.

    Returns:
        nv scalars, N m or N.

    The recursion goes depth first, so that in the straight-line program only one path from the root is live.
    """
    tau: Vector = [mul(float(c.armature), a[k]) for k, c in enumerate(model.coordinates)]

    def visit(i: int, parent: BodyMotion) -> tuple[Vector, Vector]:
        """Force, and moment about the parent's origin, that the parent must give to body i; in the parent's axes."""
        body = model.bodies[i]
        rotation, p = body_placement(body, q)
        motion = moved_on(body, rotation, p, parent, q, v, a)
        force, moment = wrench_of(matter[i], motion)
        if wrenches is not None:
            force = vsub(force, list(wrenches[6 * i : 6 * i + 3]))
            moment = vsub(moment, list(wrenches[6 * i + 3 : 6 * i + 6]))
        for child in model.children[i]:
            f, n = visit(child, motion)
            force, moment = vadd(force, f), vadd(moment, n)
        for k, linear, angular in motion_columns(body.joint, q):
            tau[k] = add(tau[k], add(dot(linear, force), dot(angular, moment)))
        on_parent = matvec(rotation, force)
        return on_parent, vadd(matvec(rotation, moment), cross(p, on_parent))

    if inertias is None:
        matter = [constant_matter(j) for j in regrouped(model)]
    else:
        matter = [second_moments(list(inertias[10 * i : 10 * i + 10])) for i in range(len(model.bodies))]
    world = at_rest(model, gravity)
    for root in model.children[-1]:
        visit(root, world)
    return tau


def at_rest(model: BodyModel, gravity: Sequence[Scalar] | None = None) -> BodyMotion:
    """The world: it does not turn, and accelerates against free fall, which is how gravity enters."""
    fall = model.gravity if gravity is None else gravity
    return BodyMotion(zeros(3), zeros(3), [zeros(3), zeros(3), zeros(3)], [neg(g) for g in fall])


def moved_on(
    body: Body,
    rotation: Matrix,
    p: Vector,
    parent: BodyMotion,
    q: Sequence[Scalar],
    v: Sequence[Scalar],
    a: Sequence[Scalar],
) -> BodyMotion:
    """The motion of a body from that of its parent; `rotation`, `p` are its placement there."""
    back = transpose(rotation)
    move = joint_motion(body.joint, q, v, a)
    carried = matvec(back, parent.w)
    w = vadd(carried, move.angular)
    dw = vadd(vadd(matvec(back, parent.dw), move.angular_rate), cross(carried, move.angular))
    acceleration = vadd(matvec(back, vadd(parent.a, matvec(parent.b, p))), move.linear_rate)
    turning = vadd(scale(2.0, carried), move.angular)  # Coriolis, and the turning of the joint's own axes
    acceleration = vadd(acceleration, cross(turning, move.linear))
    return BodyMotion(w, dw, turning_matrix(w, dw), acceleration)


def turning_matrix(w: Vector, dw: Vector) -> Matrix:
    """[dw]x + [w]x[w]x."""
    xx, yy, zz = mul(w[0], w[0]), mul(w[1], w[1]), mul(w[2], w[2])
    xy, xz, yz = mul(w[0], w[1]), mul(w[0], w[2]), mul(w[1], w[2])
    return [
        [neg(add(yy, zz)), sub(xy, dw[2]), add(xz, dw[1])],
        [add(xy, dw[2]), neg(add(xx, zz)), sub(yz, dw[0])],
        [sub(xz, dw[1]), add(yz, dw[0]), neg(add(xx, yy))],
    ]


def inertial_wrench(parameters: Vector, motion: BodyMotion) -> tuple[Vector, Vector]:
    """Force, and moment about the origin, that move a body of ten parameters so; linear in them."""
    return wrench_of(second_moments(parameters), motion)


def second_moments(parameters: Vector) -> Matter:
    """(m, m c, S) of the ten parameters, with S = integral of r r^T dm = tr(I)/2 - I."""
    mass, h = parameters[0], list(parameters[1:4])
    xx, xy, yy, xz, yz, zz = parameters[4:10]
    half = mul(0.5, add(add(xx, yy), zz))
    second = [
        [sub(half, xx), neg(xy), neg(xz)],
        [neg(xy), sub(half, yy), neg(yz)],
        [neg(xz), neg(yz), sub(half, zz)],
    ]
    return mass, h, second


def wrench_of(matter: Matter, motion: BodyMotion) -> tuple[Vector, Vector]:
    """Force m a + B h and moment integral of r x (B r) dm + h x a: the skew part of B S is the integral."""
    mass, h, second = matter
    force = vadd(scale(mass, motion.a), matvec(motion.b, h))

    def product(i: int, j: int) -> Scalar:
        return dot(motion.b[i], second[j])

    skewed = [
        sub(product(2, 1), product(1, 2)),
        sub(product(0, 2), product(2, 0)),
        sub(product(1, 0), product(0, 1)),
    ]
    return force, vadd(skewed, cross(h, motion.a))


def regrouped(model: BodyModel) -> list[np.ndarray]:
    """Pseudo-inertias [[S, h], [h^T, m]] that need the least arithmetic for the same generalised forces.

    Matter spread along the axis of a revolute joint (m, h along the axis, S along the axis) is at rest in the parent as
    well, so it is counted there; so is the mass at the centre of a spherical joint, and the S of a body that only
    slides (Khalil & Kleinfinger 1987 regroup the same parameters). What reaches the world vanishes.
    """
    pseudo = [pseudo_inertia(b.inertia) for b in model.bodies]
    for i in reversed(range(len(model.bodies))):
        body = model.bodies[i]
        keep = _at_rest_in_parent(body)
        if keep is None:
            continue
        part = np.where(keep, pseudo[i], 0.0)
        pseudo[i] = np.where(keep, 0.0, pseudo[i])
        if body.parent >= 0:
            to = np.eye(4)
            to[:3, :3], to[:3, 3] = body.placement.rotation, body.placement.translation
            pseudo[body.parent] = pseudo[body.parent] + to @ part @ to.T
    return pseudo


def pseudo_inertia(inertia: Inertia) -> np.ndarray:
    """[[S, m c], [m c^T, m]], [4, 4] (Wensing, Kim & Slotine 2017)."""
    mass, h, second = second_moments([float(x) for x in inertia.parameters])
    return np.block([[np.array(second), np.array(h)[:, None]], [np.array(h)[None], np.array([[mass]])]])


def _at_rest_in_parent(body: Body) -> np.ndarray | None:
    """Entries of a pseudo-inertia that the joint leaves at rest in its parent; None: none, or not as entries."""
    kind, keep = body.joint.kind, np.zeros((4, 4), bool)
    if kind == "revolute":
        axis = np.flatnonzero(np.asarray(body.joint.axis))
        if len(axis) != 1:
            return None
        line = [int(axis[0]), 3]
        keep[np.ix_(line, line)] = True
    elif kind == "spherical":
        keep[3, 3] = True
    elif kind == "prismatic":
        keep[:3, :3] = True
    else:
        return None
    return keep


def constant_matter(pseudo: np.ndarray) -> Matter:
    """A pseudo-inertia as floats."""
    return float(pseudo[3, 3]), [float(x) for x in pseudo[:3, 3]], [[float(x) for x in row] for row in pseudo[:3, :3]]


def body_parameters(body: Body) -> Vector:
    """The body's own ten parameters as floats."""
    return [float(x) for x in body.inertia.parameters]
