"""An episode with a label laid over it, everything else still read lazily from where it was."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from invdyn.episodes.episode import Episode, EpisodeRecord
from invdyn.episodes.label import MEASURED, Label, label_specs
from invdyn.episodes.signal import Schema, Signal, SignalSpec

__all__ = ["with_label"]


def with_label(episode: Episode, label: Label, target: SignalSpec, schema: Schema) -> Episode:
    """The episode with the label's signals; measured values are the recording's own bytes.

    Args:
        episode: the recording.
        label: its causes.
        target: spec of the cause.
        schema: of the labelled dataset.
    """
    signals = {s.name: s for s in label.signals(target)}
    columns = {part: spec.name for part, spec in label_specs(target).items()}
    for part in ("lower", "upper", "residual"):
        signal = signals[columns[part]]
        if not signal.mask.any():  # nothing to tell in this episode: absent, not a column of missing values
            del signals[columns[part]]
    signals[target.name] = _value(episode, label, target)
    if not signals[target.name].mask.any():
        del signals[target.name]
    return Episode(_Overlay(episode, schema, signals, frozenset({target.name, *columns.values()})), 0)


def _value(episode: Episode, label: Label, target: SignalSpec) -> Signal:
    present = np.array([bool(s) for s in label.source])
    measured = np.array([s == MEASURED for s in label.source])
    inferred = present & ~measured
    empty = np.nan if target.numpy_dtype.kind == "f" else 0
    values = np.full((episode.length, *target.shape), empty, target.numpy_dtype)
    if inferred.any():
        values[inferred] = label.value[inferred].astype(target.numpy_dtype)
    if measured.any():
        recorded = episode[target.name].values
        values[measured] = recorded[measured]
        # The promise of the whole engine, so it is checked where it could break.
        assert values[measured].tobytes() == recorded[measured].tobytes(), "a measured value was changed"
    return Signal(target, values, None if present.all() else present)


@dataclass(frozen=True)
class _Overlay:
    """Source of one episode: signals laid over, the rest passed through."""

    episode: Episode
    schema: Schema
    signals: Mapping[str, Signal]
    replaced: frozenset[str]

    @property
    def origin(self) -> str:
        return f"episode {self.episode.index}, labelled"

    @property
    def lengths(self) -> np.ndarray:
        return np.array([self.episode.length], np.int64)

    def record(self, index: int) -> EpisodeRecord:
        e = self.episode
        return EpisodeRecord(e.length, e.task, e.metadata, tuple(e.spans))

    def timestamps(self, index: int) -> Float64[np.ndarray, " time"]:
        return self.episode.timestamp

    def read(self, index: int, name: str, start: int, stop: int) -> Signal | None:
        if name in self.replaced:
            signal = self.signals.get(name)
            return None if signal is None else signal.slice(start, stop)
        return self.episode.read(name, start, stop) if name in self.episode else None
