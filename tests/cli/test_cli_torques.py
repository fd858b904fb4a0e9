"""`invdyn torques`: every kind of motion file in, every kind of output, nothing overwritten or half-written."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import Run
from torques_case import ARM, HOPPER, arm_torque, swing, write_csv, write_robot

from invdyn.bodies.dynamics import Dynamics
from invdyn.bodies.urdf import read_urdf
from invdyn.cli.torques_report import BINS, thinned
from invdyn.episodes import open_dataset
from invdyn.episodes.formats.opensim_tables import Table, read_table, write_table
from invdyn.training.progress import Bar

NO_SWEEP = ("--sweep", "3", "6")


@pytest.fixture
def arm(tmp_path: Path) -> Path:
    return write_robot(tmp_path, ARM)


@pytest.fixture
def motion(tmp_path: Path) -> Path:
    time, q, _, _ = swing()
    return write_csv(tmp_path / "swing.csv", time, {"shoulder [rad]": q[:, 0], "elbow [rad]": q[:, 1]})


def truth() -> np.ndarray:
    return arm_torque(*swing()[1:])


def close(found: np.ndarray) -> None:
    assert np.abs(found - truth())[20:-20].max() < 1e-3 * np.abs(truth()).max()


def test_csv_to_all_outputs(invdyn: Run, arm: Path, motion: Path, tmp_path: Path) -> None:
    outs = [tmp_path / "tau.csv", tmp_path / "tau.sto", tmp_path / "tau"]
    report = tmp_path / "tau.html"
    told = invdyn("torques", arm, motion, "--out", *outs, "--report", report, "--json").value
    assert told["out"] == [str(o) for o in outs]
    (one,) = told["recordings"]
    assert (one["frames"], one["smoother"], one["level"], one["residual"]) == (300, "rts", 0.9, None)
    assert [r["coordinate"] for r in one["coordinates"]] == ["shoulder", "elbow"]
    assert one["coordinates"][0]["peak"] == pytest.approx(np.abs(truth()[:, 0]).max(), rel=0.02)
    assert one["replay"]["acceleration_error"] < 1e-9
    assert [c["cutoff"] for c in one["cutoffs"]] == [3.0, 4.5, 6.0, 9.0, 12.0]
    with outs[0].open() as file:
        head, *rows = csv.reader(file)
    assert head[:4] == ["time", "tau.shoulder [N m]", "tau.shoulder.lower [N m]", "tau.shoulder.upper [N m]"]
    values = np.array(rows, float)
    close(values[:, [1, 4]])
    assert (values[:, 2] < values[:, 1]).all()
    table = read_table(outs[1])
    assert table.names == ("shoulder_moment", "elbow_moment")
    np.testing.assert_array_equal(table.values, values[:, [1, 4]])
    episode = open_dataset(outs[2])[0]
    np.testing.assert_array_equal(episode["force.torque"].values, table.values)
    assert episode.schema["force.torque"].unit == "N m"
    assert set(episode["label.force.torque.source"].values) == {"inferred:inverse dynamics"}
    assert {"observation.velocity", "observation.acceleration", "label.force.torque.upper"} <= set(episode)
    page = report.read_text()
    for heading in ("Torques behind the motion", "Effect of the cut-off", "Replayed forward", "<svg"):
        assert heading in page
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        *("robot.urdf", "swing.csv", "tau", "tau.csv", "tau.html", "tau.sto")
    ]


def test_outputs_are_never_overwritten_unasked(invdyn: Run, arm: Path, motion: Path, tmp_path: Path) -> None:
    out = tmp_path / "tau.csv"
    out.write_text("mine")
    args = ("torques", arm, motion, "--out", out, *NO_SWEEP)
    invdyn(*args).refused("tau.csv exists already. Choose another --out, or pass --overwrite to replace it.")
    assert out.read_text() == "mine"
    assert invdyn(*args, "--overwrite").code == 0
    assert out.read_text().startswith("time,")
    dataset = tmp_path / "set"
    assert invdyn("torques", arm, motion, "--out", dataset, *NO_SWEEP).code == 0
    invdyn("torques", arm, motion, "--out", dataset, *NO_SWEEP).refused("exists already")


def test_the_bar_says_what_is_read(
    invdyn: Run, arm: Path, motion: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reading and the inverse kinematics take seconds of a big file: the bar names them from the start."""
    stages: list[str] = []
    totals: list[float] = []
    monkeypatch.setattr(Bar, "advance", lambda self, n=1, note=None: stages.append(note or ""))
    monkeypatch.setattr(Bar, "expect", lambda self, total: totals.append(total))
    invdyn("torques", arm, motion, "--out", tmp_path / "tau.csv", "--json").value  # noqa: B018 - it must succeed
    told = list(dict.fromkeys(s for s in stages if s))
    assert told[:4] == [f"reading {arm}", f"reading {motion}", "compiling the dynamics", "smoothing"]
    assert told[-1] == f"writing {tmp_path / 'tau.csv'}"
    assert totals == [300]


