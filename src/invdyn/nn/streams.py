"""`Streams`: random numbers for runs that are trained side by side, one generator per seed."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float, Int64
from torch import Tensor

__all__ = ["Streams"]


class Streams:
    """One CPU generator per distinct seed; draws are [run, ...].

    What a run draws depends on its own seed only, not on how many runs stand beside it, and runs of one seed draw the
    same numbers: a method and its control then differ by nothing but the method.

    Args:
        seeds: one per run.
        device: where the draws go.
    """

    def __init__(self, seeds: Sequence[int], device: torch.device | str = "cpu") -> None:
        distinct = sorted(set(seeds))
        self.generators = [torch.Generator().manual_seed(seed) for seed in distinct]
        self.device = torch.device(device)
        self._whose = torch.tensor([distinct.index(seed) for seed in seeds])
        self.runs = len(seeds)

    def _each(self, draw: Callable[[torch.Generator], Tensor]) -> Tensor:
        return torch.stack([draw(g) for g in self.generators])[self._whose].to(self.device)

    def normal(self, *shape: int) -> Float[Tensor, "run ..."]:
        """Standard normal numbers."""
        return self._each(lambda g: torch.randn(shape, generator=g))

    def uniform(self, *shape: int) -> Float[Tensor, "run ..."]:
        """Uniform numbers in [0, 1), in double precision so that they can address large tables."""
        return self._each(lambda g: torch.rand(shape, generator=g, dtype=torch.float64))

    def index(self, count: int | Int64[Tensor, " run"], *shape: int) -> Int64[Tensor, "run ..."]:
        """Whole numbers from 0 to count - 1; `count` may differ from run to run."""
        counts = torch.as_tensor(count, dtype=torch.float64, device=self.device).reshape(-1, *[1] * len(shape))
        return (self.uniform(*shape) * counts).long()
