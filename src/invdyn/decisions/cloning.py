"""`fit_policy`: weighted behavioural cloning on measured, inferred or both kinds of actions."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from invdyn.decisions.config import PolicyConfig
from invdyn.decisions.policy import ClonedPolicy
from invdyn.decisions.selection import Source, Weighting, choose_holdout, frame_sources, frame_weights
from invdyn.episodes.dataset import Dataset
from invdyn.episodes.windows import WindowBatch, WindowSampler
from invdyn.errors import ConfigError
from invdyn.training.seeding import seeded
from invdyn.training.trainer import Trainer, TrainerConfig, TrainResult

__all__ = ["FittedPolicy", "fit_policy"]

VALIDATION_WINDOWS = 16_384
"""At most this many held-out windows are scored at each validation, evenly spaced."""


@dataclass(frozen=True)
class FittedPolicy:
    """A cloned policy and how it came about.

    Args:
        policy: ready to `reset` and `act`, in evaluation mode; save it with `training.save_model`.
        training: what the loop reports.
        source, weighting: what it learnt from.
        measured, inferred: steps of each source it learnt from (held-out episodes excluded).
        episodes, holdout: episode numbers it learnt from, and those that chose the best weights.
    """

    policy: ClonedPolicy
    training: TrainResult
    source: Source
    weighting: Weighting
    measured: int
    inferred: int
    episodes: tuple[int, ...]
    holdout: tuple[int, ...]


def choose_inputs(dataset: Dataset, config: PolicyConfig) -> tuple[str, ...]:
    """The signals a policy looks at: those of its config, else all `observation.*` states, else the images."""
    if config.inputs:
        dataset.schema.select(config.inputs)  # raises for an unknown one
        return config.inputs
    for kind in ("state", "image"):
        found = tuple(s.name for s in dataset.schema.of_kind(kind) if s.name.startswith("observation."))
        if found:
            return found
    raise ConfigError(
        f"{dataset.source.origin}: no signal named observation.* to act on. Name the policy's inputs in PolicyConfig."
    )


def fit_policy(
    dataset: Dataset,
    config: PolicyConfig | None = None,
    *,
    trainer: TrainerConfig | None = None,
    source: Source = "both",
    weighting: Weighting = "none",
    holdout: float | int | Sequence[int] = 0.1,
    folder: Path | None = None,
    progress: bool = False,
    seed: int | None = None,
) -> FittedPolicy:
    """Clone the behaviour in a dataset: minimise the weighted negative log-likelihood of its actions.

    Args:
        dataset: recordings whose actions are measured, or labelled by `label_dataset`.
        config: the policy; None for the defaults.
        trainer: the loop; None for the defaults.
        source: which actions to learn from.
        weighting: how much each step counts, see `frame_weights`.
        holdout: share of the episodes (or the episodes) that decide when to stop.
        folder: checkpoints and logs; a rerun resumes from them. None trains in memory only.
        progress: show rate and ETA on stderr.
        seed: of weights, batches and the held-out draw; None for the trainer's.

    Raises:
        ConfigError: nothing to learn from, see `frame_weights` and `choose_holdout`.
        UnknownNameError: an input or target the dataset does not have.
    """
    config = config or PolicyConfig()
    trainer = trainer or TrainerConfig()
    if seed is not None:
        trainer = dataclasses.replace(trainer, seed=seed)
    names = choose_inputs(dataset, config)
    target = dataset.schema[config.target]
    weight = frame_weights(dataset, config.target, source, weighting)
    weight = weight * np.logical_and.reduce([dataset.column(n).valid for n in names])
    if config.null_below is not None:
        actions = np.abs(dataset.column(config.target).values.reshape(dataset.frames, -1).astype(float))
        weight = np.where((actions <= config.null_below).all(1), 0, weight).astype(np.float32)
    if not (weight > 0).any():
        raise ConfigError(
            f"{dataset.source.origin}: no step is left to learn from after dropping null actions and steps without "
            f"{', '.join(names)}. Lower null_below or choose other inputs."
        )
    train, held = choose_holdout(dataset, weight, holdout, trainer.seed)

    def windows(episodes: list[int]) -> WindowSampler:
        kept = weight[_rows(dataset, episodes)]
        return WindowSampler(dataset[episodes], names, policy.window, (config.target,), labelled_only=True, weight=kept)

    with seeded(trainer.seed):  # layers draw their initial weights from the global generator
        policy = ClonedPolicy(config, [dataset.schema[n] for n in names], target)
    sampler = windows(train)
    _fit_scales(policy, sampler)
    validate = _Validation(windows(held), trainer.device) if held else None
    result = Trainer(trainer, folder, progress).fit(policy, cloning_loss, sampler.draw, validate)
    measured, inferred = (part[_rows(dataset, train)] for part in frame_sources(dataset, config.target))
    used = weight[_rows(dataset, train)] > 0
    return FittedPolicy(
        policy,
        result,
        source,
        weighting,
        int((measured & used).sum()),
        int((inferred & used).sum()),
        tuple(train),
        tuple(held),
    )


def cloning_loss(
    model: torch.nn.Module, batch: WindowBatch, generator: torch.Generator | None = None
) -> Mapping[str, Tensor]:
    """Weighted mean over the batch of the head's loss."""
    assert isinstance(model, ClonedPolicy)
    value = batch.targets[model.config.target].reshape(len(batch), -1).float()
    return {"loss": model.head.loss(model.raw(batch.inputs, batch.mask), value, batch.weight)}


def _rows(dataset: Dataset, episodes: list[int]) -> np.ndarray:
    return np.concatenate([np.arange(s, s + n) for s, n in zip(dataset.starts[episodes], dataset.lengths[episodes])])


def _fit_scales(policy: ClonedPolicy, sampler: WindowSampler) -> None:
    """Input and action scales from the steps the policy learns from."""
    whole = sampler.batch(torch.arange(len(sampler)))
    policy.head.set_scale(whole.targets[policy.config.target].reshape(len(whole), -1).float())
    here = policy.window.before
    for number, spec in enumerate(policy.inputs):
        if spec.kind != "image":
            values = whole.inputs[spec.name][:, here].reshape(len(whole), -1)
            policy.normalizer(number).fit(values, kind=policy.config.normalize)


class _Validation:
    """Mean loss over held-out windows, weighted like the training loss."""

    def __init__(self, sampler: WindowSampler, device: str) -> None:
        count = min(len(sampler), VALIDATION_WINDOWS)
        chosen = torch.linspace(0, len(sampler) - 1, count).round().long()
        self.batches = [sampler.batch(part).to(device) for part in chosen.split(1024)]

    def __call__(self, model: torch.nn.Module) -> float:
        total = sum(float(cloning_loss(model, b)["loss"] * b.weight.sum()) for b in self.batches)
        return total / sum(float(b.weight.sum()) for b in self.batches)
