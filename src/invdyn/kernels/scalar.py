"""Arithmetic on single numbers that are floats, torch tensors or symbols of a program being traced.

An algorithm written with these functions over lists of scalars runs three ways: on floats at once, on tensors
(one per scalar, any shape, any device, autograd), or on symbols (`graph.Symbol`), which builds a program. Floats are
folded: adding 0.0 and multiplying by 0.0 or 1.0 leave no trace, so a model's zeros cost nothing.
A float 0.0 stands for an exact zero; multiplying it with an infinite or missing number is still 0.0.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from invdyn.kernels.graph import Graph, Symbol

__all__ = [
    "TABLE", "Operation", "Scalar", "absolute", "add", "atan2", "cos", "div", "exp", "log", "maximum", "minimum",
    "mul", "neg", "select", "sign", "sin", "sqrt", "sub", "tanh",
]  # fmt: skip

Scalar = Any
"""float | torch.Tensor | Symbol"""


def add(a: Scalar, b: Scalar) -> Scalar:
    """a + b."""
    if type(a) is float:
        if type(b) is float:
            return a + b
        if a == 0.0:
            return b
    elif type(b) is float and b == 0.0:
        return a
    graph = _graph(a, b)
    if graph is None:
        return a + b
    inner = _negated(graph, b)
    if inner is not None:
        return sub(a, inner)
    inner = _negated(graph, a)
    if inner is not None:
        return sub(b, inner)
    return graph.node("add", a, b)


def sub(a: Scalar, b: Scalar) -> Scalar:
    """a - b."""
    if type(b) is float:
        return add(a, -b)
    if type(a) is float and a == 0.0:
        return neg(b)
    graph = _graph(a, b)
    if graph is None:
        return a - b
    if type(a) is Symbol and a.id == b.id:
        return 0.0
    inner = _negated(graph, b)
    if inner is not None:
        return add(a, inner)
    inner = _negated(graph, a)
    if inner is not None:
        return neg(add(inner, b))
    if type(a) is Symbol:
        reverse = graph.find("sub", b.id, a.id)
        if reverse is not None:
            return graph.node("neg", reverse)
    return graph.node("sub", a, b)


def neg(a: Scalar) -> Scalar:
    """-a."""
    if type(a) is not Symbol:
        return -a
    graph = a.graph
    inner = _negated(graph, a)
    if inner is not None:
        return inner
    if graph.ops[a.id] == "sub":  # -(x - y) = y - x, free where it is already there
        x, y = graph.args[a.id]
        reverse = graph.find("sub", y, x)
        if reverse is not None:
            return reverse
    return graph.node("neg", a)


def mul(a: Scalar, b: Scalar) -> Scalar:
    """a * b."""
    if type(b) is float:
        a, b = b, a
    if type(a) is float:
        if type(b) is float:
            return a * b
        if a == 0.0:
            return 0.0
        if a == 1.0:
            return b
        if a == -1.0:
            return neg(b)
        graph = _graph(b, b)
        if graph is None:
            return a * b
        inner = _negated(graph, b)
        if inner is not None:
            return mul(-a, inner)
        if a < 0.0:  # one product serves both signs
            return graph.node("neg", graph.node("mul", -a, b))
        return graph.node("mul", a, b)
    graph = _graph(a, b)
    if graph is None:
        return a * b
    left, right = _negated(graph, a), _negated(graph, b)
    if left is not None and right is not None:
        return mul(left, right)
    if left is not None:
        return neg(mul(left, b))
    if right is not None:
        return neg(mul(a, right))
    return graph.node("mul", a, b)


def div(a: Scalar, b: Scalar) -> Scalar:
    """a / b."""
    if type(b) is float:
        return mul(a, 1.0 / b)
    if type(a) is float and a == 0.0:
        return 0.0
    graph = _graph(a, b)
    return a / b if graph is None else graph.node("div", a, b)


def _graph(a: Scalar, b: Scalar) -> Graph | None:
    """The graph either belongs to; None where neither is a symbol."""
    if type(a) is Symbol:
        return a.graph
    return b.graph if type(b) is Symbol else None


def _negated(graph: Graph, a: Scalar) -> Symbol | None:
    """x where a = -x."""
    if type(a) is not Symbol or graph.ops[a.id] != "neg":
        return None
    return graph.symbol(graph.args[a.id][0])


@dataclass(frozen=True)
class Operation:
    """One operation in all its forms.

    Args:
        number: on floats.
        tensor: on tensors.
        partials: (arguments, result) -> derivative of the result in each argument; None where it is zero.
        flops: floating-point operations it is counted as.
    """

    number: Callable[..., float]
    tensor: Callable[..., torch.Tensor]
    partials: Callable[[Sequence[Scalar], Scalar], Sequence[Scalar | None]]
    flops: int = 1


def _select(a: Any, b: Any, x: Any, y: Any) -> Any:
    return x if a < b else y


def _as_tensors(*values: Any) -> list[torch.Tensor]:
    like = next(v for v in values if isinstance(v, torch.Tensor))
    return [
        v if isinstance(v, torch.Tensor) else torch.as_tensor(v, dtype=like.dtype, device=like.device) for v in values
    ]


def _select_tensor(a: Any, b: Any, x: Any, y: Any) -> torch.Tensor:
    a, b, x, y = _as_tensors(a, b, x, y)
    return torch.where(a < b, x, y)


def _pairwise(function: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
    return lambda a, b: function(*_as_tensors(a, b))


def _less(a: Scalar, b: Scalar, yes: float = 1.0, no: float = 0.0) -> Scalar:
    """`yes` where a < b, else `no`."""
    return select(a, b, yes, no)


def _atan2_partials(args: Sequence[Scalar], _: Scalar) -> Sequence[Scalar | None]:
    y, x = args
    scale = div(1.0, add(mul(x, x), mul(y, y)))
    return mul(x, scale), neg(mul(y, scale))


TABLE: dict[str, Operation] = {
    "add": Operation(lambda a, b: a + b, lambda a, b: a + b, lambda x, r: (1.0, 1.0)),
    "sub": Operation(lambda a, b: a - b, lambda a, b: a - b, lambda x, r: (1.0, -1.0)),
    "mul": Operation(lambda a, b: a * b, lambda a, b: a * b, lambda x, r: (x[1], x[0])),
    "div": Operation(lambda a, b: a / b, lambda a, b: a / b, lambda x, r: (div(1.0, x[1]), neg(div(r, x[1])))),
    "neg": Operation(lambda a: -a, lambda a: -a, lambda x, r: (-1.0,)),
    "sqrt": Operation(math.sqrt, torch.sqrt, lambda x, r: (div(0.5, r),)),
    "sin": Operation(math.sin, torch.sin, lambda x, r: (cos(x[0]),), 16),
    "cos": Operation(math.cos, torch.cos, lambda x, r: (neg(sin(x[0])),), 16),
    "exp": Operation(math.exp, torch.exp, lambda x, r: (r,), 16),
    "log": Operation(math.log, torch.log, lambda x, r: (div(1.0, x[0]),), 16),
    "tanh": Operation(math.tanh, torch.tanh, lambda x, r: (sub(1.0, mul(r, r)),), 16),
    "atan2": Operation(math.atan2, _pairwise(torch.atan2), _atan2_partials, 16),
    "abs": Operation(abs, torch.abs, lambda x, r: (sign(x[0]),)),
    "sign": Operation(lambda a: float((a > 0) - (a < 0)), torch.sign, lambda x, r: (None,)),
    "min": Operation(min, _pairwise(torch.minimum), lambda x, r: (_less(x[0], x[1]), _less(x[0], x[1], 0.0, 1.0))),
    "max": Operation(max, _pairwise(torch.maximum), lambda x, r: (_less(x[0], x[1], 0.0, 1.0), _less(x[0], x[1]))),
    "select": Operation(
        _select,
        _select_tensor,
        lambda x, r: (None, None, select(x[0], x[1], 1.0, 0.0), select(x[0], x[1], 0.0, 1.0)),
    ),
}  # fmt: skip


def apply(op: str, *args: Scalar) -> Scalar:
    """An operation of `TABLE` on floats, tensors or symbols."""
    for a in args:
        if type(a) is Symbol:
            return a.graph.node(op, *args)
    if all(type(a) is float for a in args):
        return TABLE[op].number(*args)
    return TABLE[op].tensor(*args)


def sqrt(a: Scalar) -> Scalar:
    return apply("sqrt", a)


def sin(a: Scalar) -> Scalar:
    return apply("sin", a)


def cos(a: Scalar) -> Scalar:
    return apply("cos", a)


def exp(a: Scalar) -> Scalar:
    return apply("exp", a)


def log(a: Scalar) -> Scalar:
    return apply("log", a)


def tanh(a: Scalar) -> Scalar:
    return apply("tanh", a)


def atan2(y: Scalar, x: Scalar) -> Scalar:
    """The angle of (x, y) in (-pi, pi]."""
    return apply("atan2", y, x)


def absolute(a: Scalar) -> Scalar:
    return apply("abs", a)


def sign(a: Scalar) -> Scalar:
    """-1, 0 or 1; its derivative is taken as zero everywhere."""
    return apply("sign", a)


def minimum(a: Scalar, b: Scalar) -> Scalar:
    return apply("min", a, b)


def maximum(a: Scalar, b: Scalar) -> Scalar:
    return apply("max", a, b)


def select(a: Scalar, b: Scalar, x: Scalar, y: Scalar) -> Scalar:
    """x where a < b, else y."""
    return x if type(x) is float and type(y) is float and x == y else apply("select", a, b, x, y)
