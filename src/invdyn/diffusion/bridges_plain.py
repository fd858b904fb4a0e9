"""The plain bridge in closed form: `brownian_bridges` between snapshots, and the law of a family that explains them.

Under a Brownian reference the bridge of two populations is their entropic coupling (`sinkhorn`) with a Brownian bridge
between every pair (Léonard 2014). No regression stands in between, so the law fitted to these paths is a better start
of a refinement than one fitted to a bridge that proportional fitting has not finished.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from invdyn.diffusion.bridges import sinkhorn
from invdyn.diffusion.bridges_families import DriftFamily, Fitted, increments
from invdyn.diffusion.bridges_ipf import time_grid
from invdyn.nn.gaussians import standard_normal

__all__ = ["brownian_bridges", "plain_law"]


def brownian_bridges(
    first: Float[Tensor, "n d"],
    second: Float[Tensor, "m d"],
    times: Sequence[float],
    sigma: float,
    generator: torch.Generator,
    copies: int = 1,
) -> Float[Tensor, "time path d"]:
    """n x copies paths of the plain bridge at rising times, of which the first and the last are the snapshots'."""
    plan = sinkhorn(first, second, sigma**2 * (times[-1] - times[0]), tolerance=1e-3, rounds=4000).plan
    rows = (plan / plan.sum(1, keepdim=True)).to(generator.device)
    drawn = torch.multinomial(rows, copies, replacement=True, generator=generator).flatten().to(second.device)
    here, end = first.repeat_interleave(copies, 0), second[drawn]
    path = [here]
    for before, after in itertools.pairwise(times):
        left, step = times[-1] - before, after - before
        noise = standard_normal(here, generator)
        spread = sigma * math.sqrt(max(step * (times[-1] - after) / left, 0.0))
        here = here + (end - here) * (step / left) + spread * noise
        path.append(here)
    return torch.stack(path)


def plain_law(
    snapshots: Sequence[Float[Tensor, "_ d"]],
    times: Sequence[float],
    family: DriftFamily,
    sigma: float,
    step: float,
    generator: torch.Generator,
) -> Fitted:
    """The member of a family that explains the plain bridge through all snapshots best.

    Args:
        snapshots, times: as `refine_reference`.
        family: which laws are possible.
        sigma: noise of the process.
        step: dt of the paths.
        generator: of pairs and noise.
    """
    steps = []
    for a, b, span in zip(snapshots[:-1], snapshots[1:], itertools.pairwise(times)):
        grid = time_grid(*span, step)
        steps.append(increments(grid, brownian_bridges(a, b, grid.tolist(), sigma, generator), sigma))
    x, rise, weight = (torch.cat(parts) for parts in zip(*steps))
    return family.fit(x, rise, weight, None)
