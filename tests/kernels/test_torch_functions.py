"""`Function` under torch: autograd twice, torch.func, vmap; native and eager give the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import toys
from toys import near, values

from invdyn.kernels import scalar as s
from invdyn.kernels.compiler import compiler
from invdyn.kernels.function import Function
from invdyn.kernels.program import Block, Program, trace

pytestmark = pytest.mark.skipif(compiler() is None, reason="no C compiler")


def smooth() -> Program:
    """Smooth in everything, with a uniform input that enters nonlinearly."""

    def function(x: Any, p: Any) -> dict[str, Any]:
        a = s.mul(s.sin(s.mul(p[0], x[0])), s.exp(s.mul(0.3, x[1])))
        return {"y": [a, s.div(x[2], s.add(2.0, s.mul(p[1], p[1]))), s.tanh(s.mul(x[0], x[2]))]}

    return trace("smooth", function, [Block("x", 3), Block("p", 2, uniform=True)])


NATIVE, EAGER = Function(smooth(), "compiled"), Function(smooth(), "eager")


def given(n: int = 4) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(3, n, dtype=torch.float64, generator=generator)
    return x, torch.randn(2, dtype=torch.float64, generator=generator)


def test_gradients_are_those_of_finite_differences() -> None:
    x, p = (t.requires_grad_() for t in given())
    call = lambda x, p: NATIVE(x, p)[0]  # noqa: E731
    assert torch.autograd.gradcheck(call, (x, p), check_forward_ad=True)
    assert torch.autograd.gradgradcheck(call, (x, p))


def test_batch_first_tensors_and_views_carry_gradients() -> None:
    x, p = given(50)
    base = x.T.contiguous().requires_grad_()
    (found,) = torch.autograd.grad(NATIVE(base.T, p)[0].square().sum(), base)
    asked = x.clone().requires_grad_()
    (wanted,) = torch.autograd.grad(EAGER(asked, p)[0].square().sum(), asked)
    near(found.T, wanted, 1e-12)


def one(function: Function) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
    """Of a single sample [3] -> [3]."""
    return lambda x, p: function(x[:, None], p)[0][:, 0]


TRANSFORMS: dict[str, Callable[[Callable[..., Any]], Callable[..., Any]]] = {
    "jacrev": lambda f: torch.func.jacrev(f, (0, 1)),
    "jacfwd": lambda f: torch.func.jacfwd(f, (0, 1)),
    "hessian": lambda f: torch.func.hessian(lambda x, p: f(x, p).sum(), (0, 1)),
    "reverse over reverse": lambda f: torch.func.jacrev(torch.func.jacrev(lambda x, p: f(x, p).prod())),
    "grad and value": lambda f: torch.func.grad_and_value(lambda x, p: f(x, p).square().sum()),
    "vjp": lambda f: lambda x, p: torch.func.vjp(f, x, p)[1](torch.ones(3, dtype=x.dtype)),
    "jvp": lambda f: lambda x, p: torch.func.jvp(f, (x, p), (torch.ones_like(x), torch.ones_like(p))),
}


@pytest.mark.parametrize("mapped", ["x", "p", "both"])
@pytest.mark.parametrize("name", TRANSFORMS)
def test_transforms_alone_and_mapped(name: str, mapped: str) -> None:
    """vmap of each transform, over samples, over the uniform numbers, over both."""
    x, p = given(5)
    many = torch.stack([p, p + 1, p - 1, 2 * p, -p])
    axes: dict[str, tuple[tuple[int | None, int | None], tuple[torch.Tensor, torch.Tensor]]] = {
        "x": ((1, None), (x, p)),
        "p": ((None, 0), (x[:, 0], many)),
        "both": ((1, 0), (x, many)),
    }
    over, arguments = axes[mapped]
    found, wanted = (torch.func.vmap(TRANSFORMS[name](one(f)), over)(*arguments) for f in (NATIVE, EAGER))
    found, wanted = torch.utils._pytree.tree_leaves(found), torch.utils._pytree.tree_leaves(wanted)
    assert len(found) == len(wanted) > 0
    for y, z in zip(found, wanted):
        near(y, z, 1e-12)


def test_vmap_over_vmap() -> None:
    x = torch.randn(2, 5, 3, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    _, p = given()
    twice = torch.func.vmap(torch.func.vmap(lambda x: NATIVE(x, p)[0]))
    for i in range(2):
        for j in range(5):
            near(twice(x)[i, j], NATIVE(x[i, j], p)[0], 1e-15)


def test_every_operation_through_autograd() -> None:
    native, eager = Function(toys.program(), "compiled"), Function(toys.program(), "eager")
    asked = values(40)
    asked[1][1] *= 1e-5
    grads = []
    for function in (native, eager):
        inputs = [x.clone().requires_grad_() for x in asked]
        total = sum((k + 1) * y.sum() for k, y in enumerate(function(*inputs)))
        grads.append(torch.autograd.grad(total, inputs))
    for g, w in zip(*grads):
        near(g, w, 1e-12)


def test_float32_stays_float32() -> None:
    x, p = (t.float().requires_grad_() for t in given())
    y = NATIVE(x, p)[0]
    y.sum().backward()
    assert y.dtype == x.grad.dtype == p.grad.dtype == torch.float32


def test_no_gradient_asked_none_kept() -> None:
    x, p = given()
    assert not NATIVE(x, p)[0].requires_grad
    with torch.no_grad():
        assert NATIVE(x.requires_grad_(), p)[0].grad_fn is None


def test_what_torch_records_is_seen_by_it() -> None:
    """Native code would be a constant to make_fx and without memory for fake tensors."""
    from torch._subclasses.fake_tensor import FakeTensorMode
    from torch.fx.experimental.proxy_tensor import make_fx

    x, p = given()
    recorded = make_fx(lambda x: NATIVE(x, p)[0])(x)
    near(recorded(x + 1), NATIVE(x + 1, p)[0], 1e-12)
    _, linear = torch.func.linearize(lambda x: NATIVE(x, p)[0], x)
    near(linear(torch.ones_like(x)), torch.func.jvp(lambda x: EAGER(x, p)[0], (x,), (torch.ones_like(x),))[1], 1e-12)
    with FakeTensorMode() as mode:
        assert NATIVE(mode.from_tensor(x), mode.from_tensor(p))[0].shape == (3, 4)
    fake = mode.from_tensor(x), mode.from_tensor(p)
    assert NATIVE(*fake)[0].shape == (3, 4)  # also where the mode is over
