"""Where the bodies are, how fast they move, and the Jacobians of frames on them (Featherstone, RBDA 2008, 4.)."""

from __future__ import annotations

from collections.abc import Sequence

from invdyn.bodies.joints import body_placement, motion_columns
from invdyn.bodies.model import BodyModel, Site
from invdyn.kernels.algebra import (
    Matrix,
    Vector,
    constant_matrix,
    constant_vector,
    cross,
    identity,
    matmul,
    matvec,
    vadd,
    vsub,
    zeros,
)
from invdyn.kernels.scalar import Scalar

__all__ = ["frame_jacobian", "path_to", "placements", "site_placement"]


def placements(model: BodyModel, q: Sequence[Scalar], only: Sequence[int] | None = None) -> list[tuple[Matrix, Vector]]:
    """Rotation and translation (m) of every body's frame in the world.

    Args:
        only: bodies that are needed with their ancestors; the others get the identity.
    """
    needed = set(range(len(model.bodies))) if only is None else {b for i in only for b in path_to(model, i)}
    found: list[tuple[Matrix, Vector]] = []
    for i, body in enumerate(model.bodies):
        if i not in needed:
            found.append((identity(3), zeros(3)))
            continue
        r, p = body_placement(body, q)
        if body.parent >= 0:
            r0, p0 = found[body.parent]
            r, p = matmul(r0, r), vadd(p0, matvec(r0, p))
        found.append((r, p))
    return found


def path_to(model: BodyModel, i: int) -> list[int]:
    """The body and its ancestors, the root first."""
    path = []
    while i >= 0:
        path.append(i)
        i = model.bodies[i].parent
    return path[::-1]


def site_placement(site: Site, where: Sequence[tuple[Matrix, Vector]]) -> tuple[Matrix, Vector]:
    """Placement of a named frame in the world, given those of the bodies; sites of the world (body -1) stand still."""
    r, p = where[site.body] if site.body >= 0 else (identity(3), zeros(3))
    inner_r, inner_p = constant_matrix(site.placement.rotation), constant_vector(site.placement.translation)
    return matmul(r, inner_r), vadd(p, matvec(r, inner_p))


def frame_jacobian(model: BodyModel, q: Sequence[Scalar], site: Site) -> tuple[Matrix, Matrix]:
    """Linear and angular velocity of a frame's origin in world axes, per velocity number: two [3][nv].

    Equation: v_point = J_v v, w = J_w v (Pinocchio's LOCAL_WORLD_ALIGNED).
    """
    world = placements(model, q, [site.body])
    _, point = site_placement(site, world)
    linear: Matrix = [zeros(model.nv) for _ in range(3)]
    angular: Matrix = [zeros(model.nv) for _ in range(3)]
    for i in path_to(model, site.body):
        r, p = world[i]
        for k, lin, ang in motion_columns(model.bodies[i].joint, q):
            w = matvec(r, ang)
            u = vadd(matvec(r, lin), cross(w, vsub(point, p)))
            for row in range(3):  # driven joints add to numbers seen before
                linear[row][k] = vadd([linear[row][k]], [u[row]])[0]
                angular[row][k] = vadd([angular[row][k]], [w[row]])[0]
    return linear, angular
