"""OpenSim models: joints stand where their definitions say, what cannot be read is refused by name and line."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from osim_text import BODY, coordinate, joint_4, model_3, model_4, spatial, write
from scipy.spatial.transform import Rotation

from invdyn.bodies.dynamics import Dynamics
from invdyn.bodies.model import BodyModel, Placement
from invdyn.bodies.osim import read_opensim, read_osim
from invdyn.bodies.osim_joints import body_fixed_xyz
from invdyn.errors import FormatError

IN = Placement.of(body_fixed_xyz((0.4, -0.3, 0.2)), (0.3, 0.2, 0.1))
OUT = Placement.of(body_fixed_xyz((-0.2, 0.1, 0.3)), (-0.1, 0.05, 0.02))
Q = (0.7, -0.4, 0.3, 0.25, -0.15, 0.35)
LINE = "<LinearFunction><coefficients>1 0</coefficients></LinearFunction>"
PLANE = "<coordinates>c</coordinates>" + LINE


def turns(letters: str, *angles: float) -> Placement:
    return Placement.of(Rotation.from_euler(letters.upper(), angles).as_matrix())


def shift(*xyz: float) -> Placement:
    return Placement.of(translation=xyz)


def placed(model: BodyModel, q: tuple[float, ...], site: str = "link") -> Placement:
    if model.site(site).body < 0:
        return model.site(site).placement
    frames = Dynamics(model, "eager").frames(torch.tensor(q[: model.nq], dtype=torch.float64)[:, None], [site])
    return Placement.of(frames.rotation[0, ..., 0].numpy(), frames.translation[0, :, 0].numpy())


def same(found: Placement, expected: Placement) -> None:
    np.testing.assert_allclose(found.rotation, expected.rotation, atol=1e-12)
    np.testing.assert_allclose(found.translation, expected.translation, atol=1e-12)


JOINTS = {
    "WeldJoint": Placement(),
    "PinJoint": turns("z", Q[0]),
    "SliderJoint": shift(Q[0], 0, 0),
    "UniversalJoint": turns("xy", *Q[:2]),
    "BallJoint": turns("xyz", *Q[:3]),
    "GimbalJoint": turns("xyz", *Q[:3]),
    "PlanarJoint": shift(Q[1], Q[2], 0).then(turns("z", Q[0])),
    "FreeJoint": shift(*Q[3:]).then(turns("xyz", *Q[:3])),
}


@pytest.mark.parametrize("kind", JOINTS)
def test_joints_move_their_child(kind: str, tmp_path: Path) -> None:
    """Child in ground = parent frame, motion, inverse of the child frame; both layouts give one model."""
    new = read_opensim(write(tmp_path, model_4(joint_4(kind, ""))))
    same(placed(new.bodies, Q), IN.then(JOINTS[kind]).then(OUT.inverse()))
    old = read_osim(write(tmp_path, model_3(kind, "")))
    assert old.key == new.bodies.key
    assert [c.name for c in new.coordinates] == [f"hinge_coord_{k}" for k in range(new.bodies.nq)]


def test_custom_joint_of_functions_of_coordinates(tmp_path: Path) -> None:
    """Translations stand in the parent's joint frame, the rotations follow in their order, whatever the axes."""
    knee = spatial(
        rotation1=f"<coordinates>flexion</coordinates>{LINE}<axis>0 3 4</axis>",
        rotation2="<coordinates>flexion</coordinates><PolynomialFunction><coefficients>0.5 0.2 0</coefficients>"
        "</PolynomialFunction><axis>1 0 0</axis>",
        rotation3="<Constant><value>0.3</value></Constant><axis>0 1 0</axis>",
        translation1="<coordinates>flexion slide</coordinates><LinearFunction><coefficients>0.1 2 0.05"
        "</coefficients></LinearFunction>",
        translation3="<MultiplierFunction><function><Constant><value>0.2</value></Constant></function>"
        "<scale>3</scale></MultiplierFunction>",
    )
    declared = "<coordinates>" + coordinate("flexion") + coordinate("slide") + "</coordinates>"
    model = read_opensim(write(tmp_path, model_4(joint_4("CustomJoint", declared + knee))))
    f, s = Q[:2]
    motion = shift(0.1 * f + 2 * s + 0.05, 0, 0.6)
    for axis, angle in (((0, 0.6, 0.8), f), ((1, 0, 0), 0.5 * f**2 + 0.2 * f), ((0, 1, 0), 0.3)):
        motion = motion.then(Placement.of(Rotation.from_rotvec(angle * np.array(axis)).as_matrix()))
    same(placed(model.bodies, Q), IN.then(motion).then(OUT.inverse()))
    assert [c.motion for c in model.coordinates] == ["rotational", "coupled"]
    assert [c.rotational for c in model.bodies.coordinates] == [True, False]


