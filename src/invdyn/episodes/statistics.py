"""`statistics`: range, mean, spread and quantiles of every signal, recomputed from the values (formats.md 1.7)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64, Shaped

from invdyn.episodes.dataset import Dataset
from invdyn.episodes.episode import Episode
from invdyn.episodes.signal import SignalSpec
from invdyn.errors import SignalError

__all__ = ["QUANTILES", "Statistics", "combine", "signal_statistics", "statistics", "subsample"]

QUANTILES = {"q01": 0.01, "q10": 0.10, "q50": 0.50, "q90": 0.90, "q99": 0.99}


@dataclass(frozen=True)
class Statistics:
    """Of one signal, per component (shape of one step; pictures: (channel, 1, 1), scaled to [0, 1]).

    Args:
        min, max: in the signal's own dtype for bool and integers.
        mean, std: of the valid steps; std with divisor n.
        q01, q10, q50, q90, q99: quantiles, linear interpolation.
        count: valid steps (pictures: pictures looked at).
    """

    min: Shaped[np.ndarray, ...]
    max: Shaped[np.ndarray, ...]
    mean: Float64[np.ndarray, ...]
    std: Float64[np.ndarray, ...]
    q01: Float64[np.ndarray, ...]
    q10: Float64[np.ndarray, ...]
    q50: Float64[np.ndarray, ...]
    q90: Float64[np.ndarray, ...]
    q99: Float64[np.ndarray, ...]
    count: int

    def json(self, *, nested: bool = True) -> dict[str, Any]:
        """As in `meta/stats.json`: lists; a scalar is a list of one; flattened unless `nested`."""
        found: dict[str, Any] = {}
        for key in ("min", "max", "mean", "std", "count", *QUANTILES):
            value = np.atleast_1d(getattr(self, key))
            found[key] = (value if nested else value.reshape(-1)).tolist()
        return found

    @classmethod
    def of_json(cls, told: Mapping[str, Any]) -> Statistics:
        """Back from `json`; scalars stay lists of one."""
        floats = {key: np.asarray(told[key], np.float64) for key in ("mean", "std", *QUANTILES)}
        return cls(min=np.asarray(told["min"]), max=np.asarray(told["max"]), count=int(told["count"][0]), **floats)


def subsample(length: int) -> np.ndarray:
    """The pictures of an episode that are looked at: clip(n^0.75, 100, 10,000), evenly spaced (formats.md 1.7)."""
    wanted = min(length, int(np.clip(length**0.75, 100, 10_000)))
    return np.unique(np.round(np.linspace(0, length - 1, wanted)).astype(np.int64)) if length else np.arange(0)


def signal_statistics(
    spec: SignalSpec, values: Shaped[np.ndarray, "time ..."], valid: Bool[np.ndarray, " time"] | None = None
) -> Statistics | None:
    """Statistics over the valid steps; None for text and where there is no valid step."""
    if spec.is_text or not spec.size:
        return None
    if valid is not None:
        values = values[valid]
    if not len(values):
        return None
    if spec.kind == "image" and len(spec.shape) == 3 and spec.numpy_dtype.kind == "u":
        return _of_pictures(values, spec)
    scale = _scale(float(np.abs(values).max()) if spec.numpy_dtype.kind == "f" else 0.0)
    exact = values.astype(np.float64) / scale
    quantiles = np.quantile(exact, list(QUANTILES.values()), axis=0) * scale
    least, most = values.min(0), values.max(0)
    if spec.numpy_dtype.kind == "f":
        least, most = least.astype(np.float64), most.astype(np.float64)
    return _make(least, most, exact.mean(0) * scale, exact.std(0) * scale, quantiles, len(values))


def _scale(largest: float) -> float:
    """A power of two to divide by, so that squares of very large numbers do not overflow; 1 for all ordinary ones."""
    return 2.0 ** min(np.ceil(np.log2(float(largest))) + 2, 1023) if largest > 1e100 else 1.0


def _of_pictures(values: np.ndarray, spec: SignalSpec) -> Statistics:
    step = (
        max(1, max(spec.shape[:2]) // 150) if max(spec.shape[:2]) >= 300 else 1
    )  # large pictures are thinned, as LeRobot does
    pixels = values[:, ::step, ::step].reshape(-1, spec.shape[2])
    scale = 255.0 if spec.dtype == "uint8" else 1.0  # depth stays in its unit
    shape = (-1, 1, 1)
    if spec.dtype == "uint8":  # a histogram holds all there is to know of 256 values
        counts = np.stack([np.bincount(pixels[:, c], minlength=256) for c in range(spec.shape[2])])
        return _of_histogram(counts, len(values))
    exact = pixels.astype(np.float64) / scale
    quantiles = np.quantile(exact, list(QUANTILES.values()), axis=0)
    parts = [exact.min(0), exact.max(0), exact.mean(0), exact.std(0)]
    least, most, mean, std = (p.reshape(shape) for p in parts)
    return _make(least, most, mean, std, quantiles.reshape(len(QUANTILES), *shape), len(values))


def _of_histogram(counts: np.ndarray, pictures: int) -> Statistics:
    """From [channel, 256] counts of pixel values; quantiles with the linear interpolation of numpy."""
    levels = np.arange(256) / 255.0
    total = counts.sum(1, keepdims=True)
    mean = (counts * levels).sum(1) / total[:, 0]
    std = np.sqrt((counts * (levels - mean[:, None]) ** 2).sum(1) / total[:, 0])
    running = counts.cumsum(1)

    def value(rank: np.ndarray) -> np.ndarray:
        return np.stack([levels[np.searchsorted(running[c], rank[c], side="right")] for c in range(len(counts))])

    last = total[:, 0] - 1
    quantiles = []
    for q in QUANTILES.values():
        place = q * last
        low, high = value(np.floor(place)), value(np.ceil(place))
        quantiles.append(low + (high - low) * (place - np.floor(place)))
    shape = (-1, 1, 1)
    parts = [value(np.zeros(len(counts))), value(last), mean, std]
    least, most, mean, std = (p.reshape(shape) for p in parts)
    return _make(least, most, mean, std, np.stack(quantiles).reshape(len(QUANTILES), *shape), pictures)


def _make(least: Any, most: Any, mean: Any, std: Any, quantiles: np.ndarray, count: int) -> Statistics:
    parts = dict(zip(QUANTILES, map(np.asarray, quantiles), strict=True))
    return Statistics(np.asarray(least), np.asarray(most), np.asarray(mean), np.asarray(std), **parts, count=count)


def combine(parts: Sequence[Statistics]) -> Statistics:
    """Statistics of several episodes together, from theirs: exact but for the quantiles, which are an envelope.

    Least of min, greatest of max, mean weighted by count, variance by the parallel formula (Chan et al. 1979);
    quantiles: least of the lower ones up to q50, greatest of the upper ones (LeRobot since 2026-08; formats.md 1.7).
    """
    counts = np.array([p.count for p in parts], np.float64)
    weight = (counts / counts.sum()).reshape(-1, *[1] * np.ndim(parts[0].mean))
    scale = _scale(max(float(np.abs([p.min, p.max]).max()) for p in parts) if parts[0].min.dtype.kind == "f" else 0.0)
    means, spreads = np.stack([p.mean for p in parts]) / scale, np.stack([p.std for p in parts]) / scale
    mean = (weight * means).sum(0)
    variance = (weight * (spreads**2 + (means - mean) ** 2)).sum(0)
    quantiles = [
        np.stack([getattr(p, name) for p in parts]).min(0)
        if q <= 0.5
        else np.stack([getattr(p, name) for p in parts]).max(0)
        for name, q in QUANTILES.items()
    ]
    least, most = np.stack([p.min for p in parts]).min(0), np.stack([p.max for p in parts]).max(0)
    return _make(least, most, mean * scale, np.sqrt(variance) * scale, np.stack(quantiles), int(counts.sum()))


def episode_statistics(episode: Episode, name: str) -> Statistics | None:
    """Statistics of one signal of one episode; pictures are sub-sampled."""
    if name not in episode:
        return None
    spec = episode.schema[name]
    if spec.kind != "image" or len(spec.shape) != 3:
        signal = episode[name]
        return signal_statistics(spec, signal.values, signal.valid)
    chosen = subsample(episode.length)
    if len(chosen) == episode.length:
        signal = episode[name]
        return signal_statistics(spec, signal.values, signal.valid)
    pieces = [episode.read(name, int(at), int(at) + 1) for at in chosen]
    return signal_statistics(spec, np.concatenate([p.values for p in pieces]), np.concatenate([p.mask for p in pieces]))


def statistics(dataset: Dataset, names: Iterable[str] | None = None) -> dict[str, Statistics]:
    """Recomputed statistics of signals, missing steps ignored; what a file says of itself is never used.

    Args:
        names: which signals; None for all. Text, and signals without a single value, are left out of the result.

    Raises:
        UnknownNameError: a signal the dataset does not have.
        SignalError: a valid step that is not finite.

    Numeric signals: exact, quantiles included. Pictures: sub-sampled per episode, quantiles an envelope over episodes.
    """
    found = {}
    for name in dataset.schema if names is None else names:
        spec = dataset.schema[name]
        if spec.is_text:
            continue
        if spec.kind == "image" and len(spec.shape) == 3:
            parts = [s for episode in dataset if (s := episode_statistics(episode, name)) is not None]
            whole = combine(parts) if parts else None
        else:
            column = dataset.column(name)
            values = column.values[column.valid]
            if spec.numpy_dtype.kind == "f" and not np.isfinite(values).all():
                raise SignalError(f"signal {name!r} has a value that is not finite at a valid step. Mask that step.")
            whole = signal_statistics(spec, values)
        if whole is not None:
            found[name] = whole
    return found
