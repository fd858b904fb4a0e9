"""The human recordings open without options, with names, units, rates, bounds and the world they belong to."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from invdyn.episodes import detect_format, open_dataset
from invdyn.episodes.formats import robosuite


def test_adroit_door(shared_data: Path) -> None:
    data = open_dataset(shared_data / "adroit_door_human")
    assert detect_format(shared_data / "adroit_door_human") == "known"
    assert (len(data), data.fps, data.frames) == (20, 100.0, 5445)
    assert data.schema["observation.state"].names[27:30] == ("latch", "door_hinge", "palm_x")
    assert data.schema["action"].low == (-1.0,)
    assert len(data.schema["action"].names) == 28
    episode, raw = data[7], np.load(shared_data / "adroit_door_human" / "demos.npz")
    assert episode.task == "open the door"
    assert np.array_equal(episode["observation.state"].values, raw["observations_07"])
    assert np.array_equal(episode["action"].values, raw["actions_07"])
    assert np.array_equal(episode["next.reward"].values, raw["rewards_07"])
    world = episode.metadata["world"]
    assert world["id"] == "adroit/door"
    assert world["init_qpos"] == raw["init_qpos_07"].tolist()
    assert world["init_qvel"] == raw["init_qvel_07"].tolist()
    assert world["door_body_pos"] == raw["init_door_body_pos_07"].tolist()
    # the difference palm to handle stands in the observation: checks the order of the component names
    name = data.schema["observation.state"].names.index
    state = episode["observation.state"].values
    for axis in "xyz":
        gap = state[:, name(f"palm_{axis}")] - state[:, name(f"handle_{axis}")]
        np.testing.assert_allclose(state[:, name(f"palm_to_handle_{axis}")], gap, atol=1e-6)  # float32 metres


def test_push_t(shared_data: Path) -> None:
    folder = shared_data / "pusht_human"
    data = open_dataset(folder)
    raw = np.load(folder / "pusht_lowdim_ep000_179.npz")
    assert (len(data), data.fps, data.frames) == (180, 10.0, 22207)
    assert data.lengths.tolist() == np.diff(raw["episode_ends"], prepend=0).tolist()
    assert data.schema["action"].high == (512.0,)
    assert data.schema["observation.state"].names == ("agent_x", "agent_y", "block_x", "block_y", "block_angle")
    first = raw["episode_ends"][99]
    episode = data[100]
    assert np.array_equal(episode["action"].values, raw["action"][first : first + episode.length])
    keypoints = raw["keypoint"][first : first + episode.length].reshape(episode.length, 18)
    assert np.array_equal(episode["observation.keypoints"].values, keypoints)
    assert episode.metadata["world"] == {"id": "pusht"}
    assert episode.metadata["number"] == 100
    assert episode.task == "push the T onto its target"


def test_push_t_pictures_show_the_recorded_agent(shared_data: Path) -> None:
    """The agent is a blue disc; its centre in the picture is its recorded position, so frames are in step."""
    data = open_dataset(shared_data / "pusht_human")
    assert "observation.images.top" in data[109]
    assert "observation.images.top" not in data[110]
    for number in (0, 61, 109):
        episode = data[number]
        pictures = episode["observation.images.top"].values
        assert pictures.shape == (episode.length, 96, 96, 3)
        state = episode["observation.state"].values
        errors = []
        for step in range(0, episode.length, 10):
            distance = np.abs(pictures[step].astype(int) - [78, 126, 255]).sum(-1)
            rows, columns = np.nonzero(distance < 60)
            if len(rows) > 8:
                centre = np.array([columns.mean(), rows.mean()]) * 512 / 95
                errors.append(np.abs(centre - state[step, :2]).max())
        assert len(errors) >= 5
        # a pixel is 5.3 px of the world; the agent moves by tens of px a step, so a shifted frame would show
        assert np.median(errors) < 6
    whole = data[61]["observation.images.top"].values
    part = data[61].read("observation.images.top", 30, 41).values
    assert np.array_equal(part, whole[30:41])


SETS = {
    "v1.0_lift_panda": (1, 412, 20.0, ["observation.state", "action", "joint_torque"]),
    "v1.0_stack_panda": (1, 532, 20.0, ["observation.state", "action", "joint_torque"]),
    "v1.0_pick-place_panda": (1, 1482, 20.0, ["observation.state", "action", "joint_torque"]),
    "v1.0_door_panda": (1, 261, 20.0, ["observation.state", "action", "joint_torque"]),
    "v1.0_wipe_panda": (1, 174, 20.0, ["observation.state", "action", "joint_torque"]),
    "v0.3_SawyerLift": (2, 1895, 100.0, ["observation.state", "action", "command.right_dpos", "command.right_dquat"]),
    "v0.3_SawyerStack": (2, 2426, 100.0, ["observation.state", "action", "command.right_dpos", "command.right_dquat"]),
    "v0.3_BaxterPegInHole": (2, 2395, 100.0, ["observation.state"]),
}


@pytest.mark.parametrize("name", SETS)
def test_robosuite(shared_data: Path, name: str) -> None:
    h5py = pytest.importorskip("h5py")
    episodes, frames, fps, signals = SETS[name]
    data = open_dataset(shared_data / "robosuite_human" / name)
    assert (len(data), data.frames, data.fps) == (episodes, frames, fps)
    assert list(data.schema) == signals
    episode = data[0]
    with h5py.File(shared_data / "robosuite_human" / name / "demo.hdf5") as file:
        states = file["data/demo_1/states"][:]
    kept = np.concatenate([[True], (states[1:] != states[:-1]).any(1)])
    assert np.array_equal(episode.timestamp, states[kept, 0])
    assert np.array_equal(episode["observation.state"].values, states[kept, 1:])
    assert episode.metadata.get("repeated_rows_left_out", 0) == int((~kept).sum())
    assert (np.diff(episode.timestamp) > 0).all()


def test_robosuite_names_fit_the_motion(shared_data: Path) -> None:
    """Positions of the model's joints, differentiated, are the velocities named after the same joints."""
    data = open_dataset(shared_data / "robosuite_human" / "v0.3_SawyerStack")
    names, state = data.schema["observation.state"].names, data[0]["observation.state"].values
    step = np.diff(data[0].timestamp)
    for joint in ("right_j0", "right_j3", "right_j6", "r_gripper_l_finger_joint"):
        position, velocity = state[:, names.index(f"{joint}.pos")], state[:, names.index(f"{joint}.vel")]
        slope = np.diff(position) / step
        # semi-implicit Euler: the mean velocity of a step is near that of its end; 0.99 leaves room for substeps
        assert np.corrcoef(slope, velocity[1:])[0, 1] > 0.99
    quaternion = state[:, [names.index(f"cubeA.q{c}") for c in "wxyz"]]
    np.testing.assert_allclose(np.linalg.norm(quaternion, axis=1), 1.0, atol=1e-6)


