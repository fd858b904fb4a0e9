"""`CudaProgram`: a program as code of an NVIDIA GPU, run on CUDA tensors of any layout, on torch's current stream.

The driver's own library is called directly: torch has brought up the device by the time it holds a tensor on it.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import torch

from invdyn.kernels.compiler import CompileError
from invdyn.kernels.emit_cuda import CudaSource, emit_cuda
from invdyn.kernels.nvrtc import Nvrtc, nvrtc
from invdyn.kernels.program import Program

__all__ = ["CudaDriver", "CudaProgram", "Resources", "driver"]

REGISTERS, LOCAL, MOST_SHARED = 4, 3, 8
"""Numbers of CUfunction_attribute (cuda.h)."""


class Resources(NamedTuple):
    """What a thread of a kernel takes: registers, and bytes of local memory, most of them spilled registers."""

    registers: int
    local: int


class CudaDriver:
    """Loading and launching of machine code.

    Raises:
        CompileError: the driver's library cannot be loaded, or one of its functions failed.
    """

    def __init__(self, compiler: Nvrtc, path: str = "libcuda.so.1") -> None:
        self.compiler = compiler
        try:
            self._library = ctypes.CDLL(path)
        except OSError as error:
            raise CompileError(f"the NVIDIA driver's {path} cannot be loaded: {error}. Install the driver.") from error
        self._contexts: dict[int, ctypes.c_void_p] = {}

    def where(self, device: torch.device) -> tuple[int, tuple[int, int], int]:
        """Number of a device, its compute capability, and the handle of torch's current stream there."""
        number = torch.cuda.current_device() if device.index is None else device.index
        return number, torch.cuda.get_device_capability(number), torch.cuda.current_stream(number).cuda_stream

    def load(self, image: bytes, source: CudaSource, device: int) -> ctypes.c_void_p:
        """The kernel of an image, ready on a device."""
        module, function = ctypes.c_void_p(), ctypes.c_void_p()
        self._enter(device)
        try:
            self._call("cuModuleLoadData", ctypes.byref(module), image)
            self._call("cuModuleGetFunction", ctypes.byref(function), module, b"run")
            if source.shared > 48 * 1024:  # more must be asked for
                self._call("cuFuncSetAttribute", function, MOST_SHARED, source.shared)
        finally:
            self._leave()
        return function

    def launch(
        self, function: ctypes.c_void_p, source: CudaSource, device: int, stream: int, batch: int, layout: Sequence[int]
    ) -> None:
        """Run a kernel on a batch; `layout` holds pointer, step between rows, step between samples of each array."""
        values = [ctypes.c_longlong(x) for x in (batch, *layout)]
        pointers = (ctypes.c_void_p * len(values))(*(ctypes.addressof(x) for x in values))
        grid = (batch + source.threads - 1) // source.threads
        sizes = [ctypes.c_uint(n) for n in (grid, 1, 1, source.threads, 1, 1, source.shared)]
        self._enter(device)
        try:
            self._call("cuLaunchKernel", function, *sizes, ctypes.c_void_p(stream), pointers, None)
        finally:
            self._leave()

    def resources(self, function: ctypes.c_void_p) -> Resources:
        """See `Resources`."""
        found = []
        for what in (REGISTERS, LOCAL):
            number = ctypes.c_int()
            self._call("cuFuncGetAttribute", ctypes.byref(number), what, function)
            found.append(number.value)
        return Resources(*found)

    def _enter(self, device: int) -> None:
        """Make the context that torch uses on a device current: threads of autograd start without one."""
        if device not in self._contexts:
            context, handle = ctypes.c_void_p(), ctypes.c_int()
            self._call("cuDeviceGet", ctypes.byref(handle), device)
            self._call("cuDevicePrimaryCtxRetain", ctypes.byref(context), handle)
            self._contexts[device] = context
        self._call("cuCtxPushCurrent_v2", self._contexts[device])

    def _leave(self) -> None:
        self._call("cuCtxPopCurrent_v2", ctypes.byref(ctypes.c_void_p()))

    def _call(self, function: str, *arguments: object) -> None:
        code = getattr(self._library, function)(*arguments)
        if code:
            text = ctypes.c_char_p()
            known = self._library.cuGetErrorString(code, ctypes.byref(text)) == 0 and text.value
            why = text.value.decode() if known and text.value else f"code {code}"
            raise CompileError(f"{function} of the NVIDIA driver failed: {why}. Choose backend='eager'.")


