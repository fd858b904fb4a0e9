"""Broken model files and wrong options: one sentence with file and line, what was expected, and the remedy."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from invdyn.bodies.drive import Drive, Term
from invdyn.bodies.dynamics import Dynamics
from invdyn.bodies.files import load_model
from invdyn.bodies.merging import locked
from invdyn.bodies.mjcf_write import mjcf_text
from invdyn.bodies.model import Actuator, Body, BodyModel, Coordinate, Inertia, Joint, Placement, Site
from invdyn.bodies.mujoco_convention import from_mujoco
from invdyn.bodies.mujoco_inverse import recorded_torques, replayed
from invdyn.bodies.urdf_write import urdf_text
from invdyn.errors import ConfigError, FormatError, InvdynError, MissingExtraError, SignalError, UnknownNameError

pytest.importorskip("lxml", reason="needs the extra 'bodies'")

INERTIAL = '<inertial><mass value="1"/><inertia ixx="1" iyy="1" izz="1"/></inertial>'
LINKS = f'<link name="base"/><link name="a">{INERTIAL}</link><link name="b">{INERTIAL}</link>'
MASS = '<geom size="0.1"/>'


def refused(call: Callable[[], object], *parts: str, kind: type[InvdynError] = FormatError) -> None:
    with pytest.raises(kind) as caught:
        call()
    message = str(caught.value)
    assert "\n" not in message
    for part in parts:
        assert part in message, message


def joint(name: str = "j", kind: str = "revolute", parent: str = "base", child: str = "a", inside: str = "") -> str:
    return f'<joint name="{name}" type="{kind}"><parent link="{parent}"/><child link="{child}"/>{inside}</joint>'


TREE = joint() + joint("k", parent="a", child="b")


def urdf(folder: Path, inside: str, **options: object) -> BodyModel:
    """Load a robot, written with a line per element: <robot> is line 1."""
    path = folder / "r.urdf"
    path.write_text('<robot name="r">\n' + inside.replace("><", ">\n<") + "</robot>")
    return load_model(path, **options)  # type: ignore[arg-type]


def mjcf(folder: Path, world: str = "", rest: str = "", **options: object) -> BodyModel:
    path = folder / "m.xml"
    path.write_text(f'<mujoco model="m">\n<worldbody>\n{world}\n</worldbody>\n{rest}\n</mujoco>')
    return load_model(path, **options)  # type: ignore[arg-type]


# --- Bodies ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mimics", ["", '<mimic joint="j" multiplier="2"/>'])
def test_forward_dynamics_without_inertia(mimics: str, tmp_path: Path) -> None:
    """Nothing with mass at the end of a chain, with and without driven joints."""
    chain = joint() + joint("k", parent="a", child="b", inside=mimics)
    model = urdf(tmp_path, f'<link name="base"/><link name="a"/><link name="b"/>{chain}')
    q = torch.zeros(model.nq, 1, dtype=torch.float64)
    told = "moves have no inertia against it", "expected mass in them, or armature", "model 'r'"
    refused(lambda: Dynamics(model).aba(q, q, q), *told, kind=ConfigError)
    assert Dynamics(model).rnea(q, q, q).tolist() == [[0.0]] * model.nv


# --- XML --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("", ("no XML", "expected an XML document without a document type")),
        ("<robot><link></robot>", ("no XML", "mismatch")),
        ('<!DOCTYPE r [<!ENTITY a "b">]><robot>&a;</robot>', ("document type or entities, which are not read",)),
        ("<sdf/>", ("root element 'sdf'", "<robot> (URDF) or <mujoco> (MJCF)", "Pass a model file.")),
    ],
)
def test_no_model_file(text: str, parts: tuple[str, ...], tmp_path: Path) -> None:
    path = tmp_path / "x.urdf"
    path.write_text(text)
    refused(lambda: load_model(path), "x.urdf", *parts)


def test_document_type_in_another_encoding(tmp_path: Path) -> None:
    path = tmp_path / "x.urdf"
    path.write_bytes('<?xml version="1.0" encoding="utf-16"?><!DOCTYPE robot><robot/>'.encode("utf-16"))
    refused(lambda: load_model(path), "the file has a document type, which is not read")


def test_missing_file_and_extras(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refused(lambda: load_model(tmp_path / "none.urdf"), "none.urdf")
    monkeypatch.setitem(sys.modules, "lxml.etree", None)
    refused(lambda: urdf(tmp_path, LINKS + TREE), "lxml", "invdyn[bodies]", kind=MissingExtraError)


def test_mujoco_is_an_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mujoco", None)
    refused(lambda: mjcf(tmp_path), "mujoco", "invdyn[worlds]", kind=MissingExtraError)


# --- URDF -------------------------------------------------------------------------------------------------------------


def test_the_robot_of_these_tests_is_in_order(tmp_path: Path) -> None:
    assert urdf(tmp_path, LINKS + TREE).nv == 2


@pytest.mark.parametrize(
    ("inside", "parts"),
    [
        ("", ("line 1: 0 links", "1 to 10000")),
        (LINKS + TREE + "<leg/>", ("element 'leg' in robot", "one of link, joint", "Remove it if")),
        ('<link name="a"><leg/></link>', ("line 3: element 'leg' in link", "one of inertial")),
        ("<link/>", ("line 2: link without name", 'name="..."')),
        ('<link name="a"/><link name="a"/>', ("line 3: link 'a' again", "every link once", "Rename one.")),
        (LINKS + joint() * 2, ("joint 'j' again", "every joint once", "Rename one.")),
        (LINKS + joint(kind="hinge"), ("joint 'j' has type 'hinge'", "revolute, continuous, prismatic")),
        (LINKS + joint(inside="<spring/>"), ("element 'spring' in joint", "parent, child, origin, axis")),
        (LINKS + '<joint name="j" type="fixed"><parent link="a"/></joint>', ("joint 'j' without <child>",)),
        (LINKS + joint(child="c"), ("joint 'j' refers to link 'c', which is not there", "a link")),
        (LINKS + joint() + joint("k"), ("link 'a' is the child of a second joint", "Cut the loop")),
        (LINKS + joint(), ("2 links without a joint above them ('base', 'b')", "one root link")),
        (LINKS + joint("j", "fixed", "a", "b") + joint("k", "fixed", "b", "a"), ("joint 'j' hangs in a circle",)),
        (LINKS + TREE.replace('"base"/', '"base"/><parent link="a"/'), ("a second parent in joint 'j'", "at most one")),
        (LINKS + joint(inside='<axis xyz="0 0 0"/>'), ("joint 'j' has the axis [0.0, 0.0, 0.0]", "a direction")),
        (LINKS + joint(inside='<axis xyz="0 0"/>'), ("axis xyz '0 0'", "expected 3 numbers")),
        (LINKS + joint(inside='<axis xyz="0 0 1e10"/>'), ("axis xyz '1e10'", "a number of at most 1e+09")),
        (LINKS + joint(inside='<origin rpy="nan 0 0"/>'), ("origin rpy 'nan'", "a number")),
        (LINKS + joint(inside='<limit lower="2" upper="1"/>'), ("joint 'j' has lower > upper",)),
        (LINKS + joint(inside='<limit lower="x" upper="1"/>'), ("limit lower 'x'",)),
        (LINKS + joint(inside='<dynamics damping="-1"/>'), ("joint 'j' has damping -1", "0 or more")),
        (LINKS + joint(inside='<mimic joint="z"/>') + joint("k", parent="a", child="b"), ("mimics joint 'z', which",)),
        (LINKS + joint(inside='<mimic joint="j"/>') + joint("k", parent="a", child="b"), ("joint 'j' mimics itself",)),
        (LINKS + joint(kind="planar", inside='<mimic joint="k"/>'), ("the planar joint 'j' mimics another",)),
        (
            LINKS + joint(inside='<mimic joint="k"/>') + joint("k", "fixed", "a", "b"),
            ("joint 'j' mimics the fixed joint 'k'", "a revolute, continuous or prismatic joint as its master"),
        ),
        (
            LINKS.replace('<mass value="1"/>', "", 1) + TREE,
            ("<inertial> of link 'a' without <mass>", '<mass value="..."/>'),
        ),
        (LINKS.replace('mass value="1"', 'mass value="-1"') + TREE, ("link 'a' has mass -1", "0 or more")),
        (LINKS.replace('ixx="1"', 'ixx="-1"') + TREE, ("link 'a' has moments of inertia [-1.0, 1.0, 1.0]",)),
    ],
)
def test_no_robot(inside: str, parts: tuple[str, ...], tmp_path: Path) -> None:
    refused(lambda: urdf(tmp_path, inside), "r.urdf: line ", *parts)


def test_xacro_is_expanded_first(tmp_path: Path) -> None:
    path = tmp_path / "r.urdf"
    path.write_text('<robot name="r" xmlns:xacro="http://www.ros.org/wiki/xacro"><xacro:include filename="a"/></robot>')
    refused(lambda: load_model(path), "a xacro macro", "plain URDF", "Expand it first: xacro FILE > robot.urdf.")
    path.write_text('<robot name="r" xmlns:xacro="http://ros.org/wiki/xacro"><xacro:include filename="a"/></robot>')
    refused(lambda: load_model(path), "a xacro macro", "plain URDF", "Expand it first: xacro FILE > robot.urdf.")
    for left in ("${mass}", "$(arg mass)"):
        inside = LINKS.replace('mass value="1"', f'mass value="{left}"', 1) + TREE
        refused(
            lambda inside=inside: urdf(tmp_path, inside), f"the xacro expression '{left}' in mass", "Expand it first"
        )  # type: ignore[misc]


def test_limits_below_zero_and_masters_that_are_none(tmp_path: Path) -> None:
    for key in ("velocity", "effort"):
        limit = f'<limit lower="-1" upper="1" {key}="-2"/>'
        told = f"joint 'j' has {key} -2; expected 0 or more"
        refused(
            lambda limit=limit: urdf(tmp_path, LINKS + joint(inside=limit) + joint("k", parent="a", child="b")), told
        )  # type: ignore[misc]
    two = joint("left_knee") + joint("k", parent="a", child="b", inside='<mimic joint="knee"/>')
    refused(
        lambda: urdf(tmp_path, LINKS + two), "mimics joint 'knee', which is not there; expected 'left_knee'. Correct"
    )
    two = joint(kind="fixed") + joint("k", parent="a", child="b", inside='<mimic joint="j"/>')
    refused(lambda: urdf(tmp_path, LINKS + two), "mimics the fixed joint 'j'", "or leave <mimic> out to let it move by")


def test_moments_that_no_mass_has_are_doubted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    urdf(tmp_path, LINKS + TREE)
    assert not caplog.messages
    urdf(tmp_path, LINKS.replace('izz="1"', 'izz="2.1"', 1) + TREE)
    assert "r.urdf: no mass has the moments of inertia of a (negative, or one above the sum of the two" in caplog.text


def test_names_that_meet(tmp_path: Path) -> None:
    inside = LINKS + joint("root.tx") + joint("k", parent="a", child="b")
    refused(lambda: urdf(tmp_path, inside, root="free"), "r.urdf", "'root.tx' is used twice", "Rename one.")


def test_options_of_files(tmp_path: Path) -> None:
    refused(
        lambda: urdf(tmp_path, LINKS + TREE, root="flying"), "root='flying'", "fixed, free, planar", kind=ConfigError
    )
    refused(
        lambda: urdf(tmp_path, LINKS + TREE, ignore=("tendon",)),
        *("option ignore does not go with URDF files", "root and mimic", "Leave ignore= out."),
        kind=ConfigError,
    )
    refused(lambda: mjcf(tmp_path, root="free"), "option root", "MJCF", "ignore and geometry", kind=ConfigError)


# --- MJCF -------------------------------------------------------------------------------------------------------------

PENDULUM = f'<body name="p"><joint name="h" axis="0 1 0"/>{MASS}</body>'


@pytest.mark.parametrize(
    ("world", "rest", "parts"),
    [
        ("<leg/>", "", ("MuJoCo says: ", "'leg'", "a model that MuJoCo compiles", "Correct the MJCF file.")),
        ('<body><joint/><geom size="0.1" pos="nan 0 0"/></body>', "", ("line 3: geom pos contains NaN", "numbers")),
        (
            f'<replicate count="200">\n<replicate count="200">{MASS}</replicate></replicate>',
            "",
            ("line 4: replicate count [200.0]", "at most 10000 together"),
        ),
        ("", '<size nkey="1000000000"/>', ("size nkey is '1000000000'", "at most 1000000")),
        ("", '<size memory="100G"/>', ("size memory is '100G'",)),
        ("", '<include file="m.xml"/>', ("'m.xml' included again", "every file once, at most 100 of them")),
        ("", '<include file="none.xml"/>', ("none.xml",)),
        (
            "",
            '<asset><mesh name="a" file="none.stl"/></asset>',
            ("none.stl", "Put the file where the model names it, or pass geometry=False"),
        ),
        (
            PENDULUM,
            '<equality>\n<connect name="c" body1="p" anchor="0 0 0"/></equality>',
            ("line 6: an equality constraint of type connect ('c')", "pass ignore=('equality',)"),
        ),
        (
            PENDULUM,
            '<tendon><fixed name="t" stiffness="2"><joint joint="h" coef="1"/></fixed></tendon>',
            ("a tendon with stiffness", "('t')", "ignore=('tendon',)"),
        ),
        (PENDULUM, '<option density="1000"/>', ("line 5: a surrounding fluid", "ignore=('fluid',)")),
        (PENDULUM.replace('"p"', '"p" gravcomp="1"'), "", ("line 3: gravity compensation ('p')", "'gravcomp'")),
        (
            f'<body><joint name="b" type="ball" stiffness="1"/>{MASS}</body>',
            "",
            ("line 3: a spring on a free or ball joint", "('b')", "ignore=('nonlinear',)"),
        ),
        (f'<body><joint name="f" type="free" armature="1"/>{MASS}</body>', "", ("armature on a free joint ('f')",)),
        (
            f'<body name="a"><joint name="f" type="free"/>{MASS}</body><body><joint name="f.tx"/>{MASS}</body>',
            "",
            ("'f.tx' is used twice",),
        ),
    ],
)
def test_no_rigid_bodies(world: str, rest: str, parts: tuple[str, ...], tmp_path: Path) -> None:
    pytest.importorskip("mujoco", reason="needs the extra 'worlds'")
    refused(lambda: mjcf(tmp_path, world, rest), str(tmp_path), *parts)


def test_what_is_ignored_has_a_name(tmp_path: Path) -> None:
    pytest.importorskip("mujoco", reason="needs the extra 'worlds'")
    call = lambda: mjcf(tmp_path, PENDULUM, ignore=("contacts",))  # noqa: E731
    refused(call, "ignore names 'contacts'", "equality, tendon, fluid, gravcomp, nonlinear", kind=ConfigError)


def test_geometry_that_masses_need(tmp_path: Path) -> None:
    world = '<body><joint/>\n<geom type="mesh" mesh="a"/></body>'
    refused(
        lambda: mjcf(tmp_path, world, geometry=False),
        *("line 4: a mesh whose body states no inertia", "<inertial> in every body", "Load it with its meshes."),
    )
    rest = '<compiler inertiafromgeom="true"/>'
    refused(lambda: mjcf(tmp_path, PENDULUM, rest, geometry=False), 'line 5: inertiafromgeom="true"')


# --- writing ----------------------------------------------------------------------------------------------------------

SOLID = Inertia.of(1.0, (0, 0, 0), np.eye(3))


def model(*bodies: Body, **facts: object) -> BodyModel:
    nv = sum({"free": 6, "spherical": 3}.get(b.joint.kind, 1) for b in bodies if b.joint.drive is None)
    nq = nv + sum(b.joint.kind in ("free", "spherical") for b in bodies)
    told = {"coordinates": tuple(Coordinate(f"c{k}") for k in range(nv)), **facts}
    return BodyModel("m", bodies, nq=nq, **told)  # type: ignore[arg-type]


HINGE = Body("a", -1, Joint("j", "revolute", q=0, v=0), inertia=SOLID)
CURVE = Drive((Term(0, 0, "polynomial", (0.0, 1.0, 2.0)),))


def follower(drive: Drive) -> Body:
    return Body("b", 0, Joint("k", "revolute", drive=drive), inertia=SOLID)


def test_what_urdf_cannot_say() -> None:
    ball = Body("a", -1, Joint("j", "spherical", q=0, v=0), inertia=SOLID)
    end = "Write MJCF instead, or the part without it."
    refused(lambda: urdf_text(model(ball)), "joint 'j' is a ball joint, which URDF has not", end, kind=ConfigError)
    for facts, what in (({"armature": 0.1}, "armature"), ({"stiffness": 1.0}, "a spring")):
        coordinates = (Coordinate("c", **facts),)
        call = lambda c=coordinates: urdf_text(model(HINGE, coordinates=c))  # noqa: E731
        refused(call, f"coordinate 'c' has {what}, which URDF has not", end, kind=ConfigError)
    refused(
        lambda: urdf_text(model(HINGE, follower(CURVE))), "'k' follows its coordinates by a curve", kind=ConfigError
    )
    held = model(HINGE, follower(Drive.constant(1.0)))
    refused(lambda: urdf_text(held), "joint 'k' is held at a constant", kind=ConfigError)
    coupled = model(HINGE, couplings={0: Drive.constant(0.0)})
    refused(lambda: urdf_text(coupled), "coupled coordinates, which are not written as URDF", kind=ConfigError)


def test_what_mjcf_cannot_say() -> None:
    end = "Write the part without it."
    coupled = model(HINGE, couplings={0: Drive.constant(0.0)})
    refused(lambda: mjcf_text(coupled), "coupled coordinates, which are not written as MJCF", end, kind=ConfigError)
    driven = model(HINGE, follower(CURVE))
    refused(
        lambda: mjcf_text(driven),
        "joint 'k' is driven by coordinates",
        "Write URDF, where joints mimic",
        kind=ConfigError,
    )
    light = model(Body("a", -1, Joint("j", "revolute", q=0, v=0)))
    refused(lambda: mjcf_text(light), "body 'a' moves, weighs nothing and carries 0 bodies", kind=ConfigError)
    moved = Body("a", -1, Joint("j", "free", q=0, v=0), Placement.of(translation=(1, 0, 0)), SOLID)
    refused(lambda: mjcf_text(model(moved)), "free joint 'j' does not stand in the world's frame", kind=ConfigError)
    chain = (
        Body("a", -1, Joint("j", "revolute", q=0, v=0)),
        Body("b", 0, Joint("k", "revolute", q=1, v=1), inertia=SOLID),
    )
    inside = model(*chain, sites=(Site("s", 0),))
    refused(
        lambda: mjcf_text(inside), "frame 's' stands on the massless body 'a' inside a chain", end, kind=ConfigError
    )
    for moments in ((1.0, 1.0, 3.0), (0.0, 1.0, 1.0)):
        odd = model(
            Body("a", -1, Joint("j", "revolute", q=0, v=0), inertia=Inertia.of(1.0, (0, 0, 0), np.diag(moments)))
        )
        told = f"body 'a' has mass 1 and principal moments {', '.join(f'{m:g}' for m in moments)}"
        refused(lambda m=odd: mjcf_text(m), told, "none above the sum of the other two", kind=ConfigError)  # type: ignore[misc]
    ball = model(Body("a", -1, Joint("j", "spherical", q=0, v=0), inertia=SOLID), actuators=(Actuator("m", 1),))
    refused(lambda: mjcf_text(ball), "actuator 'm' is not on a one-dof joint", end, kind=ConfigError)


def test_what_cannot_be_locked() -> None:
    free = model(Body("a", -1, Joint("j", "free", q=0, v=0), inertia=SOLID))
    refused(lambda: locked(free, {"c1": 0.0}), "'c1' belongs to the free joint 'j'", "another root", kind=ConfigError)
    refused(lambda: locked(free, {"x": 0.0}), "coordinate of model 'm'", "'x'", kind=UnknownNameError)


# --- MuJoCo recordings ------------------------------------------------------------------------------------------------


def test_states_of_another_model(tmp_path: Path) -> None:
    pendulum = model(HINGE)
    q = np.zeros((3, 1))
    refused(lambda: from_mujoco(pendulum, np.zeros((3, 2))), "states have 2 positions", "1, 1 and 1", kind=SignalError)
    refused(lambda: from_mujoco(pendulum, q, None, q), "accelerations were given without velocities", kind=SignalError)


def test_recordings_that_cannot_be_inverted() -> None:
    mujoco = pytest.importorskip("mujoco", reason="needs the extra 'worlds'")
    mj = mujoco.MjModel.from_xml_string(f"<mujoco><worldbody>{PENDULUM}</worldbody></mujoco>")
    q = np.zeros((4, 1))
    refused(lambda: recorded_torques(mj, q[:1], q[:1]), "1 states", "at least 2 of 1 and 1", kind=SignalError)
    refused(lambda: recorded_torques(mj, np.zeros((4, 2)), q), "4 states of 2 positions", kind=SignalError)
    refused(lambda: recorded_torques(mj, q, q[1:]), "4 positions, 3 velocities and none times", kind=SignalError)
    refused(
        lambda: recorded_torques(mj, q, q, np.arange(3.0)), "4 positions, 4 velocities and 3 times", kind=SignalError
    )
    broken = q.copy()
    broken[2] = np.nan
    refused(lambda: recorded_torques(mj, q, broken), "qvel of state 2 is not finite", "Cut the", kind=SignalError)
    clock = 0.002 * np.array([0.0, 1, 2, 4])
    refused(lambda: recorded_torques(mj, q, q, clock), "states 2 and 3 are 0.004 s apart", "0.002 s", kind=SignalError)
    refused(lambda: replayed(mj, q, q, q), "torques have shape (4, 1)", "expected (3, 1)", kind=SignalError)
    mj.opt.integrator = mujoco.mjtIntegrator.mjINT_RK4
    refused(lambda: recorded_torques(mj, q, q), "RK4, whose step has no inverse", "implicitfast", kind=ConfigError)
