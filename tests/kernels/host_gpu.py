"""The GPU's compiler and driver, played by the host: emitted kernels run here as they are, launched as there."""

from __future__ import annotations

import shutil
import subprocess
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

import pytest
import torch

from invdyn.kernels.cuda import CudaDriver
from invdyn.kernels.nvrtc import Nvrtc

HERE = Path(__file__).parent


class HostDriver(CudaDriver):
    """The driver, for CPU tensors."""

    def where(self, device: torch.device) -> tuple[int, tuple[int, int], int]:
        return 0, (9, 0), 0


@cache
def _library(name: str) -> str:
    made = Path(mkdtemp()) / f"{name}.so"
    header = f'-DHOST_GPU_H="{HERE / "host_gpu.h"}"'
    command = [
        "g++",
        "-O1",
        "-std=c++17",
        "-shared",
        "-fPIC",
        header,
        str(HERE / f"{name}.cpp"),
        "-o",
        str(made),
        "-ldl",
    ]
    subprocess.run(command, check=True)
    return str(made)


@cache
def host_driver() -> HostDriver:
    """Skips where there is no g++."""
    if shutil.which("g++") is None:
        pytest.skip("no g++ to compile emitted kernels for the host with")
    return HostDriver(Nvrtc(_library("host_nvrtc")), _library("host_driver"))


def host_nvrtc() -> str:
    """Path of the compiler's stand-in."""
    host_driver()
    return _library("host_nvrtc")
