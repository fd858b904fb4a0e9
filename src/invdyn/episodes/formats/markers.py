"""`Markers`: labelled points over time with gaps, as motion capture records them; one signal per marker."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64

from invdyn.episodes.episode import Episode
from invdyn.episodes.formats.foreign import MissingPolicy, complaint
from invdyn.episodes.formats.motion_files import float_spec, masked
from invdyn.episodes.signal import Signal
from invdyn.errors import SignalError

__all__ = ["LENGTHS", "PREFIX", "Markers"]

PREFIX = "observation.marker."
"""Signals of markers are named `observation.marker.<label>`, with dots for slashes."""
LENGTHS: Mapping[str, float] = {"m": 1.0, "mm": 1e3, "cm": 1e2}
"""Units of length in one metre (dividing by these is more exact than multiplying by 0.001)."""


@dataclass(frozen=True)
class Markers:
    """Labelled points over time.

    Args:
        names: labels, each once.
        time: [time] seconds.
        positions: [time, marker, 3] m in the laboratory frame of the recording; NaN where a marker is not seen.
        rate: frames per second.
        metadata: what else the file says.

    Raises:
        SignalError: labels that are empty or stand twice, or shapes that do not agree.
    """

    names: tuple[str, ...]
    time: Float64[np.ndarray, " time"]
    positions: Float64[np.ndarray, "time marker 3"]
    rate: float
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.positions.shape != (len(self.time), len(self.names), 3):
            raise SignalError(
                f"markers: positions of shape {self.positions.shape}, expected {len(self.time)} steps of "
                f"{len(self.names)} labels with 3 coordinates. Pass one label per marker."
            )
        seen: set[str] = set()
        for name in (n.replace("/", ".").replace("\\", ".") for n in self.names):
            if not name or name in seen:
                raise SignalError(
                    f"markers: label {name!r} is empty or stands twice. Give each marker a name of its own."
                )
            seen.add(name)

    @property
    def valid(self) -> Bool[np.ndarray, "time marker"]:
        """[time, marker] whether the marker is seen."""
        return ~np.isnan(self.positions).any(axis=2)

    def signals(self, path: Path, nan: MissingPolicy = "mask") -> list[Signal]:
        """One signal per marker, [time, 3] m, missing where the marker is not seen."""
        return [
            masked(
                float_spec(path, PREFIX + name, ("x", "y", "z"), unit="m"),
                np.ascontiguousarray(self.positions[:, k]),
                path,
                nan,
            )
            for k, name in enumerate(self.names)
        ]

    @classmethod
    def from_episode(cls, episode: Episode, path: Path | str = "recording") -> Markers:
        """The markers of an episode, in the order of its schema.

        Raises:
            FormatError: an episode without markers, or markers that are not [time, 3] in m.
        """
        found = [(n, s) for n, s in episode.items() if n.startswith(PREFIX)]
        if not found:
            raise complaint(
                path,
                "no marker",
                expected=f"signals named {PREFIX}<label>",
                remedy="Name the signals of markers so.",
                episode=episode.index,
            )
        for name, signal in found:
            if signal.spec.shape != (3,) or signal.spec.unit != "m":
                raise complaint(
                    path,
                    f"steps of shape {signal.spec.shape} in {signal.spec.unit or 'no unit'}",
                    expected="3 coordinates in m",
                    remedy="Convert the marker, or rename the signal.",
                    episode=episode.index,
                    signal=name,
                )
        told = episode.metadata.get("markers")
        labels = [n.removeprefix(PREFIX) for n, _ in found]
        if isinstance(told, Sequence) and [str(n).replace("/", ".").replace("\\", ".") for n in told] == labels:
            labels = [str(n) for n in told]  # as the file had them
        positions = np.stack([np.where(s.mask[:, None], s.values, np.nan) for _, s in found], axis=1)
        return cls(
            tuple(labels), episode.timestamp, positions.astype(np.float64), episode.schema.fps, dict(episode.metadata)
        )
