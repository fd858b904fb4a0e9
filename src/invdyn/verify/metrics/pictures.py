"""How like a picture is to another: `psnr`, `ssim`; higher is better, the range of the data is always stated."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Float64
from torch import Tensor

from invdyn.errors import SignalError

__all__ = ["psnr", "ssim"]


def psnr(
    found: Float[Tensor, "batch *event"],
    truth: Float[Tensor, "batch *event"],
    data_range: float,
    mask: Bool[Tensor, "*event"] | None = None,
) -> Float64[Tensor, " batch"]:
    """10 log10(range^2 / mean squared error) of every picture, dB; inf where they are equal.

    Args:
        found, truth: pictures.
        data_range: highest less lowest possible value (2 for [-1, 1]).
        mask: entries that count; None for all.
    """
    error = (found.double() - truth.double()).square()
    error = error.flatten(1) if mask is None else error[:, mask]
    return 10 * torch.log10(data_range**2 / error.mean(1))


def ssim(
    found: Float[Tensor, "batch height width"],
    truth: Float[Tensor, "batch height width"],
    data_range: float,
    window: int = 7,
) -> Float64[Tensor, " batch"]:
    """Structural similarity (Wang, Bovik, Sheikh, Simoncelli 2004, eq. 13), mean over all whole windows.

    Uniform windows, sample covariances, K1 = 0.01, K2 = 0.03: what scikit-image computes by default.

    Raises:
        SignalError: pictures smaller than the window.
    """
    if min(truth.shape[1:]) < window:
        raise SignalError(f"ssim: pictures of {truth.shape[1]} x {truth.shape[2]}, smaller than a window of {window}.")
    a, b = (x.double().unfold(1, window, 1).unfold(2, window, 1).flatten(3) for x in (found, truth))
    mean_a, mean_b = a.mean(3), b.mean(3)
    count = window**2 - 1
    var_a, var_b = a.var(3), b.var(3)
    both = ((a - mean_a[..., None]) * (b - mean_b[..., None])).sum(3) / count
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    top = (2 * mean_a * mean_b + c1) * (2 * both + c2)
    return (top / ((mean_a.square() + mean_b.square() + c1) * (var_a + var_b + c2))).mean((1, 2))
