"""Small motion files of every format, made from known numbers."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np

from invdyn.episodes.formats.bvh_file import Bvh, BvhJoint, write_bvh
from invdyn.episodes.formats.c3d import C3d, write_c3d
from invdyn.episodes.formats.markers import Markers
from invdyn.episodes.formats.opensim_tables import Table, write_table
from invdyn.episodes.formats.trc import write_trc

LOADS = """<?xml version="1.0" encoding="UTF-8" ?>
<OpenSimDocument Version="40000">
  <ExternalLoads name="walk">
    <objects>
      <ExternalForce name="right">
        <appliesForce>true</appliesForce>
        <applied_to_body>calcn_r</applied_to_body>
        <force_expressed_in_body>ground</force_expressed_in_body>
        <point_expressed_in_body>ground</point_expressed_in_body>
        <force_identifier>ground_force_v</force_identifier>
        <point_identifier>ground_force_p</point_identifier>
        <torque_identifier>ground_torque_</torque_identifier>
      </ExternalForce>
      <ExternalForce name="left">
        <isDisabled>true</isDisabled>
        <applied_to_body>calcn_l</applied_to_body>
        <force_identifier>l_v</force_identifier>
        <data_source_name>Unassigned</data_source_name>
      </ExternalForce>
    </objects>
    <groups />
    <datafile>walk_grf.mot</datafile>
  </ExternalLoads>
</OpenSimDocument>
"""
GROUND = [f"ground_{what}{axis}" for what in ("force_v", "force_p", "torque_") for axis in "xyz"]


def markers(frames: int = 12, rate: float = 100.0) -> Markers:
    """Three markers on curves; the last is not seen in frames 2 to 4, nor the first in the last frame."""
    t = np.arange(frames) / rate
    positions = np.stack([np.stack([np.sin(t + k), np.cos(2 * t) / 3, 1e-3 * k + t**2], axis=1) for k in range(3)], 1)
    positions[2:5, 2] = positions[-1, 0] = np.nan
    return Markers(("R.ASIS", "L/Knee", "Toe tip"), t, positions, rate)


def table(frames: int = 10, in_degrees: bool | None = True) -> Table:
    t = 0.1 + np.arange(frames) / 60
    values = np.stack([40 * np.sin(3 * t), 0.9 + t / 7, -20 * np.cos(t)], axis=1)
    return Table(("knee_angle_r", "pelvis_ty", "hip_flexion_r"), t, values, in_degrees, "walk")


def bvh(frames: int = 8) -> Bvh:
    """A root with two chains; the second joint turns in another order than the first."""
    root = ("Xposition", "Yposition", "Zposition", "Zrotation", "Xrotation", "Yrotation")
    joints = (
        BvhJoint("Hips", -1, (0.0, 0.0, 0.0), root),
        BvhJoint("Left Leg", 0, (0.1, -0.2, 0.0), ("Yrotation", "Xrotation", "Zrotation")),
        BvhJoint("Left Leg.end", 1, (0.0, -0.9, 1 / 3), (), True),
        BvhJoint("Spine", 0, (0.0, 0.5, 0.0), ("Xrotation",)),
        BvhJoint("Spine.end", 3, (0.0, 0.4, 0.0), (), True),
    )
    values = np.random.default_rng(3).normal(size=(frames, 10)) * 30
    return Bvh(joints, values, 1 / 120)


def write_samples(folder: Path) -> dict[str, Path]:
    """One small file per format, by format."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = {
        "mot": folder / "walk.mot",
        "sto3": folder / "orientations.sto",
        "trc": folder / "walk.trc",
        "c3d": folder / "walk.c3d",
        "bvh": folder / "walk.bvh",
        "amass": folder / "walk_poses.npz",
        "deepmimic": folder / "walk.txt",
        "ktk": folder / "push.ktk.zip",
        "loads": folder / "walk.xml",
    }
    write_table(table(), paths["mot"])
    quaternions = np.tile([0.5, 0.5, 0.5, 0.5], (6, 2))
    write_table(Table(("pelvis", "femur_r"), np.arange(6) / 50, quaternions, False, "imu", "Quaternion"), paths["sto3"])
    write_trc(markers(), paths["trc"])
    seen = markers()
    analog = np.random.default_rng(0).normal(size=(4 * len(seen.time), 2))
    write_c3d(C3d(seen, analog, ("Fz1", "EMG"), ("N", "V"), 4 * seen.rate), paths["c3d"])
    write_bvh(bvh(), paths["bvh"])
    rng = np.random.default_rng(1)
    np.savez(
        paths["amass"],
        trans=rng.normal(size=(5, 3)),
        poses=rng.normal(size=(5, 156)),
        betas=rng.normal(size=16),
        dmpls=rng.normal(size=(5, 8)),
        gender="female",
        mocap_framerate=120.0,
    )
    frames = np.concatenate([np.full((4, 1), 1 / 30), rng.normal(size=(4, 43))], axis=1)
    frames[-1, 0] = 0
    paths["deepmimic"].write_text(json.dumps({"Loop": "wrap", "Frames": frames.tolist()}), "utf-8")
    push = {
        "class__": "ktk.TimeSeries",
        "time": [k / 240 for k in range(6)],
        "data": {"Forces": rng.normal(size=(6, 4)).tolist(), "Angle": rng.normal(size=6).tolist()},
        "data_info": {"Forces": {"Unit": "N"}, "Angle": {"Unit": "rad"}},
        "events": [{"time": 0.01, "name": "push"}],
    }
    with zipfile.ZipFile(paths["ktk"], "w") as archive:
        archive.writestr("metadata.json", json.dumps({"Software": "Kinetics Toolkit (ktk)", "FileFormat": 1.0}))
        archive.writestr("data.json", json.dumps(push))
    paths["loads"].write_text(LOADS, "utf-8")
    return paths
