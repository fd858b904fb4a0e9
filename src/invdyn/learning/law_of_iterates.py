"""The inverse use: from the iterates of an unknown optimiser, or a path of a flow, back to the law that made them.

`identify_optimizer` explains x_(k+1) - x_k by regression on the last move, the gradient at x_k, the gradient at an
extrapolated point and (given Hessian products) H times the last move, one candidate per known method, and names the
candidate that explains best for its number of coefficients (BIC). `fit_passivity` recovers lam and k of
x'' + (lam + k H) x' + lam k grad f = 0 from positions alone: integrated twice, the equation has no derivative of x and
no Hessian left.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float
from scipy.interpolate import CubicSpline
from scipy.optimize import least_squares
from torch import Tensor

from invdyn.errors import SignalError
from invdyn.learning.accelerated import Method

__all__ = ["IdentifiedMethod", "PassivityFit", "fit_passivity", "identify_optimizer"]

PRECISION = 1e-8
"""Residuals below this share of a step are rounding: a candidate that reaches it cannot be beaten by a richer one."""


@dataclass(frozen=True)
class IdentifiedMethod:
    """The law that explains the iterates best."""

    method: Method
    """Named, with step, beta and gamma as fitted."""
    hessian: float
    """Coefficient of H times the last move, for the candidate `hessian_damping`; else 0."""
    residual: float
    """Root mean square of what is not explained, relative to the size of the gradient step."""
    scores: dict[str, float]
    """BIC per candidate; the least one won."""


@dataclass(frozen=True)
class PassivityFit:
    """Causes of a path of the passivity flow."""

    lam: float
    """Decay of the distance to the slow manifold, 1 / unit of time."""
    k: float
    """Speed of the gradient flow on it."""
    residual: float
    """Root mean square of the doubly integrated equation, in the unit of x."""


@dataclass(frozen=True)
class _Record:
    """What the candidates regress on, one row per move, weighted so that gradient noise is alike in all rows."""

    x: Tensor
    moved: Tensor
    target: Tensor
    weight: Tensor
    gradient: Callable[[Tensor], Tensor]

    def reweighted(self, gamma: float) -> _Record:
        """The same with rows divided by the gradient where this candidate takes it: noise is a share of that one."""
        size = self.gradient(self.x + gamma * self.moved).norm(dim=-1, keepdim=True)
        # Rows whose gradient has drowned in rounding say nothing; they keep a weight that does not blow them up.
        return replace(self, weight=1 / torch.maximum(size, 1e-9 * size.max()))

    def solve(self, columns: list[Tensor]) -> tuple[np.ndarray, np.ndarray]:
        """(coefficients, residuals) of the weighted least-squares fit of the target on the columns."""
        matrix = torch.stack([(c * self.weight).reshape(-1) for c in columns], 1)
        target = (self.target * self.weight).reshape(-1)
        # Columns differ by orders of magnitude (a step 1/L beside a momentum near one): scaled before solving.
        scale = matrix.norm(dim=0).clamp(min=1e-300)
        found = torch.linalg.lstsq(matrix / scale, target[:, None]).solution[:, 0] / scale
        return found.numpy(), (matrix @ found - target).numpy()


def identify_optimizer(
    iterates: Float[Tensor, "steps_1 dim"],
    gradient: Callable[[Tensor], Tensor],
    product: Callable[[Tensor, Tensor], Tensor] | None = None,
) -> IdentifiedMethod:
    """Which first-order law made these iterates, and with which coefficients.

    Args:
        iterates: x_0, x_1, ...; at least 6, x_(-1) = x_0.
        gradient: grad f, exact; [rows, dim] to [rows, dim].
        product: Hessian-vector products H(x) v; with them a fifth candidate with explicit Hessian damping,
            x_(k+1) - x_k = beta d - step grad f(x_k) - c H d, is tried. On quadratics it is triple momentum, and the
            named method wins the tie.

    Raises:
        SignalError: too few iterates, numbers that are not finite, or an optimiser that did not move.
    """
    if len(iterates) < 6 or not bool(torch.isfinite(iterates).all()):
        raise SignalError(
            f"identify_optimizer: {len(iterates)} iterates; at least 6 finite ones are needed. Record more."
        )
    previous = torch.cat([iterates[:1], iterates[:-2]])
    x, target = iterates[:-1], iterates[1:] - iterates[:-1]
    pull = gradient(x)
    if not bool(pull[0].norm() > 0):
        raise SignalError("identify_optimizer: the gradient at x_0 is zero, nothing moves. Record from another start.")
    record = _Record(x, x - previous, target, torch.ones_like(x[:, :1]), gradient).reweighted(0.0)
    fits = {
        "gradient_descent": (1, *_linear(record, [-pull], ("step",))),
        "heavy_ball": (2, *_linear(record, [record.moved, -pull], ("beta", "step"))),
        "nesterov": (2, *_extrapolated(record, tied=True)),
        "triple_momentum": (3, *_extrapolated(record, tied=False)),
    }
    if product is not None:
        columns, names = [record.moved, -pull, -product(x, record.moved)], ("beta", "step", "hessian")
        first = _linear(record, columns, names)[0]
        # c H d is, to first order, a gradient taken c / step ahead: rows are weighted there, as for the others.
        # Charged one coefficient more than it has: where the two cannot be told apart, the method in use is meant.
        fits["hessian_damping"] = (4, *_linear(record.reweighted(first["hessian"] / first["step"]), columns, names))
    rows, count = record.target.shape[1], record.target.numel()
    scores, values = {}, {}
    for name, (unknowns, found, residuals, weight) in fits.items():
        values[name] = float(np.sqrt(np.mean(residuals**2))) / abs(found["step"])
        # Minus twice the log-likelihood of noise that is a share of the gradient, and twice the usual penalty:
        # candidates contain each other, and a wrong name costs more than a coefficient.
        misfit = 2 * count * np.log(max(values[name], PRECISION) * abs(found["step"]))
        scores[name] = misfit - 2 * rows * float(weight.log().sum()) + 2 * unknowns * np.log(count)
    # Candidates that are the same law on this function differ by rounding only: then the first one has the name.
    best = min(scores, key=lambda name: round(scores[name], 3))
    found = fits[best][1]
    named = Method(best, found["step"], found.get("beta", 0.0), found.get("gamma", 0.0))
    return IdentifiedMethod(named, found.get("hessian", 0.0), values[best], scores)


Fit = tuple[dict[str, float], np.ndarray, Tensor]
"""Coefficients, weighted residuals, weights."""


def _linear(record: _Record, columns: list[Tensor], names: tuple[str, ...]) -> Fit:
    found, residuals = record.solve(columns)
    return dict(zip(names, found.tolist(), strict=True)), residuals, record.weight


def _extrapolated(record: _Record, *, tied: bool) -> Fit:
    """Gradient at x + gamma d: gamma by nonlinear least squares, the rest linear inside; `tied` holds beta = gamma."""

    def solve(gamma: float, rows: _Record) -> Fit:
        pull = -rows.gradient(rows.x + gamma * rows.moved)
        if not tied:
            found, residuals = rows.solve([rows.moved, pull])
            return {"beta": float(found[0]), "step": float(found[1]), "gamma": gamma}, residuals, rows.weight
        found, residuals = replace(rows, target=rows.target - gamma * rows.moved).solve([pull])
        return {"beta": gamma, "step": float(found[0]), "gamma": gamma}, residuals, rows.weight

    grid = np.linspace(0.1, 1.0, 10)
    gamma = float(grid[int(np.argmin([np.sum(solve(float(g), record)[1] ** 2) for g in grid]))])
    tight = {"xtol": 1e-15, "ftol": 1e-15, "gtol": 1e-15}
    for _ in range(2):  # once to find where the gradients were taken, once with the weights of that place
        rows = record.reweighted(gamma)
        found = least_squares(
            lambda p, rows=rows: solve(float(p[0]), rows)[1], [gamma], jac="3-point", bounds=(-0.5, 1.5), **tight
        )
        gamma = float(found.x[0])
    return solve(gamma, rows)


def fit_passivity(
    times: Float[Tensor, " time"],
    positions: Float[Tensor, "time dim"],
    gradient: Callable[[Tensor], Tensor],
) -> PassivityFit:
    """lam and k of the passivity flow from a recorded path x(t).

    Integrated twice, with g = grad f(x) (H x' is its derivative), w = v_0 and I the integral from 0:

        x(t) - x_0 = w t - lam I[x - x_0] - k I[g - g_0] - lam k I[I[g]]

    Integrals are those of cubic splines through the records, so noise is averaged rather than differentiated.

    Raises:
        SignalError: fewer than 12 records, times that do not increase, numbers that are not finite, or a path on which
            no positive lam and k fit.
    """
    if len(times) != len(positions) or len(times) < 12 or not bool((times.diff() > 0).all()):
        raise SignalError(
            f"fit_passivity: {len(times)} times and {len(positions)} positions; at least 12 of each, times increasing."
        )
    if not bool(torch.isfinite(positions).all()):
        raise SignalError("fit_passivity: positions must be finite. Cut the record where they are not.")
    t, x, g = times.numpy(), positions.numpy(), gradient(positions).numpy()
    spline = CubicSpline(t, g)
    once, twice = spline.antiderivative(1), spline.antiderivative(2)
    drift = CubicSpline(t, x).antiderivative(1)(t) - np.outer(t - t[0], x[0])
    slope = once(t) - np.outer(t - t[0], g[0])
    # The start is itself a noisy record: it is fitted, like the velocity there, per component.
    basis = np.stack([np.ones_like(t), t - t[0]], 1)
    project = np.eye(len(t)) - basis @ np.linalg.pinv(basis)
    columns = [project @ c for c in (drift, slope, twice(t))]
    target = -project @ x

    def misfit(p: np.ndarray) -> np.ndarray:
        lam, k = np.exp(p)
        return np.asarray((lam * columns[0] + k * columns[1] + lam * k * columns[2] - target).ravel())

    free, *_ = np.linalg.lstsq(np.stack([c.ravel() for c in columns], 1), target.ravel(), rcond=None)
    starts = [(max(free[0], 1e-3), max(free[1], 1e-3)), (1.0, 1.0), (10.0, 0.1)]
    found = min((least_squares(misfit, np.log(s), xtol=1e-15, ftol=1e-15) for s in starts), key=lambda r: r.cost)
    lam, k = np.exp(found.x)
    if not np.isfinite(found.x).all() or max(lam, k) > 1e9:
        raise SignalError("fit_passivity: no positive lam and k explain this path. Is it a flow with Hessian damping?")
    return PassivityFit(float(lam), float(k), float(np.sqrt(2 * found.cost / target.size)))
