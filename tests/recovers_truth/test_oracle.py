"""What can be known of the cause at all: candidates that fit, dimensions that leave a trace."""

import itertools

import numpy as np
import pytest
import torch
from toy_world import CartWorld, DelayedCart, episodes

from invdyn.errors import ConfigError, SignalError
from invdyn.verify import OneStep, ReplayOracle, resolvable
from invdyn.verify.compared import Compared

CANDIDATES = torch.tensor(list(itertools.product([-1.0, 0.0, 1.0], [-1.0, 1.0], [0.0])))


def recording(length=40, seed=0):
    """An episode whose actions are drawn from the candidates."""
    rng = np.random.default_rng(seed)
    choice = rng.integers(0, len(CANDIDATES), length)
    (shape,) = episodes((length,))
    world = CartWorld(1)
    world.reset([0])
    states, seen = [world.state()[0].numpy()], [world.observe()["observation.state"][0].numpy()]
    for k in choice:
        world.step(CANDIDATES[[k]])
        states.append(world.state()[0].numpy())
        seen.append(world.observe()["observation.state"][0].numpy())
    values = {"observation.state": np.stack(seen), "world.state": np.stack(states)}
    return shape.with_signals([type(shape[n])(shape[n].spec, v) for n, v in values.items()]), choice


@pytest.mark.parametrize("batch", [1, 7])
def test_the_consistent_set_is_the_one_the_physics_gives(batch):
    episode, choice = recording()
    found = ReplayOracle(CartWorld(batch), CANDIDATES).consistent(episode)
    assert found.steps.tolist() == list(range(40))
    state, actions = episode["world.state"].values, CANDIDATES.numpy()
    for t in range(40):
        g = np.clip(state[t, 2] + 0.3 * actions[:, 1], 0, 1)
        expected = (actions[:, 0] == actions[choice[t], 0]) & (np.float32(g) == np.float32(g[choice[t]]))
        assert found.matches[t].tolist() == expected.tolist()
    # The gripper never saturates both ways at once here, so all frames are resolvable.
    assert found.unique.all()


def test_saturation_makes_frames_unresolvable_and_accuracy_says_so():
    fine = torch.tensor([[0.0, a, 0.0] for a in (-1.0, -0.5, 0.5, 1.0)])
    (episode,) = episodes((6,))
    world = CartWorld(1)
    world.reset([0])
    choice = np.array([2, 3, 3, 2, 0, 1])  # 0.5 + .15 = .65, .95, 1 (stop), 1 (stop), .7, .55
    states, seen = [world.state()[0].numpy()], [world.observe()["observation.state"][0].numpy()]
    for k in choice:
        world.step(fine[[k]])
        states.append(world.state()[0].numpy())
        seen.append(world.observe()["observation.state"][0].numpy())
    values = {"observation.state": np.stack(seen), "world.state": np.stack(states)}
    episode = episode.with_signals([type(episode[n])(episode[n].spec, v) for n, v in values.items()])
    oracle = ReplayOracle(CartWorld(4), fine)
    found = oracle.consistent(episode)
    assert found.matches.sum(1).tolist() == [1, 1, 2, 2, 1, 1]
    answer = choice.copy()
    answer[2] = 2  # indistinguishable from the truth
    answer[5] = 0  # plainly wrong
    told = oracle.accuracy([found], choice, answer)
    assert told.overall == pytest.approx(4 / 6)
    assert told.resolvable == pytest.approx(3 / 4)
    assert told.reproduces == pytest.approx(5 / 6)
    assert (told.truth_consistent, told.frames, told.resolvable_frames) == (1.0, 6, 4)


def test_tolerance_in_own_units_and_in_one_step_scales():
    episode, choice = recording()
    rows = np.arange(40)
    near = CANDIDATES + torch.tensor([0.01, 0.0, 0.0])  # v off by 0.005, x by 0.0005
    exact, loose, tight = (
        ReplayOracle(CartWorld(8), near, tolerance=x).consistent(episode) for x in (0.0, 0.006, 0.004)
    )
    clamped = CANDIDATES.numpy()[choice, 0] == 1.0  # 1.01 is clipped to 1: exactly reproduced
    assert 0 < clamped.sum() < 40
    for strict in (exact, tight):
        np.testing.assert_array_equal(strict.matches.any(1), clamped)
        np.testing.assert_array_equal(strict.matches[rows, choice], clamped)
    assert loose.matches[rows, choice].all()
    scale = OneStep.of(CartWorld(8), [episode]).scale
    scaled = ReplayOracle(CartWorld(8), near, tolerance=0.006 / scale[1] * 1.01, scale=scale).consistent(episode)
    assert scaled.matches[rows, choice].mean() > 0.9


