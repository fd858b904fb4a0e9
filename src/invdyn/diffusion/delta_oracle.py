"""The data set as a prior: what a model that knows its training samples by heart would say, in closed form."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from invdyn.diffusion.oracles import Prior
from invdyn.diffusion.path import Path
from invdyn.errors import ConfigError
from invdyn.nn.gaussians import standard_normal

__all__ = ["DeltaMixturePrior"]


class DeltaMixturePrior(Prior):
    """The data set itself: a point, or a round Gaussian of sd `bandwidth`, on every sample of it.

    D = sum_i softmax_i(-|x - alpha x_i|^2 / (2 S)) [x_i + alpha h^2 / S (x - alpha x_i)], S = alpha^2 h^2 + sigma^2:
    what a model that memorises its training set would say.

    Args:
        points: the data [batch, ...]; flattened.
        bandwidth: h, 0 for points.
    """

    def __init__(self, points: Float[Tensor, "batch *event"], bandwidth: float = 0.0) -> None:
        if not bandwidth >= 0:
            raise ConfigError(f"delta mixture: bandwidth is {bandwidth}, expected 0 or more.")
        self.points, self.bandwidth = points.flatten(1), bandwidth
        self.dim = self.points.shape[1]
        self._table = torch.cat([self.points, self.points.square().sum(1, keepdim=True)], 1).mT

    def sample(self, size: int, generator: torch.Generator) -> Float[Tensor, "batch dim"]:
        chosen = torch.randint(len(self.points), (size,), generator=generator, device=generator.device)
        x = self.points[chosen.to(self.points.device)]
        return x + self.bandwidth * standard_normal(x, generator)

    def _spread(self, t: Tensor, path: Path) -> tuple[Tensor, Tensor]:
        alpha, sigma = path.alpha(t)[:, None], path.sigma(t)[:, None]
        return alpha, alpha.square() * self.bandwidth**2 + sigma.square()

    def _point(self, x: Tensor, alpha: Tensor, spread: Tensor) -> Tensor:
        """E[the point | x_t = x]. |x|^2 is the same for every point and falls out: one product of matrices is left."""
        logs = torch.cat([x * (alpha / spread), alpha.square() / (-2 * spread)], 1) @ self._table
        return torch.softmax(logs, 1) @ self.points

    def log_prob(
        self, x: Float[Tensor, "batch *event"], t: Float[Tensor, " batch"], path: Path
    ) -> Float[Tensor, " batch"]:
        flat = self._flat(x)
        alpha, spread = self._spread(t, path)
        # |x - alpha x_i|^2 by one product of matrices; distances of points need no more digits than softmax keeps.
        square = flat.square().sum(1, keepdim=True) - 2 * alpha * (flat @ self.points.mT)
        square = square + alpha.square() * self._table[-1]
        logs = torch.logsumexp(-square.clamp_min(0.0) / (2 * spread), 1)
        return logs - math.log(len(self.points)) - self.dim / 2 * (2 * math.pi * spread[:, 0]).log()

    def denoised(
        self, x: Float[Tensor, "batch *event"], t: Float[Tensor, " batch"], path: Path
    ) -> Float[Tensor, "batch *event"]:
        flat = self._flat(x)
        alpha, spread = self._spread(t, path)
        point = self._point(flat, alpha, spread)
        gain = alpha * self.bandwidth**2 / spread
        return (point + gain * (flat - alpha * point)).reshape(x.shape)

    def score(
        self, x: Float[Tensor, "batch *event"], t: Float[Tensor, " batch"], path: Path
    ) -> Float[Tensor, "batch *event"]:
        flat = self._flat(x)
        alpha, spread = self._spread(t, path)
        return ((alpha * self._point(flat, alpha, spread) - flat) / spread).reshape(x.shape)
