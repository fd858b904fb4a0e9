"""The demo from beginning to end, small, in a world that needs no simulator."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from invdyn.episodes import open_dataset
from invdyn.episodes.label import MEASURED, Label

KEYS = (
    "task, episodes_labelled, episodes_inferred, action_r2, action_r2_per_dim, resolvable_dims, interval_coverage, "
    "replay_error_median, success_labelled_only, success_inferred, success_oracle, ratio_to_oracle, seconds"
)
SMALL = ("--task", "point2d", "--episodes", 16, "--labelled", 10, "--replayed", 3, "--trials", 4)
QUICK = ("--fit-updates", 100, "--updates", 50, "--max-steps", 30, "--workers", 1)


def test_demo_end_to_end(invdyn, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    out = tmp_path / "demo"
    result = invdyn("demo", *SMALL, *QUICK, "--out", out, "--json").value
    assert set(KEYS.split(", ")) <= set(result)
    assert result["resolvable_dims"] == ["x", "y"]
    assert result["action_r2"] > 0.99
    assert 0.8 < result["interval_coverage"] <= 1
    assert result["replay_error_median"] < 1e-3
    page = (out / "report.html").read_text()
    assert page.count("<figure") == 4
    for told in ("Actions nobody recorded", "Replayed in the simulator", "Do the intervals hold?", "Three policies"):
        assert told in page
    assert not re.search(r"(src|href)\s*=\s*[\"']?(https?:)?//", page)  # self-contained
    truth, given, labelled = (open_dataset(out / name) for name in ("recordings", "without-actions", "labelled"))
    assert [("action" in episode) for episode in given] == [True] * 10 + [False] * 6
    assert np.array_equal(labelled[3]["action"].values[:-1], truth[3]["action"].values[:-1])
    assert set(Label.of(labelled[3], "action").source[:-1]) == {MEASURED}
    assert all(s.startswith("inferred:idm-") for s in Label.of(labelled[12], "action").source[:-1])
    # A second demo replaces the first, never a folder of something else.
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("keep")
    invdyn("demo", *SMALL, "--out", tmp_path / "mine").refused("mine is not empty and no demo made it")
    assert (tmp_path / "mine" / "notes.txt").read_text() == "keep"


def test_demo_needs_episodes_to_infer(invdyn, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    refused = invdyn("demo", "--episodes", 5, "--labelled", 5, "--out", tmp_path / "demo")
    refused.refused("--labelled is 5, expected at least 2 and fewer than --episodes 5")
    assert not (tmp_path / "demo").exists()
