"""Lyapunov functions: numbers that provably shrink by a known factor per step or unit of time, whatever the function.

| kind | V | shrinks by |
|---|---|---|
| `gradient_descent`, step 2/(L + mu) | \\|x - x*\\|^2 | ((kappa - 1)/(kappa + 1))^2 a step |
| `nesterov` (three sequences, step 1/L) | f(x) - f* + mu \\|z - x*\\|^2 / 2 | 1 - sqrt(mu/L) a step |
| `passivity` (flow) | \\|v + k grad f\\|^2 / 2 | exactly e^(-2 lam) a unit of time |
| `gradient` (flow) | \\|x - x*\\|^2 / 2 | e^(-2 k mu) a unit of time |
| `high_resolution` (flow) | (1 + sqrt(mu s)) (f - f*) + (\\|x'\\|^2 + \\|w\\|^2)/4 | e^(-sqrt(mu)/4) a unit of time |

with w = x' + 2 sqrt(mu) (x - x*) + sqrt(s) grad f.

Sources: Nesterov 2004, 2.1.5; d'Aspremont, Scieur and Taylor, Acceleration Methods (2021), 4; Shi, Du, Jordan and Su,
Mathematical Programming 195 (2022), lemma 3.1 and theorem 3; arXiv 2305.10756 (`passivity`).
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

__all__ = ["CERTIFICATES", "Certificate", "certificate", "worst_excess"]

CERTIFICATES = ("gradient_descent", "nesterov", "passivity", "gradient", "high_resolution")


@dataclass(frozen=True)
class Certificate:
    """A Lyapunov function and the rate it promises."""

    kind: str
    value: Callable[[Tensor, Tensor], Tensor]
    """V(x, second): second is z for `nesterov`, the velocity for flows, unused elsewhere; [*batch]."""
    log_rate: float
    """V shrinks at least by e^(-log_rate) per step (methods) or unit of time (flows)."""


def certificate(
    kind: str,
    objective: Objective,
    *,
    step: float | None = None,
    lam: float | None = None,
    k: float = 1.0,
) -> Certificate:
    """The certificate of a method or flow on an objective; parameters as in `flow`.

    Raises:
        UnknownNameError: no certificate of this name.
        ConfigError: an objective without mu > 0 or without a minimiser where the certificate needs them, or a missing
            step or lam.
    """
    if kind not in CERTIFICATES:
        raise unknown_name("certificate", kind, CERTIFICATES)
    if kind == "passivity":
        if lam is None:
            raise ConfigError("certificate 'passivity': lam is missing; give the rate the flow was made with.")
        return Certificate(kind, lambda x, v: (v + k * objective.gradient(x)).square().sum(-1) / 2, 2 * lam)
    best, mu, smooth = objective.minimiser, objective.mu, objective.smoothness
    if best is None or mu <= 0:
        raise ConfigError(
            f"certificate {kind!r}: objective {objective.name!r} is not strongly convex with a known minimiser."
        )

    def distance(x: Tensor) -> Tensor:
        return (x - best).square().sum(-1)

    if kind == "gradient_descent":
        ratio = (smooth - mu) / (smooth + mu)
        return Certificate(kind, lambda x, _: distance(x), -2 * math.log(ratio))
    if kind == "nesterov":
        return Certificate(
            kind, lambda x, z: objective.gap(x) + mu * distance(z) / 2, -math.log1p(-math.sqrt(mu / smooth))
        )
    if kind == "gradient":
        return Certificate(kind, lambda x, _: distance(x) / 2, 2 * k * mu)
    if step is None:
        raise ConfigError("certificate 'high_resolution': step is missing; give the step the flow was made with.")
    root, h = math.sqrt(mu), math.sqrt(step)

    def energy(x: Tensor, v: Tensor) -> Tensor:
        mixed = v + 2 * root * (x - best) + h * objective.gradient(x)
        kinetic = v.square().sum(-1) / 4
        return (1 + root * h) * objective.gap(x) + kinetic + mixed.square().sum(-1) / 4

    return Certificate(kind, energy, root / 4)


def worst_excess(
    found: Certificate,
    x: Float[Tensor, "time *batch dim"],
    second: Float[Tensor, "time *batch dim"],
    times: Float[Tensor, " time"],
    *,
    least: float = 1e-12,
) -> float:
    """The largest V(t+)/V(t) over what the certificate allows, consecutive records; at most 1 where it holds.

    Records with V below `least` of the first are left out: f(x) - f* has lost its digits there.
    """
    values = found.value(x, second)
    allowed = torch.exp(-found.log_rate * times.diff()).reshape(-1, *[1] * (values.ndim - 1))
    ratio = values[1:] / (values[:-1] * allowed)
    told = values[1:] > least * values[:1]
    return float(torch.where(told, ratio, 0.0).max())
