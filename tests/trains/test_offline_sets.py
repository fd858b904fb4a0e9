"""Offline sets by checkpoints of a trained agent: their order, their policies, their files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from invdyn.decisions import transitions_of
from invdyn.decisions.offline_sets import Checkpoints, SetConfig, record_set, train_checkpoints
from invdyn.episodes import open_dataset, write_dataset
from invdyn.errors import ConfigError, UnknownNameError
from invdyn.verify import replay
from invdyn.worlds.mixtures import episode_returns
from invdyn.worlds.point2d import Point2D, Point2DConfig

CONFIG = SetConfig(epochs=10, episodes=10, updates=60, width=32, lr=3e-3, alpha=0.01)


def world() -> Point2D:
    return Point2D(10, Point2DConfig.first_order())


@pytest.fixture(scope="module")
def checkpoints() -> Checkpoints:
    return train_checkpoints(world(), CONFIG, seed=1)


def test_sets_are_ordered_as_their_names_say(checkpoints: Checkpoints) -> None:
    c = checkpoints
    expert = c.returns[c.expert]
    assert c.random < c.returns[c.medium] <= expert == max(c.returns)
    assert c.returns[c.medium] >= c.random + (expert - c.random) / 3
    assert all(r < c.random + (expert - c.random) / 3 for r in c.returns[: c.medium])
    mean = {
        k: episode_returns(record_set(k, world(), 20, checkpoints=c)).mean() for k in ("random", "medium", "expert")
    }
    assert mean["random"] < mean["medium"] <= mean["expert"] + 0.5
    assert mean["random"] == pytest.approx(c.random, rel=0.5)


def test_mixtures_hold_the_policies_they_should(checkpoints: Checkpoints) -> None:
    c = checkpoints
    both = record_set("medium-expert", world(), 20, checkpoints=c, seed=5)
    assert [r.metadata["policy"] for r in both.records()] == ["medium"] * 10 + ["expert"] * 10
    replayed = record_set("medium-replay", world(), 4 * (c.medium + 1), checkpoints=c)
    policies = [r.metadata["policy"] for r in replayed.records()]
    assert sorted(set(policies)) == sorted(f"epoch{i + 1}" for i in range(c.medium + 1))
    again = record_set("medium-expert", world(), 20, checkpoints=c, seed=5)
    for a, b in zip(both, again):
        np.testing.assert_array_equal(a["action"].values, b["action"].values)
    assert not np.array_equal(both[0]["action"].values, both[1]["action"].values)


def test_sets_replay_exactly_and_survive_both_layouts(checkpoints: Checkpoints, tmp_path: Path) -> None:
    data = record_set("medium", world(), 6, checkpoints=checkpoints)
    rows, state = transitions_of(data, checkpoints.low, checkpoints.high)
    assert state is not None
    for layout, name in (("lerobot", "set"), ("minari", "set-v0")):
        back = open_dataset(write_dataset(data, tmp_path / name, format=layout))
        again, _ = transitions_of(back, checkpoints.low, checkpoints.high)
        torch.testing.assert_close(again.observation, rows.observation)
        torch.testing.assert_close(again.cause, rows.cause)
        torch.testing.assert_close(again.reward, rows.reward)
        assert "next.terminated" in back.schema
    done = replay(world(), list(data), "action")
    assert max(float(np.nanmax(e)) for each in done.errors.values() for e in each) == 0


def test_what_cannot_be_made_is_refused(checkpoints: Checkpoints) -> None:
    with pytest.raises(UnknownNameError, match=r"unknown offline set 'medium-reply'. Did you mean 'medium-replay'"):
        record_set("medium-reply", world(), 5)
    with pytest.raises(ConfigError, match="offline set 'medium' needs the checkpoints of an agent"):
        record_set("medium", world(), 5)
    with pytest.raises(ConfigError, match="1 episodes for 2 policies; give one each"):
        record_set("medium-expert", world(), 1, checkpoints=checkpoints)
