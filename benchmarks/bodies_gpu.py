"""Rigid-body algorithms on one NVIDIA GPU, against the bandwidth of a copy and the rate of multiply-adds there.

The robots of `bodies.py`, batch last, results into given memory, times of CUDA events, the fastest of several. Per row
the bytes an evaluation must move (arrays in and out, once) and the operations it computes; `peer` is the nearer of the
two roofs: moving those bytes as fast as a copy of the same size, or computing those operations as fast as a kernel of
nothing but fused multiply-adds (2 operations each; few of RNEA's can be fused, so this roof is out of reach).
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from invdyn.bodies.dynamics import Dynamics
from invdyn.errors import ConfigError
from invdyn.kernels import scalar as s
from invdyn.kernels.cuda import CudaProgram
from invdyn.kernels.emit_cuda import MOST
from invdyn.kernels.packing import Packed
from invdyn.kernels.program import Block, Program, trace

__all__ = ["run"]

MEMORY = 4_000_000_000
"""Bytes of arrays a row may take."""


def _neighbour(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"invdyn_bench_{name}", Path(__file__).with_name(f"{name}.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def fastest(call: Callable[[], Any], rounds: int) -> float:
    """Seconds on the device."""
    best = float("inf")
    for _ in range(3):
        call()
    for _ in range(rounds):
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        start.record()
        call()
        end.record()
        end.synchronize()
        best = min(best, start.elapsed_time(end) / 1e3)
    return best


def multiply_adds(dtype: torch.dtype, rounds: int) -> float:
    """Operations per second of eight chains of fused multiply-adds per thread, all in registers."""
    length = 256

    def chains(x: Any) -> dict[str, Any]:
        values = list(x)
        for i in range(length):
            values = [s.add(s.mul(v, x[(i + k) % 8]), x[(i + k + 3) % 8]) for k, v in enumerate(values)]
        return {"y": values}

    program = trace("multiply_adds", chains, [Block("x", 8)])
    x = torch.rand(8, 1 << 22, dtype=dtype, device="cuda")
    out = [torch.empty_like(x)]
    kernel = CudaProgram(program)
    return 2 * 8 * length * x.shape[1] / fastest(lambda: kernel([x], out=out), rounds)


def copied(count: int, rounds: int) -> float:
    """Bytes per second, read and written, of copying `count` bytes in all."""
    x = torch.empty(max(count // 8, 1), dtype=torch.float32, device="cuda")
    y = torch.empty_like(x)
    return 8 * len(x) / fastest(lambda: y.copy_(x), rounds)


def programs(dynamics: Dynamics) -> dict[str, Program]:
    """By name; those with many structural zeros packed."""
    found = {name: dynamics.function(name).program for name in ("rnea", "aba")}
    found["gradient of rnea"] = dynamics.function("rnea").vjp.program
    site = dynamics.model.bodies[-1].name
    for name, options in (("crba", ()), ("jacobian", (site,)), ("regressor", ())):
        found[name] = Packed.of(dynamics.function(name, *options).program).program
    return {name: program for name, program in found.items() if program.operations <= MOST}


def rows_of(name: str, program: Program, batch: int, layout: str, peak: dict[torch.dtype, float], rounds: int) -> Any:
    """One program in both precisions (float32 also with the processor's own sine)."""
    for dtype, fast_sine in ((torch.float32, False), (torch.float32, True), (torch.float64, False)):
        moved = program.bytes_moved(dtype.itemsize)
        n = min(batch, MEMORY // moved)
        blocks = (*program.inputs, *program.outputs)
        arrays = [torch.rand(b.size, n, dtype=dtype, device="cuda") * 2 - 1 for b in blocks]
        if layout == "first":
            arrays = [x.T.contiguous().T for x in arrays]
        given, out = arrays[: len(program.inputs)], arrays[len(program.inputs) :]
        kernel = CudaProgram(program, fast_sine=fast_sine)
        seconds = fastest(lambda k=kernel, g=given, o=out: k(g, out=o), rounds)  # type: ignore[misc]
        bandwidth = copied(moved * n, rounds)
        by_memory, by_arithmetic = moved / bandwidth, program.flops / peak[dtype]
        registers, local = kernel.resources(given, layout == "first")
        roof, which = max((by_memory, "memory"), (by_arithmetic, "arithmetic"))
        sine = " fast sine" if fast_sine else ""
        yield {
            "name": f"{name} {str(dtype).removeprefix('torch.')}{sine} batch {n} {layout}",
            "ours": float(f"{n / seconds:.4g}"), "peer": float(f"{1 / roof:.4g}"), "unit": "evaluations/s",
            "ratio": round(roof * n / seconds, 3),
            "note": f"peer: the roof of {which}; {moved} bytes, {program.flops} flops an evaluation; "
            f"{moved * n / seconds / 1e9:.0f} of {bandwidth / 1e9:.0f} GB/s, "
            f"{program.flops * n / seconds / 1e9:.0f} of {peak[dtype] / 1e9:.0f} Gflop/s; "
            f"{registers} registers, {local} bytes of local memory; {torch.cuda.get_device_name()}",
        }  # fmt: skip


def run(quick: bool = False) -> list[dict[str, Any]]:
    """All rows; `quick` takes small batches of the arm alone.

    Raises:
        ConfigError: no GPU.
    """
    if not torch.cuda.is_available():
        raise ConfigError(
            f"bench bodies_gpu needs an NVIDIA GPU and a CUDA build of torch; torch {torch.__version__} "
            "sees none here. Use bench bodies for the CPU."
        )
    bodies = _neighbour("bodies")
    rounds = 3 if quick else 20
    peak = {dtype: multiply_adds(dtype, rounds) for dtype in (torch.float32, torch.float64)}
    rows: list[dict[str, Any]] = []
    for robot in list(bodies.ROBOTS)[: 1 if quick else None]:
        for name, program in programs(Dynamics(bodies.Robot(robot).model, "eager")).items():
            sizes = [4096] if quick else [4096, 65_536, 1_048_576] if name == "rnea" else [1_048_576]
            for batch in sizes:
                for layout in ("last", "first") if name == "rnea" else ("last",):
                    rows += rows_of(f"{name} {robot}", program, batch, layout, peak, rounds)
            print(f"bodies_gpu: {robot} {name} done", file=sys.stderr)
    return rows
