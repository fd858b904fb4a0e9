"""URDF models against Pinocchio's reading of the same files, and by hand what Pinocchio reads otherwise."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from invdyn.bodies.crba import crba
from invdyn.bodies.energy import potential_energy
from invdyn.bodies.files import load_model
from invdyn.bodies.kinematics import placements, site_placement
from invdyn.bodies.merging import locked, massless_leaves
from invdyn.bodies.model import BodyModel, Inertia
from invdyn.bodies.rnea import rnea
from invdyn.bodies.urdf import read_urdf
from invdyn.bodies.urdf_write import write_urdf

pytest.importorskip("lxml", reason="needs the extra 'bodies'")

ROBOTS = (
    *("a1.urdf", "alex_sake_hands.urdf", "allegro_left_hand.urdf", "anymal-kinova.urdf", "b1-z1.urdf", "baxter.urdf"),
    *("bolt.urdf", "borinot_flying_arm_2.urdf", "centauro.urdf", "g1_29dof_with_hand_rev_1_0.urdf", "go2.urdf"),
    *("human.urdf", "hyq_no_sensors.urdf", "icub.urdf", "kinova.urdf", "panda.urdf", "pr2.urdf", "romeo.urdf"),
    *("simple_humanoid.urdf", "so101.urdf", "solo12.urdf", "talos_full_v2.urdf", "tiago_dual.urdf", "tiago_pro.urdf"),
    *("ur5_robot.urdf", "xarm7.urdf", "z1.urdf", "double_pendulum_continuous.urdf"),
)


@pytest.fixture(scope="module")
def robots() -> dict[str, Path]:
    """The files of example-robot-data by name."""
    pin = pytest.importorskip("pinocchio", reason="needs pin and example-robot-data")
    folder = Path(pin.__file__).parents[4] / "share/example-robot-data/robots"
    return {path.name: path for path in folder.rglob("*.urdf")}


def pinocchio_position(pin: Any, pm: Any, model: BodyModel, q: np.ndarray) -> np.ndarray:
    """Our q as Pinocchio has it: endless angles as cosine and sine."""
    out = np.zeros(pm.nq)
    by_name = {b.joint.name: b.joint for b in model.bodies}
    for name, joint in zip(pm.names[1:], pm.joints[1:]):
        start = by_name["root" if name == "root_joint" else name].q
        own = q[start : start + joint.nq]
        if joint.nq == 2:
            own = np.array([np.cos(q[start]), np.sin(q[start])])
        out[joint.idx_q : joint.idx_q + joint.nq] = own
    return out


def random_state(model: BodyModel, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    q = model.neutral + rng.normal(size=model.nq)
    for body in model.bodies:
        if body.joint.kind == "free":
            q[body.joint.q + 3 : body.joint.q + 7] /= np.linalg.norm(q[body.joint.q + 3 : body.joint.q + 7])
    return q, rng.normal(size=model.nv), rng.normal(size=model.nv)


@pytest.mark.parametrize("root", ["fixed", "free"])
@pytest.mark.parametrize("name", ROBOTS)
def test_robots_weigh_and_move_as_in_pinocchio(name: str, root: Any, robots: dict[str, Path]) -> None:
    pin = pytest.importorskip("pinocchio", reason="needs pin as oracle")
    model = read_urdf(robots[name], root=root, mimic=False)
    pm = pin.buildModelFromUrdf(str(robots[name]), *([pin.JointModelFreeFlyer()] if root == "free" else []))
    pd = pm.createData()
    assert [b.joint.name for b in model.bodies] == ["root" if n == "root_joint" else n for n in pm.names[1:]]
    assert model.nv == pm.nv
    q, v, a = random_state(model, 0)
    pq = pinocchio_position(pin, pm, model, q)
    tau = np.array(rnea(model, q.tolist(), v.tolist(), a.tolist()), float)
    expected = pin.rnea(pm, pd, pq, v, a)
    assert np.abs(tau - expected).max() <= 1e-10 * max(1.0, np.abs(expected).max())
    upper = np.triu(pin.crba(pm, pd, pq))
    m = np.array(crba(model, q.tolist()), float)
    assert np.abs(np.triu(m) - upper).max() <= 1e-10 * np.abs(upper).max()
    pin.framesForwardKinematics(pm, pd, pq)
    world = placements(model, q.tolist())
    for site in model.sites:
        if site.body < 0:
            continue
        r, p = site_placement(site, world)
        there = pd.oMf[pm.getFrameId(site.name, pin.FrameType.BODY)]
        assert np.abs(np.array(r, float) - there.rotation).max() < 1e-9
        assert np.abs(np.array(p, float) - there.translation).max() < 1e-9


@pytest.mark.parametrize("name", ["panda.urdf", "baxter.urdf", "pr2.urdf", "talos_full_v2.urdf"])
def test_mimic_joints_follow_as_in_pinocchio(name: str, robots: dict[str, Path]) -> None:
    """M and tau of the reduced coordinates: G^T of those where every joint is its own."""
    full, model = read_urdf(robots[name], mimic=False), read_urdf(robots[name])
    assert model.nv < full.nv
    q, v, a = random_state(model, 0)
    g, offset = np.zeros((full.nv, model.nv)), np.zeros(full.nv)
    own = {b.joint.name: b.joint for b in model.bodies}
    for body in full.bodies:
        joint = own[body.joint.name]
        row = body.joint.v
        if joint.drive is None:
            g[row, joint.v] = 1.0
        else:
            (term,) = joint.drive.terms
            offset[row], g[row, term.v] = term.coefficients
    everything = [(g @ x).tolist() for x in (v, a)]
    tau = np.array(rnea(full, (g @ q + offset).tolist(), *everything), float)
    reduced = np.array(rnea(model, q.tolist(), v.tolist(), a.tolist()), float)
    np.testing.assert_allclose(reduced, g.T @ tau, rtol=1e-11, atol=1e-11 * np.abs(tau).max())


HINGE = """<robot name="r">
<link name="base"/>
<link name="a"><inertial><origin xyz="0.1 0 0" rpy="0.3 0.2 0.1"/><mass value="2"/>
  <inertia ixx="0.1" iyy="0.2" izz="0.25" ixy="0.01" ixz="0.02" iyz="0.03"/></inertial></link>
