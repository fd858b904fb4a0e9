"""`fit_inverse`: an inverse model from the labelled episodes of a dataset, judged on held-out ones."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from invdyn.actions.features import RUN
from invdyn.actions.inverse import InverseConfig
from invdyn.actions.inverse_nets import InverseNet, build_inverse
from invdyn.actions.ridge import start_at_ridge
from invdyn.episodes.dataset import Dataset
from invdyn.episodes.windows import WindowBatch, WindowSampler
from invdyn.errors import ConfigError, SignalError
from invdyn.nn.heads import ScaledHead
from invdyn.training.optim import ParameterGroup
from invdyn.training.saving import save_model
from invdyn.training.seeding import generator_at, seeded
from invdyn.training.trainer import Trainer, TrainerConfig, TrainResult
from invdyn.verify.metrics.regression import r2

__all__ = ["FittedInverse", "default_trainer", "fit_inverse", "labelled_windows", "split_episodes"]

Criterion = Literal["auto", "likelihood", "error"]
SCORED = 4096
"""Windows computed at a time when scoring."""
ENCODER_LR = 10.0
"""Factor on the learning rate for image encoders (measured on point2d at 48 pixels, 500 updates: a rate of 0.01 leaves
a third less error than 0.003); the linear path, which begins at a solution, would be thrown off it at such a rate."""


@dataclass(frozen=True)
class FittedInverse:
    """A trained inverse model and how well it does.

    Args:
        model: in evaluation mode.
        result: of the training loop.
        held_out: numbers (in the dataset) of the labelled episodes it has not been trained on.
        trained_on: numbers of those it has.
        r2: per dimension of the cause on the held-out episodes; None without any. For classes: accuracy per group.
    """

    model: InverseNet
    result: TrainResult
    held_out: tuple[int, ...]
    trained_on: tuple[int, ...]
    r2: Float64[np.ndarray, " cause"] | None


def default_trainer(steps: int | None = None, *, images: bool = False) -> TrainerConfig:
    """The training that suits small labelled sets: AdamW, cosine, early stopping.

    Args:
        steps: updates at most; None for 3000, or 600 for images, whose updates cost a hundred times as much.
        images: whether the model looks at images; batches are then a quarter.
    """
    steps = steps or (600 if images else 3000)
    size = 64 if images else 256
    return TrainerConfig(steps=steps, batch_size=size, lr=1e-3, weight_decay=0.3, warmup=min(100, steps), patience=10)


def labelled_windows(dataset: Dataset, config: InverseConfig, weight: str | None = None) -> WindowSampler:
    """Windows whose centre has a cause (and, unless the model looks at the past only, a later step in its episode).

    Raises:
        ConfigError: a window longer than every episode.
        SignalError: no step with a cause.
    """
    span = (config.window.size - 1) * config.stride + 1
    longest = int(dataset.lengths.max()) if len(dataset) else 0
    if span > longest:
        raise ConfigError(
            f"the window spans {span} steps (before {config.before}, after {config.after}, stride {config.stride}) "
            f"and the longest episode of {dataset.source.origin} has {longest}. Use a shorter window."
        )
    sampler = WindowSampler(
        dataset,
        config.inputs,
        config.window,
        (config.target,),
        labelled_only=True,
        stride=config.stride,
        needs_future=config.mask != "causal" and config.after > 0,
        weight=weight,
    )
    if not len(sampler):
        raise SignalError(
            f"{dataset.source.origin}: none of its {len(dataset)} episodes has a value of {config.target!r} "
            "with a later step. Add labelled episodes, or name another target."
        )
    return sampler


def split_episodes(episodes: Int64[np.ndarray, " episodes"], share: float, seed: int) -> tuple[list[int], list[int]]:
    """Labelled episodes into (training, held out), by whole episodes; `share` of them is held out, at least one.

    Raises:
        ConfigError: a share outside [0, 1), or too few episodes.
    """
    if not 0 <= share < 1:
        raise ConfigError(f"holdout is {share}, expected a share in [0, 1).")
    if share == 0:
        return sorted(episodes.tolist()), []
    count = max(1, round(share * len(episodes)))
    if len(episodes) - count < 1:
        raise ConfigError(
            f"holding out {share:g} of {len(episodes)} labelled episode(s) leaves nothing to train on. "
            "Label at least two episodes, or pass holdout=0 to train without a check."
        )
    order = torch.randperm(len(episodes), generator=generator_at(seed, 0, 7)).numpy()
    return sorted(episodes[order[count:]].tolist()), sorted(episodes[order[:count]].tolist())


def fit_inverse(
    dataset: Dataset,
    config: InverseConfig,
    *,
    trainer: TrainerConfig | None = None,
    holdout: float = 0.1,
    held_out: Iterable[int] | None = None,
    weight: str | None = None,
    criterion: Criterion = "auto",
    folder: Path | None = None,
    progress: bool = False,
    seed: int = 0,
) -> FittedInverse:
    """Train an inverse model on the labelled steps of a dataset.

    Scaling is taken from all episodes, labelled or not; the net sees labelled centres only. Whole episodes are held out
    for early stopping and for the score, because frames of one episode are not independent.

    Args:
        dataset: recordings, some with the target.
        config: the model.
        trainer: the training; `default_trainer` when None. Its seed is replaced by `seed`. Image encoders learn
            `ENCODER_LR` times as fast as the rest, unless its groups say something of `features.`.
        holdout: share of the labelled episodes held out; 0 trains on all, without early stopping and without a score.
        held_out: which episodes to hold out, instead of a random share.
        weight: signal that weighs the labels (`label.action.weight`).
        criterion: what early stopping watches on the held-out episodes: `likelihood`, or the squared `error` of the
            points in training standard deviations. auto: error for numbers, likelihood for classes.
        folder: where checkpoints, logs and the finished model go; an interrupted fit resumes from it.
        progress: show a bar on stderr.
        seed: of the split, the initial weights and the batches.

    Raises:
        UnknownNameError: an input or target that the recordings do not have.
        ConfigError: a target that is not numeric, too few labelled episodes to hold one out, a window too long.
        SignalError: no labelled step.
    """
    with seeded(seed, 11):
        model = build_inverse(config, dataset.schema)
    windows = labelled_windows(dataset, config, weight)
    owner = np.searchsorted(dataset.starts, windows.centres.numpy(), side="right") - 1
    labelled = np.unique(owner)
    if held_out is None:
        training, held = split_episodes(labelled, holdout, seed)
    else:
        held = sorted({int(e) for e in held_out})
        training = sorted(set(labelled.tolist()) - set(held))
        if not training:
            raise ConfigError(f"all {len(labelled)} labelled episodes are held out; nothing is left to train on.")
    train, check = (_only(windows, np.isin(owner, part)) for part in (training, held))
    model.features.fit(dataset)
    model.features.fit_codes(train)
    targets = _targets(dataset, train, config)
    model.head.set_scale(targets)
    if config.linear and config.temporal == "flatten":
        start_at_ridge(model, train, targets)
    images = bool(model.features.images)
    settings = replace(trainer or default_trainer(images=images), seed=seed)
    if images and not any(g.prefix.startswith("features.") for g in settings.groups):
        settings = replace(settings, groups=(*settings.groups, ParameterGroup("features.", lr=ENCODER_LR)))
    result = Trainer(settings, folder, progress).fit(
        model,
        _loss,
        in_runs(train) if images else train.draw,
        _validation(check, criterion, model, targets) if len(check) else None,
    )
    if len(check):
        recalibrate(model, check)
    scores = held_out_score(model, check) if len(check) else None
    fitted = FittedInverse(model, result, tuple(held), tuple(training), scores)
    if folder is not None:
        facts = {
            "held_out": list(held),
            "held_out_r2": None if scores is None else [float(v) for v in scores],
            "trained_on": training,
            "steps": result.steps,
            "best_step": result.best_step,
        }
        save_model(model, folder, facts=facts, overwrite=True)
    return fitted


def _validation(
    check: WindowSampler, criterion: Criterion, model: InverseNet, targets: Tensor
) -> Callable[[InverseNet], float]:
    classes = hasattr(model.head, "sizes")
    if criterion == "error" and classes:
        raise ConfigError("criterion 'error' is for numbers and the target has classes. Use 'likelihood'.")
    if criterion == "likelihood" or classes:
        return lambda net: mean_loss(net, check)
    scale = targets.double().std(0, correction=0).numpy()
    scale = np.where(scale > 0, scale, 1.0)
    return lambda net: mean_error(net, check, scale)


def _only(windows: WindowSampler, keep: np.ndarray) -> WindowSampler:
    """The same windows, restricted to some centres; frames are shared."""
    part = copy.copy(windows)
    part.centres = windows.centres[torch.from_numpy(keep)]
    return part


def _targets(dataset: Dataset, windows: WindowSampler, config: InverseConfig) -> Tensor:
    values = torch.from_numpy(np.asarray(dataset.column(config.target).values))
    return values[windows.centres].reshape(len(windows), -1)


def in_runs(windows: WindowSampler) -> Callable[[torch.Generator, int], WindowBatch]:
    """Draws of windows in runs of neighbours: an image costs much more than a window, and neighbours share theirs."""

    def draw(generator: torch.Generator, batch_size: int) -> WindowBatch:
        starts = torch.randint(len(windows), (-(-batch_size // RUN),), generator=generator)
        which = (starts[:, None] + torch.arange(RUN)).flatten()[:batch_size]
        return windows.batch(which % len(windows))

    return draw


def _loss(model: InverseNet, batch: WindowBatch, generator: torch.Generator) -> Mapping[str, Tensor]:
    return {"loss": model.loss(batch)}


def mean_loss(model: InverseNet, windows: WindowSampler) -> float:
    """Mean negative log-likelihood of the whole model (of the mixture, for an ensemble) over windows."""
    total = 0.0
    with torch.inference_mode():
        for batch in windows.in_order(model.features.at_a_time(SCORED)):
            value = model.as_head_takes(batch.targets[model.target.name])
            total -= float(model.infer(batch).log_prob(value).sum())
    return total / len(windows)


def mean_error(model: InverseNet, windows: WindowSampler, scale: Float64[np.ndarray, " cause"]) -> float:
    """Mean over windows and dimensions of the points' squared error, in units of `scale`."""
    guess, truth = points(model, windows)
    return float((((guess - truth) / scale) ** 2).mean())


