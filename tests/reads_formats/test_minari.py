"""Minari: what we write its own reader reads, what it writes we read, and nothing is lost on the way."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import gymnasium
import h5py
import numpy as np
import pytest
from foreign_samples import PLAIN, foreign
from lerobot_samples import assert_equal

from invdyn.episodes import detect_format, open_dataset, write_dataset
from invdyn.episodes.formats import minari as ours

minari = pytest.importorskip("minari", reason="minari's own reader is the check")
FORMATS = ("hdf5", "arrow", "parquet")


@pytest.mark.parametrize("data_format", FORMATS)
def test_round_trip_is_exact(tmp_path: Path, data_format: str) -> None:
    truth = foreign()
    path = write_dataset(truth, tmp_path / "toy-v3", format="minari", data_format=data_format)
    assert detect_format(path) == "minari"
    assert_equal(truth, open_dataset(path))
    assert_equal(truth, open_dataset(path / "data"))


@pytest.mark.parametrize("data_format", FORMATS)
def test_minaris_own_reader_reads_ours(tmp_path: Path, data_format: str) -> None:
    truth = foreign()
    path = write_dataset(truth, tmp_path / "toy-v3", format="minari", data_format=data_format, author=["a"])
    theirs = minari.MinariDataset(str(path / "data"))
    assert theirs.id == "toy-v3"
    assert len(theirs) == len(truth)
    assert theirs.total_steps == truth.frames - len(truth)
    for episode, found in zip(truth, theirs.iterate_episodes(), strict=True):
        assert np.array_equal(found.observations["state"], episode["observation.state"].values)
        assert np.array_equal(found.observations["images.top"], episode["observation.images.top"].values)
        assert np.array_equal(np.asarray(found.observations["count"]).reshape(-1), episode["observation.count"].values)
        assert len(found.actions) == len(found.rewards) == episode.length - 1
        if "action" in episode:
            assert np.array_equal(found.actions, episode["action"].values[:-1])
        else:
            assert np.isnan(found.actions).all()  # missing, not zero
        assert np.array_equal(found.rewards, episode["next.reward"].values[:-1])
        assert found.truncations.tolist() == [False] * (episode.length - 2) + [True]
        assert next(iter(found.infos["note"])) in ("wort 0 ✓", "wort 0 ✓".encode())
    space = theirs.observation_space["state"]
    assert (space.high == 1).all()
    assert np.isneginf(space.low).all()
    assert theirs.action_space.low.tolist() == [-1.0, -2.0]


@pytest.mark.parametrize("data_format", FORMATS)
def test_plain_box_spaces(tmp_path: Path, data_format: str) -> None:
    """A single state is Minari's observation itself, not a Dict with one key."""
    truth = foreign((9, 4), PLAIN)
    path = write_dataset(truth, tmp_path / "plain-v0", format="minari", data_format=data_format)
    theirs = minari.MinariDataset(str(path / "data"))
    assert isinstance(theirs.observation_space, gymnasium.spaces.Box)
    assert np.array_equal(theirs[0].observations, truth[0]["observation.state"].values)
    assert_equal(truth, open_dataset(path))


@pytest.mark.parametrize("data_format", FORMATS)
def test_jpeg_is_lossy_and_only_on_request(tmp_path: Path, data_format: str) -> None:
    smooth = foreign((5,))
    ramp = np.broadcast_to(np.arange(33, dtype=np.uint8)[None, :, None, None] * 6, (5, 33, 40, 3))
    smooth[0]["observation.images.top"].values[:] = ramp
    path = write_dataset(smooth, tmp_path / "jpeg-v0", format="minari", data_format=data_format, jpeg_encoding=True)
    back = open_dataset(path)[0]["observation.images.top"].values
    assert back.shape == ramp.shape
    assert np.abs(back.astype(int) - ramp).max() < 12  # JPEG at quality 75 on a smooth ramp
    theirs = minari.MinariDataset(str(path / "data"))[0].observations["images.top"]
    assert np.array_equal(back, theirs)


SPACE = gymnasium.spaces.Dict(
    {
        "robot": gymnasium.spaces.Dict({"q": gymnasium.spaces.Box(-1, 1, (2,), np.float64)}),
        "pair": gymnasium.spaces.Tuple((gymnasium.spaces.Box(0, 1, (1,), np.float32), gymnasium.spaces.Discrete(5))),
        "camera": gymnasium.spaces.Box(0, 255, (32, 36, 3), np.uint8),
        "bits": gymnasium.spaces.MultiBinary(3),
    }
)


