"""Emitted GPU kernels compute what the programs compute: run on the host for a GPU, launched through the driver."""

from __future__ import annotations

from functools import cache

import pytest
import torch
import toys
from host_gpu import host_driver
from toys import near, values

from invdyn.bodies.dynamics import Dynamics
from invdyn.errors import SignalError
from invdyn.kernels import emit_cuda as emitter
from invdyn.kernels.compiler import CompileError
from invdyn.kernels.cuda import CudaProgram
from invdyn.kernels.derivative import jvp, vjp
from invdyn.kernels.packing import Packed
from invdyn.kernels.program import Program

TOLERANCE = {torch.float64: 1e-12, torch.float32: 1e-5}
DTYPES = list(TOLERANCE)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INVDYN_CACHE", str(tmp_path_factory.getbasetemp() / "gpu_cache"))


def on_host(program: Program, **options: bool) -> CudaProgram:
    return CudaProgram(program, runs_on=host_driver(), **options)


@cache
def arm() -> Dynamics:
    pytest.importorskip("pinocchio")
    from pinocchio_oracle import pair

    return Dynamics(pair("xarm7").ours, "eager")


@cache
def humanoid() -> Dynamics:
    pytest.importorskip("pinocchio")
    from pinocchio_oracle import pair

    return Dynamics(pair("talos").ours, "eager")


def inputs(program: Program, n: int, dtype: torch.dtype) -> list[torch.Tensor]:
    """Random numbers per input block; a quaternion among them need not be one for two ways to agree."""
    generator = torch.Generator().manual_seed(3)
    return [torch.rand(b.size, n, generator=generator, dtype=torch.float64).to(dtype) * 2 - 1 for b in program.inputs]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("n", [1, 128, 300])
def test_every_operation_at_sizes_around_a_block(dtype: torch.dtype, n: int) -> None:
    program, given = toys.program(), values(n, dtype)
    if dtype == torch.float32:
        given[1][1] *= 1e-5  # one ulp of 1e7 is a whole radian in float32
    for found, wanted in zip(on_host(program)(given), program.evaluate(*given)):
        near(found, wanted, TOLERANCE[dtype])


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("layout", ["sample by sample", "strided", "reversed rows"])
def test_layouts(dtype: torch.dtype, layout: str) -> None:
    """Batch-first arrays go through shared memory, others are read where they stand; results may go anywhere."""
    program, given = toys.program(), values(200, dtype)
    given[1][1] *= 1e-5
    wanted = program.evaluate(*given)
    if layout == "sample by sample":
        given = [x.T.contiguous().T if x.ndim == 2 else x for x in given]
        found = on_host(program)(given, batch_first=True)
        assert found[0].stride() == (1, 8)
    elif layout == "strided":
        given = [x.repeat_interleave(3, -1)[..., ::3] for x in given]
        out = [torch.zeros(b.size, 400, dtype=dtype)[:, ::2] for b in program.outputs]
        found = on_host(program)(given, out=out)
        assert all(y.data_ptr() == z.data_ptr() for y, z in zip(found[:2], out))
    else:
        given = [torch.stack([*x.unbind(0)][::-1]).flip(0) if x.ndim == 2 else x for x in given]
        found = on_host(program)(given)
    for y, z in zip(found, wanted):
        near(y, z, TOLERANCE[dtype])


@pytest.mark.slow
def test_more_shared_memory_than_a_kernel_gets_unasked() -> None:
    """A humanoid's samples in float64: 98 KB for 32 threads is beyond what is staged, 39 KB of float32 is not."""
    program = humanoid().function("rnea").program
    for dtype in DTYPES:
        given = [x.T.contiguous().T for x in inputs(program, 70, dtype)]
        source = emitter.emit_cuda(program, dtype == torch.float32, [True] * 4)
        assert 0 < source.shared <= emitter.STAGE_OF_A_WARP
        (found,), (wanted,) = on_host(program)(given, batch_first=True), program.evaluate(*given)
        near(found, wanted, TOLERANCE[dtype] * 10)  # sums of 38 joints cancel


