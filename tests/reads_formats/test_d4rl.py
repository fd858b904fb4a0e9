"""D4RL files, written here to the published layout: episodes, their ends, and offline learning from them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch

from invdyn.decisions import transitions_of
from invdyn.episodes import detect_format, open_dataset
from invdyn.errors import FormatError

ROWS = 12
LOW, HIGH = -torch.ones(2), torch.ones(2)


def tables(following: bool = True) -> dict[str, Any]:
    """Episodes of 5 (falls), 4 (time is up) and 3 steps (cut off by the file's end)."""
    rng = np.random.default_rng(0)
    terminals, timeouts = np.zeros(ROWS, bool), np.zeros(ROWS, bool)
    terminals[4], timeouts[8] = True, True
    found = {
        "observations": rng.normal(size=(ROWS, 3)).astype(np.float32),
        "actions": rng.uniform(-1, 1, (ROWS, 2)).astype(np.float32),
        "rewards": rng.normal(size=ROWS).astype(np.float32),
        "terminals": terminals,
        "timeouts": timeouts,
        "infos/qpos": rng.normal(size=(ROWS, 2)),
    }
    if following:
        after = np.concatenate([found["observations"][1:], np.full((1, 3), 7, np.float32)])
        after[[4, 8]] = [[5], [6]]
        found["next_observations"] = after
    return found


def write(path: Path, values: dict[str, Any]) -> Path:
    with h5py.File(path, "w") as file:
        for key, value in values.items():
            file[key] = value
    return path


def test_episodes_end_at_terminals_and_timeouts_and_keep_their_final_observation(tmp_path: Path) -> None:
    truth = tables()
    path = write(tmp_path / "hopper_medium-v2.hdf5", truth)
    assert detect_format(path) == "d4rl"
    data = open_dataset(path, fps=125.0)
    assert [e.length for e in data] == [6, 5, 4]
    for episode, (start, stop), last in zip(data, [(0, 5), (5, 9), (9, 12)], [5, 6, 7]):
        seen = episode["observation.state"].values
        np.testing.assert_array_equal(seen[:-1], truth["observations"][start:stop])
        np.testing.assert_array_equal(seen[-1], last)
        for name, key in (("action", "actions"), ("next.reward", "rewards"), ("info.qpos", "infos/qpos")):
            signal = episode[name]
            np.testing.assert_array_equal(signal.values[:-1], truth[key][start:stop])
            assert signal.valid is not None
            assert signal.valid.tolist() == [True] * (stop - start) + [False]
    assert data[0]["next.terminated"].values.tolist() == [False] * 4 + [True, False]
    assert data[1]["next.truncated"].values[:-1].tolist() == [False] * 3 + [True]
    assert data[0].timestamp[1] == pytest.approx(1 / 125)


def test_every_step_becomes_a_transition_and_time_outs_are_no_ends(tmp_path: Path) -> None:
    truth = tables()
    rows, state = transitions_of(open_dataset(write(tmp_path / "a.hdf5", truth)), LOW, HIGH, ["observation.state"])
    assert state is None
    np.testing.assert_array_equal(rows.observation[0], truth["observations"])
    np.testing.assert_array_equal(rows.next_observation[0], truth["next_observations"])
    np.testing.assert_array_equal(rows.cause[0], truth["actions"])
    np.testing.assert_array_equal(rows.reward[0], truth["rewards"])
    np.testing.assert_array_equal(rows.terminated[0], truth["terminals"])


def test_old_files_lose_the_last_step_unless_it_is_an_end(tmp_path: Path) -> None:
    truth = tables(following=False)
    data = open_dataset(write(tmp_path / "a.hdf5", truth))
    assert [e.length for e in data] == [5, 4, 3]
    rows, _ = transitions_of(data, LOW, HIGH, ["observation.state"])
    np.testing.assert_array_equal(rows.reward[0], np.delete(truth["rewards"], [8, 11]))
    assert rows.terminated[0].nonzero()[:, 0].tolist() == [4]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            {"rewards": np.zeros(5, np.float32)},
            r"rewards has shape \(5,\), observations \(12, 3\); expected tables of as",
        ),
        ({"actions": np.full((ROWS, 2), np.nan, np.float32)}, "signal 'action': NaN or infinity at step 0"),
    ],
)
def test_broken_tables_are_refused(tmp_path: Path, change: dict[str, Any], words: str) -> None:
    path = write(tmp_path / "a.hdf5", {**tables(), **change})
    with pytest.raises(FormatError, match=words):
        _ = [episode["action"] for episode in open_dataset(path)]


def test_a_file_that_does_not_tell_where_episodes_end_is_refused(tmp_path: Path) -> None:
    values = {k: v for k, v in tables().items() if k != "timeouts"}
    values["terminals"] = np.zeros(ROWS, bool)
    with pytest.raises(FormatError, match="its 12 rows do not tell where episodes end"):
        open_dataset(write(tmp_path / "a.hdf5", values))