def test_from_a_snapshot_leaves_the_world_there():
    world = CartWorld(3)
    world.reset([1, 2, 3])
    saved = world.snapshot()
    after = world.step(CANDIDATES[[0, 3, 5]]).observation
    (episode,) = episodes((3,))
    oracle = ReplayOracle(world, CANDIDATES)
    found = oracle.from_snapshot(saved, after, Compared.of(world, episode))
    assert found.sum(1).tolist() == [1, 1, 1]
    assert found.argmax(1).tolist() == [0, 3, 5]
    assert torch.equal(world.state(), saved.content[0])


def test_a_channel_without_effect_and_a_saturated_gripper():
    data = episodes((60, 60), amplitude=1.0)
    found = resolvable(CartWorld(16), data, steps=None, delta=0.25, tolerance=0.05)
    assert found.names == ("action[0]", "action[1]", "action[2]")
    assert found.dims.tolist() == [True, True, False]
    assert found.fraction[0] == 1
    assert found.fraction[2] == 0
    # The gripper leaves no trace exactly where it stays against a stop whichever way the cause is moved.
    state = np.concatenate([e["world.state"].values[:-1] for e in data])
    action = np.concatenate([e["action"].values[:-1].astype(float) for e in data])
    ends = [np.clip(state[:, 2] + 0.3 * np.clip(action[:, 1] + d, -1, 1), 0, 1) for d in (-0.5, 0.0, 0.5)]
    trace = np.maximum(np.abs(ends[0] - ends[1]), np.abs(ends[2] - ends[1]))
    scale = OneStep.of(CartWorld(1), data).scale[2]
    np.testing.assert_allclose(found.effect[:, 1], trace / scale, atol=1e-5)
    assert 0 < (trace == 0).sum() < len(trace)
    assert (found.mask[:, 1] == (trace / scale > 0.05)).all()
    assert found.summary()["resolvable_dims"] == ["action[0]", "action[1]"]


def test_a_delayed_effect_needs_the_horizon_of_the_window():
    data = episodes((40,), make=DelayedCart)
    near = resolvable(DelayedCart(8), data, steps=None)
    far = resolvable(DelayedCart(8), data, steps=None, horizon=2)
    assert near.fraction[0] == 0
    assert far.fraction[0] >= 39 / 40  # the last step's effect was never recorded but is simulated all the same
    assert near.dims.tolist() == [False, True, False]
    assert far.dims.tolist() == [True, True, False]


def test_drawn_steps_depend_on_the_seed_alone():
    data = episodes((60, 60))
    a, b = (resolvable(CartWorld(n), data, steps=20, seed=3) for n in (5, 16))
    np.testing.assert_array_equal(a.step, b.step)
    np.testing.assert_array_equal(a.effect, b.effect)
    assert len(a.effect) == 20
    assert not np.array_equal(resolvable(CartWorld(5), data, steps=20, seed=4).step, a.step)


def test_errors_say_what_is_wrong():
    data = episodes((5,))
    with pytest.raises(ConfigError, match=r"delta=0.0, share=0.5, tolerance=0.05; delta and share lie in \(0, 1\]"):
        resolvable(CartWorld(), data, delta=0.0)
    with pytest.raises(SignalError, match=r"resolvable: no step has both a cause and a recorded next observation"):
        resolvable(CartWorld(), data, [np.full((6, 3), np.nan)])
    with pytest.raises(ConfigError, match=r"0 candidates at tolerance 0.0; at least one candidate"):
        ReplayOracle(CartWorld(), torch.zeros(0, 3))
    oracle = ReplayOracle(CartWorld(), CANDIDATES)
    with pytest.raises(SignalError, match=r"step 5 of episode 0 has no next observation; steps 0..4 have one"):
        oracle.consistent(data[0], [0, 5])
    found = oracle.consistent(data[0])
    with pytest.raises(SignalError, match=r"5 frames examined, 5 truths, 2 answers"):
        oracle.accuracy([found], np.zeros(5, int), np.zeros(2, int))
