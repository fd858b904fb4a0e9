"""`BehaviourMixture`: one world under several policies, and the return-quantile protocols that hide its actions.

Offline data are a mixture of behaviours of different quality, and the few labelled episodes are seldom the good ones.
The protocols are those of Zheng, Henaff, Amos, Grover, "Semi-supervised offline reinforcement learning with
action-free trajectories", ICML 2023: `coupled_split` draws the labelled episodes from the lowest returns and leaves
the rest unlabelled, `decoupled_split` draws labelled and unlabelled ones from any two thirds of the returns.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Float64, Int64, Shaped
from torch import Tensor

from invdyn.episodes.dataset import Dataset
from invdyn.episodes.episode import Episode
from invdyn.errors import ConfigError, SignalError, unknown_name
from invdyn.worlds.base import Expert, World
from invdyn.worlds.record import record
from invdyn.worlds.torch_world import QUALITIES, TorchWorld

__all__ = [
    "THIRDS",
    "Behaviour",
    "BehaviourMixture",
    "ReturnSplit",
    "coupled_split",
    "decoupled_split",
    "episode_returns",
    "hide_actions",
    "quality_mixture",
]

THIRDS = ("low", "medium", "high")


@dataclass(frozen=True)
class Behaviour:
    """One behaviour policy and how many episodes it contributes.

    Args:
        policy_id: its name, recorded as the episode metadata `policy`.
        episodes: how many.
        make: makes it for a world: an `Expert` of that world, or any object with `reset(batch)` and `act(observation)`.
    """

    policy_id: str
    episodes: int
    make: Callable[[World], Any]

    def __post_init__(self) -> None:
        if self.episodes < 1:
            raise ConfigError(f"behaviour {self.policy_id!r}: {self.episodes} episodes; expected at least 1.")


class BehaviourMixture:
    """A world x behaviours x counts.

    Args:
        world: recorded in batches of its own size.
        behaviours: who acts, and how often.

    Raises:
        ConfigError: no behaviours, or two with one id.
    """

    def __init__(self, world: World, behaviours: Sequence[Behaviour]) -> None:
        ids = [b.policy_id for b in behaviours]
        if not ids:
            raise ConfigError("a behaviour mixture needs at least one behaviour, got none.")
        double = sorted({i for i in ids if ids.count(i) > 1})
        if double:
            raise ConfigError(f"two behaviours are called {double[0]!r}; give each its own policy_id.")
        self.world, self.behaviours = world, tuple(behaviours)

    @property
    def episodes(self) -> int:
        return sum(b.episodes for b in self.behaviours)

    def record(self, first_seed: int = 0, **options: Any) -> Dataset:
        """All episodes, behaviour after behaviour, each with its own seed: first_seed, first_seed + 1, ...

        Args:
            first_seed: seed of the first episode.
            options: passed to `worlds.record`. Episodes run to the horizon unless `hold` is given: returns of
                different behaviours are comparable only over the same number of steps.

        Returns:
            What `worlds.record` makes, with the metadata `policy` (the behaviour's id) besides `return`.
        """
        options.setdefault("hold", self.world.horizon)
        episodes: list[Episode] = []
        for behaviour in self.behaviours:
            policy = behaviour.make(self.world)
            actor = _ExpertActor(policy) if isinstance(policy, Expert) else policy
            seeds = range(first_seed + len(episodes), first_seed + len(episodes) + behaviour.episodes)
            recorded = record(self.world, seeds=seeds, policy=actor, **options)
            episodes += [_with_metadata(e, policy=behaviour.policy_id) for e in recorded]
        return Dataset.from_episodes(episodes, origin=f"mixture of {self.world.name}")


def quality_mixture(world: TorchWorld[Any], episodes: int) -> BehaviourMixture:
    """A world's expert at the five levels of `QUALITIES`, shared evenly; ids `level0` (best) to `level4` (random)."""
    counts = [len(part) for part in np.array_split(np.arange(episodes), len(QUALITIES))]

    def maker(level: int) -> Callable[[World], Any]:
        return lambda w: w.expert(QUALITIES[level])  # type: ignore[call-arg]

    return BehaviourMixture(world, [Behaviour(f"level{k}", n, maker(k)) for k, n in enumerate(counts)])


@dataclass(frozen=True)
class ReturnSplit:
    """Which episodes keep their actions. All are indices into the dataset.

    Args:
        labelled: those that keep them.
        in_dist: unlabelled ones from the range of returns that the labelled were drawn from.
        out_dist: unlabelled ones from elsewhere (above it, in the coupled protocol).
    """

    labelled: Int64[np.ndarray, " labelled"]
    in_dist: Int64[np.ndarray, " inside"]
    out_dist: Int64[np.ndarray, " outside"]

    @property
    def unlabelled(self) -> Int64[np.ndarray, " unlabelled"]:
        return np.concatenate([self.in_dist, self.out_dist])


def coupled_split(
    returns: Float64[np.ndarray, " episodes"],
    *,
    labelled: float = 0.1,
    quantile: float = 0.5,
    generator: np.random.Generator,
) -> ReturnSplit:
    """The coupled protocol: labels uniformly from the lowest `quantile` of returns, all others unlabelled.

    int(labelled * n) episodes are labelled, or all of the lowest int(quantile * n) if these are fewer. The released
    code's defaults are 0.1 and 0.5; the paper varies the quantile over 0.1, 0.3, 0.5, 0.7, 1.

    Raises:
        ConfigError: shares outside (0, 1], or so small that nothing would be labelled.
        SignalError: returns that are not finite.
    """
    if not (0 < labelled <= 1 and 0 < quantile <= 1):
        raise ConfigError(f"coupled split: labelled {labelled} and quantile {quantile}; both lie in (0, 1].")
    order = _order(returns)
    upper = int(len(order) * quantile)
    size = min(upper, int(len(order) * labelled))
    if size < 1:
        raise ConfigError(
            f"coupled split: {labelled:g} of {len(order)} episodes from their lowest {quantile:g} are none. "
            "Record more episodes or raise the shares."
        )
    chosen = generator.choice(upper, size=size, replace=False)
    inside = np.setdiff1d(np.arange(upper), chosen)
    return ReturnSplit(order[np.sort(chosen)], order[inside], order[upper:])


def decoupled_split(
    returns: Float64[np.ndarray, " episodes"],
    *,
    labelled_from: str,
    unlabelled_from: str,
    labelled: int,
    unlabelled: int,
    generator: np.random.Generator,
) -> ReturnSplit:
    """The decoupled protocol: both sets drawn uniformly from thirds of the returns, their sizes set independently.

    The thirds are `low`, `medium`, `high` (by rank; sizes differ by at most one). Drawn from the same third the two
    sets are disjoint, and the unlabelled ones count as `in_dist`; otherwise as `out_dist`.

    Raises:
        UnknownNameError: a third of another name.
        ConfigError: more episodes asked of a third than it has, or none.
        SignalError: returns that are not finite.
    """
    for name in (labelled_from, unlabelled_from):
        if name not in THIRDS:
            raise unknown_name("third of the returns", name, THIRDS)
    parts = dict(zip(THIRDS, np.array_split(_order(returns), 3)))
    same = labelled_from == unlabelled_from
    asked = {labelled_from: labelled + unlabelled} if same else {labelled_from: labelled, unlabelled_from: unlabelled}
    for name, count in asked.items():
        if labelled < 1 or unlabelled < 0 or count > len(parts[name]):
            raise ConfigError(
                f"decoupled split: {labelled} labelled and {unlabelled} unlabelled episodes ask {count} of the {name} "
                f"third, which has {len(parts[name])}; at least one is labelled."
            )
    shuffled = {name: generator.permutation(parts[name]) for name in asked}
    chosen = np.sort(shuffled[labelled_from][:labelled])
    rest = shuffled[unlabelled_from][labelled:] if same else shuffled[unlabelled_from]
    others, nothing = np.sort(rest[:unlabelled]), np.zeros(0, np.int64)
    return ReturnSplit(chosen, others if same else nothing, nothing if same else others)


def hide_actions(dataset: Dataset, split: ReturnSplit, signal: str = "action") -> Dataset:
    """The episodes of a split, labelled first; the unlabelled ones lack the signal.

    The metadata `split` says which part an episode belongs to and `source_episode` its index in `dataset`, where the
    truth remains for scoring.
    """
    episodes: list[Episode] = []
    for part in ("labelled", "in_dist", "out_dist"):
        for index in getattr(split, part):
            episode = dataset[int(index)]
            if part != "labelled":
                episode = episode.with_signals([], drop=[signal])
            episodes.append(_with_metadata(episode, split=part, source_episode=int(index)))
    return Dataset.from_episodes(episodes, origin=f"{dataset.source.origin} with hidden {signal}")


def episode_returns(dataset: Dataset) -> Float64[np.ndarray, " episodes"]:
    """The metadata `return` of every episode.

    Raises:
        SignalError: an episode without it.
    """
    values = []
    for index, row in enumerate(dataset.records()):
        if "return" not in row.metadata:
            raise SignalError(
                f"episode {index} of {dataset.source.origin} has no metadata 'return'. Record with worlds.record, "
                "or add it: the sum of next.reward."
            )
        values.append(float(row.metadata["return"]))
    return np.array(values, np.float64)


def _order(returns: np.ndarray) -> Int64[np.ndarray, " episodes"]:
    """Episodes from the lowest to the highest return; ties in their own order."""
    wrong = np.flatnonzero(~np.isfinite(returns))
    if len(wrong):
        raise SignalError(f"episode {wrong[0]} has return {returns[wrong[0]]}; expected a finite number.")
    return np.argsort(returns, kind="stable").astype(np.int64)


def _with_metadata(episode: Episode, **more: Any) -> Episode:
    return Episode.from_signals(
        [episode[name] for name in episode],
        fps=episode.schema.fps,
        timestamp=episode.timestamp,
        task=episode.task,
        metadata={**episode.metadata, **more},
        spans=episode.spans,
        schema=episode.schema,
    )


class _ExpertActor:
    """An expert in the role of a policy."""

    def __init__(self, expert: Expert) -> None:
        self.expert = expert

    def reset(self, batch: int) -> None:
        """Experts hold no memory of an episode."""

    def act(self, observation: Mapping[str, Shaped[Tensor, "batch ..."]]) -> Float[Tensor, "batch cause"]:
        return self.expert.act()
