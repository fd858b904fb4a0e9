"""Small robots of known mechanics, and motions of theirs in closed form."""

from __future__ import annotations

from pathlib import Path

import numpy as np

LINK = """
  <link name="{name}"><inertial><origin xyz="0 0 {com}"/><mass value="{mass}"/>
    <inertia ixx="{i}" ixy="0" ixz="0" iyy="{i}" iyz="0" izz="{small}"/></inertial></link>"""
JOINT = """
  <joint name="{name}" type="{kind}"><parent link="{parent}"/><child link="{child}"/>
    <origin xyz="{at}"/><axis xyz="{axis}"/>{limit}</joint>"""
LIMIT = '<limit lower="-4" upper="4" effort="100" velocity="20"/>'


def link(name: str, mass: float, com: float, inertia: float) -> str:
    return LINK.format(name=name, mass=mass, com=com, i=inertia, small=inertia / 4)


def joint(name: str, parent: str, child: str, at: str, axis: str = "0 1 0", kind: str = "revolute") -> str:
    limit = LIMIT if kind in ("revolute", "prismatic") else ""
    return JOINT.format(name=name, kind=kind, parent=parent, child=child, at=at, axis=axis, limit=limit)


ARM = (
    '<robot name="arm"><link name="base"/>'
    + link("upper", 2.0, -0.25, 0.03)
    + link("lower", 1.0, -0.2, 0.01)
    + '<link name="hand"/><link name="m1"/><link name="m2"/><link name="m3"/>'
    + joint("shoulder", "base", "upper", "0 0 0")
    + joint("elbow", "upper", "lower", "0 0 -0.5")
    + joint("wrist", "lower", "hand", "0 0 -0.4", kind="fixed")
    + joint("j1", "upper", "m1", "0.05 0 -0.3", kind="fixed")
    + joint("j2", "lower", "m2", "0.05 0.02 -0.1", kind="fixed")
    + joint("j3", "lower", "m3", "-0.04 0 -0.3", kind="fixed")
    + "</robot>"
)
"""Two links that swing about y."""

HOPPER = (
    '<robot name="hopper">'
    + link("trunk", 8.0, 0.0, 0.2)
    + link("shin", 2.0, -0.15, 0.02)
    + joint("knee", "trunk", "shin", "0 0 -0.3")
    + "</robot>"
)
"""A trunk with one leg; with a free root it has 7 velocities."""

SLIDER = (
    '<robot name="slider"><link name="base"/>'
    + link("cart", 3.0, 0.0, 0.1)
    + joint("rail", "base", "cart", "0 0 0", "1 0 0", "prismatic")
    + "</robot>"
)


def write_robot(folder: Path, text: str) -> Path:
    path = folder / "robot.urdf"
    path.write_text(text)
    return path


def swing(seconds: float = 3.0, rate: float = 100.0) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Time, and position, velocity, acceleration [T, 2] of two sums of sines."""
    time = np.arange(round(seconds * rate)) / rate
    q, v, a = (np.zeros((len(time), 2)) for _ in range(3))
    for k, parts in enumerate((((0.7, 2.1, 0.3), (0.2, 5.3, 1.0)), ((0.9, 2.9, 2.0), (0.15, 6.1, 0.0)))):
        for size, w, phase in parts:
            q[:, k] += size * np.sin(w * time + phase)
            v[:, k] += size * w * np.cos(w * time + phase)
            a[:, k] -= size * w**2 * np.sin(w * time + phase)
    return time, q, v, a


def arm_torque(q: np.ndarray, v: np.ndarray, a: np.ndarray, g: float = 9.81) -> np.ndarray:
    """[T, 2] N m of `ARM`, by Lagrange's equations of two links (angles from hanging, the second relative)."""
    m1, c1, i1, l1, m2, c2, i2 = 2.0, 0.25, 0.03, 0.5, 1.0, 0.2, 0.01
    cos2, sin2 = np.cos(q[:, 1]), np.sin(q[:, 1])
    h = m2 * l1 * c2
    m11 = i1 + m1 * c1**2 + i2 + m2 * (l1**2 + c2**2) + 2 * h * cos2
    m12 = i2 + m2 * c2**2 + h * cos2
    m22 = i2 + m2 * c2**2
    both = np.sin(q[:, 0] + q[:, 1])
    first = m11 * a[:, 0] + m12 * a[:, 1] - h * sin2 * (2 * v[:, 0] * v[:, 1] + v[:, 1] ** 2)
    first += g * ((m1 * c1 + m2 * l1) * np.sin(q[:, 0]) + m2 * c2 * both)
    second = m12 * a[:, 0] + m22 * a[:, 1] + h * sin2 * v[:, 0] ** 2 + g * m2 * c2 * both
    return np.stack([first, second], axis=1)


def write_csv(path: Path, time: np.ndarray, columns: dict[str, np.ndarray]) -> Path:
    head = ["time", *columns]
    rows = np.stack([time, *columns.values()], axis=1)
    path.write_text("\n".join([",".join(head), *(",".join(repr(float(x)) for x in row) for row in rows)]) + "\n")
    return path
