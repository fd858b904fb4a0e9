"""Behaviour mixtures, and the return-quantile protocols on returns whose split is known by hand."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
import torch

from invdyn.episodes.dataset import Dataset
from invdyn.errors import ConfigError, SignalError, UnknownNameError
from invdyn.worlds.mixtures import (
    Behaviour,
    BehaviourMixture,
    coupled_split,
    decoupled_split,
    episode_returns,
    hide_actions,
    quality_mixture,
)
from invdyn.worlds.pendulum import Pendulum
from invdyn.worlds.point2d import Point2D

RETURNS = np.random.default_rng(0).permutation(np.arange(100.0))  # rank = return


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


class Idle:
    """A policy that never pushes."""

    def reset(self, batch: int) -> None:
        self.batch = batch

    def act(self, observation: Mapping[str, torch.Tensor]) -> torch.Tensor:
        return torch.zeros(self.batch, 1)


@pytest.fixture(scope="module")
def mixture() -> Dataset:
    return quality_mixture(Pendulum(16, horizon=60), 50).record(first_seed=100)


def test_mixture_records_policies_returns_and_actions(mixture: Dataset) -> None:
    records = mixture.records()
    policies = [r.metadata["policy"] for r in records]
    assert policies == [f"level{k}" for k in range(5) for _ in range(10)]
    assert [r.metadata["seed"] for r in records] == list(range(100, 150))
    assert set(mixture.lengths) == {61}  # whole episodes, success or not
    returns = episode_returns(mixture)
    for episode, told in zip(mixture, returns):
        assert "action" in episode
        assert abs(np.nansum(episode["next.reward"].values, dtype=np.float64) - told) < 1e-2  # rewards are float32
    assert returns[:10].mean() > returns[-10:].mean()


def test_mixture_of_expert_and_policy() -> None:
    world = Pendulum(4, horizon=20)
    data = BehaviourMixture(
        world, [Behaviour("expert", 5, lambda w: w.expert()), Behaviour("idle", 3, lambda w: Idle())]
    ).record()
    assert [r.metadata["policy"] for r in data.records()] == ["expert"] * 5 + ["idle"] * 3
    assert all(np.nanmax(np.abs(data[i]["action"].values)) == 0 for i in (5, 6, 7))
    assert np.nanmax(np.abs(data[0]["action"].values)) > 0


def test_episodes_depend_on_their_seed_and_not_on_the_batch() -> None:
    few, many = (quality_mixture(Point2D(batch, horizon=15), 10).record() for batch in (3, 10))
    for a, b in zip(few, many):
        assert all(np.array_equal(a[name].values, b[name].values, equal_nan=True) for name in ("action", "world.state"))


@pytest.mark.parametrize(
    ("labelled", "quantile", "expected"),
    [
        (0.1, 0.5, (10, 40, 50)),
        (0.1, 0.1, (10, 0, 90)),
        (0.3, 0.1, (10, 0, 90)),  # capped: only 10 episodes lie in the lowest tenth
        (0.1, 1.0, (10, 90, 0)),
        (0.25, 0.7, (25, 45, 30)),
    ],
)
def test_coupled_sizes_and_ranges(labelled: float, quantile: float, expected: tuple[int, int, int]) -> None:
    split = coupled_split(RETURNS, labelled=labelled, quantile=quantile, generator=rng())
    parts = (split.labelled, split.in_dist, split.out_dist)
    assert tuple(len(p) for p in parts) == expected
    together = np.concatenate(parts)
    assert sorted(together) == list(range(100))
    top = 100 * quantile
    assert (RETURNS[split.labelled] < top).all()
    assert (RETURNS[split.in_dist] < top).all()
    assert (RETURNS[split.out_dist] >= top).all()
    assert sorted(split.unlabelled) == sorted(np.concatenate(parts[1:]))


def test_coupled_labels_are_uniform_over_the_range() -> None:
    counts = np.zeros(100)
    for seed in range(2000):
        counts[RETURNS[coupled_split(RETURNS, generator=rng(seed)).labelled].astype(int)] += 1
    # Each of the lowest 50 is drawn with probability 1/5: 400 +- 18 (one sigma) of 2000.
    assert counts[50:].sum() == 0
    assert counts[:50].min() > 310
    assert counts[:50].max() < 490


@pytest.mark.parametrize("labelled_from", ["low", "medium", "high"])
@pytest.mark.parametrize("unlabelled_from", ["low", "medium", "high"])
def test_decoupled_pairs(labelled_from: str, unlabelled_from: str) -> None:
    split = decoupled_split(
        RETURNS,
        labelled_from=labelled_from,
        unlabelled_from=unlabelled_from,
        labelled=7,
        unlabelled=20,
        generator=rng(),
    )
    bounds = {"low": (0, 34), "medium": (34, 67), "high": (67, 100)}  # 34 + 33 + 33

    def inside(indices: np.ndarray, third: str) -> bool:
        low, high = bounds[third]
        return bool(((RETURNS[indices] >= low) & (RETURNS[indices] < high)).all())

    assert len(split.labelled) == 7
    assert inside(split.labelled, labelled_from)
    assert len(split.unlabelled) == 20
    assert inside(split.unlabelled, unlabelled_from)
    assert not set(split.labelled) & set(split.unlabelled)
    same = labelled_from == unlabelled_from
    assert (len(split.in_dist), len(split.out_dist)) == ((20, 0) if same else (0, 20))


def test_hidden_actions_are_gone_and_the_truth_remains(mixture: Dataset) -> None:
    split = coupled_split(episode_returns(mixture), labelled=0.2, generator=rng())
    hidden = hide_actions(mixture, split)
    assert len(hidden) == 50
    for episode in hidden:
        truth = mixture[episode.metadata["source_episode"]]
        assert ("action" in episode) == (episode.metadata["split"] == "labelled")
        assert np.array_equal(episode["world.state"].values, truth["world.state"].values)
        assert "action" in truth
        assert episode.metadata["policy"] == truth.metadata["policy"]
    assert [e.metadata["split"] for e in hidden].count("labelled") == 10
    assert "action" in hidden.schema


def test_says_what_is_wrong(mixture: Dataset) -> None:
    with pytest.raises(ConfigError, match="behaviour 'x': 0 episodes; expected at least 1"):
        Behaviour("x", 0, lambda w: Idle())
    with pytest.raises(ConfigError, match="a behaviour mixture needs at least one behaviour, got none"):
        BehaviourMixture(Pendulum(1), [])
    twice = [Behaviour("x", 1, lambda w: Idle())] * 2
    with pytest.raises(ConfigError, match="two behaviours are called 'x'; give each its own policy_id"):
        BehaviourMixture(Pendulum(1), twice)
    with pytest.raises(ConfigError, match=r"labelled 0.0 and quantile 0.5; both lie in \(0, 1\]"):
        coupled_split(RETURNS, labelled=0.0, generator=rng())
    with pytest.raises(ConfigError, match=r"0.1 of 5 episodes from their lowest 0.5 are none. Record more episodes"):
        coupled_split(RETURNS[:5], generator=rng())
    with pytest.raises(SignalError, match="episode 2 has return nan; expected a finite number"):
        coupled_split(np.array([1.0, 2.0, np.nan]), generator=rng())
    pick = {"labelled": 30, "unlabelled": 10, "generator": rng()}
    with pytest.raises(UnknownNameError, match=r"unknown third of the returns 'lo'. Did you mean 'low'\?"):
        decoupled_split(RETURNS, labelled_from="lo", unlabelled_from="low", **pick)
    with pytest.raises(
        ConfigError, match="30 labelled and 10 unlabelled episodes ask 40 of the low third, which has 34"
    ):
        decoupled_split(RETURNS, labelled_from="low", unlabelled_from="low", **pick)
    bare = Dataset.from_episodes([mixture[0].from_signals([mixture[0]["action"]], fps=20.0)])
    with pytest.raises(SignalError, match=r"episode 0 of memory has no metadata 'return'. Record with worlds.record"):
        episode_returns(bare)
