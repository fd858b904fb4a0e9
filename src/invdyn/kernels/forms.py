"""How C and CUDA write operations and numbers; `vector_math.h` and `cuda_math.h` define the functions, each its way."""

from __future__ import annotations

__all__ = ["number", "written"]

_FORMS = {
    "add": "{}+{}",
    "sub": "{}-{}",
    "mul": "{}*{}",
    "div": "{}/{}",
    "neg": "-{}",
    "sqrt": "sqrt_of({})",
    "exp": "exp_of({})",
    "log": "log_of({})",
    "tanh": "tanh_of({})",
    "atan2": "atan2_of({},{})",
    "abs": "abs_of({})",
    "sign": "sign_of({})",
    "min": "smaller({},{})",
    "max": "larger({},{})",
    "select": "pick({}<{},{},{})",
}
"""All but sines and cosines, which programs compute in pairs."""


def written(op: str, *operands: str) -> str:
    """An operation (`scalar.TABLE`) on operands that need no brackets."""
    return _FORMS[op].format(*operands)


def number(x: float) -> str:
    """A float, the infinite and the missing one included."""
    if x != x:
        return "(0.0/0.0)"
    return repr(x) if abs(x) != float("inf") else f"({'-' if x < 0 else ''}1e308*10.0)"
