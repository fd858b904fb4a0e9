"""The one training loop."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from invdyn.errors import ConfigError, InvdynError
from invdyn.nn.ema import EMA, EMAConfig
from invdyn.training.checkpoint import (
    latest_checkpoint,
    optimizer_from_tensors,
    optimizer_to_tensors,
    write_checkpoint,
)
from invdyn.training.config import to_json
from invdyn.training.optim import OptimizerName, ParameterGroup, ScheduleName, make_optimizer, schedule_factor
from invdyn.training.parallel import Processes
from invdyn.training.progress import progress
from invdyn.training.seeding import generator_at, seeded
from invdyn.training.tracker import Tracker

__all__ = ["TrainResult", "Trainer", "TrainerConfig", "TrainingError"]

log = logging.getLogger(__name__)
Loss = Callable[[Any, Any, torch.Generator], Mapping[str, Tensor]]
Draw = Callable[[torch.Generator, int], Any]
Validate = Callable[[Any], float]
Observe = Callable[[int, nn.Module], None]
Stopped = Literal["steps", "early", "time"]

MAY_DIFFER = {"max_seconds", "checkpoint_every", "device", "tensorboard"}
"""Settings that a resumed run may change, because the weights do not depend on them."""


class TrainingError(InvdynError, RuntimeError):
    """Training that cannot go on: a loss or gradient that is not finite."""


@dataclass(frozen=True)
class TrainerConfig:
    """How to train.

    Args:
        steps: updates at most.
        batch_size: samples of one shard.
        shards: batches drawn for one update, their losses averaged: gradient accumulation on one process, divided among
            the processes under torchrun. The result does not depend on the number of processes.
        optimizer: adamw, adam, sgd or muon (polar momentum for matrices, Adam for `plain` groups and the rest).
        lr: highest learning rate.
        weight_decay: of weight matrices; biases and norms are not decayed.
        betas: of Adam.
        momentum: of SGD.
        schedule: constant, cosine or linear to `final_lr` at the last step.
        warmup: steps over which the rate rises linearly from 0.
        final_lr: share of `lr` left at the end.
        clip: largest norm of the whole gradient; None for no limit.
        ema: average of the weights that is validated and returned; None for the weights themselves.
        groups: parameters with their own rate, decay, or frozen.
        validate_every: steps between validations.
        patience: validations without a better value after which training stops; None never stops early.
        min_delta: a value counts as better only when lower by more than this.
        max_seconds: wall-clock budget, over all resumes; None for none.
        seed: of batches, dropout and noise.
        device: where the model is trained.
        log_every: steps between entries of the history.
        checkpoint_every: steps between checkpoints, when there is a folder.
        tensorboard: write TensorBoard logs, when there is a folder.
    """

    steps: int = 3000
    batch_size: int = 256
    shards: int = 1
    optimizer: OptimizerName = "adamw"
    lr: float = 1e-3
    weight_decay: float = 1e-2
    betas: tuple[float, float] = (0.9, 0.999)
    momentum: float = 0.9
    schedule: ScheduleName = "cosine"
    warmup: int = 0
    final_lr: float = 0.0
    clip: float | None = 1.0
    ema: EMAConfig | None = None
    groups: tuple[ParameterGroup, ...] = ()
    validate_every: int = 100
    patience: int | None = None
    min_delta: float = 0.0
    max_seconds: float | None = None
    seed: int = 0
    device: str = "cpu"
    log_every: int = 50
    checkpoint_every: int = 500
    tensorboard: bool = True

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "shards", "validate_every", "log_every", "checkpoint_every"):
            if getattr(self, name) < 1:
                raise ConfigError(f"trainer: {name} is {getattr(self, name)}, expected at least 1.")
        if not (self.lr > 0 and math.isfinite(self.lr)):
            raise ConfigError(f"trainer: lr is {self.lr}, expected a positive number.")
        if not 0 <= self.warmup <= self.steps:
            raise ConfigError(f"trainer: warmup is {self.warmup}, expected 0 to {self.steps} (steps).")
        if self.clip is not None and not self.clip > 0:
            raise ConfigError(f"trainer: clip is {self.clip}, expected a positive norm or None.")
        if self.patience is not None and self.patience < 1:
            raise ConfigError(f"trainer: patience is {self.patience}, expected at least 1 validation or None.")


@dataclass(frozen=True)
class TrainResult:
    """What came of it.

    Args:
        steps: updates made, over all resumes.
        best_step: update whose weights the model now has; 0 where none was better than the start.
        best_value: its validation value; None without validation.
        history: one dictionary per logged or validated step.
        seconds: wall-clock, over all resumes.
        stopped: by the budget of `steps`, `early`, or by `time`.
    """

    steps: int
    best_step: int
    best_value: float | None
    history: list[dict[str, int | float]]
    seconds: float
    stopped: Stopped


@dataclass
class _State:
    """What changes while training, beside weights and optimiser."""

    step: int = 0
    best_step: int = 0
    best_value: float = math.inf
    stale: int = 0
    seconds: float = 0.0
    stopped: Stopped | None = None
    history: list[dict[str, int | float]] = field(default_factory=list)


class Trainer:
    """The one loop: draw, loss, backward, clip, step, average, validate, checkpoint.

    Batches, dropout and noise are functions of (seed, step, shard), so a run that was killed and started again ends
    with the weights, bit for bit on CPU, of one that was not.

    Args:
        config: how to train.
        folder: where checkpoints and logs go and whence an interrupted run resumes; None trains in memory only.
        progress: show a bar on stderr (never in pipes).
    """

    def __init__(self, config: TrainerConfig, folder: Path | None = None, progress: bool = False) -> None:
        self.config, self.folder, self.progress = config, folder, progress

    def fit(
        self,
        model: nn.Module,
        loss: Loss,
        draw: Draw,
        validate: Validate | None = None,
        observe: Observe | None = None,
    ) -> TrainResult:
        """Train the model in place.

        Args:
            model: any module; moved to `config.device` and left there, in evaluation mode, with the best weights.
            loss: (model, batch, generator) -> at least the key "loss", a scalar; other keys are logged.
            draw: (generator, batch_size) -> batch, a function of the generator alone. A batch with a method `to`, or a
                mapping or tuple of tensors, is moved to the device.
            validate: model -> a number, lower is better, on held-out episodes. Called in evaluation mode, without
                gradients, with the averaged weights where there is an EMA.
            observe: (updates made, model) -> nothing, before every update and after the last: probes of the weights
                on their way. It must not change them; a resumed run observes from where it goes on.

        Raises:
            TrainingError: the loss or a gradient is not finite.
            ConfigError: a folder that holds the checkpoints of another configuration; a setting that cannot be used.
        """
        return _Run(self, model, loss, draw, validate, observe).go()


class _Run:
    """One call of `Trainer.fit`."""

    def __init__(
        self,
        trainer: Trainer,
        model: nn.Module,
        loss: Loss,
        draw: Draw,
        validate: Validate | None,
        observe: Observe | None,
    ) -> None:
        self.config, self.draw, self.validate, self.observe = trainer.config, draw, validate, observe
        self.processes = Processes()
        self.shards = self.processes.shards(self.config.shards)
        self.show = trainer.progress and self.processes.writes
        self.folder = trainer.folder
        self.model = model.to(self.config.device)
        c = self.config
        self.optimizer = make_optimizer(
            model,
            c.optimizer,
            lr=c.lr,
            weight_decay=c.weight_decay,
            betas=c.betas,
            momentum=c.momentum,
            groups=c.groups,
        )
        self.trained = [p for group in self.optimizer.param_groups for p in group["params"]]
        self.ema = None if c.ema is None else EMA(model, c.ema)
        self.state = _State()
        self.best: dict[str, Tensor] | None = None
        self.module = self.processes.wrap(model, loss)

    def go(self) -> TrainResult:
        self._resume()
        c, s = self.config, self.state
        started, before = time.monotonic(), s.seconds
        tracker = Tracker.open(
            self.folder if c.tensorboard and self.processes.writes and s.stopped is None else None, s.step
        )
        with tracker, progress(c.steps, "training", enabled=self.show, done=s.step) as bar:
            if self.validate is not None and s.step == 0:
                self._validate()  # a start that training does not better is kept
            while s.stopped is None:
                if self.observe is not None:
                    self.observe(s.step, self.model)
                entry = self._update()
                s.step += 1
                last = s.step == c.steps
                logged = last or s.step % c.log_every == 0
                record: dict[str, int | float] = {"step": s.step}
                if logged:
                    record |= {k: float(self.processes.mean(v)) for k, v in entry.items()}
                if self.validate is not None and (last or s.step % c.validate_every == 0):
                    record["validation"] = self._validate()
                s.seconds = before + time.monotonic() - started
                over = c.max_seconds is not None and self.processes.agreed(s.seconds) >= c.max_seconds
                s.stopped = self._stop(over, last)
                if len(record) > 1:
                    s.history.append(record)
                    tracker.write(record)
                bar.advance(note=f"loss {record['loss']:.4g}" if logged else None)
                if s.stopped is not None or s.step % c.checkpoint_every == 0:
                    self._save()
            if self.observe is not None:
                self.observe(s.step, self.model)
        return self._finish()

    def _update(self) -> dict[str, Tensor]:
        """One step of the optimiser; returns what is logged."""
        c, step = self.config, self.state.step
        self.model.train()
        self.optimizer.zero_grad(set_to_none=True)
        totals: dict[str, Tensor] = {}
        for shard in self.shards:
            batch = _to_device(self.draw(generator_at(c.seed, step, 2 * shard), c.batch_size), c.device)
            noise = generator_at(c.seed, step, 2 * shard + 1)
            last = shard == self.shards[-1]
            hold: AbstractContextManager[Any] = nullcontext() if last else self.processes.without_sync(self.module)
            with hold, seeded(c.seed, step, shard):
                values = self.module(batch, noise)
                share = values["loss"] / len(self.shards)
                self._check(values["loss"], "loss")
                share.backward()
            for name, value in values.items():
                part = value.detach() / len(self.shards)
                totals[name] = totals[name] + part if name in totals else part
        norm = nn.utils.clip_grad_norm_(self.trained, math.inf if c.clip is None else c.clip)
        self._check(norm, "gradient norm")
        factor = schedule_factor(c.schedule, step, c.steps, c.warmup, c.final_lr)
        for group in self.optimizer.param_groups:
            group["lr"] = c.lr * factor * group["factor"]
        self.optimizer.step()
        if self.ema is not None:
            self.ema.update(self.model)
        return totals | {"gradient_norm": norm.detach(), "lr": torch.tensor(c.lr * factor)}

    def _check(self, value: Tensor, what: str) -> None:
        if not bool(torch.isfinite(value)):
            c, step = self.config, self.state.step
            raise TrainingError(
                f"the {what} became {float(value.detach())} at step {step + 1} of {c.steps} (learning rate "
                f"{c.lr * schedule_factor(c.schedule, step, c.steps, c.warmup, c.final_lr):.3g}, clip {c.clip}). "
                "Lower the learning rate, add warm-up, clip gradients at 1, and check the data for NaN or extremes."
            )

    def _validate(self) -> float:
        assert self.validate is not None
        s, c = self.state, self.config
        averaged: AbstractContextManager[Any] = nullcontext() if self.ema is None else self.ema.applied(self.model)
        with averaged:
            value = math.nan
            if self.processes.writes:
                self.model.eval()
                with torch.no_grad(), seeded(c.seed, s.step, -1):
                    value = float(self.validate(self.model))
            value = self.processes.agreed(value)
            if math.isnan(value):
                raise TrainingError(
                    f"the validation value became nan at step {s.step}. Check the held-out episodes for NaN, and that "
                    "the validation returns a number."
                )
            if value < s.best_value - c.min_delta or self.best is None:
                s.best_value, s.best_step, s.stale = value, s.step, 0
                self.best = {k: v.detach().clone() for k, v in self.model.state_dict().items()}
            else:
                s.stale += 1
        return value

    def _stop(self, over: bool, last: bool) -> Stopped | None:
        if last:
            return "steps"
        if self.config.patience is not None and self.state.stale >= self.config.patience:
            return "early"
        return "time" if over else None

    def _save(self) -> None:
        if self.folder is None or not self.processes.writes:
            return
        s = self.state
        parts = {"model": self.model.state_dict(), "optimizer": optimizer_to_tensors(self.optimizer)}
        if self.ema is not None:
            parts["ema"] = self.ema.average
        if self.best is not None:
            parts["best"] = self.best
        facts = {
            "config": to_json(self.config),
            "updates": 0 if self.ema is None else self.ema.updates,
            "state": to_json(s),
        }
        write_checkpoint(self.folder / "checkpoints", s.step, parts, facts)

    def _resume(self) -> None:
        saved = None if self.folder is None else latest_checkpoint(self.folder / "checkpoints")
        if saved is None:
            return
        mine, theirs = to_json(self.config), saved.facts["config"]
        for name in sorted(mine.keys() | theirs.keys()):
            if mine.get(name) != theirs.get(name) and name not in MAY_DIFFER:
                raise ConfigError(
                    f"{self.folder}: its checkpoints were made with {name} = {theirs.get(name)}, now it is "
                    f"{mine.get(name)}. Use the same setting to resume, or another folder to train anew."
                )
        state = dict(saved.facts["state"])
        state["best_value"] = float(state["best_value"])
        self.state = _State(**state)
        own = self.model.state_dict()
        given = saved.part("model")
        wrong = [
            n
            for n in sorted(own.keys() | given.keys())
            if n not in own or n not in given or own[n].shape != given[n].shape
        ]
        if wrong:
            raise ConfigError(
                f"{self.folder}: its checkpoints hold another model (tensor {wrong[0]!r} differs). "
                "Use another folder to train anew."
            )
        self.model.load_state_dict(given)
        optimizer_from_tensors(self.optimizer, saved.part("optimizer"))
        if self.ema is not None:
            self.ema.load({k: v.to(self.config.device) for k, v in saved.part("ema").items()}, saved.facts["updates"])
        best = saved.part("best")
        self.best = {k: v.to(self.config.device) for k, v in best.items()} or None
        if self.state.stopped == "time" and not self._over():
            self.state.stopped = None
        log.info("resumed %s at step %d", self.folder, self.state.step)

    def _over(self) -> bool:
        return self.config.max_seconds is not None and self.state.seconds >= self.config.max_seconds

    def _finish(self) -> TrainResult:
        s = self.state
        assert s.stopped is not None
        if self.best is not None:
            self.model.load_state_dict(self.best)
        elif self.ema is not None:
            self.model.load_state_dict(self.ema.average)
        self.model.eval()
        validated = self.best is not None
        best_step = s.best_step if validated else s.step
        return TrainResult(s.step, best_step, s.best_value if validated else None, s.history, s.seconds, s.stopped)


def _to_device(batch: Any, device: str) -> Any:
    if hasattr(batch, "to"):
        return batch.to(device)
    if isinstance(batch, Mapping):
        return {k: _to_device(v, device) for k, v in batch.items()}
    if isinstance(batch, (tuple, list)):
        return tuple(_to_device(v, device) for v in batch)
    return batch
