"""The Gaussians of a data set: mean and covariance of a stream, of low rank, of every class, and their mixture.

Wang, Vastola 2023 (arXiv 2303.02490): the statistics that the closed form of the flow stands on. A set that does not
fit into memory is taken batch by batch; a conditional model has a mean and covariance of its own for every condition.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Float, Int
from torch import Tensor

from invdyn.diffusion.oracles import GaussianMixturePrior, GaussianPrior, Prior
from invdyn.diffusion.path import Path
from invdyn.errors import ConfigError, SignalError

__all__ = ["ClassGaussians", "GivenClass", "Moments", "gaussian_of", "round_about"]


class Moments:
    """Mean and covariance of everything added, in float64, without keeping it.

    Blocks are merged by the parallel form of Welford's update (Chan, Golub, LeVeque 1979), which keeps its digits where
    sums of squares would lose them to a large mean.

    Args:
        dim: components of a flattened sample.
    """

    def __init__(self, dim: int) -> None:
        self.dim, self.count = dim, 0
        self.mean = torch.zeros(dim, dtype=torch.float64)
        self.scatter = torch.zeros(dim, dim, dtype=torch.float64)

    def add(self, data: Float[Tensor, "batch *event"]) -> Moments:
        """Take in a batch.

        Raises:
            SignalError: samples of another size, or a value that is not finite.
        """
        flat = data.detach().flatten(1).to("cpu", torch.float64)
        if flat.shape[1] != self.dim or not bool(flat.isfinite().all()):
            raise SignalError(
                f"moments: a batch of {flat.shape[1]} components a sample; expected {self.dim}, every value finite."
            )
        if len(flat):
            mean = flat.mean(0)
            self._merge(len(flat), mean, (flat - mean).mT @ (flat - mean))
        return self

    def merge(self, other: Moments) -> Moments:
        """Take in what another stream has seen."""
        if other.count:
            self._merge(other.count, other.mean, other.scatter)
        return self

    def _merge(self, count: int, mean: Tensor, scatter: Tensor) -> None:
        total, away = self.count + count, mean - self.mean
        self.scatter = self.scatter + scatter + torch.outer(away, away) * (self.count * count / total)
        self.mean = self.mean + away * (count / total)
        self.count = total

    def covariance(self) -> Float[Tensor, "dim dim"]:
        """With divisor n - 1.

        Raises:
            SignalError: fewer than two samples.
        """
        if self.count < 2:
            raise SignalError(f"moments: {self.count} samples have no covariance, expected at least 2.")
        return self.scatter / (self.count - 1)

    def gaussian(self, rank: int | None = None, dtype: torch.dtype = torch.float64) -> GaussianPrior:
        """The Gaussian of these moments; with a rank, its largest components and nothing beside them.

        Raises:
            SignalError: fewer than two samples, or a rank above the number of components.
        """
        if rank is not None and not 1 <= rank <= self.dim:
            raise SignalError(f"gaussian: rank {rank} of {self.dim} components, expected 1 to {self.dim}.")
        spectrum, axes = torch.linalg.eigh(self.covariance())
        first = 0 if rank is None else self.dim - rank
        variances = spectrum[first:].clamp_min(0.0)
        return GaussianPrior(self.mean.to(dtype), basis=axes[:, first:].to(dtype), variances=variances.to(dtype))


def gaussian_of(data: Float[Tensor, "batch *event"], rank: int | None = None) -> GaussianPrior:
    """The Gaussian with the data's mean and covariance, in the data's type; see `Moments.gaussian`.

    Raises:
        SignalError: fewer than two samples, or a rank above the number of components.
    """
    return Moments(data.flatten(1).shape[1]).add(data).gaussian(rank, data.dtype)


def round_about(prior: GaussianPrior) -> GaussianPrior:
    """All of its variance taken away: the isotropic score (m - x / alpha) about the mean, the control of the paper."""
    mean = prior.means[0]
    return GaussianPrior(mean, basis=mean.new_zeros(len(mean), 0), variances=mean.new_zeros(0))


class ClassGaussians:
    """A Gaussian for every class, as a model conditioned on the class needs.

    Args:
        priors: class -> its Gaussian.
        shares: class -> share of the data, for the mixture.
    """

    def __init__(self, priors: Mapping[int, GaussianPrior], shares: Mapping[int, float]) -> None:
        if not priors or set(priors) != set(shares):
            raise ConfigError("class gaussians: give at least one class, and a share for each.")
        self.priors, self.shares = dict(priors), dict(shares)

    @classmethod
    def of(
        cls, data: Float[Tensor, "batch *event"], labels: Int[Tensor, " batch"], rank: int | None = None
    ) -> ClassGaussians:
        """From labelled data.

        Raises:
            SignalError: a class with fewer than two samples.
        """
        priors, shares = {}, {}
        for label in labels.unique().tolist():
            chosen = data[labels == label]
            priors[label], shares[label] = gaussian_of(chosen, rank), len(chosen) / len(data)
        return cls(priors, shares)

    def given(self, labels: Int[Tensor, " batch"]) -> GivenClass:
        """The prior of a batch in which every sample has its own class.

        Raises:
            ConfigError: a class that the data did not have.
        """
        unknown = sorted(set(labels.tolist()) - set(self.priors))
        if unknown:
            known = ", ".join(map(str, self.priors))
            raise ConfigError(f"class gaussians: no class {unknown[0]}. There are: {known}.")
        return GivenClass(self.priors, labels)

    def mixture(self) -> GaussianMixturePrior:
        """What the classes are together: the k-component model between one Gaussian and the data themselves."""
        parts = list(self.priors.values())
        return GaussianMixturePrior(
            parts[0].means.new_tensor([self.shares[label] for label in self.priors]),
            torch.cat([p.means for p in parts]),
            basis=torch.cat([p.basis for p in parts]),
            variances=torch.cat([p.variances for p in parts]),
            rest=torch.cat([p.rest for p in parts]),
        )


class GivenClass(Prior):
    """A batch whose samples have classes: every answer is that of the sample's own Gaussian."""

    def __init__(self, priors: Mapping[int, GaussianPrior], labels: Int[Tensor, " batch"]) -> None:
        self.priors, self.labels = priors, labels
        self.dim = next(iter(priors.values())).dim

    def _each(self, name: str, like: Tensor, *batched: Tensor, path: Path) -> Tensor:
        out = torch.empty_like(like)
        for label in self.labels.unique().tolist():
            rows = self.labels == label
            out[rows] = getattr(self.priors[label], name)(*(value[rows] for value in batched), path)
        return out

    def denoised(
        self, x: Float[Tensor, "batch *event"], t: Float[Tensor, " batch"], path: Path
    ) -> Float[Tensor, "batch *event"]:
        return self._each("denoised", x, x, t, path=path)

    def score(
        self, x: Float[Tensor, "batch *event"], t: Float[Tensor, " batch"], path: Path
    ) -> Float[Tensor, "batch *event"]:
        return self._each("score", x, x, t, path=path)

    def log_prob(
        self, x: Float[Tensor, "batch *event"], t: Float[Tensor, " batch"], path: Path
    ) -> Float[Tensor, " batch"]:
        return self._each("log_prob", t, x, t, path=path)

    def flow_map(
        self, x: Float[Tensor, "batch *event"], t: Float[Tensor, " batch"], r: Float[Tensor, " batch"], path: Path
    ) -> Float[Tensor, "batch *event"]:
        """Where every sample's own flow takes it from t to r."""
        return self._each("flow_map", x, x, t, r, path=path)
