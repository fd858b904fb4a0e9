"""`Dataset.column`: many episodes read at once are those read one by one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from lerobot_samples import NUMERIC, SCHEMA, sample

from invdyn.episodes import Dataset, open_dataset, write_dataset
from invdyn.episodes.formats import lerobot_source
from invdyn.errors import FormatError

LENGTHS = (12, 1, 30, 7, 5, 5, 9)


def by_hand(data: Dataset, name: str) -> tuple[np.ndarray, np.ndarray]:
    spec = data.schema[name]
    values, valid = [], []
    for episode in data:
        if name in episode:
            values.append(episode[name].values)
            valid.append(episode[name].mask)
        else:
            blank = np.nan if spec.numpy_dtype.kind == "f" else "" if spec.is_text else 0
            values.append(np.full((episode.length, *spec.shape), blank, spec.numpy_dtype))
            valid.append(np.zeros(episode.length, bool))
    return np.concatenate(values), np.concatenate(valid)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Several data files; actions are missing in every second episode."""
    path = tmp_path_factory.mktemp("columns") / "native"
    write_dataset(sample(LENGTHS), path, data_mb=0.03)
    assert len(list((path / "data").rglob("*.parquet"))) > 1
    return path


@pytest.mark.parametrize("at_once", [1, 200, 2**25])
@pytest.mark.parametrize("chosen", [range(7), [2, 3, 4], [6, 5, 0, 1, 2, 2], [4], []])
def test_columns_are_those_of_the_episodes(folder, monkeypatch, at_once, chosen):
    monkeypatch.setattr(lerobot_source, "RUN_BYTES", at_once)
    data = open_dataset(folder)[np.array(list(chosen), np.int64)]
    for spec in SCHEMA.signals:
        column = data.column(spec.name)
        assert column.values.dtype == spec.numpy_dtype
        assert column.values.shape == (data.frames, *spec.shape)
        if len(data):
            values, valid = by_hand(open_dataset(folder)[np.array(list(chosen), np.int64)], spec.name)
            assert np.array_equal(column.values, values, equal_nan=spec.numpy_dtype.kind == "f")
            assert np.array_equal(column.valid, valid)


def test_several_episodes_are_read_at_once(folder, monkeypatch):
    calls = []
    inner = lerobot_source.LeRobotSource.read
    monkeypatch.setattr(lerobot_source.LeRobotSource, "read", lambda self, *at: calls.append(at) or inner(self, *at))
    pieces = list(open_dataset(folder).source.pieces(np.arange(7), "observation.state"))
    assert sum(count for count, _ in pieces) == 7
    assert max(count for count, _ in pieces) > 1
    assert len(calls) == sum(count == 1 for count, _ in pieces)


def test_a_fault_is_named_in_its_own_episode(tmp_path):
    path = tmp_path / "native"
    write_dataset(sample(LENGTHS, NUMERIC), path)
    (file,) = (path / "data").rglob("*.parquet")
    table = pq.read_table(file)
    rows = table["next.reward"].to_pylist()
    rows[12 + 1 + 30 + 2] = float("nan")
    at = table.schema.get_field_index("next.reward")
    pq.write_table(table.set_column(at, table.schema.field(at), pa.array(rows, pa.float64())), file)
    with pytest.raises(FormatError, match=r"episode 3, signal 'next.reward', step 2: not a finite number"):
        open_dataset(path).column("next.reward")
    assert np.isnan(open_dataset(path, nan="mask").column("next.reward").values[45])


def test_columns_in_memory_are_copies():
    data = sample((6,), NUMERIC)
    data.column("observation.state").values[:] = 7.0
    assert not (data[0]["observation.state"].values == 7.0).any()
