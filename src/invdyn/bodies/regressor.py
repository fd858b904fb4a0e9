"""The inertial regressor: tau = Y(q, v, a) pi (Atkeson, An & Hollerbach, IJRR 1986)."""

from __future__ import annotations

from collections.abc import Sequence

from invdyn.bodies.joints import body_placement, motion_columns
from invdyn.bodies.model import BodyModel
from invdyn.bodies.rnea import BodyMotion, at_rest, moved_on
from invdyn.kernels.algebra import Matrix, Vector, cross, dot, matmul, matvec, skew, transpose, vadd, zeros
from invdyn.kernels.scalar import Scalar, add, mul, neg, sub

__all__ = ["inertial_regressor"]

Column = tuple[int, Vector, Vector]


def inertial_regressor(
    model: BodyModel,
    q: Sequence[Scalar],
    v: Sequence[Scalar],
    a: Sequence[Scalar],
    gravity: Sequence[Scalar] | None = None,
) -> Matrix:
    """Y of tau = Y pi, [nv][10 nbody]; pi end to end as in `Inertia.parameters`, armature left out.

    What each velocity number moves is carried down the tree into every body's axes, and paired there with the ten
    wrenches of unit parameters, most of whose numbers are zero.
    """
    y: Matrix = [zeros(10 * len(model.bodies)) for _ in range(model.nv)]

    def visit(i: int, parent: BodyMotion, columns: list[Column]) -> None:
        body = model.bodies[i]
        rotation, p = body_placement(body, q)
        back = transpose(rotation)
        motion = moved_on(body, rotation, p, parent, q, v, a)
        carried = [(k, matvec(back, vadd(lin, cross(ang, p))), matvec(back, ang)) for k, lin, ang in columns]
        here = carried + motion_columns(body.joint, q)
        for k, lin, ang in here:
            for j, value in enumerate(_unit_powers(motion, lin, ang)):
                y[k][10 * i + j] = add(y[k][10 * i + j], value)  # driven joints meet a number twice
        for child in model.children[i]:
            visit(child, motion, here)

    for root in model.children[-1]:
        visit(root, at_rest(model, gravity), [])
    return y


def _unit_powers(motion: BodyMotion, lin: Vector, ang: Vector) -> Vector:
    """lin . force + ang . moment for each of the ten unit parameters; see `rnea.inertial_wrench`.

    ang . (skew part of B S) = sum of S * (B^T [ang]x), entry by entry, with S = tr(I)/2 - I.
    """
    back = transpose(motion.b)
    first = vadd(matvec(back, lin), cross(motion.a, ang))
    d = matmul(back, skew(ang))
    half = mul(0.5, add(add(d[0][0], d[1][1]), d[2][2]))
    return [
        dot(lin, motion.a),
        *first,
        sub(half, d[0][0]),
        neg(add(d[0][1], d[1][0])),
        sub(half, d[1][1]),
        neg(add(d[0][2], d[2][0])),
        neg(add(d[1][2], d[2][1])),
        sub(half, d[2][2]),
    ]
