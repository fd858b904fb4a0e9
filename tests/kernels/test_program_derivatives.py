"""Traced derivatives against torch.autograd of the same program run on tensors."""

from __future__ import annotations

import pytest
import torch
import toys
from toys import near, values

from invdyn.kernels import scalar as s
from invdyn.kernels.derivative import jacobian, jvp, vjp
from invdyn.kernels.program import Block, Program, trace


def only(op: str) -> Program:
    """One operation on two or four arguments where it is defined."""

    def function(x: list[s.Scalar]) -> dict[str, list[s.Scalar]]:
        a, b = s.add(1.5, s.mul(x[0], x[0])), x[1]
        args = {"select": (x[2], x[1], x[0], x[3])}.get(op, (a,) if op in ONE else (a, b))
        return {"y": [s.apply(op, *args)]}

    return trace(op, function, [Block("x", 4)])


ONE = {"neg", "sqrt", "sin", "cos", "exp", "log", "tanh", "abs", "sign"}


@pytest.mark.parametrize("op", sorted(s.TABLE))
def test_each_operation(op: str) -> None:
    program = only(op)
    x = torch.randn(4, 30, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    weight = torch.randn(1, 30, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    asked = x.clone().requires_grad_()
    (y,) = program.evaluate(asked)
    (wanted,) = torch.autograd.grad(y, asked, weight, allow_unused=True) if y.requires_grad else (None,)
    wanted = torch.zeros_like(x) if wanted is None else wanted
    near(vjp(program).evaluate(x, weight)[0], wanted, 1e-13)
    direction = torch.randn(4, 30, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    near(jvp(program).evaluate(x, direction)[0], (wanted / weight * direction).sum(0, keepdim=True), 1e-12)


def test_reverse_of_everything() -> None:
    program, given = toys.program(), values(50)
    given[1][1] *= 1e-5
    asked = [x.clone().requires_grad_() for x in given]
    outs = program.evaluate(*asked)
    generator = torch.Generator().manual_seed(4)
    weights = [torch.randn(y.shape, generator=generator, dtype=torch.float64) for y in outs]
    wanted = torch.autograd.grad([y for y in outs if y.requires_grad], asked, weights[:2])
    found = vjp(program).evaluate(*given, *weights)
    for block, g, w in zip(program.inputs, found, wanted):
        near(g.sum(1) if block.uniform else g, w, 1e-12)  # per sample for uniform inputs too


def test_forward_of_everything() -> None:
    program, given = toys.program(), values(50)
    given[1][1] *= 1e-5
    generator = torch.Generator().manual_seed(5)
    directions = [torch.randn(x.shape, generator=generator, dtype=torch.float64) for x in given]
    _, wanted = torch.func.jvp(program.evaluate, tuple(given), tuple(directions))
    for found, w in zip(jvp(program).evaluate(*given, *directions), wanted):
        near(found, w, 1e-12)


def test_the_whole_matrix() -> None:
    program, given = toys.program(), values(20)
    given[1][1] *= 1e-5
    found = jacobian(program, "first", ("y", "x")).evaluate(*given)
    assert [b.name for b in jacobian(program, "first", ("y", "x")).outputs] == ["dfirst/dy", "dfirst/dx"]

    def one(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return program.evaluate(x[:, None], y[:, None], given[2])[0][:, 0]

    by_x, by_y = torch.func.vmap(torch.func.jacrev(one, (0, 1)), 1, 2)(given[0], given[1])
    near(found[0].unflatten(0, (8, 3)), by_y, 1e-12)
    near(found[1].unflatten(0, (8, 4)), by_x, 1e-12)


def test_structural_zeros_cost_nothing() -> None:
    program = trace("toy", lambda x: {"y": [s.mul(x[0], x[0]), s.sin(x[1]), 4.0]}, [Block("x", 2)])
    found = jacobian(program, "y", ("x",))
    assert found.operations == 2  # 2 x0 as x0 + x0, and a cosine
    x = torch.tensor([[3.0], [0.0]], dtype=torch.float64)
    assert found.evaluate(x)[0][:, 0].tolist() == [6.0, 0.0, 0.0, 1.0, 0.0, 0.0]


def test_derivatives_of_derivatives() -> None:
    """Hessian-vector products two ways: forward over reverse and reverse over forward."""
    program = trace("toy", lambda x: {"y": [s.mul(s.sin(x[0]), s.exp(s.mul(x[1], x[2])))]}, [Block("x", 3)])
    x, u = torch.randn(2, 3, 10, dtype=torch.float64, generator=torch.Generator().manual_seed(6))
    one, none = torch.ones(1, 10, dtype=torch.float64), torch.zeros(1, 10, dtype=torch.float64)
    (first,) = jvp(vjp(program)).evaluate(x, one, u, none)
    second = vjp(jvp(program)).evaluate(x, u, one)[0]
    near(first, second, 1e-13)
