"""The one loop: schedules, groups, clipping, averages, budgets, early stopping, logs, and its errors."""

from __future__ import annotations

import inspect
import io
import math
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from invdyn.errors import ConfigError, FormatError, UnknownNameError
from invdyn.nn.ema import EMA, EMAConfig, frozen_copy
from invdyn.training.optim import ParameterGroup, make_optimizer, schedule_factor
from invdyn.training.progress import progress
from invdyn.training.seeding import generator_at, seeded
from invdyn.training.trainer import Trainer, TrainerConfig, TrainingError

CONFIG = TrainerConfig(steps=20, batch_size=8, log_every=1, validate_every=5, checkpoint_every=10, tensorboard=False)


def net() -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(2)
        return nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 1))


def draw(generator: torch.Generator, size: int) -> Tensor:
    return torch.randn(size, 2, generator=generator)


def loss(model: nn.Module, x: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
    error = model(x)[:, 0] - x.sum(1)
    return {"loss": error.square().mean(), "absolute": error.abs().mean()}


def test_it_learns_and_logs_every_key() -> None:
    result = Trainer(replace(CONFIG, steps=400, lr=1e-2)).fit(net(), loss, draw)
    assert result.history[-1]["loss"] < 0.02 * result.history[0]["loss"]
    assert {"step", "loss", "absolute", "gradient_norm", "lr"} <= set(result.history[0])
    assert (result.steps, result.best_step, result.best_value, result.stopped) == (400, 400, None, "steps")


def test_batches_are_a_function_of_seed_and_step() -> None:
    seen: list[Tensor] = []

    def spy(model: nn.Module, x: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        seen.append(torch.cat([x.flatten(), torch.randn(3, generator=generator)]))
        return loss(model, x, generator)

    for seed in (0, 0, 1):
        Trainer(replace(CONFIG, steps=3, seed=seed)).fit(net(), spy, draw)
    first, again, other = torch.stack(seen).split(3)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert not torch.equal(first[0], first[1])


def test_training_leaves_the_global_generator_alone() -> None:
    torch.manual_seed(5)
    expected = torch.randn(3)
    torch.manual_seed(5)
    Trainer(replace(CONFIG, steps=3)).fit(nn.Sequential(net(), nn.Dropout(0.5)), loss, draw)
    assert torch.equal(torch.randn(3), expected)


def test_neighbouring_seeds_give_unlike_streams() -> None:
    draws = torch.stack([torch.randn(1000, generator=generator_at(s, t)) for s in (0, 1) for t in (0, 1)])
    off = torch.corrcoef(draws) - torch.eye(4)
    assert off.abs().max() < 0.13  # four standard errors of a correlation of 1000 samples


@pytest.mark.parametrize(
    ("name", "step", "expected"),
    [
        ("constant", 0, 0.25),
        ("constant", 3, 1.0),
        ("constant", 99, 1.0),
        ("cosine", 4, 1.0),
        ("cosine", 99, 0.1),
        ("linear", 4, 1.0),
        ("linear", 99, 0.1),
    ],
)
def test_schedules(name: str, step: int, expected: float) -> None:
    assert schedule_factor(name, step, 100, 4, 0.1) == pytest.approx(expected)


def test_schedules_halfway() -> None:
    assert schedule_factor("cosine", 50, 101) == pytest.approx(0.5)
    assert schedule_factor("linear", 50, 101) == pytest.approx(0.5)
    with pytest.raises(UnknownNameError, match=r"unknown schedule 'cosin'. Did you mean 'cosine'"):
        inspect.unwrap(schedule_factor)("cosin", 1, 2)


def test_the_rate_follows_the_schedule() -> None:
    result = Trainer(replace(CONFIG, lr=0.01, warmup=4, schedule="linear")).fit(net(), loss, draw)
    assert [h["lr"] for h in result.history[:4]] == pytest.approx([0.0025, 0.005, 0.0075, 0.01])
    assert result.history[-1]["lr"] == pytest.approx(0.0)


def test_groups_have_their_own_rate_decay_and_freeze() -> None:
    model = net()
    groups = (ParameterGroup("0.", frozen=True), ParameterGroup("2.", lr=0.1, weight_decay=0.5))
    optimizer = make_optimizer(model, "adamw", lr=1.0, weight_decay=0.1, groups=groups)
    assert not model[0].weight.requires_grad
    assert {(g["lr"], g["weight_decay"], len(g["params"])) for g in optimizer.param_groups} == {
        (0.1, 0.5, 1),
        (0.1, 0.0, 1),
    }
    before = model[0].weight.clone()
    Trainer(replace(CONFIG, groups=groups)).fit(model, loss, draw)
    assert torch.equal(model[0].weight, before)


def test_clipping_limits_the_update() -> None:
    config = replace(
        CONFIG, steps=1, optimizer="sgd", momentum=0.0, lr=1.0, clip=1e-3, weight_decay=0.0, schedule="constant"
    )
    model, start = net(), net()
    result = Trainer(config).fit(model, lambda m, x, g: {"loss": 1e4 * loss(m, x, g)["loss"]}, draw)
    moved = torch.cat([(a - b).flatten() for a, b in zip(model.parameters(), start.parameters(), strict=True)]).norm()
    assert result.history[0]["gradient_norm"] > 1.0
    assert moved.item() == pytest.approx(1e-3, rel=1e-3)


def test_ema_constant_and_power() -> None:
    assert EMAConfig("constant", 0.9).at(0) == 0.9
    power = EMAConfig("power", 0.99, power=0.75)
    assert power.at(0) == 0.0
    assert power.at(15) == pytest.approx(1 - 16**-0.75)
    assert power.at(10**9) == 0.99
    model = nn.Linear(1, 1, bias=False)
    nn.init.constant_(model.weight, 0.0)
    ema = EMA(model, EMAConfig("constant", 0.5))
    for value in (1.0, 1.0):
        nn.init.constant_(model.weight, value)
        ema.update(model)
    assert ema.average["weight"].item() == 0.75
    copy = ema.copy_of(model)
    assert copy.weight.item() == 0.75
    assert not copy.weight.requires_grad
    assert model.weight.item() == 1.0
    with ema.applied(model):
        assert model.weight.item() == 0.75
    assert model.weight.item() == 1.0
    with pytest.raises(ConfigError, match=r"the EMA decay is 1.0, expected 0 <= decay < 1"):
        EMAConfig("constant", 1.0)


def test_frozen_copies_do_not_follow() -> None:
    model = net()
    frozen = frozen_copy(model)
    Trainer(CONFIG).fit(model, loss, draw)
    assert not torch.equal(frozen[0].weight, model[0].weight)
    assert not any(p.requires_grad for p in frozen.parameters())


def test_the_average_is_what_is_validated_and_returned() -> None:
    values: list[Tensor] = []

    def validate(model: nn.Module) -> float:
        assert not model.training
        values.append(model[0].weight.detach().clone())
        return -float(len(values))

    averaged, plain = net(), net()
    Trainer(replace(CONFIG, ema=EMAConfig("constant", 0.9))).fit(averaged, loss, draw, validate)
    Trainer(CONFIG).fit(plain, loss, draw)
    assert torch.equal(averaged[0].weight, values[-1])
    assert not torch.equal(averaged[0].weight, plain[0].weight)


def test_wall_clock_budget_stops_and_a_larger_one_goes_on(tmp_path: Path) -> None:
    short = replace(CONFIG, max_seconds=1e-9)
    first = Trainer(short, tmp_path).fit(net(), loss, draw)
    assert (first.stopped, first.steps) == ("time", 1)
    resumed = net()
    second = Trainer(replace(CONFIG, max_seconds=1e9), tmp_path).fit(resumed, loss, draw)
    assert (second.stopped, second.steps) == ("steps", 20)
    whole = net()
    Trainer(CONFIG).fit(whole, loss, draw)
    assert torch.equal(resumed[0].weight, whole[0].weight)


def test_tensorboard_logs_can_be_read(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    result = Trainer(replace(CONFIG, tensorboard=True), tmp_path).fit(net(), loss, draw, lambda m: 1.0)
    events = EventAccumulator(str(tmp_path / "logs"))
    events.Reload()
    assert {"loss", "lr", "validation", "gradient_norm"} <= set(events.Tags()["scalars"])
    logged = {e.step: e.value for e in events.Scalars("loss")}
    assert logged == pytest.approx({int(h["step"]): h["loss"] for h in result.history})


def test_progress_is_silent_in_pipes_and_speaks_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    for stream, silent in ((io.StringIO(), True), (Terminal(), False)):
        monkeypatch.setattr(sys, "stderr", stream)
        monkeypatch.setenv("TERM", "xterm")
        with progress(3, "labelling", unit="episodes") as bar:
            for _ in range(3):
                bar.advance(note="ok")
        assert (stream.getvalue() == "") == silent
        assert silent or "labelling" in stream.getvalue()


def test_nan_loss_names_step_and_remedy() -> None:
    def bad(model: nn.Module, x: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        bad.calls += 1  # type: ignore[attr-defined]
        return {"loss": loss(model, x, generator)["loss"] * (math.nan if bad.calls == 4 else 1.0)}  # type: ignore[attr-defined]

    bad.calls = 0  # type: ignore[attr-defined]
    model = net()
    with pytest.raises(
        TrainingError, match=r"the loss became nan at step 4 of 20 .*Lower the learning rate.*clip"
    ) as caught:
        Trainer(CONFIG).fit(model, bad, draw)
    assert "0.001" in str(caught.value) or "learning rate" in str(caught.value)
    assert all(bool(torch.isfinite(p).all()) for p in model.parameters())


def test_infinite_gradient_is_told_apart_from_the_loss() -> None:
    def steep(model: nn.Module, x: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        return {"loss": (model(x) * 0).abs().sqrt().sum()}  # finite value, slope 0/0

    with pytest.raises(TrainingError, match=r"the gradient norm became nan at step 1 of 20"):
        Trainer(CONFIG).fit(net(), steep, draw)


def test_nan_validation_is_an_error() -> None:
    with pytest.raises(TrainingError, match=r"the validation value became nan at step 0.*held-out episodes"):
        Trainer(CONFIG).fit(net(), loss, draw, lambda m: math.nan)


def test_resuming_with_another_setting_or_model_is_refused(tmp_path: Path) -> None:
    Trainer(CONFIG, tmp_path).fit(net(), loss, draw)
    with pytest.raises(
        ConfigError, match=r"checkpoints were made with lr = 0.001, now it is 0.002. Use the same setting"
    ):
        Trainer(replace(CONFIG, lr=0.002), tmp_path).fit(net(), loss, draw)
    wide = nn.Sequential(nn.Linear(2, 5), nn.Tanh(), nn.Linear(5, 1))
    with pytest.raises(ConfigError, match=r"hold another model \(tensor '0.bias' differs\). Use another folder"):
        Trainer(CONFIG, tmp_path).fit(wide, loss, draw)


def test_only_broken_checkpoints_is_an_error(tmp_path: Path) -> None:
    Trainer(CONFIG, tmp_path).fit(net(), loss, draw)
    for path in (tmp_path / "checkpoints").glob("*/state.json"):
        path.write_text("{")
    with pytest.raises(FormatError, match=r"none of the 2 checkpoints can be read. Remove the folder"):
        Trainer(CONFIG, tmp_path).fit(net(), loss, draw)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": 0}, "trainer: steps is 0, expected at least 1"),
        ({"lr": -1.0}, "trainer: lr is -1.0, expected a positive number"),
        ({"lr": math.nan}, "trainer: lr is nan, expected a positive number"),
        ({"warmup": 21}, r"trainer: warmup is 21, expected 0 to 20 \(steps\)"),
        ({"clip": 0.0}, "trainer: clip is 0.0, expected a positive norm or None"),
        ({"patience": 0}, "trainer: patience is 0, expected at least 1 validation or None"),
    ],
)
def test_settings_that_cannot_be_used(change: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        replace(CONFIG, **change)


def test_optimiser_errors() -> None:
    with pytest.raises(ConfigError, match=r"parameter group: unknown prefix 'encodr.'"):
        make_optimizer(net(), "adam", lr=1.0, weight_decay=0.0, groups=[ParameterGroup("encodr.")])
    with pytest.raises(ConfigError, match=r"the model has no parameter to train. Unfreeze a group"):
        make_optimizer(net(), "adam", lr=1.0, weight_decay=0.0, groups=[ParameterGroup("", frozen=True)])
    with pytest.raises(UnknownNameError, match=r"unknown optimizer 'adamx'. Did you mean"):
        inspect.unwrap(make_optimizer)(net(), "adamx", lr=1.0, weight_decay=0.0)


def test_seeded_puts_the_generator_back() -> None:
    state = torch.get_rng_state()
    with seeded(1, 2):
        a = torch.randn(2)
    with seeded(1, 2):
        assert torch.equal(a, torch.randn(2))
    assert torch.equal(torch.get_rng_state(), state)