def recalibrate(model: InverseNet, windows: WindowSampler) -> None:
    """Correct what the head says about its spread, on windows the model was not trained on."""
    if not isinstance(model.head, ScaledHead):
        return
    with torch.inference_mode():
        batches = list(windows.in_order(model.features.at_a_time(SCORED)))
        raw = torch.cat([model.raw(b) for b in batches], -2)
    value = model.as_head_takes(torch.cat([b.targets[model.target.name].reshape(len(b), -1) for b in batches]))
    model.head.recalibrate(raw, value.expand(*raw.shape[:-1], value.shape[-1]))


def points(
    model: InverseNet, windows: WindowSampler
) -> tuple[Float64[np.ndarray, "windows cause"], Float64[np.ndarray, "windows cause"]]:
    """Point answers and true causes of all windows, flat."""
    guesses, truths = [], []
    with torch.inference_mode():
        for batch in windows.in_order(model.features.at_a_time(SCORED)):
            guesses.append(model.infer(batch).point().reshape(len(batch), -1))
            truths.append(batch.targets[model.target.name].reshape(len(batch), -1))
    return torch.cat(guesses).double().numpy(), torch.cat(truths).double().numpy()


def held_out_score(model: InverseNet, windows: WindowSampler) -> Float64[np.ndarray, " cause"]:
    """R2 per dimension of the point answers (accuracy per group for classes)."""
    guess, truth = points(model, windows)
    return (guess == truth).mean(0) if hasattr(model.head, "sizes") else r2(truth, guess)
