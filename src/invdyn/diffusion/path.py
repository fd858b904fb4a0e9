"""`Path`: how data become noise, x_t = alpha_t x0 + sigma_t eps; t = 0 data, larger t noisier.

The corruption of Lai et al. 2025 (arXiv 2510.21890), chapters 2 to 5, in one notation. Every method takes times of any
shape and answers in that shape; alpha, sigma and their slopes are all a sampler, loss or oracle asks for.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from invdyn.errors import ConfigError, unknown_name

__all__ = ["PATHS", "DiscretePath", "EDMPath", "LinearPath", "Path", "TrigPath", "VPLinear", "along", "make_path"]


def along(value: Tensor, like: Tensor) -> Tensor:
    """[batch] (or a number) as [batch, 1, ...], so that it multiplies `like` [batch, ...]."""
    return value.reshape(value.shape + (1,) * (like.ndim - value.ndim))


class Path(ABC):
    """alpha(t), sigma(t), their derivatives, lambda = log(alpha / sigma) and its inverse t(lambda)."""

    t_max: float = 1.0
    """Time of pure (or nearly pure) noise, where sampling starts."""
    t_min: float = 0.0
    """Least time a network is trained at; sampling may end below it, at 0."""

    @abstractmethod
    def alpha(self, t: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
        """Share of the data."""

    @abstractmethod
    def sigma(self, t: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
        """Standard deviation of the noise."""

    @abstractmethod
    def d_alpha(self, t: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
        """d alpha / dt."""

    @abstractmethod
    def d_sigma(self, t: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
        """d sigma / dt."""

    @abstractmethod
    def time(self, log_ratio: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
        """The t at which log(alpha / sigma) has this value."""

    def log_ratio(self, t: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
        """lambda = log(alpha / sigma), half the log signal-to-noise ratio; falls with t."""
        return self.alpha(t).log() - self.sigma(t).log()

    def snr(self, t: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
        """alpha^2 / sigma^2."""
        return (self.alpha(t) / self.sigma(t)).square()

    def d_log_ratio(self, t: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
        """d lambda / dt, negative."""
        return self.d_alpha(t) / self.alpha(t) - self.d_sigma(t) / self.sigma(t)

    def drift(self, t: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
        """f of the forward SDE dx = f x dt + g dw: alpha' / alpha."""
        return self.d_alpha(t) / self.alpha(t)

    def diffusion(self, t: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
        """g^2 of the forward SDE: -2 sigma^2 lambda'."""
        return -2 * self.sigma(t).square() * self.d_log_ratio(t)

    def corrupt(
        self, x0: Float[Tensor, "batch *event"], noise: Float[Tensor, "batch *event"], t: Float[Tensor, " batch"]
    ) -> Float[Tensor, "batch *event"]:
        """x_t = alpha x0 + sigma noise, a time for every sample."""
        return along(self.alpha(t), x0) * x0 + along(self.sigma(t), x0) * noise


class LinearPath(Path):
    """alpha = 1 - t, sigma = t: flow matching, rectified flow; velocity = noise - data."""

    def alpha(self, t: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
        return 1 - t

    def sigma(self, t: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
        return t

    def d_alpha(self, t: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
        return torch.full_like(t, -1.0)

    def d_sigma(self, t: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
        return torch.ones_like(t)

    def time(self, log_ratio: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
        return torch.sigmoid(-log_ratio)


class TrigPath(Path):
    """alpha = cos(pi t / 2), sigma = sin(pi t / 2)."""

    def alpha(self, t: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
        # sin of the complement: exactly 0 at t = 1, where cos would leave 6e-17.
        return torch.sin((1 - t) * (math.pi / 2))

    def sigma(self, t: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
        return torch.sin(t * (math.pi / 2))

    def d_alpha(self, t: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
        return -math.pi / 2 * self.sigma(t)

    def d_sigma(self, t: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
        return math.pi / 2 * self.alpha(t)

    def time(self, log_ratio: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
        return torch.atan(torch.exp(-log_ratio)) * (2 / math.pi)


class EDMPath(Path):
    """alpha = 1, sigma = t (variance exploding), t from 0.002 to 80 (Karras et al. 2022, arXiv 2206.00364, table 1)."""

    def __init__(self, t_min: float = 0.002, t_max: float = 80.0) -> None:
        if not 0 <= t_min < t_max < math.inf:
            raise ConfigError(f"edm path: t_min {t_min} and t_max {t_max}, expected 0 <= t_min < t_max.")
        self.t_min, self.t_max = t_min, t_max

    def alpha(self, t: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
        return torch.ones_like(t)

    def sigma(self, t: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
        return t

    def d_alpha(self, t: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
        return torch.zeros_like(t)

    def d_sigma(self, t: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
        return torch.ones_like(t)

    def time(self, log_ratio: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
        return torch.exp(-log_ratio)


class _VariancePreserving(Path):
    """alpha^2 + sigma^2 = 1, known by log alpha and its slope."""

    @abstractmethod
    def log_alpha(self, t: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
        """log alpha(t), 0 at t = 0."""

    @abstractmethod
    def d_log_alpha(self, t: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
        """Its slope."""

    @abstractmethod
    def _time_of(self, log_alpha: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
        """Its inverse."""

    def alpha(self, t: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
        return self.log_alpha(t).exp()

    def sigma(self, t: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
        return (-torch.expm1(2 * self.log_alpha(t))).sqrt()  # 1 - alpha^2 without cancellation near t = 0

    def d_alpha(self, t: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
        return self.alpha(t) * self.d_log_alpha(t)

    def d_sigma(self, t: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
        return -self.alpha(t).square() * self.d_log_alpha(t) / self.sigma(t)

    def time(self, log_ratio: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
        return self._time_of(torch.nn.functional.logsigmoid(2 * log_ratio) / 2)


class VPLinear(_VariancePreserving):
    """beta(t) rising linearly: log alpha = -t^2 (b1 - b0) / 4 - t b0 / 2 (Song et al. 2021, 2011.13456, eq. 33)."""

    t_min = 1e-5

    def __init__(self, low: float = 0.1, high: float = 20.0) -> None:
        if not 0 < low < high < math.inf:
            raise ConfigError(f"vp_linear path: beta from {low} to {high}, expected 0 < low < high.")
        self.low, self.high = low, high

    def log_alpha(self, t: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
        return -(t.square() * ((self.high - self.low) / 4) + t * (self.low / 2))

    def d_log_alpha(self, t: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
        return -(t * ((self.high - self.low) / 2) + self.low / 2)

    def _time_of(self, log_alpha: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
        slope = self.high - self.low
        root = (self.low**2 - 4 * slope * log_alpha).sqrt()
        return -4 * log_alpha / (self.low + root)


class DiscretePath(_VariancePreserving):
    """Levels of a DDPM: level k of N stands at t = (k + 1) / N, the data at t = 0; log alpha is linear in between.

    Args:
        betas: variance added at each step, each in (0, 1).
    """

    def __init__(self, betas: Float[Tensor, " levels"]) -> None:
        if betas.ndim != 1 or not bool(((betas > 0) & (betas < 1)).all()):
            raise ConfigError("discrete path: betas must be a list of numbers between 0 and 1.")
        self.steps = len(betas)
        self.t_min = 1 / self.steps
        half = torch.log1p(-betas.double()) / 2
        self._knots = torch.cat([half.new_zeros(1), half.cumsum(0)])

    @classmethod
    def linear(cls, steps: int = 1000, low: float = 1e-4, high: float = 0.02) -> DiscretePath:
        """The discrete twin of `vp_linear` (Ho et al. 2020, arXiv 2006.11239)."""
        return cls(torch.linspace(low, high, steps, dtype=torch.float64))

    @classmethod
    def cosine(cls, steps: int = 100, cap: float = 0.999) -> DiscretePath:
        """abar = cos^2((t + 0.008) / 1.008 pi / 2), betas capped (Nichol, Dhariwal 2021, arXiv 2102.09672, eq. 17)."""
        t = torch.arange(steps + 1, dtype=torch.float64) / steps
        bar = ((t + 0.008) / 1.008 * (math.pi / 2)).cos().square()
        return cls((1 - bar[1:] / bar[:-1]).clamp(max=cap))

    def level_time(self, level: int) -> float:
        """Time of level k; -1 is the data."""
        if not -1 <= level < self.steps:
            raise ConfigError(f"discrete path: level {level}, expected -1 (data) to {self.steps - 1}.")
        return (level + 1) / self.steps

    def level(self, t: Float[Tensor, "*any"]) -> Tensor:
        """The integer level nearest to a time, what nets trained on levels take as input."""
        return (t * self.steps).round().long() - 1

    def log_alpha(self, t: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
        knots, index, part = self._place(t)
        return torch.lerp(knots[index], knots[index + 1], part).to(t.dtype)

    def d_log_alpha(self, t: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
        knots, index, _ = self._place(t)
        return ((knots[index + 1] - knots[index]) * self.steps).to(t.dtype)

    def _place(self, t: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        place = t.double() * self.steps
        index = place.floor().clamp(0, self.steps - 1).long()
        return self._knots.to(t.device), index, place - index

    def _time_of(self, log_alpha: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
        knots = self._knots.to(log_alpha.device)
        above = torch.searchsorted(-knots, -log_alpha.double().contiguous()).clamp(1, self.steps)
        low, high = knots[above - 1], knots[above]
        return ((above - 1 + (log_alpha.double() - low) / (high - low)) / self.steps).to(log_alpha.dtype)


PATHS: dict[str, Callable[[], Path]] = {
    "linear": LinearPath,
    "trig": TrigPath,
    "edm": EDMPath,
    "vp_linear": VPLinear,
    "ddpm": DiscretePath.linear,
    "cosine_k": DiscretePath.cosine,
}
"""Name -> what makes the path with its published numbers."""


def make_path(name: str) -> Path:
    """A path of the table with its default numbers.

    >>> make_path("linear").alpha(torch.tensor(0.25)).item()
    0.75
    """
    if name not in PATHS:
        raise unknown_name("path", name, PATHS)
    return PATHS[name]()
