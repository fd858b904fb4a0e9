"""Lazy views of a dataset: signals hidden in some episodes, signals left out, metadata added, datasets joined."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float64

from invdyn.episodes.dataset import Dataset
from invdyn.episodes.episode import EpisodeRecord, EpisodeSource
from invdyn.episodes.signal import Schema, Signal

__all__ = ["DatasetView", "hide", "select_signals", "with_metadata"]


@dataclass(frozen=True)
class DatasetView:
    """A dataset as a source; subclasses change one thing."""

    data: Dataset

    @property
    def schema(self) -> Schema:
        return self.data.schema

    @property
    def origin(self) -> str:
        return self.data.source.origin

    @property
    def lengths(self) -> np.ndarray:
        return self.data.lengths

    def _inner(self, index: int) -> int:
        return int(self.data.indices[index])

    def record(self, index: int) -> EpisodeRecord:
        return self.data.source.record(self._inner(index))

    def timestamps(self, index: int) -> Float64[np.ndarray, " time"]:
        return self.data.source.timestamps(self._inner(index))

    def read(self, index: int, name: str, start: int, stop: int) -> Signal | None:
        return self.data.source.read(self._inner(index), name, start, stop)


@dataclass(frozen=True)
class _Hidden(DatasetView):
    names: frozenset[str] = frozenset()
    episodes: frozenset[int] = frozenset()

    def read(self, index: int, name: str, start: int, stop: int) -> Signal | None:
        if name in self.names and index in self.episodes:
            return None
        return super().read(index, name, start, stop)


def hide(dataset: Dataset, names: Iterable[str], episodes: Iterable[int]) -> Dataset:
    """The dataset as if these signals had not been recorded in these episodes (they stay in the schema).

    What is hidden can be compared with what is inferred later: it is still in `dataset`.
    """
    names = list(names)
    dataset.schema.select(names)  # raises for an unknown one
    source: EpisodeSource = _Hidden(dataset, frozenset(names), frozenset(int(range(len(dataset))[e]) for e in episodes))
    return Dataset(source)


@dataclass(frozen=True)
class _Selected(DatasetView):
    kept: tuple[str, ...] = ()

    @property
    def schema(self) -> Schema:
        return self.data.schema.select(self.kept)

    def read(self, index: int, name: str, start: int, stop: int) -> Signal | None:
        return super().read(index, name, start, stop) if name in self.kept else None


def select_signals(dataset: Dataset, names: Iterable[str]) -> Dataset:
    """The dataset with these signals only, in this order. Raises `UnknownNameError` for one it does not have."""
    kept = tuple(names)
    dataset.schema.select(kept)
    return Dataset(_Selected(dataset, kept))


@dataclass(frozen=True)
class _Annotated(DatasetView):
    extra: tuple[Mapping[str, Any], ...] = ()

    def record(self, index: int) -> EpisodeRecord:
        record = super().record(index)
        return replace(record, metadata={**record.metadata, **self.extra[index]})


def with_metadata(dataset: Dataset, extra: Iterable[Mapping[str, Any]]) -> Dataset:
    """The dataset with these entries added to the metadata of each episode, in order."""
    return Dataset(_Annotated(dataset, tuple(extra)))
