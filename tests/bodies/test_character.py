"""DeepMimic's humanoid: its bodies against MuJoCo's solids, and the forces its recorded motion needs."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from invdyn.bodies.character import clip_positions, read_character, solid_box, solid_capsule, solid_sphere
from invdyn.bodies.dynamics import Dynamics
from invdyn.bodies.model import BodyModel
from invdyn.episodes.formats import deepmimic
from invdyn.episodes.smooth import smooth, smooth_free, smooth_rotation
from invdyn.errors import FormatError, SignalError
from invdyn.forces.contacts import contact_forces, detect_contacts

FOLDER = "mocap_deepmimic"


@pytest.fixture(scope="module")
def humanoid(shared_data: Path) -> BodyModel:
    return read_character(shared_data / FOLDER / "humanoid3d.txt")


def last(x: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(x.T))


@pytest.mark.parametrize(
    ("geom", "inertia"),
    [
        ('type="sphere" size="0.11"', solid_sphere(2.0, 0.11)),
        ('type="box" size="0.1 0.2 0.3"', solid_box(2.0, (0.2, 0.4, 0.6))),
        ('type="capsule" size="0.05 0.15" euler="90 0 0"', solid_capsule(2.0, 0.05, 0.3)),  # theirs lies along z
    ],
)
def test_solids_weigh_what_mujocos_do(geom: str, inertia: np.ndarray) -> None:
    mujoco = pytest.importorskip("mujoco")
    model = mujoco.MjModel.from_xml_string(
        f'<mujoco><worldbody><body><freejoint/><geom {geom} mass="2"/></body></worldbody></mujoco>'
    )
    turn = np.empty(9)
    mujoco.mju_quat2Mat(turn, model.body_iquat[1])
    turn = turn.reshape(3, 3)
    assert turn @ np.diag(model.body_inertia[1]) @ turn.T == pytest.approx(inertia, rel=1e-9, abs=1e-12)


def test_the_humanoid_stands_and_bends_as_its_file_says(humanoid: BodyModel) -> None:
    assert humanoid.mass == pytest.approx(45.0)
    assert (humanoid.nq, humanoid.nv, len(humanoid.bodies)) == (43, 34, 13)
    elbow = humanoid.bodies[humanoid.body("right_elbow")].inertia
    assert elbow.mass == pytest.approx(1.5)  # 1 kg and the hand's 0.5 kg on a fixed joint
    assert elbow.com[1] == pytest.approx((-0.12 - 0.5 * 0.258947) / 1.5)
    knee = humanoid.coordinates[humanoid.coordinate("right_knee")]
    assert (knee.lower, knee.upper, knee.effort) == (-3.14, 0.0, 150.0)
    dynamics = Dynamics(humanoid, "eager")
    q = torch.from_numpy(humanoid.neutral)[:, None].clone()
    soles = [f"right_ankle.sole{i}" for i in range(4)]
    leg = 0.421546 + 0.409870
    standing = dynamics.frames(q, soles).translation[..., 0].numpy()
    assert standing[:, 1] == pytest.approx(-leg - 0.0225 - 0.0275)
    assert sorted(set(standing[:, 0].round(9))) == pytest.approx([0.045 - 0.0885, 0.045 + 0.0885])
    assert standing[:, 2].mean() == pytest.approx(0.084887)
    q[humanoid.bodies[humanoid.body("right_knee")].joint.q] = -math.pi / 2  # the shank points backwards, along -x
    ankle = dynamics.frames(q, ["right_ankle"]).translation[0, :, 0].numpy()
    assert ankle == pytest.approx([-0.409870, -0.421546, 0.084887])


@dataclass
class Motion:
    """A clip smoothed, what it needs (N, world axes), and its soles: height m, speed m/s, Jacobian."""

    time: np.ndarray
    tau: np.ndarray
    needed: np.ndarray
    height: np.ndarray
    speed: np.ndarray
    jacobian: np.ndarray


def motion(model: BodyModel, folder: Path, clip: str) -> Motion:
    data = deepmimic.open(folder / f"humanoid3d_{clip}.txt", character=folder / "humanoid3d.txt")
    q, time = clip_positions(model, data[0]), np.asarray(data[0].timestamp)
    root = smooth_free(time, q[:, :3], q[:, 3:7])
    parts = [(root.q, root.v, root.a)]
    for body in model.bodies[1:]:
        at = body.joint.q
        if body.joint.kind == "spherical":
            turned = smooth_rotation(time, q[:, at : at + 4])
            parts.append((turned.orientation, turned.omega, turned.alpha))
        else:
            bent = smooth(time, q[:, at : at + 1])
            parts.append((bent.position, bent.velocity, bent.acceleration))
    q, v, a = (np.concatenate([p[i] for p in parts], 1) for i in range(3))
    dynamics = Dynamics(model, "eager")
    tau = dynamics.rnea(last(q), last(v), last(a)).numpy().T
    soles = [s.name for s in model.sites if s.kind == "contact"]
    jacobian = np.stack([dynamics.jacobian(last(q), s).numpy()[:3].transpose(2, 0, 1) for s in soles], 1)
    height = dynamics.frames(last(q), soles).translation.numpy()[:, 1].T
    speed = np.linalg.norm(np.einsum("tkcv,tv->tkc", jacobian, v), axis=2)
    needed = Rotation.from_quat(q[:, 3:7]).apply(tau[:, :3])
    return Motion(time, tau, needed, height, speed, jacobian)


def test_the_ground_carries_a_walking_body(humanoid: BodyModel, shared_data: Path) -> None:
    """Over a stride the vertical ground force averages to body weight, and feet on the ground can give it.

    Band: 3 % (the body's vertical speed differs at both ends of the clip by less than that over its 1.3 s).
    """
    m = motion(humanoid, shared_data / FOLDER, "walk")
    weight = humanoid.mass * 9.8
    closed = detect_contacts(m.time, m.height, m.speed, closes=(0.05, 1.5), opens=(0.08, 2.0))
    found = contact_forces(m.tau, m.jacobian, np.array([0.0, 1.0, 0.0]), 0.8, closed=closed)
    up = found.force[..., 1].sum(1)
    assert up.mean() == pytest.approx(weight, rel=0.03)
    assert 0.5 * weight < up.min()
    assert 1.05 * weight < up.max() < 1.6 * weight  # walking people: 1.1 to 1.3
    assert np.sqrt((found.residual[:, :3] ** 2).mean(0)).max() < 0.1 * weight
    half = found.force[..., 1][:, :4].sum(1)
    assert half.max() > 0.95 * weight  # once on the right foot alone
    assert half.min() < 0.05 * weight  # once off it


def test_a_body_in_the_air_needs_no_ground(humanoid: BodyModel, shared_data: Path) -> None:
    """While both feet of a jump are up, motion and masses ask for no force: free fall, which nobody told them."""
    m = motion(humanoid, shared_data / FOLDER, "jump")
    weight = humanoid.mass * 9.8
    flying = m.height.min(1) > 0.12
    assert flying.sum() >= 15
    assert abs(m.needed[flying, 1].mean()) < 0.1 * weight
    assert np.abs(m.needed[flying, 1]).max() < 0.35 * weight
    assert m.needed[:, 1].max() > 2.5 * weight  # push-off or landing


def test_a_clip_of_another_character_is_refused(humanoid: BodyModel, shared_data: Path) -> None:
    bare = deepmimic.open(shared_data / FOLDER / "humanoid3d_walk.txt")
    with pytest.raises(SignalError, match=r"36 joint numbers are not those of character 'humanoid3d' \(36, from 'ch"):
        clip_positions(humanoid, bare[0])


FILE = """{"Skeleton": {"Joints": [
{"Name": "hip", "Type": "none", "Parent": -1, "AttachX": 0, "AttachY": 0, "AttachZ": 0},
{"Name": "knee", "Type": "revolute", "Parent": 0, "AttachX": 0, "AttachY": -0.4, "AttachZ": 0, "AttachThetaX": 0.3}]},
"BodyDefs": [
{"Shape": "sphere", "Mass": 1, "AttachX": 0, "AttachY": 0, "AttachZ": 0, "Param0": 0.1, "Param1": 0.1, "Param2": 0.1},
{"Shape": "box", "Mass": 2, "AttachX": 0, "AttachY": 0, "AttachZ": 0, "Param0": 0.1, "Param1": 0.2, "Param2": 0.1}]}"""


def test_a_small_character(tmp_path: Path) -> None:
    """Angles turn about x, then y, then z; coordinates without limits have none."""
    file = tmp_path / "small.txt"
    file.write_text(FILE)
    model = read_character(file)
    assert np.array(model.bodies[1].placement.rotation) == pytest.approx(Rotation.from_rotvec([0.3, 0, 0]).as_matrix())
    assert model.coordinates[6].lower == -math.inf
    assert model.coordinates[6].effort == math.inf
    assert [s.name for s in model.sites] == [f"knee.sole{i}" for i in range(4)]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"revolute"', '"saddle"', "'knee' has type 'saddle'; expected one of revolute, prismatic, spherical, none"),
        ('"Parent": 0', '"Parent": 1', "'knee' has type 'revolute' and parent 1; expected one root .*, parents first"),
        ('"revolute"', '"none"', "'knee' has type 'none' and parent 0; expected one root of type 'none'"),
        ('"box"', '"cone"', "'knee' has shape 'cone'; expected one of sphere, capsule, box"),
        ('"Mass": 2', '"Mass": 0', "'knee' has mass 0 and sizes 0.1, 0.2, 0.1; expected numbers above 0"),
        ('"Mass": 2', '"Mass": "two"', "'knee' has Mass two; expected a finite number"),
        ('"Mass": 2', '"Mass": NaN', "'knee' has Mass nan; expected a finite number"),
        ('"knee"', '"hip"', "joint 1 is called 'hip'; expected names, each once"),
        ('"Joints"', '"Bones"', "no Skeleton.Joints; expected a DeepMimic character"),
        ('"BodyDefs"', '"Shapes"', "no BodyDefs; expected a DeepMimic character"),
        ('{"Shape": "sphere"', '{}, {"Shape": "sphere"', "2 joints and 3 bodies; expected one body a joint"),
        ("}]}", "}]", "no JSON"),
    ],
)
def test_broken_files_are_refused(tmp_path: Path, old: str, new: str, message: str) -> None:
    file = tmp_path / "small.txt"
    assert old in FILE
    file.write_text(FILE.replace(old, new, 1))
    with pytest.raises(FormatError, match=message) as caught:
        read_character(file)
    assert str(caught.value).startswith(str(file))
    assert str(caught.value).endswith("Correct the character file.")
