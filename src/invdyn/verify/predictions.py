"""`Predictions`: what a model said about labelled frames, and `predict`, which asks it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float64, Int64

from invdyn.episodes.dataset import Dataset
from invdyn.episodes.signal import SignalSpec
from invdyn.episodes.windows import Window, WindowBatch, WindowSampler
from invdyn.errors import SignalError
from invdyn.nn.distributions import CauseDistribution

__all__ = ["Infers", "Predict", "Predictions", "predict"]


@runtime_checkable
class Infers(Protocol):
    """What calibration needs of an inverse model (the interface of `actions.InverseModel`)."""

    inputs: Sequence[str]
    target: SignalSpec
    window: Window

    def infer(self, batch: WindowBatch) -> CauseDistribution: ...


@dataclass(frozen=True)
class Predictions:
    """True causes and a model's answers, frame by frame.

    Args:
        truth, point, spread: [frames, cause] in the cause's unit; `spread` as `CauseDistribution.spread`.
        episode: [frames] the episode each frame is of.
        step: [frames] the step of that episode.
    """

    truth: Float64[np.ndarray, "frames cause"]
    point: Float64[np.ndarray, "frames cause"]
    spread: Float64[np.ndarray, "frames cause"]
    episode: Int64[np.ndarray, " frames"]
    step: Int64[np.ndarray, " frames"]

    def __len__(self) -> int:
        return len(self.truth)

    @classmethod
    def join(cls, parts: Sequence[Predictions]) -> Predictions:
        """All frames, ordered by episode and step."""
        columns = [
            np.concatenate([getattr(p, name) for p in parts])
            for name in ("truth", "point", "spread", "episode", "step")
        ]
        order = np.lexsort((columns[4], columns[3]))
        return cls(*(c[order] for c in columns))


Predict = Callable[[Infers, Dataset], Predictions]


def predict(model: Infers, dataset: Dataset, *, batch_size: int = 4096) -> Predictions:
    """A model's answers at every frame of `dataset` that has a true cause and a next observation.

    Raises:
        SignalError: no frame of the dataset has a true cause.
    """
    name = model.target.name
    sampler = WindowSampler(dataset, model.inputs, model.window, (name,), labelled_only=True, needs_future=True)
    if not len(sampler):
        raise SignalError(
            f"{dataset.source.origin}: no frame has a true {name!r}. Give labelled episodes to calibrate on."
        )
    parts = []
    with torch.no_grad():
        for batch in sampler.in_order(batch_size):
            answer = model.infer(batch)
            values = (batch.targets[name], answer.point(), answer.spread())
            flat = [v.detach().cpu().double().reshape(len(batch), -1).numpy() for v in values]
            parts.append(Predictions(flat[0], flat[1], flat[2], batch.episode.cpu().numpy(), batch.step.cpu().numpy()))
    return Predictions.join(parts)
