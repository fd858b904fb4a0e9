"""Physically consistent parameters without constraints (Rucker and Wensing 2022).

    min |R x(theta, u) - z|^2 / 2 + strength sum_i d(pi_i | prior_i)

theta: ten log-Cholesky numbers a body; friction that cannot be negative is u^2. L-BFGS with strong Wolfe line search,
in coordinates that make the Gauss-Newton Hessian of the start the identity, and again from where it arrived.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor

from invdyn.errors import ConfigError, SignalError
from invdyn.forces.identification.equations import Equations
from invdyn.forces.identification.estimate import Estimate
from invdyn.forces.identification.feasible import check_prior, joint_weights
from invdyn.forces.identification.pseudo_inertia import divergence, from_log_cholesky, to_log_cholesky

__all__ = ["fit_log_cholesky"]

BALL = (1.0, 0.0, 0.0, 0.0, 0.02, 0.0, 0.02, 0.0, 0.0, 0.02)  # 1 kg with 0.1 m radii of gyration: a start, no prior
STAGES, STEPS = 30, 100
SETTLED = 1e-4  # relative decrease of a stage below which the fit has arrived
DAMPING = 1e-6  # of the Gauss-Newton Hessian, a part of its largest entry: directions that torque does not tell


def fit_log_cholesky(
    equations: Equations,
    *,
    sigma: Float[np.ndarray, " nv"] | None = None,
    prior: Float[np.ndarray, " inertial"] | None = None,
    strength: float = 0.0,
) -> Estimate:
    """Fit parameters that real bodies can have.

    Args:
        equations: the reduced recording.
        sigma: [nv] of each joint's torque error; None: of the weighted least-squares fit.
        prior: [10 nbody] parameters to start from and, with a strength, to stay near to.
        strength: of the prior, in its entropic divergence (`pseudo_inertia.divergence`).

    Raises:
        ConfigError: sigma, prior or strength out of range; a strength without a prior.
        SignalError: torques or a regressor so large that the search leaves the numbers.
    """
    if prior is None and strength:
        raise ConfigError(f"identification: strength={strength:g} without a prior. Give the parameters it pulls to.")
    if prior is not None:
        check_prior(equations, prior, strength)
    triangle = equations.triangle(joint_weights(equations, sigma))
    matrix, target = torch.from_numpy(triangle.matrix), torch.from_numpy(triangle.target)
    bodies, inertial = len(equations.bodies), equations.inertial
    positive = torch.from_numpy(equations.positive[inertial:])
    given = torch.tensor(BALL, dtype=torch.float64).expand(bodies, 10) if prior is None else _rows(prior)
    rows = max(triangle.rows, 1)

    def unknowns(free: Float64[Tensor, " p"]) -> Float64[Tensor, " p"]:
        body = from_log_cholesky(free[:inertial].reshape(bodies, 10)).reshape(-1)
        own = free[inertial:]
        return torch.cat([body, torch.where(positive, own * own, own)])

    def loss(free: Float64[Tensor, " p"]) -> Float64[Tensor, ""]:
        x = unknowns(free)
        value = (matrix @ x - target).square().sum() / 2
        if strength:
            value = value + strength * divergence(x[:inertial].reshape(bodies, 10), given).sum()
        return value / rows

    free = torch.cat([to_log_cholesky(given).reshape(-1), 0.3 * torch.ones(len(positive), dtype=torch.float64)])
    last = float(loss(free))
    for _ in range(STAGES):
        slope = torch.func.jacfwd(lambda f: matrix @ unknowns(f))(free) / rows**0.5
        hessian = slope.T @ slope
        if strength:
            hessian = hessian + torch.eye(len(free), dtype=torch.float64) * strength / rows
        hessian.diagonal().add_(DAMPING * float(hessian.diagonal().max()) + 1e-300)
        upper = torch.linalg.cholesky(hessian).mT
        free = _descend(loss, free, upper)
        now = float(loss(free))
        if not np.isfinite(now):
            raise SignalError("identification: the search left the numbers. Check the units of motion and torque.")
        if last - now <= SETTLED * last + 1e-28 * float(target.square().sum()) / rows:
            break
        last = now
    return Estimate.of(unknowns(free).numpy(), equations, "log-cholesky")


def _rows(parameters: Float[np.ndarray, " inertial"]) -> Float64[Tensor, "bodies 10"]:
    return torch.as_tensor(parameters.reshape(-1, 10), dtype=torch.float64)


def _descend(loss, start: Float64[Tensor, " p"], upper: Float64[Tensor, "p p"]) -> Float64[Tensor, " p"]:  # type: ignore[no-untyped-def]
    """L-BFGS over y, free = start + upper^-1 y."""
    y = torch.zeros_like(start, requires_grad=True)
    optimiser = torch.optim.LBFGS(
        [y], max_iter=STEPS, history_size=20, tolerance_grad=0, tolerance_change=0, line_search_fn="strong_wolfe"
    )

    def at(y: Float64[Tensor, " p"]) -> Float64[Tensor, " p"]:
        return start + torch.linalg.solve_triangular(upper, y[:, None], upper=True)[:, 0]

    def closure() -> Float64[Tensor, ""]:
        optimiser.zero_grad()
        value = loss(at(y))
        value.backward()
        return value

    optimiser.step(closure)
    return at(y.detach())
