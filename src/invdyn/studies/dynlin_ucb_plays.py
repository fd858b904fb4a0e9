"""Experiments of the dynlin-ucb study that play: all agents on common noise, growth, wrong radii, random systems."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from invdyn.decisions.bandit_baselines import expert_action
from invdyn.decisions.linear_bandit import Draws, LinearBandit, budget_actions, play, published
from invdyn.decisions.optimism import Bound, DynLinUCB
from invdyn.studies.dynlin_ucb_config import BUDGETS, make_agent

__all__ = ["assumed_radius", "compare", "pooled", "random_bandit", "random_system"]


def _curve(bandit: LinearBandit, name: str, rounds: int, seeds: Sequence[int]) -> dict[str, Any]:
    agent = make_agent(name, bandit, rounds, seeds)
    marks = sorted({*np.geomspace(100, rounds, 40).astype(int).tolist(), rounds // 20})
    done = play(bandit, agent, rounds, seeds, checkpoints=marks)
    found: dict[str, Any] = {"rounds": done.rounds.tolist(), "regret": done.regret.T.tolist()}
    if isinstance(h := getattr(agent, "h", None), np.ndarray):
        found["h_error"] = np.abs(h - bandit.h).max(1).tolist()
    return found


def compare(system: str, agent: str, sigma: float, rounds: int, seeds: Sequence[int]) -> dict[str, Any]:
    """One agent on a published system, all seeds side by side; the expert's regret is known without playing."""
    bandit = published(system, sigma)
    if agent == "expert":
        lost = bandit.best - float(bandit.value(expert_action(BUDGETS)))
        marks = sorted({*np.geomspace(100, rounds, 40).astype(int).tolist(), rounds // 20, rounds})
        return {"rounds": marks, "regret": [[lost * t for t in marks]] * len(seeds)}
    return _curve(bandit, agent, rounds, seeds)


def assumed_radius(radius: float, rounds: int, seeds: Sequence[int]) -> dict[str, Any]:
    """DynLin-UCB on the real system with another bound on the spectral radius, in the holds and in beta."""
    bandit = published("real")
    agent = DynLinUCB(bandit, Bound.of(bandit, rounds, rho=radius), radius, Draws(seeds, 3), watch=bandit.h)
    done = play(bandit, agent, rounds, seeds)
    return {
        "regret": done.regret[-1].tolist(),
        "h_error": np.abs(agent.h - bandit.h).max(1).tolist(),
        "covered": agent.covered.tolist(),
    }


def random_bandit(radius: float, size: int, rng: np.random.Generator) -> LinearBandit:
    """A normal system scaled to a spectral radius, as many inputs, outputs and states; budgets of half the channels."""
    a = rng.standard_normal((size, size))
    a *= radius / np.abs(np.linalg.eigvals(a)).max()
    b, c, d = (rng.standard_normal((size, size)) / size for _ in range(3))
    return LinearBandit(a, b, c, d, 0.01, budget_actions(size, size / 2))


def random_system(radius: float, size: int, rounds: int, seeds: Sequence[int]) -> dict[str, Any]:
    """Regret as a share of what the worst arm would lose, a system per seed."""
    shares: dict[str, list[float]] = {"DynLin-UCB": [], "Lin-UCB": []}
    for seed in seeds:
        bandit = random_bandit(radius, size, np.random.default_rng([seed, int(1000 * radius), size]))
        stake = rounds * float(bandit.best - bandit.value(bandit.actions).min())
        for name, found in shares.items():
            found.append(
                float(play(bandit, make_agent(name, bandit, rounds, [seed]), rounds, [seed]).regret[-1, 0]) / stake
            )
    return shares


def pooled(found: Mapping[str, Mapping[str, Any]], system: str) -> dict[str, float]:
    """Ratios of regrets averaged over seeds: expected regret is what the paper bounds."""
    mean = {name: float(np.mean([row[-1] for row in rows["regret"]])) for name, rows in found.items()}
    others = {name: value for name, value in mean.items() if name not in ("DynLin-UCB", "Lin-UCB")}
    return {
        f"{system}.over_lin": mean["DynLin-UCB"] / mean["Lin-UCB"],
        f"{system}.over_next": mean["DynLin-UCB"] / min(others.values()),
    } | {f"{system}.mean.{name}": value for name, value in mean.items()}
