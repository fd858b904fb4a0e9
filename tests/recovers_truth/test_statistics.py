"""Statistics are those that numpy gives for the same values."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from lerobot_samples import NUMERIC, PNG, SCHEMA, sample

from invdyn.episodes import Dataset, Episode, Signal, SignalSpec, Statistics, statistics
from invdyn.episodes.statistics import QUANTILES, combine, signal_statistics, subsample
from invdyn.errors import SignalError, UnknownNameError

VALUE = SignalSpec("x", (3,), "float64", "state")
PICTURE = SignalSpec("observation.images.top", (4, 5, 3), "uint8", "image", encoding="png")


def test_missing_steps_do_not_count() -> None:
    data = sample((12, 5, 30), NUMERIC)
    column = data.column("action")
    found = statistics(data)
    truth = column.values[column.valid].astype(float)
    action = found["action"]
    assert action.count == len(truth) == 11 + 29
    np.testing.assert_array_equal(action.min, truth.min(0))
    np.testing.assert_array_equal(action.max, truth.max(0))
    np.testing.assert_allclose(action.mean, truth.mean(0), rtol=1e-12)
    np.testing.assert_allclose(action.std, truth.std(0), rtol=1e-12)
    for name, q in QUANTILES.items():
        np.testing.assert_allclose(getattr(action, name), np.quantile(truth, q, axis=0), rtol=1e-12)
    assert set(found) == set(NUMERIC) - {"note"}
    assert found["world.inertia"].mean.shape == (2, 3)
    assert found["next.success"].min.dtype == bool


def test_only_what_is_asked() -> None:
    data = sample((5,), NUMERIC)
    assert list(statistics(data, ["next.reward"])) == ["next.reward"]
    with pytest.raises(UnknownNameError, match=r"next\.rewart"):
        statistics(data, ["next.rewart"])


def test_pictures_per_channel_between_zero_and_one() -> None:
    data = sample((12, 7), SCHEMA)
    pixels = data.column(PNG.name).values.reshape(-1, 3) / 255
    found = statistics(data, [PNG.name])[PNG.name]
    assert found.mean.shape == (3, 1, 1)
    np.testing.assert_allclose(found.mean.ravel(), pixels.mean(0), rtol=1e-12)
    np.testing.assert_allclose(found.std.ravel(), pixels.std(0), rtol=1e-12)  # LeRobot before 0.6 gives nearly 0 here
    assert found.count == 19


@settings(max_examples=40, deadline=None, derandomize=True)
@given(values=hnp.arrays(np.uint8, st.tuples(st.integers(1, 4), st.just(4), st.just(5), st.just(3))))
def test_the_histogram_of_pictures_is_exact(values: np.ndarray) -> None:
    found = signal_statistics(PICTURE, values)
    pixels = values.reshape(-1, 3) / 255
    assert found is not None
    for name, q in QUANTILES.items():
        np.testing.assert_allclose(getattr(found, name).ravel(), np.quantile(pixels, q, axis=0), atol=1e-12)
    np.testing.assert_allclose(found.min.ravel(), pixels.min(0), atol=1e-12)
    np.testing.assert_allclose(found.max.ravel(), pixels.max(0), atol=1e-12)
    np.testing.assert_allclose(found.std.ravel(), pixels.std(0), atol=1e-12)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(data=st.data())
def test_parts_combine_to_the_whole(data: st.DataObject) -> None:
    sizes = data.draw(st.lists(st.integers(1, 6), min_size=1, max_size=4))
    parts = [data.draw(hnp.arrays(float, (n, 3), elements=st.floats(-100, 100))) for n in sizes]
    each = [s for p in parts if (s := signal_statistics(VALUE, p)) is not None]
    found = combine(each)
    whole = signal_statistics(VALUE, np.concatenate(parts))
    assert whole is not None
    assert found.count == whole.count
    np.testing.assert_allclose(found.mean, whole.mean, atol=1e-10)
    np.testing.assert_allclose(found.std, whole.std, atol=1e-5)  # the root of a variance of rounding errors
    np.testing.assert_array_equal(found.q50, np.min([s.q50 for s in each], axis=0))  # an envelope, not the quantile
    np.testing.assert_array_equal(found.q90, np.max([s.q90 for s in each], axis=0))
    np.testing.assert_array_equal(found.max, whole.max)


def test_very_large_numbers_do_not_overflow() -> None:
    values = np.array([[1e308, -1e308, 0.0], [-1e308, 1e308, 1.0]])
    found = signal_statistics(VALUE, values)
    assert found is not None
    np.testing.assert_allclose(found.std[:2], 1e308, rtol=1e-12)
    again = combine([found, found])
    np.testing.assert_allclose(again.std[:2], 1e308, rtol=1e-12)
    json.dumps(again.json(), allow_nan=False)


def test_json_and_back() -> None:
    found = signal_statistics(VALUE, np.arange(12.0).reshape(4, 3))
    assert found is not None
    told = found.json()
    assert list(told) == ["min", "max", "mean", "std", "count", "q01", "q10", "q50", "q90", "q99"]
    again = Statistics.of_json(json.loads(json.dumps(told)))
    np.testing.assert_array_equal(again.q90, found.q90)
    assert again.count == 4


def test_how_many_pictures_are_looked_at() -> None:
    assert subsample(30).tolist() == list(range(30))
    assert len(subsample(100)) == 100
    assert len(subsample(1000)) == 177  # 1000^0.75 = 177.8
    assert len(subsample(10_000_000)) == 10_000
    assert subsample(1000)[[0, -1]].tolist() == [0, 999]


def test_a_number_that_is_none_at_a_valid_step() -> None:
    signal = Signal(VALUE, np.array([[0.0, 1.0, np.nan]]))
    data = Dataset.from_episodes([Episode.from_signals([signal], fps=1.0)])
    with pytest.raises(
        SignalError, match=r"signal 'x' has a value that is not finite at a valid step\. Mask that step"
    ):
        statistics(data)
