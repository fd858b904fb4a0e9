"""What a sampler does in one step t -> s < t, given D = E[x0 | x_t]; every rule is a dozen lines on the same numbers.

h = lambda_s - lambda_t, e^-h = alpha_t sigma_s / (alpha_s sigma_t). In these products alpha_t = 0 (pure noise) and
sigma_s = 0 (data) are ordinary values. Song 2021a: arXiv 2010.02502, 2021b: 2011.13456.

| rule | order | update | source |
|---|---|---|---|
| `DDIM(eta)` | 1 | sigma_s/sigma_t x + alpha_s (1 - e^-h) D; eta = 1: the DDPM posterior | Song et al. 2021a |
| `DPMpp2M` | 2 | the same with D extrapolated from the step before | Lu et al. 2022, 2211.01095 |
| `DPMpp2S` | 2 | the same with D at the middle in lambda | Lu et al. 2022 |
| `Euler`, `Heun` | 1, 2 | dx/dt = v, or EDM's d(x/alpha)/d(sigma/alpha) with churn | Karras et al. 2022, 2206.00364 |
| `Renoise` | - | alpha_s D + sigma_s z: several steps of a consistency model | Song et al. 2023, 2303.01469 |
| `ReverseSDE(eta)` | - | Euler-Maruyama on the reverse SDE with any amount of noise | Song et al. 2021b |
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal, Protocol, runtime_checkable

import torch
from torch import Tensor

from invdyn.diffusion.parameterize import combine
from invdyn.diffusion.run import Level, Run
from invdyn.errors import ConfigError

__all__ = ["DDIM", "DPMpp2M", "DPMpp2S", "Euler", "Heun", "Renoise", "ReverseSDE", "Rule"]


@runtime_checkable
class Rule(Protocol):
    """One step of a sampler."""

    memory: ClassVar[int]
    """How many earlier D it looks back on."""

    def __call__(self, x: Tensor, at: Level, to: Level, run: Run) -> tuple[Tensor, Tensor]:
        """x at `to`, and D at `at`."""


def _shrink(at: Level, to: Level) -> float:
    """e^-h."""
    return at.alpha * to.sigma / (to.alpha * at.sigma)


def _exponential(x: Tensor, denoised: Tensor, at: Level, to: Level) -> Tensor:
    """x_s when D stays as it is between t and s: exact for one data point, order 1 otherwise."""
    keep = to.sigma / at.sigma
    return combine(keep, x, to.alpha - keep * at.alpha, denoised)


@dataclass(frozen=True)
class DDIM:
    """DPM-Solver++ of order 1 = DDIM at eta = 0; the DDPM posterior (variance `fixed_small`) at eta = 1."""

    eta: float = 0.0
    memory: ClassVar[int] = 0

    def __post_init__(self) -> None:
        if not 0 <= self.eta <= 1:
            raise ConfigError(f"DDIM: eta is {self.eta}, expected 0 (no noise) to 1 (DDPM).")

    def __call__(self, x: Tensor, at: Level, to: Level, run: Run) -> tuple[Tensor, Tensor]:
        denoised = run.denoised(x, at)
        if self.eta == 0 or to.sigma == 0:
            return _exponential(x, denoised, at, to), denoised
        noise = self.eta * to.sigma * math.sqrt(max(1 - _shrink(at, to) ** 2, 0.0))
        keep = math.sqrt(max(to.sigma**2 - noise**2, 0.0)) / at.sigma
        x = torch.add(x * keep, denoised, alpha=to.alpha - keep * at.alpha)
        return x.add_(run.noise(x), alpha=noise), denoised


@dataclass(frozen=True)
class DPMpp2M:
    """DPM-Solver++(2M): D extrapolated through the step before; order 1 at both ends and in a short run's last step."""

    memory: ClassVar[int] = 1
    few: ClassVar[int] = 15
    """Runs with fewer steps than this end with a step of order 1."""

    def __call__(self, x: Tensor, at: Level, to: Level, run: Run) -> tuple[Tensor, Tensor]:
        denoised = run.denoised(x, at)
        used = denoised
        last = run.index == run.count - 1
        if run.history and not (last and run.count < self.few):
            before, older = run.history[-1]
            step, previous = to.log_ratio - at.log_ratio, at.log_ratio - before.log_ratio
            if math.isfinite(step) and math.isfinite(previous):
                lean = step / (2 * previous)
                used = torch.add(denoised * (1 + lean), older, alpha=-lean)
        return _exponential(x, used, at, to), denoised


@dataclass(frozen=True)
class DPMpp2S:
    """DPM-Solver++(2S): a first step to the middle in lambda, the whole step with the D found there; two calls."""

    memory: ClassVar[int] = 0

    def __call__(self, x: Tensor, at: Level, to: Level, run: Run) -> tuple[Tensor, Tensor]:
        denoised = run.denoised(x, at)
        middle = (at.log_ratio + to.log_ratio) / 2
        if not math.isfinite(middle):
            return _exponential(x, denoised, at, to), denoised
        half = run.level(float(run.path.time(torch.tensor(middle, dtype=torch.float64))))
        there = run.denoised(_exponential(x, denoised, at, half), half)
        return _exponential(x, there, at, to), denoised


def _slope(x: Tensor, denoised: Tensor, at: Level) -> Tensor:
    """dx/dt = v = sigma'/sigma x + (alpha' - sigma' alpha / sigma) D."""
    rate = at.d_sigma / at.sigma
    return torch.add(x * rate, denoised, alpha=at.d_alpha - rate * at.alpha)


