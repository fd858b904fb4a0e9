"""`Operator`: what a measurement does to the data, y = f(x), with its adjoint and a first answer where f is linear."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from invdyn.errors import ConfigError, SignalError

__all__ = ["Operator", "as_matrix", "block_average", "blur", "clipped", "hide", "matrix", "phase_retrieval"]

Map = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Operator:
    """f on a batch, [batch, ...] -> [batch, ...].

    Args:
        forward: f, differentiable.
        guess: where an iteration starts from a measurement: the pseudo-inverse of a linear f.
        adjoint: <f x, y> = <x, adjoint y>; None where f is not linear.
        damped: (y, c) -> (H H^T + c I)^-1 y, c a number above 0; what guides of linear measurements solve.
    """

    forward: Map
    guess: Map
    adjoint: Map | None = None
    damped: Callable[[Tensor, float], Tensor] | None = None

    def linear(self, who: str) -> tuple[Map, Callable[[Tensor, float], Tensor]]:
        """Adjoint and `damped`.

        Raises:
            ConfigError: f has none, which `who` needs.
        """
        if self.adjoint is None or self.damped is None:
            raise ConfigError(
                f"{who}: the measurement has no adjoint, it is not linear. Use DPS or RedDiff, which need none."
            )
        return self.adjoint, self.damped


def as_matrix(operator: Operator, like: Float[Tensor, "*event"]) -> Float[Tensor, "row dim"]:
    """H of a linear operator over flattened events of the shape of `like`."""
    eye = torch.eye(like.numel(), dtype=like.dtype, device=like.device)
    return operator.forward(eye.reshape(-1, *like.shape)).flatten(1).mT


def matrix(rows: Float[Tensor, "row dim"]) -> Operator:
    """y = H x over vectors."""
    pinv = torch.linalg.pinv(rows)
    values, axes = torch.linalg.eigh(rows @ rows.mT)

    def damped(y: Tensor, c: float) -> Tensor:
        return (y @ axes) / (values.clamp_min(0.0) + c) @ axes.mT

    return Operator(lambda x: x @ rows.mT, lambda y: y @ pinv.mT, lambda y: y @ rows, damped)


def hide(seen: Bool[Tensor, "..."]) -> Operator:
    """Only entries where `seen` is true are measured: y [batch, how many]."""

    def back(y: Tensor) -> Tensor:
        x = y.new_zeros(len(y), *seen.shape)
        x[:, seen] = y
        return x

    return Operator(lambda x: x[:, seen], back, back, lambda y, c: y / (1 + c))


def block_average(factor: int) -> Operator:
    """Pictures [batch, height, width] seen `factor` times coarser: every block's mean.

    Raises:
        SignalError: sides that are no multiple of the factor.
    """

    def forward(x: Tensor) -> Tensor:
        batch, height, width = x.shape
        if height % factor or width % factor:
            raise SignalError(f"block average: {height} x {width} pixels cannot be split into blocks of {factor}.")
        return x.reshape(batch, height // factor, factor, width // factor, factor).mean((2, 4))

    def spread(y: Tensor) -> Tensor:
        return y.repeat_interleave(factor, 1).repeat_interleave(factor, 2)

    return Operator(forward, spread, lambda y: spread(y) / factor**2, lambda y, c: y / (1 / factor**2 + c))


def blur(kernel: Float[Tensor, "height width"], floor: float = 1e-3) -> Operator:
    """Pictures convolved with a kernel, edges wrapped around, by FFT.

    Args:
        kernel: as large as the picture, its centre at [0, 0].
        floor: frequencies weaker than this share of the strongest are not divided by in the first answer.
    """
    gain = torch.fft.rfft2(kernel)
    keep = gain.abs() > floor * gain.abs().max()
    inverse = torch.where(keep, 1 / torch.where(keep, gain, 1.0), 0.0)

    def times(x: Tensor, factor: Tensor) -> Tensor:
        return torch.fft.irfft2(torch.fft.rfft2(x) * factor, s=kernel.shape)

    return Operator(
        lambda x: times(x, gain),
        lambda y: times(y, inverse),
        lambda y: times(y, gain.conj()),
        lambda y, c: times(y, 1 / (gain.abs().square() + c)),
    )


def clipped(gain: float = 2.0, limit: float = 1.0) -> Operator:
    """High dynamic range: y = clip(gain x, -limit, limit); the first answer is y / gain."""
    return Operator(lambda x: (gain * x).clamp(-limit, limit), lambda y: y / gain)


def phase_retrieval(shape: tuple[int, int], pad: int = 2) -> Operator:
    """|FFT(x)| of pictures [batch, height, width] on a grid `pad` times finer; the first answer is of zero phase."""
    fine = (pad * shape[0], pad * shape[1])

    def forward(x: Tensor) -> Tensor:
        return torch.fft.fft2(x, s=fine, norm="ortho").abs()

    def guess(y: Tensor) -> Tensor:
        return torch.fft.ifft2(y.to(torch.complex128), norm="ortho").real[:, : shape[0], : shape[1]].to(y.dtype)

    return Operator(forward, guess)
