"""Sizes of the dynlin-ucb study, and its agents by name."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from invdyn.decisions.bandit_baselines import AR2, UCB1, BatchedExp3, Exp3
from invdyn.decisions.linear_bandit import BanditAgent, Draws, LinearBandit
from invdyn.decisions.optimism import Bound, DiscountedLinUCB, DynLinUCB, LinUCB

__all__ = ["AGENTS", "BUDGETS", "DynlinUcbConfig", "make_agent"]

BUDGETS = (1641952.0, 259591273.0, 716354611.0)
"""Past budgets of the three advertising channels, from which the expert's split comes (card)."""


@dataclass(frozen=True)
class DynlinUcbConfig:
    """Sizes of one scale. Card = the study's specification; ours = chosen here."""

    parts: tuple[str, ...] = ("exact", "average", "identify", "coverage")
    """Experiments per seed."""
    plays: tuple[str, ...] = ("real", "synthetic")
    """Systems on which every agent plays."""
    rounds: int = 100_000
    """T of the comparison (card: laptop 1e5, paper 1e6)."""
    long: int = 1_000_000
    """T of the growth claim on the real system (card)."""
    noises: tuple[float, ...] = (0.001, 0.1)
    """Other sigmas of the synthetic system (card), DynLin-UCB and Lin-UCB only."""
    radii: tuple[float, ...] = (0.3, 0.5, 0.8, 0.9)
    """Wrong bounds on the spectral radius of the real system, 0.667 (the paper's second experiment; values ours)."""
    map_radii: tuple[float, ...] = (0.3, 0.6, 0.8, 0.9)
    """Spectral radii of random systems (ours)."""
    map_sizes: tuple[int, ...] = (2, 4, 6)
    """Dimensions of random systems, at radius 0.6 (ours)."""
    map_rounds: int = 5_000
    """T there (ours)."""
    cover_trials: int = 100
    """Runs per seed of the coverage claim (ours)."""
    cover_rounds: int = 5_000
    """T there (ours)."""
    schedule_rounds: int = 20_000
    """Rounds over which holds and transients are checked (ours)."""
    average_rounds: int = 2_000
    """Rounds averaged per copy of a constant action (ours)."""
    average_copies: int = 32
    """Copies per action (ours)."""
    identify_rounds: int = 20_000
    """Recorded rounds for identification (ours)."""


AGENTS: Mapping[str, Callable[[LinearBandit, int, Draws], BanditAgent]] = {
    "DynLin-UCB": lambda b, rounds, d: DynLinUCB(b, Bound.of(b, rounds), b.rho, d),
    "Lin-UCB": lambda b, rounds, d: LinUCB(b, Bound.of(b, rounds), d),
    "D-Lin-UCB": lambda b, rounds, d: DiscountedLinUCB(b, Bound.of(b, rounds), d),
    "AR2": lambda b, rounds, d: AR2(b, len(d.streams)),
    "Exp3": lambda b, rounds, d: Exp3(b, rounds, d),
    "batched Exp3": lambda b, rounds, d: BatchedExp3(b, rounds, d),
    "UCB1": lambda b, rounds, d: UCB1(b, len(d.streams)),
}


def make_agent(name: str, bandit: LinearBandit, rounds: int, seeds: Sequence[int]) -> BanditAgent:
    """An agent of the table, its random numbers a function of (seed, name)."""
    return AGENTS[name](bandit, rounds, Draws(seeds, zlib.crc32(name.encode())))
