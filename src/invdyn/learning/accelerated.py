"""First-order methods of fixed steps: gradient descent, heavy ball, Nesterov, triple momentum; other forms of NAG.

All four are one recursion with three numbers (and one more for what is put out):

    x_(k+1) = x_k + beta (x_k - x_(k-1)) - step grad f(x_k + gamma (x_k - x_(k-1))),   x_(-1) = x_0
    output  = x_k + delta (x_k - x_(k-1))

| method | beta | gamma | factor per step on quadratics |
|---|---|---|---|
| gradient descent, step 2/(L + mu) | 0 | 0 | (kappa - 1)/(kappa + 1) |
| heavy ball, step 4/(sqrt L + sqrt mu)^2 | p^2, p = (sqrt kappa - 1)/(sqrt kappa + 1) | 0 | p |
| Nesterov, step 1/L | (1 - sqrt(mu step))/(1 + sqrt(mu step)) | beta | 1 - 1/sqrt kappa |
| triple momentum | r^2/(2 - r), r = 1 - 1/sqrt kappa | r^2/((1 + r)(2 - r)) | r |

Sources: Polyak 1964; Nesterov 1983, 2004; Van Scoy, Freeman and Lynch, IEEE Control Systems Letters 2 (2018) 49-54.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from invdyn.errors import ConfigError, unknown_name

__all__ = [
    "METHODS",
    "Method",
    "ThreeSequences",
    "drift_kick",
    "iterate",
    "method",
    "nesterov_convex",
    "quadratic_radius",
    "three_sequences",
]

Gradient = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Method:
    """The numbers of one method."""

    name: str
    step: float
    beta: float = 0.0
    """Momentum."""
    gamma: float = 0.0
    """Where the gradient is taken: x_k + gamma (x_k - x_(k-1))."""
    delta: float = 0.0
    """What is put out: x_k + delta (x_k - x_(k-1))."""

    def advance(self, x: Tensor, before: Tensor, gradient: Gradient) -> Tensor:
        """x_(k+1) from x_k and x_(k-1)."""
        moved = x - before
        return x + self.beta * moved - self.step * gradient(x + self.gamma * moved)

    def output(self, x: Tensor, before: Tensor) -> Tensor:
        """What the method answers after x_k."""
        return x + self.delta * (x - before)


def _gradient_descent(mu: float, smooth: float) -> Method:
    return Method("gradient_descent", 2 / (mu + smooth))


def _heavy_ball(mu: float, smooth: float) -> Method:
    high, low = math.sqrt(smooth), math.sqrt(mu)
    return Method("heavy_ball", 4 / (high + low) ** 2, ((high - low) / (high + low)) ** 2)


def _nesterov(mu: float, smooth: float) -> Method:
    th = math.sqrt(mu / smooth)
    beta = (1 - th) / (1 + th)
    return Method("nesterov", 1 / smooth, beta, beta)


def _triple_momentum(mu: float, smooth: float) -> Method:
    r = 1 - math.sqrt(mu / smooth)
    return Method(
        "triple_momentum",
        (1 + r) / smooth,
        r**2 / (2 - r),
        r**2 / ((1 + r) * (2 - r)),
        r**2 / (1 - r**2),
    )


METHODS: dict[str, Callable[[float, float], Method]] = {
    "gradient_descent": _gradient_descent,
    "heavy_ball": _heavy_ball,
    "nesterov": _nesterov,
    "triple_momentum": _triple_momentum,
}


def method(name: str, mu: float, smoothness: float) -> Method:
    """A method with the numbers its theory gives for mu and L.

    >>> method("nesterov", 1.0, 25.0)
    Method(name='nesterov', step=0.04, beta=0.6666666666666667, gamma=0.6666666666666667, delta=0.0)

    Raises:
        UnknownNameError: no such method.
        ConfigError: mu and L without 0 < mu < L.
    """
    if name not in METHODS:
        raise unknown_name("method", name, METHODS)
    if not 0 < mu < smoothness:
        raise ConfigError(f"method {name!r}: mu {mu:g} and L {smoothness:g}; 0 < mu < L is expected.")
    return METHODS[name](mu, smoothness)


def iterate(
    how: Method, gradient: Gradient, start: Float[Tensor, "*batch dim"], steps: int
) -> Float[Tensor, "steps_1 *batch dim"]:
    """x_0 ... x_steps, with x_(-1) = x_0."""
    path = [start]
    before = start
    for _ in range(steps):
        path.append(how.advance(path[-1], before, gradient))
        before = path[-2]
    return torch.stack(path)


def nesterov_convex(
    gradient: Gradient, start: Float[Tensor, "*batch dim"], step: float, steps: int
) -> Float[Tensor, "steps_1 *batch dim"]:
    """The points y_0 ... y_steps where Nesterov's method for convex f takes gradients; momentum k/(k + 3)."""
    x = y = start
    path = [y]
    for k in range(steps):
        new = y - step * gradient(y)
        y = new + k / (k + 3) * (new - x)
        x = new
        path.append(y)
    return torch.stack(path)


