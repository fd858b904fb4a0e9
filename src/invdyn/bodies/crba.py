"""Composite rigid bodies: the mass matrix (Featherstone, RBDA 2008, table 6.2)."""

from __future__ import annotations

from collections.abc import Sequence

from invdyn.bodies.joints import body_placement, motion_columns
from invdyn.bodies.model import BodyModel
from invdyn.bodies.rnea import body_parameters
from invdyn.kernels.algebra import Matrix, Vector, cross, dot, matmul, matvec, scale, vadd, zeros
from invdyn.kernels.scalar import Scalar, add, mul, sub

__all__ = ["composite", "crba", "moved_parameters", "symmetric"]


def crba(model: BodyModel, q: Sequence[Scalar]) -> Matrix:
    """The mass matrix M(q), [nv][nv], with armature; kg, kg m, kg m^2.

    Driven joints: M = J^T M_e J with the slopes of their drives, because their columns are already scaled by them.
    """
    where = [body_placement(b, q) for b in model.bodies]
    whole = composite(model, where)
    m: Matrix = [zeros(model.nv) for _ in range(model.nv)]
    for i, body in enumerate(model.bodies):
        for k, lin, ang in motion_columns(body.joint, q):
            force, moment = momentum(whole[i], lin, ang)
            j, f, n = i, force, moment
            while True:
                for row, l2, a2 in motion_columns(model.bodies[j].joint, q):
                    value = add(dot(l2, f), dot(a2, n))
                    m[row][k] = add(m[row][k], value)
                    if j != i:
                        m[k][row] = add(m[k][row], value)
                r, p = where[j]
                j = model.bodies[j].parent
                if j < 0:
                    break
                f = matvec(r, f)
                n = vadd(matvec(r, n), cross(p, f))
    for k, c in enumerate(model.coordinates):
        m[k][k] = add(m[k][k], float(c.armature))
    return m


def composite(model: BodyModel, where: Sequence[tuple[Matrix, Vector]]) -> list[Vector]:
    """Ten parameters of each body with all it carries, in its own frame; `where` holds placements in the parents."""
    whole = [body_parameters(b) for b in model.bodies]
    for i in reversed(range(len(model.bodies))):
        parent = model.bodies[i].parent
        if parent >= 0:
            whole[parent] = vadd(whole[parent], moved_parameters(whole[i], *where[i]))
    return whole


def momentum(parameters: Vector, linear: Vector, angular: Vector) -> tuple[Vector, Vector]:
    """Linear momentum, and angular momentum about the origin, of a body with ten parameters."""
    mass, h = parameters[0], list(parameters[1:4])
    turned = matvec(symmetric(list(parameters[4:10])), angular)
    return vadd(scale(mass, linear), cross(angular, h)), vadd(turned, cross(h, linear))


def symmetric(six: Vector) -> Matrix:
    """The matrix of (xx, xy, yy, xz, yz, zz)."""
    xx, xy, yy, xz, yz, zz = six
    return [[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]]


def moved_parameters(parameters: Vector, r: Matrix, p: Vector) -> Vector:
    """Ten parameters seen from a frame in which the body's own frame stands at (r, p).

    I' = R I R^T + 2 (p.Rh) - p Rh^T - Rh p^T + m (p.p - p p^T), h' = R h + m p.
    """
    mass, h = parameters[0], matvec(r, list(parameters[1:4]))
    turned = _rotated(r, symmetric(list(parameters[4:10])))
    moved = vadd(h, scale(mass, p))
    # with s = h + h', both terms together are (p.s) - (p s^T + s p^T)/2
    s = vadd(h, moved)
    ps = dot(p, s)

    def entry(i: int, j: int) -> Scalar:
        cross_term = mul(p[i], s[j]) if i == j else mul(0.5, add(mul(p[i], s[j]), mul(p[j], s[i])))
        return sub(add(turned[i][j], ps if i == j else 0.0), cross_term)

    six = [entry(0, 0), entry(0, 1), entry(1, 1), entry(0, 2), entry(1, 2), entry(2, 2)]
    return [mass, *moved, *six]


def _rotated(r: Matrix, inertia: Matrix) -> Matrix:
    """R I R^T; only one half is computed."""
    half = matmul(r, inertia)
    out: Matrix = [zeros(3) for _ in range(3)]
    for i in range(3):
        for j in range(i, 3):
            out[i][j] = out[j][i] = dot(half[i], r[j])
    return out
