"""The hub: whatever a network puts out becomes D = E[x0 | x_t], and D becomes whatever is asked for.

With eps^ = (x - alpha D) / sigma: score = -eps^ / sigma, velocity = alpha' D + sigma' eps^,
salimans_v = alpha eps^ - sigma D (Lai et al. 2025, arXiv 2510.21890, chapter 6; Salimans, Ho 2022, arXiv 2202.00512).
`edm` is the preconditioned output F of Karras et al. 2022 (arXiv 2206.00364, table 1) written for any path: with
s = sigma / alpha, D = c_skip(s) x / alpha + c_out(s) F, no division by alpha left.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from invdyn.diffusion.path import Path, along
from invdyn.errors import ConfigError, unknown_name

__all__ = ["KINDS", "Denoise", "Denoiser", "Kind", "combine", "denoised_to", "to_denoised", "weights_of"]

Kind = Literal["x0", "eps", "score", "velocity", "salimans_v", "edm"]
KINDS: tuple[str, ...] = get_args(Kind)
Denoise = Callable[[Tensor, Tensor], Tensor]
"""(x [batch, ...], t [batch]) -> D of the shape of x."""
Net = Callable[[Tensor, Tensor, Any], Tensor]
"""(x [batch, ...], t [batch], condition) -> output of the shape of x."""


def combine(a: float, x: Tensor, b: float, y: Tensor) -> Tensor:
    """a x + b y in as few kernels as it takes."""
    if a == 1.0:
        return torch.add(x, y, alpha=b)
    return y if (a, b) == (0.0, 1.0) else torch.add(x * a, y, alpha=b)


def weights_of(
    kind: str, alpha: Any, sigma: Any, d_alpha: Any, d_sigma: Any, sigma_data: float = 0.5
) -> tuple[Any, Any]:
    """(a, b) of D = a x + b output; the path's numbers are tensors, or floats where all samples share a time.

    Raises:
        UnknownNameError: no such kind.
    """
    if kind == "x0":
        return 0.0, 1.0
    if kind == "eps":
        return 1 / alpha, -sigma / alpha
    if kind == "score":
        return 1 / alpha, sigma**2 / alpha
    if kind == "velocity":
        both = d_alpha * sigma - d_sigma * alpha
        return -d_sigma / both, sigma / both
    total = sigma**2 + (sigma_data * alpha if kind == "edm" else alpha) ** 2
    if kind == "salimans_v":
        return alpha / total, -sigma / total
    if kind == "edm":
        return sigma_data**2 * alpha / total, sigma * sigma_data / total**0.5
    raise unknown_name("kind of network output", kind, KINDS)


def to_denoised(
    kind: str,
    output: Float[Tensor, "batch *event"],
    x: Float[Tensor, "batch *event"],
    t: Float[Tensor, " batch"],
    path: Path,
    sigma_data: float = 0.5,
) -> Float[Tensor, "batch *event"]:
    """D from an output of some kind.

    `eps` and `score` divide by alpha and know nothing where it is 0 (t = 1 of linear and trig); `velocity` divides by
    sigma where it is 0 on paths whose sigma has infinite slope there.

    Raises:
        UnknownNameError: no such kind.
    """
    if kind == "x0":
        return output
    slope, climb = (path.d_alpha(t), path.d_sigma(t)) if kind == "velocity" else (None, None)
    a, b = weights_of(kind, path.alpha(t), path.sigma(t), slope, climb, sigma_data)
    return along(a, x) * x + along(b, x) * output


def denoised_to(
    kind: str,
    denoised: Float[Tensor, "batch *event"],
    x: Float[Tensor, "batch *event"],
    t: Float[Tensor, " batch"],
    path: Path,
    sigma_data: float = 0.5,
) -> Float[Tensor, "batch *event"]:
    """An output of some kind from D; the inverse of `to_denoised`. All but `x0` divide by sigma.

    Raises:
        UnknownNameError: no such kind.
    """
    if kind == "x0":
        return denoised
    alpha, sigma = along(path.alpha(t), x), along(path.sigma(t), x)
    if kind == "edm":
        total = sigma.square() + (sigma_data * alpha).square()
        return (total * denoised - sigma_data**2 * alpha * x) / (sigma * sigma_data * total.sqrt())
    eps = (x - alpha * denoised) / sigma
    if kind == "eps":
        return eps
    if kind == "score":
        return -eps / sigma
    if kind == "velocity":
        return along(path.d_alpha(t), x) * denoised + along(path.d_sigma(t), x) * eps
    if kind == "salimans_v":
        return alpha * eps - sigma * denoised
    raise unknown_name("kind of network output", kind, KINDS)


class Denoiser:
    """A network seen as D(x, t): any `net(x, t, condition)` and what its output means.

    Args:
        net: any callable of the shape of its x.
        path: how the data become noise.
        kind: what the net puts out. With `edm` the net is fed c_in x and ln(sigma / alpha) / 4 instead of t.
        sigma_data: standard deviation of the data, for `edm`.
        condition: what the net is given as third argument.
    """

    def __init__(
        self, net: Net, path: Path, kind: Kind = "velocity", sigma_data: float = 0.5, condition: Any = None
    ) -> None:
        if kind not in KINDS:
            raise unknown_name("kind of network output", kind, KINDS)
        if not sigma_data > 0:
            raise ConfigError(f"denoiser: sigma_data is {sigma_data}, expected the positive spread of the data.")
        self.net, self.path, self.kind, self.sigma_data, self.condition = net, path, kind, sigma_data, condition

    def given(self, condition: Any) -> Denoiser:
        """The same net under a condition."""
        return Denoiser(self.net, self.path, self.kind, self.sigma_data, condition)

    def output(self, x: Float[Tensor, "batch *event"], t: Float[Tensor, " batch"]) -> Float[Tensor, "batch *event"]:
        """What the net itself says."""
        if self.kind != "edm":
            return self.net(x, t, self.condition)
        alpha, sigma = along(self.path.alpha(t), x), along(self.path.sigma(t), x)
        scale = (sigma.square() + (self.sigma_data * alpha).square()).rsqrt()
        return self.net(x * scale, -self.path.log_ratio(t) / 4, self.condition)

    def __call__(self, x: Float[Tensor, "batch *event"], t: Float[Tensor, " batch"]) -> Float[Tensor, "batch *event"]:
        return to_denoised(self.kind, self.output(x, t), x, t, self.path, self.sigma_data)

    def together(self, x: Tensor, t: Tensor, numbers: tuple[float, float, float, float]) -> Tensor:
        """The same where all samples share a time whose alpha, sigma and slopes are known: two kernels, not ten."""
        alpha, sigma, d_alpha, d_sigma = numbers
        a, b = weights_of(self.kind, alpha, sigma, d_alpha, d_sigma, self.sigma_data)
        return combine(a, x, b, self.output(x, t))

    def known_at(self, t: float) -> bool:
        """Whether D can be had from the output at this time: not from noise or score where alpha is 0."""
        at = torch.tensor(t, dtype=torch.float64)
        return self.kind not in ("eps", "score") or bool(self.path.alpha(at) > 0)
