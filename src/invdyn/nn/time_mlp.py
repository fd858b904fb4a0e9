"""`TimeMLP`: a small net over vectors that knows the time, or two times, it is asked at."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from invdyn.nn.encoders import MLP

__all__ = ["TimeMLP"]


class TimeMLP(nn.Module):
    """x [batch, dim] and scalars [batch] -> [batch, dim]: sines and cosines of every scalar stand beside x.

    Callable as `net(x, t, condition)` of the diffusion core, or as `net(x, t, h, condition)` with two scalars.

    Args:
        dim: components of x.
        scalars: 1 (a time) or 2 (a time and the length of a step).
        condition: components of a condition vector; 0 for none.
        width, depth: units and number of hidden layers.
        octaves: frequencies pi, 2 pi, 4 pi, ... of the features (ours: times between 0 and 1 need no more than 4).
    """

    def __init__(
        self, dim: int, *, scalars: int = 1, condition: int = 0, width: int = 128, depth: int = 3, octaves: int = 4
    ) -> None:
        super().__init__()
        self.scalars = scalars
        self.register_buffer("frequencies", math.pi * 2.0 ** torch.arange(octaves))
        inputs = dim + condition + scalars * (1 + 2 * octaves)
        self.body = MLP(inputs, dim, width=width, depth=depth, activation=nn.SiLU)

    def forward(self, x: Float[Tensor, "batch dim"], *rest: Tensor | None) -> Float[Tensor, "batch dim"]:
        """The output; `rest` is the scalars, then the condition or None."""
        parts = [x]
        for scalar in rest[: self.scalars]:
            assert scalar is not None
            angles = scalar[:, None] * self.frequencies.to(scalar)  # type: ignore[operator]
            parts += [scalar[:, None], angles.sin(), angles.cos()]
        if len(rest) > self.scalars and rest[self.scalars] is not None:
            parts.append(rest[self.scalars])  # type: ignore[arg-type]
        return self.body(torch.cat(parts, 1))
