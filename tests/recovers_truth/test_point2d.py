"""The point world: closed-form dynamics, inverse, value; experts of both modes; id mask."""

from __future__ import annotations

import math

import pytest
import torch

from invdyn.worlds.point2d import GOAL, STATE, Point2D, Point2DConfig
from invdyn.worlds.torch_world import QUALITIES


def random_actions(steps: int, batch: int, seed: int = 0) -> torch.Tensor:
    return 2.4 * torch.rand(steps, batch, 2, generator=torch.Generator().manual_seed(seed)) - 1.2


def test_free_point_follows_the_closed_form() -> None:
    world = Point2D(1, reach=math.inf)
    state = world.state()
    world.set_state(state)
    decay = 1 - 1.0 * 0.05 / 0.3
    for _ in range(40):
        world.step(torch.tensor([[1.0, -0.5]]))
    # v_n = g (1 - decay^n), g = gear u / damping; x_n = x_0 + dt (n g - g decay (1 - decay^n) / (1 - decay))
    g = 0.1 * torch.tensor([1.0, -0.5]).double()
    v = g * (1 - decay**40)
    x = state[0, :2] + 0.05 * (40 * g - g * decay * (1 - decay**40) / (1 - decay))
    torch.testing.assert_close(world.state()[0, :4], torch.cat([x, v]), rtol=0, atol=1e-12)


@pytest.mark.parametrize("obstacle", [0.0, 0.1])
@pytest.mark.parametrize("order", [1, 2])
def test_inverse_recovers_the_cause_away_from_walls(order: int, obstacle: float) -> None:
    world = Point2D(128, order=order, obstacle=obstacle, gear=0.1 if order == 2 else 0.03)
    before, checked, unknown = world.observe(), 0, 0
    toward = 2 * torch.rand(128, 2, generator=torch.Generator().manual_seed(5)) - 1  # drives into walls and obstacle
    for u in random_actions(150, 128):
        u = u + toward
        after = world.step(u).observation
        inferred = world.inverse(before, after)
        known = ~inferred.isnan()
        # float32 velocities near 0.1 m/s are 7.5e-9 apart, times mass / (dt gear) = 60, twice; positions 3e-8 / 0.03.
        assert (inferred - u.clamp(-1, 1))[known].abs().max() < 2e-6
        place = world.state()[:, :2]
        touching = place.abs() == 0.29
        near = place.abs() > 0.29 - 2e-6  # what a float32 observation cannot tell from touching
        if obstacle:
            far = (place**2).sum(1).sqrt()[:, None]
            touching, near = touching | (far <= obstacle + 1e-9), near | (far < obstacle + 2e-6)
        assert (~known)[touching].all()
        assert near[~known].all()
        before, checked, unknown = after, checked + int(known.sum()), unknown + int((~known).sum())
    assert checked > 10_000
    assert unknown > 1000


def test_optimal_value_equals_the_best_policy() -> None:
    world = Point2D(64, config=Point2DConfig.first_order())
    best, value = world.optimal_value(0.9, 8), torch.zeros(64).double()
    worse = Point2D(64, config=Point2DConfig.first_order())
    other = torch.zeros(64).double()
    for t in range(8):
        value += 0.9**t * world.step(world.expert().act()).reward
        other += 0.9**t * worse.step(worse.expert(QUALITIES[1]).act()).reward
    torch.testing.assert_close(value, best, rtol=0, atol=1e-6)  # actions are float32
    assert (other <= best + 1e-6).all()
    assert (other < best - 0.01).float().mean() > 0.9


def success(world: Point2D, level: int = 0, mode: str = "random") -> tuple[torch.Tensor, torch.Tensor]:
    """Whether each copy ever succeeds, and the x at which it passes y = 0."""
    expert, ever = world.expert(QUALITIES[level], mode=mode), torch.zeros(world.batch, dtype=torch.bool)
    crossing = torch.full((world.batch,), torch.nan).double()
    for _ in range(world.horizon):
        below = world.position[1] < 0
        ever |= world.step(expert.act()).success
        crossing = torch.where(below & (world.position[1] >= 0), world.position[0], crossing)
    return ever, crossing


