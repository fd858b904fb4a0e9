"""robomimic HDF5: read back by a reader written to its documented layout, and nothing lost on the way."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np
import pytest
from foreign_samples import foreign
from lerobot_samples import assert_equal

from invdyn.episodes import Dataset, EpisodeRecord, detect_format, open_dataset, write_dataset
from invdyn.episodes.views import with_metadata


def documented_reader(path: Path) -> dict[str, dict[str, object]]:
    """What robomimic 0.5.0 loads: demos sorted by number, per-step datasets of num_samples rows (formats.md 3)."""
    found: dict[str, dict[str, object]] = {}
    with h5py.File(path, "r") as file:
        env_args = json.loads(file["data"].attrs["env_args"])
        assert set(env_args) == {"env_name", "env_version", "type", "env_kwargs"}
        demos = sorted(file["data"], key=lambda name: int(name[5:]))
        total = 0
        for name in demos:
            demo = file[f"data/{name}"]
            samples = demo.attrs["num_samples"]
            total += samples
            arrays = {k: demo[k][()] for k in ("actions", "rewards", "dones", "states")}
            arrays |= {f"obs/{k}": v[()] for k, v in demo["obs"].items()}
            arrays |= {f"next_obs/{k}": v[()] for k, v in demo.get("next_obs", {}).items()}
            assert all(len(a) == samples for a in arrays.values())
            found[name] = {"samples": samples, "compressed": demo["actions"].compression, **arrays}
        assert file["data"].attrs["total"] == total
        found["masks"] = {k: [v.decode() for v in m[()]] for k, m in file.get("mask", {}).items()}
    return found


def test_round_trip_is_exact(tmp_path: Path) -> None:
    truth = foreign()
    path = write_dataset(truth, tmp_path / "demo.hdf5", format="robomimic")
    assert detect_format(path) == "robomimic"
    assert_equal(truth, open_dataset(path))


def test_its_documented_layout(tmp_path: Path) -> None:
    truth = foreign((12, 2, 30, 7))
    path = write_dataset(truth, tmp_path / "demo.hdf5", format="robomimic", filters={"train": [0, 2], "valid": [1]})
    found = documented_reader(path)
    for index, episode in enumerate(truth):
        demo = found[f"demo_{index}"]
        assert demo["samples"] == episode.length - 1  # the last row has no action
        assert demo["compressed"] == "gzip"
        assert np.array_equal(demo["obs/state"], episode["observation.state"].values[:-1])
        assert np.array_equal(demo["next_obs/state"], episode["observation.state"].values[1:])
        assert np.array_equal(demo["obs/top"], episode["observation.images.top"].values[:-1])
        assert np.asarray(demo["obs/top"]).dtype == np.uint8
        assert np.array_equal(demo["rewards"], episode["next.reward"].values[:-1])
        assert np.asarray(demo["dones"]).tolist() == [0] * (episode.length - 2) + [1]
        assert np.asarray(demo["states"]).shape == (episode.length - 1, 0)  # no simulator state: no column, no zeros
        if "action" in episode:
            assert np.array_equal(demo["actions"], episode["action"].values[:-1])
        else:
            assert np.isnan(np.asarray(demo["actions"])).all()
    assert found["masks"] == {"train": ["demo_0", "demo_2"], "valid": ["demo_1"]}
    assert [open_dataset(path)[i].metadata["filters"] for i in range(3)] == [["train"], ["valid"], ["train"]]
    assert "filters" not in open_dataset(path)[3].metadata


def test_an_action_at_every_row_needs_no_next_obs(tmp_path: Path, shared_data: Path) -> None:
    human = open_dataset(shared_data / "adroit_door_human")[:3]
    path = write_dataset(human, tmp_path / "door.hdf5", format="robomimic")
    found = documented_reader(path)
    assert found["demo_0"]["samples"] == 300
    assert np.array_equal(found["demo_0"]["actions"], human[0]["action"].values)
    assert "next_obs/state" not in found["demo_0"]
    back = open_dataset(path)
    assert_equal(human, back)
    assert back[0].metadata["world"]["door_body_pos"] == human[0].metadata["world"]["door_body_pos"]
    with h5py.File(path) as file:
        assert json.loads(file["data"].attrs["env_args"])["env_name"] == "adroit/door"


def theirs_of(path: Path, demos: int = 12) -> None:
    """A file as robomimic's converters write it, with numbers that sort wrongly as text."""
    rng = np.random.default_rng(0)
    with h5py.File(path, "w") as file:
        data = file.create_group("data")
        data.attrs["env_args"] = json.dumps({"env_name": "Lift", "type": 1, "env_kwargs": {"control_freq": 20}})
        for k in range(demos):
            demo = data.create_group(f"demo_{k}")
            demo.attrs["num_samples"] = 5 + k
            demo.attrs["model_file"] = "<mujoco/>"
            demo["actions"] = np.full((5 + k, 7), float(k))
            demo["actions_abs"] = np.full((5 + k, 7), float(k))
            demo["dones"] = np.zeros(5 + k, np.int64)
            demo["states"] = rng.normal(size=(5 + k, 9))
            demo["obs/eef_pos"] = rng.normal(size=(5 + k, 3))
            demo["obs/agentview_image"] = rng.integers(0, 256, (5 + k, 8, 8, 3), dtype=np.uint8)
            demo["next_obs/eef_pos"] = rng.normal(size=(5 + k, 3))
            demo["action_dict/gripper"] = np.ones((5 + k, 1))
        file["mask/train"] = np.array([b"demo_0", b"demo_10"])


