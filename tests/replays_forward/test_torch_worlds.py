"""Every batched torch world: snapshots and replays are bit-exact, copy i depends on its own seed only."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from invdyn.worlds.linear_gaussian import LinearGaussianWorld
from invdyn.worlds.pendulum import Pendulum
from invdyn.worlds.point2d import Point2D, Point2DConfig
from invdyn.worlds.push2d import Push2D
from invdyn.worlds.torch_world import Quality, TorchWorld

Make = Callable[[int], TorchWorld[Any]]
WORLDS: dict[str, Make] = {
    "pendulum": lambda batch: Pendulum(batch),
    "pendulum theta": lambda batch: Pendulum(batch, coordinates="theta"),
    "point2d": lambda batch: Point2D(batch),
    "point2d obstacle": lambda batch: Point2D(
        batch, obstacle=0.1, goal_speed=0.03, goal_visible=True, distractor="moving"
    ),
    "point2d first order": lambda batch: Point2D(batch, config=Point2DConfig.first_order()),
    "push2d": lambda batch: Push2D(batch),
    "push2d chain": lambda batch: Push2D(batch, chain=3, palettes=("A", "B", "C", "D"), movers=2, obstacle=True),
    "push2d targets": lambda batch: Push2D(batch, goal="targets", discs=2),
    "push2d reach": lambda batch: Push2D(batch, goal="reach"),
}
NOISY = Quality(gain=0.9, noise=0.3, random=0.1)
every_world = pytest.mark.parametrize("make", WORLDS.values(), ids=WORLDS.keys())


def roll(world: TorchWorld[Any], steps: int, quality: Quality | None = NOISY) -> list[torch.Tensor]:
    """States, actions, rewards and pictures along a noisy expert's way."""
    told: list[torch.Tensor] = []
    expert = world.expert(quality)  # type: ignore[call-arg]
    for _ in range(steps):
        action = expert.act()
        result = world.step(action)
        told += [world.state(), action, result.reward, *result.observation.values()]
    return [*told, world.render(24, 24)]


@every_world
def test_restored_world_goes_on_bit_identically(make: Make) -> None:
    world = make(5)
    world.reset([3, 1, 4, 1, 5])
    roll(world, 7)
    snapshot = world.snapshot()
    first = roll(world, 20)
    for target in (world, make(5)):  # the same object, and a fresh one
        target.restore(snapshot)
        again = roll(target, 20)
        assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))


@every_world
def test_copies_depend_on_their_own_seed_only(make: Make) -> None:
    seeds = [11, 7, 7, 2**40 + 1, 0]
    together = make(5)
    together.reset(seeds)
    rows = roll(together, 30)
    for i, seed in enumerate(seeds):
        alone = make(1)
        alone.reset([seed])
        for many, one in zip(rows, roll(alone, 30), strict=True):
            assert torch.equal(many[i], one[0])
    assert torch.equal(rows[0][1], rows[0][2])  # the same seed twice
    assert not torch.equal(rows[0][0], rows[0][1])


@every_world
def test_a_recorded_state_replays_exactly(make: Make) -> None:
    """state() and context() are all it takes: later steps follow from them and the causes alone."""
    world = make(6)
    states, actions, rewards = [world.state()], [], []
    for _ in range(25):
        actions.append(world.expert(NOISY).act())  # type: ignore[call-arg]
        rewards.append(world.step(actions[-1]).reward)
        states.append(world.state())
    twin = make(6)
    twin.reset(range(100, 106))
    twin.set_context(world.context())
    for start in (0, 13):
        twin.set_state(states[start])
        for t in range(start, 25):
            result = twin.step(actions[t])
            assert torch.equal(twin.state(), states[t + 1])
            assert torch.equal(result.reward, rewards[t])
    assert all(torch.equal(a, b) for a, b in zip(twin.observe().values(), world.observe().values(), strict=True))
    assert torch.equal(twin.render(24, 24), world.render(24, 24))


@every_world
def test_observations_match_their_specs(make: Make) -> None:
    world = make(3)
    observation = world.step(torch.zeros(3, world.action.size)).observation
    assert list(observation) == [spec.name for spec in world.observations]
    for spec in world.observations:
        values = observation[spec.name]
        assert values.shape == (3, *spec.shape)
        assert values.numpy().dtype == spec.numpy_dtype
        assert torch.equal(values, world.observe()[spec.name])
    assert world.state().shape == (3, len(world.state_names))
    assert world.render(20, 30).shape == (3, 20, 30, 3)


@every_world
def test_copies_are_truncated_at_the_horizon(make: Make) -> None:
    world = make(2)
    world.elapsed += world.horizon - 2
    zero = torch.zeros(2, world.action.size)
    assert not world.step(zero).truncated.any()
    assert world.step(zero).truncated.all()


@every_world
def test_experts_answer_twice_alike(make: Make) -> None:
    expert = make(4).expert(NOISY)  # type: ignore[call-arg]
    assert torch.equal(expert.act(), expert.act())


def test_linear_gaussian_world_replays_noise_and_all() -> None:
    """Its noise is a function of seed and step: a snapshot brings it back, another seed brings another one."""

    def run(world: LinearGaussianWorld) -> torch.Tensor:
        expert = world.expert()
        return torch.stack([world.step(expert.act()).observation["observation.state"] for _ in range(10)])

    world = LinearGaussianWorld(4, output_noise=0.1)
    world.reset([5, 6, 7, 5])
    start = world.snapshot()
    first = run(world)
    world.restore(start)
    assert torch.equal(run(world), first)
    alone = LinearGaussianWorld(1, output_noise=0.1)
    alone.reset([6])
    assert torch.equal(run(alone)[:, 0], first[:, 1])
    assert torch.equal(first[:, 0], first[:, 3])
    assert not torch.equal(first[:, 0], first[:, 1])
