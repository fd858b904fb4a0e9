"""OpenSim tables and external loads: what is written comes back, and real gait files mean what they say."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from motion_samples import GROUND, LOADS, table

from invdyn.episodes import Dataset, Episode, detect_format, open_dataset, write_dataset
from invdyn.episodes.formats.external_loads import read_external_loads
from invdyn.episodes.formats.opensim_tables import Table, read_table, write_table

GAIT = "opensim_inverse_dynamics"


@pytest.mark.parametrize("ending", [".mot", ".sto"])
def test_table_round_trip_is_exact(tmp_path: Path, ending: str) -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=(50, 3)) * 10.0 ** rng.integers(-300, 300, (50, 3))
    values[4, 1] = np.nan
    truth = replace(table(), time=np.cumsum(rng.random(50)), values=values)
    write_table(truth, tmp_path / f"a{ending}")
    back = read_table(tmp_path / f"a{ending}")
    assert back.names == truth.names
    assert np.array_equal(back.time, truth.time)
    assert np.array_equal(back.values, truth.values, equal_nan=True)
    assert (back.in_degrees, back.title, back.data_type) == (True, "walk", "double")


@pytest.mark.parametrize("data_type", ["Vec3", "Quaternion", "SpatialVec", "Vec12"])
def test_elements_of_several_numbers(tmp_path: Path, data_type: str) -> None:
    width = {"Vec3": 3, "Quaternion": 4, "SpatialVec": 6, "Vec12": 12}[data_type]
    values = np.random.default_rng(1).normal(size=(7, 2 * width))
    values[3, :width] = np.nan  # an element that is missing
    truth = Table(("pelvis", "tibia_r"), np.arange(7) / 100, values, False, "imu", data_type)
    write_table(truth, tmp_path / "a.sto")
    text = (tmp_path / "a.sto").read_text("utf-8")
    assert f"DataType={data_type}\n" in text
    assert "version=3\n" in text
    back = read_table(tmp_path / "a.sto")
    assert np.array_equal(back.values, values, equal_nan=True)
    assert np.array_equal(back.columns(["tibia_r"]), values[:, width:])
    data = open_dataset(tmp_path / "a.sto")
    assert data[0]["observation.pelvis"].mask.tolist() == [True] * 3 + [False] + [True] * 3
    if data_type == "Quaternion":
        assert data.schema["observation.pelvis"].names == ("w", "x", "y", "z")


def test_windows_line_ends_trailing_tabs_and_old_header(tmp_path: Path) -> None:
    header = "name x.mot\t\t\r\ndatacolumns 3\t\t\r\ndatarows 2\r\nendheader\t\r\n"
    text = header + " time\t a_moment\tb_force\t\r\n 0\t1\t 2\t\r\n0.5\t\t-4e1\r\n"
    (tmp_path / "x.mot").write_bytes(text.encode())
    back = read_table(tmp_path / "x.mot")
    assert back.names == ("a_moment", "b_force")
    assert np.array_equal(back.values, [[1, 2], [np.nan, -40]], equal_nan=True)
    assert back.header["datarows"] == "2"
    assert back.in_degrees is None
    data = open_dataset(tmp_path / "x.mot")  # forces need no unit of angles
    assert (data.schema["force.moment"].unit, data.schema["force.linear"].unit) == ("N m", "N")
    assert data[0]["force.moment"].mask.tolist() == [True, False]


def test_rotations_become_radians_only_where_told(tmp_path: Path) -> None:
    truth = table()
    write_table(truth, tmp_path / "a.mot")
    raw = open_dataset(tmp_path / "a.mot")[0]
    assert np.array_equal(raw["observation.state"].values, truth.values)
    assert (raw.metadata["angle_unit"], raw.schema["observation.state"].unit) == ("deg", "")
    told = open_dataset(tmp_path / "a.mot", rotations=["knee_angle_r", "hip_flexion_r"])[0]
    np.testing.assert_allclose(told["observation.state"].values[:, [0, 2]], np.radians(truth.values[:, [0, 2]]))
    assert np.array_equal(told["observation.state"].values[:, 1], truth.values[:, 1])
    assert told.schema["observation.state"].unit == "rad, m, rad"
    assert told.metadata["angle_unit"] == "rad"


def test_dataset_round_trip_with_several_episodes(tmp_path: Path) -> None:
    write_table(table(), tmp_path / "one.mot")
    first = open_dataset(tmp_path / "one.mot")
    back = open_dataset(write_dataset(first, tmp_path / "two.sto", format="opensim"))
    assert np.array_equal(back[0]["observation.state"].values, first[0]["observation.state"].values)
    assert np.array_equal(back[0].timestamp, first[0].timestamp)
    assert back[0].metadata["angle_unit"] == "deg"
    both = Dataset.from_episodes([first[0], first[0]])
    folder = write_dataset(both, tmp_path / "many", format="opensim")
    assert sorted(f.name for f in folder.iterdir()) == ["episode_000000.sto", "episode_000001.sto"]
    assert detect_format(folder) == "opensim"
    assert len(open_dataset(folder)) == 2


def test_written_signals_are_columns_by_name(tmp_path: Path) -> None:
    write_table(replace(table(), names=("a_vx", "a_vy", "a_vz"), in_degrees=False), tmp_path / "a.mot")
    episode = open_dataset(tmp_path / "a.mot")[0]
    assert list(episode) == ["a_v"]
    only = Episode.from_signals([episode["a_v"]], fps=60.0)
    path = write_dataset(Dataset.from_episodes([only]), tmp_path / "b.mot", format="opensim")
    assert read_table(path).names == ("a_vx", "a_vy", "a_vz")
    assert read_table(path).in_degrees is False  # there are no rotations


def test_real_gait(shared_data: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = shared_data / GAIT
    forces = open_dataset(folder / "rajagopal_walk" / "grf_walk.mot")[0]
    assert list(forces) == [
        *("ground_force_r_v", "ground_force_r_p", "ground_torque_r_"),
        *("ground_force_l_v", "ground_force_l_p", "ground_torque_l_"),
    ]
    vertical = forces["ground_force_r_v"].values[:, 1] + forces["ground_force_l_v"].values[:, 1]
    assert 600 < vertical.max() < 1500  # N: a walking adult of 75 kg or so
    assert forces.schema["ground_force_r_p"].unit == "m"
    angles = open_dataset(folder / "rajagopal_walk" / "coordinates.sto")[0]
    assert "knee_angle_r_beta/value, " in caplog.text  # two columns of this file are in degrees all the same
    assert "reach beyond two turns; degrees? Nothing was converted" in caplog.text
    assert angles["observation.state"].values.shape == (1350, 31)
    assert angles.metadata["angle_unit"] == "rad"
    stated = open_dataset(folder / "subject01_and_arm26" / "subject01_walk1_ik.mot")[0]
    assert stated.metadata["angle_unit"] == "deg"  # "Angles are in degrees." stands in its header
    reference = open_dataset(folder / "rajagopal_walk" / "id_walk.sto")[0]
    assert reference["force.moment"].values.shape == (1350, 26)
    assert reference["force.linear"].spec.names[0] == "pelvis_tx_force"
    rounded = open_dataset(folder / "subject01_and_arm26" / "subject01_walk1_grf.mot")
    assert rounded.fps == pytest.approx(600, rel=1e-3)  # seconds with four decimals


def test_external_loads(tmp_path: Path) -> None:
    (tmp_path / "walk.xml").write_text(LOADS, "utf-8")
    names = (*GROUND, "l_vx", "l_vy", "l_vz")
    values = np.random.default_rng(0).normal(size=(4, 12))
    write_table(Table(names, np.arange(4.0), values, False), tmp_path / "walk_grf.mot")
    found = read_external_loads(tmp_path / "walk.xml")
    right, left = found.loads
    assert (right.body, right.force_frame, right.point_frame, right.applies) == ("calcn_r", "ground", "ground", True)
    assert (left.body, left.applies, left.point, left.source) == ("calcn_l", False, None, "")
    forces = read_table(found.table_path)
    load = right.over(forces)
    assert np.array_equal(np.concatenate([load.force, load.point, load.torque], axis=1), values[:, :9])
    alone = left.over(forces)
    assert np.array_equal(alone.force, values[:, 9:])
    assert alone.point is None
    assert alone.torque is None


def test_real_external_loads(shared_data: Path) -> None:
    for name in ("rajagopal_walk/grf_walk.xml", "subject01_and_arm26/subject01_walk1_grf.xml"):
        found = read_external_loads(shared_data / GAIT / name)
        assert [load.body for load in found.loads] == ["calcn_r", "calcn_l"]
        forces = read_table(found.table_path)
        for load in found.loads:
            over = load.over(forces)
            assert over.force[:, 1].max() > 500  # N upwards
            assert np.abs(over.torque).max() > 1
