"""Random numbers as a pure function of (seed, step, stream, component).

A batched world needs copy i to draw the same numbers whether it runs alone or among a thousand others, and a
snapshot has to put the randomness back too. A counter-based generator gives both without any state: it hashes
where we are. The hash is SplitMix64's finaliser (Steele, Lea, Flood, OOPSLA 2014) in wrapping int64 arithmetic.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float64, Int64
from torch import Tensor

__all__ = ["hash_integers", "normals", "uniforms"]


def _signed(constant: int) -> int:
    """The int64 with the bits of an unsigned 64-bit constant."""
    return constant - 2**64 if constant >= 2**63 else constant


GOLDEN = _signed(0x9E3779B97F4A7C15)
MULTIPLY_1 = _signed(0xBF58476D1CE4E5B9)
MULTIPLY_2 = _signed(0x94D049BB133111EB)


def _shift(x: Tensor, bits: int) -> Tensor:
    """Logical right shift (torch's is arithmetic)."""
    return (x >> bits) & ((1 << (64 - bits)) - 1)


def _mix(x: Tensor) -> Tensor:
    x = (x ^ _shift(x, 30)) * MULTIPLY_1
    x = (x ^ _shift(x, 27)) * MULTIPLY_2
    return x ^ _shift(x, 31)


def hash_integers(
    seeds: Int64[Tensor, " batch"], steps: Int64[Tensor, " batch"], stream: int, count: int
) -> Int64[Tensor, "count batch"]:
    """`count` well-mixed 64-bit integers per copy."""
    key = _mix(seeds * GOLDEN + stream)
    key = _mix(key + steps * GOLDEN)
    components = torch.arange(1, count + 1, device=seeds.device)
    return _mix(key + (components * GOLDEN)[:, None])


def uniforms(
    seeds: Int64[Tensor, " batch"], steps: Int64[Tensor, " batch"], stream: int, count: int
) -> Float64[Tensor, "count batch"]:
    """`count` uniform numbers in [0, 1) per copy, from the upper 53 bits."""
    return _shift(hash_integers(seeds, steps, stream, count), 11).double() * 2.0**-53


def normals(
    seeds: Int64[Tensor, " batch"], steps: Int64[Tensor, " batch"], stream: int, count: int
) -> Float64[Tensor, "count batch"]:
    """`count` standard normal numbers per copy (Box and Muller, one pair of uniforms each)."""
    u = uniforms(seeds, steps, stream, 2 * count)
    radius = (-2 * torch.log1p(-u[:count])).sqrt()
    return radius * torch.cos(2 * math.pi * u[count:])
