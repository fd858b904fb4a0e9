"""A population of the sb-irr study in many dimensions: it runs down a potential, splits, and only a net knows how.

Along one direction the potential is a double well, across it a bowl around another place than where the population
starts, as cells differentiate. The directions are turned at random, so that no coordinate is special. The law is any
gradient field: a net (`GradientNet`).
"""

from __future__ import annotations

import itertools
import math

import torch
from torch import Tensor

from invdyn.diffusion.bridges_drift import simulate
from invdyn.diffusion.bridges_fields import GradientNet
from invdyn.diffusion.bridges_ipf import time_grid
from invdyn.studies.sb_irr_config import Problem, SbIrrConfig

__all__ = ["gradient_field"]

TIMES = (0.0, 0.75, 1.5, 2.25, 3.0)
START, BOWL, STIFFNESS = 0.05, 1.0, 0.7
"""Spread at the start, distance from there to the bottom of the bowl, and how fast the bowl is run down."""


def gradient_field(config: SbIrrConfig, g: torch.Generator) -> Problem:
    """5 snapshots, every second held out; units of the wells, which lie at -1 and 1."""
    dimension, n, sigma = config.field_dimension, config.field_particles, 0.1
    turn = torch.linalg.qr(torch.randn(dimension, dimension, dtype=torch.float64, generator=g)).Q
    bottom = torch.full((dimension - 1,), BOWL / math.sqrt(dimension - 1), dtype=torch.float64)

    def law(x: Tensor, t: float) -> Tensor:
        u = x @ turn.to(x).T
        along = u[:, :1] - u[:, :1] ** 3
        across = STIFFNESS * (bottom.to(x) - u[:, 1:])
        return torch.cat([along, across], 1) @ turn.to(x)

    def population() -> list[Tensor]:
        x = START * torch.randn(n * len(TIMES), dimension, dtype=torch.float64, generator=g)
        rows = [x[:n]]
        for k, (a, b) in enumerate(itertools.pairwise(TIMES), 1):
            x = simulate(law, x, time_grid(a, b, 0.025), sigma, g)[-1]
            rows.append(x[k * n : (k + 1) * n])
        return rows

    family = GradientNet(dimension, seed=int(torch.randint(2**31, (), generator=g)))
    return Problem(population(), list(TIMES), family, sigma, law=law, fresh=population())
