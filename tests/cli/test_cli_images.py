"""Models of images from the command line."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import torch

from invdyn.cli.fit import Fit, default_trainer
from invdyn.cli.main import main
from invdyn.cli.options import settle_threads
from invdyn.episodes import open_dataset

WARM = ("--trainer.warmup", 1)


def test_an_inverse_model_of_images(invdyn, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    data = tmp_path / "recordings"
    assert invdyn("data", "make", "push2d", data, "--episodes", 4, "--images", "32x32", "--noise", 0.5).code == 0
    look = ("--model.inputs", "observation.images.camera", "--level", 0.7, "--folds", 2)
    fitted = invdyn("fit", data, "--out", tmp_path / "model", *look, "--trainer.steps", 4, *WARM, "--json").value
    assert fitted["episodes"] == 4
    assert json.loads((tmp_path / "model" / "config.json").read_text())["facts"]["steps"] <= [4, 4]
    labelled = invdyn("label", data, tmp_path / "model", tmp_path / "out", "--workers", 1, "--json").value
    assert labelled["measured"] == open_dataset(data).frames - 4


def test_training_suits_the_inputs_and_yields_to_what_was_asked(tmp_path: Path, world: Path) -> None:
    data = open_dataset(world / "recordings")
    asked = replace(default_trainer(), lr=0.5)
    assert Fit(world, tmp_path, trainer=asked)._training(data) == asked
    seen = Fit(world, tmp_path, trainer=asked)
    assert default_trainer(images=True).batch_size < default_trainer().batch_size
    pictures = open_dataset(_pictures(tmp_path))
    look = replace(seen.model, inputs=("observation.images.camera",))
    assert replace(seen, model=look)._training(pictures) == replace(default_trainer(images=True), lr=0.5)


def _pictures(folder: Path) -> Path:
    assert main(["data", "make", "push2d", str(folder / "pictures"), "--episodes", "1", "--images", "32x32"]) == 0
    return folder / "pictures"


def test_threads_settle_by_what_is_looked_at(tmp_path: Path, world: Path) -> None:
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        settle_threads(open_dataset(_pictures(tmp_path)).schema, ["observation.images.camera"])
        assert torch.get_num_threads() == 2
        settle_threads(open_dataset(world / "recordings").schema, ["observation.state"])
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)
