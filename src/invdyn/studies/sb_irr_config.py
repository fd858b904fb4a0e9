"""Sizes of the sb-irr study and its simulated populations: Lotka-Volterra, repressilator, vortex."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from invdyn.diffusion.bridges_drift import Drift, RegressionConfig
from invdyn.diffusion.bridges_families import DriftFamily, lotka_volterra, repressilator
from invdyn.diffusion.bridges_fields import lamb_oseen
from invdyn.diffusion.bridges_ipf import BridgeConfig
from invdyn.diffusion.bridges_refined import RefineReference

__all__ = ["PARTS", "SYSTEMS", "Problem", "SbIrrConfig", "fresh_snapshots", "simulated"]

PARTS = ("static", "projection", "zero", "lotka_volterra", "repressilator", "vortex")


@dataclass(frozen=True)
class SbIrrConfig:
    """Sizes of one scale. Card = the study's specification; ours = chosen here."""

    parts: tuple[str, ...] = PARTS
    """Which experiments run; those on recordings run when their folder is in the data folder."""
    recordings: tuple[str, ...] = ("gulf", "embryoid", "pbmc", "walk", "trot", "cmu", "pendulum")
    """Populations from recordings."""
    particles: int = 200
    """Of every simulated snapshot (card: 50 or 200)."""
    points: int = 1200
    """Of the static bridge (card)."""
    paths: int = 1600
    """Of the bridge by proportional fitting between Gaussians (ours)."""
    copies: int = 4
    """Paths of each of these points (ours): with one the answer scatters."""
    grid: int = 100
    """Euler steps of an interval between two seen snapshots (card: 100 to 150)."""
    coarse: int = 16
    """The same for the vortex and the recordings (ours)."""
    iterations: int = 10
    """Outer iterations (card)."""
    memory: int = 3
    """Earlier iterations the law goes on from (ours; the paper: none)."""
    closed: bool = True
    """Whether the first law is that of the plain bridge in closed form (ours; the paper starts from zero drift)."""
    rounds: int = 10
    """Rounds of proportional fitting (card)."""
    regressor: str = "features"
    """`features`, or `gp` for the exact process of the paper."""
    features: int = 80
    """Random features (card: 500 to 1,000; few suffice beside a reference that is their prior mean)."""
    net_steps: int = 400
    """Updates of the flow-matching baseline (ours)."""
    cells: int = 60
    """Particles taken from every recorded snapshot at most."""
    field_dimension: int = 100
    """Of the gradient field, a part of scale gpu (card)."""
    field_particles: int = 300
    """Of each of its snapshots (ours; as many as embryoid cells)."""
    device: str = "cpu"
    """Where bridges are computed."""

    def refine(self, problem: Problem, iterations: int | None = None) -> RefineReference:
        """Settings of the outer loop for a problem."""
        regression = RegressionConfig(regressor=self.regressor, features=self.features, affine=10.0)  # type: ignore[arg-type]
        seen = problem.times[::2]
        grid = self.coarse if problem.coarse else self.grid
        step = min(b - a for a, b in itertools.pairwise(seen)) / grid
        inner = BridgeConfig(problem.sigma, step, self.rounds, regression=regression)
        count = self.iterations if iterations is None else iterations
        return RefineReference(count, inner, memory=self.memory, closed=self.closed)


@dataclass(frozen=True)
class Problem:
    """Snapshots of a population, even ones seen, odd ones held out.

    Args:
        snapshots: particles [n, d] at each time.
        times: rising.
        family: of laws.
        sigma: noise of the model.
        law: the true drift, and
        parameters: its theta, where they are known.
        fresh: another draw of all snapshots, where it can be had.
        coarse: with fewer steps.
    """

    snapshots: list[Tensor]
    times: list[float]
    family: DriftFamily
    sigma: float = 0.1
    law: Drift | None = None
    parameters: Tensor | None = None
    fresh: list[Tensor] | None = None
    coarse: bool = True


@dataclass(frozen=True)
class Simulated:
    """How a population is made: dx = f dt + relative x dW + constant dW from a uniform box; every snapshot is fresh."""

    family: DriftFamily
    parameters: tuple[float, ...]
    low: tuple[float, ...]
    side: float
    times: tuple[float, ...]
    relative: float = 0.02
    constant: float = 0.0


SYSTEMS: Mapping[str, Simulated] = {
    # Card: the public generators, proportional noise; the model's noise is constant, so it is wrong on purpose.
    "lotka_volterra": Simulated(
        lotka_volterra(), (1.0, 0.4, 0.4, 0.1), (5.0, 4.0), 0.1, tuple(float(k) for k in range(9))
    ),
    "repressilator": Simulated(
        repressilator(), (10.0, 3.0, 1.0, 1.0), (1.0, 1.0, 2.0), 0.1, tuple(0.75 * k for k in range(11))
    ),
    # Ours: once around a vortex with a core.
    "vortex": Simulated(lamb_oseen(), (1.0, 0.3, -0.2), (1.1, -0.4), 0.4, tuple(float(k) for k in range(9)), 0.0, 0.05),
}


def fresh_snapshots(name: str, n: int, g: torch.Generator, step: float = 0.01) -> list[Tensor]:
    """n particles at each time, none of them seen twice."""
    system = SYSTEMS[name]
    theta = torch.tensor(system.parameters, dtype=torch.float64)
    low = torch.tensor(system.low, dtype=torch.float64)
    count = len(system.times)
    x = low + system.side * torch.rand(n * count, len(low), dtype=torch.float64, generator=g)
    rows = [x[:n]]
    for k, (a, b) in enumerate(itertools.pairwise(system.times), 1):
        for _ in range(round((b - a) / step)):
            noise = torch.randn(x.shape, dtype=torch.float64, generator=g) * math.sqrt(step)
            x = x + step * system.family.evaluate(theta, x) + (system.relative * x + system.constant) * noise
        rows.append(x[k * n : (k + 1) * n])
    return rows


def simulated(name: str, n: int, g: torch.Generator) -> Problem:
    """A population with everything known about it."""
    system = SYSTEMS[name]
    theta = torch.tensor(system.parameters, dtype=torch.float64)
    return Problem(
        fresh_snapshots(name, n, g),
        list(system.times),
        system.family,
        law=system.family.drift(theta),
        parameters=theta,
        fresh=fresh_snapshots(name, n, g),
        coarse=name == "vortex",
    )
