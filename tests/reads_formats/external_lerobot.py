r"""What LeRobot's own loader and Rerun make of a dataset we wrote.

Needs lerobot, which brings its own versions of everything, so it stands in an environment of its own:

    python3.11 -m venv /tmp/lerobot-env
    /tmp/lerobot-env/bin/pip install lerobot==0.4.4 torch==2.10.0 torchvision==0.25.0
    python3.11 -m venv /tmp/rerun-env
    /tmp/rerun-env/bin/pip install rerun-sdk==0.41.0
    INVDYN_LEROBOT_PYTHON=/tmp/lerobot-env/bin/python INVDYN_RERUN=/tmp/rerun-env/bin/rerun \
        pytest tests/reads_formats/external_lerobot.py

The rerun-sdk 0.26.2 that lerobot 0.4.4 brings reads LeRobot v2 only. Skips with the reason where neither the variables
nor an importable lerobot are there. Run by itself, with `read` or `write`, this file is the part that runs inside that
environment.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

STEPS = (0, 1, 11, 12, 13, 42, 43, 49)
"""Global rows looked at: first and last ones of episodes, and some inside."""
THEIR_LENGTHS = (12, 3, 30)
"""No episode of one step: LeRobot 0.4.4 cannot write one."""


def read_with_lerobot(folder: str, output: str) -> None:
    """Runs in LeRobot's environment: everything its loader gives, as NPZ."""
    import lerobot
    from lerobot.datasets.lerobot_dataset import LeRobotDataset

    data = LeRobotDataset("local/written-by-invdyn", root=folder, video_backend="pyav")
    found: dict[str, Any] = {
        "version": lerobot.__version__,
        "length": len(data),
        "episodes": data.num_episodes,
        "fps": data.fps,
    }
    rows = [data[k] for k in range(len(data))]
    for key in rows[0]:
        if "images" in key:
            found[key] = np.stack([(rows[k][key].numpy() * 255).round().astype(np.uint8) for k in STEPS])
        else:
            found[key] = np.array([r[key] if isinstance(r[key], str) else r[key].numpy() for r in rows])
    chunk = LeRobotDataset(
        "local/written-by-invdyn", root=folder, video_backend="pyav", delta_timestamps={"action": [0.0, 0.1, 0.2]}
    )
    found["chunk.action"] = chunk[10]["action"].numpy()
    found["chunk.is_pad"] = chunk[10]["action_is_pad"].numpy()
    features = {k: str(v.type) for k, v in policy_features(data).items()}
    np.savez(output, policy=json.dumps(features), **found)