@cache
def driver() -> CudaDriver | None:
    """The driver with its compiler, loaded once; None where NVRTC is missing.

    Raises:
        CompileError: see `CudaDriver` and `Nvrtc`.
    """
    compiler = nvrtc()
    return None if compiler is None else CudaDriver(compiler)


class CudaProgram:
    """A program compiled for a device, a dtype and the layouts of its arrays when it is first run with them.

    Args:
        program: what to compute.
        fast_sine: see `emit_cuda`.
        runs_on: the driver; None takes the machine's.
    """

    def __init__(self, program: Program, fast_sine: bool = False, runs_on: CudaDriver | None = None) -> None:
        self.program, self.fast_sine = program, fast_sine
        self._driver = runs_on
        self._sources: dict[tuple[bool, tuple[bool, ...]], CudaSource] = {}
        self._kernels: dict[tuple[int, bool, tuple[bool, ...]], ctypes.c_void_p] = {}

    def __call__(
        self,
        tensors: Sequence[torch.Tensor],
        batch_first: bool = False,
        out: Sequence[torch.Tensor] | None = None,
    ) -> tuple[torch.Tensor, ...]:
        """Run on float32 or float64 CUDA tensors [size, batch] ([size] if uniform) with any strides.

        Args:
            batch_first: lay the results out in memory sample by sample; their shape stays [size, batch].
            out: where to write the results, [size, batch] each, with any strides; None makes new tensors.

        Raises:
            SignalError: see `Program.check` and `Program.results_for`.
            CompileError: no NVRTC, or it or the driver failed.
        """
        batch = self.program.check(tensors)
        made = self.program.results_for(tensors[0], batch, batch_first, out)
        if batch == 0:
            return made
        arrays = (*tensors, *made)
        runs_on = self._runs_on()
        device, capability, stream = runs_on.where(tensors[0].device)
        kernel, source = self._kernel(runs_on, device, capability, tensors[0].dtype, arrays)
        layout: list[int] = []
        for x in arrays:
            layout += [x.data_ptr(), x.stride(0), x.stride(1) if x.ndim == 2 else 0]
        runs_on.launch(kernel, source, device, stream, batch, layout)
        return made

    def resources(self, tensors: Sequence[torch.Tensor], batch_first: bool = False) -> Resources:
        """Registers and local memory of the kernel that runs these tensors."""
        made = self(tensors, batch_first)
        runs_on = self._runs_on()
        device, capability, _ = runs_on.where(tensors[0].device)
        kernel, _ = self._kernel(runs_on, device, capability, tensors[0].dtype, (*tensors, *made))
        return runs_on.resources(kernel)

    def _runs_on(self) -> CudaDriver:
        found = self._driver or driver()
        if found is None:
            raise CompileError(f"{self.program.name}: {NO_NVRTC}, or choose backend='eager'.")
        return found

    def _kernel(
        self,
        runs_on: CudaDriver,
        device: int,
        capability: tuple[int, int],
        dtype: torch.dtype,
        arrays: Sequence[torch.Tensor],
    ) -> tuple[ctypes.c_void_p, CudaSource]:
        """The kernel for a device, dtype and layout, and its source; compiled if need be."""
        single, staged = dtype == torch.float32, tuple(_sample_by_sample(x) for x in arrays)
        if (single, staged) not in self._sources:
            self._sources[single, staged] = emit_cuda(self.program, single, staged, self.fast_sine)
        source = self._sources[single, staged]
        if (device, single, staged) not in self._kernels:
            image = runs_on.compiler.image(source.text, self.program.name, capability)
            self._kernels[device, single, staged] = runs_on.load(image, source, device)
        return self._kernels[device, single, staged], source


NO_NVRTC = (
    "NVRTC, which compiles for the GPU, is not found; install a CUDA build of torch or the package nvidia-cuda-nvrtc, "
    "or name its library in INVDYN_NVRTC"
)


def _sample_by_sample(x: torch.Tensor) -> bool:
    """Whether the samples lie one behind the other without gaps, more than one number each."""
    return x.ndim == 2 and x.shape[0] > 1 and x.stride() == (1, x.shape[0])
