"""Is the beginning of a policy's denoising linear too? The contest on chunks of recorded actions (our addition)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from invdyn.diffusion import DeltaMixturePrior
from invdyn.diffusion.moments import gaussian_of, round_about
from invdyn.diffusion.outline import explained_share
from invdyn.studies.diffusion_painters_config import (
    BANDWIDTH,
    EDM,
    LEVELS,
    DiffusionPaintersConfig,
    heun,
    in_blocks,
    kernel,
    single,
)
from invdyn.studies.diffusion_painters_kernel import HIGH, contest, judged, miss
from invdyn.studies.part import Part, generators
from invdyn.studies.rti_dp_config import TASKS, demonstrations

__all__ = ["on_chunks"]

DOOR = "adroit_door_human"
SHOWN = ("reach", "pick")
"""Meta-World tasks: one smooth motion, and one with a grasp in it."""


def on_chunks(data: Path | None, seed: int, config: DiffusionPaintersConfig) -> Part:
    """Explained share and teleports on the kernel mixture over chunks; people's chunks where their folder is given."""
    metrics: dict[str, Any] = {}
    curves: dict[str, Any] = {}
    sources = {name: _simulated(name, config, seed) for name in SHOWN}
    if data is not None and (data / DOOR / "demos.npz").is_file():
        sources["door"] = _recorded(data / DOOR / "demos.npz")
    for name, episodes in sources.items():
        found = _contest(list(episodes), name, seed, config)
        metrics |= {f"chunks.{name}.{k}": v for k, v in found.items()}
        curves[name] = found
    return Part(metrics, curves)


def _simulated(name: str, config: DiffusionPaintersConfig, seed: int) -> Iterator[np.ndarray]:
    """Actions [time, action] of the task's expert; the last row of a recording has none."""
    for episode in demonstrations(TASKS[name], config.episodes, seed):
        signal = episode["action"]
        yield np.asarray(signal.values[signal.mask], np.float64)


def _recorded(file: Path) -> Iterator[np.ndarray]:
    with np.load(file, allow_pickle=False) as archive:
        for key in sorted(k for k in archive if k.startswith("actions_")):
            yield np.asarray(archive[key], np.float64)


def chunks_of(episodes: list[np.ndarray], horizon: int, most: int, g: torch.Generator) -> Tensor:
    """Chunks [batch, horizon * action], every component of an action brought to [-1, 1], at most so many at random."""
    low, high = (f(np.concatenate(episodes), 0) for f in (np.min, np.max))
    width = np.where(high - low > 1e-6, high - low, 1.0)
    found = [
        np.lib.stride_tricks.sliding_window_view(2 * (e - low) / width - 1, horizon, 0).transpose(0, 2, 1)
        for e in episodes
        if len(e) >= horizon
    ]
    every = torch.from_numpy(np.concatenate(found)).flatten(1)
    return every[torch.randperm(len(every), generator=g)[:most]]


def _contest(episodes: list[np.ndarray], name: str, seed: int, config: DiffusionPaintersConfig) -> dict[str, float]:
    g, _ = generators(seed, f"chunks {name}")
    x0 = chunks_of(episodes, config.horizon, config.chunks, g)
    prior, model = gaussian_of(x0), DeltaMixturePrior(x0, BANDWIDTH)
    found: dict[str, float] = {"chunks": float(len(x0)), "variance": float(x0.var(0).mean())}
    spectrum = prior.variances[0].flip(0)
    found["components_95"] = float((spectrum.cumsum(0) / spectrum.sum() < 0.95).sum() + 1)
    data = model.sample(1000, g)
    for s in LEVELS:
        for label, other in (("gaussian", prior), ("mean", round_about(prior))):
            found[f"share_{label}_{s:g}"] = explained_share(model.denoiser(EDM), other, data, s, EDM, g)
    denoise = kernel(x0)
    noise = HIGH * torch.randn(config.chunk_starts, x0.shape[1], generator=g)
    truth = in_blocks(lambda x: heun(config.reference)(denoise, x), noise)
    errors = {k: miss(in_blocks(way, noise), truth) for k, way in contest(single(prior), denoise).items()}
    return found | {f"mse_{k}": v for k, v in errors.items()} | judged(errors)