def write_with_lerobot(folder: str) -> None:
    """Runs in LeRobot's environment: three episodes by its own writer; every value tells the number of its frame."""
    from lerobot.datasets.lerobot_dataset import LeRobotDataset

    pictures = {"names": ["height", "width", "channels"]}
    features = {
        "observation.state": {"dtype": "float32", "shape": (4,), "names": ["a", "b", "c", "d"]},
        "action": {"dtype": "float32", "shape": (2,), "names": ["x", "y"]},
        "next.done": {"dtype": "bool", "shape": (1,), "names": None},
        "matrix": {"dtype": "float32", "shape": (2, 3), "names": None},
        "observation.images.top": {"dtype": "video", "shape": (64, 96, 3), **pictures},
        "observation.images.wrist": {"dtype": "image", "shape": (16, 24, 3), **pictures},
    }
    data = LeRobotDataset.create("local/written-by-lerobot", 10, features=features, root=folder, use_videos=True)
    number = 0
    for episode, length in enumerate(THEIR_LENGTHS):
        for step in range(length):
            bits = np.array([(number >> k) & 1 for k in range(12)], np.uint8).reshape(3, 4)
            patches = bits[np.arange(64) * 3 // 64][:, np.arange(96) * 4 // 96] * 200 + 20
            frame = {
                "observation.state": np.full(4, number, np.float32),
                "action": np.full(2, -number, np.float32),
                "next.done": np.array([step == length - 1]),
                "matrix": np.arange(6, dtype=np.float32).reshape(2, 3) + number,
                "observation.images.top": np.repeat(patches[..., None], 3, 2).astype(np.uint8),
                "observation.images.wrist": np.full((16, 24, 3), number, np.uint8),
            }
            data.add_frame({**frame, "task": f'task "{episode % 2}"'})
            number += 1
        data.save_episode()
    data.finalize()


def policy_features(data: Any) -> dict[str, Any]:
    from lerobot.datasets.utils import dataset_to_policy_features

    return dict(dataset_to_policy_features(data.meta.features))


if __name__ == "__main__":
    {"read": read_with_lerobot, "write": write_with_lerobot}[sys.argv[1]](*sys.argv[2:])
    sys.exit()

import pytest  # noqa: E402
from lerobot_samples import ACTION, FLAG, NOTE, PNG, REWARD, SIDE, STATE, TOP, number_of, sample  # noqa: E402

from invdyn.episodes import Dataset, Label, Schema, open_dataset, write_dataset  # noqa: E402

SCHEMA = Schema((STATE, ACTION, REWARD, NOTE, FLAG, PNG, TOP, SIDE), 10.0)


@pytest.fixture(scope="module")
def python() -> str:
    told = os.environ.get("INVDYN_LEROBOT_PYTHON")
    if told:
        return told
    if importlib.util.find_spec("lerobot") is None:
        pytest.skip("lerobot is not installed here and INVDYN_LEROBOT_PYTHON names no interpreter that has it")
    return sys.executable


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two cameras as video, one as pictures; actions with labels: measured, inferred, missing."""
    episodes = []
    for index, episode in enumerate(sample((12, 1, 30, 7), SCHEMA)):
        label = Label.of(episode, "action")
        rng = np.random.default_rng(index)
        value, source = label.value.copy(), label.source.copy()
        if "action" not in episode:
            value[:-1] = rng.normal(size=value[:-1].shape).astype(np.float32)
            source[:-1] = "inferred:0123abcd"
        known = np.array([bool(s) for s in source])
        inferred = np.array([s.startswith("inferred") for s in source])
        half = np.where(inferred, 0.25, 0.0)[:, None]
        weight = np.where(inferred, 0.5, known.astype(float))
        residual = np.where(inferred, 0.125, np.nan)
        label = Label(value, value - half, value + half, source, residual, weight)
        episodes.append(episode.with_signals(label.signals(ACTION)))
    return write_dataset(Dataset.from_episodes(episodes), tmp_path_factory.mktemp("lerobot") / "data", video_mb=0.02)


@pytest.fixture(scope="module")
def theirs(python: str, written: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    output = tmp_path_factory.mktemp("out") / "read.npz"
    offline = os.environ | {"HF_HUB_OFFLINE": "1", "HF_HOME": str(output.parent)}
    done = subprocess.run(
        [python, __file__, "read", str(written), str(output)], env=offline, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return np.load(output)


def test_size_and_clock(theirs: Any) -> None:
    assert (int(theirs["length"]), int(theirs["episodes"]), float(theirs["fps"])) == (50, 4, 10)
    frame = np.concatenate([np.arange(n) for n in (12, 1, 30, 7)])
    np.testing.assert_array_equal(theirs["frame_index"], frame)
    np.testing.assert_array_equal(theirs["timestamp"], (frame / 10).astype(np.float32))
    np.testing.assert_array_equal(theirs["index"], np.arange(50))
    np.testing.assert_array_equal(theirs["episode_index"], np.repeat(np.arange(4), (12, 1, 30, 7)))


def test_tasks(theirs: Any, written: Path) -> None:
    expected = [e.task for e in open_dataset(written) for _ in range(e.length)]
    assert theirs["task"].tolist() == expected


def test_numbers_labels_and_masks(theirs: Any, written: Path) -> None:
    data = open_dataset(written)
    for spec in data.schema.signals:
        if spec.kind == "image":
            continue
        column = data.column(spec.name)
        if spec.is_text:
            assert theirs[spec.name].tolist() == column.values.tolist()
            continue
        # LeRobot turns float64 into float32 tensors; what is missing is NaN in both
        np.testing.assert_array_equal(
            theirs[spec.name].reshape(column.values.shape), column.values.astype(theirs[spec.name].dtype)
        )
        if f"mask.{spec.name}" in theirs:
            np.testing.assert_array_equal(theirs[f"mask.{spec.name}"], column.valid)
    for name in ("action", "label.action.lower", "label.action.residual", "label.action.weight"):
        assert f"mask.{name}" in theirs or data.column(name).valid.all()
    assert set(theirs["label.action.source"].tolist()) == {"measured", "inferred:0123abcd", ""}


@pytest.mark.parametrize("spec", [TOP, SIDE], ids=["top", "side"])
def test_video_frames(theirs: Any, written: Path, spec: Any) -> None:
    """The right frame at every time, across files: the picture tells its number."""
    pictures = theirs[spec.name].transpose(0, 2, 3, 1)
    assert [number_of(p) for p in pictures] == list(STEPS)
    ours = open_dataset(written).column(spec.name).values[list(STEPS)]
    # Two builds of the decoder and of the colour conversion: rounding of a few levels.
    assert np.abs(ours.astype(int) - pictures).max() <= 4


def test_pictures_are_exact(theirs: Any, written: Path) -> None:
    ours = open_dataset(written).column(PNG.name).values[list(STEPS)]
    np.testing.assert_array_equal(theirs[PNG.name].transpose(0, 2, 3, 1), ours)


def test_chunks(theirs: Any, written: Path) -> None:
    """Windows of the future, clamped at the end of the episode (12 steps): rows 10, 11, 11."""
    action = open_dataset(written).column("action").values
    np.testing.assert_array_equal(theirs["chunk.action"], action[[10, 11, 11]])
    assert theirs["chunk.is_pad"].tolist() == [False, False, True]


def test_policy_features_are_untouched_by_our_columns(theirs: Any) -> None:
    features = json.loads(str(theirs["policy"]))
    assert {k for k, v in features.items() if "ACTION" in v} == {"action"}
    assert not [k for k in features if k.startswith(("label.", "mask.", "clock."))]


def test_we_read_what_lerobot_writes(python: str, tmp_path: Path) -> None:
    """Video, pictures, matrices, tasks and clock of its own writer; and its videos taken over unchanged."""
    folder = tmp_path / "theirs"
    offline = os.environ | {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)}
    done = subprocess.run([python, __file__, "write", str(folder)], env=offline, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    data = open_dataset(folder)
    assert data.lengths.tolist() == list(THEIR_LENGTHS)
    again = open_dataset(write_dataset(data, tmp_path / "again", videos_from=data))
    for found in (data, again):
        number = 0
        for index, episode in enumerate(found):
            numbers = np.arange(number, number + episode.length)
            assert episode.task == f'task "{index % 2}"'
            assert np.array_equal(episode.timestamp, np.arange(episode.length) / 10)
            assert np.array_equal(episode["observation.state"].values, np.repeat(numbers[:, None], 4, 1))
            assert np.array_equal(episode["matrix"].values[:, 1, 2], numbers + 5)
            assert np.flatnonzero(episode["next.done"].values).tolist() == [episode.length - 1]
            assert [number_of(p) for p in episode["observation.images.top"].values] == numbers.tolist()
            assert (episode["observation.images.wrist"].values == numbers[:, None, None, None]).all()
            number += episode.length
    theirs, ours = (sorted((f / "videos").rglob("*.mp4")) for f in (folder, tmp_path / "again"))
    assert [p.read_bytes() for p in ours] == [p.read_bytes() for p in theirs]


def test_rerun_opens_it(written: Path, tmp_path: Path) -> None:
    """Every episode, both cameras, the numbers, the labels and the task arrive in the recording."""
    rerun = os.environ.get("INVDYN_RERUN")
    if rerun is None:
        pytest.skip("INVDYN_RERUN names no rerun program")
    target = tmp_path / "out.rrd"
    done = subprocess.run([rerun, str(written), "--save", str(target)], capture_output=True, text=True, timeout=120)
    told = done.stdout + done.stderr
    assert done.returncode == 0, told
    assert "ERROR" not in told, told
    assert target.stat().st_size > sum(p.stat().st_size for p in (written / "videos").rglob("*.mp4"))
    shown = subprocess.run([rerun, "rrd", "print", str(target)], capture_output=True, text=True, timeout=120).stdout
    for episode in range(4):
        assert f'"episode_{episode}"' in shown
    names = [*(s.name for s in (STATE, ACTION, REWARD, NOTE, PNG, TOP, SIDE)), "task"]
    for name in [*names, *(f"label.action.{part}" for part in ("lower", "upper", "source", "residual", "weight"))]:
        assert f"/{name}" in shown, name
