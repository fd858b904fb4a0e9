"""`Dataset`: a lazily read sequence of episodes with one schema."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, overload

import numpy as np
from jaxtyping import Bool, Float64, Int64, Shaped

from invdyn.episodes.episode import Episode, EpisodeRecord, EpisodeSource
from invdyn.episodes.signal import Schema, Signal
from invdyn.errors import SignalError

__all__ = ["Column", "Dataset"]


@dataclass(frozen=True)
class Column:
    """One signal of many episodes end to end.

    Args:
        values: [frames, ...]; NaN (floats) or zero where an episode lacks the signal.
        valid: [frames] True where there is a value.
    """

    values: Shaped[np.ndarray, "frames ..."]
    valid: Bool[np.ndarray, " frames"]


if TYPE_CHECKING:
    _SequenceOfEpisodes = Sequence[Episode]
else:
    _SequenceOfEpisodes = Sequence  # run-time type checkers look into a Sequence[Episode], which would read recordings


class Dataset(_SequenceOfEpisodes):
    """Episodes of one schema, read when asked for.

    `dataset[3]` is an `Episode`; `dataset[:10]` and `dataset[[4, 7]]` are datasets over the same source
    that read nothing.

    Args:
        source: where they come from.
        indices: which episodes of the source, in which order; None for all.
    """

    def __init__(self, source: EpisodeSource, indices: Iterable[int] | np.ndarray | None = None) -> None:
        self.source = source
        lengths = source.lengths
        self.indices: Int64[np.ndarray, " episodes"] = (
            np.arange(len(lengths)) if indices is None else np.asarray(list(indices), np.int64).reshape(-1)
        )
        self.lengths: Int64[np.ndarray, " episodes"] = lengths[self.indices]
        self._columns: dict[str, Column] = {}

    @classmethod
    def from_episodes(cls, episodes: Iterable[Episode], origin: str = "memory") -> Dataset:
        """A dataset held in memory; all episodes need one schema (an episode may lack signals of it)."""
        return cls(_Episodes.of(list(episodes), origin))

    @property
    def schema(self) -> Schema:
        return self.source.schema

    @property
    def fps(self) -> float:
        return self.schema.fps

    @property
    def frames(self) -> int:
        """Steps of all episodes."""
        return int(self.lengths.sum())

    @property
    def starts(self) -> Int64[np.ndarray, " episodes"]:
        """[episodes] the frame at which each episode begins when all stand end to end."""
        return np.concatenate([[0], np.cumsum(self.lengths)[:-1]]).astype(np.int64)

    def __len__(self) -> int:
        return len(self.indices)

    @overload
    def __getitem__(self, at: int) -> Episode: ...
    @overload
    def __getitem__(self, at: slice | Sequence[int] | np.ndarray) -> Dataset: ...
    def __getitem__(self, at: int | slice | Sequence[int] | np.ndarray) -> Episode | Dataset:
        if isinstance(at, (int, np.integer)):
            episode = Episode(self.source, int(self.indices[at]))
            episode.index = int(range(len(self))[at])
            return episode
        return Dataset(self.source, self.indices[at if isinstance(at, slice) else np.asarray(at, np.int64)])

    def __iter__(self) -> Iterator[Episode]:
        return (self[i] for i in range(len(self)))

    def records(self) -> list[EpisodeRecord]:
        """Task, metadata and spans of every episode, without reading signals."""
        return [self.source.record(int(i)) for i in self.indices]

    def where(self, keep: Callable[[EpisodeRecord], bool]) -> Dataset:
        """The episodes whose record passes `keep`."""
        return self[[i for i, record in enumerate(self.records()) if keep(record)]]

    def column(self, name: str) -> Column:
        """One signal of all episodes end to end, read once and kept (images too: mind the memory)."""
        if name not in self._columns:
            self._columns[name] = self._read_column(name)
        return self._columns[name]

    def _read_column(self, name: str) -> Column:
        spec = self.schema[name]
        pieces: Callable[[np.ndarray, str], Iterator[tuple[int, Signal | None]]]
        pieces = getattr(self.source, "pieces", self._one_by_one)
        fresh = hasattr(self.source, "pieces")  # what a file was read into is ours; episodes in memory keep theirs
        values, valid, at = None, np.zeros(self.frames, bool), 0
        ends = np.append(self.starts, self.frames)
        for count, signal in pieces(self.indices, name):
            start, stop = int(ends[at]), int(ends[at + count])
            at += count
            if fresh and signal is not None and stop - start == self.frames:
                return Column(signal.values, signal.mask)
            if values is None:
                values = np.empty((self.frames, *spec.shape), spec.numpy_dtype)
            if signal is None:
                values[start:stop] = np.nan if spec.numpy_dtype.kind == "f" else "" if spec.is_text else 0
            else:
                values[start:stop] = signal.values
                valid[start:stop] = True if signal.valid is None else signal.valid
        return Column(np.zeros((0, *spec.shape), spec.numpy_dtype) if values is None else values, valid)

    def _one_by_one(self, indices: np.ndarray, name: str) -> Iterator[tuple[int, Signal | None]]:
        lengths = self.source.lengths
        for index in indices:
            yield 1, self.source.read(int(index), name, 0, int(lengths[index]))

    def __repr__(self) -> str:
        return f"Dataset({self.source.origin}: {len(self)} episodes, {self.frames} frames at {self.fps:g} fps)"


@dataclass(frozen=True)
class _Episodes:
    """The source of a list of episodes."""

    episodes: Sequence[Episode]
    schema: Schema
    origin: str

    @classmethod
    def of(cls, episodes: list[Episode], origin: str) -> _Episodes:
        if not episodes:
            raise SignalError("a dataset needs at least one episode, got none.")
        specs = {s.name: s for e in episodes for s in e.schema.signals}
        for index, episode in enumerate(episodes):
            for spec in episode.schema.signals:
                if specs[spec.name] != spec:
                    raise SignalError(
                        f"episode {index}: signal {spec.name!r} is {spec}, another one has {specs[spec.name]}."
                    )
            if episode.schema.fps != episodes[0].schema.fps:
                raise SignalError(
                    f"episode {index} has {episode.schema.fps} fps, the first one {episodes[0].schema.fps}."
                )
        return cls(episodes, Schema(tuple(specs.values()), episodes[0].schema.fps), origin)

    @property
    def lengths(self) -> np.ndarray:
        return np.array([e.length for e in self.episodes], np.int64)

    def record(self, index: int) -> EpisodeRecord:
        e = self.episodes[index]
        return EpisodeRecord(e.length, e.task, e.metadata, tuple(e.spans))

    def timestamps(self, index: int) -> Float64[np.ndarray, " time"]:
        return self.episodes[index].timestamp

    def read(self, index: int, name: str, start: int, stop: int) -> Signal | None:
        episode = self.episodes[index]
        return episode.read(name, start, stop) if name in episode else None
