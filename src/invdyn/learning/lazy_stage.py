"""The gradient that reaches hidden features while the readout is fitted by ridge, and how features push each other.

F [n, K]: features of n samples; F~ = P F, Y~ = P Y, P = I - 11^T/n; eta: weight decay. With the ridge readout
V = (F~^T F~ + eta I)^-1 F~^T Y~ and B = (F~^T F~ + eta I)^-1:

    G_F = P (Y - F V) V^T = eta (F~ F~^T + eta I)^-1 Y~ Y~^T F~ B

so nothing reaches the features without decay (rank n - 1), and for wide random features G_F is along Y~ Y~^T F~ (lazy
stage). B couples them: b_jl = -sign(f_j^T P_(eta,-jl) f_l) in sign, where P_(eta,-jl) takes out what all other
features explain. Source: arXiv 2509.21519, lemma 1, theorems 5 and 6.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from invdyn.errors import ConfigError

__all__ = [
    "closed_feature_gradient",
    "coupling",
    "feature_gradient",
    "lemma_direction",
    "projected_similarity",
    "ridge_readout",
    "similar_pairs",
]


def _centre(x: Tensor) -> Tensor:
    return x - x.mean(0)


def ridge_readout(
    features: Float[Tensor, "sample node"],
    targets: Float[Tensor, "sample out"],
    eta: float,
    *,
    centre: bool = True,
) -> Float[Tensor, "node out"]:
    """V of least |Y~ - F~ V|^2 + eta |V|^2, solved on the smaller side; eta = 0 gives the least-norm solution.

    `centre=False` fits Y by F as they are, which is what a net without biases can do.

    Raises:
        ConfigError: a negative eta.
    """
    if eta < 0:
        raise ConfigError(f"ridge_readout: eta is {eta:g}; zero or a positive number is expected.")
    f, y = (_centre(features), _centre(targets)) if centre else (features, targets)
    n, k = f.shape
    if eta == 0:
        return torch.linalg.pinv(f) @ y
    if k <= n:
        return torch.linalg.solve(f.mT @ f + eta * torch.eye(k, dtype=f.dtype), f.mT @ y)
    return f.mT @ torch.linalg.solve(f @ f.mT + eta * torch.eye(n, dtype=f.dtype), y)


def feature_gradient(
    features: Float[Tensor, "sample node"], targets: Float[Tensor, "sample out"], readout: Float[Tensor, "node out"]
) -> Float[Tensor, "sample node"]:
    """G_F = P (Y - F V) V^T, by definition, for any readout."""
    return _centre(targets - features @ readout) @ readout.mT


def closed_feature_gradient(
    features: Float[Tensor, "sample node"], targets: Float[Tensor, "sample out"], eta: float
) -> Float[Tensor, "sample node"]:
    """eta (F~ F~^T + eta I)^-1 Y~ Y~^T F~ B: the same with the ridge readout, without forming it."""
    f, y = _centre(features), _centre(targets)
    n, k = f.shape
    left = torch.linalg.solve(f @ f.mT + eta * torch.eye(n, dtype=f.dtype), y)
    right = torch.linalg.solve(f.mT @ f + eta * torch.eye(k, dtype=f.dtype), f.mT @ y)
    return eta * left @ right.mT


def lemma_direction(
    features: Float[Tensor, "sample node"], targets: Float[Tensor, "sample out"]
) -> Float[Tensor, "sample node"]:
    """Y~ Y~^T F~: where G_F points when the kernel of wide random features is near a multiple of P."""
    f, y = _centre(features), _centre(targets)
    return y @ (y.mT @ f)


def coupling(features: Float[Tensor, "sample node"], eta: float) -> Float[Tensor, "node node"]:
    """B = (F~^T F~ + eta I)^-1."""
    f = _centre(features)
    return torch.linalg.inv(f.mT @ f + eta * torch.eye(f.shape[1], dtype=f.dtype))


def similar_pairs(features: Float[Tensor, "sample node"], count: int) -> Int64[Tensor, "pair two"]:
    """The pairs of nodes whose centred features have the largest cosines."""
    f = _centre(features)
    f = f / f.norm(dim=0).clamp(min=1e-30)
    cosine = torch.triu(f.mT @ f, diagonal=1)
    best = cosine.flatten().topk(count).indices
    return torch.stack([best // len(cosine), best % len(cosine)], 1)


def projected_similarity(
    features: Float[Tensor, "sample node"], pairs: Int64[Tensor, "pair two"], eta: float
) -> Float[Tensor, " pair"]:
    """f_j^T P_(eta,-jl) f_l for each pair, P_(eta,-jl) = I - R (R^T R + eta I)^-1 R^T with R all other features.

    Directly, one solve a pair: the check of the sign rule must not use B.
    """
    f = _centre(features)
    n = len(f)
    gram = f @ f.mT + eta * torch.eye(n, dtype=f.dtype)
    out = []
    for first, second in pairs.tolist():
        a, b = f[:, first], f[:, second]
        # I - R (R^T R + eta)^-1 R^T = eta (R R^T + eta)^-1 on the sample side.
        rest = gram - torch.outer(a, a) - torch.outer(b, b)
        out.append(eta * a.dot(torch.linalg.solve(rest, b)))
    return torch.stack(out)
