"""Sizes and worlds of the irl-misspec study."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from invdyn.decisions.tabular_mdp import TabularMDP, grid_mdp, random_mdp

__all__ = ["IrlMisspecConfig", "worlds"]


@dataclass(frozen=True)
class IrlMisspecConfig:
    """Sizes of one scale. Card = the study's specification; ours = chosen here."""

    parts: tuple[str, ...] = ("invariance", "step", "parameters", "selection", "order", "samples", "sweeps")
    """Which experiments run."""
    discount: float = 0.9
    """True gamma (card)."""
    other: float = 0.95
    """gamma under which the adversarial pair of claim 3 is measured (card)."""
    discounts: tuple[float, ...] = (0.5, 0.8, 0.9, 0.95, 0.99)
    """Assumed gammas of claim 7 (card)."""
    side: int = 5
    """Cells on a side of the gridworld (card)."""
    slip: float = 0.2
    """Share of sideways moves there (ours)."""
    temperature: float = 1.0
    """alpha of maximum causal entropy (ours; rewards have unit variance)."""
    steps: int = 10_000
    """Random steps of claim 2 (card)."""
    policies: int = 200
    """Random policies whose returns are ranked (card)."""
    pairs: int = 300
    """Pairs of rewards (card)."""
    draws: tuple[int, ...] = (100, 400, 1600, 6400)
    """Observed actions per state of the finite-sample experiment (ours)."""
    resamples: int = 40
    """Samples drawn at each of them (ours)."""
    large: int = 71
    """Cells on a side of the large gridworld: 5,041 states (card: S = 5,000)."""
    batch: int = 256
    """Rewards projected at once there (ours)."""


def worlds(config: IrlMisspecConfig, g: torch.Generator, seed: int, *, state_reward: bool) -> dict[str, TabularMDP]:
    """A random process of 6 to 8 states and 3 actions, and a gridworld with slip.

    Rewards are standard normal: R(s, a, s') in the first and r(s) in the second; r(s) in both if `state_reward`.
    """
    drawn = random_mdp(6 + seed % 3, 3, config.discount, g)
    if state_reward:
        states = torch.randn(len(drawn.start), dtype=torch.float64, generator=g)
        drawn = drawn.with_reward(states[:, None].expand(-1, 3))
    cells = torch.randn(config.side**2, dtype=torch.float64, generator=g)
    return {"random": drawn, "grid": grid_mdp(config.side, config.side, config.discount, cells, slip=config.slip)}
