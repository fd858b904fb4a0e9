"""Whatever can be recorded comes back: any dtype, shape, length, missing steps, clock, events, texts."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from lerobot_samples import assert_equal, files_of

from invdyn.episodes import Dataset, Episode, Schema, Signal, SignalSpec, Span, open_dataset, write_dataset

NUMBERS = "bool int8 int16 int32 int64 uint8 uint16 uint32 uint64 float16 float32 float64".split()  # noqa: SIM905
SHAPES = st.sampled_from(
    [(), (1,), (3,), (2, 3), (1, 1), (2, 1, 2), (1, 2, 1, 2), (1, 1, 1, 1, 2), (1, 1, 1, 1, 1, 2), (0,)]
)
# JSON text and Parquet hold every character but lone surrogates, which are no Unicode text.
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
FINITE = st.floats(-1e6, 1e6)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | FINITE | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)


@st.composite
def specs(draw: st.DrawFn) -> list[SignalSpec]:
    found = []
    for number in range(draw(st.integers(1, 4))):
        what = draw(st.sampled_from(["number", "number", "number", "text", "png"]))
        name = f"{draw(st.sampled_from(['observation.', 'action.', 'x ', 'größe.', 'a.b.']))}{number}"
        if what == "text":
            found.append(SignalSpec(name, draw(st.sampled_from([(), (2,)])), "string", "text"))
        elif what == "png":
            dtype, channels = draw(st.sampled_from([("uint8", 1), ("uint8", 3), ("uint8", 4), ("uint16", 1)]))
            found.append(SignalSpec(name, (2, 3, channels), dtype, "image", "px", encoding="png"))
        else:
            shape = draw(SHAPES)
            size = int(np.prod(shape))
            names = tuple(draw(st.lists(TEXT, min_size=size, max_size=size))) if draw(st.booleans()) else None
            bounds = st.lists(st.floats(allow_nan=False), min_size=size, max_size=size)
            low = tuple(draw(bounds)) if draw(st.booleans()) and size else None
            kind = draw(st.sampled_from(["state", "action", "force", "reward", "event"]))
            found.append(SignalSpec(name, shape, draw(st.sampled_from(NUMBERS)), kind, draw(TEXT), names, low))
    return found


@st.composite
def signals(draw: st.DrawFn, spec: SignalSpec, length: int) -> Signal | None:
    if draw(st.integers(0, 4)) == 0:
        return None
    shape = (length, *spec.shape)
    if spec.is_text:
        values = np.empty(shape, object)
        for at in np.ndindex(*shape):
            values[at] = draw(TEXT)
    elif spec.numpy_dtype.kind == "f":
        width = spec.numpy_dtype.itemsize * 8
        numbers = st.floats(width=width, allow_nan=False, allow_infinity=False)  # subnormal and negative zero too
        values = draw(hnp.arrays(spec.numpy_dtype, shape, elements=numbers))
    else:
        values = draw(hnp.arrays(spec.numpy_dtype, shape))
    valid = draw(st.none() | hnp.arrays(bool, length))
    if valid is not None and spec.numpy_dtype.kind == "f":
        values = values.copy()
        values[~valid] = np.nan
    return Signal(spec, values, valid)


@st.composite
def datasets(draw: st.DrawFn) -> Dataset:
    fps = draw(st.sampled_from([10.0, 29.97, 1 / 3, 240.0, 0.2]))
    schema = Schema(tuple(draw(specs())), fps)
    episodes = []
    for _ in range(draw(st.integers(1, 3))):
        length = draw(st.integers(1, 5))
        held = [s for spec in schema.signals if (s := draw(signals(spec, length))) is not None]
        clock = (
            np.cumsum(draw(hnp.arrays(float, length, elements=st.floats(1e-3, 1e3))))
            if draw(st.booleans()) or not held
            else None
        )
        events = [
            Span(a, a + b, draw(TEXT), draw(st.dictionaries(TEXT, JSON, max_size=2)))
            for a, b in draw(st.lists(st.tuples(FINITE, st.floats(0, 1e6)), max_size=2))
        ]
        metadata = draw(st.dictionaries(TEXT, JSON, max_size=3))
        episodes.append(
            Episode.from_signals(
                held, fps=fps, timestamp=clock, task=draw(TEXT), metadata=metadata, spans=events, schema=schema
            )
        )
    return Dataset.from_episodes(episodes)


@settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(data=datasets(), matrices=st.sampled_from(["flat", "nested"]), tiny=st.booleans())
def test_everything_comes_back(data: Dataset, matrices: str, tiny: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        options = {"matrices": matrices, "data_mb": 1e-4 if tiny else 100.0, "chunk_files": 2}
        path = write_dataset(data, Path(folder) / "data", **options)
        found = open_dataset(path)
        assert_equal(data, found)
        again = write_dataset(found, Path(folder) / "again", **options)
        assert files_of(again) == files_of(path)  # reading and writing again changes nothing at all
