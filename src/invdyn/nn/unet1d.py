"""`ConditionalUnet1D`: a U-Net over the time of an action chunk, steered by time and condition through FiLM.

The net of Diffusion Policy (Chi et al., RSS 2023, arXiv 2303.04137): residual blocks of two convolutions, group norm
and Mish; scale and shift per channel from (time, condition) after the first; strided convolutions down, transposed ones
up.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from invdyn.errors import ConfigError

__all__ = ["ConditionalUnet1D", "SinusoidalTime"]


class SinusoidalTime(nn.Module):
    """Sines and cosines of a time in [0, 1], from one turn of `scale` down to a ten-thousandth of its rate.

    Args:
        size: numbers out, even.
        scale: times are multiplied by it; 100 makes neighbouring levels of a 100-step schedule differ as in the paper.
    """

    rates: Tensor

    def __init__(self, size: int, scale: float = 100.0) -> None:
        super().__init__()
        if size < 4 or size % 2:
            raise ConfigError(f"time embedding of size {size}, expected an even number of at least 4.")
        half = size // 2
        rates = scale * torch.exp(-math.log(1e4) * torch.arange(half, dtype=torch.float32) / (half - 1))
        self.register_buffer("rates", rates, persistent=False)

    def forward(self, t: Float[Tensor, " batch"]) -> Float[Tensor, "batch size"]:
        angle = t[:, None] * self.rates.to(t.dtype)
        return torch.cat([angle.sin(), angle.cos()], -1)


def _convolve(inputs: int, outputs: int, kernel: int, groups: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv1d(inputs, outputs, kernel, padding=kernel // 2), nn.GroupNorm(groups, outputs), nn.Mish()
    )


class _Block(nn.Module):
    """Two convolutions with FiLM between them, beside a shortcut."""

    def __init__(self, inputs: int, outputs: int, condition: int, kernel: int, groups: int) -> None:
        super().__init__()
        self.first = _convolve(inputs, outputs, kernel, groups)
        self.second = _convolve(outputs, outputs, kernel, groups)
        self.film = nn.Sequential(nn.Mish(), nn.Linear(condition, 2 * outputs))
        self.shortcut: nn.Module = nn.Identity() if inputs == outputs else nn.Conv1d(inputs, outputs, 1)

    def forward(
        self, x: Float[Tensor, "batch channel time"], condition: Float[Tensor, "batch size"]
    ) -> Float[Tensor, "batch channel2 time"]:
        scale, shift = self.film(condition)[..., None].chunk(2, 1)
        return self.second(self.first(x) * scale + shift) + self.shortcut(x)


class _Level(nn.Module):
    """Two blocks, then half or twice the time (or the same)."""

    def __init__(self, first: _Block, second: _Block, resize: nn.Module) -> None:
        super().__init__()
        self.first, self.second, self.resize = first, second, resize

    def forward(
        self, x: Float[Tensor, "batch channel time"], condition: Float[Tensor, "batch size"]
    ) -> tuple[Float[Tensor, "batch channel2 time"], Float[Tensor, "batch channel2 time2"]]:
        """What the other side of the U gets, and what goes on."""
        found = self.second(self.first(x, condition), condition)
        return found, self.resize(found)


class ConditionalUnet1D(nn.Module):
    """net(x [batch, time, channels], t [batch], condition [batch, size]) of the shape of x.

    Args:
        channels: numbers a step.
        condition: size of the condition; 0 for none.
        widths: channels of each level; the time halves from one to the next.
        time_size: of the embedding of t.
        kernel: of the convolutions, odd.
        groups: of the group norms; each width is a multiple.

    Raises:
        ConfigError: widths that the groups do not divide; at call, a time that the levels do not halve evenly.
    """

    def __init__(
        self,
        channels: int,
        condition: int,
        *,
        widths: Sequence[int] = (256, 512, 1024),
        time_size: int = 256,
        kernel: int = 5,
        groups: int = 8,
    ) -> None:
        super().__init__()
        if not widths or any(w % groups for w in widths):
            raise ConfigError(f"U-Net of widths {tuple(widths)}: each must be a multiple of its {groups} groups.")
        self.halvings = len(widths) - 1
        self.time = nn.Sequential(
            SinusoidalTime(time_size),
            nn.Linear(time_size, 4 * time_size),
            nn.Mish(),
            nn.Linear(4 * time_size, time_size),
        )
        size = time_size + condition

        def block(inputs: int, outputs: int) -> _Block:
            return _Block(inputs, outputs, size, kernel, groups)

        ends = list(zip([channels, *widths], widths))
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        for i, (a, b) in enumerate(ends):
            smaller = nn.Conv1d(b, b, 3, stride=2, padding=1) if i < self.halvings else nn.Identity()
            self.down.append(_Level(block(a, b), block(b, b), smaller))
        for a, b in reversed(ends[1:]):
            larger = nn.ConvTranspose1d(a, a, 4, stride=2, padding=1)
            self.up.append(_Level(block(2 * b, a), block(a, a), larger))
        self.middle = nn.ModuleList([block(widths[-1], widths[-1]), block(widths[-1], widths[-1])])
        self.out = nn.Sequential(_convolve(widths[0], widths[0], kernel, groups), nn.Conv1d(widths[0], channels, 1))

    def forward(
        self,
        x: Float[Tensor, "batch time channel"],
        t: Float[Tensor, " batch"],
        condition: Float[Tensor, "batch size"] | None = None,
    ) -> Float[Tensor, "batch time channel"]:
        if x.shape[1] % 2**self.halvings:
            raise ConfigError(
                f"U-Net: a chunk of {x.shape[1]} steps cannot be halved {self.halvings} times; "
                f"expected a multiple of {2**self.halvings}."
            )
        given = self.time(t)
        if condition is not None:
            given = torch.cat([given, condition], -1)
        h, skips = x.transpose(1, 2), []
        for level in self.down:
            skip, h = level(h, given)
            skips.append(skip)
        for block in self.middle:
            h = block(h, given)
        for level in self.up:
            h = level(torch.cat([h, skips.pop()], 1), given)[1]
        return self.out(h).transpose(1, 2)
