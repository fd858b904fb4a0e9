"""The worlds' benchmark runs, compares like with like, and push2d makes its 10,000 pictures a second."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from invdyn.worlds.push2d import Push2D


@pytest.fixture(scope="module")
def bench() -> ModuleType:
    path = Path(__file__).parents[2] / "benchmarks" / "worlds.py"
    spec = importlib.util.spec_from_file_location("benchmarks_worlds", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_rows(bench: ModuleType) -> None:
    pytest.importorskip("metaworld", reason="the simulators")
    threads = torch.get_num_threads()
    rows = bench.run(quick=True)
    assert torch.get_num_threads() == threads
    arm = "metaworld/pick-place-v3"
    assert [r["name"].split()[0] for r in rows] == ["push2d", "push2d", "push2d", "pendulum", arm, "push2d", arm]
    assert rows[-1]["ratio"] > 1.5  # FastRenderer; measured 12
    for row in rows:
        assert set(row) == {"name", "ours", "peer", "unit", "ratio", "note"}
        assert row["ratio"] == row["ours"] / row["peer"]
        assert row["ours"] > 0  # the type checks of the test run slow ours down: speed is looked at below


@pytest.mark.slow
def test_push2d_draws_ten_thousand_pictures_a_second() -> None:
    """In a process without type checks; measured 35,000 a second on one core of a busy machine."""
    code = "import json, worlds; print(json.dumps(worlds.run(quick=True)))"
    folder = Path(__file__).parents[2] / "benchmarks"
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=True)
    rows = json.loads(done.stdout)
    assert rows[0]["ours"] > 10_000
    assert all(row["ratio"] > 1 for row in rows[:4])


def test_the_peer_plays_the_same_game(bench: ModuleType) -> None:
    world = Push2D(1)
    peer = bench.LoopPush(world.state()[0].numpy())
    generator = np.random.default_rng(1)
    for t in range(120):
        action = np.float32(generator.uniform(-1, 1, 2) + np.array([0.8, -0.3]) * (-1) ** (t // 20))
        world.step(torch.from_numpy(action)[None])
        here = peer.step(action.astype(np.float64))
        # The peer resolves pairs one after the other, so states part once two discs touch each other.
        if (np.abs(world.state()[0, :8].numpy() - here) > 1e-9).any():
            break
    assert t > 10
    ours, theirs = world.render(32, 32)[0].numpy().astype(int), peer.render(32).astype(int)
    assert (np.abs(ours - theirs).max(-1) > 60).mean() < 0.1  # edges are smoothed in ours only