@dataclass(frozen=True)
class Euler:
    """x + (s - t) v(x, t); the step into the data, where v may be infinite, takes D (the same on the linear path)."""

    memory: ClassVar[int] = 0

    def __call__(self, x: Tensor, at: Level, to: Level, run: Run) -> tuple[Tensor, Tensor]:
        denoised = run.denoised(x, at)
        if to.sigma == 0:
            return _exponential(x, denoised, at, to), denoised
        step, rate = to.t - at.t, at.d_sigma / at.sigma
        return combine(1 + step * rate, x, step * (at.d_alpha - rate * at.alpha), denoised), denoised


@dataclass(frozen=True)
class Heun:
    """The trapezoid rule with an Euler guess; two calls a step; the step into the data has one and takes D.

    Args:
        variable: `time`: dx/dt = v. `sigma`: EDM's own, y = x/alpha over the noise-to-data ratio sigma/alpha (on the
            `edm` path the two are one).
        churn: EDM's S_churn: noise is raised by the factor 1 + min(churn / N, sqrt 2 - 1) first. Needs `sigma`.
        low, high: noise-to-data ratios between which it is raised.
        noise: factor on the fresh noise, EDM's S_noise.
    """

    variable: Literal["time", "sigma"] = "time"
    churn: float = 0.0
    low: float = 0.0
    high: float = math.inf
    noise: float = 1.0
    memory: ClassVar[int] = 0

    def __post_init__(self) -> None:
        if self.churn < 0 or (self.churn > 0 and self.variable != "sigma"):
            raise ConfigError(
                f"Heun: churn {self.churn} over {self.variable!r}; it is positive and needs variable='sigma'."
            )

    def __call__(self, x: Tensor, at: Level, to: Level, run: Run) -> tuple[Tensor, Tensor]:
        if self.variable == "time":
            denoised = run.denoised(x, at)
            if to.sigma == 0:
                return _exponential(x, denoised, at, to), denoised
            slope = _slope(x, denoised, at)
            guess = torch.add(x, slope, alpha=to.t - at.t)
            there = _slope(guess, run.denoised(guess, to), to)
            return torch.add(x, slope + there, alpha=(to.t - at.t) / 2), denoised
        return self._over_sigma(x, at, to, run)

    def _over_sigma(self, x: Tensor, at: Level, to: Level, run: Run) -> tuple[Tensor, Tensor]:
        if at.alpha == 0:  # the ratio is infinite: one step of order 1
            denoised = run.denoised(x, at)
            return _exponential(x, denoised, at, to), denoised
        if self.churn > 0 and self.low <= at.sigma / at.alpha <= self.high:
            x, at = self._raised(x, at, run)
        denoised = run.denoised(x, at)
        guess = _exponential(x, denoised, at, to)
        if to.sigma == 0:
            return guess, denoised
        # dy/dr = (y - D) / r with y = x / alpha, r = sigma / alpha: the mean of both ends' slopes times the way.
        here, there = at.sigma / at.alpha, to.sigma / to.alpha
        first = (x / at.alpha - denoised) / here
        second = (guess / to.alpha - run.denoised(guess, to)) / there
        y = torch.add(x / at.alpha, first + second, alpha=(there - here) / 2)
        return y * to.alpha, denoised

    def _raised(self, x: Tensor, at: Level, run: Run) -> tuple[Tensor, Level]:
        ratio = at.sigma / at.alpha
        raised = ratio * (1 + min(self.churn / run.count, math.sqrt(2) - 1))
        high = run.level(float(run.path.time(torch.tensor(-math.log(raised), dtype=torch.float64))))
        extra = self.noise * math.sqrt(raised**2 - ratio**2)
        return torch.add(x / at.alpha, run.noise(x), alpha=extra) * high.alpha, high


@dataclass(frozen=True)
class Renoise:
    """D, then fresh noise of the next level."""

    memory: ClassVar[int] = 0

    def __call__(self, x: Tensor, at: Level, to: Level, run: Run) -> tuple[Tensor, Tensor]:
        denoised = run.denoised(x, at)
        if to.sigma == 0:
            return to.alpha * denoised, denoised
        return torch.add(to.alpha * denoised, run.noise(x), alpha=to.sigma), denoised


@dataclass(frozen=True)
class ReverseSDE:
    """Euler-Maruyama on dx = [f x - (1 + eta^2)/2 g^2 s] dt + eta g dw, run backwards; every eta keeps the marginals.

    eta = 0 is the probability flow, 1 the reverse SDE. The step into the data takes its D.
    """

    eta: float = 1.0
    memory: ClassVar[int] = 0

    def __post_init__(self) -> None:
        if not self.eta >= 0:
            raise ConfigError(f"ReverseSDE: eta is {self.eta}, expected 0 or more.")

    def __call__(self, x: Tensor, at: Level, to: Level, run: Run) -> tuple[Tensor, Tensor]:
        denoised = run.denoised(x, at)
        if to.sigma == 0 or at.alpha == 0:
            return _exponential(x, denoised, at, to), denoised
        drift = at.d_alpha / at.alpha
        spread = 2 * at.sigma * (at.d_sigma - at.sigma * drift)  # g^2 = -2 sigma^2 lambda'
        push = (1 + self.eta**2) / 2 * spread / at.sigma**2  # times (x - alpha D) = -sigma^2 s
        step = at.t - to.t
        moved = torch.add(x * (1 - step * (drift + push)), denoised, alpha=step * push * at.alpha)
        return torch.add(moved, run.noise(x), alpha=self.eta * math.sqrt(spread * step)), denoised
