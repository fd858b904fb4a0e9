"""The linear path of an inverse model, started at a ridge solution chosen by leaving episodes out."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from invdyn.actions.inverse_nets import InverseNet
from invdyn.episodes.windows import WindowSampler
from invdyn.nn.heads import CategoricalHead, JointCategoricalHead, MixtureHead, SquashedGaussianHead

__all__ = ["ridge", "start_at_ridge"]

MOST = 20_000
"""Windows the linear map is fitted on, at most."""
FOLDS = 5
PENALTIES = np.logspace(-6, 2, 17)
"""Tried penalties, per sample and in units of the features' variance."""


def _solve(gram: np.ndarray, cross: np.ndarray, count: int) -> Float64[np.ndarray, "penalty feature cause"]:
    values, vectors = np.linalg.eigh(gram / count)
    turned = vectors.T @ (cross / count)
    return np.stack([vectors @ (turned / (np.maximum(values, 0.0)[:, None] + p)) for p in PENALTIES])


def ridge(
    x: Float64[np.ndarray, "frames feature"],
    y: Float64[np.ndarray, "frames cause"],
    group: Int64[np.ndarray, " frames"],
) -> tuple[Float64[np.ndarray, "feature cause"], Float64[np.ndarray, " cause"]]:
    """Weights and intercept of ridge regression.

    The penalty of each dimension is the one with the least error on groups (episodes) that were left out, because the
    frames of an episode are not independent. With a single group its frames are cut into stretches instead.
    """
    if len(np.unique(group)) < 2:
        group = np.arange(len(group)) * FOLDS // max(1, len(group))
    fold = np.unique(group, return_inverse=True)[1] % FOLDS
    x_mean, y_mean = x.mean(0), y.mean(0)
    x, y = x - x_mean, y - y_mean
    gram, cross = x.T @ x, x.T @ y
    error = np.zeros((len(PENALTIES), y.shape[1]))
    for part in np.unique(fold):
        out = fold == part
        weights = _solve(gram - x[out].T @ x[out], cross - x[out].T @ y[out], int((~out).sum()))
        error += ((y[out] - x[out] @ weights) ** 2).sum(1)
    best = _solve(gram, cross, len(x))[error.argmin(0), :, np.arange(y.shape[1])].T
    return best, y_mean - x_mean @ best


@torch.no_grad()
def start_at_ridge(model: InverseNet, windows: WindowSampler, targets: Tensor) -> None:
    """Set the linear path of every member so that the first answers are those of ridge regression.

    Heads over classes and mixtures keep their zero start: they have no single mean. So do models of images: their
    codes mean nothing before training.
    """
    head = model.head
    if isinstance(head, (CategoricalHead, JointCategoricalHead, MixtureHead)) or model.features.images:
        return
    chosen = torch.arange(0, len(windows), max(1, len(windows) // MOST))
    batches = [windows.batch(chunk) for chunk in chosen.split(4096)]
    x = torch.cat([model.features.flat(b) for b in batches])[:, model.features.absolute :].double().numpy()
    group = torch.cat([b.episode for b in batches]).numpy()
    wanted = targets[chosen].double()
    if isinstance(head, SquashedGaussianHead):
        assert head.low is not None
        assert head.high is not None
        share = ((wanted - head.low) / (head.high - head.low)).clamp(0.02, 0.98)
        wanted = torch.atanh(2 * share - 1)
    else:
        wanted = (wanted - head.loc) / head.scale  # type: ignore[operator]
    weights, intercept = ridge(x, wanted.numpy(), group)
    dims = head.dimensions
    for name, parameter in model.trunk.named_parameters():
        if name.replace("/", ".") == "linear.weight":
            parameter[..., :dims, :] = torch.from_numpy(weights.T).float()
        if name.replace("/", ".") == "linear.bias":
            parameter[..., :dims] = torch.from_numpy(intercept).float()