LONG = [pytest.param(name, marks=pytest.mark.slow) for name in ("crba", "regressor", "derivatives", "jvp", "frames")]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("algorithm", ["rnea", "aba", "vjp", *LONG])
def test_algorithms_of_an_arm(algorithm: str, dtype: torch.dtype) -> None:
    if algorithm in ("vjp", "jvp"):
        program = (vjp if algorithm == "vjp" else jvp)(arm().function("rnea").program)
    elif algorithm == "frames":
        program = arm().function("frames", arm().model.bodies[-1].name).program
    else:
        program = arm().function(algorithm).program
    given = inputs(program, 150, dtype)
    # in float32 elimination loses digits: its own rounding against that of the operations one by one
    scale = 100 if algorithm == "aba" and dtype == torch.float32 else 10
    for found, wanted in zip(on_host(program)(given), program.evaluate(*given)):
        near(found, wanted, TOLERANCE[dtype] * scale)


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", ["rnea", "vjp", "regressor"])
def test_long_programs_in_pieces(algorithm: str) -> None:
    """A humanoid's; the regressor's results are packed."""
    program = humanoid().function("regressor" if algorithm == "regressor" else "rnea").program
    program = {"rnea": lambda p: p, "vjp": vjp, "regressor": lambda p: Packed.of(p).program}[algorithm](program)
    assert ("piece0(" in emitter.emit_cuda(program, False).text) == (algorithm != "rnea")
    given = inputs(program, 40, torch.float64)
    for found, wanted in zip(on_host(program)(given), program.evaluate(*given)):
        near(found, wanted, 1e-11)


def test_pieces_change_no_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """Angles, uniform inputs, constants and inputs that are results, all across pieces; staged as well."""
    program, given = toys.program(), values(100)
    whole = on_host(program)(given)
    monkeypatch.setattr(emitter, "WHOLE", 0)
    monkeypatch.setattr(emitter, "PIECE", 3)
    assert "piece5(" in emitter.emit_cuda(program, False).text
    turned = [x.T.contiguous().T if x.ndim == 2 else x for x in given]
    for again in (on_host(program)(given), on_host(program)(turned, batch_first=True)):
        for x, y in zip(whole, again):
            assert torch.equal(x, y)


def test_infinite_and_missing_numbers() -> None:
    program, given = toys.program(), values(8)
    given[0][:, 1], given[1][:, 2], given[0][1, 3] = torch.nan, torch.inf, 1e300
    for found, wanted in zip(on_host(program)(given), program.evaluate(*given)):
        assert torch.equal(found.isnan(), wanted.isnan())
        assert torch.equal(found.isinf(), wanted.isinf())


def test_infinite_and_missing_constants() -> None:
    program, x = toys.unbounded_program(), values(20)[0][:2]
    assert torch.equal(on_host(program)([x])[0].nan_to_num(7.0), program.evaluate(x)[0].nan_to_num(7.0))


def test_the_processors_own_sine_in_float32_only() -> None:
    program = toys.program()
    assert "#define FAST_SINE" in emitter.emit_cuda(program, True, fast_sine=True).text
    given = values(64, torch.float32)
    given[1][1] *= 1e-5
    for found, wanted in zip(on_host(program, fast_sine=True)(given), program.evaluate(*given)):
        near(found, wanted, 1e-5)


def test_a_batch_of_none_launches_nothing() -> None:
    found = on_host(toys.program())(values(0))
    assert [tuple(y.shape) for y in found] == [(8, 0), (8, 0), (0, 0)]


def test_results_of_another_shape_are_refused() -> None:
    program, given = toys.program(), values(5)
    with pytest.raises(SignalError, match=r"everything: `out` has shapes \[\(8, 4\)\]; expected .*Leave it out"):
        on_host(program)(given, out=[torch.zeros(8, 4, dtype=torch.float64)])


def test_a_failing_driver_is_quoted() -> None:
    driver = host_driver()
    with pytest.raises(CompileError, match="cuDeviceGet of the NVIDIA driver failed: invalid device ordinal"):
        driver.load(b"", emitter.emit_cuda(toys.program(), False), 1)


def test_what_a_kernel_takes_is_asked_of_the_driver() -> None:
    """The stand-in answers with the number of the question: those of CUfunction_attribute."""
    assert on_host(toys.program()).resources(values(4)) == (4, 3)
