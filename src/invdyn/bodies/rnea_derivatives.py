"""Derivatives of `rnea` as matrices, in closed form (Carpentier & Mansard, RSS 2018; Singh et al., RA-L 2022).

All motion is written in one frame per tree (the world, or the body of a free joint at its root, whose velocity numbers
then are unit vectors), so that what bodies carry adds up without turning. Per pair of joints on one path there are then
five numbers to compute, each a product of 3-vectors, in place of a tangent through the whole recursion.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from invdyn.bodies.joints import body_placement, motion_columns
from invdyn.bodies.model import BodyModel
from invdyn.bodies.rnea import BodyMotion, Matter, constant_matter, regrouped, turning_matrix, wrench_of
from invdyn.kernels.algebra import (
    Matrix,
    Vector,
    constant_matrix,
    cross,
    dot,
    identity,
    matadd,
    matmul,
    matvec,
    scale,
    transpose,
    vadd,
    vneg,
    zeros,
)
from invdyn.kernels.scalar import Scalar, add, mul, neg, sub

__all__ = ["has_closed_form", "rnea_derivatives"]


@dataclass
class Twist:
    """A spatial motion in the tree's frame: angular part, and velocity of the point at the frame's origin."""

    w: Vector
    v: Vector

    def plus(self, other: Twist, times: Scalar = 1.0) -> Twist:
        return Twist(vadd(self.w, scale(times, other.w)), vadd(self.v, scale(times, other.v)))

    def crossed(self, other: Twist) -> Twist:
        """self x other, the rate of `other` carried along by `self`."""
        return Twist(cross(self.w, other.w), vadd(cross(self.w, other.v), cross(self.v, other.w)))


@dataclass
class Column:
    """One velocity number of a joint.

    Args:
        k: the number.
        s: the motion it causes.
        rate: what a change of the position does to the velocity of the body, v_parent x s.
        carried: the same of v, as the joint's motion is carried by the body: rate + dot(s).
        second: what it does to the acceleration, a_parent x s + v_parent x rate.
    """

    k: int
    s: Twist
    rate: Twist
    carried: Twist
    second: Twist


@dataclass
class Load:
    """What a body and all it carries weigh and do, about the origin of the tree's frame; all of it adds.

    Args:
        matter: mass, m c, second moments.
        force, moment: they need for their motion.
        momentum: linear.
        gyration: G of 2 B u = (2 G u, 2 u x momentum) for a rotation u: -[w]S - v h^T + (h.v) 1, summed over bodies.
    """

    matter: Matter
    force: Vector
    moment: Vector
    momentum: Vector
    gyration: Matrix

    def plus(self, other: Load) -> Load:
        (m1, h1, s1), (m2, h2, s2) = self.matter, other.matter
        return Load(
            (add(m1, m2), vadd(h1, h2), matadd(s1, s2)),
            vadd(self.force, other.force),
            vadd(self.moment, other.moment),
            vadd(self.momentum, other.momentum),
            matadd(self.gyration, other.gyration),
        )


def has_closed_form(model: BodyModel) -> bool:
    """Whether `rnea_derivatives` knows all joints: hinges and slides without drives, free joints at roots."""
    return all(
        b.joint.drive is None
        and (b.joint.kind in ("revolute", "prismatic") or (b.joint.kind == "free" and b.parent < 0))
        for b in model.bodies
    )


def rnea_derivatives(
    model: BodyModel, q: Sequence[Scalar], v: Sequence[Scalar], a: Sequence[Scalar]
) -> tuple[Matrix, Matrix, Matrix]:
    """d tau / dq [nv][nq], d tau / dv and d tau / da [nv][nv], of a model that `has_closed_form`.

    With joint j on the path from the root to joint i, B the Coriolis matrix and I the inertia of all i carries, f the
    force it needs (Singh, Russell & Wensing 2022; their psi is `Column.rate` and `Column.second`):
    d tau_i / dq_j = s_i . (2 B rate_j + I second_j), d tau_j / dq_i = s_j . (2 B rate_i + I second_i + s_i x* f),
    d tau_i / dv_j = s_i . (2 B s_j + I carried_j), d tau_i / da_j = s_i . I s_j, and the same with i and j exchanged.
    """
    by_q: Matrix = [zeros(model.nq) for _ in range(model.nv)]
    by_v: Matrix = [zeros(model.nv) for _ in range(model.nv)]
    by_a: Matrix = [zeros(model.nv) for _ in range(model.nv)]
    matters = [constant_matter(p) for p in regrouped(model)]
    gravity = [float(g) for g in model.gravity]
    position = {b.joint.v: b.joint.q for b in model.bodies if b.joint.kind != "free"}

    def visit(i: int, r0: Matrix, p0: Vector, velocity: Twist, acceleration: Twist, path: list[Column]) -> Load:
        """Load of body i, whose parent stands at (r0, p0) and moves so; fills the rows and columns of its joint."""
        body = model.bodies[i]
        free = body.joint.kind == "free"
        r, p = body_placement(body, q)
        r, p = (identity(3), zeros(3)) if free else (matmul(r0, r), vadd(p0, matvec(r0, p)))
        columns = []
        before, moved, pushed = velocity, velocity, acceleration
        for k, lin, ang in motion_columns(body.joint, q):
            w = matvec(r, ang)
            s = Twist(w, vadd(matvec(r, lin), cross(p, w)))
            moved, pushed = moved.plus(s, v[k]), pushed.plus(s, a[k])
            columns.append((k, s))
        here = []
        for k, s in columns:
            if free:  # its position enters through gravity alone
                nothing = Twist(zeros(3), zeros(3))
                here.append(Column(k, s, nothing, moved.crossed(s), nothing))
            else:
                rate = before.crossed(s)
                here.append(Column(k, s, rate, rate.plus(rate), acceleration.crossed(s).plus(before.crossed(rate))))
                pushed = pushed.plus(rate, v[k])
        load = _own(matters[i], r, p, moved, pushed)
        along = [*path, *here]
        for child in model.children[i]:
            load = load.plus(visit(child, r, p, moved, pushed, along))
        for column in here:
            _pairs(load, column, along, {c.k for c in here}, position, (by_q, by_v, by_a))
        return load

    for root in model.children[-1]:
        body = model.bodies[root]
        fall = vneg(gravity)
        if body.joint.kind == "free":
            fall = matvec(transpose(body_placement(body, q)[0]), fall)
        visit(root, identity(3), zeros(3), Twist(zeros(3), zeros(3)), Twist(zeros(3), fall), [])
        if body.joint.kind == "free":
            first, linear = body.joint.q + 3, by_a[body.joint.v : body.joint.v + 3]
            turned = _turned_gravity(constant_matrix(body.placement.rotation), q[first : first + 4], gravity, linear)
            for n, row in enumerate(turned):
                for k in range(model.nv):
                    by_q[k][first + n] = row[k]
    for k, c in enumerate(model.coordinates):
        by_a[k][k] = add(by_a[k][k], float(c.armature))
    return by_q, by_v, by_a


def _own(matter: Matter, r: Matrix, p: Vector, velocity: Twist, acceleration: Twist) -> Load:
    """Load of a body alone, placed at (r, p)."""
    mass, h, second = matter
    turned = matvec(r, h)
    shift = scale(mass, p)
    there = vadd(turned, shift)
    half = matmul(r, second)
    s: Matrix = [zeros(3) for _ in range(3)]
    for i in range(3):
        for j in range(i, 3):  # R S R^T + Rh p^T + p Rh^T + m p p^T
            s[i][j] = add(dot(half[i], r[j]), add(mul(there[i], p[j]), mul(p[i], turned[j])))
            s[j][i] = s[i][j]
    w, v = velocity.w, velocity.v
    origin = vadd(acceleration.v, cross(w, v))  # classical acceleration of the body's point at the frame's origin
    moved = BodyMotion(w, acceleration.w, turning_matrix(w, acceleration.w), origin)
    whole: Matter = (mass, there, s)
    force, moment = wrench_of(whole, moved)
    momentum = vadd(scale(mass, v), cross(w, there))
    along = dot(there, v)
    spun = [cross(w, column) for column in s]  # S is symmetric: these are the columns of [w]S
    gyration = [
        [sub(along if i == j else 0.0, add(spun[j][i], mul(v[i], there[j]))) for j in range(3)] for i in range(3)
    ]
    return Load(whole, force, moment, momentum, gyration)


def _pairs(
    load: Load,
    column: Column,
    path: Sequence[Column],
    own: set[int],
    position: dict[int, int],
    matrices: tuple[Matrix, Matrix, Matrix],
) -> None:
    """Derivatives of tau_i in the numbers of joints towards the root, and of theirs in those of i.

    Args:
        load: what joint i carries.
        path: columns from the root to joint i, its own included.
        own: velocity numbers of joint i.
        position: of a velocity number of a hinge or slide, its position number.
        matrices: by q, v, a; filled.
    """
    by_q, by_v, by_a = matrices
    i, s = column.k, column.s
    mass, h, second = load.matter
    trace = add(add(second[0][0], second[1][1]), second[2][2])
    inertia = [[sub(trace if m == n else 0.0, second[m][n]) for n in range(3)] for m in range(3)]
    push, twist = _inertia(mass, h, inertia, s)
    # rows of 2 B: s . 2 B u = 2 u . (G^T w + momentum x v), for rotations u alone
    row = scale(2.0, vadd(matvec(transpose(load.gyration), s.w), cross(load.momentum, s.v)))

    def coriolis(x: Twist) -> tuple[Vector, Vector]:
        return scale(2.0, cross(x.w, load.momentum)), scale(2.0, matvec(load.gyration, x.w))

    f1, n1 = coriolis(s)
    f2, n2 = _inertia(mass, h, inertia, column.carried)
    by_v_force, by_v_moment = vadd(f1, f2), vadd(n1, n2)
    f1, n1 = coriolis(column.rate)
    f2, n2 = _inertia(mass, h, inertia, column.second)
    # s x* f: what turning the load does to the force it needs
    by_q_force = vadd(vadd(f1, f2), cross(s.w, load.force))
    by_q_moment = vadd(vadd(n1, n2), vadd(cross(s.w, load.moment), cross(s.v, load.force)))
    for other in path:
        j = other.k
        by_a[i][j] = by_a[j][i] = add(dot(other.s.w, twist), dot(other.s.v, push))
        by_v[i][j] = add(dot(row, other.s.w), add(dot(other.carried.w, twist), dot(other.carried.v, push)))
        if j not in own:
            by_v[j][i] = add(dot(other.s.w, by_v_moment), dot(other.s.v, by_v_force))
        at = position.get(j)
        if at is not None:
            by_q[i][at] = add(dot(row, other.rate.w), add(dot(other.second.w, twist), dot(other.second.v, push)))
        at = position.get(i)
        if at is not None and j != i:
            by_q[j][at] = add(dot(other.s.w, by_q_moment), dot(other.s.v, by_q_force))


def _inertia(mass: Scalar, h: Vector, inertia: Matrix, x: Twist) -> tuple[Vector, Vector]:
    """Force and moment of an inertia on a motion: (m v + w x h, I w + h x v)."""
    return vadd(scale(mass, x.v), cross(x.w, h)), vadd(matvec(inertia, x.w), cross(h, x.v))


def _turned_gravity(
    placement: Matrix, quaternion: Sequence[Scalar], gravity: Vector, by_acceleration: Matrix
) -> list[Vector]:
    """d tau / d quaternion of a free root, four rows [nv]: it turns gravity against the body, and nothing else.

    Args:
        by_acceleration: d tau / d linear acceleration of the root, three rows [nv].
    """
    x, y, z, w = quaternion
    down = matvec(transpose(placement), vneg(gravity))
    rates = [  # of half the rotation of a quaternion, see `joints.quaternion_rotation`
        [[0.0, y, z], [y, mul(-2.0, x), neg(w)], [z, w, mul(-2.0, x)]],
        [[mul(-2.0, y), x, w], [x, 0.0, z], [neg(w), z, mul(-2.0, y)]],
        [[mul(-2.0, z), neg(w), x], [w, mul(-2.0, z), y], [x, y, 0.0]],
        [[0.0, neg(z), y], [z, 0.0, neg(x)], [neg(y), x, 0.0]],
    ]
    columns = transpose(by_acceleration)
    return [[dot(scale(2.0, matvec(transpose(rate), down)), c) for c in columns] for rate in rates]
