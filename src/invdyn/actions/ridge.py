"""The linear path of an inverse model, started at a ridge solution chosen by leaving episodes out."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from invdyn.actions.features import spread_over
from invdyn.actions.inverse_nets import InverseNet
from invdyn.episodes.windows import WindowSampler
from invdyn.nn.heads import CategoricalHead, JointCategoricalHead, MixtureHead, SquashedGaussianHead

__all__ = ["ridge", "start_at_ridge"]

MOST = 20_000
"""Windows the linear map is fitted on, at most."""
FOLDS = 5
PENALTIES = np.logspace(-6, 2, 17)
"""Tried penalties, per sample and in units of the features' variance."""
SUPPLE = 1e-3
"""Least penalty where there are images: a solution finely balanced over alike keypoints is thrown far off by the
encoder's first updates (point2d, 48 pixels: R2 0.88 at first, 0.57 after 50 updates; with this penalty 0.80, 0.82)."""
CLEARLY = 0.5
"""Where things are enters the linear path of a dimension when the squared error on episodes left out falls below this
share of the error without: causes that are places gain orders of magnitude, chance gains per cents."""


def _solve(
    gram: np.ndarray, cross: np.ndarray, count: int, penalties: np.ndarray
) -> Float64[np.ndarray, "penalty feature cause"]:
    values, vectors = np.linalg.eigh(gram / count)
    turned = vectors.T @ (cross / count)
    return np.stack([vectors @ (turned / (np.maximum(values, 0.0)[:, None] + p)) for p in penalties])


def ridge(
    x: Float64[np.ndarray, "frames feature"],
    y: Float64[np.ndarray, "frames cause"],
    group: Int64[np.ndarray, " frames"],
) -> tuple[Float64[np.ndarray, "feature cause"], Float64[np.ndarray, " cause"]]:
    """Weights and intercept of ridge regression.

    The penalty of each dimension is the one with the least error on groups (episodes) that were left out, because the
    frames of an episode are not independent. With a single group its frames are cut into stretches instead.
    """
    weights, intercept, _ = _ridge(x, y, group, PENALTIES)
    return weights, intercept


def _ridge(
    x: np.ndarray, y: np.ndarray, group: np.ndarray, penalties: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Also the sum of squared errors of each dimension on groups left out."""
    if len(np.unique(group)) < 2:
        group = np.arange(len(group)) * FOLDS // max(1, len(group))
    fold = np.unique(group, return_inverse=True)[1] % FOLDS
    x_mean, y_mean = x.mean(0), y.mean(0)
    x, y = x - x_mean, y - y_mean
    gram, cross = x.T @ x, x.T @ y
    error = np.zeros((len(penalties), y.shape[1]))
    for part in np.unique(fold):
        out = fold == part
        weights = _solve(gram - x[out].T @ x[out], cross - x[out].T @ y[out], int((~out).sum()), penalties)
        error += ((y[out] - x[out] @ weights) ** 2).sum(1)
    best = _solve(gram, cross, len(x), penalties)[error.argmin(0), :, np.arange(y.shape[1])].T
    return best, y_mean - x_mean @ best, error.min(0)


@torch.no_grad()
def start_at_ridge(model: InverseNet, windows: WindowSampler, targets: Tensor) -> None:
    """Set the trunk of every member so that the first answers are those of ridge regression.

    Regression is on the changes from step to step; on where things are as well for the dimensions in which that
    clearly helps on episodes left out (`CLEARLY`). The net beside it begins with no say in the point.

    Heads over classes and mixtures keep their zero start: they have no single mean. Images take part by the codes of
    the fresh encoder: where what maps see moves, their keypoints move along (measured before any training: R2 0.8
    to 0.99).
    """
    head = model.head
    if isinstance(head, (CategoricalHead, JointCategoricalHead, MixtureHead)):
        return
    chosen = spread_over(len(windows), MOST)
    parts, groups = [], []
    for chunk in chosen.split(model.features.at_a_time(4096)):
        batch = windows.batch(chunk)
        parts.append(model.features.flat(batch))
        groups.append(batch.episode)
    x, group = torch.cat(parts).double().numpy(), torch.cat(groups).numpy()
    wanted = targets[chosen].double()
    if isinstance(head, SquashedGaussianHead):
        assert head.low is not None
        assert head.high is not None
        share = ((wanted - head.low) / (head.high - head.low)).clamp(0.02, 0.98)
        wanted = torch.atanh(2 * share - 1)
    else:
        wanted = (wanted - head.loc) / head.scale  # type: ignore[operator]
    y, absolute, dims = wanted.numpy(), model.features.absolute, head.dimensions
    penalties = PENALTIES[PENALTIES >= SUPPLE] if model.features.images else PENALTIES
    weights, intercept, error = _ridge(x[:, absolute:], y, group, penalties)
    weights = np.concatenate([np.zeros((absolute, dims)), weights])
    placed = np.zeros(dims, bool)
    if absolute:
        whole, offset, less = _ridge(x, y, group, penalties)
        placed = less < CLEARLY * error
        weights, intercept = np.where(placed, whole, weights), np.where(placed, offset, intercept)
    last = max(int(n.split(".")[1]) for n in (n.replace("/", ".") for n, _ in _values(model)) if n.startswith("net."))
    start = {
        "linear.weight": weights[absolute:].T,
        "linear.bias": intercept,
        "places.weight": weights[:absolute].T,
        "placed": placed,
        f"net.{last}.weight": 0.0,
        f"net.{last}.bias": 0.0,
    }
    for stored, value in _values(model):
        name = stored.replace("/", ".")
        if name in start:
            rows = (..., slice(dims), slice(None)) if name.endswith("weight") else (..., slice(dims))
            value[rows] = torch.as_tensor(start[name]).to(value.dtype)


def _values(model: InverseNet) -> list[tuple[str, Tensor]]:
    """Parameters and buffers of the trunk, by the names they are stored under."""
    return [*model.trunk.named_parameters(), *model.trunk.named_buffers()]
