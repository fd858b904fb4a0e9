"""Functions whose optimisation is understood: quadratics, log-sum-exp, logistic heads, a kinked one, a double well.

Every objective knows its strong convexity mu, its smoothness L and (but for the double well) its minimiser, so that
rates and certificates can be checked. All take [*batch, dim] and treat samples separately.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from invdyn.errors import ConfigError, SignalError
from invdyn.training.hvp import hvp, largest_eigenvalue

__all__ = ["Objective", "double_well", "kinked", "log_sum_exp", "logistic", "quadratic"]


@dataclass(frozen=True)
class Objective:
    """A function to minimise; derivatives by automatic differentiation, the Hessian only as a product."""

    name: str
    value: Callable[[Tensor], Tensor]
    """[*batch, dim] -> [*batch]."""
    mu: float
    """Least eigenvalue of the Hessian anywhere (negative: not convex)."""
    smoothness: float
    """L, an upper bound of the Hessian's eigenvalues."""
    minimiser: Float[Tensor, " dim"] | None
    """Where the gradient vanishes; None where there are several."""

    def gradient(self, x: Float[Tensor, "*batch dim"]) -> Float[Tensor, "*batch dim"]:
        """grad f at every sample."""
        with torch.enable_grad():
            point = x.detach().requires_grad_(True)
            (gradient,) = torch.autograd.grad(self.value(point).sum(), point)
        return gradient

    def hvp(self, x: Float[Tensor, "*batch dim"], v: Float[Tensor, "*batch dim"]) -> Float[Tensor, "*batch dim"]:
        """H(x) v."""
        return hvp(self.value, x, v).product

    def gap(self, x: Float[Tensor, "*batch dim"]) -> Float[Tensor, "*batch"]:
        """f(x) - f(minimiser).

        Raises:
            ConfigError: an objective with several minima.
        """
        if self.minimiser is None:
            raise ConfigError(f"objective {self.name!r} has no single minimiser to measure a gap from.")
        return self.value(x) - self.value(self.minimiser)


def quadratic(
    eigenvalues: Float[Tensor, " dim"],
    basis: Float[Tensor, "dim dim"] | None = None,
    minimiser: Float[Tensor, " dim"] | None = None,
) -> Objective:
    """(x - x*)^T B diag(h) B^T (x - x*) / 2; without a basis the Hessian is diagonal."""
    centre = torch.zeros_like(eigenvalues) if minimiser is None else minimiser

    def value(x: Tensor) -> Tensor:
        turned = x - centre if basis is None else (x - centre) @ basis
        return (eigenvalues * turned.square()).sum(-1) / 2

    return Objective("quadratic", value, float(eigenvalues.min()), float(eigenvalues.max()), centre)


def log_sum_exp(
    rows: Float[Tensor, "row dim"], offsets: Float[Tensor, " row"], mu: float, minimiser: Float[Tensor, " dim"]
) -> Objective:
    """log sum_i exp(a_i (x - x*) + b_i) - (its linear part) + mu |x - x*|^2 / 2, so that x* is the minimiser.

    L = mu + |A|^2 / 2: the covariance of a softmax has no eigenvalue above 1/2.
    """
    slope = torch.softmax(offsets, 0) @ rows
    start = torch.ones(rows.shape[1], dtype=rows.dtype)
    norm = largest_eigenvalue(lambda v: rows.mT @ (rows @ v), start, tolerance=1e-4).value

    def value(x: Tensor) -> Tensor:
        d = x - minimiser
        return torch.logsumexp(d @ rows.mT + offsets, -1) - d @ slope + mu * d.square().sum(-1) / 2

    # The value of a power iteration lies below the true one: the margin is far above what its tolerance can miss.
    return Objective("log-sum-exp", value, mu, mu + 1.001 * norm / 2, minimiser)


def logistic(features: Float[Tensor, "sample dim"], signs: Float[Tensor, " sample"], mu: float) -> Objective:
    """Mean logistic loss of a linear head on fixed features, with ridge mu |x|^2 / 2; L = mu + |A|^2 / (4 n).

    The minimiser is found by Newton's method with conjugate gradients on Hessian-vector products.

    Raises:
        SignalError: features or signs that are not finite, or no minimiser found.
    """
    if not bool(torch.isfinite(features).all()) or not bool((signs.abs() == 1).all()):
        raise SignalError("logistic: features must be finite and signs +1 or -1. Clean the data.")
    data = features * signs[:, None]
    n, dim = data.shape
    start = torch.ones(dim, dtype=data.dtype)
    norm = largest_eigenvalue(lambda v: data.mT @ (data @ v), start, tolerance=1e-4).value

    def value(x: Tensor) -> Tensor:
        return torch.nn.functional.softplus(-(x @ data.mT)).mean(-1) + mu * x.square().sum(-1) / 2

    found = Objective("logistic", value, mu, mu + 1.001 * norm / (4 * n), None)
    return Objective("logistic", value, found.mu, found.smoothness, _newton(found, torch.zeros_like(start)))


def _newton(objective: Objective, x: Tensor) -> Tensor:
    """The zero of the gradient, to rounding."""
    first = float(objective.gradient(x).norm())
    for _ in range(50):
        gradient = objective.gradient(x)
        if float(gradient.norm()) <= 1e-14 * max(first, 1.0):
            return x
        step, residual = torch.zeros_like(x), -gradient
        direction, size = residual, residual.dot(residual)
        for _ in range(4 * len(x)):
            image = objective.hvp(x, direction)
            length = size / direction.dot(image)
            step, residual = step + length * direction, residual - length * image
            new = residual.dot(residual)
            if float(new) <= 1e-24 * float(gradient.dot(gradient)):
                break
            direction, size = residual + new / size * direction, new
        x = x + step
    raise SignalError(
        f"objective {objective.name!r}: Newton's method does not arrive (gradient {float(gradient.norm()):g}). "
        "Raise mu, or scale the features."
    )


def kinked(dim: int = 1) -> Objective:
    """The function on which heavy ball cycles: f' = 25 x below 1, x + 24 up to 2, 25 x - 24 beyond, per component.

    mu = 1, L = 25. Source: Lessard, Recht and Packard, SIAM J. Optimization 26 (2016), section 4.6.
    """

    def value(x: Tensor) -> Tensor:
        inner, middle, outer = 12.5 * x**2, x**2 / 2 + 24 * x - 12, 12.5 * x**2 - 24 * x + 36
        return torch.where(x < 1, inner, torch.where(x < 2, middle, outer)).sum(-1)

    return Objective("kinked", value, 1.0, 25.0, torch.zeros(dim, dtype=torch.float64))


def double_well(dim: int, coupling: float = 0.1) -> Objective:
    """sum (x_i^2 - 1)^2 / 4 + coupling sum (x_i - x_(i+1))^2 / 2: smooth, not convex, two equal minima.

    L holds where every |x_i| <= 1.5, which its flows do not leave from inside.
    """

    def value(x: Tensor) -> Tensor:
        wells = (x.square() - 1).square().sum(-1) / 4
        return wells + coupling * x.diff(dim=-1).square().sum(-1) / 2

    return Objective("double well", value, -1.0, 3 * 1.5**2 - 1 + 4 * coupling, None)