<link name="b"><inertial><mass value="1"/><inertia ixx="0.1" iyy="0.1" izz="0.1"/></inertial></link>
<joint name="j" type="revolute"><parent link="base"/><child link="a"/><origin xyz="0 0 1" rpy="0 0 1.5707963267948966"/>
  <axis xyz="0 0 2"/><limit lower="-1" upper="2" effort="5" velocity="1e30"/><dynamics damping="0.5" friction="0.25"/>
  </joint>
<joint name="k" type="KIND"><parent link="a"/><child link="b"/><origin xyz="0.5 0 0"/><axis xyz="0 1 0"/>MORE</joint>
</robot>"""


def hinge(tmp_path: Path, kind: str, more: str = "", **options: Any) -> BodyModel:
    path = tmp_path / "r.urdf"
    path.write_text(HINGE.replace("KIND", kind).replace("MORE", more))
    return load_model(path, **options)


def test_what_a_joint_says_is_kept(tmp_path: Path) -> None:
    model = hinge(tmp_path, "prismatic")
    first, second = model.coordinates
    assert (first.lower, first.upper, first.effort, first.velocity) == (-1.0, 2.0, 5.0, np.inf)
    assert (first.damping, first.friction) == (0.5, 0.25)
    assert first.rotational
    assert not second.rotational
    assert (second.lower, second.upper) == (-np.inf, np.inf)
    assert model.bodies[0].joint.axis == (0.0, 0.0, 1.0)
    assert model.mass == 3.0


def test_inertia_is_turned_into_the_links_axes(tmp_path: Path) -> None:
    model = hinge(tmp_path, "fixed")
    (body,) = model.bodies
    # by hand: I = R I0 R^T about the common centre of mass, R = Rz(0.1) Ry(0.2) Rx(0.3)
    c, s = np.cos([0.3, 0.2, 0.1]), np.sin([0.3, 0.2, 0.1])
    rx = np.array([[1, 0, 0], [0, c[0], -s[0]], [0, s[0], c[0]]])
    ry = np.array([[c[1], 0, s[1]], [0, 1, 0], [-s[1], 0, c[1]]])
    rz = np.array([[c[2], -s[2], 0], [s[2], c[2], 0], [0, 0, 1]])
    own = np.array([[0.1, 0.01, 0.02], [0.01, 0.2, 0.03], [0.02, 0.03, 0.25]])
    a = rz @ ry @ rx @ own @ (rz @ ry @ rx).T
    com = (2 * 0.1 + 1 * 0.5) / 3
    across = np.diag([0.0, 1.0, 1.0])
    about = a + 2 * (0.1 - com) ** 2 * across + 0.1 * np.eye(3) + (0.5 - com) ** 2 * across
    assert body.inertia.mass == 3.0
    np.testing.assert_allclose(body.inertia.com, [com, 0, 0], atol=1e-15)
    np.testing.assert_allclose(body.inertia.about_com, about, atol=1e-14)


def test_planar_joint_moves_across_its_normal(tmp_path: Path) -> None:
    model = hinge(tmp_path, "planar")
    assert [c.name for c in model.coordinates] == ["j", "k.tx", "k.ty", "k.rz"]
    q = [0.0, 0.3, 0.4, 0.5]
    r, p = placements(model, q)[-1]
    # the normal is y of link a, which is -x of the world; the link stays in that plane
    start = np.array([0.0, 0.5, 1.0])
    assert abs((np.array(p, float) - start)[0]) < 1e-15
    assert np.isclose(np.linalg.norm(np.array(p, float) - start), 0.5)
    np.testing.assert_allclose(np.array(r, float)[:, 1], [-1, 0, 0], atol=1e-15)


def test_mimic_with_offset(tmp_path: Path) -> None:
    model = hinge(tmp_path, "revolute", '<mimic joint="j" multiplier="-2" offset="0.1"/><dynamics damping="1"/>')
    assert model.nv == model.nq == 1
    assert float(model.bodies[1].joint.drive.displacement([0.2])) == pytest.approx(-0.3)
    assert model.coordinates[0].damping == 0.5 + 4 * 1  # tau = d (dq/dt): power d (2 w)^2
    assert hinge(tmp_path, "revolute", '<mimic joint="j"/>', mimic=False).nv == 2


def test_roots(tmp_path: Path) -> None:
    assert [b.name for b in hinge(tmp_path, "fixed").bodies] == ["a"]
    free = hinge(tmp_path, "fixed", root="free")
    assert [c.name for c in free.coordinates] == [f"root.{x}" for x in ("tx", "ty", "tz", "rx", "ry", "rz")] + ["j"]
    planar = hinge(tmp_path, "fixed", root="planar")
    assert [c.name for c in planar.coordinates] == ["root.tx", "root.ty", "root.rz", "j"]
    assert hinge(tmp_path, "fixed").site("b").body == 0
    assert hinge(tmp_path, "fixed").site("base").body == -1


def test_locked_joints_become_part_of_their_parents(robots: dict[str, Path]) -> None:
    model = read_urdf(robots["g1_29dof_rev_1_0.urdf"], root="free")
    q, v, a = random_state(model, 3)
    names = [c.name for c in model.coordinates if "wrist" in c.name or "waist" in c.name]
    held = {name: float(q[model.coordinate(name) + 1]) for name in names}  # one more position than velocity above
    small = locked(model, held)
    keep = [i for i, c in enumerate(model.coordinates) if c.name not in held]
    v[[i for i in range(model.nv) if i not in keep]] = a[[i for i in range(model.nv) if i not in keep]] = 0.0
    positions = [i for i in range(model.nq) if i < 7 or i - 1 in keep]
    tau = np.array(rnea(model, q.tolist(), v.tolist(), a.tolist()), float)
    less = np.array(rnea(small, q[positions].tolist(), v[keep].tolist(), a[keep].tolist()), float)
    assert len(small.bodies) == len(model.bodies) - len(held)
    np.testing.assert_allclose(less, tau[keep], atol=1e-10 * np.abs(tau).max())
    height = [float(potential_energy(m, x.tolist())) for m, x in ((model, q), (small, q[positions]))]
    assert height[0] == pytest.approx(height[1], rel=1e-12)


def test_massless_leaves_are_named(tmp_path: Path) -> None:
    model = hinge(tmp_path, "revolute")
    assert massless_leaves(model) == ()
    light = model.with_parameters([*model.bodies[0].inertia.parameters, *Inertia().parameters])
    assert massless_leaves(light) == ("b",)


@pytest.mark.parametrize("name", ["panda.urdf", "human.urdf", "talos_full_v2.urdf", "baxter.urdf", "romeo.urdf"])
def test_written_and_read_again(name: str, robots: dict[str, Path], tmp_path: Path) -> None:
    model = read_urdf(robots[name], root="free")
    write_urdf(model, tmp_path / "again.urdf")
    again = read_urdf(tmp_path / "again.urdf")
    assert list(again.coordinates) == list(model.coordinates)
    assert {s.name for s in model.sites} <= {s.name for s in again.sites}
    q, v, a = (x.tolist() for x in random_state(model, 1))
    m, n = np.array(crba(model, q), float), np.array(crba(again, q), float)
    assert np.abs(m - n).max() <= 1e-12 * np.abs(m).max()
    tau, other = np.array(rnea(model, q, v, a), float), np.array(rnea(again, q, v, a), float)
    assert np.abs(tau - other).max() <= 1e-12 * np.abs(tau).max()
