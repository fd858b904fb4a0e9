"""Curvature without matrices: products of a Hessian or Jacobian with a vector, and the largest value of either.

| function | what | cost |
|---|---|---|
| `hvp` | gradient and Hessian times vector | about four evaluations |
| `jvp`, `vjp` | Jacobian times vector, vector times Jacobian | about two and three |
| `largest_eigenvalue` | of a symmetric map, by power iteration | one product a step |
| `spectral_norm` | largest singular value of a Jacobian | one `jvp` and one `vjp` a step |

Source of the Hessian product: Pearlmutter, Neural Computation 6 (1994) 147-160.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from invdyn.errors import ConfigError, SignalError

__all__ = ["Curvature", "Eigenpair", "hvp", "jvp", "largest_eigenvalue", "spectral_norm", "vjp"]


class Curvature(NamedTuple):
    """First and second derivative of a scalar function along one direction."""

    gradient: Tensor
    """df/dx, as x."""
    product: Tensor
    """H v, as x."""


class Eigenpair(NamedTuple):
    """The eigenvalue of largest size and its unit vector."""

    value: float
    vector: Tensor
    steps: int
    """Products it took."""


def hvp(function: Callable[[Tensor], Tensor], x: Float[Tensor, "*shape"], v: Float[Tensor, "*shape"]) -> Curvature:
    """Gradient and Hessian-vector product of a scalar function, by differentiating the gradient along v.

    A function that returns one value per sample gives every sample its own product, as long as samples do not
    influence each other: the sum is differentiated.

    >>> hvp(lambda x: (x**3).sum() / 6, torch.tensor([1.0, 2.0]), torch.tensor([1.0, 1.0])).product
    tensor([1., 2.])
    """
    with torch.enable_grad():
        point = x.detach().requires_grad_(True)
        (gradient,) = torch.autograd.grad(function(point).sum(), point, create_graph=True)
        if not gradient.requires_grad:  # linear in x: no curvature
            return Curvature(gradient.detach(), torch.zeros_like(x))
        (product,) = torch.autograd.grad(gradient, point, v, allow_unused=True)
    return Curvature(gradient.detach(), torch.zeros_like(x) if product is None else product.detach())


def jvp(function: Callable[[Tensor], Tensor], x: Float[Tensor, "*shape"], v: Float[Tensor, "*shape"]) -> Tensor:
    """J v: how the output moves when x moves along v."""
    moved: Tensor = torch.func.jvp(function, (x,), (v,))[1]
    return moved


def vjp(function: Callable[[Tensor], Tensor], x: Float[Tensor, "*shape"], u: Tensor) -> Float[Tensor, "*shape"]:
    """J^T u: the gradient of the output's component along u."""
    pulled: Tensor = torch.func.vjp(function, x)[1](u)[0]
    return pulled


def largest_eigenvalue(
    product: Callable[[Tensor], Tensor],
    start: Float[Tensor, "*shape"],
    *,
    tolerance: float = 1e-6,
    max_steps: int = 10_000,
) -> Eigenpair:
    """The eigenvalue of largest absolute value of a symmetric map, by power iteration with the Rayleigh quotient.

    Stops when |A v - value v| <= tolerance |value|. The value's own error is then about tolerance^2 times itself over
    the relative gap to the next one.

    Raises:
        ConfigError: a start of zeros.
        SignalError: a product that is not finite, or no convergence (two values of like size, opposite sign).
    """
    size = torch.linalg.vector_norm(start)
    if not bool(size > 0):
        raise ConfigError("largest_eigenvalue: the start is zero. Give a random vector.")
    vector = start / size
    for step in range(1, max_steps + 1):
        image = product(vector)
        value = torch.sum(vector * image)
        if not bool(torch.isfinite(image).all()):
            raise SignalError("largest_eigenvalue: the product stops being finite. Check the function at this point.")
        residual = torch.linalg.vector_norm(image - value * vector)
        size = torch.linalg.vector_norm(image)
        if bool(residual <= tolerance * value.abs()) or not bool(size > 0):
            return Eigenpair(float(value.detach()), vector, step)
        vector = image / size
    raise SignalError(
        f"largest_eigenvalue: no convergence to {tolerance:g} in {max_steps} steps (value {float(value):g}, residual "
        f"{float(residual):g}). Allow more steps or a larger tolerance."
    )


def spectral_norm(
    function: Callable[[Tensor], Tensor],
    x: Float[Tensor, "*shape"],
    start: Float[Tensor, "*shape"],
    *,
    tolerance: float = 1e-6,
    max_steps: int = 10_000,
) -> float:
    """Largest singular value of the Jacobian of `function` at x: power iteration on J^T J."""
    found = largest_eigenvalue(
        lambda v: vjp(function, x, jvp(function, x, v)), start, tolerance=tolerance, max_steps=max_steps
    )
    return max(found.value, 0.0) ** 0.5
