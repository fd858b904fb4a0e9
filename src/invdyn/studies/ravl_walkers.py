"""RAVL and its controls on Hopper and HalfCheetah: a learnt ensemble, the simulator, and models in between."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from invdyn.decisions.edge_of_reach import effective_penalty, nearest_edge
from invdyn.decisions.offline import train_offline
from invdyn.decisions.rollout_loop import RolloutLoop, Rollouts
from invdyn.decisions.sac import SAC
from invdyn.nn.probabilistic_ensemble import EnsembleDynamics
from invdyn.studies.drawing import BLUE, GREY, ORANGE, PURPLE
from invdyn.studies.ravl_config import RavlConfig
from invdyn.studies.study import Outcome
from invdyn.studies.walkers import PENALTIES, TrueScore, WalkerSet, untrained
from invdyn.training.seeding import mixed_seed
from invdyn.verify.metrics import spearman
from invdyn.worlds.forward_model import ExactDynamics, ForwardModel
from invdyn.worlds.locomotion import Locomotion
from invdyn.worlds.mixed_dynamics import MixedDynamics

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw_learning", "draw_quality", "walker"]

CHECKS = 8
"""Points of a learning curve."""
COLOURS = {"base": ORANGE, "mopo": PURPLE, "ravl": BLUE}
STYLES = {"learnt": "-", "exact": ":"}


class Variant(NamedTuple):
    """One method under one model."""

    method: str
    quality: float | None
    """Of a mixed model; None for the learnt and the exact one."""

    def name(self, task: str, source: str) -> str:
        """`hopper.exact.ravl`, `hopper.mixed.base.0.5`."""
        return f"{task}.{source}.{self.method}" + ("" if self.quality is None else f".{self.quality:g}")


def walker(
    source: str, given: WalkerSet, models: Sequence[EnsembleDynamics], seeds: Sequence[int], config: RavlConfig
) -> dict[str, dict[str, Any]]:
    """All methods under the models of one source, for all seeds.

    Args:
        source: `learnt`, `exact` or `mixed`.
        given: the recordings; where they are, it is learnt.
        models: a fitted ensemble per seed.
        seeds: of learners.
        config: sizes.
    """
    found: dict[str, dict[str, Any]] = {str(seed): {"metrics": {}, "curves": {}} for seed in seeds}
    qualities = config.qualities if source == "mixed" else (None,)
    methods = [m for m in config.walker_methods if source != "mixed" or m != "mopo"]
    for many in (False, True):  # methods with as many critics run side by side
        variants = [Variant(m, q) for m in methods if (m == "ravl") == many for q in qualities]
        if variants:
            _train(source, variants, given, models, seeds, config, found)
    return found


def _train(
    source: str,
    variants: Sequence[Variant],
    given: WalkerSet,
    models: Sequence[EnsembleDynamics],
    seeds: Sequence[int],
    config: RavlConfig,
    found: dict[str, dict[str, Any]],
) -> None:
    """Train variants of one number of critics for all seeds side by side; adds what they measured to `found`."""
    runs = [(variant, number) for number in range(len(seeds)) for variant in variants]
    used, starts = _models(source, runs, given, models, seeds, config)
    penalty = [PENALTIES[given.task] if v.method == "mopo" else 0.0 for v, _ in runs]
    loop = RolloutLoop(used, config.length, given.low, given.high, penalty=penalty)
    whose = [seeds[number] for _, number in runs]
    agent = SAC(config.walker_agent(variants[0].method), *given.sizes, whose, device=str(given.states.device))
    score, schedule = TrueScore(given, len(runs), config.walkers), config.walker_schedule(source)
    every = max(1, schedule.epochs // CHECKS)
    curves: list[tuple[int, list[float], Tensor]] = []
    last: list[Rollouts] = []

    def watch(epoch: int, told: Mapping[str, Tensor], rollouts: Rollouts | None) -> None:
        if epoch % every == 0 or epoch == schedule.epochs:
            curves.append((epoch * schedule.updates, score(agent), told["value"].cpu()))
        if epoch == schedule.epochs and rollouts is not None:
            last.append(rollouts)

    train_offline(agent, schedule, whose, data=given.data, loop=loop, starts=starts[None], on_epoch=watch)
    told = _diagnosed(agent, last[0], given, [models[number] for _, number in runs], config.walker_sample)
    for run, (variant, number) in enumerate(runs):
        part, name = found[str(seeds[number])], variant.name(given.task, source)
        part["metrics"] |= {f"{name}.score": curves[-1][1][run], f"{name}.value": float(curves[-1][2][run])}
        part["metrics"] |= {f"{name}.{key}": value for key, value in told[run].items()}
        part["curves"][name] = {
            "updates": [c[0] for c in curves],
            "scores": [c[1][run] for c in curves],
            "values": [float(c[2][run]) for c in curves],
        }


def _models(
    source: str,
    runs: Sequence[tuple[Variant, int]],
    given: WalkerSet,
    models: Sequence[EnsembleDynamics],
    seeds: Sequence[int],
    config: RavlConfig,
) -> tuple[ForwardModel | list[ForwardModel], Tensor]:
    """The model of every run (or one for all), and the states that rollouts start in."""
    if source == "learnt":
        return [models[number] for _, number in runs], given.data.observation[0]
    world = Locomotion(given.task, config.exact_starts, threads=config.walkers.threads)
    exact = ExactDynamics(world)
    if source == "exact":
        return exact, given.states
    randoms = [untrained(given, seed, config.walkers) for seed in seeds]
    means = [
        EnsembleDynamics(m.ensemble, given.low, given.high, ends=m.ends, average=True) for m in models
    ]  # a mixture of draws would be less certain than either end

    def mixed(variant: Variant, number: int) -> MixedDynamics:
        assert variant.quality is not None
        mean = means[number]
        return MixedDynamics(randoms[number], mean, exact, world.seen, variant.quality, ends=mean.ends)

    made: list[ForwardModel] = [mixed(*run) for run in runs]
    seen = given.data.observation[0].double()
    return made, torch.cat([given.states, seen], -1)


def _diagnosed(
    agent: SAC, rollouts: Rollouts, given: WalkerSet, models: Sequence[EnsembleDynamics], sample: int
) -> list[dict[str, float]]:
    """Per run: pessimism at edge-of-reach states and elsewhere, and how MOPO's penalty of the step that led to a state
    goes with it (Spearman)."""
    g = torch.Generator().manual_seed(mixed_seed(0, 93))
    rows, edge = nearest_edge(rollouts.rows, rollouts.kept, sample=sample, generator=g)
    values = agent.values(rows.next_observation)
    seen = effective_penalty(values, edge, torch.ones_like(edge))
    gap = (values.mean(1) - values.amin(1)).cpu()
    told = []
    for run, model in enumerate(models):
        step = model.step(rows.observation[run], given.cause(rows.cause[run]), torch.Generator().manual_seed(run))
        told.append(
            {name: float(value[run]) for name, value in seen._asdict().items()}
            | {"penalty_rank": spearman(step.spread.cpu(), gap[run])}
        )
    return told


def draw_learning(axis: Axes, task: str, outcomes: Mapping[int, Outcome]) -> None:
    """Scores over training, every seed a line."""
    for source, style in STYLES.items():
        for method, colour in COLOURS.items():
            for number, outcome in enumerate(outcomes.values()):
                curve = outcome.curves.get(f"{task}.{source}.{method}")
                if curve is not None:
                    label = f"{method}, {source} model" if not number else None
                    axis.plot(curve["updates"], curve["scores"], style, color=colour, linewidth=1.2, label=label)
    axis.axhline(100, color=GREY, linewidth=0.8)
    axis.set(title=f"{task}: score\n(0 random, 100 the data's best agent)", xlabel="updates")


def draw_quality(axis: Axes, tasks: Sequence[str], config: RavlConfig, outcomes: Mapping[int, Outcome]) -> None:
    """Score against the quality of the model."""
    for task, style in zip(tasks, ("-", ":")):
        for method in ("base", "ravl"):
            names = [Variant(method, q).name(task, "mixed") for q in config.qualities]
            for number, outcome in enumerate(outcomes.values()):
                scores = [outcome.metrics.get(f"{name}.score", float("nan")) for name in names]
                label = f"{method}, {task}" if not number else None
                axis.plot(config.qualities, scores, f"o{style}", color=COLOURS[method], markersize=3, label=label)
    axis.set(title="score against model quality", xlabel="-1 random, 0 learnt, 1 true")
