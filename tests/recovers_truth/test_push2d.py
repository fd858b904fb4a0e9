"""push2d: contact without overlap, exact inverse, experts that succeed, exact labels."""

from __future__ import annotations

import math

import pytest
import torch

from invdyn.worlds.push2d import COLORS, STATE, TARGETS, Push2D
from invdyn.worlds.push2d_contact import DISC, OBSTACLE, PUSHER, SPEED
from invdyn.worlds.torch_world import QUALITIES, Quality


def solve(world: Push2D, **options: object) -> tuple[torch.Tensor, torch.Tensor]:
    """Whether each copy succeeds before it is out of time, and after how many steps."""
    expert = world.expert(**options)  # type: ignore[arg-type]
    steps = torch.full((world.batch,), -1)
    over = torch.zeros(world.batch, dtype=torch.bool)
    for t in range(world.horizon):
        result = world.step(expert.act())
        steps = torch.where(result.success & (steps < 0) & ~over, t + 1, steps)
        over |= result.truncated
    return steps > 0, steps


def random_play(world: Push2D, steps: int, seed: int = 0) -> torch.Tensor:
    """Causes that keep a heading for a while and overdrive the limits now and then."""
    generator = torch.Generator().manual_seed(seed)
    headings = 3 * torch.rand(steps // 10 + 1, world.batch, 2, generator=generator) - 1.5
    return headings.repeat_interleave(10, 0)[:steps] + 0.2 * torch.randn(steps, world.batch, 2, generator=generator)


def test_expert_always_succeeds_in_about_23_steps() -> None:
    won, steps = solve(Push2D(1000))
    assert won.all()
    assert 20 < steps.double().mean() < 26
    won, _ = solve(Push2D(300, tolerance=0.03))  # the hard tier
    assert won.all()


@pytest.mark.parametrize(
    ("options", "least"),
    [
        ({"discs": 2}, 1.0),
        ({"goal": "reach", "steps": 25}, 1.0),
        ({"discs": 2, "goal": "targets", "tolerance": 0.05, "steps": 120}, 0.99),
        ({"obstacle": True}, 0.97),  # now and then the pusher is wedged between disc and obstacle
    ],
)
def test_expert_of_the_other_goals(options: dict, least: float) -> None:
    won, _ = solve(Push2D(300, **options))
    assert won.double().mean() >= least


def test_chains_without_reset() -> None:
    world = Push2D(100, chain=5)
    won, steps = solve(world)
    assert world.done.double().mean() > 4.75  # of 5; discs may be stuck in a corner after a few instructions
    assert steps[won].double().mean() > 5 * 10
    # A copy that does nothing is out of time after the steps of one instruction, not of five.
    idle = Push2D(4, chain=5)
    for _ in range(60):
        result = idle.step(torch.zeros(4, 2))
    assert result.truncated.all()
    assert not result.success.any()


def test_experts_differ_in_quality() -> None:
    rates = [float(solve(Push2D(64), quality=QUALITIES[k])[0].double().mean()) for k in (0, 2, 4)]
    assert rates == sorted(rates, reverse=True)
    assert rates[0] == 1.0
    assert rates[-1] < 0.05


def test_experts_differ_in_side_and_order() -> None:
    ways = {}
    for side in ("left", "right", "random"):
        world = Push2D(64)
        expert, path = world.expert(side=side), []
        for _ in range(12):
            world.step(expert.act())
            path.append(world.pusher.clone())
        ways[side] = torch.stack(path)
    assert (ways["left"] != ways["right"]).any(0).any(0).double().mean() > 0.5
    mixed = (ways["random"] == ways["left"]).all(0).all(0).double().mean()
    assert 0.3 < mixed < 0.95  # some need no way round and are alike on either side
    first = {}
    for order in ("given", "nearest", "random"):
        world = Push2D(64, discs=2, goal="targets", tolerance=0.05)
        expert = world.expert(order=order)
        first[order] = expert.act()
    assert (first["given"] != first["random"]).any(1).double().mean() > 0.3
    assert (first["given"] != first["nearest"]).any(1).double().mean() > 0.3


def test_play_switches_instructions() -> None:
    world = Push2D(50)
    expert = world.expert(play=10)
    for _ in range(9):
        world.step(expert.act())
    a = expert.task()[1]  # type: ignore[attr-defined]
    world.step(expert.act())
    b = expert.task()[1]  # type: ignore[attr-defined]
    assert (a != b).any(0).double().mean() > 0.5


@pytest.mark.parametrize("options", [{}, {"discs": 2}, {"obstacle": True}])
def test_contact_leaves_no_overlap(options: dict) -> None:
    world = Push2D(256, **options)
    moved = torch.zeros(256, dtype=torch.bool)
    start = world.discs.clone()
    worst, deep = 0.0, 0
    for u in random_play(world, 200):
        before = world.discs.clone()
        world.step(u)
        pusher, discs = world.pusher, world.discs
        gap = (discs - pusher).square().sum(1).sqrt() - PUSHER - DISC
        still = (discs == before).all(1)
        # A disc that was not touched does not move: discs more than a step away from everything stay put.
        alone = gap > 2 * SPEED
        for other in range(len(discs)):
            apart = (discs - discs[other]).square().sum(1).sqrt()
            alone &= (apart > 2 * DISC + 0.1) | (torch.arange(len(discs))[:, None] == other)
        assert still[alone].all()
        deep += int((gap < -0.005).sum())
        worst = min(worst, float(gap.min()))
        assert ((discs >= DISC) & (discs <= 1 - DISC)).all()
        assert ((pusher >= PUSHER) & (pusher <= 1 - PUSHER)).all()
        moved |= ~still.all(0)
    assert moved.double().mean() > 0.9
    assert (world.discs - start).abs().max() > 0.3
    # The pusher gives way last; squeezed into a corner by two bodies it may keep a small overlap.
    assert deep / (200 * 256 * world.config.discs) < 2e-3
    assert worst > -0.08


@pytest.mark.parametrize("options", [{}, {"discs": 2}, {"obstacle": True}])
def test_inverse_is_the_displacement_and_nan_where_something_stopped_the_pusher(options: dict) -> None:
    world = Push2D(256, **options)
    before, known_count, stopped_count = world.observe(), 0, 0
    for u in random_play(world, 150, seed=3):
        after = world.step(u).observation
        inferred = world.inverse(before, after)
        known = ~inferred.isnan()
        error = (inferred - u.clamp(-1, 1)).abs()
        # float32 places near 1 are 6e-8 apart; two roundings over SPEED = 0.05.
        assert error[known].max() < 3e-6
        place = world.state()[:, :2]
        wall = (place == PUSHER) | (place == 1 - PUSHER)
        assert not known[wall].any()
        before = after
        known_count, stopped_count = known_count + int(known.sum()), stopped_count + int((~known).sum())
    assert known_count > 0.6 * 150 * 512
    assert stopped_count > 1000


def test_ids_depth_and_flow_are_exact() -> None:
    world = Push2D(64, movers=2, palettes=("A", "B", "C", "D"), obstacle=True)
    expert = world.expert()
    for _ in range(6):
        world.step(expert.act())
    x = world.state()
    now = world.snapshot()
    world.step(expert.act())
    toward = world.state()
    world.restore(now)
    picture = world.picture(96, 96, labels=True, toward=toward)
    assert picture.ids is not None
    assert picture.depth is not None
    assert picture.flow is not None
    ids, flow = picture.ids, picture.flow
    # Oracle: every pixel centre tested against the discs, nearest first.
    centre = (torch.arange(96).double() + 0.5) / 96
    px, py = centre[None, :], 1 - centre[:, None]
    names = world.state_names
    for i in (0, 17, 63):
        expected, moved = torch.zeros(96, 96, dtype=torch.int64), torch.zeros(96, 96, 2).double()
        layers = [(10, names.index("mover0_x"), 0.06), (11, names.index("mover1_x"), 0.06)]
        for z, (cx, cy) in enumerate(((0.22, 0.22), (0.78, 0.22), (0.22, 0.78), (0.78, 0.78))):
            expected[((px - cx).abs() < 0.16) & ((py - cy).abs() < 0.16)] = 6 + z
        bodies = [*layers, (5, None, OBSTACLE), *[(2 + k, 2 + 2 * k, DISC) for k in (2, 1, 0)], (1, 0, PUSHER)]
        for number, column, radius in bodies:
            place = world.constants["obstacle"][:, i] if column is None else x[i, column : column + 2]
            inside = ((px - place[0]) ** 2 + (py - place[1]) ** 2).sqrt() < radius
            expected[inside] = number
            shift = torch.zeros(2).double() if column is None else (toward - x)[i, column : column + 2]
            moved[inside] = torch.stack([96 * shift[0], -96 * shift[1]])
        assert (ids[i] != expected).double().mean() < 2e-4  # pixel centres on an edge, in float32
        same = ids[i] == expected
        torch.testing.assert_close(flow[i][same], moved[same].float(), rtol=1e-5, atol=1e-5)
    nearness = {1: 0.1, 2: 0.2, 5: 0.4, 6: 0.9, 0: 1.0}
    for number, depth in nearness.items():
        assert (picture.depth[ids == number] == depth).all()
    assert flow.abs().max() > 1


def test_pictures_show_palettes_and_crops() -> None:
    pictures = {p: Push2D(2, palettes=(p,)).render(32, 32).float() for p in "ABCD"}
    for a in "ABCD":
        for b in "ABCD":
            if a < b:
                assert (pictures[a] - pictures[b]).abs().mean() > 5
    mixed = Push2D(200, palettes=("A", "B", "C"))
    counts = torch.bincount(mixed.constants["palette"][0].long(), minlength=4)
    assert counts[3] == 0
    assert counts[:3].min() > 40
    crop = mixed.picture(64, 64, labels=True, crop=0.25)
    assert crop.ids is not None
    assert (crop.ids[:, 31:33, 31:33] == 1).all()  # the pusher is in the middle
    area = (crop.ids == 1).sum((1, 2)).double().mean()
    assert abs(area / (math.pi * (PUSHER * 64 / 0.5) ** 2) - 1) < 0.05


def test_the_kept_backdrop_follows_the_episode() -> None:
    options: dict = {"palettes": ("A", "B", "C", "D"), "goal": "targets", "discs": 2}
    world = Push2D(20, **options)
    world.render(24, 24)
    for change in (lambda: world.reset(range(50, 70)), lambda: world.set_context(Push2D(20, **options).context())):
        change()
        fresh = Push2D(20, **options)
        fresh.restore(world.snapshot())
        kept = world.render(24, 24)
        assert torch.equal(kept, fresh.render(24, 24))
        assert (kept.int() - world.picture(24, 24, labels=True).rgb.int()).abs().max() == 0


def test_goal_picture_shows_the_end() -> None:
    world = Push2D(100, discs=2, goal="targets", targets_visible=False, tolerance=0.05, steps=200)
    assert TARGETS not in [s.name for s in world.observations]
    goal = world.goal_picture(32, 32).float()
    start = (world.render(32, 32).float() - goal).abs().mean((1, 2, 3))
    won, _ = solve(world)
    end = (world.render(32, 32).float() - goal).abs().mean((1, 2, 3))
    assert (end < start)[won].double().mean() > 0.95


def test_instructions_in_words_and_anew() -> None:
    world = Push2D(3, chain=2)
    assert len(world.tasks) == 12
    assert world.tasks[7] == "push the green disc to the upper right zone"
    world.instruct(torch.tensor([[7, 0], [1, 1], [11, 3]]))
    assert world.context()[0]["task"] == (
        "push the green disc to the upper right zone, then push the red disc to the lower left zone"
    )
    aims = world.destinations()
    assert [int((~aims[:, 0, i].isnan()).nonzero()[0]) for i in range(3)] == [1, 0, 2]
    assert world.observe()["observation.instruction"].argmax(1).tolist() == [7, 1, 11]
    assert list(COLORS) == ["red", "green", "blue"]


def test_noise_reaches_the_action() -> None:
    world = Push2D(400)
    clean = world.expert().act()
    noisy = world.expert(Quality(noise=0.1)).act()
    spread = (noisy - clean)[clean.abs() < 0.6].std()
    assert abs(spread - 0.1) < 0.02
    assert world.observe()[STATE].shape == (400, 8)
