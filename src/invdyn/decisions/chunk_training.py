"""`fit_chunk_policy`: a diffusion policy from the episodes of a dataset whose actions are known."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from invdyn.decisions.chunk_config import ChunkPolicyConfig
from invdyn.decisions.chunk_policy import ChunkPolicy, chunk_loss
from invdyn.episodes.dataset import Dataset
from invdyn.episodes.windows import WindowSampler
from invdyn.errors import ConfigError
from invdyn.nn.ema import EMAConfig
from invdyn.training.seeding import seeded
from invdyn.training.trainer import Trainer, TrainerConfig, TrainResult

__all__ = ["CHUNK_TRAINER", "fit_chunk_policy"]

CHUNK_TRAINER = TrainerConfig(
    steps=5000,
    batch_size=128,
    lr=3e-4,
    betas=(0.95, 0.999),
    weight_decay=1e-6,
    warmup=500,
    ema=EMAConfig("power", decay=0.9999, power=0.75),
    tensorboard=False,
)
"""Betas, decay, warm-up and EMA of Diffusion Policy (Chi et al. 2023); rate, batch and length ours, for small nets."""


def fit_chunk_policy(
    dataset: Dataset,
    config: ChunkPolicyConfig | None = None,
    *,
    trainer: TrainerConfig = CHUNK_TRAINER,
    folder: Path | None = None,
    progress: bool = False,
) -> tuple[ChunkPolicy, TrainResult]:
    """Minimise the denoising loss over all chunks that begin at a known action.

    Args:
        dataset: recordings with actions, measured or labelled; a label's weight counts.
        config: the policy; None for the defaults.
        trainer: the loop.
        folder: checkpoints; a rerun resumes from them.
        progress: show rate and ETA on stderr.

    Raises:
        ConfigError: no numeric observation, or no known action.
        UnknownNameError: a signal the dataset does not have.
    """
    config = config or ChunkPolicyConfig()
    names = config.inputs or tuple(
        name
        for name, spec in dataset.schema.items()
        if name.startswith("observation.") and spec.kind != "image" and not spec.is_text
    )
    if not names:
        raise ConfigError(f"{dataset.source.origin}: no numeric observation.* to act on. Name inputs in the config.")
    with seeded(trainer.seed):  # layers draw their initial weights from the global generator
        policy = ChunkPolicy(config, [dataset.schema[n] for n in names], dataset.schema[config.target])
    label = f"label.{config.target}.weight"

    def windows(names: Sequence[str]) -> WindowSampler:
        return WindowSampler(
            dataset,
            (*names, config.target),
            policy.window,
            (config.target,),
            labelled_only=True,
            weight=label if label in dataset.schema else None,
        )

    sampler = windows(names)
    if not len(sampler):
        raise ConfigError(f"{dataset.source.origin}: no step has a known {config.target!r} to learn from.")
    numbers = [n for n in names if dataset.schema[n].kind != "image"]
    policy.fit_scales(sampler if len(numbers) == len(names) else windows(numbers))  # all images at once would not fit
    return policy, Trainer(trainer, folder, progress).fit(policy, chunk_loss, sampler.draw)
