"""What a rule of steps.py works with: the numbers of a noise level, and the sampling run it may ask for D and noise."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor

from invdyn.diffusion.parameterize import Denoise, Denoiser
from invdyn.diffusion.path import Path
from invdyn.nn.gaussians import standard_normal

__all__ = ["Guide", "Level", "Run", "levels_at"]

Guide = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(x [batch, ...], t [batch], D) -> D. One with a true attribute `through_net` gets x and D with their graph."""


class Level(NamedTuple):
    """A time with the path's numbers there, as Python floats: arithmetic on them costs no kernel."""

    t: float
    alpha: float
    sigma: float
    d_alpha: float
    d_sigma: float

    @property
    def log_ratio(self) -> float:
        """lambda; -inf at pure noise, inf at the data."""
        if self.sigma == 0:
            return math.inf
        return -math.inf if self.alpha == 0 else math.log(self.alpha / self.sigma)

    def tensor(self, x: Tensor) -> Tensor:
        """The time for every sample of x; one number in memory."""
        return torch.full((), self.t, dtype=x.dtype, device=x.device).expand(x.shape[0])


def levels_at(path: Path, times: Sequence[float]) -> list[Level]:
    """The path's numbers at these times, computed in float64."""
    t = torch.tensor(list(times), dtype=torch.float64)
    columns = (t, path.alpha(t), path.sigma(t), path.d_alpha(t), path.d_sigma(t))
    return [Level(*row) for row in zip(*(c.tolist() for c in columns))]


def asked(denoise: Denoise, x: Tensor, at: Level) -> Tensor:
    """E[x0 | x] as a model says it where all samples share a level; with x's graph where one is recorded."""
    t = at.tensor(x)
    return denoise.together(x, t, at[1:]) if isinstance(denoise, Denoiser) else denoise(x, t)


@dataclass
class Run:
    """What a rule may ask the loop for during one sampling run."""

    denoise: Denoise
    path: Path
    guide: Guide | None
    clip: float | None
    generator: torch.Generator | None
    count: int
    """Steps of the whole run."""
    index: int = 0
    """The step under way."""
    history: list[tuple[Level, Tensor]] = field(default_factory=list)
    """Levels and D of earlier steps, latest last; no more than the rule's `memory`."""

    def denoised(self, x: Tensor, at: Level) -> Tensor:
        """Guided, clipped E[x0 | x] at a level."""
        if self.guide is None:
            found = self.asked(x, at)
        elif getattr(self.guide, "through_net", False):
            with torch.enable_grad():
                leaf = x.detach().requires_grad_(True)
                found = self.guide(leaf, at.tensor(x), self.asked(leaf, at)).detach()
        else:
            found = self.guide(x, at.tensor(x), self.asked(x, at))
        if self.clip is not None:
            found = found.clamp(-self.clip, self.clip)
        return found if found.dtype == x.dtype else found.to(x.dtype)

    def asked(self, x: Tensor, at: Level) -> Tensor:
        """E[x0 | x] as the model says it, neither guided nor clipped; with x's graph where one is recorded."""
        return asked(self.denoise, x, at)

    def noise(self, like: Tensor) -> Tensor:
        """Fresh standard normal numbers."""
        return standard_normal(like, self.generator)

    def level(self, t: float) -> Level:
        """The noise level at a time off the grid."""
        return levels_at(self.path, [t])[0]
