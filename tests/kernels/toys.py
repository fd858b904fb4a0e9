"""Small programs with every operation, and states for them."""

from __future__ import annotations

from typing import Any

import torch

from invdyn.kernels import scalar as s
from invdyn.kernels.program import Block, Program, trace

INPUTS = (Block("x", 4), Block("y", 3), Block("p", 2, uniform=True))


def everything(x: Any, y: Any, p: Any) -> dict[str, Any]:
    """Each operation at least once; arguments kept where they are defined."""
    positive = s.add(0.5, s.mul(x[0], x[0]))
    angle = s.add(x[1], s.mul(2.0, y[0]))
    far = s.mul(1e7, y[1])  # beyond the polynomials of sine and cosine
    first = [
        s.div(s.sub(x[2], y[1]), positive),
        s.sqrt(positive),
        s.mul(s.sin(x[1]), s.cos(angle)),
        s.add(s.sin(far), s.cos(x[3])),
        s.exp(s.mul(0.3, y[2])),
        s.log(positive),
        s.tanh(x[3]),
        s.atan2(y[0], x[0]),
    ]
    second = [
        s.absolute(y[1]),
        s.sign(y[2]),
        s.minimum(x[0], y[0]),
        s.maximum(x[1], s.mul(p[0], y[1])),
        s.select(x[2], y[2], s.neg(x[3]), s.mul(x[0], p[1])),
        3.25,
        x[3],
        s.mul(s.sin(p[0]), s.cos(x[3])),
    ]
    return {"first": first, "second": second, "none": []}


def program() -> Program:
    return trace("everything", everything, INPUTS)


def unbounded(x: Any) -> dict[str, Any]:
    """Constants that are no finite numbers, as operands and as results."""
    inf, missing = float("inf"), float("nan")
    some = [s.minimum(inf, x[0]), s.maximum(-inf, x[1]), s.select(x[0], inf, x[1], missing), s.add(x[0], missing)]
    return {"some": [*some, inf, -inf, missing]}


def unbounded_program() -> Program:
    return trace("unbounded", unbounded, (Block("x", 2),))


def values(n: int, dtype: torch.dtype = torch.float64, seed: int = 0) -> list[torch.Tensor]:
    """x [4, n], y [3, n], p [2]."""
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype) for shape in ((4, n), (3, n), (2,))]


def near(found: torch.Tensor, wanted: torch.Tensor, tolerance: float) -> None:
    """Equal relative to the largest number of each row."""
    assert found.shape == wanted.shape
    scale = wanted.abs().amax(-1, keepdim=True).clamp_min(1.0) if wanted.numel() else 1.0
    assert ((found - wanted).abs() <= tolerance * scale).all(), float(((found - wanted).abs() / scale).max())
