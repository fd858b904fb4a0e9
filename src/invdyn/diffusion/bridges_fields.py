"""Drifts without a named law: `polynomial`, `gradient_bumps` (both linear in theta), `GradientNet`; `lamb_oseen`.

A gradient field b = grad V covers every population that only runs downhill, cells for example. Its potential V is a sum
of bumps on a quadratic, solved exactly, or the net of the paper (SB-IRR: 128-64-64-1 with ReLU), fitted by Adam.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from invdyn.diffusion.bridges_families import DriftFamily, Fitted, LinearFamily, Parameters, Points, SmoothFamily
from invdyn.errors import ConfigError

__all__ = ["GradientNet", "gradient_bumps", "lamb_oseen", "polynomial"]


def polynomial(dimension: int, degree: int, ridge: float = 1e-6) -> LinearFamily:
    """Every component of the drift is a polynomial of the state: the library of SINDy.

    Parameters are named after component and monomial: `x1' x0^2`.

    Args:
        dimension: of the state.
        degree: highest total degree; 1 is an affine law.
        ridge: prior precision of every coefficient, so that what was never seen stays 0.
    """
    if dimension < 1 or degree < 0:
        raise ConfigError(f"polynomial: dimension {dimension}, degree {degree}; at least 1 and 0 are needed.")
    powers = [p for p in itertools.product(range(degree + 1), repeat=dimension) if sum(p) <= degree]
    powers.sort(key=lambda p: (sum(p), [-k for k in p]))
    exponents = torch.tensor(powers, dtype=torch.float64)
    words = ["".join(f" x{i}" + (f"^{k}" if k > 1 else "") for i, k in enumerate(p) if k) or " 1" for p in powers]

    def terms(x: Points) -> Float[Tensor, "n d p"]:
        monomials = (x[:, None, :] ** exponents.to(x)).prod(-1)
        return torch.einsum("de,np->ndep", torch.eye(dimension).to(x), monomials).flatten(2)

    return LinearFamily([f"x{i}'{word}" for i in range(dimension) for word in words], terms, ridge)


def gradient_bumps(centres: Float[Tensor, "p d"], width: float, ridge: float = 1e-3) -> LinearFamily:
    """b = grad V, V(x) = sum_k w_k exp(-|x - c_k|^2 / (2 width^2)) + v'x + x'Sx / 2 with S symmetric.

    Args:
        centres: of the bumps, for example some of the particles.
        width: of every bump, in units of x.
        ridge: prior precision of every coefficient.
    """
    if not width > 0:
        raise ConfigError(f"gradient_bumps: width {width}; above 0 is needed.")
    d = centres.shape[1]
    pairs = [(i, j) for i in range(d) for j in range(i, d)]

    def terms(x: Points) -> Float[Tensor, "n d p"]:
        away = x[:, None] - centres.to(x)
        height = torch.exp(-away.square().sum(-1) / (2 * width**2))
        bumps = (-away * height[..., None] / width**2).mT
        slope = torch.eye(d).to(x).expand(len(x), d, d)
        bowl = x.new_zeros(len(x), d, len(pairs))
        for k, (i, j) in enumerate(pairs):
            bowl[:, i, k] = x[:, j]
            bowl[:, j, k] = x[:, i]
        return torch.cat([bumps, slope, bowl], 2)

    names = [f"w{k}" for k in range(len(centres))] + [f"v{i}" for i in range(d)] + [f"S{i}{j}" for i, j in pairs]
    return LinearFamily(names, terms, ridge)


def second_order(count: int, ridge: float = 1e-6) -> LinearFamily:
    """Coordinates and their rates (q, v): q_i' = c_i v_i, and every v_i' is affine in all of q and v.

    A linear mechanism; c_i is 1 where coordinates and rates share their units.

    Args:
        count: of coordinates; the state holds twice as many numbers.
        ridge: as of `polynomial`.
    """
    if count < 1:
        raise ConfigError(f"second_order: {count} coordinates; at least 1.")
    whole = polynomial(2 * count, 1)
    kept = [k for k, name in enumerate(whole.names) if (int(name[1 : name.index("'")]) >= count or _rate(name, count))]

    def terms(x: Points) -> Float[Tensor, "n d p"]:
        return whole.terms(x)[:, :, kept]

    return LinearFamily([whole.names[k] for k in kept], terms, ridge)


def _rate(name: str, count: int) -> bool:
    """Whether a term of `polynomial` is that of a coordinate's own rate."""
    component, word = name.split("' ")
    return word == f"x{int(component[1:]) + count}"


def lamb_oseen() -> SmoothFamily:
    """A vortex with a core: speed c (1 - exp(-r^2)) / r around (cx, cy), anticlockwise; parameters c, cx, cy."""

    def function(theta: Parameters, x: Points) -> Points:
        away = x - theta[1:]
        square = away.square().sum(1, keepdim=True).clamp_min(1e-12)
        turned = torch.stack([-away[:, 1], away[:, 0]], 1)
        return theta[0] * turned * (-torch.expm1(-square)) / square

    return SmoothFamily(("c", "cx", "cy"), function, (1.0, 0.0, 0.0), positive=(True, False, False))


class GradientNet(DriftFamily):
    """b = grad V, V a net with ReLU; fitted by full-batch Adam from where the last fit ended.

    Args:
        dimension: of the state.
        widths: of the hidden layers (paper: 128, 64, 64).
        steps, rate: of Adam in every fit (paper: 20 at 0.01 for embryoid bodies, 30 at 0.002 for stem cells).
        seed: of the first weights.
    """

    names = ("weights",)
    minimises = False  # some steps of Adam

    def __init__(
        self,
        dimension: int,
        widths: Sequence[int] = (128, 64, 64),
        steps: int = 20,
        rate: float = 0.01,
        seed: int = 0,
    ) -> None:
        self.steps, self.rate = steps, rate
        sizes = [dimension, *widths, 1]
        self.shapes = [shape for a, b in itertools.pairwise(sizes) for shape in ((b, a), (b,))]
        g = torch.Generator().manual_seed(seed)
        first = []
        for shape in self.shapes:
            fan = shape[1] if len(shape) == 2 else 1
            drawn = torch.randn(shape, dtype=torch.float64, generator=g) * (2 / fan) ** 0.5
            first.append((drawn if len(shape) == 2 else 0 * drawn).flatten())
        self.first = torch.cat(first)

    def potential(self, parameters: Parameters, x: Points) -> Float[Tensor, " n"]:
        """V(x)."""
        parts = parameters.to(x).split([int(torch.Size(shape).numel()) for shape in self.shapes])
        layers = [part.reshape(shape) for part, shape in zip(parts, self.shapes)]
        for weight, bias in zip(layers[:-2:2], layers[1:-2:2]):
            x = torch.relu(x @ weight.T + bias)
        return (x @ layers[-2].T + layers[-1])[:, 0]

    def evaluate(self, parameters: Parameters, x: Points) -> Points:
        wanted = torch.is_grad_enabled() and parameters.requires_grad
        with torch.enable_grad():
            point = x.detach().requires_grad_()
            (slope,) = torch.autograd.grad(self.potential(parameters, point).sum(), point, create_graph=wanted)
        return slope

    def fit(self, x: Points, rise: Points, weight: Float[Tensor, " n"], start: Parameters | None) -> Fitted:
        return self.fit_adam(x, rise, weight, self.first if start is None else start, self.steps, self.rate)
