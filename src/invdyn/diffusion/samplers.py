"""`Sampler`: the one loop from noise to data, over any list of times, with one `guide` hook; rules in steps.py.

    x, t -> D = denoise(x, t) -> D = guide(x, t, D) -> clip -> rule(x, D, t -> s)

It starts at any noise level with any x (warm starts, teleports), and pairs (t, s) may leave gaps or overlap (a
real-time iteration relabels levels). A step to t = 0 ends in D exactly; nothing is divided by sigma there.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from invdyn.diffusion.parameterize import Denoise, Denoiser
from invdyn.diffusion.path import Path
from invdyn.diffusion.run import Guide, Level, Run, levels_at
from invdyn.diffusion.steps import DDIM, Rule
from invdyn.errors import ConfigError, SignalError
from invdyn.nn.gaussians import standard_normal

__all__ = ["Guide", "Run", "Sampler"]

PLAIN = DDIM()


@dataclass(frozen=True)
class Sampler:
    """How to go from noise to data.

    Args:
        path: how data became noise.
        times: times visited, noisiest first, or (from, to) pairs; see grids.py.
        rule: what is done in a step; `DDIM()` by default.
        guide: hook on D: guidance, measurements, imputation (guidance.py).
        clip: D is kept within [-clip, clip] after the guide; None leaves it.
        wide: keep x in float64 between calls of the net, as EDM does.
    """

    path: Path
    times: Sequence[float] | Sequence[tuple[float, float]]
    rule: Rule = PLAIN
    guide: Guide | None = None
    clip: float | None = None
    wide: bool = False

    def __post_init__(self) -> None:
        if self.clip is not None and not self.clip > 0:
            raise ConfigError(f"sampler: clip is {self.clip}, expected a positive bound or None.")
        pairs = self.pairs
        if not pairs:
            raise ConfigError("sampler: at least two times are needed, from noise to data.")
        for t, s in pairs:
            if not (math.isfinite(t) and 0 <= s < t <= self.path.t_max * (1 + 1e-12)):
                raise ConfigError(
                    f"sampler: a step from t = {t:g} to {s:g}; times fall from {self.path.t_max:g} (noise) to 0 (data)."
                )
        object.__setattr__(self, "_levels", levels_at(self.path, [t for pair in pairs for t in pair]))

    @property
    def pairs(self) -> list[tuple[float, float]]:
        """Every step as (from, to)."""
        if self.times and isinstance(self.times[0], tuple):
            return [(float(t), float(s)) for t, s in self.times]  # type: ignore[misc]
        return [(float(t), float(s)) for t, s in zip(self.times, self.times[1:])]  # type: ignore[arg-type]

    def start(
        self, like: Float[Tensor, "batch *event"], generator: torch.Generator | None = None
    ) -> Float[Tensor, "batch *event"]:
        """Noise of the first time's sigma, in the shape of `like`."""
        level: Level = self._levels[0]  # type: ignore[attr-defined]
        return level.sigma * standard_normal(like, generator)

    def __call__(
        self,
        denoise: Denoise,
        x: Float[Tensor, "batch *event"],
        generator: torch.Generator | None = None,
        watch: Callable[[float, Tensor, Tensor], None] | None = None,
    ) -> Float[Tensor, "batch *event"]:
        """The samples that grow out of x.

        Args:
            denoise: (x, t [batch]) -> D: a `Denoiser` or an exact prior's.
            x: state at the first time (`start`, or a warm start).
            generator: of the rule's noise.
            watch: called with (time reached, x, D of the step).

        Raises:
            ConfigError: a net that puts out noise or score starts where alpha is 0.
            SignalError: what comes out is not finite.
        """
        levels: list[Level] = self._levels  # type: ignore[attr-defined]
        if isinstance(denoise, Denoiser) and not denoise.known_at(levels[0].t):
            raise ConfigError(
                f"sampler: at t = {levels[0].t:g} alpha is 0 and a net of kind {denoise.kind!r} tells no data. "
                "Start at a smaller time, or train kind 'x0' or 'velocity'."
            )
        given = x.dtype
        answer = denoise
        if self.wide and given != torch.float64:

            def answer(x: Tensor, t: Tensor) -> Tensor:
                return denoise(x.to(given), t.to(given))

            x = x.double()
        run = Run(answer, self.path, self.guide, self.clip, generator, len(levels) // 2)
        memory = self.rule.memory
        with torch.no_grad():
            for i in range(run.count):
                run.index = i
                at, to = levels[2 * i], levels[2 * i + 1]
                x, denoised = self.rule(x, at, to, run)
                if memory:
                    run.history.append((at, denoised))
                    del run.history[:-memory]
                if watch is not None:
                    watch(to.t, x, denoised)
        if not bool(x.isfinite().all()):
            raise SignalError(
                "sampler: the samples are not finite. Check that the net's output kind and path are those it was "
                "trained with, use more steps, or clip D."
            )
        return x.to(given)
