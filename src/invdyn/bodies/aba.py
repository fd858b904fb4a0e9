"""Articulated bodies: the accelerations that forces cause (Featherstone, RBDA 2008, table 7.1)."""

from __future__ import annotations

from collections.abc import Sequence

from invdyn.bodies.crba import crba
from invdyn.bodies.joints import body_placement, motion_columns
from invdyn.bodies.model import BodyModel
from invdyn.bodies.rnea import BodyMotion, at_rest, body_parameters, inertial_wrench, moved_on, rnea
from invdyn.errors import ConfigError
from invdyn.kernels.algebra import (
    Matrix,
    Vector,
    cross,
    dot,
    matadd,
    matmul,
    matvec,
    skew,
    transpose,
    vadd,
    vsub,
    zeros,
)
from invdyn.kernels.scalar import Scalar, add, div, mul, neg, sub

__all__ = ["aba", "solve_symmetric"]


def aba(
    model: BodyModel,
    q: Sequence[Scalar],
    v: Sequence[Scalar],
    tau: Sequence[Scalar],
    wrenches: Sequence[Scalar] | None = None,
) -> Vector:
    """Rates of v under generalised forces tau: the inverse of `rnea`, same arguments, nv scalars.

    A joint of several numbers is eliminated one number at a time, which needs no small matrix inverses.
    Trees with driven joints take M(q) a = tau - c(q, v) instead: their massless links have no articulated inertia.

    Raises:
        ConfigError: a coordinate that moves nothing with inertia.
    """
    if any(b.joint.drive is not None for b in model.bodies):
        matrix, bias = crba(model, q), rnea(model, q, v, zeros(model.nv), wrenches=wrenches)
        for k in range(model.nv):
            _check_inertia(model, k, matrix[k][k])
        return solve_symmetric(matrix, vsub(list(tau), bias))
    n = len(model.bodies)
    where = [body_placement(b, q) for b in model.bodies]
    still = zeros(model.nv)
    motion: list[BodyMotion] = []
    bias_acceleration: list[tuple[Vector, Vector]] = []
    articulated: list[tuple[Matrix, Matrix, Matrix]] = []
    push: list[tuple[Vector, Vector]] = []
    nothing = BodyMotion(zeros(3), zeros(3), [zeros(3)] * 3, zeros(3))
    for i, body in enumerate(model.bodies):
        parent = motion[body.parent] if body.parent >= 0 else nothing
        now = moved_on(body, *where[i], _velocity_only(parent), q, v, still)
        motion.append(now)
        bias_acceleration.append((now.a, now.dw))
        pi = body_parameters(body)
        force, moment = inertial_wrench(pi, _velocity_only(now))
        if wrenches is not None:
            force = vsub(force, list(wrenches[6 * i : 6 * i + 3]))
            moment = vsub(moment, list(wrenches[6 * i + 3 : 6 * i + 6]))
        push.append((force, moment))
        mass = [[pi[0] if r == c else 0.0 for c in range(3)] for r in range(3)]
        xx, xy, yy, xz, yz, zz = pi[4:10]
        articulated.append((mass, skew(pi[1:4]), [[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]]))
    eliminated: list[list[tuple[int, Vector, Vector, Vector, Vector, Scalar, Scalar]]] = [[] for _ in range(n)]
    for i in reversed(range(n)):
        body = model.bodies[i]
        m, h, inertia = articulated[i]
        force, moment = push[i]
        for k, lin, ang in reversed(motion_columns(body.joint, q)):
            # the force on a moving column: h is the coupling, f = m l + h^T w, n = h l + I w
            u_lin = vadd(matvec(m, lin), matvec(transpose(h), ang))
            u_ang = vadd(matvec(h, lin), matvec(inertia, ang))
            d = add(add(dot(lin, u_lin), dot(ang, u_ang)), float(model.coordinates[k].armature))
            _check_inertia(model, k, d)
            left = sub(tau[k], add(dot(lin, force), dot(ang, moment)))
            inverse = div(1.0, d)
            s_lin, s_ang = [mul(inverse, x) for x in u_lin], [mul(inverse, x) for x in u_ang]
            m = _less(m, u_lin, s_lin, symmetric=True)
            h = _less(h, u_ang, s_lin, symmetric=False)
            inertia = _less(inertia, u_ang, s_ang, symmetric=True)
            force = vadd(force, [mul(x, left) for x in s_lin])
            moment = vadd(moment, [mul(x, left) for x in s_ang])
            eliminated[i].append((k, lin, ang, s_lin, s_ang, inverse, left))
        if body.parent >= 0:
            c_lin, c_ang = bias_acceleration[i]
            force = vadd(force, vadd(matvec(m, c_lin), matvec(transpose(h), c_ang)))
            moment = vadd(moment, vadd(matvec(h, c_lin), matvec(inertia, c_ang)))
            r, p = where[i]
            moved = _moved(m, h, inertia, r, p)
            articulated[body.parent] = tuple(matadd(a, b) for a, b in zip(articulated[body.parent], moved))  # type: ignore[assignment]
            f = matvec(r, force)
            f0, n0 = push[body.parent]
            push[body.parent] = vadd(f0, f), vadd(n0, vadd(matvec(r, moment), cross(p, f)))
    rates = zeros(model.nv)
    reached: list[tuple[Vector, Vector]] = []
    for i, body in enumerate(model.bodies):
        r, p = where[i]
        a0, dw0 = reached[body.parent] if body.parent >= 0 else (at_rest(model).a, zeros(3))
        back = transpose(r)
        a = vadd(matvec(back, vadd(a0, cross(dw0, p))), bias_acceleration[i][0])
        dw = vadd(matvec(back, dw0), bias_acceleration[i][1])
        for k, lin, ang, s_lin, s_ang, inverse, left in reversed(eliminated[i]):
            rates[k] = sub(mul(inverse, left), add(dot(s_lin, a), dot(s_ang, dw)))
            a = vadd(a, [mul(rates[k], x) for x in lin])
            dw = vadd(dw, [mul(rates[k], x) for x in ang])
        reached.append((a, dw))
    return rates


