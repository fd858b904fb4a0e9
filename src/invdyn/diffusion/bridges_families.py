"""`DriftFamily`: laws a bridge may be refined within; fitted to increments by least squares or by Adam.

For dx = b_theta(x) dt + sigma dW the log-likelihood of increments is -sum dt |rise - b_theta|^2 / (2 sigma^2) with
rise = (x' - x)/dt: weighted least squares. Families that are linear in their parameters are solved exactly, with
standard errors.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from invdyn.diffusion.bridges_drift import Drift

__all__ = [
    "DriftFamily",
    "Fitted",
    "LinearFamily",
    "NoDrift",
    "SmoothFamily",
    "increments",
    "lotka_volterra",
    "repressilator",
    "vortex",
]

ROWS = 4096
FAR = 6.0  # how far one fit may move a logarithm: a factor of 400

Points = Float[Tensor, "n d"]
Parameters = Float[Tensor, " p"]


def increments(
    times: Float[Tensor, " time"], paths: Float[Tensor, "time path d"], sigma: float
) -> tuple[Points, Points, Float[Tensor, " n"]]:
    """What families are fitted to: x, rise and weight of every step of paths at rising times."""
    gaps = (times[1:] - times[:-1]).to(paths)
    rise = ((paths[1:] - paths[:-1]) / gaps[:, None, None]).flatten(0, 1)
    return paths[:-1].flatten(0, 1), rise, (gaps / sigma**2).repeat_interleave(paths.shape[1])


@dataclass(frozen=True)
class Fitted:
    """A member of a family.

    Args:
        parameters: theta, float64 on the CPU; laws follow the type and device of their points.
        errors: standard errors, as if the paths were independent data; NaN where not computed.
    """

    parameters: Parameters
    errors: Parameters


class DriftFamily(ABC):
    """b_theta(x), theta unknown."""

    names: Sequence[str]
    minimises: ClassVar[bool] = True
    """Whether `fit` finds the likeliest member, so that the outer loop may combine what its iterations led to."""

    @abstractmethod
    def evaluate(self, parameters: Parameters, x: Points) -> Points:
        """b_theta(x)."""

    @abstractmethod
    def fit(self, x: Points, rise: Points, weight: Float[Tensor, " n"], start: Parameters | None) -> Fitted:
        """Most likely parameters; `weight` = dt / sigma^2 of each increment, `start` the previous answer."""

    def drift(self, parameters: Parameters) -> Drift:
        """The member as a drift."""
        return lambda x, t: self.evaluate(parameters, x)

    def free(self, parameters: Parameters) -> Parameters:
        """The same without bounds: logarithms of what must be above 0."""
        return parameters

    def bounded(self, free: Parameters) -> Parameters:
        """Back again."""
        return free

    def fit_adam(
        self, x: Points, rise: Points, weight: Float[Tensor, " n"], start: Parameters, steps: int, rate: float
    ) -> Fitted:
        """Full-batch Adam from `start` (the paper's way: 20 steps per outer iteration, rate 0.05)."""
        theta = start.clone().requires_grad_()
        optimiser = torch.optim.Adam([theta], lr=rate)
        for _ in range(steps):
            optimiser.zero_grad()
            loss = (weight[:, None] * (rise - self.evaluate(theta, x)).square()).sum() / weight.sum()
            loss.backward()
            optimiser.step()
        return Fitted(theta.detach(), torch.full_like(start, torch.nan))


class NoDrift(DriftFamily):
    """Brownian motion only: the answer is the plain multi-marginal bridge."""

    names = ()

    def evaluate(self, parameters: Parameters, x: Points) -> Points:
        return torch.zeros_like(x)

    def fit(self, x: Points, rise: Points, weight: Float[Tensor, " n"], start: Parameters | None) -> Fitted:
        nothing = torch.zeros(0, dtype=torch.float64)
        return Fitted(nothing, nothing)


class LinearFamily(DriftFamily):
    """b_theta(x) = Phi(x) theta.

    Args:
        names: of the parameters.
        terms: x [n, d] -> Phi [n, d, p].
        ridge: prior precision of every parameter; 0 is plain least squares.
    """

    def __init__(
        self, names: Sequence[str], terms: Callable[[Points], Float[Tensor, "n d p"]], ridge: float = 0.0
    ) -> None:
        self.names, self.terms, self.ridge = tuple(names), terms, ridge

    def evaluate(self, parameters: Parameters, x: Points) -> Points:
        return self.terms(x) @ parameters.to(x)

    def fit(self, x: Points, rise: Points, weight: Float[Tensor, " n"], start: Parameters | None) -> Fitted:
        gram = self.ridge * torch.eye(len(self.names), dtype=torch.float64)
        moment = torch.zeros(len(self.names), dtype=torch.float64)
        for part in torch.arange(len(x)).split(ROWS):  # Phi of all rows at once may not fit into memory
            root = weight[part].sqrt()[:, None]
            phi = (root[:, :, None] * self.terms(x[part])).flatten(0, 1)
            gram += (phi.T @ phi).cpu()
            moment += (phi.T @ (root * rise[part]).flatten()).cpu()
        inverse = torch.linalg.inv(gram)
        return Fitted(inverse @ moment, inverse.diagonal().sqrt())


class SmoothFamily(DriftFamily):
    """Any differentiable b_theta, by trust-region least squares; positive parameters through their logarithms.

    Args:
        names: of the parameters.
        function: (theta, x) -> b.
        guess: where the first fit starts.
        rows: at most so many increments, evenly spaced, enter a fit.
        positive: which parameters are above 0; all unless said otherwise.
    """

    def __init__(
        self,
        names: Sequence[str],
        function: Callable[[Parameters, Points], Points],
        guess: Sequence[float],
        rows: int = 20_000,
        positive: Sequence[bool] | None = None,
    ) -> None:
        self.names, self.function, self.rows = tuple(names), function, rows
        self.guess = torch.tensor(guess, dtype=torch.float64)
        self.positive = torch.tensor([True] * len(guess) if positive is None else list(positive))

    def free(self, theta: Parameters) -> Parameters:
        return torch.where(self.positive, theta.clamp_min(1e-12).log(), theta)

    def bounded(self, free: Parameters) -> Parameters:
        return torch.where(self.positive, free.clamp_max(50).exp(), free)

    def evaluate(self, parameters: Parameters, x: Points) -> Points:
        return self.function(parameters.to(x), x)

    def fit(self, x: Points, rise: Points, weight: Float[Tensor, " n"], start: Parameters | None) -> Fitted:
        from scipy.optimize import least_squares

        keep = torch.linspace(0, len(x) - 1, min(self.rows, len(x))).long()
        x, rise, root = x[keep], rise[keep], weight[keep].sqrt()[:, None] * (len(x) / len(keep)) ** 0.5

        def residual(free: np.ndarray) -> np.ndarray:
            theta = self.bounded(torch.from_numpy(free))
            return np.asarray((root * (rise - self.evaluate(theta, x))).flatten().double().cpu().numpy())

        first = self.free(self.guess if start is None else start).numpy()
        done = least_squares(residual, first, method="trf", bounds=(first - FAR, first + FAR))
        theta = self.bounded(torch.from_numpy(done.x))
        spread = torch.from_numpy(np.sqrt(np.diag(np.linalg.pinv(done.jac.T @ done.jac))))
        return Fitted(theta, torch.where(self.positive, theta * spread, spread))


def lotka_volterra() -> LinearFamily:
    """x' = a x - b x y, y' = d x y - g y; parameters a, b, g, d."""

    def terms(x: Points) -> Float[Tensor, "n d p"]:
        prey, hunter = x[:, 0], x[:, 1]
        nothing, both = torch.zeros_like(prey), prey * hunter
        rows = [torch.stack([prey, -both, nothing, nothing], 1), torch.stack([nothing, nothing, -hunter, both], 1)]
        return torch.stack(rows, 1)

    return LinearFamily(("a", "b", "g", "d"), terms)


def repressilator() -> SmoothFamily:
    """x_i' = b / (1 + (x_(i-1) / k)^n) - g x_i around a ring; parameters b, n, k, g."""

    def function(theta: Parameters, x: Points) -> Points:
        before = x.roll(1, 1).clamp_min(1e-6) / theta[2]
        return theta[0] / (1 + before ** theta[1]) - theta[3] * x

    return SmoothFamily(("b", "n", "k", "g"), function, (3.0, 1.5, 1.5, 0.5))


def vortex() -> LinearFamily:
    """A linear rotation about an unknown centre: x' = -s r (y - cy), y' = s (x - cx) / r, four free numbers.

    x' = p y + q, y' = u x + v: speed and stretch are s = sqrt(-p u), r = sqrt(-p / u), the centre (-v/u, -q/p).
    """

    def terms(x: Points) -> Float[Tensor, "n d p"]:
        one, nothing = torch.ones_like(x[:, 0]), torch.zeros_like(x[:, 0])
        return torch.stack(
            [torch.stack([x[:, 1], one, nothing, nothing], 1), torch.stack([nothing, nothing, x[:, 0], one], 1)], 1
        )

    return LinearFamily(("p", "q", "u", "v"), terms)