def test_values_that_are_missing_are_told(invdyn: Run, arm: Path, tmp_path: Path) -> None:
    time, q, _, _ = swing()
    q[100:110, 1] = np.nan
    path = tmp_path / "gap.mot"
    write_table(Table(("shoulder", "elbow"), time, q, in_degrees=False), path)
    told = invdyn("torques", arm, path, "--out", tmp_path / "tau.csv", *NO_SWEEP)
    assert told.code == 0
    assert "gap.mot: of 300 steps some have no value, which smoothing bridges: elbow at 10" in told.err


def test_people_get_tables(invdyn: Run, arm: Path, motion: Path, tmp_path: Path) -> None:
    out = invdyn("torques", arm, motion, "--out", tmp_path / "tau.csv", *NO_SWEEP).out
    assert "300 frames, 2.99 s, smoothed by rts" in out
    assert "replay lands off by" in out
    assert out.strip().splitlines()[-1] == f"written: {tmp_path / 'tau.csv'}"


def test_degrees_of_an_opensim_table(invdyn: Run, arm: Path, tmp_path: Path) -> None:
    time, q, _, _ = swing()
    file = tmp_path / "swing.mot"
    write_table(Table(("elbow", "/jointset/s/shoulder/value", "other"), time,
                      np.degrees(np.stack([q[:, 1], q[:, 0], 0 * time], 1)), True), file)  # fmt: skip
    ran = invdyn("torques", arm, file, "--out", tmp_path / "tau.sto", "--smooth", "opensim", "--cutoff", 20, *NO_SWEEP)
    assert ran.code == 0, ran.err
    assert "1 columns are no position of the model and are left out: other" in ran.err
    assert "--smooth opensim knows no noise of the measurement" in ran.err
    found = read_table(tmp_path / "tau.sto").values
    assert np.abs(found - truth())[30:-30].max() < 0.02 * np.abs(truth()).max()


def test_npz_by_signal_and_units_as_told(invdyn: Run, arm: Path, tmp_path: Path) -> None:
    time, q, _, _ = swing()
    file = tmp_path / "swing.npz"
    np.savez(file, positions=np.degrees(q), timestamp=time)
    out = tmp_path / "tau.csv"
    args = ("torques", arm, file, "--signal", "positions", "--units", "deg", "--out", out, *NO_SWEEP)
    assert invdyn(*args).code == 0
    with out.open() as opened:
        values = np.array(list(csv.reader(opened))[1:], float)
    close(values[:, [1, 4]])


def test_several_episodes_of_our_own_dataset(invdyn: Run, arm: Path, tmp_path: Path) -> None:
    time, q, _, _ = swing()
    folder = tmp_path / "runs"
    folder.mkdir()
    for k, part in enumerate((slice(0, 150), slice(150, 300))):
        write_csv(folder / f"run_{k}.csv", time[part], {"shoulder [rad]": q[part, 0], "elbow [rad]": q[part, 1]})
    assert invdyn("convert", folder, tmp_path / "set").code == 0
    args = ("torques", arm, tmp_path / "set", *NO_SWEEP)
    assert invdyn(*args, "--out", tmp_path / "tau").code == 0
    data = open_dataset(tmp_path / "tau")
    assert data.lengths.tolist() == [150, 150]
    found = np.concatenate([e["force.torque"].values for e in data])
    assert np.abs(found - truth())[20:130].max() < 1e-3 * np.abs(truth()).max()
    invdyn(*args, "--out", tmp_path / "tau.csv").refused(
        "tau.csv: 2 recordings for one .csv file. Choose one with --episode N, or name a folder."
    )
    assert invdyn(*args, "--episode", 1, "--out", tmp_path / "one.csv").code == 0
    invdyn(*args, "--episode", 2, "--out", tmp_path / "two.csv").refused("has episodes 0 to 1")


