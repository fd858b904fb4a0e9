"""Messages of the batched torch worlds."""

from __future__ import annotations

import pytest
import torch

from invdyn.errors import ConfigError, UnknownNameError, WorldError
from invdyn.worlds.base import Snapshot
from invdyn.worlds.pendulum import Pendulum, PendulumConfig
from invdyn.worlds.point2d import Point2D
from invdyn.worlds.push2d import Push2D
from invdyn.worlds.rasterizer import Disc, rasterize
from invdyn.worlds.torch_world import Quality


def test_construction() -> None:
    with pytest.raises(ConfigError, match="pendulum: batch is 0; a world has at least one copy"):
        Pendulum(0)
    with pytest.raises(UnknownNameError, match=r"unknown option of pendulum 'horizn'. Did you mean 'horizon'\?"):
        Pendulum(1, horizn=5)
    with pytest.raises(ConfigError, match="coordinates 'polar' are neither 'cos_sin' nor 'theta'"):
        Pendulum(1, coordinates="polar")
    with pytest.raises(ConfigError, match="horizon is 0; an episode has at least one step"):
        PendulumConfig(horizon=0)
    with pytest.raises(ConfigError, match=r"noise is at least 0 and random lies in \[0, 1\]"):
        Quality(random=1.5)


def test_use() -> None:
    world = Pendulum(2)
    with pytest.raises(WorldError, match="pendulum: 3 seeds for 2 copies; give one seed per copy"):
        world.reset([1, 2, 3])
    with pytest.raises(WorldError, match=r"the cause has shape \(2, 3\), expected \(2, 1\)"):
        world.step(torch.zeros(2, 3))
    with pytest.raises(WorldError, match=r"the cause of copy 1 is \[nan\]; expected finite numbers"):
        world.step(torch.tensor([[0.0], [torch.nan]]))
    with pytest.raises(WorldError, match=r"the state has shape \(2, 3\), expected \(2, 2\): theta, omega"):
        world.set_state(torch.zeros(2, 3).double())
    with pytest.raises(WorldError, match="the state to set holds NaN or infinity"):
        world.set_state(torch.full((2, 2), torch.nan).double())
    with pytest.raises(WorldError, match="a picture of 0 x 9 pixels was asked for"):
        world.render(0, 9)


def test_snapshots_and_contexts_of_others() -> None:
    world = Pendulum(2)
    with pytest.raises(WorldError, match="the snapshot is of 'push2d'; it cannot be restored into 'pendulum'"):
        world.restore(Snapshot("push2d", None))
    with pytest.raises(WorldError, match="the snapshot holds 3 copies of 2 state numbers, this pendulum has 2 of 2"):
        world.restore(Pendulum(3).snapshot())
    with pytest.raises(WorldError, match="1 contexts for 2 copies"):
        world.set_context([{}])
    with pytest.raises(WorldError, match="copy 1: recorded in world 'push2d', not in 'pendulum'"):
        world.set_context([{"id": "pendulum"}, {"id": "push2d"}])


def test_pendulum() -> None:
    blind = Pendulum(1, velocity=False)
    with pytest.raises(WorldError, match=r"do not tell the torque. Use velocity=True"):
        blind.inverse(blind.observe(), blind.observe())
    with pytest.raises(WorldError, match="the unforced pendulum has no scripted expert: no torque acts on it"):
        Pendulum(1, forced=False).expert()


def test_rasterizer() -> None:
    with pytest.raises(ConfigError, match="a scene needs at least one shape"):
        rasterize([], 8, 8)
    with pytest.raises(ConfigError, match=r"shape 3 has depth 1.0; expected 0"):
        rasterize([Disc(torch.zeros(2, 1).double(), 0.1, color=(0.0, 0.0, 0.0), id=3, depth=1.0)], 8, 8)


def test_point2d() -> None:
    with pytest.raises(ConfigError, match="point2d: order is 3; expected 1 or 2"):
        Point2D(1, order=3)
    with pytest.raises(ConfigError, match="distractor 'wild' is none of none, still, moving"):
        Point2D(1, distractor="wild")
    with pytest.raises(ConfigError, match="mass, gear, dt, reach, goal_radius and horizon are positive"):
        Point2D(1, mass=0.0)
    with pytest.raises(ConfigError, match=r"damping 10.0 N s/m over 0.05 s is too much for 0.3 kg"):
        Point2D(1, damping=10.0)
    with pytest.raises(ConfigError, match=r"an obstacle of radius 0.2 m leaves no way round within 0.29 m"):
        Point2D(1, obstacle=0.2)
    with pytest.raises(WorldError, match="the optimal value is known for order=1 without obstacle"):
        Point2D(1).optimal_value(0.9, 3)
    with pytest.raises(ConfigError, match="mode 'over' is none of left, right, random"):
        Point2D(1).expert(mode="over")
    textured = Point2D(2, distractor="still")
    with pytest.raises(WorldError, match="copy 0: the metadata 'world' of a point2d recording needs 'texture'"):
        textured.set_context([{}, {}])
    with pytest.raises(WorldError, match=r"copy 0: point2d has 20 numbers 'texture', got \[1.0\]"):
        textured.set_context([{"texture": [1.0]}, {"texture": [1.0]}])


def test_push2d() -> None:
    with pytest.raises(ConfigError, match="push2d: 5 discs; expected 2 or 3"):
        Push2D(1, discs=5)
    with pytest.raises(ConfigError, match="goal 'win' is none of instruction, reach, targets"):
        Push2D(1, goal="win")
    with pytest.raises(ConfigError, match=r"0 < tolerance <= 0.12"):
        Push2D(1, tolerance=0.5)
    with pytest.raises(ConfigError, match="goal 'targets' is one task; use chain=1"):
        Push2D(1, goal="targets", chain=2)
    with pytest.raises(ConfigError, match=r"palettes \('A', 'Z'\) are not all among A, B, C, D"):
        Push2D(1, palettes=("A", "Z"))
    with pytest.raises(WorldError, match="goal 'targets' has no instructions to change"):
        Push2D(1, goal="targets").instruct(torch.tensor([[0]]))
    with pytest.raises(
        WorldError, match=r"instructions are numbers 0..11 of shape \(1, 1\), got shape \(1, 1\): \[\[12\]\]"
    ):
        Push2D(1).instruct(torch.tensor([[12]]))
    with pytest.raises(ConfigError, match="side 'up' and order 'given'; expected one of short, left, right, random"):
        Push2D(1).expert(side="up")
    with pytest.raises(WorldError, match="copy 0: the metadata 'world' of a push2d recording needs 'instructions'"):
        Push2D(1).set_context([{"id": "push2d"}])
    with pytest.raises(WorldError, match="the snapshot holds 1 copies of 8 state numbers, this push2d has 1 of 10"):
        Push2D(1).restore(Push2D(1, discs=2).snapshot())
