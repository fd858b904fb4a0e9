"""`train`, `evaluate`: a policy from labelled recordings, and how it does in the world."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import Run, Updates

TRAIN = ("--trainer.steps", "60", "--trainer.warmup", "5", "--policy.width", "16")


@pytest.fixture(scope="module")
def policy(labelled: Path) -> Path:
    from conftest import made

    made("train", labelled, "--out", labelled.with_name("policy"), *TRAIN)
    return labelled.with_name("policy")


def test_train_tells_what_it_learnt_from(invdyn: Run, labelled: Path, tmp_path: Path) -> None:
    counts = {}
    for source in ("both", "measured", "inferred"):
        out = tmp_path / source
        told = invdyn("train", labelled, "--out", out, "--source", source, *TRAIN, "--json").value
        assert set(told) == {
            *("policy", "episodes", "measured_steps", "inferred_steps", "updates", "held_out_loss", "seconds"),
            "seed",
        }
        assert told["updates"] == 60
        counts[source] = (told["measured_steps"] > 0, told["inferred_steps"] > 0)
    assert counts == {"both": (True, True), "measured": (True, False), "inferred": (False, True)}


def test_an_interrupted_training_continues_to_the_same_bits(
    invdyn: Run, labelled: Path, policy: Path, tmp_path: Path, updates: Updates
) -> None:
    args = ("train", labelled, "--out", tmp_path / "policy", *TRAIN, "--trainer.checkpoint-every", 20)
    updates.stop_at = 45
    stopped = invdyn(*args)
    assert stopped.code == 130
    assert stopped.err.endswith("invdyn train: interrupted. The same command continues where it stopped.\n")
    updates.made, updates.stop_at = 0, None
    ran = invdyn(*args)
    assert ran.code == 0
    assert "measured and" in ran.out
    assert updates.made == 20
    assert (tmp_path / "policy" / "model.safetensors").read_bytes() == (policy / "model.safetensors").read_bytes()


def test_train_refuses(invdyn: Run, world: Path, labelled: Path, policy: Path, tmp_path: Path) -> None:
    out = tmp_path / "policy"
    to = ("--out", out)
    invdyn("train", world / "given", *to, "--source", "inferred").refused("no inferred value of 'action' to learn from")
    invdyn("train", labelled, *to, "--policy.inputs", "observation.stat").refused("unknown signal 'observation.stat'")
    invdyn("train", labelled, *to, "--holdout", 2).refused("holdout is 2.0, expected a share in [0, 1)")
    other = ("--out", policy, *TRAIN, "--trainer.steps", 50)
    invdyn("train", labelled, *other).refused("was made with other settings (trainer.steps: 60, not 50)")
    invdyn("train", labelled, "--out", world / "recordings").refused("recordings exists already. Choose another --out")
    assert not out.exists()


def test_evaluate_tells_success_with_its_interval(invdyn: Run, policy: Path, tmp_path: Path) -> None:
    args = ("evaluate", policy, "--world", "pendulum", "--episodes", 3, "--max-steps", 20, "--workers", 1)
    told = invdyn(*args, "--json").value
    assert set(told) == {
        *("policy", "world", "episodes", "success_rate", "success_interval", "return_mean", "return_std"),
        *("length_mean", "latency_median_ms", "latency_p95_ms", "videos"),
    }
    assert (told["world"], told["episodes"], told["length_mean"], told["videos"]) == ("pendulum", 3, 20.0, {})
    low, high = told["success_interval"]
    assert low <= told["success_rate"] <= high
    shown = invdyn(*args, "--videos", tmp_path / "videos")
    assert f"{policy} in pendulum: success " in shown.out
    assert "video of seed 10000: " in shown.out
    assert (tmp_path / "videos" / "seed-10000.mp4").stat().st_size > 1000
    invdyn(*args, "--videos", tmp_path / "videos").refused("videos exists already. Choose another --videos")


def test_evaluate_the_expert(invdyn: Run) -> None:
    told = invdyn("evaluate", "expert", "--world", "pendulum", "--episodes", 4, "--workers", 1, "--json").value
    assert told["success_rate"] == 1.0


def test_evaluate_refuses(invdyn: Run, world: Path, model: Path, policy: Path) -> None:
    invdyn("evaluate", policy, "--world", "pendlum").refused("unknown world 'pendlum'. Did you mean 'pendulum'?")
    invdyn("evaluate", model, "--world", "pendulum").refused("expected a policy. Train one with `invdyn train`.")
    invdyn("evaluate", world / "none", "--world", "pendulum").refused("none is not a saved model")
    invdyn("evaluate", policy, "--world", "pendulum", "--episodes", 0).refused("--episodes is 0, expected at least 1.")
    invdyn("evaluate", policy, "--world", "pendulum", "--max-steps", 0).refused("max_steps=0 must be at least 1")
    invdyn("evaluate", policy, "--world", "point2d", "--workers", 1).refused("'observation.state' has shape (4,)")
