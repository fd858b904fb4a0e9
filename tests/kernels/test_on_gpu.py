"""On a real GPU: CUDA tensors give what CPU tensors give, with gradients, on other streams and threads."""

from __future__ import annotations

import pytest
import torch
import toys
from toys import near, values

from invdyn.bodies.dynamics import Dynamics
from invdyn.kernels.cuda import CudaProgram
from invdyn.kernels.function import Function

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")]
TOLERANCE = {torch.float64: 1e-12, torch.float32: 1e-5}


def on_gpu(tensors: list[torch.Tensor]) -> list[torch.Tensor]:
    return [x.cuda() for x in tensors]


@pytest.mark.parametrize("dtype", list(TOLERANCE), ids=str)
@pytest.mark.parametrize("n", [0, 1, 31, 127, 128, 129, 100_000])
@pytest.mark.parametrize("batch_first", [False, True])
def test_every_operation(n: int, dtype: torch.dtype, batch_first: bool) -> None:
    program, given = toys.program(), values(n, dtype)
    given[1][1] *= 1e-5
    there = on_gpu([x.T.contiguous().T if batch_first and x.ndim == 2 else x for x in given])
    for found, wanted in zip(CudaProgram(program)(there, batch_first), program.evaluate(*given)):
        near(found.cpu(), wanted, TOLERANCE[dtype])


@pytest.mark.parametrize("robot", ["xarm7", "talos"])
@pytest.mark.parametrize("algorithm", ["rnea", "aba", "crba", "regressor"])
def test_algorithms(robot: str, algorithm: str) -> None:
    pytest.importorskip("pinocchio")
    from pinocchio_oracle import pair

    model = pair(robot).ours
    program = Dynamics(model, "eager").function(algorithm).program
    given = [torch.rand(b.size, 1000, dtype=torch.float64) * 2 - 1 for b in program.inputs]
    (wanted,) = Dynamics(model, "compiled").function(algorithm)(*given)
    (found,) = Dynamics(model, "compiled").function(algorithm)(*on_gpu(given))
    near(found.cpu(), wanted, 1e-10)


def test_gradients_from_autograds_own_thread() -> None:
    function = Function(toys.program(), "compiled")
    grads = []
    for given in (values(500), on_gpu(values(500))):
        asked = [x.requires_grad_() for x in given]
        total = sum(y.sum() for y in function(*asked))
        grads.append(torch.autograd.grad(total, asked))
    for cpu, gpu in zip(*grads):
        near(gpu.cpu(), cpu, 1e-11)


def test_the_current_stream() -> None:
    """Work queued behind a slow producer on the same stream sees its result."""
    program, given = toys.program(), on_gpu(values(1000))
    run = CudaProgram(program)
    wanted = [y.clone() for y in run([2 * given[0], *given[1:]])]
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        big = torch.randn(4096, 4096, device="cuda")
        for _ in range(20):
            big = big @ big / 4096
        late = given[0] * (2 + 0 * big[0, 0].nan_to_num())
        found = run([late, *given[1:]])
    stream.synchronize()
    for x, y in zip(found, wanted):
        assert torch.equal(x, y)


def test_resources() -> None:
    registers, _ = CudaProgram(toys.program()).resources(on_gpu(values(10)))
    assert 0 < registers <= 255
