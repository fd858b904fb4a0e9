"""`Episode`: one recording, its signals aligned on one clock; `Span`: an event with a beginning and an end."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float64

from invdyn.episodes.signal import Schema, Signal
from invdyn.errors import SignalError, unknown_name

__all__ = ["Episode", "EpisodeRecord", "EpisodeSource", "Span"]


@dataclass(frozen=True, order=True)
class Span:
    """An event that lasts: a key held, a button pressed, a drag.

    Args:
        start, stop: seconds on the episode's clock; equal for an instant (a click).
        name: what it is, e.g. `key:w`, `mouse:left`.
        detail: JSON-able facts about it.
    """

    start: float
    stop: float
    name: str
    detail: Mapping[str, Any] = field(default_factory=dict, compare=False)

    def __post_init__(self) -> None:
        if not (np.isfinite(self.start) and np.isfinite(self.stop) and self.start <= self.stop):
            raise SignalError(f"event {self.name!r} runs from {self.start} s to {self.stop} s; expected start <= stop.")


@dataclass(frozen=True)
class EpisodeRecord:
    """What is known of an episode without reading its signals.

    Args:
        length: steps.
        task: what was asked, in words.
        metadata: JSON-able facts (seed, return, world, policy id, ...).
        spans: its events.
    """

    length: int
    task: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    spans: tuple[Span, ...] = ()


@runtime_checkable
class EpisodeSource(Protocol):
    """Where episodes come from; one implementation per format. Opening one reads metadata only.

    A source that can read several episodes at once faster than one by one has a method more, used by `Dataset.column`:
    `pieces(indices, name)` yields (how many of these episodes, in order, their signal end to end; None if none has it).
    """

    @property
    def schema(self) -> Schema: ...

    @property
    def origin(self) -> str:
        """Path or description, for messages."""
        ...

    @property
    def lengths(self) -> np.ndarray:
        """[episodes] int64 steps of each episode."""
        ...

    def record(self, index: int) -> EpisodeRecord: ...

    def timestamps(self, index: int) -> Float64[np.ndarray, " time"]: ...

    def read(self, index: int, name: str, start: int, stop: int) -> Signal | None:
        """Steps start..stop of one signal; None when this episode does not have it."""
        ...


if TYPE_CHECKING:
    _MappingOfSignals = Mapping[str, Signal]
else:
    _MappingOfSignals = Mapping  # run-time type checkers look into a Mapping[str, Signal], which would read signals


class Episode(_MappingOfSignals):
    """One recording: signals aligned on `timestamp`, read when asked for.

    A mapping from signal name to `Signal` over the signals this episode *has*: one that is in the
    schema but missing here (the hidden actions of an unlabelled episode) is not a key.

    Attributes:
        index: its number in the dataset.
        schema: what the dataset holds.
        task, metadata, spans: see `EpisodeRecord`.
    """

    def __init__(self, source: EpisodeSource, index: int) -> None:
        self._source, self._source_index = source, index
        self.index = index
        self.schema = source.schema
        record = source.record(index)
        self.length, self.task = record.length, record.task
        self.metadata, self.spans = record.metadata, record.spans
        self._cache: dict[str, Signal | None] = {}

    @classmethod
    def from_signals(
        cls,
        signals: Iterable[Signal],
        *,
        fps: float,
        timestamp: Float64[np.ndarray, " time"] | None = None,
        task: str = "",
        metadata: Mapping[str, Any] | None = None,
        spans: Iterable[Span] = (),
        schema: Schema | None = None,
    ) -> Episode:
        """An episode held in memory. Without `timestamp` the clock is regular: step / fps.

        Raises:
            SignalError: signals of different lengths, a clock that does not increase, a signal not in `schema`.
        """
        return cls(_InMemory.of(list(signals), fps, timestamp, task, metadata or {}, tuple(spans), schema), 0)

    @property
    def timestamp(self) -> Float64[np.ndarray, " time"]:
        """[time] seconds, strictly increasing."""
        return self._source.timestamps(self._source_index)

    def read(self, name: str, start: int = 0, stop: int | None = None) -> Signal:
        """Steps start..stop (end exclusive) of one signal, without reading the rest where the format allows.

        Raises:
            UnknownNameError: no such signal in this episode.
        """
        stop = self.length if stop is None else stop
        if not 0 <= start <= stop <= self.length:
            raise SignalError(f"episode {self.index}: steps {start}..{stop} asked of {self.length}.")
        whole = self._cache.get(name)
        if whole is not None:
            return whole.slice(start, stop)
        signal = self._source.read(self._source_index, name, start, stop) if name in self.schema else None
        if signal is None:
            raise unknown_name(f"signal of episode {self.index}", name, self)
        if (start, stop) == (0, self.length) and signal.spec.kind != "image":
            self._cache[name] = signal
        return signal

    def __getitem__(self, name: str) -> Signal:
        return self.read(name)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name in self.schema and self._has(name)

    def _has(self, name: str) -> bool:
        if self._cache.get(name) is not None:
            return True
        # Sources answer a read of no steps with None when the episode lacks the signal.
        return self._source.read(self._source_index, name, 0, 0) is not None

    def __iter__(self) -> Iterator[str]:
        return (name for name in self.schema if self._has(name))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def with_signals(self, signals: Iterable[Signal], *, drop: Iterable[str] = ()) -> Episode:
        """A copy in memory with these signals added or replaced, and those in `drop` left out (not from the schema)."""
        new = {s.name: s for s in signals}
        dropped = set(drop)
        kept = [self[n] for n in self if n not in new and n not in dropped]
        schema = self.schema.updated(s.spec for s in new.values())
        return Episode.from_signals(
            [*kept, *new.values()],
            fps=self.schema.fps,
            timestamp=self.timestamp,
            task=self.task,
            metadata=self.metadata,
            spans=self.spans,
            schema=schema,
        )

    def __repr__(self) -> str:
        return f"Episode({self.index}, {self.length} steps, {', '.join(self)})"


@dataclass(frozen=True)
class _InMemory:
    """The source of a single episode in memory."""

    schema: Schema
    signals: Mapping[str, Signal]
    clock: Float64[np.ndarray, " time"]
    info: EpisodeRecord
    origin: str = "memory"

    @classmethod
    def of(
        cls,
        signals: list[Signal],
        fps: float,
        timestamp: np.ndarray | None,
        task: str,
        metadata: Mapping[str, Any],
        spans: tuple[Span, ...],
        schema: Schema | None,
    ) -> _InMemory:
        lengths = {len(s) for s in signals} | ({len(timestamp)} if timestamp is not None else set())
        if len(lengths) != 1:
            told = ", ".join(f"{s.name} {len(s)}" for s in signals) or "no signals"
            raise SignalError(f"the signals of an episode need one common length, got {told}.")
        (length,) = lengths
        if timestamp is None:
            clock = np.arange(length, dtype=np.float64) / fps
        else:
            clock = np.asarray(timestamp, np.float64)
            wrong = np.flatnonzero(~np.isfinite(clock) | (np.diff(clock, prepend=-np.inf) <= 0))
            if len(wrong):
                at = int(wrong[0])
                raise SignalError(
                    f"timestamp[{at}] = {clock[at]} s does not come after the step before it. "
                    "Sort the rows by time and drop repeated ones."
                )
        own = Schema(tuple(s.spec for s in signals), fps)
        if schema is not None:
            for signal in signals:
                if schema[signal.name] != signal.spec:
                    raise SignalError(
                        f"signal {signal.name!r} is {signal.spec}, the schema says {schema[signal.name]}."
                    )
        record = EpisodeRecord(length, task, dict(metadata), spans)
        return cls(schema or own, {s.name: s for s in signals}, clock, record)

    @property
    def lengths(self) -> np.ndarray:
        return np.array([self.info.length], np.int64)

    def record(self, index: int) -> EpisodeRecord:
        return self.info

    def timestamps(self, index: int) -> Float64[np.ndarray, " time"]:
        return self.clock

    def read(self, index: int, name: str, start: int, stop: int) -> Signal | None:
        signal = self.signals.get(name)
        return None if signal is None else signal.slice(start, stop)
