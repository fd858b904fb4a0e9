"""`Study`: experiment, controls, claims; `Context`: what a run gives a study, with parts that survive a kill."""

from __future__ import annotations

import hashlib
import json
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from invdyn.errors import ConfigError
from invdyn.studies.claim import Claim
from invdyn.studies.provenance import PeakMemory

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["SCALES", "Context", "Outcome", "Study"]

SCALES = ("smoke", "laptop", "gpu", "paper")
"""Seconds in CI; 30 minutes on two cores; one accelerator; the paper's own sizes and data."""

Config = TypeVar("Config")


@dataclass(frozen=True)
class Outcome:
    """What one seed measured. Both go through JSON, so a resumed run sees the same bits as a fresh one."""

    metrics: dict[str, Any]
    """Numbers (and lists of numbers) that claims and readers look at; kept in the results file."""
    curves: dict[str, Any] = field(default_factory=dict)
    """What only the figure needs; not kept."""


@dataclass
class Context:
    """What a run gives its study."""

    device: str = "cpu"
    """Where the heavy parts run."""
    data: Path | None = None
    """The folder a user brought (`--data DIR`)."""
    weights: Mapping[str, Path] = field(default_factory=dict)
    """Weights a user brought (`--weights NAME=PATH`)."""
    work: Path | None = None
    """Folder of finished parts; None keeps nothing."""
    advance: Callable[[str], None] = lambda note: None
    """Told after every part."""
    seconds: float = 0.0
    """Time spent computing parts, those of an earlier, killed run included."""
    peak_memory_mb: float = 0.0
    """Largest resident memory while computing parts, likewise."""

    def recordings(self, name: str) -> Path | None:
        """A folder of the user's data, where it is there."""
        path = None if self.data is None else self.data / name
        return path if path is not None and path.is_dir() else None

    def once(self, key: str, compute: Callable[[], Mapping[str, Any]]) -> dict[str, Any]:
        """The result of `compute()`, or what an earlier run of the same code and config left under `key`.

        Everything JSON can say, floats bit for bit. The file appears whole or not at all.
        """
        path = None if self.work is None else self.work / f"{hashlib.sha256(key.encode()).hexdigest()[:24]}.json"
        if path is not None and path.is_file():
            part = json.loads(path.read_text())
        else:
            start = time.perf_counter()
            with PeakMemory() as memory:
                result = compute()
            part = {
                "key": key,
                "seconds": time.perf_counter() - start,
                "peak_memory_mb": memory.mb,
                "result": json.loads(json.dumps(result)),
            }
            if path is not None:
                partial = path.with_suffix(".partial")
                partial.write_text(json.dumps(part))
                partial.replace(path)
        self.seconds += part["seconds"]
        self.peak_memory_mb = max(self.peak_memory_mb, part["peak_memory_mb"])
        self.advance(key)
        return dict(part["result"])

    def need_data(self, what: str) -> Path:
        """The user's data folder.

        Raises:
            ConfigError: none was given, or it is not there.
        """
        if self.data is None:
            raise ConfigError(
                f"this scale needs data that is not part of the package: {what}. Pass its folder as --data DIR."
            )
        if not self.data.is_dir():
            raise ConfigError(f"--data {self.data}: no such folder. Expected {what}.")
        return self.data


class Study(ABC, Generic[Config]):
    """One system of the list, re-tested: data or worlds, the method, its controls, its claims.

    A subclass lives in one file of this room (250 lines at most; the method itself stands in its own room), names its
    slug, one frozen config per scale and its claims, and writes `run` and `figure`.
    """

    slug: ClassVar[str]
    """Its key in SYSTEMS and STUDIES."""
    scales: Mapping[str, Config]
    """Config per scale; a scale that makes no sense is left out."""
    claims: Sequence[Claim]
    """Everything the card says under "Works when"."""

    @abstractmethod
    def run(self, config: Config, seeds: Sequence[int], context: Context) -> dict[int, Outcome]:
        """Train the method and its controls; measure every metric the claims name, for each seed.

        Long work goes through `context.once(key, compute)` so that a killed run continues.
        """

    @abstractmethod
    def figure(self, config: Config, outcomes: Mapping[int, Outcome]) -> Figure:
        """The one figure of the results."""

    def parts(self, config: Config, seeds: Sequence[int]) -> int | None:
        """How many times `run` calls `context.once`, for the progress bar; None when unknown."""
        return None
