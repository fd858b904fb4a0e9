"""Pinocchio's model of a robot beside ours, and its states in both conventions."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from invdyn.bodies.dynamics import Dynamics
from invdyn.bodies.model import BodyModel
from invdyn.bodies.urdf import read_urdf

ROBOTS = {
    "ur5": ("ur_description/urdf/ur5_robot.urdf", "fixed"),
    "ur10": ("ur_description/urdf/ur10_robot.urdf", "fixed"),
    "panda": ("panda_description/urdf/panda.urdf", "fixed"),
    "kinova": ("kinova_description/robots/kinova.urdf", "fixed"),
    "xarm7": ("xarm_description/urdf/xarm7.urdf", "fixed"),
    "z1": ("z1_description/urdf/z1.urdf", "fixed"),
    "so101": ("so_arm_description/urdf/so101.urdf", "fixed"),
    "double_pendulum": ("double_pendulum_description/urdf/double_pendulum.urdf", "fixed"),
    "baxter": ("baxter_description/urdf/baxter.urdf", "fixed"),
    "allegro": ("allegro_hand_description/urdf/allegro_right_hand.urdf", "fixed"),
    "tiago": ("tiago_description/robots/tiago_no_hand.urdf", "free"),
    "solo12": ("solo_description/robots/solo12.urdf", "free"),
    "anymal": ("anymal_b_simple_description/robots/anymal.urdf", "free"),
    "a1": ("a1_description/urdf/a1.urdf", "free"),
    "go2": ("go2_description/urdf/go2.urdf", "free"),
    "b1_z1": ("b1_description/urdf/b1-z1.urdf", "free"),
    "hyq": ("hyq_description/robots/hyq_no_sensors.urdf", "free"),
    "bolt": ("bolt_description/robots/bolt.urdf", "free"),
    "g1": ("g1_description/urdf/g1_29dof_rev_1_0.urdf", "free"),
    "talos": ("talos_data/robots/talos_reduced.urdf", "free"),
    "icub": ("icub_description/robots/icub.urdf", "free"),
    "romeo": ("romeo_description/urdf/romeo_small.urdf", "free"),
    "human": ("human_description/robots/human.urdf", "free"),
    "simple_humanoid": ("simple_humanoid_description/urdf/simple_humanoid.urdf", "free"),
}
FOLDER = "share/example-robot-data/robots"


def robot_file(name: str) -> Path:
    """The URDF of a robot of the package example-robot-data."""
    import pinocchio

    return Path(pinocchio.__file__).parents[4] / FOLDER / ROBOTS[name][0]


@dataclass
class Pair:
    """One robot in both libraries."""

    theirs: Any
    data: Any
    ours: BodyModel
    dynamics: Dynamics

    def states(self, n: int, seed: int) -> tuple[np.ndarray, torch.Tensor, np.ndarray, np.ndarray]:
        """Random states: Pinocchio's q [n, nq], our q [nq, n], v and a [n, nv] (the same in both)."""
        import pinocchio as pin

        rng = np.random.default_rng(seed)
        pin.seed(seed)
        wide = np.full(self.theirs.nq, 2.0)
        q = np.stack([pin.randomConfiguration(self.theirs, -wide, wide) for _ in range(n)])
        v, a = rng.normal(size=(2, n, self.theirs.nv))
        return q, torch.from_numpy(np.ascontiguousarray(self.converted(q).T)), v, a

    def converted(self, q: np.ndarray) -> np.ndarray:
        """Pinocchio's positions as ours: an unbounded joint is one angle."""
        columns = []
        for joint in list(self.theirs.joints)[1:]:
            part = q[:, joint.idx_q : joint.idx_q + joint.nq]
            columns.append(np.arctan2(part[:, 1:], part[:, :1]) if (joint.nq, joint.nv) == (2, 1) else part)
        return np.concatenate(columns, 1)


def pair(name: str) -> Pair:
    """Ours runs eagerly: 24 robots times nine algorithms are minutes of a C compiler, and the program is the same."""
    import pinocchio as pin

    file, root = str(robot_file(name)), ROBOTS[name][1]
    theirs = pin.buildModelFromUrdf(file, pin.JointModelFreeFlyer()) if root == "free" else pin.buildModelFromUrdf(file)
    ours = read_urdf(file, root=root, mimic=False)
    return Pair(theirs, theirs.createData(), ours, Dynamics(ours, "eager"))
