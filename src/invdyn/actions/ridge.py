"""The linear path of an inverse model, started at a ridge solution chosen by generalised cross-validation."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor

from invdyn.actions.inverse_nets import InverseNet
from invdyn.episodes.windows import WindowSampler
from invdyn.nn.heads import CategoricalHead, JointCategoricalHead, MixtureHead, SquashedGaussianHead

__all__ = ["ridge", "start_at_ridge"]

MOST = 20_000
"""Windows the linear map is fitted on, at most."""


def ridge(
    x: Float64[np.ndarray, "frames feature"], y: Float64[np.ndarray, "frames cause"]
) -> tuple[Float64[np.ndarray, "feature cause"], Float64[np.ndarray, " cause"]]:
    """Weights and intercept; one penalty per dimension, by generalised cross-validation (Golub et al. 1979)."""
    x_mean, y_mean = x.mean(0), y.mean(0)
    u, s, vt = np.linalg.svd(x - x_mean, full_matrices=False)
    u, s, vt = (
        u[:, s > 1e-10 * s.max(initial=1e-300)],
        s[s > 1e-10 * s.max(initial=1e-300)],
        vt[s > 1e-10 * s.max(initial=1e-300)],
    )
    projected = u.T @ (y - y_mean)
    total = ((y - y_mean) ** 2).sum(0)
    best_score, best = np.full(y.shape[1], np.inf), np.zeros((x.shape[1], y.shape[1]))
    for penalty in np.logspace(-6, 3, 28) * len(x) / 1000:
        shrink = s**2 / (s**2 + penalty)
        residual = total - ((1 - (1 - shrink[:, None]) ** 2) * projected**2).sum(0)
        score = residual / np.maximum(len(x) - 1 - shrink.sum(), 1e-3) ** 2
        weights = vt.T @ ((s / (s**2 + penalty))[:, None] * projected)
        better = score < best_score
        best_score = np.where(better, score, best_score)
        best = np.where(better, weights, best)
    return best, y_mean - x_mean @ best


@torch.no_grad()
def start_at_ridge(model: InverseNet, windows: WindowSampler, targets: Tensor) -> None:
    """Set the linear path of every member so that the first answers are those of ridge regression.

    Heads over classes and mixtures keep their zero start: they have no single mean.
    """
    head = model.head
    if isinstance(head, (CategoricalHead, JointCategoricalHead, MixtureHead)) or model.features.images:
        return
    step = max(1, len(windows) // MOST)
    chosen = torch.arange(0, len(windows), step)
    parts = [model.features.flat(windows.batch(chunk)) for chunk in chosen.split(4096)]
    x = torch.cat(parts).double().numpy()
    wanted = targets[chosen].double()
    if isinstance(head, SquashedGaussianHead):
        assert head.low is not None
        assert head.high is not None
        share = ((wanted - head.low) / (head.high - head.low)).clamp(0.02, 0.98)
        wanted = torch.atanh(2 * share - 1)
    else:
        wanted = (wanted - head.loc) / head.scale  # type: ignore[operator]
    weights, intercept = ridge(x, wanted.numpy())
    dims = head.dimensions
    for name, parameter in model.trunk.named_parameters():
        if name.replace("/", ".") == "linear.weight":
            parameter[..., :dims, :] = torch.from_numpy(weights.T).float()
        if name.replace("/", ".") == "linear.bias":
            parameter[..., :dims] = torch.from_numpy(intercept).float()
