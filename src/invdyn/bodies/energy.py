"""Energy, centre of mass and momentum of the whole tree (Orin, Goswami & Lee 2013 for the centroidal quantities)."""

from __future__ import annotations

from collections.abc import Sequence

from invdyn.bodies.crba import momentum, moved_parameters
from invdyn.bodies.joints import body_placement, joint_motion, motion_columns
from invdyn.bodies.kinematics import placements
from invdyn.bodies.model import BodyModel
from invdyn.bodies.rnea import body_parameters
from invdyn.kernels.algebra import Matrix, Vector, cross, dot, matvec, scale, transpose, vadd, vsub, zeros
from invdyn.kernels.scalar import Scalar, add, mul

__all__ = [
    "body_velocities",
    "centre_of_mass",
    "centroidal_matrix",
    "centroidal_momentum",
    "kinetic_energy",
    "potential_energy",
]


def body_velocities(model: BodyModel, q: Sequence[Scalar], v: Sequence[Scalar]) -> list[tuple[Vector, Vector]]:
    """(linear velocity of the origin, angular velocity) of every body in its own axes; m/s, rad/s."""
    found: list[tuple[Vector, Vector]] = []
    for body in model.bodies:
        r, p = body_placement(body, q)
        lin0, ang0 = found[body.parent] if body.parent >= 0 else (zeros(3), zeros(3))
        move = joint_motion(body.joint, q, v, zeros(model.nv))
        back = transpose(r)
        lin = vadd(matvec(back, vadd(lin0, cross(ang0, p))), move.linear)
        found.append((lin, vadd(matvec(back, ang0), move.angular)))
    return found


def kinetic_energy(model: BodyModel, q: Sequence[Scalar], v: Sequence[Scalar]) -> Scalar:
    """Kinetic energy of bodies and armatures, J."""
    total: Scalar = 0.0
    for body, (lin, ang) in zip(model.bodies, body_velocities(model, q, v)):
        p, h = momentum(body_parameters(body), lin, ang)
        total = add(total, add(dot(p, lin), dot(h, ang)))
    for k, c in enumerate(model.coordinates):
        total = add(total, mul(float(c.armature), mul(v[k], v[k])))
    return mul(0.5, total)


def potential_energy(model: BodyModel, q: Sequence[Scalar]) -> Scalar:
    """Energy in gravity, zero with the centre of mass in the world's origin; J."""
    return mul(-model.mass, dot(list(model.gravity), centre_of_mass(model, q)))


def centre_of_mass(model: BodyModel, q: Sequence[Scalar]) -> Vector:
    """Centre of mass in the world, m."""
    total = zeros(3)
    for body, (r, p) in zip(model.bodies, placements(model, q)):
        parameters = body_parameters(body)
        total = vadd(total, vadd(scale(parameters[0], p), matvec(r, parameters[1:4])))
    return scale(1.0 / model.mass, total)


def centroidal_matrix(model: BodyModel, q: Sequence[Scalar]) -> Matrix:
    """A of (linear momentum, angular momentum about the centre of mass) = A v, world axes, [6][nv]."""
    where = placements(model, q)
    com = centre_of_mass(model, q)
    rows: Matrix = [zeros(model.nv) for _ in range(6)]
    carried = [moved_parameters(body_parameters(b), *place) for b, place in zip(model.bodies, where)]
    for i in reversed(range(len(model.bodies))):
        parent = model.bodies[i].parent
        if parent >= 0:
            carried[parent] = vadd(carried[parent], carried[i])
    for i, body in enumerate(model.bodies):
        r, p = where[i]
        for k, lin, ang in motion_columns(body.joint, q):
            w = matvec(r, ang)
            u = vadd(matvec(r, lin), cross(p, w))  # velocity of the point at the world's origin
            force, moment = momentum(carried[i], u, w)
            column = [*force, *vsub(moment, cross(com, force))]
            for row in range(6):
                rows[row][k] = add(rows[row][k], column[row])
    return rows


def centroidal_momentum(model: BodyModel, q: Sequence[Scalar], v: Sequence[Scalar]) -> Vector:
    """(linear momentum, angular momentum about the centre of mass), world axes; kg m/s, kg m^2/s."""
    return matvec(centroidal_matrix(model, q), list(v))
