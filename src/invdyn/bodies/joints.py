"""What each kind of joint does: how it moves its body, and which velocities it allows.

Conventions (as in Pinocchio, so that vectors can be compared): a free joint has q = (position in the parent,
quaternion x y z w) and v = (linear, angular) velocity of the body's origin in the body's own axes; a spherical joint
q = quaternion x y z w and v = angular velocity in the body's axes; `a` is the plain time derivative of `v`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from invdyn.bodies.model import Body, Joint
from invdyn.kernels.algebra import (
    Matrix,
    Vector,
    constant_matrix,
    constant_vector,
    identity,
    matmul,
    matvec,
    scale,
    vadd,
    zeros,
)
from invdyn.kernels.scalar import Scalar, add, cos, mul, sin, sub

__all__ = ["JointMotion", "body_placement", "joint_motion", "motion_columns"]


@dataclass
class JointMotion:
    """Velocity and acceleration a joint adds, in the body's axes.

    Args:
        linear, angular: velocity of the body against the joint frame.
        linear_rate, angular_rate: their time derivatives in the body's axes.
    """

    linear: Vector
    angular: Vector
    linear_rate: Vector
    angular_rate: Vector


def body_placement(body: Body, q: Sequence[Scalar]) -> tuple[Matrix, Vector]:
    """Rotation and translation (m) of the body's frame in its parent's frame."""
    fixed_r = constant_matrix(body.placement.rotation)
    fixed_p = constant_vector(body.placement.translation)
    r, p = joint_placement(body.joint, q)
    moved = vadd(fixed_p, matvec(fixed_r, p))
    return (fixed_r if r is None else matmul(fixed_r, r)), moved


def joint_placement(joint: Joint, q: Sequence[Scalar]) -> tuple[Matrix | None, Vector]:
    """Rotation (None: none) and translation the joint makes."""
    if joint.kind == "revolute":
        return axis_rotation(joint.axis, displacement(joint, q)), zeros(3)
    if joint.kind == "prismatic":
        return None, scale(displacement(joint, q), constant_vector(joint.axis))
    if joint.kind == "spherical":
        return quaternion_rotation(q[joint.q : joint.q + 4]), zeros(3)
    return quaternion_rotation(q[joint.q + 3 : joint.q + 7]), list(q[joint.q : joint.q + 3])


def displacement(joint: Joint, q: Sequence[Scalar]) -> Scalar:
    """Angle (rad) or distance (m) of a one-dof joint."""
    return q[joint.q] if joint.drive is None else joint.drive.displacement(q)


def joint_motion(joint: Joint, q: Sequence[Scalar], v: Sequence[Scalar], a: Sequence[Scalar]) -> JointMotion:
    """Velocity and acceleration the joint adds to its body."""
    if joint.kind in ("revolute", "prismatic"):
        if joint.drive is None:
            speed, rate = v[joint.v], a[joint.v]
        else:
            speed, rate = 0.0, 0.0
            for k, (slope, curvature) in joint.drive.slopes(q).items():
                speed = add(speed, mul(slope, v[k]))
                rate = add(rate, add(mul(slope, a[k]), mul(curvature, mul(v[k], v[k]))))
        axis = constant_vector(joint.axis)
        moved, turned = scale(speed, axis), scale(rate, axis)
        if joint.kind == "revolute":
            return JointMotion(zeros(3), moved, zeros(3), turned)
        return JointMotion(moved, zeros(3), turned, zeros(3))
    k = joint.v
    if joint.kind == "spherical":
        return JointMotion(zeros(3), list(v[k : k + 3]), zeros(3), list(a[k : k + 3]))
    return JointMotion(list(v[k : k + 3]), list(v[k + 3 : k + 6]), list(a[k : k + 3]), list(a[k + 3 : k + 6]))


def motion_columns(joint: Joint, q: Sequence[Scalar]) -> list[tuple[int, Vector, Vector]]:
    """(velocity number, linear, angular): the body velocity each number causes, in the body's axes."""
    if joint.kind in ("revolute", "prismatic"):
        axis = constant_vector(joint.axis)
        slopes = {joint.v: (1.0, 0.0)} if joint.drive is None else joint.drive.slopes(q)
        if joint.kind == "revolute":
            return [(k, zeros(3), scale(slope, axis)) for k, (slope, _) in slopes.items()]
        return [(k, scale(slope, axis), zeros(3)) for k, (slope, _) in slopes.items()]
    turns: list[tuple[int, Vector, Vector]] = [
        (joint.v + i + (3 if joint.kind == "free" else 0), zeros(3), identity(3)[i]) for i in range(3)
    ]
    if joint.kind == "spherical":
        return turns
    return [(joint.v + i, identity(3)[i], zeros(3)) for i in range(3)] + turns


def axis_rotation(axis: Sequence[float], angle: Scalar) -> Matrix:
    """Rotation about a unit vector (Rodrigues); about a coordinate axis it is a plane rotation."""
    n = constant_vector(axis)
    c, s = cos(angle), sin(angle)
    around = [[0.0, -n[2], n[1]], [n[2], 0.0, -n[0]], [-n[1], n[0], 0.0]]
    if sorted(abs(x) for x in n) == [0.0, 0.0, 1.0]:
        return [
            [add(1.0 if n[i] and i == j else c if i == j else 0.0, mul(around[i][j], s)) for j in range(3)]
            for i in range(3)
        ]
    rest = sub(1.0, c)
    return [
        [add(add(c if i == j else 0.0, mul(around[i][j], s)), mul(n[i] * n[j], rest)) for j in range(3)]
        for i in range(3)
    ]


def quaternion_rotation(quaternion: Sequence[Scalar]) -> Matrix:
    """Rotation of a unit quaternion x y z w."""
    x, y, z, w = quaternion
    x2, y2, z2 = add(x, x), add(y, y), add(z, z)
    xx, yy, zz = mul(x, x2), mul(y, y2), mul(z, z2)
    xy, xz, yz = mul(x, y2), mul(x, z2), mul(y, z2)
    wx, wy, wz = mul(w, x2), mul(w, y2), mul(w, z2)
    return [
        [sub(1.0, add(yy, zz)), sub(xy, wz), add(xz, wy)],
        [add(xy, wz), sub(1.0, add(xx, zz)), sub(yz, wx)],
        [sub(xz, wy), add(yz, wx), sub(1.0, add(xx, yy))],
    ]
