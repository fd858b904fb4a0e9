"""A run that was killed and started again ends with the weights, bit for bit, of one that was not."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from invdyn.nn.ema import EMAConfig
from invdyn.training.config import to_json
from invdyn.training.trainer import Trainer, TrainerConfig, TrainResult

CONFIG = TrainerConfig(
    steps=60,
    batch_size=16,
    lr=1e-2,
    warmup=5,
    ema=EMAConfig("power", 0.99),
    validate_every=4,
    log_every=3,
    checkpoint_every=7,
    tensorboard=False,
)
PROGRAM = """
import sys, time
from pathlib import Path
sys.path.insert(0, {tests!r})
from test_trainer_resumes import CONFIG, train, replace
folder, pause = Path(sys.argv[1]), float(sys.argv[2])
train(folder, replace(CONFIG, patience=int(sys.argv[3]) or None), pause=pause)
"""


class Killed(Exception):
    """Stands for a crash in the middle of a step."""


def net() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return nn.Sequential(nn.Linear(4, 16), nn.Tanh(), nn.Dropout(0.2), nn.Linear(16, 2))


def train(
    folder: Path | None, config: TrainerConfig, die_at: int | None = None, pause: float = 0.0
) -> tuple[nn.Module, TrainResult]:
    """Fit a small net with dropout and noise to a fixed function; `die_at` crashes in the loss of that update."""
    model, updates = net(), [0]

    def draw(generator: torch.Generator, size: int) -> Tensor:
        return torch.randn(size, 4, generator=generator)

    def loss(model: nn.Module, x: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        time.sleep(pause)
        if die_at is not None and updates[0] == die_at:
            raise Killed
        updates[0] += 1
        noisy = x + 0.1 * torch.randn(x.shape, generator=generator)
        return {"loss": (model(noisy) - torch.sin(2 * x[:, :2])).square().mean()}

    grid = torch.linspace(-2, 2, 40).reshape(10, 4)

    def validate(model: nn.Module) -> float:
        # Rises late in training on purpose, so that the best weights are not the last ones.
        return float((model(grid) - torch.sin(2 * grid[:, :2])).square().mean()) + 0.02 * model[0].weight.norm().item()

    return model, Trainer(config, folder).fit(model, loss, draw, validate)


def assert_same(a: nn.Module, b: nn.Module) -> None:
    for name, value in a.state_dict().items():
        assert torch.equal(value, b.state_dict()[name]), name


def without_time(result: TrainResult) -> dict[str, object]:
    return to_json(replace(result, seconds=0.0))


@pytest.mark.parametrize("optimizer", ["adamw", "adam", "sgd"])
@pytest.mark.parametrize("patience", [None, 3])
def test_crashes_at_random_steps_change_nothing(tmp_path: Path, optimizer: str, patience: int | None) -> None:
    config = replace(CONFIG, optimizer=optimizer, patience=patience)
    whole, expected = train(None, config)
    draws = random.Random(f"{optimizer}{patience}")
    crashes = 0
    while True:
        try:
            # The first life ends soon after the first checkpoint: with patience the run itself is short.
            resumed, result = train(tmp_path, config, die_at=draws.randrange(2, 25) if crashes else 9)
            break
        except Killed:
            crashes += 1
    assert crashes >= 1
    assert_same(whole, resumed)
    assert without_time(result) == without_time(expected)


def test_sigkill_changes_nothing(tmp_path: Path) -> None:
    whole, expected = train(None, replace(CONFIG, patience=6))
    program = PROGRAM.format(tests=str(Path(__file__).parent))
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    draws = random.Random(5)
    kills = 0
    for _ in range(4):
        running = subprocess.Popen([sys.executable, "-c", program, str(tmp_path), "0.02", "6"], env=environment)
        # Wait for the first checkpoint of this life, so that every kill falls into training and not into imports.
        seen = sorted(tmp_path.glob("checkpoints/step-*"))
        limit = time.monotonic() + 60
        while (
            running.poll() is None and sorted(tmp_path.glob("checkpoints/step-*")) == seen and time.monotonic() < limit
        ):
            time.sleep(0.005)
        time.sleep(0.15 * draws.random())
        if running.poll() is None:
            running.send_signal(signal.SIGKILL)
            kills += 1
        running.wait()
        if kills and running.returncode == 0:
            break
    assert kills >= 1
    resumed, result = train(tmp_path, replace(CONFIG, patience=6))
    assert_same(whole, resumed)
    assert without_time(result) == without_time(expected)


def test_a_finished_run_is_not_run_again(tmp_path: Path) -> None:
    first, result = train(tmp_path, CONFIG)
    again, same = train(tmp_path, CONFIG, die_at=0)
    assert_same(first, again)
    assert without_time(same) == without_time(result)


def test_two_checkpoints_are_kept_and_hold_no_pickle(tmp_path: Path) -> None:
    train(tmp_path, CONFIG)
    kept = sorted(p.name for p in (tmp_path / "checkpoints").iterdir())
    assert kept == ["step-000000056", "step-000000060"]
    for name in kept:
        files = {p.name for p in (tmp_path / "checkpoints" / name).iterdir()}
        assert files == {"tensors.safetensors", "state.json"}
        json.loads((tmp_path / "checkpoints" / name / "state.json").read_text())


def test_a_damaged_newest_checkpoint_falls_back_to_the_one_before(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    whole, _ = train(None, CONFIG)
    with pytest.raises(Killed):
        train(tmp_path, CONFIG, die_at=40)
    newest = sorted((tmp_path / "checkpoints").glob("step-*"))[-1]
    (newest / "tensors.safetensors").write_bytes(b"cut off")
    resumed, _ = train(tmp_path, CONFIG)
    assert "cannot be read" in caplog.text
    assert_same(whole, resumed)


def test_a_leftover_of_an_interrupted_write_is_ignored_and_removed(tmp_path: Path) -> None:
    whole, _ = train(None, CONFIG)
    leftover = tmp_path / "checkpoints" / ".writing-000000035-1"
    leftover.mkdir(parents=True)
    (leftover / "tensors.safetensors").write_bytes(b"half")
    trained, _ = train(tmp_path, CONFIG)
    assert not leftover.exists()
    assert_same(whole, trained)


def test_best_weights_are_restored() -> None:
    model, result = train(None, replace(CONFIG, steps=200, lr=5e-2))
    values = {int(h["step"]): h["validation"] for h in result.history if "validation" in h}
    assert result.best_value == min(values.values())
    assert values[result.best_step] == result.best_value
    grid = torch.linspace(-2, 2, 40).reshape(10, 4)
    error = float((model(grid) - torch.sin(2 * grid[:, :2])).square().mean()) + 0.02 * model[0].weight.norm().item()
    assert error == pytest.approx(result.best_value, abs=1e-7)
    assert result.best_step < result.steps  # else the test would not tell best from last
    assert not model.training


def test_early_stopping_counts_validations_without_a_better_value() -> None:
    config = replace(CONFIG, steps=400, lr=5e-2, patience=5)
    _, result = train(None, config)
    assert result.stopped == "early"
    assert result.steps == result.best_step + 5 * config.validate_every
