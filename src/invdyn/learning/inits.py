"""Starting weights of deep linear chains: orthogonal, balanced on the data's modes, scaled Gaussian.

A chain is a list of matrices W_1 ... W_L, first layer first, each [batch, units_l, units_(l-1)].
Source: Saxe, McClelland, Ganguli, arXiv 1312.6120.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from invdyn.errors import ConfigError

__all__ = ["balanced_chain", "balanced_pair", "gaussian_chain", "orthogonal_chain", "orthogonal_init"]


def orthogonal_init(
    rows: int,
    columns: int,
    generator: torch.Generator,
    *,
    gain: float = 1.0,
    batch: int = 1,
    dtype: torch.dtype = torch.float64,
) -> Float[Tensor, "batch rows columns"]:
    """Random matrices with orthonormal rows or columns (whichever are fewer), times `gain`, uniform (Haar).

    QR of a Gaussian matrix; the sign fix by R's diagonal makes the result uniform (Mezzadri, math-ph/0609050).
    """
    tall, thin = max(rows, columns), min(rows, columns)
    normal = torch.randn(batch, tall, thin, generator=generator, dtype=dtype, device=generator.device)
    q, r = torch.linalg.qr(normal)
    q = q * r.diagonal(dim1=-2, dim2=-1).sign()[:, None]
    return gain * (q if rows >= columns else q.mT)


def orthogonal_chain(
    sizes: Sequence[int], generator: torch.Generator, *, gain: float = 1.0, batch: int = 1
) -> list[Tensor]:
    """A chain of independent random orthogonal layers; `sizes` are the units from input to output."""
    return [orthogonal_init(n, m, generator, gain=gain, batch=batch) for m, n in itertools.pairwise(sizes)]


def gaussian_chain(
    sizes: Sequence[int], generator: torch.Generator, *, gain: float = 1.0, batch: int = 1
) -> list[Tensor]:
    """Independent Gaussian entries of sd gain / sqrt(inputs of the layer): activity keeps its mean size at gain 1."""
    return [
        torch.randn(batch, n, m, generator=generator, dtype=torch.float64, device=generator.device) * gain / m**0.5
        for m, n in itertools.pairwise(sizes)
    ]


def balanced_chain(
    left: Float[Tensor, "out mode"],
    right: Float[Tensor, "in mode"],
    strengths: Float[Tensor, " mode"],
    hidden: int,
    depth: int,
    generator: torch.Generator,
    *,
    batch: int = 1,
) -> list[Tensor]:
    """A chain whose product is left diag(strengths) right^T, every layer with the same singular values u^(1/L).

    W_l = R_l D R_(l-1)^T with R_0 = right, R_L = left and random orthonormal R_l between: aligned and balanced, the
    start for which the modes decouple. Greedy unsupervised pretraining reaches it when `right` are the principal
    components of the inputs.

    Raises:
        ConfigError: fewer hidden units than modes.
    """
    modes = len(strengths)
    if hidden < modes:
        raise ConfigError(f"balanced_chain: {hidden} hidden units cannot carry {modes} modes. Widen the layers.")
    frames = [right.expand(batch, -1, -1)]
    frames += [orthogonal_init(hidden, modes, generator, batch=batch).to(right) for _ in range(depth - 1)]
    frames += [left.expand(batch, -1, -1)]
    root = strengths ** (1 / depth)
    return [(after * root) @ before.mT for before, after in itertools.pairwise(frames)]


def balanced_pair(
    sizes: tuple[int, int, int], scale: float, generator: torch.Generator, *, batch: int = 1
) -> list[Tensor]:
    """Two layers, balanced (W1 W1^T = W2^T W2) but not aligned with any data: random W1 and a W2 that matches it.

    Raises:
        ConfigError: inputs or outputs fewer than hidden units, so that no W2 can match.
    """
    inputs, hidden, outputs = sizes
    if min(inputs, outputs) < hidden:
        raise ConfigError(
            f"balanced_pair: {hidden} hidden units need as many inputs ({inputs}) and outputs ({outputs})."
        )
    first = torch.randn(batch, hidden, inputs, generator=generator, dtype=torch.float64) * scale / inputs**0.5
    frame, values, _ = torch.linalg.svd(first, full_matrices=False)
    second = (orthogonal_init(outputs, hidden, generator, batch=batch) * values[:, None]) @ frame.mT
    return [first, second]
