"""Several processes (torchrun) behind the one loop: who writes, who computes which shard, who decides."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from invdyn.errors import ConfigError

__all__ = ["Processes", "join_processes"]


def join_processes(backend: str = "gloo") -> None:
    """Join the group that torchrun started (no effect for a single process). Call once, before training.

    Use backend `nccl` on GPUs.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1 and not torch.distributed.is_initialized():
        torch.distributed.init_process_group(backend)


class _LossModule(nn.Module):
    """A forward pass that is the loss: DistributedDataParallel needs the computation to go through `forward`."""

    def __init__(self, model: nn.Module, loss: Callable[..., Mapping[str, Tensor]]) -> None:
        super().__init__()
        self.model, self.loss = model, loss

    def forward(self, batch: Any, generator: torch.Generator) -> dict[str, Tensor]:
        return dict(self.loss(self.model, batch, generator))


class Processes:
    """The processes of a run; one process when no group was joined."""

    def __init__(self) -> None:
        joined = torch.distributed.is_available() and torch.distributed.is_initialized()
        self.size = torch.distributed.get_world_size() if joined else 1
        self.rank = torch.distributed.get_rank() if joined else 0

    @property
    def writes(self) -> bool:
        """Only this one writes files, validates and shows progress."""
        return self.rank == 0

    def shards(self, total: int) -> range:
        """The numbers of the shards that this process computes.

        Raises:
            ConfigError: shards that cannot be divided evenly.
        """
        if total % self.size:
            raise ConfigError(
                f"{total} shards a step cannot be divided among {self.size} processes. "
                f"Set shards to a multiple of {self.size}."
            )
        return range(self.rank, total, self.size)

    def wrap(self, model: nn.Module, loss: Callable[..., Mapping[str, Tensor]]) -> nn.Module:
        """A module whose call is the loss and whose gradients are averaged over the processes."""
        module = _LossModule(model, loss)
        if self.size == 1:
            return module
        return nn.parallel.DistributedDataParallel(module, find_unused_parameters=True)

    def without_sync(self, module: nn.Module) -> AbstractContextManager[Any]:
        """Gradients stay local inside the block (all shards of a step but the last)."""
        return module.no_sync() if isinstance(module, nn.parallel.DistributedDataParallel) else nullcontext()

    def agreed(self, value: float) -> float:
        """The value of process 0, so that all take the same decision."""
        if self.size == 1:
            return value
        box = torch.tensor([value], dtype=torch.float64)
        torch.distributed.broadcast(box, 0)
        return float(box)

    def mean(self, value: Tensor) -> Tensor:
        """Mean of a logged value over the processes."""
        if self.size == 1:
            return value
        total = value.detach().clone()
        torch.distributed.all_reduce(total)
        return total / self.size
