"""`refine_reference`: bridges through many snapshots, and the law that drives them, in turn (SB-IRR).

Shen, Berlinghieri, Broderick, AISTATS 2025, arXiv 2408.06277. Minimise KL(q || p) over processes q with the snapshots
as marginals and laws p of a family: q by one bridge per interval (p is Markov), p by least squares on the paths of q.
Paths start from every snapshot and are pushed through all intervals both ways, so that what one interval knows of the
law reaches all others. One iteration from zero drift is the plain multi-marginal bridge.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from invdyn.diffusion.bridges_drift import Drift, no_drift, simulate
from invdyn.diffusion.bridges_families import DriftFamily, Fitted, increments
from invdyn.diffusion.bridges_ipf import Bridge, BridgeConfig, bridge
from invdyn.diffusion.bridges_mixing import Mixing
from invdyn.diffusion.bridges_plain import plain_law
from invdyn.errors import ConfigError, SignalError

__all__ = ["RefineReference", "Refined", "pushed_paths", "refine_reference"]

RISE = 0.02  # of KL, within its own noise
FIRST = 2  # iteration the mixing begins after: until then bridges are far from finished, and say little of the rate


@dataclass(frozen=True)
class RefineReference:
    """Settings of the outer loop.

    Args:
        iterations: outer iterations (paper: 10).
        bridge: of the inner ones.
        fit: `exact` least squares, or `adam` as in the paper (20 steps at 0.05, warm).
        adam_steps, adam_rate: of the latter.
        common: the same noise and random features in every iteration (ours): what changes between them is the law
            alone, and a family without a choice gives the plain bridge again, bit for bit.
        memory: the law goes on from a combination of so many earlier iterations (`Mixing`, ours); 0: from the last fit
            alone, as in the paper and for families whose fit is not the best one (nets). An iteration after which KL is
            higher by more than `RISE` is given up.
        closed: begin with the law of the plain bridge in closed form (`plain_law`, ours) instead of the reference.
    """

    iterations: int = 10
    bridge: BridgeConfig = field(default_factory=BridgeConfig)
    fit: Literal["exact", "adam"] = "exact"
    adam_steps: int = 20
    adam_rate: float = 0.05
    common: bool = True
    memory: int = 0
    closed: bool = False


@dataclass(frozen=True)
class Refined:
    """What came out.

    Args:
        times: the whole grid.
        paths: trajectories of the last iteration, from all snapshots.
        bridges: of the last iteration, one per interval.
        fitted: the law after each iteration that was kept.
        kl: estimate of KL(q || p) by Girsanov, per path, after each of these.
        given_up: iterations after which KL was higher, that were not kept.
    """

    times: Float[Tensor, " time"]
    paths: Float[Tensor, "time n d"]
    bridges: tuple[Bridge, ...]
    fitted: tuple[Fitted, ...]
    kl: tuple[float, ...]
    given_up: int = 0

    def at(self, time: float) -> Float[Tensor, "n d"]:
        """The population at a time of the grid.

        Raises:
            SignalError: a time between two of the grid.
        """
        gap, index = (self.times - time).abs().min(0)
        if float(gap) > 1e-9:
            raise SignalError(f"the paths have no time {time}; the nearest is {float(self.times[index]):g}.")
        return self.paths[int(index)]


def pushed_paths(
    snapshots: Sequence[Float[Tensor, "_ d"]],
    bridges: Sequence[Bridge],
    sigma: float,
    generator: torch.Generator,
) -> tuple[Float[Tensor, " time"], Float[Tensor, "time path d"]]:
    """Every snapshot's particles through all intervals: forward through later ones, backward through earlier ones."""
    times = torch.cat([bridges[0].times, *(b.times[1:] for b in bridges[1:])])
    whole = []
    for k, particles in enumerate(snapshots):
        later, here = [], particles
        for one in bridges[k:]:
            path = simulate(one.forward, here, one.times, sigma, generator)
            later.append(path[1:])
            here = path[-1]
        earlier, here = [], particles
        for one in reversed(bridges[:k]):
            path = simulate(one.backward, here, one.times.flip(0), sigma, generator)
            earlier.append(path[1:].flip(0))
            here = path[-1]
        whole.append(torch.cat([*reversed(earlier), particles[None], *later]))
    return times, torch.cat(whole, 1)


