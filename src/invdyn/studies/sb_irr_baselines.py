"""Baselines of the sb-irr study: exact plain bridges, straight lines of optimal transport, flow matching."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from invdyn.diffusion import Denoiser, DenoisingLoss, Heun, Sampler, Times, make_path
from invdyn.diffusion.bridges_plain import brownian_bridges
from invdyn.errors import require
from invdyn.nn import TimeMLP
from invdyn.studies.sb_irr_config import Problem
from invdyn.training import Trainer, TrainerConfig

__all__ = ["flow_matching", "middle_of_bridges", "pairs", "transport_line"]

LINEAR = make_path("linear")


def _spans(problem: Problem) -> list[tuple[Tensor, Tensor, float]]:
    """Neighbours seen, and where between them the held-out snapshot lies (0 to 1)."""
    times = problem.times
    return [
        (problem.snapshots[k - 1], problem.snapshots[k + 1], (times[k] - times[k - 1]) / (times[k + 1] - times[k - 1]))
        for k in range(1, len(times) - 1, 2)
    ]


def pairs(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Rows of a and b under the optimal coupling of squared distance; sets of different size share mass."""
    if len(a) == len(b):
        rows, columns = linear_sum_assignment(torch.cdist(a, b).square().numpy())
        return a[rows], b[columns]
    ot = require("ot", "studies")
    even = [torch.full((len(x),), 1 / len(x), dtype=torch.float64).numpy() for x in (a, b)]
    plan = torch.from_numpy(ot.emd(*even, torch.cdist(a, b).square().numpy()))
    rows, columns = (plan > 1e-12).nonzero(as_tuple=True)
    return a[rows], b[columns]


def transport_line(problem: Problem) -> list[Tensor]:
    """Every held-out snapshot as the point between its neighbours under the optimal coupling."""
    made = []
    for a, b, share in _spans(problem):
        left, right = pairs(a, b)
        made.append(left + share * (right - left))
    return made


def middle_of_bridges(problem: Problem, g: torch.Generator, copies: int = 4) -> list[Tensor]:
    """The plain bridge without regression: pairs from the entropic coupling, a Brownian bridge between them."""
    made = []
    for (a, b, share), (start, end) in zip(_spans(problem), itertools.pairwise(problem.times[::2])):
        at = [start, start + share * (end - start), end]
        made.append(brownian_bridges(a, b, at, problem.sigma, g, copies)[1])
    return made


def flow_matching(problem: Problem, steps: int, seed: int) -> list[Tensor]:
    """OT-CFM: one velocity net over all times, trained on straight lines between optimally coupled neighbours."""
    joined = [pairs(a, b) for a, b in itertools.pairwise(problem.snapshots[::2])]
    whole = torch.cat(problem.snapshots[::2])
    centre, scale = whole.mean(0), whole.std(0).clamp_min(1e-9)
    early = torch.cat([((a - centre) / scale).float() for a, _ in joined])
    late = torch.cat([((b - centre) / scale).float() for _, b in joined])
    interval = torch.cat([torch.full((len(a),), k) for k, (a, _) in enumerate(joined)])
    mark = torch.nn.functional.one_hot(interval, len(joined)).float()

    def draw(g: torch.Generator, size: int) -> tuple[Tensor, Tensor, Tensor]:
        row = torch.randint(len(early), (size,), generator=g)
        return early[row], late[row], mark[row]

    def loss(net: torch.nn.Module, batch: Any, g: torch.Generator) -> Mapping[str, Tensor]:
        """Time 1 is the earlier snapshot: the path's velocity from data to noise then runs back in time."""
        before, after, which = batch
        t = Times().draw(len(before), LINEAR, g, before)
        return {"loss": DenoisingLoss(LINEAR).per_sample(net, after, before, t, which).mean()}

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        net = TimeMLP(whole.shape[1], condition=len(joined), width=64, octaves=1)
    settings = TrainerConfig(
        steps=steps, batch_size=256, optimizer="adam", lr=5e-3, weight_decay=0.0, tensorboard=False
    )
    Trainer(settings).fit(net, loss, draw)
    made = []
    for k, (a, _, share) in enumerate(_spans(problem)):
        which = torch.nn.functional.one_hot(torch.full((len(a),), k), len(joined)).float()
        sampler = Sampler(LINEAR, tuple(torch.linspace(1.0, 1.0 - share, 21).tolist()), Heun())
        with torch.no_grad():
            end = sampler(Denoiser(net, LINEAR, condition=which), ((a - centre) / scale).float())
        made.append(end.double() * scale + centre)
    return made
