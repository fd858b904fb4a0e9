"""Transport distances of two sets of points: exact, sliced, per coordinate; Fréchet distance of their Gaussian fits."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from invdyn.errors import SignalError, require
from invdyn.verify.metrics.arrays import Array, as_array

__all__ = ["emd", "frechet_distance", "sliced_w2", "w1_marginal", "w2_exact"]


def w2_exact(a: Array, b: Array) -> float:
    """The 2-Wasserstein distance of two sets, every point of a set with the same weight: sqrt(min mean |a - b|^2).

    Solved to the optimum; sets of one size as an assignment, others by POT (extra `studies`).

    Args:
        a, b: [points, dim].

    >>> round(w2_exact(np.array([[0.0], [1.0]]), np.array([[1.0], [3.0]])), 6)
    1.581139
    """
    return float(np.sqrt(_transport(a, b, "sqeuclidean")))


def emd(a: Array, b: Array) -> float:
    """The earth mover's distance (1-Wasserstein) of two sets: min mean |a - b|."""
    return _transport(a, b, "euclidean")


def sliced_w2(a: Array, b: Array, projections: int = 256, seed: int = 0) -> float:
    """sqrt of the mean over random directions of the squared 1-D 2-Wasserstein distance, exact in each direction."""
    x, y = _points(a, b)
    directions = np.random.default_rng(seed).standard_normal((x.shape[1], projections))
    directions /= np.linalg.norm(directions, axis=0)
    return float(np.sqrt(_along_axes(x @ directions, y @ directions, 2).mean()))


def w1_marginal(a: Array, b: Array) -> Float[np.ndarray, " dim"]:
    """The 1-Wasserstein distance of each coordinate on its own."""
    x, y = _points(a, b)
    return _along_axes(x, y, 1)


def frechet_distance(a: Array, b: Array, components: int | None = None) -> float:
    """|m_a - m_b|^2 + tr(C_a + C_b - 2 (C_a C_b)^1/2): squared W2 of two Gaussians with the sets' moments.

    Args:
        a, b: [points, dim] features; `a` is the reference.
        components: compare in so many principal components of the reference; None in all features.

    Raises:
        SignalError: fewer points than two, or more components than features.
    """
    x, y = _points(a, b)
    if min(len(x), len(y)) < 2:
        raise SignalError(f"frechet_distance: {len(x)} and {len(y)} points, at least 2 are needed for a covariance.")
    if components is not None:
        if not 1 <= components <= x.shape[1]:
            raise SignalError(f"frechet_distance: {components} components of {x.shape[1]} features.")
        axes = np.linalg.svd(x - x.mean(0), full_matrices=False)[2][:components].T
        x, y = x @ axes, y @ axes
    away = x.mean(0) - y.mean(0)
    c, d = np.atleast_2d(np.cov(x.T)), np.atleast_2d(np.cov(y.T))
    # tr (C D)^1/2 = sum of singular values of C^1/2 D^1/2: real and stable where C D is singular.
    cross = np.linalg.svd(_root(c) @ _root(d), compute_uv=False).sum()
    return float(away @ away + np.trace(c) + np.trace(d) - 2 * cross)


def _root(matrix: np.ndarray) -> np.ndarray:
    values, vectors = np.linalg.eigh(matrix)
    return np.asarray((vectors * np.sqrt(values.clip(min=0))) @ vectors.T)


def _transport(a: Array, b: Array, cost: str) -> float:
    x, y = _points(a, b)
    distances = cdist(x, y, cost)
    if len(x) == len(y):
        rows, columns = linear_sum_assignment(distances)
        return float(distances[rows, columns].mean())
    ot = require("ot", "studies")
    return float(ot.emd2(np.full(len(x), 1 / len(x)), np.full(len(y), 1 / len(y)), distances, numItermax=1_000_000))


def _along_axes(x: np.ndarray, y: np.ndarray, power: int) -> np.ndarray:
    """Mean |F_x^-1(q) - F_y^-1(q)|^power over q, exact, for every column."""
    x, y = np.sort(x, 0), np.sort(y, 0)
    if len(x) == len(y):
        return np.asarray((np.abs(x - y) ** power).mean(0))
    ends = np.union1d(np.arange(1, len(x)) / len(x), np.arange(1, len(y)) / len(y))
    edges = np.concatenate([[0.0], ends, [1.0]])
    middle = (edges[1:] + edges[:-1]) / 2
    i, j = (middle * len(x)).astype(int), (middle * len(y)).astype(int)
    return np.asarray(np.diff(edges) @ np.abs(x[i] - y[j]) ** power)


def _points(a: Array, b: Array) -> tuple[np.ndarray, np.ndarray]:
    x, y = as_array(a).astype(np.float64), as_array(b).astype(np.float64)
    if x.ndim != 2 or y.ndim != 2 or x.shape[1] != y.shape[1] or min(len(x), len(y)) == 0:
        raise SignalError(f"transport distance: sets of shape {x.shape} and {y.shape}, expected [points, dim] each.")
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise SignalError("transport distance: a point is NaN or infinite. Leave such samples out and say how many.")
    return x, y
