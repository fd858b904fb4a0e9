"""What a body can weigh: its 4 x 4 pseudo-inertia, positive definite for every real body.

    J = [[tr(I) E / 2 - I, m c], [m c', m]]   = integral of (x, 1)(x, 1)' over the mass   (Wensing et al. 2018, eq. 15)

positive definite <=> the mass is positive somewhere off a plane and negative nowhere.
Log-Cholesky (Rucker and Wensing 2022, eq. 10): J = exp(2 alpha) U U', U upper triangular with diagonal
(exp d1, exp d2, exp d3, 1) and above it s12, s23, s13, t1, t2, t3; any ten numbers are a real body.
Distance: the divergence of Lee, Wensing and Park 2020, between Gaussians of the two mass distributions.
Everything is a torch function of the last axis, differentiable, of any leading axes.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

__all__ = [
    "consistent",
    "divergence",
    "from_log_cholesky",
    "inertial_parameters",
    "pseudo_inertia",
    "to_log_cholesky",
]


def pseudo_inertia(parameters: Float[Tensor, "*any 10"]) -> Float[Tensor, "*any 4 4"]:
    """J of (m, m c, Ixx, Ixy, Iyy, Ixz, Iyz, Izz), kg, kg m, kg m^2 about the frame's origin."""
    m, hx, hy, hz, xx, xy, yy, xz, yz, zz = parameters.unbind(-1)
    half = (xx + yy + zz) / 2
    rows = [half - xx, -xy, -xz, hx], [-xy, half - yy, -yz, hy], [-xz, -yz, half - zz, hz], [hx, hy, hz, m]
    return torch.stack([torch.stack(row, dim=-1) for row in rows], dim=-2)


def inertial_parameters(pseudo: Float[Tensor, "*any 4 4"]) -> Float[Tensor, "*any 10"]:
    """The inverse of `pseudo_inertia`."""
    a, b, c = (pseudo[..., i, i] for i in range(3))
    parts = [pseudo[..., 3, 3], *pseudo[..., :3, 3].unbind(-1), b + c, -pseudo[..., 0, 1], a + c]
    return torch.stack([*parts, -pseudo[..., 0, 2], -pseudo[..., 1, 2], a + b], dim=-1)


def consistent(parameters: Float[Tensor, "*any 10"], least: float = 0.0) -> Bool[Tensor, "*any"]:
    """Whether all eigenvalues of J lie above `least` (kg m^2 and kg alike)."""
    return torch.linalg.eigvalsh(pseudo_inertia(parameters))[..., 0] > least


def from_log_cholesky(theta: Float[Tensor, "*any 10"]) -> Float[Tensor, "*any 10"]:
    """Inertial parameters of theta = (alpha, d1, d2, d3, s12, s23, s13, t1, t2, t3)."""
    alpha, d1, d2, d3, s12, s23, s13, t1, t2, t3 = theta.unbind(-1)
    e1, e2, e3, zero = d1.exp(), d2.exp(), d3.exp(), torch.zeros_like(alpha)
    rows = [e1, s12, s13, t1], [zero, e2, s23, t2], [zero, zero, e3, t3], [zero, zero, zero, zero + 1]
    upper = torch.stack([torch.stack(row, dim=-1) for row in rows], dim=-2) * alpha.exp()[..., None, None]
    return inertial_parameters(upper @ upper.mT)


def to_log_cholesky(parameters: Float[Tensor, "*any 10"]) -> Float[Tensor, "*any 10"]:
    """The inverse of `from_log_cholesky`; torch's LinAlgError where the parameters are no real body's."""
    # J = U U' with U upper triangular: the Cholesky factor of J seen from its last row and column.
    upper = torch.linalg.cholesky(pseudo_inertia(parameters).flip(-1, -2)).flip(-1, -2)
    scale = upper[..., 3, 3]
    upper = upper / scale[..., None, None]
    entries = [upper[..., i, k] for i, k in ((0, 1), (1, 2), (0, 2), (0, 3), (1, 3), (2, 3))]
    logs = [upper[..., i, i].log() for i in range(3)]
    return torch.stack([scale.log(), *logs, *entries], dim=-1)


def divergence(parameters: Float[Tensor, "*any 10"], prior: Float[Tensor, "*any 10"]) -> Float[Tensor, "*any"]:
    """tr(J0^-1 J) - log det(J0^-1 J) - 4 (Lee, Wensing and Park 2020, eq. 26): zero where they agree, else positive.

    It does not depend on units or frames, and grows without bound towards bodies that are none.
    """
    j, j0 = pseudo_inertia(parameters), pseudo_inertia(prior)
    ratio = torch.linalg.solve(j0, j)
    return ratio.diagonal(dim1=-2, dim2=-1).sum(-1) - torch.linalg.slogdet(ratio).logabsdet - 4
