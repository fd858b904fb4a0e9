"""Deep Lagrangian network: a mass matrix and a potential are learned, the torque follows from Lagrange's equation."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import grad, jvp
from torch.nn import functional

from invdyn.forces.learned.ensemble import EnsembleConfig, Scales, TorqueEnsemble, default_trainer, fit_ensemble
from invdyn.forces.learned.rows import TorqueRows
from invdyn.nn.encoders import MLP

__all__ = ["LagrangianConfig", "LagrangianNet", "fit_lagrangian"]


@dataclass(frozen=True)
class LagrangianConfig:
    """How it is built and trained.

    Args:
        width, depth: of the hidden layers of both nets (64 and 2 in Lutter et al. 2019).
        friction: learn viscous, Coulomb and constant torque per joint as well (not in the paper).
        ensemble: training.
    """

    width: int = 64
    depth: int = 2
    friction: bool = True
    ensemble: EnsembleConfig = field(
        default_factory=lambda: EnsembleConfig(members=3, trainer=default_trainer(3e-3, 1e-5))
    )


class LagrangianNet(nn.Module):
    """tau = d/dt (dL/dqd) - dL/dq + friction, L = qd' M(q) qd / 2 - V(q), M = C C' with C a learned Cholesky factor.

    Lutter, Ritter and Peters 2019, eqs. 4-8: d/dt (M qd) is one forward derivative along (qd, qdd), dL/dq one reverse
    one. Lengths of order 1: C's rows are in units of sqrt(tau_std / qdd_std), V in units of the largest tau_std.

    Args:
        scales: sizes of the training rows.
        width, depth: of the hidden layers.
        friction: with viscous and Coulomb friction, which oppose the motion, and a constant torque, per joint.
    """

    LEAST = 1e-3  # on the diagonal of C, in its units: M stays positive definite

    qd_std: Tensor
    tau_std: Tensor
    row_size: Tensor
    spots: Tensor

    def __init__(self, scales: Scales, width: int, depth: int, friction: bool) -> None:
        super().__init__()
        n = len(scales.q_mean)
        for name in ("qd_std", "tau_std"):
            self.register_buffer(name, torch.tensor(getattr(scales, name)))
        tau, acceleration = torch.tensor(scales.tau_std), torch.tensor(scales.qdd_std)
        self.register_buffer("row_size", (tau / acceleration).sqrt())
        row, column = torch.tril_indices(n, n, -1)
        self.register_buffer("spots", functional.one_hot(row * n + column, n * n).float())
        self.factor = MLP(2 * n, n * (n + 1) // 2, width=width, depth=depth, activation=nn.Softplus)
        self.height = MLP(2 * n, 1, width=width, depth=depth, activation=nn.Softplus)
        self.friction = nn.Parameter(torch.full((2, n), -2.0)) if friction else None
        self.constant = nn.Parameter(torch.zeros(n)) if friction else None

    def cholesky(self, q: Float[Tensor, "*rows joint"]) -> Float[Tensor, "*rows joint joint"]:
        """[..., n, n] lower triangular factor of the mass matrix."""
        n = q.shape[-1]
        told: Tensor = self.factor(torch.cat([q.sin(), q.cos()], -1))
        diagonal = torch.diag_embed(functional.softplus(told[..., :n]) + self.LEAST)
        lower = (told[..., n:] @ self.spots).reshape(diagonal.shape)
        return (lower + diagonal) * self.row_size[:, None]

    def mass_matrix(self, q: Float[Tensor, "*rows joint"]) -> Float[Tensor, "*rows joint joint"]:
        """[..., n, n] kg m^2 (as far as the torques tell it), symmetric and positive definite."""
        c = self.cholesky(q)
        return c @ c.mT

    def potential(self, q: Float[Tensor, "*rows joint"]) -> Float[Tensor, "*rows"]:
        """[...] J, up to a constant."""
        told: Tensor = self.height(torch.cat([q.sin(), q.cos()], -1))
        return told[..., 0] * self.tau_std.max()

    def lagrangian(self, q: Float[Tensor, "*rows joint"], qd: Float[Tensor, "*rows joint"]) -> Float[Tensor, "*rows"]:
        """[...] J, kinetic minus potential energy."""
        return 0.5 * ((self.cholesky(q).mT @ qd[..., None]) ** 2).sum((-1, -2)) - self.potential(q)

    def forward(self, motion: Float[Tensor, "rows inputs"]) -> Float[Tensor, "rows joint"]:
        """[N, n] N m from [N, 3n] (q, qd, qdd)."""
        q, v, a = motion.chunk(3, -1)

        def momentum(q: Tensor, v: Tensor) -> Tensor:
            c = self.cholesky(q)
            return (c @ (c.mT @ v[..., None]))[..., 0]

        def energy(q: Tensor) -> Tensor:
            return self.lagrangian(q, v).sum()

        rate: Tensor = jvp(momentum, (q, v), (v, a))[1]
        slope: Tensor = grad(energy)(q)
        return rate - slope + self.lost(v)

    def lost(self, qd: Float[Tensor, "*rows joint"]) -> Float[Tensor, "*rows joint"]:
        """[..., n] N m, friction: b qd + c tanh(10 qd / qd_std) + d, b, c >= 0."""
        if self.friction is None or self.constant is None:
            return torch.zeros_like(qd)
        speed = qd / self.qd_std
        viscous, coulomb = functional.softplus(self.friction).unbind()
        return self.tau_std * (viscous * speed + coulomb * torch.tanh(10 * speed) + self.constant)


def fit_lagrangian(rows: TorqueRows, config: LagrangianConfig | None = None) -> TorqueEnsemble:
    """An ensemble of `LagrangianNet`; arguments and errors as `fit_ensemble`. All joints share one M and V, so rows in
    which only one joint's torque was measured teach the others too."""
    config = config or LagrangianConfig()
    return fit_ensemble(
        rows, lambda scales: LagrangianNet(scales, config.width, config.depth, config.friction), config.ensemble
    )
