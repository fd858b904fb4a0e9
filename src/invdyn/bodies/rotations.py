"""Rotations as torch tensors, batch last: quaternions x y z w, rotation vectors (rad), matrices.

Exact near zero angle by series; a rotation vector is never longer than pi. Sola, Deray & Atchuthan 2018
(arXiv:1812.01537), appendix B and D.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = [
    "cross_matrix",
    "inverse_left_jacobian",
    "left_jacobian",
    "matrix_from_quaternion",
    "quaternion_exp",
    "quaternion_from_matrix",
    "quaternion_log",
    "quaternion_product",
    "rotate",
]

SMALL = 1e-3
"""rad; below, closed forms lose digits and two terms of the series are exact to float64."""


def quaternion_product(a: Float[Tensor, "4 batch"], b: Float[Tensor, "4 batch"]) -> Float[Tensor, "4 batch"]:
    """The rotation b followed by a."""
    u, s, w, t = a[:3], a[3], b[:3], b[3]
    vector = s * w + t * u + torch.linalg.cross(u, w, dim=0)
    return torch.cat([vector, (s * t - (u * w).sum(0))[None]])


def quaternion_exp(vector: Float[Tensor, "3 batch"]) -> Float[Tensor, "4 batch"]:
    """Unit quaternion of a rotation vector, rad."""
    square = (vector * vector).sum(0)
    small = square < SMALL**2
    angle = torch.where(small, 1.0, square).sqrt()
    half = torch.where(small, 0.5 - square / 48 + square**2 / 3840, (angle / 2).sin() / angle)
    real = torch.where(small, 1 - square / 8 + square**2 / 384, (angle / 2).cos())
    return torch.cat([half * vector, real[None]])


def quaternion_log(quaternion: Float[Tensor, "4 batch"]) -> Float[Tensor, "3 batch"]:
    """Rotation vector of a unit quaternion, the shorter way round, rad."""
    signed = torch.where(quaternion[3] < 0, -quaternion, quaternion)
    u, s = signed[:3], signed[3]
    square = (u * u).sum(0)
    small = square < SMALL**2 / 4
    length = torch.where(small, 1.0, square).sqrt()
    factor = torch.where(small, 2 / s * (1 - square / (3 * s * s)), 2 * torch.atan2(length, s) / length)
    return factor * u


def matrix_from_quaternion(quaternion: Float[Tensor, "4 batch"]) -> Float[Tensor, "3 3 batch"]:
    """Rotation matrix of a unit quaternion."""
    turned = [rotate(quaternion, e[:, None].expand(3, quaternion.shape[1])) for e in torch.eye(3).to(quaternion)]
    return torch.stack(turned, 1)


def quaternion_from_matrix(matrix: Float[Tensor, "3 3 batch"]) -> Float[Tensor, "4 batch"]:
    """Unit quaternion of a rotation matrix, from its largest component (Shepperd 1978)."""
    xx, yy, zz = matrix[0, 0], matrix[1, 1], matrix[2, 2]
    skew = [matrix[2, 1] - matrix[1, 2], matrix[0, 2] - matrix[2, 0], matrix[1, 0] - matrix[0, 1]]
    both = [matrix[0, 1] + matrix[1, 0], matrix[0, 2] + matrix[2, 0], matrix[1, 2] + matrix[2, 1]]
    rows = torch.stack(  # 4 q_i q_j
        [
            torch.stack([1 + xx - yy - zz, both[0], both[1], skew[0]]),
            torch.stack([both[0], 1 - xx + yy - zz, both[2], skew[1]]),
            torch.stack([both[1], both[2], 1 - xx - yy + zz, skew[2]]),
            torch.stack([*skew, 1 + xx + yy + zz]),
        ]
    )
    best = torch.stack([rows[i, i] for i in range(4)]).argmax(0)
    chosen = rows.gather(0, best.expand(1, 4, -1))[0]
    return chosen / chosen.norm(dim=0)


def rotate(quaternion: Float[Tensor, "4 batch"], vector: Float[Tensor, "3 batch"]) -> Float[Tensor, "3 batch"]:
    """The vector turned by the quaternion."""
    u, s = quaternion[:3], quaternion[3]
    twice = 2 * torch.linalg.cross(u, vector, dim=0)
    return vector + s * twice + torch.linalg.cross(u, twice, dim=0)


def cross_matrix(vector: Float[Tensor, "3 batch"]) -> Float[Tensor, "3 3 batch"]:
    """[v]x of v x u = [v]x u."""
    x, y, z = vector
    o = torch.zeros_like(x)
    return torch.stack([torch.stack([o, -z, y]), torch.stack([z, o, -x]), torch.stack([-y, x, o])])


def left_jacobian(vector: Float[Tensor, "3 batch"]) -> Float[Tensor, "3 3 batch"]:
    """J of exp(v + dv) = exp(J dv) exp(v): also what turns a steady twist's linear part into a displacement."""
    square = (vector * vector).sum(0)
    small = square < SMALL**2
    safe = torch.where(small, 1.0, square)
    angle = safe.sqrt()
    b = torch.where(small, 0.5 - square / 24, (1 - angle.cos()) / safe)
    c = torch.where(small, 1 / 6 - square / 120, (angle - angle.sin()) / (safe * angle))
    return _series(vector, b, c)


def inverse_left_jacobian(vector: Float[Tensor, "3 batch"]) -> Float[Tensor, "3 3 batch"]:
    """The inverse of `left_jacobian`; its transpose is the inverse right Jacobian. Defined for less than 2 pi."""
    square = (vector * vector).sum(0)
    small = square < SMALL**2
    safe = torch.where(small, 1.0, square)
    half = safe.sqrt() / 2
    c = torch.where(small, 1 / 12 + square / 720, (1 - half * half.cos() / half.sin()) / safe)
    return _series(vector, torch.full_like(c, -0.5), c)


def _series(vector: Tensor, b: Tensor, c: Tensor) -> Tensor:
    """E + b [v]x + c [v]x [v]x."""
    turn = cross_matrix(vector)
    eye = torch.eye(3).to(vector)[:, :, None]
    return eye + b * turn + c * torch.einsum("ijb,jkb->ikb", turn, turn)
