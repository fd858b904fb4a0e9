"""C source to a loaded library: the system's compiler, and a cache on disk by content."""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

from invdyn.errors import ConfigError, InvdynError

__all__ = ["CompileError", "cache_folder", "compiler", "load"]

FLAGS = ("-O2", "-march=native", "-ffp-contract=fast", "-fno-math-errno", "-fno-trapping-math", "-shared", "-fPIC")
"""No -ffast-math: sums keep the order they are written in, infinite and missing numbers stay what they are."""


class CompileError(InvdynError, RuntimeError):
    """A compiler that is there but does not do its work."""


@cache
def compiler() -> str | None:
    """Path of the C compiler: `INVDYN_CC`, `CC`, else the first of cc, gcc, clang; None if there is none.

    Raises:
        ConfigError: `INVDYN_CC` names something that is not there.
    """
    asked = os.environ.get("INVDYN_CC")
    if asked:
        found = shutil.which(asked)
        if found is None:
            raise ConfigError(f"INVDYN_CC={asked!r} is not a program. Name a C compiler, or unset it.")
        return found
    names = [os.environ.get("CC", ""), "cc", "gcc", "clang"]
    return next((path for name in names if name and (path := shutil.which(name))), None)


def cache_folder() -> Path:
    """`INVDYN_CACHE`, else invdyn/ in the user's cache; for the user alone, because code is run from it."""
    base = os.environ.get("INVDYN_CACHE")
    folder = Path(base) if base else Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "invdyn"
    kernels = folder / "kernels"
    kernels.mkdir(parents=True, exist_ok=True, mode=0o700)
    return kernels


@cache
def _machine() -> str:
    """What native code depends on: the processor's abilities and the compiler."""
    facts = [platform.machine(), *FLAGS]
    path = compiler()
    if path is not None:
        stat = Path(path).resolve().stat()
        facts += [path, str(stat.st_size), str(stat.st_mtime_ns)]
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        facts += [next(line for line in lines if line.startswith(("flags", "Features")))]
    except (OSError, StopIteration):
        facts.append(platform.processor())
    return "\n".join(facts)


def load(source: str, name: str) -> ctypes.CDLL:
    """Compile, unless the cache holds it, and load.

    Args:
        source: C.
        name: what it is, for messages and file names.

    Raises:
        CompileError: no compiler, or it failed; its first message is quoted.
    """
    digest = hashlib.sha256(f"{_machine()}\n{source}".encode()).hexdigest()[:32]
    library = cache_folder() / f"{digest}.so"
    if not library.is_file():
        _compile(source, name, library)
    return ctypes.CDLL(str(library))


def _compile(source: str, name: str, library: Path) -> None:
    path = compiler()
    if path is None:
        raise CompileError(f"{name}: no C compiler found. Install gcc or clang, or name one in INVDYN_CC.")
    with tempfile.TemporaryDirectory(dir=library.parent) as folder:
        code, made = Path(folder) / "kernel.c", Path(folder) / "kernel.so"
        code.write_text(source, encoding="utf-8")
        done = subprocess.run(
            [path, *FLAGS, str(code), "-o", str(made), "-lm", "-pthread"], capture_output=True, text=True, check=False
        )
        if done.returncode:
            first = next((line for line in done.stderr.splitlines() if "error" in line), done.stderr[:200])
            raise CompileError(f"{name}: {path} failed: {first.strip()}. Name another compiler in INVDYN_CC.")
        made.replace(library)  # whole or not at all: another process may be loading it
