"""Priors whose D, score, velocity, density and flow map are closed forms: what losses and samplers are checked against.

x0 ~ sum_k w_k N(m_k, C_k), C_k = U_k diag(l_k) U_k^T + c_k (I - U_k U_k^T). Corrupted along any path,
S_k = alpha^2 C_k + sigma^2 I, gamma_k(x) ~ w_k N(x; alpha m_k, S_k),
D = sum_k gamma_k [m_k + alpha C_k S_k^-1 (x - alpha m_k)] (Lai et al. 2025; Wang, Vastola 2023, arXiv 2303.02490).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from invdyn.diffusion.parameterize import Denoise, denoised_to
from invdyn.diffusion.path import Path, along
from invdyn.errors import ConfigError, SignalError
from invdyn.nn.gaussians import standard_normal

__all__ = ["GaussianMixturePrior", "GaussianPrior", "Posterior", "Prior"]


class Posterior(NamedTuple):
    """x0 given x_t: a Gaussian mixture of its own for every sample."""

    weights: Float[Tensor, "batch part"]
    means: Float[Tensor, "batch part dim"]
    covariances: Float[Tensor, "batch part dim dim"]


class Prior:
    """What the priors share; events are flattened inside."""

    dim: int

    def denoised(
        self, x: Float[Tensor, "batch *event"], t: Float[Tensor, " batch"], path: Path
    ) -> Float[Tensor, "batch *event"]:
        """E[x0 | x_t = x]."""
        raise NotImplementedError

    def score(
        self, x: Float[Tensor, "batch *event"], t: Float[Tensor, " batch"], path: Path
    ) -> Float[Tensor, "batch *event"]:
        """Gradient of log p_t."""
        raise NotImplementedError

    def log_prob(
        self, x: Float[Tensor, "batch *event"], t: Float[Tensor, " batch"], path: Path
    ) -> Float[Tensor, " batch"]:
        """log p_t(x)."""
        raise NotImplementedError

    def sample(self, size: int, generator: torch.Generator) -> Float[Tensor, "batch dim"]:
        """Data."""
        raise NotImplementedError

    def velocity(
        self, x: Float[Tensor, "batch *event"], t: Float[Tensor, " batch"], path: Path
    ) -> Float[Tensor, "batch *event"]:
        """Of the probability flow dx/dt = v(x, t)."""
        return denoised_to("velocity", self.denoised(x, t, path), x, t, path)

    def denoiser(self, path: Path) -> Denoise:
        """D as a sampler takes it."""
        return lambda x, t: self.denoised(x, t, path)

    def _flat(self, x: Tensor) -> Tensor:
        flat = x.flatten(1)
        if flat.shape[1] != self.dim:
            raise SignalError(f"prior: samples have {flat.shape[1]} components, this prior is over {self.dim}.")
        return flat


class GaussianMixturePrior(Prior):
    """A mixture of Gaussians, full or of low rank.

    Args:
        weights: shares [part], positive; normalised here.
        means: [part, dim].
        covariances: [part, dim, dim]; or leave it out and give the three below.
        basis: orthonormal directions U [part, dim, rank].
        variances: along them, l [part, rank].
        rest: variance c [part] in all other directions; 0 keeps samples on the plane of the basis.
    """

    def __init__(
        self,
        weights: Float[Tensor, " part"],
        means: Float[Tensor, "part dim"],
        covariances: Float[Tensor, "part dim dim"] | None = None,
        *,
        basis: Float[Tensor, "part dim rank"] | None = None,
        variances: Float[Tensor, "part rank"] | None = None,
        rest: Float[Tensor, " part"] | None = None,
    ) -> None:
        if not bool((weights > 0).all()):
            raise ConfigError("mixture prior: every weight must be positive. Leave empty parts out.")
        if covariances is not None:
            variances, basis = torch.linalg.eigh(covariances)
            low = float(variances.min())
            if low < -1e-10 * float(variances.max()):
                raise ConfigError(f"mixture prior: a covariance has the negative eigenvalue {low:.3g}; expected none.")
            variances = variances.clamp_min(0.0)
        if basis is None or variances is None:
            raise ConfigError("mixture prior: give covariances, or basis and variances (and rest).")
        self.log_weights = torch.log(weights / weights.sum())
        self.means, self.basis, self.variances = means, basis, variances
        self.rest = torch.zeros_like(weights) if rest is None else rest
        self.dim = means.shape[1]

    @property
    def covariances(self) -> Float[Tensor, "part dim dim"]:
        """C_k in full."""
        eye = torch.eye(self.dim, dtype=self.means.dtype, device=self.means.device)
        return _matrix(self.basis, self.variances, self.rest, eye)

    def mean(self) -> Float[Tensor, " dim"]:
        """Of the whole mixture."""
        return self.log_weights.exp() @ self.means

    def covariance(self) -> Float[Tensor, "dim dim"]:
        """Of the whole mixture: within parts and between them."""
        away = self.means - self.mean()
        inside = torch.einsum("k,kij->ij", self.log_weights.exp(), self.covariances)
        return inside + torch.einsum("k,ki,kj->ij", self.log_weights.exp(), away, away)

    def sample(self, size: int, generator: torch.Generator) -> Float[Tensor, "batch dim"]:
        part = torch.multinomial(self.log_weights.exp(), size, replacement=True, generator=generator)
        inside = standard_normal(self.variances[part], generator) * self.variances[part].sqrt()
        x = self.means[part] + torch.einsum("bdr,br->bd", self.basis[part], inside)
        if self.basis.shape[2] < self.dim and bool((self.rest > 0).any()):
            z = standard_normal(x, generator)
            along_basis = torch.einsum("bdr,br->bd", self.basis[part], torch.einsum("bdr,bd->br", self.basis[part], z))
            x = x + self.rest[part].sqrt()[:, None] * (z - along_basis)
        return x

    def _parts(self, x: Tensor, t: Tensor, path: Path) -> _Parts:
        alpha, sigma = path.alpha(t), path.sigma(t)
        away = x[:, None] - alpha[:, None, None] * self.means
        inside = torch.einsum("bkd,kdr->bkr", away, self.basis)
        spread = alpha.square()[:, None, None] * self.variances + sigma.square()[:, None, None]
        logs = (inside.square() / spread + spread.log()).sum(2)
        outside, other = torch.zeros_like(away), alpha.square()[:, None] * self.rest + sigma.square()[:, None]
        free = self.dim - self.basis.shape[2]
        if free > 0:
            outside = away - torch.einsum("bkr,kdr->bkd", inside, self.basis)
            logs = logs + outside.square().sum(2) / other + free * other.log()
        logs = self.log_weights - (logs + self.dim * math.log(2 * math.pi)) / 2
        return _Parts(alpha, sigma, inside, spread, outside, other, logs)

    def log_prob(
        self, x: Float[Tensor, "batch *event"], t: Float[Tensor, " batch"], path: Path
    ) -> Float[Tensor, " batch"]:
        return torch.logsumexp(self._parts(self._flat(x), t, path).logs, 1)

    def denoised(
        self, x: Float[Tensor, "batch *event"], t: Float[Tensor, " batch"], path: Path
    ) -> Float[Tensor, "batch *event"]:
        p = self._parts(self._flat(x), t, path)
        weights = torch.softmax(p.logs, 1)
        means = self._part_means(p)
        return torch.einsum("bk,bkd->bd", weights, means).reshape(x.shape)

    def score(
        self, x: Float[Tensor, "batch *event"], t: Float[Tensor, " batch"], path: Path
    ) -> Float[Tensor, "batch *event"]:
        p = self._parts(self._flat(x), t, path)
        weights = torch.softmax(p.logs, 1)
        pull = torch.einsum("bkr,kdr->bkd", p.inside / p.spread, self.basis)
        if self.basis.shape[2] < self.dim:
            pull = pull + p.outside / p.other[..., None]
        return -torch.einsum("bk,bkd->bd", weights, pull).reshape(x.shape)

    def _part_means(self, p: _Parts) -> Tensor:
        """E[x0 | x_t, part]."""
        gain = p.alpha[:, None, None] * self.variances / p.spread
        means = self.means + torch.einsum("bkr,kdr->bkd", gain * p.inside, self.basis)
        if self.basis.shape[2] < self.dim:
            means = means + (p.alpha[:, None] * self.rest / p.other)[..., None] * p.outside
        return means

    def posterior(self, x: Float[Tensor, "batch *event"], t: Float[Tensor, " batch"], path: Path) -> Posterior:
        """All of p(x0 | x_t = x), not only its mean D."""
        p = self._parts(self._flat(x), t, path)
        noise = p.sigma.square()[:, None]
        eye = torch.eye(self.dim, dtype=x.dtype, device=x.device)
        left = _matrix(self.basis, self.variances * noise[..., None] / p.spread, self.rest * noise / p.other, eye)
        return Posterior(torch.softmax(p.logs, 1), self._part_means(p), left)

    def given(
        self, matrix: Float[Tensor, "row dim"], value: Float[Tensor, " row"], noise: float
    ) -> GaussianMixturePrior:
        """The posterior after a linear measurement value = matrix x0 + noise * N(0, I): a mixture again."""
        c = self.covariances
        cross = torch.einsum("kij,rj->kir", c, matrix)
        eye = torch.eye(len(value), dtype=value.dtype, device=value.device)
        seen = matrix @ cross + noise**2 * eye
        away = value - self.means @ matrix.mT
        gain = torch.linalg.solve(seen, cross.mT).mT
        logs = (
            self.log_weights
            - ((away * torch.linalg.solve(seen, away[..., None])[..., 0]).sum(1) + torch.linalg.slogdet(seen).logabsdet)
            / 2
        )
        keep = torch.softmax(logs, 0) > 1e-300
        covariances = (c - gain @ cross.mT)[keep]
        means = (self.means + torch.einsum("kir,kr->ki", gain, away))[keep]
        return GaussianMixturePrior(torch.softmax(logs, 0)[keep], means, (covariances + covariances.mT) / 2)


class GaussianPrior(GaussianMixturePrior):
    """One Gaussian: here the flow map is a closed form too, component by component.

    Args:
        mean: [dim].
        covariance: [dim, dim]; or leave it out and give the three below.
        basis: U [dim, rank].
        variances: l [rank].
        rest: variance in all other directions.
    """

    def __init__(
        self,
        mean: Float[Tensor, " dim"],
        covariance: Float[Tensor, "dim dim"] | None = None,
        *,
        basis: Float[Tensor, "dim rank"] | None = None,
        variances: Float[Tensor, " rank"] | None = None,
        rest: float = 0.0,
    ) -> None:
        super().__init__(
            mean.new_ones(1),
            mean[None],
            None if covariance is None else covariance[None],
            basis=None if basis is None else basis[None],
            variances=None if variances is None else variances[None],
            rest=mean.new_full((1,), rest),
        )

    def flow_map(
        self,
        x: Float[Tensor, "batch *event"],
        t: Float[Tensor, " batch"],
        r: Float[Tensor, " batch"],
        path: Path,
    ) -> Float[Tensor, "batch *event"]:
        """Where the flow takes x from t to r: alpha_r m + sum_j sqrt(S_j(r) / S_j(t)) u_j u_j^T (x - alpha_t m)."""
        p = self._parts(self._flat(x), t, path)
        alpha, sigma = path.alpha(r), path.sigma(r)
        reached = alpha.square()[:, None] * self.variances[0] + sigma.square()[:, None]
        inside = (reached / p.spread[:, 0]).sqrt() * p.inside[:, 0]
        there = alpha[:, None] * self.means[0] + inside @ self.basis[0].mT
        if self.basis.shape[2] < self.dim:
            other = (alpha.square() * self.rest[0] + sigma.square()) / p.other[:, 0]
            there = there + other.sqrt()[:, None] * p.outside[:, 0]
        return there.reshape(x.shape)

    def mean_velocity(
        self,
        x: Float[Tensor, "batch *event"],
        t: Float[Tensor, " batch"],
        r: Float[Tensor, " batch"],
        path: Path,
    ) -> Float[Tensor, "batch *event"]:
        """u(x, t, r) = (x - flow_map) / (t - r), r < t: what MeanFlow learns."""
        return (x - self.flow_map(x, t, r, path)) / along(t - r, x)


class _Parts(NamedTuple):
    """x seen from every part of a mixture at time t."""

    alpha: Tensor
    sigma: Tensor
    inside: Tensor
    """Components of x - alpha m along the basis [batch, part, rank]."""
    spread: Tensor
    """Their variances alpha^2 l + sigma^2."""
    outside: Tensor
    """What is left of x - alpha m [batch, part, dim]."""
    other: Tensor
    """Its variance alpha^2 c + sigma^2 [batch, part]."""
    logs: Tensor
    """log w_k N(x; alpha m_k, S_k) [batch, part]."""


def _matrix(basis: Tensor, variances: Tensor, rest: Tensor, eye: Tensor) -> Tensor:
    """U diag(l) U^T + c (I - U U^T), over any leading axes of l and c."""
    within = torch.einsum("kdr,...kr,ker->...kde", basis, variances - rest[..., None], basis)
    return within + rest[..., None, None] * eye
