"""`data offline`: sets by checkpoints of a trained agent, in either layout."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from conftest import Run

from invdyn.decisions import SAC, SACConfig, offline_sets
from invdyn.decisions.offline_sets import Checkpoints, SetConfig
from invdyn.episodes import open_dataset
from invdyn.worlds import World


def test_a_random_set_needs_no_agent(invdyn: Run, tmp_path: Path) -> None:
    out = tmp_path / "pendulum-random-v0"
    told = invdyn(
        "data", "offline", "pendulum", str(out), "--kind", "random", "--episodes", "3", "--to", "minari", "--json"
    ).value
    assert (told["kind"], told["episodes"], told["frames"]) == ("random", 3, 603)
    assert [e.length for e in open_dataset(out)] == [201] * 3


def test_the_agent_is_told_and_numbers_are_checked(
    invdyn: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Training itself is tested elsewhere; here its checkpoints are given."""
    agent = SAC(SACConfig(critics=2, eta=0.0, width=64, depth=2), 4, 2, [0])
    weights = [dict(agent.actor.state_dict())] * 3
    asked: list[SetConfig] = []

    def trained(world: World, config: SetConfig, seed: int) -> Checkpoints:
        asked.append(config)
        box = -torch.ones(2), torch.ones(2)
        return Checkpoints(agent, -30.0, ["observation.state"], *box, weights, [-29.0, -21.0, -6.0])

    monkeypatch.setattr(offline_sets, "train_checkpoints", trained)
    out = tmp_path / "set"
    options = ("--kind", "medium-expert", "--episodes", "2", "--epochs", "3", "--updates", "7", "--gather", "4")
    result = invdyn("data", "offline", "point2d", str(out), *options)
    assert f"{out}: medium-expert of point2d, 2 episodes, 202 frames" in result.out
    assert "agent: random -30, medium -21 (epoch 2), expert -6 (epoch 3)" in result.out
    assert (asked[0].epochs, asked[0].updates, asked[0].episodes) == (3, 7, 4)
    assert [e.metadata["policy"] for e in open_dataset(out)] == ["medium", "expert"]
    invdyn("data", "offline", "pendulum", str(tmp_path / "x"), "--episodes", "0").refused(
        "--episodes is 0, expected at least 1"
    )
