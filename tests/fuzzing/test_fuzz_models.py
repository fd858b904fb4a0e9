"""Damaged model files end in a model or in one clear sentence: no crash, no hang, no memory without bound.

`INVDYN_FUZZ` is the number of damaged files per sample (150 unless told).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zlib
from importlib.util import find_spec
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "bodies"))
from osim_text import coordinate, joint_4, model_3, model_4, spatial

pytest.importorskip("lxml", reason="needs the extra 'bodies'")

COUNT = int(os.environ.get("INVDYN_FUZZ", "150"))
MEBIBYTES = 512
"""Growth of the peak memory allowed over all files of a sample; the promise is 2 GiB for the whole process."""

URDF = """<?xml version="1.0"?><robot name="r"><material name="grey"/>
<link name="base"><visual><geometry><box size="1 1 1"/></geometry></visual></link>
<link name="a"><inertial><origin xyz="0.1 0 0" rpy="0.3 0.2 0.1"/><mass value="2"/>
  <inertia ixx="0.1" iyy="0.2" izz="0.25" ixy="0.01" ixz="0.02" iyz="0.03"/></inertial></link>
<link name="b"><inertial><mass value="1"/><inertia ixx="0.1" iyy="0.1" izz="0.1"/></inertial></link>
<link name="c"><inertial><mass value="0.5"/><inertia ixx="0.1" iyy="0.1" izz="0.1"/></inertial></link>
<link name="d"/><link name="e"/><link name="f"/>
<joint name="j" type="revolute"><parent link="base"/><child link="a"/><origin xyz="0 0 1" rpy="0 0 1.57"/>
  <axis xyz="0 0 2"/><limit lower="-1" upper="2" effort="5" velocity="1e30"/><dynamics damping="0.5" friction="0.25"/>
</joint>
<joint name="k" type="prismatic"><parent link="a"/><child link="b"/><axis xyz="0 1 0"/>
  <mimic joint="j" multiplier="-2" offset="0.1"/></joint>
<joint name="l" type="planar"><parent link="b"/><child link="c"/><axis xyz="0 1 1"/></joint>
<joint name="m" type="continuous"><parent link="a"/><child link="d"/></joint>
<joint name="n" type="fixed"><parent link="c"/><child link="e"/><origin xyz="0.5 0 0"/></joint>
<joint name="o" type="floating"><parent link="base"/><child link="f"/></joint>
<transmission name="t"><type>x</type></transmission></robot>
"""
MJCF = """<mujoco model="m"><compiler angle="radian" autolimits="true"/><size memory="1M"/>
<option gravity="0 0 -9.81" timestep="0.01" integrator="implicitfast"/>
<default><joint armature="0.1" damping="0.2" frictionloss="0.3"/><default class="soft"><geom rgba="1 0 0 1"/></default>
</default>
<asset><texture name="t" type="2d" builtin="checker" width="64" height="64"/><material name="m" texture="t"/>
<hfield name="h" nrow="4" ncol="4" size="1 1 1 1"/><mesh name="tetra" vertex="0 0 0 1 0 0 0 1 0 0 0 1"/></asset>
<worldbody><geom type="plane" size="1 1 1"/><site name="origin" pos="1 2 3"/>
<replicate count="3" offset="0 0 1"><body><joint type="slide"/><geom size="0.1"/></body></replicate>
<body name="ship" pos="1 2 3" quat="1 2 3 4"><freejoint name="float"/><geom size=".2 .1 .1" type="box" class="soft"/>
  <body pos="0 0 .3" quat="4 1 2 3"><joint name="ball" type="ball" pos=".1 .2 .3"/><geom type="mesh" mesh="tetra"/>
    <body name="two" pos="0 .1 0" euler="1 2 0"><joint name="x" type="slide" axis="1 1 0" ref="0.3"/>
      <joint name="y" axis="0 1 2" pos=".3 .1 .2" ref="0.5" stiffness="7" springref="0.2" range="-1 2"/>
      <inertial pos="0 0 .1" mass="2" fullinertia="0.1 0.2 0.25 0.01 0.02 0.03"/><site name="tip" pos="0 0 1"/>
    </body></body></body></worldbody>