def _check_inertia(model: BodyModel, k: int, inertia: Scalar) -> None:
    if type(inertia) is float and inertia == 0.0:
        name = model.coordinates[k].name
        raise ConfigError(
            f"model {model.name!r}: the bodies that coordinate {name!r} moves have no inertia against it, so a force "
            "has no acceleration; expected mass in them, or armature. Add some, or fix the joint."
        )


def _velocity_only(motion: BodyMotion) -> BodyMotion:
    """The part of a motion that velocities cause: no acceleration of the origin, turning by w alone."""
    w = motion.w
    xx, yy, zz = mul(w[0], w[0]), mul(w[1], w[1]), mul(w[2], w[2])
    xy, xz, yz = mul(w[0], w[1]), mul(w[0], w[2]), mul(w[1], w[2])
    turning = [[neg(add(yy, zz)), xy, xz], [xy, neg(add(xx, zz)), yz], [xz, yz, neg(add(xx, yy))]]
    return BodyMotion(w, zeros(3), turning, zeros(3))


def _less(m: Matrix, a: Vector, b: Vector, symmetric: bool) -> Matrix:
    """m - a b^T; of a symmetric result only one half is computed."""
    out: Matrix = [zeros(3) for _ in range(3)]
    for i in range(3):
        for j in range(3):
            out[i][j] = out[j][i] if symmetric and j < i else sub(m[i][j], mul(a[i], b[j]))
    return out


def _moved(m: Matrix, h: Matrix, inertia: Matrix, r: Matrix, p: Vector) -> tuple[Matrix, Matrix, Matrix]:
    """An articulated inertia seen from a frame in which its own frame stands at (r, p)."""
    back, around = transpose(r), skew(p)
    m, h, inertia = (matmul(matmul(r, x), back) for x in (m, h, inertia))
    pm = matmul(around, m)
    moved = matadd(h, pm)
    ph = matmul(around, transpose(h))
    shifted = [[add(add(inertia[i][j], ph[i][j]), ph[j][i]) for j in range(3)] for i in range(3)]
    whole = matadd(shifted, matmul(pm, transpose(around)))
    return m, moved, [[whole[min(i, j)][max(i, j)] for j in range(3)] for i in range(3)]


def solve_symmetric(m: Matrix, b: Vector) -> Vector:
    """x of m x = b for a positive definite matrix by L D L^T; structural zeros cost nothing."""
    n = len(b)
    low: Matrix = [zeros(n) for _ in range(n)]
    d: Vector = zeros(n)
    for j in range(n):
        d[j] = m[j][j]
        for k in range(j):
            d[j] = sub(d[j], mul(mul(low[j][k], low[j][k]), d[k]))
        inverse = div(1.0, d[j])
        for i in range(j + 1, n):
            value = m[i][j]
            for k in range(j):
                value = sub(value, mul(mul(low[i][k], low[j][k]), d[k]))
            low[i][j] = mul(value, inverse)
    x = list(b)
    for i in range(n):
        for k in range(i):
            x[i] = sub(x[i], mul(low[i][k], x[k]))
    x = [div(x[i], d[i]) for i in range(n)]
    for i in reversed(range(n)):
        for k in range(i + 1, n):
            x[i] = sub(x[i], mul(low[k][i], x[k]))
    return x
