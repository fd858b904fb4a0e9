"""Ordinary differential equations of acceleration: designed ones and the limits of Nesterov's method.

State y = (x, v), [2, *batch, dim]; the Hessian H enters only as a product.

| kind | equation | needs |
|---|---|---|
| `gradient` | x' = -k grad f | rate k |
| `passivity` | x'' + (lam + k H) x' + lam k grad f = 0 | lam, k |
| `friction` | x'' + lam x' + lam k grad f = 0: `passivity` without the manifold's tangent term | lam, k |
| `low_resolution` | x'' + 2 sqrt(mu) x' + grad f = 0 | |
| `high_resolution` | x'' + 2 sqrt(mu) x' + sqrt(s) H x' + (1 + sqrt(mu s)) grad f = 0 | step s |
| `hessian_free` | x' = w - sqrt(s) grad f; w' = -2 sqrt(mu) w - (1 - sqrt(mu s)) grad f: the same curve | step s |
| `heavy_ball` | `high_resolution` without H | step s |
| `high_resolution_convex` | x'' + (3/t) x' + sqrt(s) H x' + (1 + 3 sqrt(s)/(2 t)) grad f = 0, t >= 3 sqrt(s)/2 | s |

`passivity` makes z = v + k grad f obey z' = -lam z for any f: the slow manifold z = 0 is exactly invariant.
Sources: Parimi et al., arXiv 2509.18346 (`passivity`, by the method of arXiv 2305.10756); Shi, Du, Jordan and Su,
Mathematical Programming 195 (2022) 79-148, equations (1.10) to (1.12).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from invdyn.errors import ConfigError, unknown_name
from invdyn.learning.objectives import Objective
from invdyn.training.hvp import hvp
from invdyn.worlds.solver import RK4, Tsit5, integrate

__all__ = ["KINDS", "Flow", "flow", "off_manifold"]

KINDS = (
    "gradient",
    "passivity",
    "friction",
    "low_resolution",
    "high_resolution",
    "hessian_free",
    "heavy_ball",
    "high_resolution_convex",
)


@dataclass(frozen=True)
class Flow:
    """A vector field on (x, v), where it starts, and how to follow it."""

    kind: str
    rhs: Callable[[Tensor, Tensor], Tensor]
    """(t, y) -> dy/dt, y of shape [2, *batch, dim]."""
    velocity: Callable[[Tensor], Tensor]
    """The second half of the state at t = start_time that the method's first step corresponds to."""
    start_time: float = 0.0

    def follow(
        self,
        start: Float[Tensor, "*batch dim"],
        times: Float[Tensor, " time"],
        method: RK4 | Tsit5,
        velocity: Float[Tensor, "*batch dim"] | None = None,
    ) -> Float[Tensor, "time two *batch dim"]:
        """(x, v) at increasing times, from x = start and the flow's own (or a given) velocity at times[0]."""
        v = self.velocity(start) if velocity is None else velocity
        return integrate(self.rhs, torch.stack([start, v]), times, method)


def _needed(kind: str, **values: float | None) -> list[float]:
    for name, value in values.items():
        if value is None or not value > 0:
            raise ConfigError(f"flow {kind!r}: {name} is {value}; it needs a positive number.")
    return [float(value) for value in values.values() if value is not None]


def flow(
    kind: str,
    objective: Objective,
    *,
    step: float | None = None,
    lam: float | None = None,
    k: float | None = None,
) -> Flow:
    """The vector field of a kind on an objective.

    Args:
        kind: one of KINDS.
        objective: what is minimised; its mu sets the friction.
        step: s, the squared step of time one iteration stands for.
        lam: rate at which the distance to the slow manifold dies (1/time).
        k: speed of the gradient flow on the manifold.

    Raises:
        UnknownNameError: no such kind.
        ConfigError: a parameter the kind needs is missing or not positive, or an objective without mu > 0.
    """
    if kind not in KINDS:
        raise unknown_name("flow", kind, KINDS)
    gradient, value = objective.gradient, objective.value
    if kind == "gradient":
        (speed,) = _needed(kind, k=k)

        def descend(t: Tensor, y: Tensor) -> Tensor:
            return torch.stack([-speed * gradient(y[0]), torch.zeros_like(y[0])])

        return Flow(kind, descend, torch.zeros_like)
    if kind in ("passivity", "friction"):
        lam, k = _needed(kind, lam=lam, k=k)
        return Flow(kind, _passive(objective, lam, k, tangent=kind == "passivity"), torch.zeros_like)
    if objective.mu <= 0 and kind != "high_resolution_convex":
        raise ConfigError(f"flow {kind!r}: objective {objective.name!r} has mu {objective.mu:g}; mu > 0 is expected.")
    friction = 2 * math.sqrt(max(objective.mu, 0.0))
    if kind == "low_resolution":

        def low(t: Tensor, y: Tensor) -> Tensor:
            return torch.stack([y[1], -friction * y[1] - gradient(y[0])])

        return Flow(kind, low, torch.zeros_like)
    (step,) = _needed(kind, step=step)
    h = math.sqrt(step)
    q = math.sqrt(max(objective.mu, 0.0)) * h

    def first(x: Tensor) -> Tensor:
        return -2 * h * gradient(x) / (1 + q)

    if kind == "hessian_free":

        def pair(t: Tensor, y: Tensor) -> Tensor:
            g = gradient(y[0])
            return torch.stack([y[1] - h * g, -friction * y[1] - (1 - q) * g])

        return Flow(kind, pair, lambda x: first(x) + h * gradient(x))
    if kind == "heavy_ball":

        def ball(t: Tensor, y: Tensor) -> Tensor:
            return torch.stack([y[1], -friction * y[1] - (1 + q) * gradient(y[0])])

        return Flow(kind, ball, first)
    if kind == "high_resolution":

        def high(t: Tensor, y: Tensor) -> Tensor:
            g, product = hvp(value, y[0], y[1])
            return torch.stack([y[1], -friction * y[1] - h * product - (1 + q) * g])

        return Flow(kind, high, first)

    def convex(t: Tensor, y: Tensor) -> Tensor:
        g, product = hvp(value, y[0], y[1])
        return torch.stack([y[1], -3 / t * y[1] - h * product - (1 + 1.5 * h / t) * g])

    return Flow(kind, convex, lambda x: -h * gradient(x), start_time=1.5 * h)


def _passive(objective: Objective, lam: float, k: float, *, tangent: bool) -> Callable[[Tensor, Tensor], Tensor]:
    def rhs(t: Tensor, y: Tensor) -> Tensor:
        x, v = y
        if not tangent:
            return torch.stack([v, -lam * (v + k * objective.gradient(x))])
        g, product = hvp(objective.value, x, v)
        return torch.stack([v, -k * product - lam * (v + k * g)])

    return rhs


def off_manifold(
    objective: Objective, state: Float[Tensor, "time two *batch dim"], k: float
) -> Float[Tensor, "time *batch"]:
    """|z| = |v + k grad f(x)|, the distance from the slow manifold, along a path."""
    return (state[:, 1] + k * objective.gradient(state[:, 0])).norm(dim=-1)
