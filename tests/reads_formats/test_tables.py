"""CSV, Parquet and NPZ as people keep them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from foreign_samples import foreign
from lerobot_samples import NUMERIC

from invdyn.episodes import detect_format, open_dataset, write_dataset


def csv(path: Path, header: str, *rows: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([header, *rows]) + "\n", "utf-8")
    return path


def test_csv_one_file_per_episode_in_natural_order(tmp_path: Path) -> None:
    for k in (1, 2, 10):
        csv(
            tmp_path / f"run{k}.csv",
            "time,q [rad],tau [N m],word",
            *(f"{0.1 * i * i},{k},{i},a{i}" for i in range(1, k + 3)),
        )
    data = open_dataset(tmp_path)
    assert detect_format(tmp_path) == "csv"
    assert data.lengths.tolist() == [3 - 0, 4, 12]
    assert [e.metadata["file"] for e in data] == ["run1.csv", "run2.csv", "run10.csv"]
    np.testing.assert_allclose(data[0].timestamp, [0.1, 0.4, 0.9], rtol=1e-15)  # irregular, kept
    assert (data.schema["q"].unit, data.schema["tau"].unit) == ("rad", "N m")
    assert data[2]["word"].values[1] == "a2"
    assert data.schema["q"].dtype == "int64"


def test_csv_groups_components_and_options(tmp_path: Path) -> None:
    path = csv(tmp_path / "a.csv", "q1,q2,action[0],action[1],extra", "1,2,0.5,1,9", "3,4,1,0.25,9")
    data = open_dataset(
        path,
        fps=50.0,
        groups={"observation.state": ["q2", "q1"]},
        drop=["extra"],
        units={"observation.state": "rad"},
        bounds={"action": (-1.0, 1.0)},
        components={"action": ["left", "right"]},
        task="swing",
    )
    assert data[0]["observation.state"].values.tolist() == [[2, 1], [4, 3]]
    assert data.schema["observation.state"].names == ("q2", "q1")
    assert data.schema["observation.state"].unit == "rad"
    assert data[0]["action"].values.tolist() == [[0.5, 1.0], [1.0, 0.25]]
    assert (data.schema["action"].low, data.schema["action"].names) == ((-1.0,), ("left", "right"))
    assert "extra" not in data.schema
    assert data[0].timestamp.tolist() == [0.0, 0.02]
    assert data[0].task == "swing"


def test_csv_whole_numbers_in_one_file_only(tmp_path: Path) -> None:
    csv(tmp_path / "1.csv", "x", "1", "2")
    csv(tmp_path / "2.csv", "x", "1.5", "2")
    data = open_dataset(tmp_path, fps=1.0)
    assert data.schema["x"].dtype == "float64"
    assert data.column("x").values.tolist() == [1.0, 2.0, 1.5, 2.0]


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_one_file_with_an_episode_column(tmp_path: Path, ending: str) -> None:
    episode, x = np.repeat([7, 3, 9], [4, 2, 5]), np.arange(11.0)
    table = pa.table({"episode_index": episode, "timestamp": np.arange(11) * 0.5, "state": x, "reward": -x})
    path = tmp_path / f"all.{ending}"
    if ending == "csv":
        import pyarrow.csv

        pyarrow.csv.write_csv(table, path)
    else:
        pq.write_table(table, path, row_group_size=3)  # episodes across row groups
    data = open_dataset(path)
    assert data.lengths.tolist() == [4, 2, 5]
    assert data.fps == 2.0
    assert data[1]["observation.state"].values.tolist() == [4.0, 5.0]
    assert data[2].read("next.reward", 1, 4).values.tolist() == [-7.0, -8.0, -9.0]
    assert data.column("observation.state").values.tolist() == x.tolist()


def test_parquet_lists_are_vectors_and_opening_reads_no_column(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fixed = pa.FixedSizeListArray.from_arrays(pa.array(np.arange(8.0)), 2)
    loose = pa.array([[1, 2, 3]] * 4, pa.list_(pa.int16()))
    pq.write_table(pa.table({"obs": fixed, "counts": loose, "ok": [True, False, True, True]}), tmp_path / "1.parquet")
    read: list[object] = []
    original = pq.ParquetFile.read_row_group
    monkeypatch.setattr(
        pq.ParquetFile, "read_row_group", lambda s, *a, **k: (read.append(k["columns"]), original(s, *a, **k))[1]
    )
    data = open_dataset(tmp_path, fps=1.0)
    assert read == [["counts"]]  # the width of a list without a fixed size stands in its first row only
    assert data[0]["observation.state"].values.tolist() == [[0, 1], [2, 3], [4, 5], [6, 7]]
    assert data.schema["counts"].dtype == "int16"
    assert data[0]["counts"].values.shape == (4, 3)
    assert data.schema["ok"].dtype == "bool"


def test_dates_become_seconds(tmp_path: Path, shared_data: Path) -> None:
    state = ["HUFL", "HULL", "MUFL", "MULL", "LUFL", "LULL"]
    data = open_dataset(shared_data / "ett" / "ETTh1.csv", time="date", groups={"observation.state": state})
    assert data[0].timestamp[:3].tolist() == [0.0, 3600.0, 7200.0]
    assert data.fps == pytest.approx(1 / 3600)
    assert data.schema["OT"].shape == ()


def test_empty_cells_are_missing_steps(tmp_path: Path) -> None:
    path = csv(tmp_path / "a.csv", "x,n,word", "1.5,1,a", ",,", "nan,3,c")
    data = open_dataset(path, fps=1.0, nan="mask")
    assert data[0]["x"].mask.tolist() == [True, False, False]
    assert np.isnan(data[0]["x"].values[1:]).all()
    assert data[0]["n"].mask.tolist() == [True, False, True]
    assert data[0]["word"].mask.tolist() == [True, False, True]


def test_npz_numbered_arrays_and_constants(tmp_path: Path) -> None:
    arrays = {}
    for k, length in ((0, 6), (2, 4), (10, 5)):
        arrays |= {
            f"observations_{k}": np.full((length, 3), k),
            f"actions_{k}": np.ones((length - 1, 2)),
            f"start_{k}": [k, 1],
        }
    np.savez(tmp_path / "demos.npz", **arrays)
    data = open_dataset(tmp_path / "demos.npz", fps=10.0)
    assert data.lengths.tolist() == [6, 4, 5]
    assert data[2]["observation.state"].values[0].tolist() == [10, 10, 10]
    assert data[2].metadata == {"start": [10, 1]}
    assert data[0]["action"].mask.tolist() == [True] * 5 + [False]  # one row less: the last step has no action
    assert np.isnan(data[0]["action"].values[-1]).all()


def test_npz_flat_arrays_with_ends(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", episode_ends=[3, 7], state=np.arange(7.0), t=np.r_[0:3, 0:8:2] * 0.1, word=["a"] * 7)
    data = open_dataset(tmp_path, time="t", units={"observation.state": "m"}, names={"state": "observation.state"})
    assert data.lengths.tolist() == [3, 4]
    assert data[1]["observation.state"].values.tolist() == [3.0, 4.0, 5.0, 6.0]
    np.testing.assert_allclose(data[1].timestamp, [0.0, 0.2, 0.4, 0.6])
    assert data[0]["word"].values.tolist() == ["a", "a", "a"]
    assert data[0].read("observation.state", 1, 2).values.tolist() == [1.0]


def test_npz_file_per_episode_round_trip(tmp_path: Path) -> None:
    truth = foreign((5, 12, 3), NUMERIC)
    back = open_dataset(write_dataset(truth, tmp_path / "out", format="npz"), fps=10.0)
    assert back.lengths.tolist() == [5, 12, 3]
    for a, b in zip(truth, back, strict=True):
        assert np.array_equal(a.timestamp, b.timestamp)
        assert set(a) == set(b)
        for name, signal in a.items():
            assert np.array_equal(signal.mask, b[name].mask)
            assert np.array_equal(signal.values[signal.mask], b[name].values[b[name].mask])
