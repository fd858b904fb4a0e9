"""`ForeignSource`: the checks every reader of a foreign format makes, once; `Naming`: foreign keys to named signals."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64, Shaped

from invdyn.episodes.episode import EpisodeRecord
from invdyn.episodes.signal import Kind, Schema, Signal, SignalSpec, infer_kind
from invdyn.errors import FormatError, SignalError

__all__ = ["CONVENTIONAL", "ForeignSource", "MissingPolicy", "Naming", "complaint", "nominal_fps", "spec_from_json"]

MissingPolicy = str
"""`refuse` (a NaN is an error) or `mask` (such a step is missing)."""
Values = tuple[Shaped[np.ndarray, "time ..."], Bool[np.ndarray, " time"] | None]

CONVENTIONAL: Mapping[str, str] = {
    "observations": "observation.state",
    "observation": "observation.state",
    "obs": "observation.state",
    "state": "observation.state",
    "states": "observation.state",
    "actions": "action",
    "rewards": "next.reward",
    "reward": "next.reward",
}
"""Signal names of the array names that the field uses for them; every other key keeps its own name."""


def complaint(
    file: Path | str,
    found: str,
    *,
    expected: str,
    remedy: str,
    episode: int | None = None,
    signal: str | None = None,
) -> FormatError:
    """The one sentence about broken input: file, episode and signal, what was found, what was expected, what to do."""
    where = "".join(
        [str(file), "" if episode is None else f", episode {episode}", "" if signal is None else f", signal {signal!r}"]
    )
    return FormatError(f"{where}: {found}; expected {expected}. {remedy}")


def nominal_fps(clock: Float64[np.ndarray, " time"], file: Path | str, episode: int) -> float:
    """Frames per second of a recorded clock: one over its median step, free of the rounding of decimal seconds."""
    if len(clock) < 2:
        raise complaint(
            file,
            "a single time stamp tells no frame rate",
            expected="two steps at least",
            remedy="Pass fps=...",
            episode=episode,
        )
    unknown = np.flatnonzero(~np.isfinite(clock))
    if len(unknown):
        raise complaint(
            file,
            f"time {clock[unknown[0]]} at step {unknown[0]} ({len(unknown)} in all)",
            expected="seconds at every step",
            remedy="Name the right time column (time=...), or drop such rows.",
            episode=episode,
        )
    step = float(np.median(np.diff(clock)))
    if not step > 0:
        raise complaint(
            file,
            f"the median time step is {step} s",
            expected="time that increases",
            remedy="Name the right time column (time=...), or drop repeated rows.",
            episode=episode,
        )
    rate = 1.0 / step
    return round(rate, 3) if abs(rate - round(rate, 3)) < 1e-4 * rate else rate


def spec_from_json(told: Mapping[str, Any]) -> SignalSpec:
    """A spec out of parsed JSON (`dataclasses.asdict` the other way): lists are tuples."""
    fields: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in told.items()}
    return SignalSpec(**fields)


@dataclass(frozen=True)
class Naming:
    """How foreign keys become signals.

    Args:
        names: foreign key -> signal name; keys that are not listed follow `CONVENTIONAL`, else keep their name.
        units: signal name -> unit.
        bounds: signal name -> (low, high), each a number or one number per component.
        components: signal name -> one name per component.
        kinds: signal name -> kind, where the name does not tell it.
        drop: foreign keys that are no signals.
    """

    names: Mapping[str, str] = field(default_factory=dict)
    units: Mapping[str, str] = field(default_factory=dict)
    bounds: Mapping[str, tuple[float | Sequence[float], float | Sequence[float]]] = field(default_factory=dict)
    components: Mapping[str, Sequence[str]] = field(default_factory=dict)
    kinds: Mapping[str, Kind] = field(default_factory=dict)
    drop: Sequence[str] = ()

    def name(self, key: str) -> str:
        """The signal name of a foreign key (slashes, which a signal name may not hold, become dots)."""
        return self.names.get(key) or CONVENTIONAL.get(key) or key.replace("/", ".")

    def spec(self, key: str, shape: tuple[int, ...], dtype: str, file: Path | str) -> SignalSpec:
        """The spec of a foreign key. Raises `FormatError` where names, bounds or the dtype do not fit."""
        name = self.name(key)
        low, high = self.bounds.get(name, (None, None))

        def flat(bound: float | Sequence[float] | None) -> tuple[float, ...] | None:
            return None if bound is None else tuple(float(b) for b in np.asarray(bound, np.float64).reshape(-1))

        names = self.components.get(name)
        try:
            return SignalSpec(
                name,
                shape,
                dtype,
                self.kinds.get(name) or infer_kind(name, dtype, shape),
                self.units.get(name, ""),
                None if names is None else tuple(names),
                flat(low),
                flat(high),
            )
        except SignalError as error:
            raise FormatError(f"{file}, key {key!r}: {error}") from None

    def check(self, keys: Sequence[str], signals: Sequence[str], file: Path | str) -> None:
        """Refuse options that name what the file does not hold: a typing mistake would else pass unseen."""
        for option, given, known in (
            ("names", self.names, keys),
            ("drop", self.drop, keys),
            ("units", self.units, signals),
            ("bounds", self.bounds, signals),
            ("components", self.components, signals),
            ("kinds", self.kinds, signals),
        ):
            for name in given:
                if name not in known:
                    raise complaint(
                        file,
                        f"option {option} names {name!r}, which is not there",
                        expected=f"one of {', '.join(sorted(known))}",
                        remedy="Correct the option.",
                    )


class ForeignSource(ABC):
    """Episodes of a foreign file, read when asked for and checked when read.

    A subclass opens the file's metadata and says where values stand (`_values`); shape, dtype, NaN and the
    clock are checked here, so that every format answers broken data in the same words.

    Args:
        path: the file or folder, for messages.
        schema: the signals.
        lengths: [episodes] steps.
        nan: `refuse` (a NaN or infinity is an error) or `mask` (such steps are missing).
    """

    def __init__(self, path: Path, schema: Schema, lengths: Sequence[int], nan: MissingPolicy = "refuse") -> None:
        if nan not in ("refuse", "mask"):
            raise FormatError(f"{path}: option nan={nan!r}; expected 'refuse' or 'mask'.")
        self.path, self.nan = path, nan
        self._schema, self._specs = schema, {spec.name: spec for spec in schema.signals}
        self._lengths = np.asarray(lengths, np.int64).reshape(-1)

    @property
    def schema(self) -> Schema:
        return self._schema

    @property
    def origin(self) -> str:
        return str(self.path)

    @property
    def lengths(self) -> np.ndarray:
        return self._lengths

    def file(self, index: int) -> Path:
        """The file an episode stands in, for messages."""
        return self.path

    def record(self, index: int) -> EpisodeRecord:
        return EpisodeRecord(int(self._lengths[index]))

    @abstractmethod
    def _values(self, index: int, name: str, start: int, stop: int) -> Values | None:
        """Steps start..stop of a signal and which of them are there (None for all); None without the signal."""

    @abstractmethod
    def _has(self, index: int, name: str) -> bool:
        """Whether the episode has the signal, without reading values."""

    def _clock(self, index: int) -> Float64[np.ndarray, " time"] | None:
        """Recorded seconds; None where steps follow each other at the nominal rate."""
        return None

    def timestamps(self, index: int) -> Float64[np.ndarray, " time"]:
        clock = self._clock(index)
        if clock is None:
            return np.arange(self._lengths[index], dtype=np.float64) / self._schema.fps
        wrong = np.flatnonzero(~np.isfinite(clock) | (np.diff(clock, prepend=-np.inf) <= 0))
        if len(wrong):
            at = int(wrong[0])
            before = f" after {clock[at - 1]} s" if at else ""
            raise complaint(
                self.file(index),
                f"time {clock[at]} s at step {at}{before}",
                expected="time that is finite and strictly increasing",
                remedy="Sort the rows by time and drop repeated ones.",
                episode=index,
                signal="timestamp",
            )
        return clock

    def read(self, index: int, name: str, start: int, stop: int) -> Signal | None:
        spec = self._specs.get(name)
        if spec is None:
            return None
        if start == stop:  # only asked whether it is there
            return Signal(spec, np.empty((0, *spec.shape), spec.numpy_dtype)) if self._has(index, name) else None
        found = self._values(index, name, start, stop)
        if found is None:
            return None
        values, valid = found
        if values.shape != (stop - start, *spec.shape) or values.dtype != spec.numpy_dtype:
            raise complaint(
                self.file(index),
                f"{values.dtype} values of shape {values.shape}",
                expected=f"{spec.dtype} of shape {(stop - start, *spec.shape)} as in the other episodes",
                remedy="Repair or leave out this episode.",
                episode=index,
                signal=name,
            )
        if values.dtype.kind == "f":
            values, valid = self._finite(index, spec, values, valid, start)
        if valid is not None and valid.all():
            valid = None
        return Signal(spec, values, valid)

    def _finite(
        self, index: int, spec: SignalSpec, values: np.ndarray, valid: np.ndarray | None, start: int
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Values with NaN at missing steps and nowhere else; a missing step is one that is absent, or not finite."""
        finite = np.isfinite(values)
        present = len(values) if valid is None else int(np.count_nonzero(valid))
        if np.count_nonzero(finite) == present * spec.size and (valid is None or np.isnan(values[~valid]).all()):
            return values, valid
        finite = finite.reshape(len(values), spec.size).all(1)
        there = np.ones(len(values), bool) if valid is None else valid
        wrong = np.flatnonzero(there & ~finite)
        if len(wrong) and self.nan == "refuse":
            raise complaint(
                self.file(index),
                f"NaN or infinity at step {start + int(wrong[0])} ({len(wrong)} steps in all)",
                expected="finite numbers",
                remedy="Repair the data, or pass nan='mask' to read such steps as missing.",
                episode=index,
                signal=spec.name,
            )
        there = there & finite
        if there.all():
            return values, None
        values = np.array(values)
        values[~there] = np.nan
        return values, there
