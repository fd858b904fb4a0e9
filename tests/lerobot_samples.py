"""Small recordings for the tests of the native layout, and what it means that two datasets are equal."""

from __future__ import annotations

import numpy as np

from invdyn.episodes import Dataset, Episode, Schema, Signal, SignalSpec, Span

STATE = SignalSpec(
    "observation.state", (4,), "float32", "state", "rad", names=("a", "b", "c", "d"), low=(-np.inf,), high=(1.0,)
)
ACTION = SignalSpec("action", (2,), "float32", "action", "N m", low=(-1.0, -2.0), high=(1.0, 2.0))
REWARD = SignalSpec("next.reward", (), "float64", "reward")
MATRIX = SignalSpec("world.inertia", (2, 3), "float64", "state", "kg m^2")
NOTE = SignalSpec("note", (), "string", "text")
FLAG = SignalSpec("next.success", (), "bool", "event")
TOP = SignalSpec("observation.images.top", (32, 48, 3), "uint8", "image", encoding="video")
SIDE = SignalSpec("observation.images.side", (64, 64, 3), "uint8", "image", encoding="video")
PNG = SignalSpec("observation.images.wrist", (8, 9, 3), "uint8", "image", encoding="png")
NUMERIC = Schema((STATE, ACTION, REWARD, MATRIX, NOTE, FLAG), 10.0)
SCHEMA = Schema((STATE, ACTION, REWARD, MATRIX, NOTE, FLAG, PNG, TOP, SIDE), 10.0)
TASKS = ("put the \"red\" block on 'top'", "stoße den Würfel 推", "")


def picture_of(number: int, shape: tuple[int, ...]) -> np.ndarray:
    """A picture that tells its number: twelve large patches, dark or light, as binary digits (survives coding)."""
    height, width, channels = shape
    bits = np.array([(number >> k) & 1 for k in range(12)], np.uint8).reshape(3, 4)
    rows, columns = np.arange(height) * 3 // height, np.arange(width) * 4 // width
    return np.repeat((bits[rows][:, columns] * 200 + 20)[..., None], channels, 2).astype(np.uint8)


def number_of(picture: np.ndarray) -> int:
    """The number that `picture_of` put in."""
    height, width, _ = picture.shape
    rows, columns = np.arange(3) * height // 3 + height // 6, np.arange(4) * width // 4 + width // 8
    bits = picture[rows][:, columns].mean(2) > 128
    return int((bits.reshape(-1) * 2 ** np.arange(12)).sum())


def values_of(spec: SignalSpec, length: int, rng: np.random.Generator, first: int = 0) -> np.ndarray:
    if spec.encoding == "video":
        return np.stack([picture_of(first + k, spec.shape) for k in range(length)])
    if spec.is_text:
        return np.array([f"wort {k} ✓" for k in range(length)], object)
    if spec.dtype == "bool":
        return rng.random((length, *spec.shape)) > 0.5
    if spec.numpy_dtype.kind == "u":
        return rng.integers(0, 256, (length, *spec.shape)).astype(spec.dtype)
    return rng.normal(size=(length, *spec.shape)).astype(spec.dtype)


def sample(lengths: tuple[int, ...] = (12, 1, 30, 7), schema: Schema = SCHEMA, seed: int = 0) -> Dataset:
    """Episodes with tasks, spans and metadata; every last action missing, every second episode without actions, the
    third with an irregular clock; video pictures number all frames of the dataset."""
    rng = np.random.default_rng(seed)
    episodes, first = [], 0
    for index, length in enumerate(lengths):
        signals = []
        for spec in schema.signals:
            valid = None
            if spec.name == "action":
                if index % 2:
                    continue
                valid = np.arange(length) < length - 1
            signals.append(Signal(spec, values_of(spec, length, rng, first), valid))
        clock = np.cumsum(rng.random(length) + 0.01) if index == 2 else None
        spans = [Span(0.0, 0.25, "key:w", {"modifiers": ["shift"]}), Span(0.5, 0.5, "mouse:left")][: index + 1]
        metadata = {"seed": index, "return": 0.1 * index, "world": {"id": "pendulum", "größe": [1, 2.5, None]}}
        task = TASKS[index % len(TASKS)]
        episodes.append(
            Episode.from_signals(
                signals, fps=schema.fps, timestamp=clock, task=task, metadata=metadata, spans=spans, schema=schema
            )
        )
        first += length
    return Dataset.from_episodes(episodes)


def assert_equal(truth: Dataset, found: Dataset, *, videos: bool = True) -> None:
    """Bit for bit, at every step that has a value; lossy video: the right frame at every step."""
    assert found.schema == truth.schema
    assert found.lengths.tolist() == truth.lengths.tolist()
    first = 0
    for a, b in zip(truth, found, strict=True):
        present = [n for n in a if a[n].mask.any()]  # missing at every step is the same as absent
        assert list(b) == present
        assert b.task == a.task
        assert b.metadata == a.metadata
        assert tuple(b.spans) == tuple(a.spans)
        assert [dict(s.detail) for s in b.spans] == [dict(s.detail) for s in a.spans]
        assert np.array_equal(b.timestamp, a.timestamp)
        for name in present:
            x, y = a[name], b[name]
            assert y.spec == x.spec
            assert np.array_equal(y.mask, x.mask), name
            if x.spec.encoding == "video":
                if videos:
                    assert [number_of(p) for p in y.values] == [first + k for k in range(a.length)]
            else:
                mask = x.mask
                assert x.values[mask].tobytes() == y.values[mask].tobytes() or x.spec.is_text
                assert x.values[mask].tolist() == y.values[mask].tolist(), name
                if x.spec.numpy_dtype.kind == "f":
                    assert np.isnan(y.values[~mask]).all()
        first += a.length


def files_of(folder) -> dict[str, bytes]:  # type: ignore[no-untyped-def]
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}
