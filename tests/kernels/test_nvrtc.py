"""The GPU's compiler: where it is looked for, what it makes, what is said where it is missing or fails."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import toys
from host_gpu import host_driver, host_nvrtc
from toys import near, values

from invdyn.errors import ConfigError
from invdyn.kernels import cuda
from invdyn.kernels import function as functions
from invdyn.kernels.compiler import CompileError
from invdyn.kernels.cuda import CudaDriver, CudaProgram
from invdyn.kernels.emit_cuda import MOST, emit_cuda
from invdyn.kernels.function import Function
from invdyn.kernels.nvrtc import Nvrtc, find_nvrtc, nvrtc

ASKED = os.environ.get("INVDYN_NVRTC")
SINGLE = [torch.float32, torch.float32]


@pytest.fixture(autouse=True)
def _fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An empty cache, and nothing found or said before."""
    monkeypatch.setenv("INVDYN_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("INVDYN_NVRTC", raising=False)
    monkeypatch.setattr(functions, "_told", set())
    for found in (nvrtc, cuda.driver):
        found.cache_clear()
    yield
    for found in (nvrtc, cuda.driver):
        found.cache_clear()


def test_where_it_is_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside torch, of its own CUDA version if there are several; the setting before all."""
    package = tmp_path / "torch" / "__init__.py"
    (tmp_path / "torch" / "lib").mkdir(parents=True)
    monkeypatch.setattr(torch, "__file__", str(package))
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    for name in ("libnvrtc-builtins.so.13.0", "libnvrtc.so.12", "libnvrtc.so.13", "libnvrtc.alt.so.13"):
        (tmp_path / "torch" / "lib" / name).write_text("")
    assert find_nvrtc() == str(tmp_path / "torch" / "lib" / "libnvrtc.so.13")
    monkeypatch.setenv("INVDYN_NVRTC", str(package))
    with pytest.raises(ConfigError, match=r"INVDYN_NVRTC='.*__init__.py' is no file. Name the library libnvrtc.so"):
        find_nvrtc()
    package.write_text("")
    assert find_nvrtc() == str(package)


def test_a_library_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "libnvrtc.so").write_text("no")
    with pytest.raises(CompileError, match=r"libnvrtc.so cannot be loaded: .*Name another libnvrtc in INVDYN_NVRTC"):
        Nvrtc(str(tmp_path / "libnvrtc.so"))
    with pytest.raises(CompileError, match=r"driver's /no/libcuda.so cannot be loaded: .*Install the driver"):
        CudaDriver(Nvrtc(host_nvrtc()), "/no/libcuda.so")


def test_images_are_kept(tmp_path: Path) -> None:
    """By source, options and version; a new device gets portable code, an old one a sentence."""
    compiler, source = Nvrtc(host_nvrtc()), emit_cuda(toys.program(), False).text
    first = compiler.image(source, "toy", (9, 0))
    assert compiler.image(source, "toy", (9, 0)) == first
    folder = tmp_path / "cache" / "kernels"
    assert len([*folder.iterdir()]) == 1
    compiler.image(source, "toy", (8, 0))
    compiler.image(source, "toy", (12, 0))
    assert sorted(f.suffix for f in folder.iterdir()) == [".cubin", ".cubin", ".ptx"]
    with pytest.raises(CompileError, match=r"toy: NVRTC 0.1 makes no code for compute capability 7.5. Choose backend"):
        compiler.image(source, "toy", (7, 5))


def test_its_first_complaint_is_quoted() -> None:
    with pytest.raises(CompileError, match=r"toy: NVRTC failed: .*error: .*nonsense.*Choose backend='eager'"):
        Nvrtc(host_nvrtc()).image("nonsense nonsense;", "toy", (9, 0))


def test_functions_go_where_their_tensors_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a device: compiled. Autograd and torch.func go through the derivatives' own kernels."""
    monkeypatch.setattr(functions, "driver", host_driver)
    function = Function(toys.program(), "compiled")
    assert function._refusal("cuda", SINGLE) is None
    assert function._refusal("cuda", [torch.float16]) == functions.ELSEWHERE

    def on_host(given: Function, tensors: Any) -> tuple[torch.Tensor, ...]:
        ran.append(given.program.name)
        return CudaProgram(given.program, runs_on=host_driver())([x.detach() for x in tensors])

    ran: list[str] = []
    monkeypatch.setattr(Function, "run", on_host)
    given = [x.requires_grad_() for x in values(20)]
    found = torch.autograd.grad(function(*given)[0].sum(), given)
    wanted = torch.autograd.grad(toys.program().evaluate(*given)[0].sum(), given, allow_unused=True)
    assert ran == ["everything", "everything.vjp"]
    for x, y in zip(found, wanted):
        near(x, torch.zeros_like(x) if y is None else y, 1e-12)


@pytest.mark.parametrize("why", ["no NVRTC", "no driver", "too long"])
def test_without_it_one_warning_and_eager(
    why: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(torch.Tensor, "device", property(lambda _: torch.device("cuda", 0)))
    message = {
        "no NVRTC": r"everything: NVRTC, which compiles for the GPU, is not found; .*INVDYN_NVRTC, or choose backend=",
        "no driver": r"the NVIDIA driver's libcuda.so.1 cannot be loaded: .*Install the driver",
        "too long": r"everything: everything has \d+ operations; on GPUs 5 are compiled, or choose backend='eager'",
    }[why]
    if why == "no NVRTC":
        monkeypatch.setattr(cuda, "nvrtc", lambda: None)
    elif why == "no driver":
        if shutil.which("nvidia-smi"):
            pytest.skip("there is a driver")
        monkeypatch.setattr(cuda, "nvrtc", lambda: Nvrtc(host_nvrtc()))
    else:
        monkeypatch.setattr(functions, "MOST", 5)
    with pytest.raises(CompileError, match=message):
        Function(toys.program(), "compiled")(*values(3))
    evaluated: list[int] = []
    monkeypatch.setattr(type(toys.program()), "evaluate", lambda *_: evaluated.append(1) or ())
    for _ in range(2):
        Function(toys.program(), "auto")(*values(3))
    assert len(evaluated) == 2
    assert sum("operation by operation" in r.message for r in caplog.records) == 1


def test_asked_for_by_itself() -> None:
    if find_nvrtc() is not None:
        pytest.skip("there is an NVRTC")
    with pytest.raises(CompileError, match=r"everything: NVRTC, .* is not found; install a CUDA build of torch"):
        CudaProgram(toys.program())(values(3))


def test_nothing_is_loaded_at_import() -> None:
    code = "import invdyn.kernels.function, ctypes.util, sys; print([m for m in sys.modules if 'nvidia' in m])"
    lines = Path("/proc/self/maps")
    code += f"; print('nvrtc' in open({str(lines)!r}).read() or 'libcuda' in open({str(lines)!r}).read())"
    import sys

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    if torch.version.cuda is None:  # torch's own CUDA builds load it themselves
        assert done.stdout.split() == ["[]", "False"]


REGISTERS = re.compile(r"(\d+) bytes stack frame, (\d+) bytes spill stores.*?Used (\d+) registers", re.S)


@pytest.mark.parametrize("compile_with", ["nvcc", "NVRTC"])
@pytest.mark.parametrize("single", [True, False])
def test_the_real_compiler_takes_it(compile_with: str, single: bool, tmp_path: Path) -> None:
    """For an H100, arm and toy; nothing is spilled."""
    pytest.importorskip("pinocchio")
    from pinocchio_oracle import pair

    from invdyn.bodies.dynamics import Dynamics

    arm = Dynamics(pair("xarm7").ours, "eager").function("rnea").program
    sources = [emit_cuda(p, single, [staged] * 8) for p in (toys.program(), arm) for staged in (False, True)]
    if compile_with == "NVRTC":
        path = ASKED or find_nvrtc()
        if path is None:
            pytest.skip("no NVRTC: install nvidia-cuda-nvrtc, or name its library in INVDYN_NVRTC")
        for source in sources:
            assert Nvrtc(path).image(source.text, "toy", (9, 0)).startswith(b"\x7fELF")
        return
    if shutil.which("nvcc") is None:
        pytest.skip("no nvcc")
    for k, source in enumerate(sources):
        code = tmp_path / f"{k}.cu"
        code.write_text(source.text)
        command = ["nvcc", "-arch=sm_90", "-cubin", "-Xptxas", "-v", "-o", str(code.with_suffix(".o")), str(code)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        kernel = done.stderr[done.stderr.index("'run'") :]
        _, spilled, registers = map(int, REGISTERS.search(kernel).groups())  # type: ignore[union-attr]
        assert spilled == 0
        assert registers <= (96 if single else 200)


def test_the_limit_is_above_what_is_meant_to_run() -> None:
    assert MOST >= 17_552  # a humanoid's regressor