def drift_kick(
    how: Method, x: Float[Tensor, "*batch dim"], v: Float[Tensor, "*batch dim"], gradient: Gradient
) -> tuple[Float[Tensor, "*batch dim"], Float[Tensor, "*batch dim"]]:
    """One step of the same method as a splitting of its ODE: friction and drift, then a kick, h = sqrt(step) each.

    y = x + h gamma v;  v+ = beta v - h grad f(y);  x+ = x + h v+. The friction e^(-2 sqrt(mu) h) enters as its Cayley
    value (1 - sqrt(mu) h)/(1 + sqrt(mu) h) = beta. The kick at y gives Nesterov's method, at x (gamma = 0) heavy ball.
    """
    h = math.sqrt(how.step)
    v = how.beta * v - h * gradient(x + h * how.gamma * v)
    return x + h * v, v


@dataclass(frozen=True)
class ThreeSequences:
    """Nesterov's method as three coupled sequences, k = 0 ... steps."""

    x: Float[Tensor, "steps_1 *batch dim"]
    y: Float[Tensor, "steps_1 *batch dim"]
    """Where the gradients are taken."""
    z: Float[Tensor, "steps_1 *batch dim"]
    """The sequence the certificate measures."""


def three_sequences(
    mu: float, smoothness: float, gradient: Gradient, start: Float[Tensor, "*batch dim"], steps: int
) -> ThreeSequences:
    """Nesterov's method from x_0 = z_0, th = sqrt(mu/L):

    y = (x + th z)/(1 + th);  x+ = y - grad f(y)/L;  z+ = (1 - th) z + th (y - grad f(y)/mu).
    """
    th = math.sqrt(mu / smoothness)
    x = z = start
    rows: list[tuple[Tensor, Tensor, Tensor]] = []
    for _ in range(steps + 1):
        y = (x + th * z) / (1 + th)
        rows.append((x, y, z))
        g = gradient(y)
        x, z = y - g / smoothness, (1 - th) * z + th * (y - g / mu)
    return ThreeSequences(*(torch.stack(column) for column in zip(*rows, strict=True)))


def quadratic_radius(how: Method, eigenvalues: Float[Tensor, " mode"]) -> Float[Tensor, " mode"]:
    """Spectral radius of one step on a mode of each curvature, measured by letting the method step on a basis.

    The pair (x_k, x_(k-1)) moves by a 2 x 2 matrix; its columns are the steps of (1, 0) and (0, 1).
    """
    x, before = torch.eye(2, dtype=eigenvalues.dtype)[:, :, None] * torch.ones_like(eigenvalues)
    new = how.advance(x, before, lambda point: eigenvalues * point)
    step = torch.stack([new, x])  # [row, column, mode]
    return torch.linalg.eigvals(step.permute(2, 0, 1)).abs().amax(-1)