def refine_reference(
    snapshots: Sequence[Float[Tensor, "_ d"]],
    times: Sequence[float],
    family: DriftFamily,
    config: RefineReference,
    generator: torch.Generator,
    reference: Drift = no_drift,
) -> Refined:
    """Trajectories between snapshots and the law behind them.

    Args:
        snapshots: particles at each time; numbers may differ, and no particle is seen twice.
        times: strictly rising.
        family: which laws are possible.
        config: settings.
        generator: of noise and features.
        reference: where to start; Brownian motion. With `closed` the law of the plain bridge takes its place.

    Raises:
        SignalError: snapshots and times that do not fit, or a value that is not finite.
    """
    if len(snapshots) != len(times) or len(snapshots) < 2:
        raise SignalError(f"refine_reference: {len(snapshots)} snapshots and {len(times)} times; two or more of each.")
    if any(not b > a for a, b in itertools.pairwise(times)):
        raise SignalError(f"refine_reference: times {list(times)} do not rise strictly.")
    if any(not bool(torch.isfinite(x).all()) for x in snapshots):
        raise SignalError("refine_reference: a snapshot holds NaN or infinity; leave such particles out.")
    if config.iterations < 1 or config.memory < 0:
        raise ConfigError(
            f"refine_reference: {config.iterations} iterations, memory {config.memory}; at least 1, and at least 0."
        )
    inner, spans = config.bridge, list(itertools.pairwise(times))
    fitted: list[Fitted] = []
    kl: list[float] = []
    mixing, mixed = Mixing(config.memory), False
    start: Float[Tensor, " p"] | None = None
    seed = int(torch.randint(2**62, (), generator=generator)) if config.common else 0
    if config.closed:
        start = plain_law(snapshots, times, family, inner.sigma, inner.step, generator).parameters
        reference = family.drift(start)
    for k in range(config.iterations):
        if config.common:
            generator = torch.Generator().manual_seed(seed)
        bridges = [
            bridge(a, b, span, inner, generator, reference) for a, b, span in zip(snapshots[:-1], snapshots[1:], spans)
        ]
        grid, paths = pushed_paths(snapshots, bridges, inner.sigma, generator)
        x, rise, weight = increments(grid, paths, inner.sigma)
        if config.fit == "adam" and start is not None:
            found = family.fit_adam(x, rise, weight, start, config.adam_steps, config.adam_rate)
        else:
            found = family.fit(x, rise, weight, start)
        value = _girsanov(grid, paths, bridges, family.drift(found.parameters), inner.sigma)
        if mixed and value > (1 + RISE) * kl[-1]:
            mixing.forget()
            start, mixed = fitted[-1].parameters, False
        else:
            kept = (grid, paths, tuple(bridges))
            fitted.append(found)
            kl.append(value)
            began, start = start, found.parameters
            mixed = config.memory > 0 and k >= FIRST and family.minimises
            if mixed and began is not None:
                start = family.bounded(mixing.after(family.free(began), family.free(start)))
        reference = family.drift(start)
    grid, paths, last = kept
    return Refined(grid, paths, last, tuple(fitted), tuple(kl), config.iterations - len(kl))


def _girsanov(
    grid: Float[Tensor, " time"],
    paths: Float[Tensor, "time n d"],
    bridges: Sequence[Bridge],
    law: Drift,
    sigma: float,
) -> float:
    """Mean over paths of sum |b_q - b_p|^2 dt / (2 sigma^2)."""
    total, row = 0.0, 0
    for one in bridges:
        for before, after in zip(one.times[:-1].tolist(), one.times[1:].tolist()):
            gap = one.forward(paths[row], before) - law(paths[row], before)
            total += float(gap.square().sum(1).mean()) * (after - before) / (2 * sigma**2)
            row += 1
    return total
