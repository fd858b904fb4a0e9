"""`Function`: a program as a differentiable torch function; native code where it can be had, tensors elsewhere."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any, Literal

import torch
from torch._C import _len_torch_dispatch_stack

from invdyn.errors import unknown_name
from invdyn.kernels.compiled import DTYPES, CompiledProgram
from invdyn.kernels.compiler import CompileError, compiler
from invdyn.kernels.cuda import NO_NVRTC, CudaProgram, driver
from invdyn.kernels.derivative import jvp, vjp
from invdyn.kernels.emit_cuda import MOST
from invdyn.kernels.program import Program
from invdyn.kernels.store import fingerprint
from invdyn.kernels.stored import stored

__all__ = ["BACKENDS", "Backend", "Function"]

Backend = Literal["auto", "compiled", "eager"]
BACKENDS: tuple[Backend, ...] = ("auto", "compiled", "eager")
_log = logging.getLogger(__name__)
_told: set[str] = set()


class Function:
    """A program, callable on tensors [size, batch]; works with autograd (twice too), torch.func and vmap.

    Args:
        program: what to compute.
        backend: `compiled` is native code (float32 and float64, on the CPU by a C compiler, on NVIDIA GPUs by NVRTC);
            `eager` runs operation by operation on any device; `auto` compiles where it can and says once where it
            cannot.

    Raises:
        UnknownNameError: no such backend.
        CompileError: `compiled` was asked for and there is no compiler, or the tensors are of another device or dtype.
    """

    def __init__(self, program: Program, backend: Backend = "auto") -> None:
        if backend not in BACKENDS:
            raise unknown_name("backend", str(backend), BACKENDS)
        self.program, self.backend = program, backend
        self.native, self.on_gpu = CompiledProgram(program), CudaProgram(program)

    def __call__(self, *tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Per output block [size, batch]."""
        if self._compiles(tensors):
            return tuple(_Native.apply(self, *tensors))
        return self.program.evaluate(*tensors)

    def run(self, tensors: Sequence[torch.Tensor]) -> tuple[torch.Tensor, ...]:
        """The numbers alone, by native code, without a graph for derivatives."""
        given = [x.detach() for x in tensors]
        return self.on_gpu(given) if given[0].is_cuda else self.native(given)

    @cached_property
    def vjp(self) -> Function:
        """The reverse derivative; see `derivative.vjp`."""
        return Function(self._derived("vjp", vjp), self.backend)

    @cached_property
    def jvp(self) -> Function:
        """The forward derivative; see `derivative.jvp`."""
        return Function(self._derived("jvp", jvp), self.backend)

    def _derived(self, name: str, derive: Callable[[Program], Program]) -> Program:
        if self.backend == "eager":
            return derive(self.program)
        return stored([name, self.program.key, fingerprint("invdyn.kernels")], lambda: derive(self.program))

    def _compiles(self, tensors: Sequence[torch.Tensor]) -> bool:
        """Whether native code runs these tensors."""
        if self.backend == "eager" or not tensors or _watched(tensors):
            return False
        try:
            why = self._refusal(tensors[0].device.type, [x.dtype for x in tensors])
        except CompileError as error:  # there is a compiler, and it fails
            if self.backend == "compiled":
                raise
            why = str(error)
        if why is None:
            return True
        if self.backend == "compiled":
            raise CompileError(f"{self.program.name}: {why}, or choose backend='eager'.")
        if why != ELSEWHERE and why not in _told:
            _told.add(why)
            _log.warning("%s. Until then programs run operation by operation, many times slower.", why.rstrip("."))
        return False

    def _refusal(self, device: str, dtypes: Sequence[torch.dtype]) -> str | None:
        """Why native code cannot run such tensors; None where it can."""
        if device not in ("cpu", "cuda") or any(t not in DTYPES for t in dtypes):
            return ELSEWHERE
        if device == "cuda":
            if self.program.operations > MOST:
                return f"{self.program.name} has {self.program.operations} operations; on GPUs {MOST} are compiled"
            return NO_NVRTC if driver() is None else None
        if compiler() is None:
            return NO_COMPILER
        if self.backend == "auto":
            self.native.function(dtypes[0])
        return None


def _watched(tensors: Sequence[torch.Tensor]) -> bool:
    """Whether torch records operations (make_fx, linearize, torch.compile) or the tensors hold no numbers (FakeTensor).

    Native code would be invisible to the first, and read from nowhere with the second: both see the operations instead.
    """
    return _len_torch_dispatch_stack() > 0 or any(type(x) not in PLAIN for x in tensors)


PLAIN = (torch.Tensor, torch.nn.Parameter)
NO_COMPILER = "no C compiler found; install gcc or clang"
ELSEWHERE = "native code runs float32 and float64 on the CPU and on NVIDIA GPUs"


class _Native(torch.autograd.Function):
    """Native code under autograd and torch.func: the traced derivatives are programs again."""

    @staticmethod
    def forward(function: Function, *tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return function.run(tensors)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        ctx.function = inputs[0]
        ctx.save_for_backward(*inputs[1:])
        ctx.save_for_forward(*inputs[1:])

    @staticmethod
    def backward(ctx: Any, *cotangents: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        function: Function = ctx.function
        grads = function.vjp(*ctx.saved_tensors, *cotangents)
        blocks = function.program.inputs
        return None, *(g.sum(1) if b.uniform else g for b, g in zip(blocks, grads))

    @staticmethod
    def jvp(ctx: Any, _: Any, *tangents: torch.Tensor | None) -> tuple[torch.Tensor, ...]:
        function: Function = ctx.function
        given = [torch.zeros_like(x) if t is None else t for x, t in zip(ctx.saved_tensors, tangents)]
        return function.jvp(*ctx.saved_tensors, *given)

    @staticmethod
    def vmap(info: Any, in_dims: tuple[Any, ...], function: Function, *tensors: torch.Tensor) -> Any:
        """The mapped axis becomes part of the batch, which the program has anyway."""
        n, blocks, merged = info.batch_size, function.program.inputs, []
        if any(b.uniform and d is not None for b, d in zip(blocks, in_dims[1:])):
            columns = [_unmapped(x, d, i) for i in range(n) for x, d in zip(tensors, in_dims[1:])]
            runs = [function(*columns[i * len(tensors) : (i + 1) * len(tensors)]) for i in range(n)]
            return tuple(torch.stack(outs, 1) for outs in zip(*runs)), (1,) * len(runs[0])
        for block, x, d in zip(blocks, tensors, in_dims[1:]):
            if block.uniform:
                merged.append(x)
            else:
                lifted = x.unsqueeze(1).expand(-1, n, -1) if d is None else x.movedim(d, 1)
                merged.append(lifted.reshape(block.size, -1))
        outs = function(*merged)
        return tuple(y.reshape(y.shape[0], n, -1) for y in outs), (1,) * len(outs)


def _unmapped(x: torch.Tensor, dim: int | None, i: int) -> torch.Tensor:
    return x if dim is None else x.select(dim, i)
