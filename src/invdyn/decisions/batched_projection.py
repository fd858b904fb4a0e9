"""`ShapingProjection`: many rewards of one large decision process, freed of shaping at once, on any device.

The same canonical form as `verify/metrics/starc.py` (weighted coordinates E[R | s, a] / |p(.|s, a)|_2, less the span of
shaping), by conjugate gradients on the normal equations: products with one sparse matrix and nothing else. The
condition number of that matrix is bounded by gamma and the spread of |p|, so the count of iterations hardly grows with
the number of states.
"""

from __future__ import annotations

import warnings

import torch
from jaxtyping import Float64
from torch import Tensor

from invdyn.decisions.tabular_mdp import TabularMDP
from invdyn.errors import ConfigError

__all__ = ["ShapingProjection"]


class ShapingProjection:
    """Canonical rewards of a process without terminal states.

    Args:
        mdp: dynamics and discount below 1; its reward is not looked at.
        device: where the products run.
        tolerance: of the residual, relative to the first one.
    """

    def __init__(self, mdp: TabularMDP, device: str = "cpu", tolerance: float = 1e-14) -> None:
        if mdp.discount >= 1 or bool(mdp.ends.any()) or not bool(mdp.live.all()):
            raise ConfigError(
                "ShapingProjection: needs a discount below 1, no terminal states and all actions available; "
                "use RewardSpace for other processes."
            )
        s, a, t = mdp.transition.nonzero(as_tuple=True)
        p, n, m = mdp.transition[s, a, t], *mdp.transition.shape[:2]
        self.scale = mdp.transition.norm(dim=-1).flatten().to(device)
        pair = s * m + a
        pairs = torch.arange(n * m)
        rows, columns = torch.cat([pair, pairs]), torch.cat([t, pairs // m])
        values = torch.cat([mdp.discount * p, -torch.ones(n * m, dtype=torch.float64)])
        values = values / self.scale.cpu()[rows]
        size = (n * m, n)
        index = torch.stack([rows, columns])
        forward = torch.sparse_coo_tensor(index, values, size, check_invariants=True).coalesce()
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Sparse CSR tensor support is in beta", UserWarning)
            self.matrix = forward.to_sparse_csr().to(device)
            self.transposed = forward.transpose(0, 1).coalesce().to_sparse_csr().to(device)
        self.tolerance, self.iterations = tolerance, 0

    def shaping(self, potential: Float64[Tensor, "batch s"]) -> Float64[Tensor, "batch s a"]:
        """E[gamma Phi(S') - Phi(s) | s, a]."""
        n = potential.shape[1]
        flat = (self.matrix @ potential.T.to(self.scale.device)).T * self.scale
        return flat.reshape(len(potential), n, -1).cpu()

    def canonical(self, expected: Float64[Tensor, "batch s a"]) -> Float64[Tensor, "batch pair"]:
        """c(R) of E[R | s, a], in orthonormal coordinates; on the device."""
        z = expected.flatten(1).to(self.scale.device) / self.scale
        for _ in range(2):  # the second pass removes the rounding of the first
            z = z - (self.matrix @ self._solve(self.transposed @ z.T)).T
        return z

    def _solve(self, right: Float64[Tensor, "s batch"]) -> Float64[Tensor, "s batch"]:
        x, r = torch.zeros_like(right), right
        direction, size = r, (r * r).sum(0)
        target = size * self.tolerance**2
        for count in range(1, 10_000):
            image = self.transposed @ (self.matrix @ direction)
            step = size / (direction * image).sum(0).clamp_min(1e-300)
            x, r = x + step * direction, r - step * image
            fresh = (r * r).sum(0)
            self.iterations = max(self.iterations, count)
            if bool((fresh <= target).all()):
                break
            direction, size = r + fresh / size.clamp_min(1e-300) * direction, fresh
        return x
