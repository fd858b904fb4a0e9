"""`ConeProblem`: the friction-cone QP's data, its Hessian, and its solution where the sliding faces are known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy.linalg import cho_solve_banded, cholesky_banded
from torch import Tensor

__all__ = ["ConeProblem", "Solve"]

Solve = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class ConeProblem:
    """min |A f - b|^2 + eps |f|^2 + rho |f_t - f_t-1|^2 in cones |f_x|, |f_y| <= half f_z; b scaled to about one.

    Attributes:
        a: [T, 6, k, 3] weighted A, zero where the contact is open. b: [T, 6] weighted, scaled.
        half: [k] mu / sqrt(2). closed: [T, k].
        eps, rho: rho couples a contact's forces in neighbouring frames while it is closed in both.
    """

    a: Float[Tensor, "time 6 k 3"]
    b: Float[Tensor, "time 6"]
    half: Float[Tensor, " k"]
    closed: Bool[Tensor, "time k"]
    eps: float
    rho: float

    @property
    def together(self) -> bool:
        """Whether all frames are one problem."""
        return self.rho > 0 and len(self.b) > 1

    def each(self, x: Tensor, how: str) -> Tensor:
        """Least ("min"), greatest ("max") or sum over a problem, to be broadcast over [T, k, ...]."""
        dims = tuple(range(0 if self.together else 1, x.ndim))
        if how == "sum":
            return x.sum(dims, keepdim=True)
        return x.amin(dims, keepdim=True) if how == "min" else x.amax(dims, keepdim=True)

    def _paired(self) -> Tensor:
        """[T-1, k, 1]: contact closed in both of two neighbouring frames."""
        return (self.closed[1:] & self.closed[:-1])[..., None].to(self.a)

    def hessian(self, f: Tensor) -> Tensor:
        """H f."""
        flat = self.a.flatten(2)
        out = (flat.mT @ (flat @ f.flatten(1)[..., None])).reshape(f.shape) + self.eps * f
        if self.together:
            change = self.rho * self._paired() * (f[1:] - f[:-1])
            out[1:] += change
            out[:-1] -= change
        return out

    def take(self, frames: Tensor) -> ConeProblem:
        """Some frames, as problems of their own."""
        return ConeProblem(self.a[frames], self.b[frames], self.half, self.closed[frames], self.eps, 0.0)

    def linear(self) -> Tensor:
        """A' b, [T, k, 3]."""
        return torch.einsum("tikc,ti->tkc", self.a, self.b)

    def on_faces(self, side: Tensor, lifted: Tensor) -> Tensor:
        """Forces that are optimal on given faces.

        Args:
            side: [T, k, 2] for x and y: -1 or 1 where that face holds, 0 where none does.
            lifted: [T, k] where the contact carries nothing.
        """
        ray = torch.cat([side * self.half[:, None], torch.ones_like(side[..., :1])], dim=-1)
        ray = ray / ray.norm(dim=-1, keepdim=True)
        used = torch.cat([(side == 0) & ~lifted[..., None], ~lifted[..., None]], dim=-1).to(self.a)
        along = (self.a * ray[:, None]).sum(-1)
        reduced = torch.stack([self.a[..., 0], self.a[..., 1], along], dim=-1) * used[:, None]
        if self.together:
            one = torch.eye(3).to(self.a)
            basis = torch.cat([one[:, :2].expand(*side.shape[:2], 3, 2), ray[..., None]], dim=-1) * used[..., None, :]
            u = self.factor(basis, torch.diag_embed(1 - used))(torch.einsum("tike,ti->tke", reduced, self.b))
        else:
            flat = reduced.flatten(2)
            small = flat @ flat.mT + self.eps * torch.eye(6).to(self.a)
            pull = torch.cholesky_solve(self.b[..., None], torch.linalg.cholesky(small))
            u = (flat.mT @ pull).reshape(ray.shape)
        u = u * used
        return torch.cat([u[..., :2] + ray[..., :2] * u[..., 2:], ray[..., 2:] * u[..., 2:]], dim=-1)

    def factor(self, basis: Tensor, added: Tensor) -> Solve:
        """u from (B' H B + added) u = r for all frames, B and `added` [T, k, 3, 3] blocks of contacts."""
        frames, _, contacts, _ = self.a.shape
        n = 3 * contacts
        flat = torch.einsum("tikc,tkce->tike", self.a, basis).reshape(frames, 6, n)
        block = torch.einsum("tia,tib->tab", flat, flat)
        paired = self.rho * self._paired()
        pulls = torch.full_like(self.a[:, 0, :, :1], self.eps)
        pulls[1:] += paired
        pulls[:-1] += paired
        own = added + torch.einsum("tkce,tkcd->tked", basis, pulls[..., None] * basis)
        across = -torch.einsum("tkce,tkcd->tked", basis[1:], paired[..., None] * basis[:-1]).cpu().numpy()
        for k in range(contacts):
            block[:, 3 * k : 3 * k + 3, 3 * k : 3 * k + 3] += own[:, k]
        dense = block.cpu().numpy()
        band = np.zeros((n + 3, frames, contacts, 3))  # band[i, t, k, c] stands i rows below the diagonal
        for offset in range(n):
            band.reshape(n + 3, frames, n)[offset, :, : n - offset] = np.diagonal(dense, -offset, axis1=1, axis2=2)
        for row in range(3):
            for column in range(3):
                band[n + row - column, :-1, :, column] += across[:, :, row, column]
        factor = cholesky_banded(band.reshape(n + 3, -1), lower=True, check_finite=False)

        def solve(r: Tensor) -> Tensor:
            found = cho_solve_banded((factor, True), r.reshape(-1).cpu().numpy(), check_finite=False)
            return torch.from_numpy(found).to(r.device).reshape(r.shape)

        return solve