def test_markers_of_a_trc_by_inverse_kinematics(invdyn: Run, arm: Path, tmp_path: Path) -> None:
    """Markers on the links, the recording with y up; 0.1 mm of noise."""
    from invdyn.episodes import Dataset, Episode, write_dataset
    from invdyn.episodes.formats.markers import Markers

    time, q, _, _ = swing()
    model = read_urdf(arm)
    names = ("m1", "m2", "m3", "hand")
    frames = Dynamics(model).frames(torch.from_numpy(np.ascontiguousarray(q.T)), names)
    points = np.moveaxis(frames.translation.numpy(), -1, 0)
    points = points + 1e-4 * np.random.default_rng(0).normal(size=points.shape)
    recorded = np.stack([points[..., 0], points[..., 2], -points[..., 1]], axis=-1)
    markers = Markers(names, time, recorded, 100.0)
    file = tmp_path / "swing.trc"
    episode = Episode.from_signals(markers.signals(file), fps=100.0, timestamp=time, metadata={"markers": list(names)})
    write_dataset(Dataset.from_episodes([episode]), file, format="trc")
    ran = invdyn("torques", arm, file, "--up", "y", "--out", tmp_path / "tau.sto", *NO_SWEEP, "--json")
    assert ran.value["markers"]["rms"] < 3e-4
    found = read_table(tmp_path / "tau.sto").values
    assert np.sqrt(((found - truth())[20:-20] ** 2).mean()) < 0.05 * np.sqrt((truth() ** 2).mean())


def test_loads_of_a_table_and_contacts_without_one(invdyn: Run, tmp_path: Path) -> None:
    robot = write_robot(tmp_path, HOPPER)
    time = np.arange(100) / 100
    free = {"root.tx [m]": 0 * time, "root.ty [m]": 0 * time, "root.tz [m]": 0 * time + 0.6,
            "root.qx": 0 * time, "root.qy": 0 * time, "root.qz": 0 * time, "root.qw": 0 * time + 1}  # fmt: skip
    rng = np.random.default_rng(0)
    free = {n: x + (1e-6 * rng.normal(size=100) if n.endswith("[m]") else 0) for n, x in free.items()}
    motion = write_csv(tmp_path / "stand.csv", time, {**free, "knee [rad]": 1e-6 * rng.normal(size=100)})
    weight = np.tile([0, 0, 98.1], (100, 1))
    grf = tmp_path / "grf.mot"
    names = tuple(f"foot_{p}{a}" for p in "vp" for a in "xyz")
    write_table(Table(names, time, np.hstack([weight, 0 * weight]), False), grf)
    base = ("torques", robot, motion, "--root", "free", *NO_SWEEP, "--json")
    measured = invdyn(*base, "--grf", grf, "--grf-body", "shin=foot", "--out", tmp_path / "a.csv").value
    assert max(r["rms_percent_bw"] for r in measured["recordings"][0]["residual"]) < 0.5
    corners = [f"shin@{x},{y},-0.3" for x in (0.1, -0.1) for y in (0.1, -0.1)]
    found = invdyn(*base, "--contacts", *corners, "--out", tmp_path / "b", "--report", tmp_path / "b.html").value[
        "recordings"
    ][0]
    assert max(r["rms_percent_bw"] for r in found["residual"]) < 0.5
    assert sum(c["mean_percent_bw"] for c in found["contacts"]) == pytest.approx(100, abs=0.5)
    assert all(c["closed"] == 1 for c in found["contacts"])
    assert "Contact forces found" in (tmp_path / "b.html").read_text()
    bare = invdyn(*base, "--out", tmp_path / "c.csv").value["recordings"][0]
    assert bare["residual"][2]["rms_percent_bw"] == pytest.approx(100, abs=0.5)