def test_expert_reaches_resting_and_moving_goals() -> None:
    rates = [success(Point2D(500), level)[0].float().mean() for level in range(5)]
    assert rates[0] == 1.0
    assert rates == sorted(rates, reverse=True)
    assert rates[4] < 0.3
    assert success(Point2D(500, goal_speed=0.03))[0].float().mean() > 0.98


@pytest.mark.parametrize("mode", ["left", "right", "random"])
def test_expert_passes_the_obstacle_on_its_side(mode: str) -> None:
    world = Point2D(300, obstacle=0.09, goal_speed=0.02, horizon=160)
    ever, crossing = success(world, mode=mode)
    assert ever.all()
    right = (crossing > 0).float().mean()
    assert right == {"left": 0.0, "right": 1.0}.get(mode, right)
    assert (crossing.abs() > 0.09).all()
    if mode == "random":
        assert 0.4 < right < 0.6


def test_goal_is_seen_only_when_visible() -> None:
    hidden, shown = Point2D(4), Point2D(4, goal_visible=True)
    assert [s.name for s in hidden.observations] == [STATE]
    assert torch.equal(shown.observe()[GOAL], shown.goal.T.float())
    x = shown.state()
    for world in (hidden, shown):
        world.set_state(x)
    moved = x.clone()
    moved[:, 4:6] = -x[:, 4:6]
    pictures = {}
    for name, world in (("hidden", hidden), ("shown", shown)):
        first = world.render()
        world.set_state(moved)
        pictures[name] = (first, world.render())
    assert torch.equal(*pictures["hidden"])
    assert not torch.equal(*pictures["shown"])


def test_id_mask_and_texture() -> None:
    world = Point2D(8, obstacle=0.1, goal_visible=True, distractor="moving")
    picture = world.picture(48, 48, labels=True)
    assert picture.ids is not None
    # Areas in pixels from the radii in pictures: point 0.06, obstacle 0.1 / 0.58, goal 0.03 / 0.58.
    for number, radius in ((3, 0.06), (2, 0.1 / 0.58), (1, 0.03 / 0.58)):
        area = (picture.ids == number).sum((1, 2)).float()
        assert (area.mean() / (math.pi * (48 * radius) ** 2) - 1).abs() < 0.15
    rows, columns = torch.meshgrid(torch.arange(48.0), torch.arange(48.0), indexing="ij")
    for i in range(8):
        inside = picture.ids[i] == 3
        x, y = (columns[inside].mean() + 0.5) / 48, 1 - (rows[inside].mean() + 0.5) / 48
        assert abs(x - (0.5 + world.position[0, i] / 0.58)) < 0.5 / 48
        assert abs(y - (0.5 + world.position[1, i] / 0.58)) < 0.5 / 48
    assert picture.flow is not None
    assert picture.flow.abs().max() == 0
    now, x = world.snapshot(), world.state()
    for _ in range(5):
        world.step(torch.ones(8, 2))
    toward = world.state()
    world.restore(now)
    flow = world.picture(48, 48, labels=True, toward=toward).flow
    assert flow is not None
    pixels = 48 / 0.58 * (toward - x)[:, :2] * torch.tensor([1.0, -1.0])  # rows run down
    for i in range(8):
        inside = picture.ids[i] == 3
        torch.testing.assert_close(
            flow[i][inside], pixels[i].float().expand(int(inside.sum()), 2), rtol=1e-4, atol=1e-4
        )
        assert (flow[i][~inside] == 0).all()
    still = world.render()
    world.set_state(world.state() + torch.tensor([0.0] * 8 + [0.5]).double())
    assert not torch.equal(still, world.render())
    assert not torch.equal(still[0], still[1])
