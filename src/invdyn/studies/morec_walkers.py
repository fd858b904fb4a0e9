"""MOREC's filter on the host MOPO, on recordings of Hopper, HalfCheetah and Walker2d."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from invdyn.decisions.dynamics_readout import CUT, DynamicsReward
from invdyn.decisions.dynamics_reward import fit_dynamics_reward
from invdyn.decisions.offline import train_offline
from invdyn.decisions.rollout_loop import RolloutLoop, Rollouts
from invdyn.decisions.sac import SAC
from invdyn.decisions.transition_filter import RewardFilter
from invdyn.decisions.transitions import Transitions
from invdyn.studies.drawing import BLUE, GREY, INK, ORANGE
from invdyn.studies.morec_config import WALKER_SETS, WALKER_VARIANTS, WALKERS, MorecConfig
from invdyn.studies.study import Outcome
from invdyn.studies.walkers import PENALTIES, TrueScore, WalkerSet, fitted

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw_lengths", "draw_scores", "filtered_walker"]

COLOURS = {"morec": BLUE, "mopo": ORANGE, "mopo5": INK}
LIMIT = 25.0
"""Candidates are held within this (card, for D4RL)."""


def filtered_walker(
    kind: str, given: WalkerSet, seeds: Sequence[int], config: MorecConfig
) -> dict[str, dict[str, Any]]:
    """Fit ensembles and rewards to one set, then train MOPO with and without the filter, all seeds side by side."""
    models = fitted(given, seeds, config.walkers, limit=LIMIT)
    data = Transitions(*(v.expand(len(seeds), *v.shape[1:]) for v in given.data))
    rewards = fit_dynamics_reward(data, config.walker_reward, seeds).rewards
    runs = [(variant, number) for number in range(len(seeds)) for variant in WALKER_VARIANTS]
    loop = RolloutLoop(
        [models[number] for _, number in runs],
        [config.host_length if variant.short else config.length for variant, _ in runs],
        given.low,
        given.high,
        penalty=PENALTIES[given.task],
        # A random candidate is what a model without filter draws.
        choose=[RewardFilter(rewards[number]) if variant.choose == "argmax" else None for variant, number in runs],
    )
    whose, schedule = [seeds[number] for _, number in runs], config.walker_schedule()
    agent = SAC(config.walker_learner, *given.sizes, whose, device=str(given.states.device))
    score, every = TrueScore(given, len(runs), config.walkers), max(1, schedule.epochs // config.walker_checks)
    curves: list[tuple[int, list[float], Tensor]] = []

    def watch(epoch: int, told: Mapping[str, Tensor], rollouts: Rollouts | None) -> None:
        if rollouts is not None and (epoch % every == 0 or epoch == schedule.epochs):
            curves.append((epoch * schedule.updates, score(agent), rollouts.lengths.cpu()))

    train_offline(agent, schedule, whose, data=given.data, loop=loop, starts=given.data.observation, on_epoch=watch)
    found: dict[str, dict[str, Any]] = {str(seed): {"metrics": {}, "curves": {}} for seed in seeds}
    for number, seed in enumerate(seeds):
        found[str(seed)]["metrics"][f"{given.task}.{kind}.true_cut"] = _true_cut(given, rewards[number])
    for run, (variant, number) in enumerate(runs):
        part, name = found[str(seeds[number])], f"{given.task}.{kind}.{variant.name}"
        part["metrics"] |= {f"{name}.score": curves[-1][1][run], f"{name}.length": float(curves[-1][2][run])}
        part["curves"][name] = {
            "updates": [c[0] for c in curves],
            "scores": [c[1][run] for c in curves],
            "lengths": [float(c[2][run]) for c in curves],
        }
    for seed in seeds:
        m, name = found[str(seed)]["metrics"], f"{given.task}.{kind}"
        m[f"{name}.gain"] = m[f"{name}.morec.score"] - max(m[f"{name}.mopo.score"], m[f"{name}.mopo5.score"])
    return found


def _true_cut(given: WalkerSet, reward: DynamicsReward) -> float:
    """How often the filter would end a rollout that follows the recordings: the share of (at most 5,000 of) them."""
    d = given.data.take(torch.arange(min(5000, given.data.rows), device=given.states.device)[None])
    return float((reward(d.observation[0], d.cause[0], d.next_observation[0]) < CUT).float().mean())


def _draw(axis: Axes, what: str, title: str, outcomes: Mapping[int, Outcome]) -> None:
    """A row per task and set, a dot per seed and method."""
    places = [f"{task}.{kind}" for task in WALKERS for kind in WALKER_SETS]
    for shift, (name, colour) in enumerate(COLOURS.items()):
        for at, place in enumerate(places):
            values = [o.metrics.get(f"{place}.{name}.{what}", float("nan")) for o in outcomes.values()]
            axis.plot(
                values, [at + 0.2 * (shift - 1)] * len(values), "o", color=colour, markersize=4,
                label=None if at else name,
            )  # fmt: skip
    axis.set_yticks(range(len(places)), [p.replace(".", ", ") for p in places], fontsize=7)
    axis.set(title=title)


def draw_scores(axis: Axes, outcomes: Mapping[int, Outcome]) -> None:
    """Normalised returns of the walkers' policies."""
    _draw(axis, "score", "walkers: normalised return", outcomes)
    axis.axvline(100, color=GREY, linewidth=0.8)
    axis.set_xlabel("0 = random, 100 = the data's best agent")


def draw_lengths(axis: Axes, outcomes: Mapping[int, Outcome]) -> None:
    """Mean lengths of the walkers' rollouts at the end of training."""
    _draw(axis, "length", "walkers: steps of a rollout", outcomes)
