"""Property tests: whatever can be written comes back, for any dtype, shape, length and pattern of missing values."""

from __future__ import annotations

import string
import tempfile
from pathlib import Path

import numpy as np
import pytest
from foreign_samples import SCHEMA, foreign
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lerobot_samples import NUMERIC, assert_equal

from invdyn.episodes import Dataset, Episode, Schema, Signal, SignalSpec, Span, open_dataset, write_dataset

DTYPES = [
    "float16",
    "float32",
    "float64",
    "int8",
    "int16",
    "int32",
    "int64",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "bool",
]
NAMES = ["observation.state", "observation.b", "action", "next.reward", "aside.x", "label.action.weight"]
TEXT = st.text(string.printable + "äß推\"'", max_size=12).filter(lambda t: "\x00" not in t)


@st.composite
def signals(draw: st.DrawFn, spec: SignalSpec, length: int) -> Signal | None:
    floating = spec.numpy_dtype.kind == "f"
    if floating and draw(st.booleans()) and draw(st.booleans()):
        return None  # the episode lacks the signal
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    if spec.is_text:
        values = np.array(draw(st.lists(TEXT, min_size=length, max_size=length)), object)
    elif floating:
        values = rng.normal(size=(length, *spec.shape)).astype(spec.dtype)
    elif spec.dtype == "bool":
        values = rng.random((length, *spec.shape)) < 0.5
    else:
        info = np.iinfo(spec.dtype)  # the extremes included
        values = rng.integers(info.min, info.max, (length, *spec.shape), dtype=spec.dtype, endpoint=True)
        values.reshape(-1)[:2] = [info.min, info.max][: min(2, values.size)]
    if not floating:
        return Signal(spec, values)
    valid = np.array(draw(st.lists(st.booleans(), min_size=length, max_size=length)), bool)
    values[~valid] = np.nan
    return Signal(spec, values, None if valid.all() else valid)


@st.composite
def datasets(draw: st.DrawFn) -> Dataset:
    specs = []
    for name in NAMES:
        dtype = (
            draw(st.sampled_from(DTYPES)) if name != "next.reward" else draw(st.sampled_from(["float32", "float64"]))
        )
        shape = () if name == "next.reward" else draw(st.sampled_from([(), (1,), (3,), (2, 3)]))
        specs.append(
            SignalSpec(
                name, shape, dtype, "action" if name == "action" else "state", draw(st.sampled_from(["", "rad"]))
            )
        )
    if draw(st.booleans()):
        specs.append(SignalSpec("note", (), "string", "text"))
    schema = Schema(tuple(specs), draw(st.sampled_from([1.0, 10.0, 29.97])))
    episodes = []
    for number in range(draw(st.integers(1, 3))):
        length = draw(st.integers(2, 9))
        found = [s for s in (draw(signals(spec, length)) for spec in specs) if s is not None]
        clock = None
        if draw(st.booleans()):
            gaps = draw(st.lists(st.floats(1e-3, 10.0), min_size=length, max_size=length))
            clock = np.cumsum(gaps)
        spans = [Span(0.0, draw(st.floats(0, 5)), "key:w", {"a": [1, None]})] if draw(st.booleans()) else []
        episodes.append(
            Episode.from_signals(
                found,
                fps=schema.fps,
                timestamp=clock,
                task=draw(TEXT),
                metadata={"seed": number},
                spans=spans,
                schema=schema,
            )
        )
    return Dataset.from_episodes(episodes)


QUICK = settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)


@pytest.mark.parametrize("data_format", ["hdf5", "arrow", "parquet"])
def test_minari(data_format: str) -> None:
    @QUICK
    @given(datasets())
    def check(truth: Dataset) -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = write_dataset(truth, Path(folder) / "any-v0", format="minari", data_format=data_format)
            assert_equal(truth, open_dataset(path))

    check()


def test_robomimic() -> None:
    @QUICK
    @given(datasets())
    def check(truth: Dataset) -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = write_dataset(truth, Path(folder) / "any.hdf5", format="robomimic")
            assert_equal(truth, open_dataset(path))

    check()


@pytest.mark.parametrize("layout", ["minari", "robomimic"])
def test_lerobot_to_foreign_and_back(tmp_path: Path, layout: str) -> None:
    truth = foreign((12, 2, 30, 7), NUMERIC)
    first = write_dataset(truth, tmp_path / "first", format="lerobot")
    name = "middle-v0" if layout == "minari" else "middle.hdf5"
    middle = write_dataset(open_dataset(first), tmp_path / name, format=layout)
    last = write_dataset(open_dataset(middle), tmp_path / "last", format="lerobot")
    assert_equal(truth, open_dataset(last))


def test_human_recordings_through_every_format(tmp_path: Path, shared_data: Path) -> None:
    truth = open_dataset(shared_data / "adroit_door_human")[:4]
    data = truth
    for step, (layout, name) in enumerate(
        [("lerobot", "a"), ("minari", "b-v1"), ("robomimic", "c.hdf5"), ("lerobot", "d")]
    ):
        data = open_dataset(write_dataset(data, tmp_path / name, format=layout))
        assert_equal(truth, data)
        assert step == 0 or data.schema["action"].names == truth.schema["action"].names


def test_pictures_are_lossless(tmp_path: Path) -> None:
    truth = foreign((5, 3), SCHEMA)
    for layout, name in (("minari", "a-v0"), ("robomimic", "b.hdf5")):
        back = open_dataset(write_dataset(truth, tmp_path / name, format=layout))
        for a, b in zip(truth, back, strict=True):
            assert np.array_equal(a["observation.images.top"].values, b["observation.images.top"].values)