def test_loads_that_are_missing_and_points_that_never_touch_are_told(invdyn: Run, tmp_path: Path) -> None:
    robot = write_robot(tmp_path, HOPPER)
    time = np.arange(200) / 100
    held = ("--hold", *(f"root.{n}=0" for n in ("tx", "ty", "qx", "qy", "qz")), "root.qw=1")
    noise = 1e-6 * np.random.default_rng(0).normal(size=(200, 2))
    motion = write_csv(tmp_path / "stand.csv", time, {"root.tz [m]": 0.6 + noise[:, 0], "knee [rad]": noise[:, 1]})
    base = ("torques", robot, motion, "--root", "free", *held, *NO_SWEEP)
    force = np.zeros((200, 6))
    force[:100, 2] = 98.1  # the plate ends where the second step would be
    grf = tmp_path / "grf.mot"
    write_table(Table(tuple(f"foot_{p}{a}" for p in "vp" for a in "xyz"), time, force, False), grf)
    report = tmp_path / "a.html"
    told = invdyn(*base, "--grf", grf, "--grf-body", "shin=foot", "--out", tmp_path / "a.csv", "--report", report)
    assert told.code == 0
    text = report.read_text()
    assert f"pushed by {grf}" in text
    assert "in 100 of 200 steps (from 1.00 to 1.99 s) the root carries" in text
    assert "200 frames, 1.99 s, smoothed by rts." in text
    assert "<th>knee [N m]</th>" in text
    assert "in 100 of 200 steps (from 1.00 to 1.99 s) the root carries more than half the body weight" in told.err
    assert "% of body weight, moments times 1 m" in told.out
    told = invdyn(*base, "--contacts", "shin@0,0,-0.3", "shin@0.1,0,-0.2", "--out", tmp_path / "b.csv")
    assert told.code == 0
    assert "--contacts shin@0.1,0,-0.2 never touches: its lowest point is 0.1 m above the ground" in told.err
    assert "shin@0,0,-0.3 never touches" not in told.err


def test_at_rest_the_check_forward_compares_with_gravity(invdyn: Run, arm: Path, tmp_path: Path) -> None:
    """Accelerations of 1e-12 have no digits to return: 140 % of their peak would say nothing."""
    time = np.arange(100) / 100
    still = {"shoulder [rad]": 0.3 + 0 * time, "elbow [rad]": 0.1 * time}
    path = write_csv(tmp_path / "STILL.CSV", time, still)  # as other programs write endings
    one = invdyn("torques", arm, path, "--out", tmp_path / "tau.csv", *NO_SWEEP, "--json").value["recordings"][0]
    assert one["replay"]["acceleration_error"] < 1e-12


def test_angles_of_many_turns_are_looked_at_with_doubt(invdyn: Run, arm: Path, tmp_path: Path) -> None:
    time, q, _, _ = swing()
    path = write_csv(tmp_path / "deg.csv", time, {"shoulder": np.degrees(q[:, 0]), "elbow": 0 * time})
    told = invdyn("torques", arm, path, "--units", "rad", "--out", tmp_path / "tau.csv", *NO_SWEEP)
    assert told.code == 0
    most = np.degrees(np.abs(q[:, 0]).max())
    assert f"shoulder reaches {most:.4g} rad, 8 turns. Are these degrees? See --units." in told.err
    assert "elbow reaches" not in told.err


def test_a_character_of_deepmimic_walks(invdyn: Run, shared_data: Path, tmp_path: Path) -> None:
    """The character's file divides the clip's numbers; without contacts the root carries the weight, with them less."""
    folder = shared_data / "mocap_deepmimic"
    args = ("torques", folder / "humanoid3d.txt", folder / "humanoid3d_walk.txt", *NO_SWEEP, "--json")
    bare = invdyn(*args, "--out", tmp_path / "bare.csv")
    assert "Nothing pushes this body but its root" in bare.err
    (told,) = bare.value["recordings"]
    assert (told["frames"], bare.value["mass"]) == (39, pytest.approx(45.0))
    weight = {r["axis"]: r["rms_percent_bw"] for r in told["residual"]}
    assert 90 < weight["Fy"] < 110
    soles = [f"{side}_ankle.sole{k}" for side in ("left", "right") for k in range(4)]
    shod = invdyn(*args, "--contacts", *soles, "--closes", "0.08", "1.5", "--out", tmp_path / "shod.csv").value
    (told,) = shod["recordings"]
    assert {r["axis"]: r["rms_percent_bw"] for r in told["residual"]}["Fy"] < 0.5 * weight["Fy"]
    assert sum(c["mean_percent_bw"] for c in told["contacts"]) > 60


