"""The linear beginning of sampling, taken in one step.

Wang, Vastola 2023 (arXiv 2303.02490): at high and medium noise a learned score is nearly that of the Gaussian with the
data's mean and covariance, whose probability flow is a closed form, one factor for every principal component.
`Teleport` starts the ordinary loop from that closed form. How far a model is from it: outline.py; the Gaussian of a
data set: moments.py.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from invdyn.diffusion.grids import edm_grid
from invdyn.diffusion.oracles import GaussianPrior
from invdyn.diffusion.outline import explained_share
from invdyn.diffusion.parameterize import Denoise
from invdyn.diffusion.path import Path
from invdyn.diffusion.samplers import Sampler
from invdyn.errors import ConfigError

__all__ = ["LEAST", "HasFlow", "Teleport", "skip_time"]

LEAST = 0.995
"""Explained share from which on the beginning counts as linear (the card's; the paper skips 20 to 30 %)."""


@runtime_checkable
class HasFlow(Protocol):
    """What knows where its flow leads: a `GaussianPrior`, or the Gaussians of a batch's classes."""

    def flow_map(
        self, x: Float[Tensor, "batch *event"], t: Float[Tensor, " batch"], r: Float[Tensor, " batch"], path: Path
    ) -> Float[Tensor, "batch *event"]:
        """Where the flow takes x from t to r."""


def skip_time(share: Callable[[float], float], times: Sequence[float], least: float = LEAST) -> float:
    """The last of falling times down to which the explained share has stayed at `least` or above.

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


@dataclass(frozen=True)
class Teleport:
    """A sampler whose beginning is replaced by the Gaussian's flow map.

    Args:
        sampler: what goes on from the landing, its first time.
        prior: the data's Gaussian, or that of each sample's class.
        start: time of the noise that is given.
    """

    sampler: Sampler
    prior: HasFlow
    start: float

    def __post_init__(self) -> None:
        if not self.landing <= self.start <= self.sampler.path.t_max * (1 + 1e-12):
            raise ConfigError(
                f"teleport: from t = {self.start:g} to {self.landing:g}; expected the start at or above the landing, "
                f"and at most {self.sampler.path.t_max:g}."
            )

    @property
    def landing(self) -> float:
        """Where the closed form ends and the sampler begins."""
        return self.sampler.pairs[0][0]

    @classmethod
    def skip(cls, sampler: Sampler, prior: HasFlow, skipped: int) -> Teleport:
        """The sampler's own grid without its noisiest points; 2 calls each are saved under Heun.

        Raises:
            ConfigError: no step would be left.
        """
        pairs = sampler.pairs
        if not 0 <= skipped < len(pairs):
            raise ConfigError(f"teleport: {skipped} of {len(pairs)} steps skipped; leave at least one.")
        return cls(replace(sampler, times=pairs[skipped:]), prior, pairs[0][0])

    @classmethod
    def regrid(cls, sampler: Sampler, prior: HasFlow, points: int, landing: float, rho: float = 7.0) -> Teleport:
        """So many points placed anew between the landing and the sampler's last noise level.

        They are EDM's (Karras et al. 2022, eq. 5) in sigma / alpha; on the `edm` path that is time itself.

        Raises:
            ConfigError: a landing outside the sampler's grid.
        """
        times = [t for t, _ in sampler.pairs]
        if not times[-1] < landing <= times[0]:
            raise ConfigError(f"teleport: landing at t = {landing:g}; expected between {times[-1]:g} and {times[0]:g}.")
        ends = sampler.path.log_ratio(torch.tensor([landing, times[-1]], dtype=torch.float64)).neg().exp().tolist()
        ratios = edm_grid(points, low=ends[1], high=ends[0], rho=rho, zero=False)
        between = sampler.path.time(-torch.tensor(ratios[1:-1], dtype=torch.float64).log()).tolist()
        return cls(replace(sampler, times=[landing, *between, times[-1], sampler.pairs[-1][1]]), prior, times[0])

    @classmethod
    def measured(
        cls,
        sampler: Sampler,
        prior: GaussianPrior,
        denoise: Denoise,
        data: Float[Tensor, "batch *event"],
        generator: torch.Generator,
        least: float = LEAST,
    ) -> Teleport:
        """Skip as far as the Gaussian explains the model's score on these data, measured at the grid's own times.

        Raises:
            ConfigError: the model is not linear at the first time.
        """
        times = [t for t, _ in sampler.pairs]
        state = generator.get_state()

        def share(t: float) -> float:
            generator.set_state(state)  # the same noise at every time: the share falls smoothly
            return explained_share(denoise, prior, data, t, sampler.path, generator)

        return cls.skip(sampler, prior, times.index(skip_time(share, times, least)))

    def calls(self, each: int = 2) -> int:
        """Calls of the model: `each` a step (2 under Heun), 1 for the step into the data."""
        ends = sum(math.isclose(s, 0.0) for _, s in self.sampler.pairs)
        return each * (len(self.sampler.pairs) - ends) + ends

    def __call__(
        self, denoise: Denoise, x: Float[Tensor, "batch *event"], generator: torch.Generator | None = None
    ) -> Float[Tensor, "batch *event"]:
        """Samples that grow out of x at `start`."""
        if self.landing != self.start:
            t, r = (x.new_full((len(x),), v) for v in (self.start, self.landing))
            x = self.prior.flow_map(x, t, r, self.sampler.path)
        return self.sampler(denoise, x, generator)
