"""BVH, AMASS and DeepMimic: exact round trips, kinematics against rotations composed by SciPy, real clips."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from motion_samples import bvh, write_samples
from scipy.spatial.transform import Rotation

from invdyn.episodes import Dataset, detect_format, open_dataset, write_dataset
from invdyn.episodes.formats.bvh_file import read_bvh, write_bvh


def test_bvh_round_trip_is_exact(tmp_path: Path) -> None:
    truth = bvh()
    write_bvh(truth, tmp_path / "a.bvh")
    back = read_bvh(tmp_path / "a.bvh")
    assert back.joints == truth.joints
    assert np.array_equal(back.values, truth.values)
    assert back.frame_time == truth.frame_time


def test_bvh_kinematics_follow_the_order_of_the_channels() -> None:
    motion = bvh()
    positions, rotations = motion.forward()
    root = Rotation.from_euler("ZXY", motion.values[:, 3:6], degrees=True)
    leg = root * Rotation.from_euler("YXZ", motion.values[:, 6:9], degrees=True)
    np.testing.assert_allclose(rotations[:, 0], root.as_matrix(), atol=1e-14)
    np.testing.assert_allclose(rotations[:, 1], leg.as_matrix(), atol=1e-14)
    knee = motion.values[:, :3] + root.apply([0.1, -0.2, 0.0])
    np.testing.assert_allclose(positions[:, 1], knee, atol=1e-12)
    np.testing.assert_allclose(positions[:, 2], knee + leg.apply([0.0, -0.9, 1 / 3]), atol=1e-12)
    spine = root * Rotation.from_euler("X", motion.values[:, 9:10], degrees=True)
    np.testing.assert_allclose(rotations[:, 3], spine.as_matrix(), atol=1e-14)


def test_bvh_as_dataset(tmp_path: Path) -> None:
    write_bvh(bvh(), tmp_path / "a.bvh")
    data = open_dataset(tmp_path / "a.bvh")
    assert data.fps == 120
    assert data.schema["observation.rotation"].unit == "deg"
    assert data.schema["observation.position"].unit == ""  # the format does not say it
    assert open_dataset(tmp_path / "a.bvh", length_unit="cm").schema["observation.position"].unit == "cm"
    assert data.schema["observation.rotation"].names[3] == "Left Leg.Yrotation"
    back = read_bvh(write_dataset(data, tmp_path / "b.bvh", format="bvh"))
    assert back.joints == bvh().joints
    assert np.array_equal(back.values, bvh().values)
    assert back.frame_time == bvh().frame_time
    folder = write_dataset(Dataset.from_episodes([data[0], data[0]]), tmp_path / "many", format="bvh")
    assert detect_format(folder) == "bvh"
    assert len(open_dataset(folder)) == 2


def test_bvh_as_others_write_it(tmp_path: Path) -> None:
    text = """HIERARCHY