def test_remedies_are_named_as_options(invdyn: Run, shared_data: Path, tmp_path: Path) -> None:
    gait = shared_data / "opensim_inverse_dynamics/subject01_and_arm26"
    out = ("--out", tmp_path / "t.csv")
    arm = ("torques", gait / "arm26.osim", gait / "arm26_InverseKinematics.mot", *out)
    invdyn(*arm).refused("looks like degrees", "Pass --units deg or --units rad to settle it.")
    walk = ("torques", gait / "subject01.osim", shared_data / "c3d_walking/walking2.c3d", *out)
    invdyn(*walk).refused("markers: 0 of 44 are sites", "Pass --markers RECORDED=SITE ....")
    lift = shared_data / "robosuite_human/v1.0_lift_panda"
    args = ("torques", lift / "models/model_1.xml", lift, *out)
    pytest.importorskip("mujoco", reason="needs the extra 'worlds'")
    invdyn(*args).refused("or pass --no-geometry to leave geometry out.")


def test_a_recording_of_robosuite(invdyn: Run, shared_data: Path, tmp_path: Path) -> None:
    """A simulated Panda lifts a cube: torques from its joint angles at 20 Hz beside those that robosuite recorded."""
    pytest.importorskip("mujoco", reason="needs the extra 'worlds'")
    lift = shared_data / "robosuite_human/v1.0_lift_panda"
    out = tmp_path / "tau"
    args = ("torques", lift / "models/model_1.xml", lift, "--no-geometry", "--out", out, *NO_SWEEP)
    assert invdyn(*args, "--json").value["recordings"][0]["frames"] == 412
    found = open_dataset(out)[0]["force.torque"].values[:, :7]
    truth = open_dataset(lift)[0]["joint_torque"].values
    error = np.sqrt(((found - truth) ** 2).mean(0))
    # The joints that carry weight, measured 0.77 of 5.30 and 0.33 of 1.57 N m; the others' torques are as small as what
    # 20 Hz leave out.
    assert (error[[1, 3]] < 0.3 * truth.std(0)[[1, 3]]).all()


def test_joints_without_names_stand_in_the_models_order(tmp_path: Path) -> None:
    """As dm_control keeps them: root's pose, and numbers that only the model can name."""
    from invdyn.episodes.episode import Episode
    from invdyn.episodes.signal import Signal, SignalSpec
    from invdyn.errors import SignalError
    from invdyn.forces.torques_recordings import body_columns

    model = read_urdf(write_robot(tmp_path, HOPPER), "free")

    def made(joints: int) -> Episode:
        parts = {"root.position": (3, "m"), "root.rotation": (4, ""), "state": (joints, "rad")}
        signals = [
            Signal(SignalSpec(f"observation.{n}", (k,), "float64", "state", unit), np.full((5, k), 0.5))
            for n, (k, unit) in parts.items()
        ]
        return Episode.from_signals(signals, fps=10.0)

    found = body_columns(made(1), "clip", model)
    assert found is not None
    assert found.names[-1] == "knee"
    assert found.names[0].endswith(".tx")
    assert (found.angles[-1], found.lengths[0]) == ("rad", "m")
    with pytest.raises(SignalError, match="3 numbers of joints without names; model 'hopper' has 1 beside its root"):
        body_columns(made(3), "clip", model)


def test_long_recordings_are_drawn_by_their_extremes() -> None:
    time = np.arange(100_000) / 100
    curve = np.sin(time)
    curve[54_321] = 7.0
    drawn, outline = thinned(time, curve)
    assert len(drawn) == len(outline) == 2 * BINS
    assert outline.max() == 7.0
    assert outline.min() == curve.min()
    assert np.abs(drawn[outline.argmax()] - 543.21) < time[-1] / BINS
    assert np.array_equal(thinned(time[:50], curve[:50])[1], curve[:50])