def test_we_read_what_converters_write(tmp_path: Path) -> None:
    path = tmp_path / "low_dim.hdf5"
    theirs_of(path)
    data = open_dataset(path)
    assert data.fps == 20.0
    assert data.lengths.tolist() == [5 + k for k in range(12)]  # demo_10 after demo_9
    assert data[10]["action"].values[0, 0] == 10.0
    assert data[10].metadata["filters"] == ["train"]
    assert data[10].metadata["demo"] == "demo_10"
    assert data[1].metadata["model_file"] == "<mujoco/>"
    assert data[0].metadata["env_args"]["type"] == 1
    assert data.schema["observation.images.agentview_image"].kind == "image"
    assert data.schema["world.state"].shape == (9,)
    assert not [n for n in data.schema if n.startswith("action") and n != "action"]  # LeRobot's prefix rule
    assert "robomimic.actions_abs" in data.schema
    assert "next.reward" not in data.schema  # not there: not zero
    assert {"filters"} == {k for k in data.where(_train)[0].metadata if k == "filters"}
    assert len(data.where(_train)) == 2


def _train(record: EpisodeRecord) -> bool:
    return "train" in record.metadata.get("filters", [])


def test_a_missing_dataset_is_a_missing_signal(tmp_path: Path) -> None:
    """robomimic's own loader returns zeros here."""
    path = tmp_path / "low_dim.hdf5"
    theirs_of(path, 3)
    with h5py.File(path, "a") as file:
        del file["data/demo_1/states"]
    data = open_dataset(path)
    assert "world.state" not in data[1]
    assert "world.state" in data[0]
    column = data.column("world.state")
    assert not column.valid[5:11].any()
    assert np.isnan(column.values[5:11]).all()


def test_filters_survive_a_round_trip(tmp_path: Path) -> None:
    truth: Dataset = foreign((4, 5, 6))
    marked = with_metadata(truth, [{"filters": ["a"]}, {"filters": ["a", "b"]}, {}])
    back = open_dataset(write_dataset(marked, tmp_path / "x.hdf5", format="robomimic"))
    assert [e.metadata.get("filters") for e in back] == [["a"], ["a", "b"], None]


def test_fps_and_task_can_be_given(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "low_dim.hdf5"
    theirs_of(path, 2)
    data = open_dataset(path, fps=10.0, task="lift it", units={"observation.eef_pos": "m"})
    assert (data.fps, data[0].task, data.schema["observation.eef_pos"].unit) == (10.0, "lift it", "m")
    bare = tmp_path / "bare.hdf5"
    theirs_of(bare, 2)
    with h5py.File(bare, "a") as file:
        del file["data"].attrs["env_args"]
    assert open_dataset(bare).fps == 1.0
    assert "time counts steps" in caplog.text