def test_robosuite_command_moves_the_next_step(shared_data: Path) -> None:
    """The gripper command of row t moves the fingers between rows t and t+1: no shift of rows is needed."""
    data = open_dataset(shared_data / "robosuite_human" / "v1.0_pick-place_panda")
    names, episode = data.schema["observation.state"].names, data[0]
    finger = episode["observation.state"].values[:, names.index("gripper0_finger_joint1.pos")]
    command = episode["action"].values[:, -1]
    closing = np.flatnonzero((command[1:] > 0) & (command[:-1] < 0)) + 1
    assert len(closing) >= 3
    assert (np.abs(finger[closing] - finger[closing - 1]) < 1e-3).all()
    assert (finger[closing + 1] - finger[closing] < -4e-3).all()


def test_opening_reads_no_signal(shared_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    original = np.lib.format.read_array

    def counted(*args: object, **more: object) -> object:
        read.append("array")
        return original(*args, **more)

    monkeypatch.setattr(np.lib.format, "read_array", counted)
    data = open_dataset(shared_data / "adroit_door_human")
    assert read == []
    assert data[3]["action"].values.shape == (300, 28)
    assert "array" in read


def test_robosuite_file_and_folder_are_one(shared_data: Path) -> None:
    folder = shared_data / "robosuite_human" / "v1.0_lift_panda"
    assert robosuite.matches(folder)
    assert robosuite.matches(folder / "demo.hdf5")
    assert not robosuite.matches(folder / "models" / "model_1.xml")
    assert detect_format(folder / "demo.hdf5") == "robosuite"


def test_push_t_goes_to_another_process(shared_data: Path) -> None:
    """Labelling hands the recordings to its workers."""
    data = open_dataset(shared_data / "pusht_human")
    again = pickle.loads(pickle.dumps(data))
    frame = "observation.images.top"
    np.testing.assert_array_equal(again[3].read(frame, 5, 7).values, data[3].read(frame, 5, 7).values)
    np.testing.assert_array_equal(again[3]["action"].values, data[3]["action"].values)
