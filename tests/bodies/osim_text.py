"""Small OpenSim models as text, in the layouts of OpenSim 3 and 4."""

from __future__ import annotations

from pathlib import Path

AXES = {"rotation1": "1 0 0", "rotation2": "0 1 0", "rotation3": "0 0 1"}
AXES |= {"translation1": "1 0 0", "translation2": "0 1 0", "translation3": "0 0 1"}
BODY = "<mass>2</mass><mass_center>0.1 -0.2 0.05</mass_center><inertia>0.3 0.4 0.5 0.01 -0.02 0.03</inertia>"
BODY_3 = (
    "<mass>2</mass><mass_center>0.1 -0.2 0.05</mass_center><inertia_xx>0.3</inertia_xx><inertia_yy>0.4</inertia_yy>"
    "<inertia_zz>0.5</inertia_zz><inertia_xy>0.01</inertia_xy><inertia_xz>-0.02</inertia_xz>"
    "<inertia_yz>0.03</inertia_yz>"
)


def coordinate(name: str, inside: str = "") -> str:
    return f'<Coordinate name="{name}">{inside}</Coordinate>'


def spatial(**axes: str) -> str:
    """A SpatialTransform; axes that are not told stay constant."""
    told = "".join(
        f'<TransformAxis name="{n}">{axes.get(n, "<Constant/>")}'
        f"{'' if '<axis>' in axes.get(n, '') else f'<axis>{a}</axis>'}</TransformAxis>"
        for n, a in AXES.items()
    )
    return f"<SpatialTransform>{told}</SpatialTransform>"


def joint_4(kind: str, inside: str, parent: str = "/ground", child: str = "/bodyset/link", name: str = "hinge") -> str:
    """A joint of a JointSet with offset frames on both sides."""
    return f"""<{kind} name="{name}">
<socket_parent_frame>{name}_in</socket_parent_frame>
<socket_child_frame>{name}_out</socket_child_frame>
<frames>
<PhysicalOffsetFrame name="{name}_in"><socket_parent>{parent}</socket_parent>
<translation>0.3 0.2 0.1</translation><orientation>0.4 -0.3 0.2</orientation></PhysicalOffsetFrame>
<PhysicalOffsetFrame name="{name}_out"><socket_parent>{child}</socket_parent>
<translation>-0.1 0.05 0.02</translation><orientation>-0.2 0.1 0.3</orientation></PhysicalOffsetFrame>
</frames>
{inside}
</{kind}>"""


def model_4(joints: str, bodies: str = f'<Body name="link">{BODY}</Body>', rest: str = "") -> str:
    return f"""<OpenSimDocument Version="40000">
<Model name="test">
<BodySet><objects>{bodies}</objects></BodySet>
<JointSet><objects>
{joints}
</objects></JointSet>
{rest}
</Model>
</OpenSimDocument>"""


def model_3(kind: str, inside: str) -> str:
    """The same as `model_4(joint_4(...))`."""
    return f"""<OpenSimDocument Version="30000">
<Model name="test">
<BodySet><objects>
<Body name="ground"><mass>0</mass><Joint/></Body>
<Body name="link">{BODY_3}<Joint><{kind} name="hinge">
<parent_body> ground </parent_body>
<location_in_parent>0.3 0.2 0.1</location_in_parent><orientation_in_parent>0.4 -0.3 0.2</orientation_in_parent>
<location>-0.1 0.05 0.02</location><orientation>-0.2 0.1 0.3</orientation>
{inside}
</{kind}></Joint></Body>
</objects></BodySet>
</Model>
</OpenSimDocument>"""


def write(folder: Path, text: str) -> Path:
    path = folder / "model.osim"
    path.write_text(text)
    return path