<tendon><fixed name="f"><joint joint="x" coef="1"/><joint joint="y" coef="2"/></fixed></tendon>
<actuator><motor name="m" joint="y" gear="3"/><position joint="x" kp="10"/></actuator>
<equality><joint joint1="x" joint2="y" polycoef="0.1 2 0 0 0"/><connect body1="ship" body2="two" anchor="0 0 1"/>
</equality><sensor><gyro site="tip"/></sensor>
<keyframe><key time="1"/></keyframe><custom><numeric name="n" size="3" data="1 2 3"/></custom></mujoco>
"""
LINE = "<coordinates>c</coordinates><LinearFunction><coefficients>1 0.1</coefficients></LinearFunction>"
SPLINE = "<coordinates>c</coordinates><SimmSpline><x>-1 0 1 2</x><y>0 0.1 0.4 0.3</y></SimmSpline>"
MOVES = spatial(rotation3=LINE, translation1=SPLINE)
IGNORE = {"ignore": ["equality", "tendon", "fluid", "gravcomp", "nonlinear"]}
SAMPLES: dict[str, dict[str, object]] = {
    "small.urdf": {"root": "free"},
    "panda.urdf": {},
    "small.xml": IGNORE,
    "humanoid.xml": IGNORE,
    "robosuite.xml": {**IGNORE, "geometry": False},
    "four.osim": {},
    "three.osim": {},
    "arm26.osim": {},
}
"""Name -> options of `load_model`."""


def content(name: str, request: pytest.FixtureRequest) -> str:
    inside = coordinate("c")
    texts = {
        "small.urdf": URDF,
        "small.xml": MJCF,
        "four.osim": model_4(joint_4("CustomJoint", f"<coordinates>{inside}</coordinates>{MOVES}")),
        "three.osim": model_3("CustomJoint", f"<CoordinateSet><objects>{inside}</objects></CoordinateSet>{MOVES}"),
    }
    if name in texts:
        return texts[name]
    packages = {
        "panda.urdf": ("pinocchio", 4, "share/example-robot-data/robots/panda_description/urdf/panda.urdf"),
        "humanoid.xml": ("gymnasium", 0, "envs/mujoco/assets/humanoid.xml"),
    }
    if name in packages:
        package, up, file = packages[name]
        found = find_spec(package)
        if found is None or found.origin is None:
            pytest.skip(f"needs the package {package} for its models")
        return (Path(found.origin).parents[up] / file).read_text("utf-8")
    recorded = {
        "robosuite.xml": "robosuite_human/v1.0_lift_panda/models/model_1.xml",
        "arm26.osim": "opensim_inverse_dynamics/subject01_and_arm26/arm26.osim",
    }
    path: Path = request.getfixturevalue("shared_data") / recorded[name]
    return path.read_text("utf-8")


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", SAMPLES)
def test_damaged_models_end_well(name: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    if name.endswith(".xml"):
        pytest.importorskip("mujoco", reason="needs the extra 'worlds'")
    (tmp_path / name).write_text(content(name, request), "utf-8")
    worker = Path(__file__).with_name("model_worker.py")
    told = [name, str(COUNT), str(zlib.crc32(name.encode())), json.dumps(SAMPLES[name])]
    done = subprocess.run(
        [sys.executable, str(worker), *told],
        cwd=tmp_path,  # MuJoCo writes its log there
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    if done.returncode:
        number = (tmp_path / "number").read_text() if (tmp_path / "number").exists() else "none: the sample itself"
        keep = Path(os.environ.get("INVDYN_FUZZ_KEEP", tmp_path)) / f"bad_{number[:6]}_{name}"
        keep.write_bytes(next(tmp_path.glob("damaged*")).read_bytes())
        pytest.fail(f"{name} file {number} (kept as {keep}): exit {done.returncode}, {done.stderr[-1500:]}")
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["grown"] < MEBIBYTES
    assert report["peak"] < 2048
    for message in report["messages"]:
        assert "\n" not in message
        assert f"damaged{Path(name).suffix}" in message
        assert len(message) < 2000
    assert 0.2 * COUNT < len(report["messages"]) < COUNT  # the faults are felt, and not every one
