"""Vectors and matrices as lists of scalars (see `scalar`): zeros and ones of a model cost nothing."""

from __future__ import annotations

from collections.abc import Sequence

from invdyn.kernels.scalar import Scalar, add, mul, neg, sub

__all__ = [
    "Matrix", "Vector", "constant_matrix", "constant_vector", "cross", "dot", "identity", "matadd", "matmul",
    "matvec", "outer", "scale", "skew", "transpose", "vadd", "vneg", "vsub", "zeros",
]  # fmt: skip

Vector = list[Scalar]
Matrix = list[Vector]
TIDY = 1e-12
"""Constants this near to 0, 1 or -1 are taken for them: rotations from files hold cos(pi/2) = 6e-17."""


def constant_vector(values: Sequence[float]) -> Vector:
    """Floats of a model, tidied."""
    return [next((k for k in (0.0, 1.0, -1.0) if abs(float(x) - k) < TIDY), float(x)) for x in values]


def constant_matrix(rows: Sequence[Sequence[float]]) -> Matrix:
    return [constant_vector(row) for row in rows]


def zeros(n: int) -> Vector:
    return [0.0] * n


def identity(n: int) -> Matrix:
    return [[1.0 if i == j else 0.0 for j in range(n)] for i in range(n)]


def dot(a: Vector, b: Vector) -> Scalar:
    total: Scalar = 0.0
    for x, y in zip(a, b):
        total = add(total, mul(x, y))
    return total


def cross(a: Vector, b: Vector) -> Vector:
    return [
        sub(mul(a[1], b[2]), mul(a[2], b[1])),
        sub(mul(a[2], b[0]), mul(a[0], b[2])),
        sub(mul(a[0], b[1]), mul(a[1], b[0])),
    ]


def vadd(a: Vector, b: Vector) -> Vector:
    return [add(x, y) for x, y in zip(a, b)]


def vsub(a: Vector, b: Vector) -> Vector:
    return [sub(x, y) for x, y in zip(a, b)]


def vneg(a: Vector) -> Vector:
    return [neg(x) for x in a]


def scale(s: Scalar, a: Vector) -> Vector:
    return [mul(s, x) for x in a]


def matvec(m: Matrix, v: Vector) -> Vector:
    return [dot(row, v) for row in m]


def transpose(m: Matrix) -> Matrix:
    return [list(column) for column in zip(*m)]


def matmul(a: Matrix, b: Matrix) -> Matrix:
    columns = transpose(b)
    return [[dot(row, column) for column in columns] for row in a]


def matadd(a: Matrix, b: Matrix) -> Matrix:
    return [vadd(x, y) for x, y in zip(a, b)]


def outer(a: Vector, b: Vector) -> Matrix:
    return [[mul(x, y) for y in b] for x in a]


def skew(a: Vector) -> Matrix:
    """[a]x, so that matvec(skew(a), b) = cross(a, b)."""
    return [[0.0, neg(a[2]), a[1]], [a[2], 0.0, neg(a[0])], [neg(a[1]), a[0], 0.0]]