ROOT Hip {
  OFFSET 0 0 0
  CHANNELS 6 Xposition Yposition Zposition Zrotation Xrotation Yrotation
  JOINT Knee
  {
    OFFSET 0 -40.5 0
    CHANNELS 3 zrotation xrotation yrotation
    End Site
    {
      OFFSET 0 -39 0
    }
  }
}
MOTION
Frames:\t2
Frame Time:\t0.0333333
0 90 0 0 0 0 90 0 0
1 90 0 0 0 0 0 0 90
"""
    (tmp_path / "a.bvh").write_text(text.replace("\n", "\r\n"), "utf-8")
    positions, _ = read_bvh(tmp_path / "a.bvh").forward()
    np.testing.assert_allclose(positions[0], [[0, 90, 0], [0, 49.5, 0], [39, 49.5, 0]], atol=1e-12)
    np.testing.assert_allclose(positions[1], [[1, 90, 0], [1, 49.5, 0], [1, 10.5, 0]], atol=1e-12)


@pytest.mark.parametrize(
    ("width", "rate", "model"), [(156, "mocap_framerate", "SMPL+H"), (165, "mocap_frame_rate", "SMPL-X")]
)
def test_amass_both_variants(tmp_path: Path, width: int, rate: str, model: str) -> None:
    rng = np.random.default_rng(0)
    arrays = {"trans": rng.normal(size=(5, 3)), "poses": rng.normal(size=(5, width)), "betas": rng.normal(size=16)}
    np.savez(tmp_path / "a.npz", gender="male", **{rate: 60.0}, **arrays)  # type: ignore[arg-type]
    assert detect_format(tmp_path / "a.npz") == "amass"
    assert detect_format(tmp_path) == "amass"
    data = open_dataset(tmp_path / "a.npz")
    assert data.fps == 60
    assert np.array_equal(data[0]["observation.state"].values, arrays["poses"])
    assert np.array_equal(data[0]["observation.root.position"].values, arrays["trans"])
    names = data.schema["observation.state"].names
    assert (names[0], names[3], len(names)) == ("root_0.x", "body_0.x", width)
    assert (data[0].metadata["model"], data[0].metadata["gender"]) == (model, "male")
    assert data[0].metadata["betas"] == arrays["betas"].tolist()


class Trap:
    """Unpickling this is an error."""

    def __reduce__(self) -> tuple[object, ...]:
        return (pytest.fail, ("a pickled array was opened",))


def test_amass_never_unpickles(tmp_path: Path) -> None:
    pickled = np.array([Trap()], object)
    points = np.ones((5, 2, 3))
    points[1, 0] = np.nan
    np.savez(
        tmp_path / "a.npz",
        trans=np.zeros((5, 3)),
        poses=np.zeros((5, 165)),
        mocap_frame_rate=30.0,
        markers_latent_vids=pickled,
        markers=points,
        labels=["HEAD", "C7"],
    )
    data = open_dataset(tmp_path / "a.npz")
    assert data[0].metadata["left_out"] == ["markers_latent_vids"]
    assert data[0]["observation.marker.HEAD"].mask.tolist() == [True, False, True, True, True]


def test_deepmimic_clip_without_character(tmp_path: Path) -> None:
    path = write_samples(tmp_path)["deepmimic"]
    raw = np.array(json.loads(path.read_text("utf-8"))["Frames"])
    assert detect_format(path) == "deepmimic"
    episode = open_dataset(path)[0]
    assert np.array_equal(episode["observation.root.position"].values, raw[:, 1:4])
    assert np.array_equal(episode["observation.root.rotation"].values, raw[:, [5, 6, 7, 4]])  # scalar last
    assert np.array_equal(episode["observation.state"].values, raw[:, 8:])
    np.testing.assert_allclose(episode.timestamp, np.arange(4) / 30)
    assert episode.metadata["Loop"] == "wrap"


@pytest.mark.parametrize("name", ["walk", "run", "jump", "kick", "spinkick", "cartwheel"])
def test_real_clips(shared_data: Path, name: str, caplog: pytest.LogCaptureFixture) -> None:
    folder = shared_data / "mocap_deepmimic"
    data = open_dataset(folder / f"humanoid3d_{name}.txt", character=folder / "humanoid3d.txt")
    names = data.schema["observation.state"].names
    state = data[0]["observation.state"].values
    assert len(names) == 36
    for joint in {n.partition(".")[0] for n in names if "." in n}:
        at = [names.index(f"{joint}.{axis}") for axis in "xyzw"]
        # the clips' own quaternions are not of unit length in every frame (kick: down to 0.58)
        np.testing.assert_allclose(np.linalg.norm(state[:, at], axis=1), 1, atol=1e-12)
    root = data[0]["observation.root.rotation"].values
    np.testing.assert_allclose(np.linalg.norm(root, axis=1), 1, atol=1e-12)
    assert ("humanoid3d_kick.txt: quaternions of right_hip are not of length 1 (0.583" in caplog.text) is (
        name == "kick"
    )
    assert 0.2 < data[0]["observation.root.position"].values[:, 1].mean() < 1.3  # m, y up
    assert 16 <= data.fps <= 61


def test_real_clip_of_another_body(shared_data: Path) -> None:
    assert open_dataset(shared_data / "mocap_deepmimic" / "dog3d_trot.txt").schema["observation.state"].shape == (76,)


def test_real_clips_of_dm_control(shared_data: Path) -> None:
    path = shared_data / "mocap_cmu_dm_control" / "test_trajectories.h5"
    assert detect_format(path) == "dm_control"
    data = open_dataset(path)
    assert [e.metadata["clip"] for e in data] == ["cmuv2019_001", "cmuv2019_002"]
    assert data.fps == 20
    episode = data[0]
    assert episode["observation.state"].values.shape == (10, 56)
    assert episode["observation.prop_0.position"].values.shape == (10, 3)
    turns = episode["observation.body_rotations"].values.reshape(10, 30, 4)
    np.testing.assert_allclose(np.linalg.norm(turns, axis=2), 1, atol=1e-6)
    # the recorded velocity is what the positions do, and the root is the first body
    speed = np.gradient(episode["observation.root.position"].values, episode.timestamp, axis=0)
    recorded = episode["observation.root.velocity"].values
    assert np.abs(speed[1:-1] - recorded[1:-1]).max() < 0.3 * np.abs(recorded).max()
    root = Rotation.from_quat(episode["observation.root.rotation"].values)
    turned = (root[:-1].inv() * root[1:]).as_rotvec() / 0.05  # rad/s in the body's frame; in the world's it is about y
    recorded = episode["observation.root.angular_velocity"].values[2:-1]
    assert np.abs((turned[2:] + turned[1:-1]) / 2 - recorded).max() < 0.25 * np.abs(recorded).max()


def test_real_kinetics_toolkit_container(shared_data: Path) -> None:
    path = shared_data / "wheelchair_kinetics" / "inversedynamics_kinetics.ktk.zip"
    assert detect_format(path) == "ktk"
    episode = open_dataset(path)[0]
    assert episode.schema.fps == pytest.approx(240, rel=1e-3)
    assert (episode.schema["force.Forces"].unit, episode.schema["force.Moments"].unit) == ("N", "N m")
    assert episode.schema["observation.Angle"].unit == "rad"
    assert [s.name for s in episode.spans[:3]] == ["push", "recovery", "push"]
    # the wheel turns forwards and the hand pushes: the moment about the axle does positive work
    moment = episode["force.Moments"].values[:, 2]
    speed = np.gradient(episode["observation.Angle"].values[:, 0], episode.timestamp)
    assert (moment * speed > 0)[np.abs(moment) > 20].mean() > 0.95