def test_inertia_no_body_can_have_is_taken_and_reported(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Toes of the first gait models: one moment above the sum of the others. OpenSim computes with other ones."""
    text = model_4(joint_4("PinJoint", "")).replace("<inertia>0.3 0.4 0.5 0.01 -0.02 0.03<", "<inertia>1 2 10 0 0 0<")
    with caplog.at_level(logging.WARNING):
        found = read_osim(write(tmp_path, text))
    assert found.bodies[0].inertia.mass == 2
    assert np.linalg.eigvalsh(found.bodies[0].inertia.about_com) == pytest.approx([1, 2, 10])
    assert "the moments of link, 1, 2 and 10 kg m^2, are no body's" in caplog.text
    assert "OpenSim 4 would put their quadratic mean in place of each" in caplog.text


def test_power_of_a_custom_joint_is_the_rate_of_its_energy(tmp_path: Path) -> None:
    """tau qd = dE/dt with splines inside and one coordinate turning about three axes (where Simbody is not exact)."""
    spline = "<SimmSpline><x>-1 -0.2 0.4 1.2</x><y>0.1 -0.3 0.2 0.4</y></SimmSpline>"
    text = spatial(
        rotation1=PLANE,
        rotation2=f"<coordinates>c</coordinates>{spline}",
        rotation3="<coordinates>c</coordinates><PolynomialFunction><coefficients>0.5 -0.8 0.1</coefficients>"
        "</PolynomialFunction>",
        translation2=f"<coordinates>c</coordinates>{spline}",
    )
    dynamics = Dynamics(read_osim(write(tmp_path, model_4(joint_4("CustomJoint", text)))), "eager")

    def energy(t: float) -> float:
        q, v = (torch.tensor([[x]], dtype=torch.float64) for x in (0.6 * np.sin(t), 0.6 * np.cos(t)))
        return float(dynamics.kinetic_energy(q, v) + dynamics.potential_energy(q))

    t, h = 0.55, 1e-5
    q, v, a = (torch.tensor([[x]], dtype=torch.float64) for x in (0.6 * np.sin(t), 0.6 * np.cos(t), -0.6 * np.sin(t)))
    power = float((dynamics.rnea(q, v, a) * v)[0, 0])
    assert power == pytest.approx((energy(t + h) - energy(t - h)) / (2 * h), rel=1e-7)


def test_coordinate_turned_round_and_shifted_needs_no_drive(tmp_path: Path) -> None:
    flipped = "<coordinates>c</coordinates><LinearFunction><coefficients>-1 0.4</coefficients></LinearFunction>"
    model = read_opensim(write(tmp_path, model_4(joint_4("CustomJoint", spatial(rotation2=flipped)))))
    same(placed(model.bodies, Q), IN.then(turns("y", 0.4 - Q[0])).then(OUT.inverse()))
    assert [b.joint.drive for b in model.bodies.bodies] == [None]
    assert model.coordinates[0].motion == "rotational"


def test_what_a_file_tells_of_coordinates(tmp_path: Path) -> None:
    inside = (
        "<default_value>0.3</default_value><range>-0.5 1.5</range><clamped>true</clamped><locked>true</locked>"
        "<prescribed>true</prescribed><motion_type>rotational</motion_type>"
    )
    text = joint_4("PinJoint", f"<coordinates>{coordinate('knee', inside)}</coordinates>")
    spring = (
        '<ForceSet><objects><SpringGeneralizedForce name="s"><coordinate>knee</coordinate><stiffness>4</stiffness>'
        "<rest_length>0.2</rest_length><viscosity>0.5</viscosity></SpringGeneralizedForce></objects></ForceSet>"
    )
    found = read_opensim(write(tmp_path, model_4(text, rest=spring)))
    told, knee = found.bodies.coordinates[0], found.coordinates[0]
    assert (told.lower, told.upper, told.stiffness, told.rest, told.damping) == (-0.5, 1.5, 4.0, 0.2, 0.5)
    assert (knee.locked, knee.prescribed) == (True, True)
    assert found.defaults == pytest.approx([0.3])
    assert found.ignored == {}
    free = read_opensim(write(tmp_path, model_4(text.replace("<clamped>true", "<clamped>false"))))
    assert free.bodies.coordinates[0].upper == np.inf


def test_mass_gravity_and_markers(tmp_path: Path) -> None:
    marker = (
        '<MarkerSet><objects><Marker name="tip"><socket_parent_frame>/jointset/hinge/hinge_out</socket_parent_frame>'
        "<location>0.1 0.2 0.3</location></Marker></objects></MarkerSet>"
    )
    model = read_osim(write(tmp_path, model_4(joint_4("PinJoint", ""), rest=marker + "<gravity>1 2 3</gravity>")))
    assert (model.mass, model.gravity) == (2.0, (1.0, 2.0, 3.0))
    tip = model.site("tip")
    assert tip.kind == "marker"
    same(placed(model, Q, "tip"), IN.then(turns("z", Q[0])).then(shift(0.1, 0.2, 0.3)))
    inertia = model.bodies[0].inertia.moved(OUT)
    np.testing.assert_allclose(inertia.com, (0.1, -0.2, 0.05), atol=1e-15)
    np.testing.assert_allclose(
        inertia.about_com, [[0.3, 0.01, -0.02], [0.01, 0.4, 0.03], [-0.02, 0.03, 0.5]], atol=1e-15
    )
    assert read_osim(write(tmp_path, model_4(joint_4("PinJoint", "")))).gravity == (0.0, -9.80665, 0.0)


def test_welded_bodies_are_merged_in_any_order(tmp_path: Path) -> None:
    bodies = f'<Body name="link">{BODY}</Body><Body name="hand">{BODY}</Body>'
    hand = joint_4("WeldJoint", "", "../../../bodyset/link", "/bodyset/hand", "wrist")
    model = read_osim(write(tmp_path, model_4(hand + joint_4("PinJoint", ""), bodies)))
    assert (len(model.bodies), model.nq, model.mass) == (1, 1, 4.0)
    same(placed(model, Q, "hand"), placed(model, Q).then(IN).then(OUT.inverse()))


COUPLER = """<ConstraintSet><objects><CoordinateCouplerConstraint name="tie">
<isEnforced>{}</isEnforced>
<coupled_coordinates_function><PolynomialFunction><coefficients>2 1 0</coefficients></PolynomialFunction>
</coupled_coordinates_function><independent_coordinate_names>{}</independent_coordinate_names>
<dependent_coordinate_name>hinge_coord_1</dependent_coordinate_name><scale_factor>3</scale_factor>
</CoordinateCouplerConstraint></objects></ConstraintSet>"""


def test_couplings(tmp_path: Path) -> None:
    joint = joint_4("UniversalJoint", "")
    tied = read_osim(write(tmp_path, model_4(joint, rest=COUPLER.format("true", "hinge_coord_0"))))
    assert tied.couplings[1].displacement([0.4, 9.0]) == pytest.approx(3 * (2 * 0.16 + 0.4))
    loose = read_opensim(write(tmp_path, model_4(joint, rest=COUPLER.format("false", "hinge_coord_0"))))
    assert (loose.bodies.couplings, loose.ignored) == ({}, {"CoordinateCouplerConstraint": 1})


def test_one_warning_lists_what_is_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    rest = (
        '<ForceSet><objects><Thelen2003Muscle name="a"/><Thelen2003Muscle name="b"/><BushingForce name="c"/>'
        '<CoordinateLimitForce name="d"><appliesForce>false</appliesForce></CoordinateLimitForce></objects></ForceSet>'
        '<ProbeSet><objects><Umberger2010MuscleMetabolicsProbe name="p"/></objects></ProbeSet>'
    )
    with caplog.at_level(logging.WARNING):
        read_osim(write(tmp_path, model_4(joint_4("PinJoint", ""), rest=rest)))
    assert len(caplog.records) == 1
    assert "2 Thelen2003Muscle" in caplog.text
    assert "1 Umberger2010MuscleMetabolicsProbe" in caplog.text
    assert "OpenSim would apply BushingForce unless" in caplog.text


PIN = joint_4("PinJoint", "")
OLD = model_3("PinJoint", "")
BENT = spatial(rotation1=PLANE, rotation2="<coordinates>d</coordinates>" + LINE + "<axis>1 0 0</axis>")
REFUSED = {
    "ellipsoid": (model_4(PIN.replace("PinJoint", "EllipsoidJoint")), "line 5: joint EllipsoidJoint 'hinge'"),
    "scapula": (
        model_4(PIN.replace("PinJoint", "ScapulothoracicJoint")),
        "ScapulothoracicJoint 'hinge'; expected one of",
    ),
    "unknown joint": (model_4(PIN.replace("PinJoint", "MagicJoint")), "line 5: joint MagicJoint"),
    "in joint": (model_4(joint_4("PinJoint", "<magic/>")), "element 'magic' in PinJoint"),
    "in model": (model_4(PIN, rest="<Magic/>"), "element 'Magic' in Model"),
    "in body": (model_4(PIN, f'<Body name="link">{BODY}<magic/></Body>'), "element 'magic' in Body"),
    "no body": (model_4(PIN, f'<Blob name="link">{BODY}</Blob>'), "element 'Blob'"),
    "reversed": (model_3("PinJoint", "<reverse>true</reverse>"), "joint 'hinge' is reversed"),
    "constraint": (
        model_4(PIN, rest='<ConstraintSet><objects>\n<WeldConstraint name="w"/></objects></ConstraintSet>'),
        "constraint WeldConstraint 'w'; expected CoordinateCouplerConstraint",
    ),
    "coupled to nothing": (model_4(joint_4("UniversalJoint", ""), rest=COUPLER.format("true", "q")), "couples 'q'"),
    "function": (
        model_4(joint_4("CustomJoint", spatial(rotation1="<coordinates>c</coordinates><SineFunction/>"))),
        "element 'SineFunction' in TransformAxis",
    ),
    "no coordinate": (
        model_4(joint_4("CustomJoint", spatial(rotation1=LINE))),
        "rotation1 has a LinearFunction but no",
    ),
    "no function": (
        model_4(joint_4("CustomJoint", spatial(rotation1="<coordinates>c d</coordinates><function/>"))),
        "rotation1 of 2 coordinates without a function",
    ),
    "parallel": (model_4(joint_4("CustomJoint", BENT)), "parallel rotation axes"),
    "no axis": (
        model_4(joint_4("CustomJoint", spatial(rotation1=PLANE + "<axis>0 0 0</axis>"))),
        "axis of rotation1 has the length 0; expected a direction",
    ),
    "no transform": (model_4(joint_4("CustomJoint", "")), "CustomJoint 'hinge' without <SpatialTransform>"),
    "axis twice": (
        model_4(joint_4("CustomJoint", spatial(rotation1=PLANE).replace("rotation2", "rotation1"))),
        "TransformAxis 'rotation1' (again)",
    ),
    "idle coordinate": (
        model_4(joint_4("CustomJoint", f"<coordinates>{coordinate('x')}</coordinates>" + spatial(rotation1=PLANE))),
        "coordinate 'x' moves no axis",
    ),
    "too many": (
        model_4(joint_4("PinJoint", f"<coordinates>{coordinate('x')}{coordinate('y')}</coordinates>")),
        "PinJoint 'hinge' with 2 coordinates; expected 1",
    ),
    "same name": (
        model_4(joint_4("UniversalJoint", f"<coordinates>{coordinate('x')}{coordinate('x')}</coordinates>")),
        "two coordinates of one name",
    ),
    "range": (
        model_4(
            joint_4(
                "PinJoint",
                f"<coordinates>{coordinate('x', '<range>2 1</range><clamped>true</clamped>')}</coordinates>",
            )
        ),
        "range of 'x' with min > max",
    ),
    "motion type": (
        model_4(joint_4("PinJoint", f"<coordinates>{coordinate('x', '<motion_type>odd</motion_type>')}</coordinates>")),
        "motion_type 'odd'",
    ),
    "frame": (model_4(PIN.replace("/bodyset/link", "/bodyset/leg")), "frame '/bodyset/leg', which is not there"),
    "frames in a circle": (
        model_4(PIN.replace("<socket_parent>/ground", "<socket_parent>../hinge_in")),
        "hangs in a circle of frames",
    ),
    "no socket": (
        model_4(PIN.replace("socket_child_frame", "frames")),
        "PinJoint 'hinge' without <socket_child_frame>",
    ),
    "no parent": (model_4(PIN.replace("<socket_parent>/ground</socket_parent>", "")), "without <socket_parent>"),
    "no parent body": (
        model_3("PinJoint", "").replace("<parent_body> ground </parent_body>", ""),
        "without <parent_body>",
    ),
    "lost parent": (OLD.replace("> ground <", "> leg <"), "hangs on body 'leg'"),
    "two joints": (model_4(PIN + joint_4("PinJoint", "", name="other")), "which another joint carries"),
    "on ground": (model_4(PIN + joint_4("PinJoint", "", child="/ground", name="other")), "but the ground stays"),
    "circle": (model_4(joint_4("PinJoint", "", "/bodyset/link")), "PinJoint 'hinge' hangs in a circle"),
    "no joint": (model_4(""), "body 'link' without a joint"),
    "negative": (model_4(PIN, f'<Body name="link">{BODY.replace(">2<", ">-2<")}</Body>'), "has mass -2"),
    "twice": (model_4(PIN, f'<Body name="link">{BODY}</Body>' * 2), "body 'link' again"),
    "units": (model_4(PIN, rest="<length_units>feet</length_units>"), "length_units 'feet'; expected meters"),
    "defaults": (model_4(PIN, rest="<defaults><Body/></defaults>"), "defaults for Body"),
    "marker": (model_4(PIN, rest='<MarkerSet><objects><Marker name="m"/></objects></MarkerSet>'), "without a frame or"),
    "spring": (
        model_4(
            PIN,
            rest='<ForceSet><objects><SpringGeneralizedForce name="s"><coordinate>q</coordinate>'
            "</SpringGeneralizedForce></objects></ForceSet>",
        ),
        "on coordinate 'q', which is not there",
    ),
    "other document": ("<OpenSimDocument/>", "no OpenSim model in 'OpenSimDocument'"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_messages(case: str, tmp_path: Path) -> None:
    text, message = REFUSED[case]
    with pytest.raises(FormatError, match=r"model\.osim: line \d+") as caught:
        read_osim(write(tmp_path, text))
    assert message in str(caught.value)
