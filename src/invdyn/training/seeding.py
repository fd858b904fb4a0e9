"""Generators that are a pure function of (seed, step, stream), so that a resumed run draws what it would have drawn."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

__all__ = ["generator_at", "mixed_seed", "seeded"]

WORD = (1 << 64) - 1


def mixed_seed(*parts: int) -> int:
    """A 63-bit seed from integers: SplitMix64 over each in turn (Steele, Lea and Flood 2014)."""
    state = 0
    for part in parts:
        state = (state ^ (part & WORD)) + 0x9E3779B97F4A7C15 & WORD
        state = (state ^ (state >> 30)) * 0xBF58476D1CE4E5B9 & WORD
        state = (state ^ (state >> 27)) * 0x94D049BB133111EB & WORD
        state ^= state >> 31
    return state >> 1


def generator_at(seed: int, step: int, stream: int = 0) -> torch.Generator:
    """A CPU generator for one step."""
    return torch.Generator().manual_seed(mixed_seed(seed, step, stream))


@contextmanager
def seeded(*parts: int) -> Iterator[None]:
    """PyTorch's own generators (dropout draws from them) fixed inside the block and put back after it."""
    devices = [torch.cuda.current_device()] if torch.cuda.is_available() and torch.cuda.is_initialized() else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(mixed_seed(*parts))
        yield