def theirs_of(folder: Path, data_format: str, steps: tuple[int, ...] = (4, 11)) -> list[Any]:
    """A data set written by Minari itself: nested spaces, infos, a seed and options."""
    from minari.data_collector.episode_buffer import EpisodeBuffer
    from minari.dataset.minari_storage import MinariStorage

    rng = np.random.default_rng(0)
    action = gymnasium.spaces.Discrete(4)
    folder.mkdir(parents=True)
    storage = MinariStorage.new(folder, SPACE, action, data_format=data_format)
    buffers = []
    for number, length in enumerate(steps):
        rows = length + 1
        buffers.append(
            EpisodeBuffer(
                id=number,
                seed=40 + number,
                options={"a": 1, "b": {"c": 2}},
                observations={
                    "robot": {"q": rng.normal(size=(rows, 2))},
                    "pair": (rng.random((rows, 1)).astype(np.float32), rng.integers(0, 5, rows)),
                    "camera": np.full((rows, 32, 36, 3), 20 * number + 20, np.uint8),
                    "bits": rng.integers(0, 2, (rows, 3)).astype(np.int8),
                },
                actions=rng.integers(0, 4, length),
                rewards=rng.random(length),
                terminations=np.arange(length) == length - 1,
                truncations=np.zeros(length, bool),
                infos={"inner": {"energy": rng.normal(size=rows)}, "pos": rng.normal(size=(rows, 2))},
            )
        )
    storage.update_episodes(buffers)
    storage.update_metadata({"dataset_id": "theirs-v0", "minari_version": minari.__version__})
    return buffers


@pytest.mark.parametrize("data_format", FORMATS)
def test_we_read_what_minari_writes(tmp_path: Path, data_format: str, caplog: pytest.LogCaptureFixture) -> None:
    """Nested spaces become dotted names; T actions and T+1 observations become T+1 rows; padding is dropped."""
    buffers = theirs_of(tmp_path / "theirs-v0" / "data", data_format)
    with caplog.at_level(logging.WARNING):
        data = open_dataset(tmp_path / "theirs-v0")
    assert "time counts steps" in caplog.text
    assert data.lengths.tolist() == [5, 12]
    for buffer, episode in zip(buffers, data, strict=True):
        observations: Any = buffer.observations
        assert np.array_equal(episode["observation.robot.q"].values, observations["robot"]["q"])
        assert np.array_equal(episode["observation.pair.0"].values, observations["pair"][0])
        assert np.array_equal(episode["observation.pair.1"].values, observations["pair"][1])
        assert np.array_equal(episode["observation.bits"].values, observations["bits"])
        assert np.abs(episode["observation.camera"].values.astype(int) - observations["camera"]).max() <= 2
        assert episode["action"].mask.tolist() == [True] * len(buffer.actions) + [False]
        assert np.array_equal(episode["action"].values[:-1], buffer.actions)
        assert np.array_equal(episode["next.reward"].values[:-1], buffer.rewards)
        assert np.isnan(episode["next.reward"].values[-1])
        assert episode["next.terminated"].values[-2]
        assert np.array_equal(episode["info.pos"].values, buffer.infos["pos"])
        assert np.array_equal(episode["info.inner.energy"].values, buffer.infos["inner"]["energy"])
        assert episode.metadata["seed"] == buffer.seed
        assert episode.metadata["options"] == {"a": 1, "b": {"c": 2}}
        assert episode.metadata["minari"]["dataset_id"] == "theirs-v0"
    assert data.schema["action"].high == (3.0,)
    assert data.schema["observation.robot.q"].low == (-1.0,)
    assert data.schema["observation.camera"].kind == "image"
    part = data[1].read("observation.camera", 3, 7)
    assert np.array_equal(part.values, data[1]["observation.camera"].values[3:7])


def test_jpegs_of_equal_length_and_raw_pictures_of_old_minari(tmp_path: Path) -> None:
    """Both stand in HDF5 as uint8; only the number of dimensions tells them apart, whatever the version says."""
    same = tmp_path / "same" / "data"
    theirs_of(same, "hdf5", steps=(4,))  # one grey level: all JPEGs have one length
    with h5py.File(same / "main_data.hdf5") as file:
        assert file["episode_0/observations/camera"].dtype == np.uint8
        assert file["episode_0/observations/camera"].ndim == 2
    assert open_dataset(same, fps=5.0)[0]["observation.camera"].values.shape == (5, 32, 36, 3)
    old = tmp_path / "old" / "data"
    theirs_of(old, "hdf5", steps=(4,))
    raw = np.random.default_rng(1).integers(0, 256, (5, 32, 36, 3), dtype=np.uint8)
    with h5py.File(old / "main_data.hdf5", "a") as file:
        del file["episode_0/observations/camera"]
        file["episode_0/observations/camera"] = raw
    metadata = json.loads((old / "metadata.json").read_text())
    metadata.pop("jpeg_encoding")
    (old / "metadata.json").write_text(json.dumps(metadata | {"minari_version": "0.4.3"}))
    assert np.array_equal(open_dataset(old, fps=5.0)[0]["observation.camera"].values, raw)


def test_episodes_are_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    for data_format in FORMATS:
        folder = tmp_path / data_format / "data"
        buffers = theirs_of(folder, data_format, steps=(2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12))
        data = open_dataset(folder, fps=1.0)
        assert data.lengths.tolist() == [len(b.actions) + 1 for b in buffers]
        assert data[10].length == 13
        assert np.array_equal(data[10]["action"].values[:-1], buffers[10].actions)


def test_fps_task_and_units_can_be_given(tmp_path: Path) -> None:
    theirs_of(tmp_path / "data", "hdf5")
    data = ours.open(tmp_path, fps=25.0, task="go", units={"observation.robot.q": "rad"})
    assert data.fps == 25.0
    assert data[0].task == "go"
    assert data.schema["observation.robot.q"].unit == "rad"
    assert data[0].timestamp[1] == 1 / 25
