"""Posterior samplers and filters that RED-diff is compared with: DPS, PGDM, DDRM-style projection, Wiener.

All but the last run in the one sampling loop. With D = E[x0 | x_t] and r_t^2 = sigma^2 / (alpha^2 + sigma^2), the
variance of x0 given x_t for data of variance 1:

| name | what is added | source |
|---|---|---|
| `DPS` | x_s - w grad_x norm(y - f(D(x_t))) after the step | Chung et al. 2023, arXiv 2209.14687, alg. 1 |
| `pgdm` | D + w sigma^2/alpha grad_x log N(y; H D(x_t), r_t^2 H H^T + noise^2 I) | Song et al. 2023 (PiGDM) |
| `Projection` | D + r_t^2 H^T (r_t^2 H H^T + noise^2 I)^-1 (y - H D) | Kawar et al. 2022, arXiv 2201.11793 |
| `wiener` | the posterior mean of a Gaussian prior | |

DPS and PGDM differentiate through the net, the others do not.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from invdyn.diffusion.guidance import Measurement
from invdyn.diffusion.operators import Operator, as_matrix
from invdyn.diffusion.oracles import GaussianMixturePrior
from invdyn.diffusion.path import Path
from invdyn.diffusion.run import Level, Run
from invdyn.diffusion.steps import DDIM
from invdyn.errors import ConfigError

__all__ = ["DPS", "Projection", "pgdm", "wiener"]


@dataclass(frozen=True)
class DPS:
    """The rule of diffusion posterior sampling: a DDIM(eta) step, then down the gradient of the residual's norm.

    grad norm(r) = grad norm(r)^2 / (2 norm(r)): the step 1 / norm(r) of the paper. f may be nonlinear.

    Args:
        operator: f.
        y: what was measured [batch, ...].
        weight: zeta; 0.1 (in-painting) to 1 (super-resolution) in the paper's code, for pictures of 256 x 256.
        eta: of DDIM; 1 is the DDPM step of the paper.
    """

    operator: Operator
    y: Tensor
    weight: float = 1.0
    eta: float = 1.0
    memory: ClassVar[int] = 0

    def __call__(self, x: Tensor, at: Level, to: Level, run: Run) -> tuple[Tensor, Tensor]:
        with torch.enable_grad():
            leaf = x.detach().requires_grad_(True)
            denoised = run.asked(leaf, at)
            distance = (self.y - self.operator.forward(denoised)).flatten(1).norm(dim=1)
            (slope,) = torch.autograd.grad(distance.sum(), leaf)
        found = denoised.detach()
        x, found = DDIM(self.eta)(x, at, to, replace(run, denoise=lambda x, t: found, guide=None))
        return x - self.weight * slope, found


def _r2(path: Path, t: Tensor) -> float:
    alpha2, sigma2 = float(path.alpha(t[0]).square()), float(path.sigma(t[0]).square())
    return sigma2 / (alpha2 + sigma2)


def pgdm(operator: Operator, y: Tensor, path: Path, noise: float, weight: float = 1.0) -> Measurement:
    """Pseudo-inverse guidance for linear f: the likelihood of y with the spread r_t^2 of x0 in it.

    Args:
        operator: linear.
        y: what was measured.
        path: of the samples.
        noise: sd of the measurement, above 0.
        weight: factor on the gradient; 1 in the theory.
    """
    _, damped = operator.linear("pgdm")
    _noisy(noise)

    def log_likelihood(denoised: Tensor, t: Tensor) -> Tensor:
        r2 = _r2(path, t)
        error = y - operator.forward(denoised)
        return -(error * damped(error, noise**2 / r2)).flatten(1).sum(1) / (2 * r2)

    return Measurement(log_likelihood, path, weight)


@dataclass(frozen=True)
class Projection:
    """DDRM-style: D replaced by the mean of N(D, r_t^2 I) given y, for linear f; measured directions follow y.

    Args:
        operator: linear.
        y: what was measured.
        path: of the samples.
        noise: sd of the measurement, above 0.
        weight: share of the correction taken (DDRM's eta_b).
    """

    operator: Operator
    y: Tensor
    path: Path
    noise: float
    weight: float = 1.0

    def __post_init__(self) -> None:
        self.operator.linear("projection")
        _noisy(self.noise)

    def __call__(
        self, x: Float[Tensor, "batch *event"], t: Float[Tensor, " batch"], denoised: Float[Tensor, "batch *event"]
    ) -> Float[Tensor, "batch *event"]:
        adjoint, damped = self.operator.linear("projection")
        error = self.y - self.operator.forward(denoised)
        return denoised + self.weight * adjoint(damped(error, self.noise**2 / _r2(self.path, t)))


def wiener(
    prior: GaussianMixturePrior,
    operator: Operator,
    y: Float[Tensor, "batch ..."],
    noise: float,
    like: Float[Tensor, "*event"],
) -> Float[Tensor, "batch *event"]:
    """Mean of x0 given y as if the prior were Gaussian: the best linear answer.

    Args:
        prior: its mean and covariance are used, whatever else it is.
        operator: linear.
        y: what was measured.
        noise: sd of the measurement.
        like: one event.
    """
    operator.linear("wiener filter")
    rows = as_matrix(operator, like)
    mean, cov = prior.mean(), prior.covariance()
    seen = rows @ cov @ rows.mT + noise**2 * torch.eye(len(rows), dtype=rows.dtype, device=rows.device)
    away = y.flatten(1) - mean @ rows.mT
    return (mean + torch.linalg.solve(seen, away.mT).mT @ rows @ cov).reshape(len(y), *like.shape)


def _noisy(noise: float) -> None:
    if not noise > 0:
        raise ConfigError(f"guide of a linear measurement: noise is {noise}, expected a standard deviation above 0.")
