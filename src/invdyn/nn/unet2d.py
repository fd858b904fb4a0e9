"""`ConditionalUnet2D`: a U-Net over pictures, steered by one or two times and a condition through FiLM.

Residual blocks as in the nets of Dhariwal, Nichol 2021 (arXiv 2105.05233) and Karras et al. 2022 (EDM, arXiv
2206.00364): group norm and SiLU before each convolution; scale and shift per channel from (times, condition) between
the two; the second one starts at zero, so that a block begins as its shortcut. Self-attention at the coarsest level.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from invdyn.errors import ConfigError
from invdyn.nn.unet1d import SinusoidalTime

__all__ = ["ConditionalUnet2D"]

GROUPS, HEAD = 8, 64
"""Groups of the norms (half as many as channels in a narrow net); channels of a head of attention."""


def _norm(channels: int) -> nn.GroupNorm:
    # One channel a group would lose every channel's mean.
    return nn.GroupNorm(math.gcd(GROUPS, channels // 2), channels)


def _silent(layer: nn.Conv2d) -> nn.Conv2d:
    """The layer, putting out zero at first."""
    nn.init.zeros_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


class _Block(nn.Module):
    """Two convolutions with FiLM between them, beside a shortcut."""

    def __init__(self, inputs: int, outputs: int, given: int) -> None:
        super().__init__()
        self.before, self.between = _norm(inputs), _norm(outputs)
        self.first = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.film = nn.Linear(given, 2 * outputs)
        self.second = _silent(nn.Conv2d(outputs, outputs, 3, padding=1))
        self.shortcut: nn.Module = nn.Identity() if inputs == outputs else nn.Conv2d(inputs, outputs, 1)

    def forward(
        self, x: Float[Tensor, "batch channel height width"], given: Float[Tensor, "batch size"]
    ) -> Float[Tensor, "batch channel2 height width"]:
        scale, shift = self.film(given)[..., None, None].chunk(2, 1)
        h = self.between(self.first(functional.silu(self.before(x)))) * (1 + scale) + shift
        return self.second(functional.silu(h)) + self.shortcut(x)


class _Attention(nn.Module):
    """Every place looks at every other, beside a shortcut."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.heads = channels // HEAD if channels % HEAD == 0 else 1
        self.norm, self.ask = _norm(channels), nn.Conv2d(channels, 3 * channels, 1)
        self.answer = _silent(nn.Conv2d(channels, channels, 1))

    def forward(self, x: Float[Tensor, "batch channel h w"]) -> Float[Tensor, "batch channel h w"]:
        parts = self.ask(self.norm(x)).unflatten(1, (3, self.heads, -1)).flatten(4)
        query, key, value = parts.unbind(1)  # [batch, head, channel, place]
        # Plain products: the fused kernels know no forward mode, which MeanFlow's derivative needs.
        weights = torch.softmax(query.mT @ key / math.sqrt(query.shape[2]), -1)
        return x + self.answer((value @ weights.mT).reshape(x.shape))


class _Larger(nn.Module):
    """Twice the height and width, then a convolution."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.smooth = nn.Conv2d(inputs, outputs, 3, padding=1)

    def forward(self, x: Float[Tensor, "batch channel h w"]) -> Float[Tensor, "batch channel2 h2 w2"]:
        return self.smooth(functional.interpolate(x, scale_factor=2.0, mode="nearest"))


class _Level(nn.Module):
    """Two blocks, then half or twice the size (or the same)."""

    def __init__(self, first: _Block, second: _Block, resize: nn.Module) -> None:
        super().__init__()
        self.first, self.second, self.resize = first, second, resize

    def forward(
        self, x: Float[Tensor, "batch channel h w"], given: Float[Tensor, "batch size"]
    ) -> tuple[Float[Tensor, "batch channel2 h w"], Float[Tensor, "batch channel3 h2 w2"]]:
        """What the other side of the U gets, and what goes on."""
        found = self.second(self.first(x, given), given)
        return found, self.resize(found)


class ConditionalUnet2D(nn.Module):
    """net(x [batch, channel, height, width], t [batch], condition [batch, size] or None) of the shape of x.

    With two scalars net(x, t, h, condition), as flow maps ask. It works under `torch.func.jvp`.

    Args:
        channels: of the pictures.
        scalars: 1 (a time) or 2 (a time and the length of a step).
        condition: size of the condition; 0 for none.
        widths: channels of each level, multiples of 8; height and width halve from one to the next.
        time_size: of the embedding of each scalar, and of what steers the blocks.
        attention: whether the coarsest level has it.

    Raises:
        ConfigError: widths that are no multiples of 8; at call, a height or width that the levels do not halve evenly.
    """

    def __init__(
        self,
        channels: int,
        *,
        scalars: int = 1,
        condition: int = 0,
        widths: Sequence[int] = (64, 128, 256),
        time_size: int = 128,
        attention: bool = True,
    ) -> None:
        super().__init__()
        if not widths or any(w < GROUPS or w % GROUPS for w in widths):
            raise ConfigError(f"U-Net of widths {tuple(widths)}: each must be a positive multiple of {GROUPS}.")
        self.scalars, self.halvings = scalars, len(widths) - 1
        # Rates from 1 down, as EDM's: faster sines of t - r would dominate the derivative that MeanFlow learns from.
        self.embed = SinusoidalTime(time_size, scale=1.0)
        self.steer = nn.Sequential(
            nn.Linear(scalars * time_size + condition, time_size), nn.SiLU(), nn.Linear(time_size, time_size), nn.SiLU()
        )
        last = widths[-1]
        self.enter = nn.Conv2d(channels, widths[0], 3, padding=1)
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        for i, (a, b) in enumerate(zip([widths[0], *widths], widths)):
            smaller = nn.Conv2d(b, b, 3, stride=2, padding=1) if i < self.halvings else nn.Identity()
            self.down.append(_Level(_Block(a, b, time_size), _Block(b, b, time_size), smaller))
        self.middle = nn.ModuleList([_Block(last, last, time_size), _Block(last, last, time_size)])
        self.attention = _Attention(last) if attention else nn.Identity()
        for i in reversed(range(len(widths))):
            w = widths[i]
            larger = _Larger(w, widths[i - 1]) if i else nn.Identity()
            self.up.append(_Level(_Block(2 * w, w, time_size), _Block(w, w, time_size), larger))
        self.out = nn.Sequential(_norm(widths[0]), nn.SiLU(), _silent(nn.Conv2d(widths[0], channels, 3, padding=1)))

    def forward(
        self, x: Float[Tensor, "batch channel height width"], *rest: Tensor | None
    ) -> Float[Tensor, "batch channel height width"]:
        """The output; `rest` is the scalars, then the condition or None."""
        if x.shape[2] % 2**self.halvings or x.shape[3] % 2**self.halvings:
            raise ConfigError(
                f"U-Net: a picture of {x.shape[2]} x {x.shape[3]} pixels cannot be halved {self.halvings} times; "
                f"expected multiples of {2**self.halvings}."
            )
        told = [self.embed(scalar) for scalar in rest[: self.scalars]]
        told += [c for c in rest[self.scalars :] if c is not None]
        given = self.steer(torch.cat(told, 1))
        h, skips = self.enter(x), []
        for level in self.down:
            skip, h = level(h, given)
            skips.append(skip)
        first, second = self.middle
        h = second(self.attention(first(h, given)), given)
        for level in self.up:
            h = level(torch.cat([h, skips.pop()], 1), given)[1]
        return self.out(h)
