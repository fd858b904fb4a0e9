"""`CompiledProgram`: a program as native code, run on CPU tensors of any layout."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence

import torch

from invdyn.kernels.compiler import CompileError, load
from invdyn.kernels.emit_c import emit_c
from invdyn.kernels.program import Program
from invdyn.kernels.store import fingerprint

__all__ = ["DTYPES", "CompiledProgram"]

DTYPES = (torch.float32, torch.float64)


class CompiledProgram:
    """A program compiled for a dtype when it is first run with it."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self._run: dict[torch.dtype, ctypes._NamedFuncPointer] = {}

    def __call__(
        self,
        tensors: Sequence[torch.Tensor],
        batch_first: bool = False,
        threads: int | None = None,
        out: Sequence[torch.Tensor] | None = None,
    ) -> tuple[torch.Tensor, ...]:
        """Run on float32 or float64 CPU tensors [size, batch] ([size] if uniform) with any strides.

        Args:
            batch_first: lay the results out in memory sample by sample; their shape stays [size, batch].
            threads: None takes torch's number.
            out: where to write the results, [size, batch] each, with any strides; None makes new tensors. Large new
                memory is handed out page by page while it is written, which takes a tenth of the time of RNEA.

        Raises:
            SignalError: see `Program.check` and `Program.results_for`.
            CompileError: no working compiler.
        """
        program = self.program
        batch = program.check(tensors)
        run = self.function(tensors[0].dtype)
        made = program.results_for(tensors[0], batch, batch_first, out)
        if batch == 0:
            return made
        layout: list[int] = []
        for x in (*tensors, *made):
            layout += [x.stride(0), x.stride(1) if x.ndim == 2 else 0]
        ins = (ctypes.c_void_p * len(tensors))(*(x.data_ptr() for x in tensors))
        outs = (ctypes.c_void_p * len(made))(*(x.data_ptr() for x in made))
        if threads is None:
            threads = torch.get_num_threads()
        steps = (ctypes.c_ssize_t * len(layout))(*layout)
        if run(ins, outs, steps, ctypes.c_size_t(batch), ctypes.c_int(threads)):
            raise CompileError(f"{program.name}: no memory for the workspace of {threads} threads. Use fewer threads.")
        return made

    def function(self, dtype: torch.dtype) -> ctypes._NamedFuncPointer:
        """The native function for a dtype; compiles it if need be."""
        if dtype not in self._run:
            single = dtype == torch.float32
            key = f"{self.program.key} {single} {fingerprint('invdyn.kernels')}"
            self._run[dtype] = load(key, lambda: emit_c(self.program, single), self.program.name).run
        return self._run[dtype]
