"""Time grids: the list of times a sampler visits, noisiest first, as Python floats.

`uniform` in t, `log_ratio` in lambda, `edm` with rho (Karras et al. 2022, eq. 5), and the spacings of discrete levels
that published policies use (`leading`, `trailing`, `linspace`; names as in Lin et al. 2024, arXiv 2305.08891, table 2).
Any other list of times, or of (from, to) pairs, is as good a grid.
"""

from __future__ import annotations

from typing import Literal

import torch

from invdyn.diffusion.path import DiscretePath, Path
from invdyn.errors import ConfigError, unknown_name

__all__ = ["edm_grid", "level_grid", "levels", "log_ratio_grid", "uniform_grid"]


def uniform_grid(path: Path, steps: int, start: float | None = None, end: float = 0.0) -> list[float]:
    """steps + 1 times, evenly from `start` (t_max) to `end`."""
    _positive(steps)
    top = path.t_max if start is None else start
    return [top + (end - top) * i / steps for i in range(steps)] + [end]


def log_ratio_grid(path: Path, steps: int, start: float, end: float) -> list[float]:
    """steps + 1 times, evenly spaced in lambda from `start` to `end`; both ends must have alpha > 0 and sigma > 0."""
    _positive(steps)
    ends = path.log_ratio(torch.tensor([start, end], dtype=torch.float64))
    if not bool(ends.isfinite().all()):
        raise ConfigError(
            f"log_ratio grid from t = {start} to {end}: alpha or sigma is 0 at an end. Start and end between them."
        )
    between = torch.lerp(ends[0], ends[1], torch.arange(1, steps, dtype=torch.float64) / steps)
    return [start, *path.time(between).tolist(), end]


def edm_grid(
    points: int = 18, low: float = 0.002, high: float = 80.0, rho: float = 7.0, zero: bool = True
) -> list[float]:
    """`points` noise levels (high^(1/rho) + i/(N-1) (low^(1/rho) - high^(1/rho)))^rho, then 0: `edm` times."""
    if points < 2 or not 0 < low < high:
        raise ConfigError(f"edm grid: {points} points from {high} to {low}, expected at least 2 and 0 < low < high.")
    a, b = high ** (1 / rho), low ** (1 / rho)
    grid = [(a + (b - a) * i / (points - 1)) ** rho for i in range(points)]
    grid[0], grid[-1] = high, low
    return [*grid, 0.0] if zero else grid


def levels(path: DiscretePath, steps: int, spacing: Literal["leading", "trailing", "linspace"]) -> list[int]:
    """`steps` of the path's levels, noisiest first.

    leading: multiples of N // steps, from 0 on; trailing: from N - 1 down by N / steps; linspace: evenly, N - 1 to 0.
    """
    total = path.steps
    if not 1 <= steps <= total:
        raise ConfigError(f"levels: {steps} steps of {total} levels, expected 1 to {total}.")
    if spacing == "leading":
        return [i * (total // steps) for i in reversed(range(steps))]
    if spacing == "trailing":
        return [round(total - i * total / steps) - 1 for i in range(steps)]
    if spacing == "linspace":
        return [total - 1] if steps == 1 else [round((total - 1) * i / (steps - 1)) for i in reversed(range(steps))]
    raise unknown_name("spacing", spacing, ("leading", "trailing", "linspace"))


def level_grid(
    path: DiscretePath, steps: int, spacing: Literal["leading", "trailing", "linspace"] = "leading"
) -> list[float]:
    """The times of `levels`, then the data at 0."""
    return [*(path.level_time(k) for k in levels(path, steps, spacing)), 0.0]


def _positive(steps: int) -> None:
    if steps < 1:
        raise ConfigError(f"time grid of {steps} steps, expected at least 1.")
