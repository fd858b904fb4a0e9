"""C source to a loaded library: the system's compiler, and its results kept by content."""

from __future__ import annotations

import ctypes
import os
import platform
import shutil
import subprocess
from collections.abc import Callable
from functools import cache
from pathlib import Path

from invdyn.errors import ConfigError, InvdynError
from invdyn.kernels.store import kept

__all__ = ["CompileError", "compiler", "load"]

FLAGS = ("-O2", "-march=native", "-ffp-contract=fast", "-fno-math-errno", "-fno-trapping-math", "-shared", "-fPIC")
"""No -ffast-math: sums keep the order they are written in, infinite and missing numbers stay what they are."""


class CompileError(InvdynError, RuntimeError):
    """A compiler that is not there, or is there but does not do its work."""


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


@cache
def _machine() -> tuple[str, ...]:
    """What native code depends on besides its source: the processor's abilities and the compiler."""
    facts = [platform.machine()]
    path = compiler()
    if path is not None:
        stat = Path(path).resolve().stat()
        facts += [path, str(stat.st_size), str(stat.st_mtime_ns)]
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        facts += [next(line for line in lines if line.startswith(("flags", "Features")))]
    except (OSError, StopIteration):
        facts.append(platform.processor())
    return tuple(facts)


def load(key: str, source: Callable[[], str], name: str) -> ctypes.CDLL:
    """Compile, unless it is kept already, and load.

    Args:
        key: a hash of all that the source depends on.
        source: makes the C source; asked for only where it has to be compiled.
        name: what it is, for messages.

    Raises:
        CompileError: no compiler, or it failed; its first message is quoted.
        ConfigError: the cache cannot be written.
    """
    library = kept([*_machine(), *FLAGS, key], ".so", lambda path: _compile(source(), name, path))
    return ctypes.CDLL(str(library))


def _compile(source: str, name: str, library: Path) -> None:
    path = compiler()
    if path is None:
        raise CompileError(f"{name}: no C compiler found. Install gcc or clang, or name one in INVDYN_CC.")
    command = [path, *FLAGS, "-x", "c", "-", "-o", str(library), "-lm", "-pthread"]
    try:
        done = subprocess.run(command, input=source, capture_output=True, text=True, check=False)
    except OSError as error:
        raise CompileError(f"{name}: {path} cannot be run: {error.strerror}. Name another in INVDYN_CC.") from error
    if done.returncode:
        first = next((line for line in done.stderr.splitlines() if "error" in line), done.stderr[:200])
        raise CompileError(f"{name}: {path} failed: {first.strip()}. Name another compiler in INVDYN_CC.")
