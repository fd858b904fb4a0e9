"""Error bars around an answer mu of an inverse problem, from the same denoiser that gave it.

`laplace`: the curvature of -log p(x0 | y) at mu: J_f^T J_f / noise^2 for the measurement and, from D at a quiet level,
alpha^2 (I - alpha dD/dx) / sigma^2 for the prior; the diagonal of its inverse by conjugate gradients on unit vectors
or random signs (Hutchinson). `block_spread`: q = N(mu, diag s^2) with the s of the least KL to the posterior, without
the net's Jacobian. Both are exact for a Gaussian prior and linear f as the level goes to 0 (the second where the
posterior has no correlations; else it is 1 / sqrt of the precision's diagonal, too narrow, as every mean field is).

The paper's own weighting cannot give this spread: its regulariser is a mean over t of
sigma^2/alpha^2 KL(q_t, p_t), whose pull on s is bounded while the likelihood's is not, so s falls to 0 whenever
h^2/noise^2 > lambda (1 - I(S)) (ours; docs/studies/red-diff.md). Hence the one quiet level, where KL(q_t, p_t) is the
KL of the objective itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from invdyn.diffusion.operators import Operator
from invdyn.diffusion.parameterize import Denoise
from invdyn.diffusion.path import Path
from invdyn.errors import ConfigError
from invdyn.nn.gaussians import standard_normal

__all__ = ["Recovered", "block_spread", "laplace"]


class Recovered(NamedTuple):
    """An answer, how sure it is, and whether it reproduces what was measured."""

    value: Float[Tensor, "batch *event"]
    spread: Float[Tensor, "batch *event"]
    """Standard deviation of every component."""
    residual: Float[Tensor, " batch"]
    """Root mean square of y - f(value): the replay."""


def _residual(operator: Operator, mu: Tensor, y: Tensor) -> Tensor:
    return (y - operator.forward(mu)).square().flatten(1).mean(1).sqrt()


def laplace(
    denoise: Denoise,
    operator: Operator,
    y: Float[Tensor, "batch ..."],
    mu: Float[Tensor, "batch *event"],
    path: Path,
    t: float,
    noise: float,
    generator: torch.Generator | None = None,
    probes: int | None = None,
    iterations: int = 200,
) -> Recovered:
    """The spread of a Gaussian with the posterior's curvature at mu.

    Args:
        denoise: the prior's D; called under forward-mode differentiation.
        operator: f, differentiable.
        y: what was measured.
        mu: the answer.
        path: the model's.
        t: quiet level the prior's curvature is read at.
        noise: sd of the measurement, above 0.
        generator: of the probes.
        probes: random sign vectors of Hutchinson's estimate; None uses every unit vector, exactly.
        iterations: of the conjugate gradients at most.

    Raises:
        ConfigError: a noise that is not positive, or probes without a generator.
    """
    if not noise > 0:
        raise ConfigError(f"spread: noise is {noise}, expected a standard deviation above 0.")
    dim, when = mu[0].numel(), mu.new_full((len(mu),), t)
    alpha, sigma = float(path.alpha(when[:1])), float(path.sigma(when[:1]))
    if probes is None:
        z = torch.eye(dim, dtype=mu.dtype, device=mu.device)[:, None].expand(dim, len(mu), dim)
    elif generator is None:
        raise ConfigError(f"spread: {probes} random probes need a generator. Pass generator=, or probes=None.")
    else:
        z = standard_normal(mu.new_empty(probes, len(mu), dim), generator).sign()
    count = len(z)
    at = mu.detach().repeat(count, *(1,) * (mu.ndim - 1))
    times = mu.new_full((len(at),), t)

    def curvature(v: Tensor) -> Tensor:
        v = v.reshape(at.shape)
        seen = torch.func.jvp(operator.forward, (at,), (v,))[1]
        back = torch.func.vjp(operator.forward, at)[1]
        moved = torch.func.jvp(lambda x: denoise(x, times), (alpha * at,), (v,))[1]
        return (back(seen)[0] / noise**2 + alpha**2 * (v - alpha * moved) / sigma**2).reshape(count, len(mu), dim)

    variance = (z * _solve(curvature, z, iterations)).mean(0) * (dim if probes is None else 1)
    return Recovered(mu, variance.clamp_min(0.0).sqrt().reshape(mu.shape), _residual(operator, mu, y))


def _solve(product: Callable[[Tensor], Tensor], b: Tensor, iterations: int) -> Tensor:
    """Conjugate gradients for every leading index; one stops where its direction has no positive curvature."""
    x, r = torch.zeros_like(b), b.clone()
    p, square = r.clone(), r.square().sum(-1, keepdim=True)
    start = square.clone()
    for _ in range(iterations):
        going = square > 1e-16 * start
        if not bool(going.any()):
            break
        ahead = product(p)
        curve = (p * ahead).sum(-1, keepdim=True)
        step = torch.where(going & (curve > 0), square / curve, 0.0)
        x, r = x + step * p, r - step * ahead
        new = torch.where(step > 0, r.square().sum(-1, keepdim=True), 0.0)
        p = r + torch.where(new > 0, new / square.clamp_min(1e-300), 0.0) * p
        square = new
    return x


def block_spread(
    denoise: Denoise,
    operator: Operator,
    y: Float[Tensor, "batch ..."],
    mu: Float[Tensor, "batch *event"],
    path: Path,
    t: float,
    noise: float,
    generator: torch.Generator,
    blocks: Int[Tensor, "*event"] | None = None,
    start: float = 0.1,
    steps: int = 200,
    lr: float = 0.1,
    draws: int = 8,
) -> Recovered:
    """log s of q = N(mu, diag s^2) by Adam on E_q |y - f|^2 / (2 noise^2) + KL(q_t, p_t) at one quiet level t.

    d KL / d log s_i = alpha^2 s_i^2 (E[eps_net_i z_i] / (sigma tau_i) - 1 / tau_i^2), tau^2 = alpha^2 s^2 + sigma^2,
    x_t = alpha mu + tau z: no Jacobian of the net; z in antithetic pairs.

    Args:
        denoise, operator, y, mu, path, t, noise: as in `laplace`.
        generator: of z.
        blocks: number of the block of every component, from 0; components of a block share their s. None: each its own.
        start: first s.
        steps, lr: of Adam, the rate falling linearly to a tenth.
        draws: pairs a step.
    """
    if not noise > 0:
        raise ConfigError(f"spread: noise is {noise}, expected a standard deviation above 0.")
    shape, dim = mu.shape, mu[0].numel()
    label = torch.arange(dim, device=mu.device) if blocks is None else blocks.flatten()
    log_s = mu.new_full((len(mu), int(label.max()) + 1), start).log().requires_grad_(True)
    adam = torch.optim.Adam([log_s], lr=lr, betas=(0.9, 0.99))
    when = mu.new_full((2 * draws * len(mu),), t)
    alpha, sigma = float(path.alpha(when[:1])), float(path.sigma(when[:1]))
    flat = mu.detach().flatten(1)
    for step in range(steps):
        adam.param_groups[0]["lr"] = lr * (1 - 0.9 * step / steps)
        adam.zero_grad()
        z = standard_normal(flat.expand(draws, *flat.shape), generator)
        z = torch.cat([z, -z])
        s = log_s.exp()[:, label]
        seen = operator.forward((flat + s * z).reshape(-1, *shape[1:])).reshape(len(z), len(mu), -1)
        (((y.flatten(1) - seen).square().sum(2).mean(0) / (2 * noise**2)).sum()).backward()
        with torch.no_grad():
            s = s.detach()
            tau2 = alpha**2 * s.square() + sigma**2
            x = alpha * flat + tau2.sqrt() * z
            noisy = (x - alpha * denoise(x.reshape(-1, *shape[1:]), when).reshape(x.shape)) / sigma
            slope = alpha**2 * s.square() * ((noisy * z).mean(0) / (sigma * tau2.sqrt()) - 1 / tau2)
            assert log_s.grad is not None
            log_s.grad.index_add_(1, label, slope)
        adam.step()
    spread = log_s.detach().exp()[:, label].reshape(shape)
    return Recovered(mu, spread, _residual(operator, mu, y))
