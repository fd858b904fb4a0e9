"""`filter_labels`: labels good enough for trainers that know no weights."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from invdyn.episodes.dataset import Dataset
from invdyn.episodes.label import MEASURED, label_specs
from invdyn.episodes.signal import Signal
from invdyn.episodes.views import DatasetView
from invdyn.errors import ConfigError, SignalError

__all__ = ["filter_labels"]


def filter_labels(
    dataset: Dataset,
    *,
    target: str = "action",
    min_weight: float = 0.0,
    max_residual: float = float("inf"),
    drop_episodes: float | None = None,
) -> Dataset:
    """The dataset with poor labels taken out. Lazy: labels are looked at when they are read.

    Masks steps: the target is missing where its label's weight is below `min_weight` or its replay residual above
    `max_residual` (a step that was not replayed passes). Measured steps always stay; so do the label columns.
    Trainers that know no masks either need whole episodes: see `drop_episodes`.

    Args:
        dataset: the output of `label_dataset`.
        target: the labelled signal.
        min_weight, max_residual: what a label needs.
        drop_episodes: leave an episode out when more than this share of its labelled steps fails; None keeps all. Reads
            the label columns of every episode.

    Raises:
        SignalError: recordings without the label columns that are asked about.
        ConfigError: thresholds out of range, or no episode left.
    """
    if not 0 <= min_weight <= 1 or not max_residual >= 0 or (drop_episodes is not None and not 0 <= drop_episodes <= 1):
        raise ConfigError(
            f"filter_labels: min_weight={min_weight} and drop_episodes={drop_episodes} lie in [0, 1] and "
            f"max_residual={max_residual} is at least 0."
        )
    columns = label_specs(dataset.schema[target])
    for part in ("source", "weight", "residual"):
        if columns[part].name not in dataset.schema:
            raise SignalError(
                f"{dataset.source.origin} has no {columns[part].name!r}, so {target!r} carries no labels to filter by. "
                "Label it first with label_dataset."
            )
    view = _Filtered(dataset, target, min_weight, max_residual)
    if drop_episodes is None:
        return Dataset(view)
    kept = [i for i in range(len(dataset)) if view.failing(i) <= drop_episodes]
    if not kept:
        raise ConfigError(
            f"{dataset.source.origin}: in every episode more than {drop_episodes:.0%} of the labels fail. "
            "Lower min_weight or raise max_residual."
        )
    return Dataset(view, kept)


@dataclass(frozen=True)
class _Filtered(DatasetView):
    target: str = "action"
    min_weight: float = 0.0
    max_residual: float = float("inf")

    def passes(self, index: int, start: int, stop: int) -> np.ndarray:
        """[time] labels good enough, or measured."""
        columns = label_specs(self.schema[self.target])

        def read(part: str, missing: float) -> np.ndarray:
            signal = DatasetView.read(self, index, columns[part].name, start, stop)
            if signal is None:
                return np.full(stop - start, missing)
            return np.where(signal.mask, signal.values, missing)

        source = DatasetView.read(self, index, columns["source"].name, start, stop)
        measured = np.ones(stop - start, bool) if source is None else np.asarray(source.values) == MEASURED
        good = (read("weight", 0.0) >= self.min_weight) & (read("residual", 0.0) <= self.max_residual)
        return measured | good

    def failing(self, index: int) -> float:
        """Share of the labelled steps that do not pass."""
        length = int(self.lengths[index])
        signal = DatasetView.read(self, index, self.target, 0, length)
        if signal is None or not signal.mask.any():
            return 1.0
        return float((~self.passes(index, 0, length))[signal.mask].mean())

    def read(self, index: int, name: str, start: int, stop: int) -> Signal | None:
        signal = super().read(index, name, start, stop)
        if name != self.target or signal is None:
            return signal
        if start == stop:  # asks whether the episode has it
            length = int(self.lengths[index])
            whole = super().read(index, name, 0, length)
            gone = whole is None or not (whole.mask & self.passes(index, 0, length)).any()
            return None if gone else signal
        valid = signal.mask & self.passes(index, start, stop)
        values = signal.values
        if values.dtype.kind == "f" and not valid.all():
            values = np.where(valid.reshape(-1, *[1] * (values.ndim - 1)), values, np.nan).astype(values.dtype)
        return Signal(signal.spec, values, None if valid.all() else valid)
