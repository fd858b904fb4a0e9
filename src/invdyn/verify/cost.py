"""`CostMeter`: what an answer costs: latency, memory, parameters, FLOPs; `peak_tensor_mb`: of one call alone."""

from __future__ import annotations

import resource
import sys
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

__all__ = ["Cost", "CostMeter", "flops", "parameters", "peak_tensor_mb"]


@dataclass(frozen=True)
class Cost:
    """Measured cost.

    Args:
        calls: how often it was measured, warm-up left out.
        median_ms, p95_ms: wall-clock per call; NaN without calls.
        total_s: of all calls.
        peak_memory_mb: most resident memory the process has had so far (all of it, not only this part).
        peak_device_mb: most accelerator memory allocated since the meter was made; None on the CPU.
        threads: torch's CPU threads, so that latencies are compared like with like.
    """

    calls: int
    median_ms: float
    p95_ms: float
    total_s: float
    peak_memory_mb: float
    peak_device_mb: float | None
    threads: int


@dataclass
class CostMeter:
    """Times the calls made inside `with meter.call():`.

    Args:
        device: synchronised around each call when it is an accelerator.
        warmup: first calls that are not counted (compilation, caches).
    """

    device: torch.device | str = "cpu"
    warmup: int = 0
    _seconds: list[float] = field(init=False, repr=False, default_factory=list)

    def __post_init__(self) -> None:
        self.device = torch.device(self.device)
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)

    @contextmanager
    def call(self) -> Iterator[None]:
        """Time one call."""
        self._synchronise()
        start = time.perf_counter()
        yield
        self._synchronise()
        self._seconds.append(time.perf_counter() - start)

    @property
    def seconds(self) -> list[float]:
        """Seconds of each call counted."""
        return self._seconds[self.warmup :]

    def cost(self) -> Cost:
        """What was measured so far."""
        counted = np.array(self.seconds) * 1e3
        median, p95 = np.quantile(counted, [0.5, 0.95]) if len(counted) else (np.nan, np.nan)
        device = torch.device(self.device)
        on_device = torch.cuda.max_memory_allocated(device) / 2**20 if device.type == "cuda" else None
        return Cost(
            calls=len(counted),
            median_ms=float(median),
            p95_ms=float(p95),
            total_s=float(counted.sum() / 1e3),
            peak_memory_mb=_peak_memory_mb(),
            peak_device_mb=on_device,
            threads=torch.get_num_threads(),
        )

    def _synchronise(self) -> None:
        if torch.device(self.device).type == "cuda":
            torch.cuda.synchronize(self.device)


def parameters(module: nn.Module) -> int:
    """Number of parameters, shared ones once."""
    return sum(p.numel() for p in module.parameters())


def flops(function: Callable[[], Any]) -> int:
    """Floating-point operations of one call, by torch's own counter (matrix products, convolutions, attention)."""
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter, torch.no_grad():
        function()
    return int(counter.get_total_flops())


class _Storages(TorchDispatchMode):
    """Bytes of the tensors that operations have made and that are still alive, graphs' own included."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self.known: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        given = {x.untyped_storage()._cdata for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)}
        for x in tree_leaves(result):
            if not isinstance(x, Tensor):
                continue
            storage = x.untyped_storage()
            key = storage._cdata
            if key in given or key in self.known:
                continue
            self.known.add(key)
            self.now += storage.nbytes()
            self.peak = max(self.peak, self.now)
            weakref.finalize(storage, self._gone, key, storage.nbytes())
        return result

    def _gone(self, key: int, size: int) -> None:
        self.known.discard(key)
        self.now -= size


def peak_tensor_mb(function: Callable[[], Any]) -> float:
    """Most memory (MiB) held at once by tensors made during one call, on any device; those made before do not count.

    Counts storages as torch's operations return them: workspaces inside an operation are not seen.
    """
    with _Storages() as storages:
        function()
    return storages.peak / 2**20


def _peak_memory_mb() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10  # bytes on macOS, KiB elsewhere
