"""MJCF models against MuJoCo's own dynamics, and there and back again from URDF."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from invdyn.bodies.crba import crba
from invdyn.bodies.files import load_model
from invdyn.bodies.kinematics import placements, site_placement
from invdyn.bodies.mjcf import model_of_mujoco, read_mjcf
from invdyn.bodies.mjcf_compile import compile_mjcf, compile_xml
from invdyn.bodies.mjcf_write import mjcf_text, write_mjcf
from invdyn.bodies.model import BodyModel
from invdyn.bodies.mujoco_convention import forces_from_mujoco, forces_to_mujoco, from_mujoco, to_mujoco
from invdyn.bodies.rnea import rnea
from invdyn.bodies.urdf import read_urdf
from invdyn.bodies.urdf_write import write_urdf

mujoco = pytest.importorskip("mujoco", reason="needs the extra 'worlds'")
pytest.importorskip("lxml", reason="needs the extra 'bodies'")

GYMNASIUM = (
    *("ant", "half_cheetah", "hopper", "humanoid", "inverted_double_pendulum", "point", "pusher_v5", "reacher"),
    *("swimmer", "walker2d_v5"),
)

EVERYTHING = """<mujoco model="everything"><compiler angle="radian"/><option gravity="1 2 -9"/>
<default><joint armature="0.1" damping="0.2" frictionloss="0.3"/></default>
<worldbody><site name="origin" pos="1 2 3"/>
<body name="ship" pos="1 2 3" quat="1 2 3 4"><freejoint name="float"/><geom size=".2 .1 .1" type="box" pos=".1 0 0"/>
  <body pos="0 0 .3" quat="4 1 2 3"><joint name="ball" type="ball" pos=".1 .2 .3"/><geom size=".1"/>
    <body name="fixed" pos=".2 0 0" quat="1 1 0 0"><geom size=".1"/><site name="tip" pos="0 0 1" quat="1 0 1 0"/></body>
    <body name="two" pos="0 .1 0" quat="1 2 0 1"><joint name="x" type="slide" axis="1 1 0" ref="0.3"/>
      <joint name="y" axis="0 1 2" pos=".3 .1 .2" ref="0.5" stiffness="7" springref="0.2" limited="true" range="-1 2"/>
      <geom type="capsule" size=".05 .2" pos="0 .1 .2"/></body></body></body>
