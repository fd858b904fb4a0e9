"""The worst case of a first-order method over all mu-strongly convex, L-smooth functions, as a semidefinite program.

Unknown are the Gram matrix of x_0 - x* and the gradients the method saw, and the values of f there; that some function
of the class has them is one inequality for every ordered pair of points:

    f_i >= f_j + <g_j, x_i - x_j> + [ |g_i - g_j|^2 / L + mu |x_i - x_j|^2
                                      - 2 (mu/L) <g_j - g_i, x_j - x_i> ] / (2 (1 - mu/L))

The optimum is exact in any dimension that is at least the number of vectors: not what a start happened to show.
Sources: Drori and Teboulle, Mathematical Programming 145 (2014); Taylor, Hendrickx and Glineur, 161 (2017), theorem 4.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import scipy.sparse
from jaxtyping import Float

from invdyn.errors import ConfigError, SignalError, require
from invdyn.learning.accelerated import Method

__all__ = ["worst_case"]

Measure = Literal["distance", "value", "potential"]


def _pairs(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of an upper triangle, column by column, as Clarabel stacks it."""
    columns, rows = np.tril_indices(n)
    return rows, columns


def _quadratic(a: np.ndarray, b: np.ndarray) -> Float[np.ndarray, " entry"]:
    """Coefficients of <a, b> on the scaled triangle of the Gram matrix (off-diagonals carry sqrt 2)."""
    outer = (np.outer(a, b) + np.outer(b, a)) / 2
    rows, columns = _pairs(len(a))
    scale = np.where(rows == columns, 1.0, np.sqrt(2))
    return np.asarray(outer[rows, columns] * scale)


def worst_case(
    how: Method,
    mu: float,
    smoothness: float,
    steps: int,
    *,
    initial: Measure = "distance",
    final: Measure = "distance",
    delta: float | None = None,
) -> float:
    """Largest `final` after `steps`, over all functions of the class and all starts with `initial` <= 1.

    Args:
        how: the method; x_(-1) = x_0.
        mu, smoothness: the class; mu may be 0 (convex).
        steps: iterations, at least 1.
        initial: `distance` |x_0 - x*|^2; `value` f(x_0) - f*; `potential` f(x_0) - f* + mu |x_0 - x*|^2 / 2.
        final: the same of the result. `distance` is of the output x_N + delta (x_N - x_(N-1)); `value` is of x_N;
            `potential` is f(x_N) - f* + mu |output - x*|^2 / 2.
        delta: where the output lies; None for the method's own.

    Raises:
        ConfigError: steps or constants out of range.
        SignalError: the solver did not arrive.
        MissingExtraError: without clarabel.
    """
    clarabel = require("clarabel", "bodies")
    if steps < 1 or not 0 <= mu < smoothness:
        raise ConfigError(f"worst_case: steps {steps}, mu {mu:g}, L {smoothness:g}; steps >= 1, 0 <= mu < L expected.")
    delta = how.delta if delta is None else delta
    # Basis: x_0 - x*, then the gradients at y_0 ... y_(N-1), at x_N and at x_0 (which is y_0: x_(-1) = x_0).
    size = steps + 2
    unit = np.eye(size)
    x = before = unit[0]
    points = [(np.zeros(size), np.zeros(size))]  # x*, without gradient
    for i in range(steps):
        moved = x - before
        y = x + how.gamma * moved
        points.append((y, unit[1 + i]))
        x, before = x + how.beta * moved - how.step * unit[1 + i], x
    points.append((x, unit[1 + steps]))
    output = x + delta * (x - before)
    count = len(points) - 1  # values of f; f* = 0
    width = size * (size + 1) // 2 + count

    def row(gram: np.ndarray, value: dict[int, float]) -> np.ndarray:
        out = np.concatenate([gram, np.zeros(count)])
        for index, weight in value.items():
            if index:
                out[size * (size + 1) // 2 + index - 1] += weight
        return out

    def measure(kind: Measure, vector: np.ndarray, index: int) -> np.ndarray:
        weight = {"distance": 1.0, "value": 0.0, "potential": mu / 2}[kind]
        return row(weight * _quadratic(vector, vector), {} if kind == "distance" else {index: 1.0})

    rows, ratio = [measure(initial, unit[0], 1)], mu / smoothness
    for i, (xi, gi) in enumerate(points):
        for j, (xj, gj) in enumerate(points):
            if i == j:
                continue
            dx, dg = xi - xj, gi - gj
            curved = _quadratic(dg, dg) / smoothness + mu * _quadratic(dx, dx) - 2 * ratio * _quadratic(dg, dx)
            rows.append(row(_quadratic(gj, dx) + curved / (2 * (1 - ratio)), {j: 1.0, i: -1.0}))
    positive = scipy.sparse.hstack(
        [-scipy.sparse.eye(width - count), scipy.sparse.csc_matrix((width - count, count))], format="csc"
    )
    problem: Any = scipy.sparse.vstack([scipy.sparse.csc_matrix(np.stack(rows)), positive], format="csc")
    right = np.concatenate([[1.0], np.zeros(len(rows) - 1 + width - count)])
    settings = clarabel.DefaultSettings()
    settings.verbose = False
    cones = [clarabel.NonnegativeConeT(len(rows)), clarabel.PSDTriangleConeT(size)]
    goal = -measure(final, output, count)
    empty = scipy.sparse.csc_matrix((width, width))
    found: Any = clarabel.DefaultSolver(empty, goal, problem, right, cones, settings).solve()
    if "Solved" not in str(found.status):
        raise SignalError(f"worst_case: the semidefinite program ended as {found.status}. Use fewer steps.")
    return -float(found.obj_val)
