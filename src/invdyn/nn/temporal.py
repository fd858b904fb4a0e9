"""Temporal masks (pair, causal, non-causal) and a masked transformer over the steps of a window."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from invdyn.errors import ConfigError, unknown_name

__all__ = ["MaskedTransformer", "Positions", "TemporalMask", "attention_mask", "visible_offsets"]

TemporalMask = Literal["pair", "causal", "noncausal"]
Positions = Literal["rotary", "learned"]


def visible_offsets(kind: TemporalMask, before: int, after: int) -> list[bool]:
    """Which steps of a window the answer at its centre may see.

    pair: the centre and the step after it. causal: the centre and what came before (a past-only model).
    noncausal: all.

    Raises:
        ConfigError: a pair without a later step.
        UnknownNameError: no such mask.
    """
    if kind not in get_args(TemporalMask):
        raise unknown_name("temporal mask", kind, get_args(TemporalMask))
    if kind == "pair" and after < 1:
        raise ConfigError(
            f"mask 'pair' needs the step after the centre, and the window has after = {after}. Set after=1."
        )
    seen = {"pair": (0, 1), "causal": range(-before, 1), "noncausal": range(-before, after + 1)}[kind]
    return [offset in seen for offset in range(-before, after + 1)]


def attention_mask(kind: TemporalMask, before: int, after: int) -> Bool[Tensor, "window window"]:
    """[query, key] which step may attend to which: each to its own pair, its own past, or everything."""
    size = before + 1 + after
    query, key = torch.arange(size)[:, None], torch.arange(size)
    if kind == "pair":
        return (key == query) | (key == query + 1)
    return key <= query if kind == "causal" else torch.ones(size, size, dtype=torch.bool)


def _rotate(x: Tensor, angles: Tensor) -> Tensor:
    """Rotary positions (Su et al. 2021): pairs of features turned by an angle that grows with the step."""
    a, b = x.chunk(2, -1)
    cos, sin = angles.cos(), angles.sin()
    return torch.cat([a * cos - b * sin, a * sin + b * cos], -1)


class _Block(nn.Module):
    """Pre-norm attention and MLP."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Dropout(dropout), nn.Linear(4 * width, width)
        )

    def forward(self, x: Tensor, mask: Tensor, angles: Tensor | None) -> Tensor:
        q, k, v = self.qkv(self.norm1(x)).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        if angles is not None:
            q, k = _rotate(q, angles), _rotate(k, angles)
        rate = self.dropout if self.training else 0.0
        mixed = functional.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=rate)
        x = x + self.out(mixed.transpose(1, 2).flatten(-2))
        return x + self.mlp(self.norm2(x))


class MaskedTransformer(nn.Module):
    """Tokens of a window mixed under a mask; what is masked has an influence of exactly 0.

    Args:
        width, depth, heads: of the blocks.
        window: steps, at most (for learned positions).
        positions: `rotary` or `learned`.
        dropout: in training.

    Raises:
        ConfigError: a width that the heads do not divide into even parts.
    """

    angles: Tensor | None

    def __init__(
        self,
        width: int,
        window: int,
        *,
        depth: int = 2,
        heads: int = 4,
        positions: Positions = "rotary",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if width % heads or (width // heads) % 2:
            raise ConfigError(
                f"width {width} cannot be divided into {heads} heads of even size. Use a multiple of {2 * heads}."
            )
        self.missing = nn.Parameter(torch.zeros(width))
        self.blocks = nn.ModuleList(_Block(width, heads, dropout) for _ in range(depth))
        self.norm = nn.LayerNorm(width)
        half = width // heads // 2
        if positions == "learned":
            self.position = nn.Parameter(0.02 * torch.randn(window, width))
            self.register_buffer("angles", None)
        elif positions == "rotary":
            self.register_parameter("position", None)
            rates = 100.0 ** (-torch.arange(half) / max(1, half))  # windows are short: 100, not the 10,000 of texts
            self.register_buffer("angles", torch.arange(window)[:, None] * rates, persistent=False)
        else:
            raise unknown_name("positions", positions, get_args(Positions))

    def forward(
        self,
        tokens: Float[Tensor, "batch window feature"],
        present: Bool[Tensor, "batch window"],
        attend: Bool[Tensor, "window window"],
    ) -> Float[Tensor, "batch window feature"]:
        """Mixed tokens.

        Args:
            tokens: one per step.
            present: False where there is none; such tokens are replaced by a learned one that nobody attends to.
            attend: [query, key], see `attention_mask`.
        """
        size = tokens.shape[1]
        x = torch.where(present[..., None], tokens, self.missing)
        if self.position is not None:
            x = x + self.position[:size]
        itself = torch.eye(size, dtype=torch.bool, device=x.device)
        mask = ((present[:, None, :] & attend) | itself)[:, None]
        angles = None if self.angles is None else self.angles[:size]
        for block in self.blocks:
            x = block(x, mask, angles)
        return self.norm(x)
