"""CUDA C to machine code by NVRTC, the compiler library that comes with torch's CUDA builds; no CUDA toolkit is needed.

Nothing is loaded before the first program is compiled. Results are kept by content, as those of the C compiler are.
"""

from __future__ import annotations

import ctypes
import importlib.util
import os
from ctypes.util import find_library
from functools import cache
from pathlib import Path

import torch

from invdyn.errors import ConfigError
from invdyn.kernels.compiler import CompileError
from invdyn.kernels.store import content, kept

__all__ = ["Nvrtc", "find_nvrtc", "nvrtc"]

OPTIONS = ("--std=c++17", "--fmad=true")
"""No --use_fast_math: quotients and roots stay rounded to the last bit, small numbers stay what they are."""


def find_nvrtc() -> str | None:
    """The library's path: `INVDYN_NVRTC`, else beside torch (its own CUDA version first), else the system's; or None.

    Raises:
        ConfigError: `INVDYN_NVRTC` names no file.
    """
    asked = os.environ.get("INVDYN_NVRTC")
    if asked:
        if not Path(asked).is_file():
            raise ConfigError(f"INVDYN_NVRTC={asked!r} is no file. Name the library libnvrtc.so, or unset it.")
        return asked
    folders = [Path(torch.__file__).parent / "lib"]
    spec = importlib.util.find_spec("nvidia")
    for place in (spec.submodule_search_locations or ()) if spec else ():
        folders += sorted(Path(place).glob("*/lib"))
    found = [f for folder in folders for f in sorted(folder.glob("libnvrtc*.so*")) if _is_library(f.name)]
    version = (torch.version.cuda or "").partition(".")[0]
    found.sort(key=lambda f: f".so.{version}" not in f.name)
    return str(found[0]) if found else find_library("nvrtc")


def _is_library(name: str) -> bool:
    return "builtins" not in name and ".alt." not in name


@cache
def nvrtc() -> Nvrtc | None:
    """The library, loaded once; None where there is none."""
    path = find_nvrtc()
    return None if path is None else Nvrtc(path)


class Nvrtc:
    """The library at a path.

    Raises:
        CompileError: it cannot be loaded.
    """

    def __init__(self, path: str) -> None:
        try:
            for part in sorted(Path(path).parent.glob("libnvrtc-builtins.so*")):  # looked for by name alone
                if ".alt." not in part.name:
                    ctypes.CDLL(str(part), ctypes.RTLD_GLOBAL)
            self._library = ctypes.CDLL(path)
        except OSError as error:
            raise CompileError(f"{path} cannot be loaded: {error}. Name another libnvrtc in INVDYN_NVRTC.") from error
        major, minor = ctypes.c_int(), ctypes.c_int()
        self._call("nvrtcVersion", ctypes.byref(major), ctypes.byref(minor))
        self.version = (major.value, minor.value)

    def architectures(self) -> list[int]:
        """Compute capabilities it makes code for, 10 major + minor."""
        count = ctypes.c_int()
        self._call("nvrtcGetNumSupportedArchs", ctypes.byref(count))
        found = (ctypes.c_int * count.value)()
        self._call("nvrtcGetSupportedArchs", found)
        return sorted(found)

    def image(self, source: str, name: str, capability: tuple[int, int]) -> bytes:
        """Machine code (a cubin) of a source for a device; PTX of the nearest older kind where the device is too new.

        Args:
            source: CUDA C without includes.
            name: what it is, for messages.
            capability: of the device, (major, minor).

        Raises:
            CompileError: the compiler's first message.
            ConfigError: the cache cannot be written.
        """
        wanted = 10 * capability[0] + capability[1]
        known = [a for a in self.architectures() if a <= wanted]
        if not known:
            raise CompileError(
                f"{name}: NVRTC {self.version[0]}.{self.version[1]} makes no code for compute capability "
                f"{capability[0]}.{capability[1]}. Choose backend='eager', or name an older libnvrtc in INVDYN_NVRTC."
            )
        native = known[-1] == wanted
        options = (f"--gpu-architecture={'sm' if native else 'compute'}_{known[-1]}", *OPTIONS)
        facts = [str(self.version), *options, source]

        def write(path: Path) -> None:
            path.write_bytes(self._compile(source, name, options, native))

        return content(kept(facts, ".cubin" if native else ".ptx", write))

    def _compile(self, source: str, name: str, options: tuple[str, ...], native: bool) -> bytes:
        program = ctypes.c_void_p()
        self._call("nvrtcCreateProgram", ctypes.byref(program), source.encode(), b"kernel.cu", 0, None, None)
        try:
            given = (ctypes.c_char_p * len(options))(*(o.encode() for o in options))
            if self._library.nvrtcCompileProgram(program, len(options), given):
                log = self._text(program, "nvrtcGetProgramLog").rstrip(b"\0").decode(errors="replace")
                first = next((line for line in log.splitlines() if "error" in line), log[:200])
                raise CompileError(f"{name}: NVRTC failed: {first.strip()}. Choose backend='eager'.")
            return self._text(program, "nvrtcGetCUBIN" if native else "nvrtcGetPTX")
        finally:
            self._call("nvrtcDestroyProgram", ctypes.byref(program))

    def _text(self, program: ctypes.c_void_p, what: str) -> bytes:
        size = ctypes.c_size_t()
        self._call(f"{what}Size", program, ctypes.byref(size))
        buffer = ctypes.create_string_buffer(size.value)
        self._call(what, program, buffer)
        return buffer.raw

    def _call(self, function: str, *arguments: object) -> None:
        code = getattr(self._library, function)(*arguments)
        if code:
            raise CompileError(f"{function} of NVRTC failed with code {code}. Name another libnvrtc in INVDYN_NVRTC.")