<body name="other"><joint name="z" axis="0 0 1"/><geom size=".1" pos=".2 0 0"/></body></worldbody>
<actuator><motor name="m" joint="y" gear="3"/></actuator>
<equality><joint joint1="z" joint2="y" polycoef="0.1 2 0 0 0"/></equality></mujoco>"""


def asset(name: str) -> Path:
    gymnasium = pytest.importorskip("gymnasium")
    return Path(gymnasium.__file__).parent / "envs/mujoco/assets" / f"{name}.xml"


def quiet(mj: Any) -> Any:
    """Without what is no rigid-body dynamics: constraints, springs and dampers."""
    disable = mujoco.mjtDisableBit
    names = ("mjDSBL_CONSTRAINT", "mjDSBL_PASSIVE", "mjDSBL_SPRING", "mjDSBL_DAMPER")  # PASSIVE until 3.3
    for name in names:
        mj.opt.disableflags |= int(getattr(disable, name, 0))
    mj.opt.density = mj.opt.viscosity = 0.0
    return mj


def state(mj: Any, seed: int) -> Any:
    rng = np.random.default_rng(seed)
    data = mujoco.MjData(mj)
    mujoco.mj_integratePos(mj, data.qpos, rng.normal(size=mj.nv), 0.5)
    data.qvel[:], data.qacc[:] = rng.normal(size=mj.nv), rng.normal(size=mj.nv)
    mujoco.mj_inverse(mj, data)
    return data


def agree(mj: Any, model: BodyModel, seed: int) -> None:
    """Torques, mass matrix, body and site frames as in MuJoCo."""
    data = state(quiet(mj), seed)
    motion = from_mujoco(model, data.qpos[None], data.qvel[None], data.qacc[None])
    assert motion.v is not None
    assert motion.a is not None
    q = motion.q[0].tolist()
    tau = np.array(rnea(model, q, motion.v[0].tolist(), motion.a[0].tolist()), float)
    expected = forces_from_mujoco(model, data.qpos[None], data.qfrc_inverse[None])[0]
    assert np.abs(tau - expected).max() <= 1e-12 * max(1.0, np.abs(expected).max())
    np.testing.assert_allclose(forces_to_mujoco(model, motion.q, expected[None])[0], data.qfrc_inverse, atol=1e-10)
    back = to_mujoco(model, motion.q, motion.v, motion.a)
    for ours, theirs in ((back.q, data.qpos), (back.v, data.qvel), (back.a, data.qacc)):
        np.testing.assert_allclose(ours[0], theirs, atol=1e-12)
    world = placements(model, q)
    for s in range(mj.nsite):
        site = model.site(mujoco.mj_id2name(mj, mujoco.mjtObj.mjOBJ_SITE, s))
        if site.body < 0:
            continue
        r, p = site_placement(site, world)
        np.testing.assert_allclose(np.array(r, float).ravel(), data.site_xmat[s], atol=1e-12)
        np.testing.assert_allclose(np.array(p, float), data.site_xpos[s], atol=1e-12)


@pytest.mark.parametrize("name", GYMNASIUM)
def test_gymnasium_models_move_as_in_mujoco(name: str) -> None:
    mj = mujoco.MjModel.from_xml_path(str(asset(name)))
    agree(mj, read_mjcf(asset(name), ignore=("fluid",) if name == "swimmer" else ()), seed=1)


@pytest.mark.parametrize("seed", range(3))
def test_every_joint_moves_as_in_mujoco(seed: int) -> None:
    text = EVERYTHING.replace('<freejoint name="float"/>', '<joint name="float" type="free" armature="0"/>')
    mj = compile_xml(text)
    agree(mj, model_of_mujoco(mj), seed)


def test_what_a_joint_says_is_kept() -> None:
    model = model_of_mujoco(compile_xml(EVERYTHING))
    assert [c.name for c in model.coordinates][6:] == ["ball.rx", "ball.ry", "ball.rz", "x", "y", "z"]
    y = model.coordinates[model.coordinate("y")]
    assert (y.armature, y.damping, y.friction, y.stiffness, y.rest) == (0.1, 0.2, 0.3, 7.0, 0.2)
    assert (y.lower, y.upper) == (-1.0, 2.0)
    assert model.gravity == (1.0, 2.0, -9.0)
    assert [(a.name, a.v, a.gear) for a in model.actuators] == [("m", model.coordinate("y"), 3.0)]
    q = np.zeros(model.nq)
    q[12] = 0.7  # y, whose reference is 0.5
    (number, drive), *rest = model.couplings.items()
    assert not rest
    assert number == 13
    assert float(drive.displacement(q.tolist())) == pytest.approx(0.1 + 2 * (0.7 - 0.5))
    assert model.site("fixed").body == model.site("tip").body == 1
    assert model.site("origin").placement.translation == (1.0, 2.0, 3.0)


def test_rate_of_a_free_joint_counts_the_turning_of_its_axes() -> None:
    """By differences along a simulated flight: d/dt of v in body axes, against the converted qacc."""
    mj = quiet(compile_xml(EVERYTHING))
    mj.opt.timestep = 1e-5
    model = model_of_mujoco(mj)
    data = state(mj, 5)
    rows = []
    for _ in range(3):
        mujoco.mj_forward(mj, data)
        rows.append((data.qpos.copy(), data.qvel.copy(), data.qacc.copy()))
        mujoco.mj_step(mj, data)
    motion = from_mujoco(model, *(np.array(x) for x in zip(*rows)))
    assert motion.v is not None
    assert motion.a is not None
    slope = (motion.v[2] - motion.v[0]) / 2e-5
    assert np.abs(slope - motion.a[1]).max() <= 1e-3 * np.abs(motion.a[1]).max()


def test_urdf_to_mjcf_and_back(tmp_path: Path) -> None:
    pin = pytest.importorskip("pinocchio", reason="needs pin and example-robot-data")
    folder = Path(pin.__file__).parents[4] / "share/example-robot-data/robots"
    names = ["panda_description/urdf/panda.urdf", "g1_description/urdf/g1_29dof_rev_1_0.urdf"]
    names += ["human_description/robots/human.urdf", "talos_data/robots/talos_reduced.urdf"]
    names += ["double_pendulum_description/urdf/double_pendulum.urdf"]  # limits 0 to 0
    for name in names:
        model = read_urdf(folder / name, root="free", mimic=False)
        write_mjcf(model, tmp_path / "a.xml")
        middle = load_model(tmp_path / "a.xml")
        write_urdf(middle, tmp_path / "b.urdf")
        again = load_model(tmp_path / "b.urdf")
        mj = mujoco.MjModel.from_xml_path(str(tmp_path / "a.xml"))
        data = state(mj, 2)
        q = from_mujoco(middle, data.qpos[None]).q[0].tolist()
        columns = np.eye(mj.nv)
        m = np.zeros((mj.nv, mj.nv))
        for k in range(mj.nv):
            mujoco.mj_mulM(mj, data, m[k], columns[k])
        turn = forces_from_mujoco(middle, np.repeat(data.qpos[None], mj.nv, 0), m)  # rows' free joint to body axes
        m = forces_from_mujoco(middle, np.repeat(data.qpos[None], mj.nv, 0), np.ascontiguousarray(turn.T)).T
        largest = np.abs(m).max()
        for other in (model, middle, again):
            order = [other.coordinate(c.name) for c in middle.coordinates]
            start = {b.joint.name: (b.joint.q, 7 if b.joint.kind == "free" else 1) for b in other.bodies}
            moved = np.zeros(other.nq)
            for body in middle.bodies:
                at, width = start[body.joint.name]
                moved[at : at + width] = q[body.joint.q : body.joint.q + width]
            found = np.array(crba(other, moved.tolist()), float)[np.ix_(order, order)]
            assert np.abs(found - m).max() <= 1e-8 * largest


def test_composite_joints_written_and_read_again() -> None:
    """Massless chains become joints of one body again; springs, losses, motors and limits come back."""
    model = read_mjcf(asset("humanoid"))
    mj = compile_xml(mjcf_text(model))
    again = model_of_mujoco(mj)
    assert again.coordinates == model.coordinates
    assert again.actuators == model.actuators
    agree(mj, again, seed=3)
    q, v, a = np.random.default_rng(0).normal(size=(3, model.nq))
    q[3:7] /= np.linalg.norm(q[3:7])
    tau = [np.array(rnea(m, q.tolist(), v[1:].tolist(), a[1:].tolist()), float) for m in (model, again)]
    np.testing.assert_allclose(tau[1], tau[0], rtol=1e-10, atol=1e-10 * np.abs(tau[0]).max())


def test_models_without_their_meshes(shared_data: Path) -> None:
    """Robosuite's recordings name mesh files of that package; what bodies state of their inertia is enough."""
    path = shared_data / "robosuite_human/v1.0_lift_panda/models/model_1.xml"
    mj, _ = compile_mjcf(path, geometry=False)
    model = load_model(path, geometry=False, ignore=("equality", "tendon"))
    assert (model.nq, model.nv) == (mj.nq, mj.nv) == (16, 15)
    agree(mj, model, seed=0)
