"""Where a result comes from: commit, versions, host, peak memory."""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import platform
import resource
import subprocess
import sys
import threading
from pathlib import Path
from types import TracebackType
from typing import Any

import invdyn

__all__ = ["PeakMemory", "commit", "host", "source_hash", "versions"]

PACKAGE = Path(invdyn.__file__).parent


def commit() -> str | None:
    """The commit of the checkout this package runs from, with `+changes` if its sources differ; None outside git."""

    def git(*args: str) -> str:
        return subprocess.run(
            ["git", "-C", str(PACKAGE), *args], capture_output=True, text=True, check=True
        ).stdout.strip()

    try:
        if not git("ls-files", "--", "__init__.py"):
            return None  # installed inside somebody else's repository
        changed = git("status", "--porcelain", "--", ".")
        return git("rev-parse", "HEAD") + ("+changes" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return None


def source_hash() -> str:
    """A digest of every source file of the package: parts computed by other code are never reused."""
    digest = hashlib.sha256()
    for path in sorted(PACKAGE.rglob("*.py")):
        digest.update(str(path.relative_to(PACKAGE)).encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def versions() -> dict[str, str]:
    """Versions of what a result depends on."""
    found = {"python": platform.python_version(), "invdyn": invdyn.__version__}
    for name in ("torch", "numpy", "scipy"):
        found[name] = importlib.metadata.version(name)
    return found


def host(device: str) -> dict[str, Any]:
    """Facts that explain a running time; nothing that names the machine."""
    import torch

    facts: dict[str, Any] = {
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "threads": torch.get_num_threads(),
        "machine": platform.machine(),
        "vectors": torch.backends.cpu.get_cpu_capability(),
        "system": platform.system(),
        "device": device,
    }
    if device.startswith("cuda"):
        facts["accelerator"] = torch.cuda.get_device_name(device)
    return facts


class PeakMemory:
    """The largest resident memory of this process inside the block, in MB (1e6 bytes).

    Linux: sampled from /proc every 20 ms, with the block's own end. Elsewhere: the process's high-water mark.
    """

    def __init__(self, every: float = 0.02) -> None:
        self.mb = 0.0
        self._every = every
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def _sample(self) -> None:
        self.mb = max(self.mb, _resident_mb())

    def _watch(self) -> None:
        while not self._stop.wait(self._every):
            self._sample()

    def __enter__(self) -> PeakMemory:
        self._sample()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        assert self._thread is not None
        self._thread.join()
        self._sample()


def _resident_mb() -> float:
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * resource.getpagesize() / 1e6
    except OSError:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6
