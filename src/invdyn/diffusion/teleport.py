"""The linear beginning of sampling, taken in one step, and how far a model is from linear.

Wang, Vastola 2023 (arXiv 2303.02490): at high and medium noise a learned score is nearly that of the Gaussian with the
data's mean and covariance, whose probability flow is a closed form, one factor for every principal component. Large
components settle first: the outline before the details. `Teleport` starts the ordinary loop from that closed form.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from invdyn.diffusion.oracles import GaussianPrior
from invdyn.diffusion.parameterize import Denoise, denoised_to
from invdyn.diffusion.path import Path
from invdyn.diffusion.samplers import Sampler
from invdyn.errors import ConfigError, SignalError
from invdyn.nn.gaussians import standard_normal

__all__ = ["Teleport", "emergence_ratio", "explained_share", "gaussian_of", "skip_time"]


def gaussian_of(data: Float[Tensor, "batch *event"], rank: int | None = None) -> GaussianPrior:
    """The Gaussian with the data's mean and covariance; with a rank, its largest components and nothing beside them.

    Raises:
        SignalError: fewer than two samples, or a rank above the number of components.
    """
    flat = data.flatten(1)
    size, dim = flat.shape
    if size < 2 or (rank is not None and not 1 <= rank <= dim):
        raise SignalError(
            f"gaussian: {size} samples of {dim} components, rank {rank}; expected 2 samples, rank <= {dim}."
        )
    away = flat - flat.mean(0)
    spectrum, axes = torch.linalg.eigh(away.mT @ away / (size - 1))
    keep = dim if rank is None else rank
    return GaussianPrior(flat.mean(0), basis=axes[:, dim - keep :], variances=spectrum[dim - keep :].clamp_min(0.0))


def explained_share(
    denoise: Denoise,
    prior: GaussianPrior,
    data: Float[Tensor, "batch *event"],
    t: float,
    path: Path,
    generator: torch.Generator,
) -> float:
    """1 - E|s - s_G|^2 / E|s|^2 on data noised to time t: the share of a model's score that the Gaussian explains."""
    when = data.new_full((len(data),), t)
    x = path.corrupt(data, standard_normal(data, generator), when)
    with torch.no_grad():
        score = denoised_to("score", denoise(x, when), x, when, path)
        miss = score - prior.score(x, when, path)
    return float(1 - miss.square().sum() / score.square().sum())


def skip_time(share: Callable[[float], float], times: Sequence[float], least: float = 0.995) -> float:
    """The last of falling times down to which the explained share has stayed at `least` or above (the card's 0.995).

    Raises:
        ConfigError: the share is below it at the first time already: there is no linear beginning to skip.
    """
    found = None
    for t in times:
        if share(t) < least:
            break
        found = t
    if found is None:
        raise ConfigError(
            f"teleport: at t = {times[0]:g} the Gaussian explains less than {least:g} of the score; skip nothing."
        )
    return found


def emergence_ratio(variance: float, sigma: float) -> float:
    """How far D's component of this variance has come at noise sigma, of its final value: sqrt(l / (l + sigma^2)), EDM.

    >>> round(emergence_ratio(2.0, 6.0**0.5), 12)
    0.5
    """
    return math.sqrt(variance / (variance + sigma**2))


@dataclass(frozen=True)
class Teleport:
    """A sampler whose first steps are replaced by the Gaussian's flow map.

    Args:
        sampler: the ordinary sampler; its grid is kept from the landing on.
        prior: the data's Gaussian.
        skipped: grid points left out, the noisiest first; 2 calls each are saved under Heun.
    """

    sampler: Sampler
    prior: GaussianPrior
    skipped: int

    def __post_init__(self) -> None:
        if not 0 <= self.skipped < len(self.sampler.pairs):
            raise ConfigError(
                f"teleport: {self.skipped} of {len(self.sampler.pairs)} steps skipped; leave at least one."
            )

    def __call__(
        self, denoise: Denoise, x: Float[Tensor, "batch *event"], generator: torch.Generator | None = None
    ) -> Float[Tensor, "batch *event"]:
        """Samples that grow out of x at the first time of the whole grid."""
        pairs = self.sampler.pairs
        start, landing = pairs[0][0], pairs[self.skipped][0]
        if self.skipped:
            t, r = (x.new_full((len(x),), v) for v in (start, landing))
            x = self.prior.flow_map(x, t, r, self.sampler.path)
        return replace(self.sampler, times=pairs[self.skipped :])(denoise, x, generator)
