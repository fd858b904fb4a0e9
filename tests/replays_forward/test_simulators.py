"""Gymnasium simulators: snapshots, states and recordings replay bit for bit."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from invdyn.worlds import make_world, record
from invdyn.worlds.gym_adapter import OBSERVATION

pytest.importorskip("mujoco", reason="needs the extra 'worlds'")
METAWORLD = [f"metaworld/{task}-v3" for task in ("pick-place", "bin-picking", "door-unlock", "hammer")]
IDS = [*METAWORLD, "adroit/door", "pusht", "gymnasium/Ant-v5", "gymnasium/Pendulum-v1", "locomotion/walker2d"]
_worlds = {}


def world_of(name):
    """One world per id for the whole module: making one takes longer than using it."""
    if name not in _worlds:
        _worlds[name] = make_world(name, batch=2)
    return _worlds[name]


def causes(world, seed, steps):
    draw = torch.rand(steps, 2, world.action.size, generator=torch.Generator().manual_seed(seed))
    low, high = (torch.tensor(bound) for bound in (world.action.low, world.action.high))
    return low + (high - low) * draw


def run(world, actions):
    return [world.step(a) for a in actions]


def same(first, second):
    return all(
        torch.equal(a.observation[OBSERVATION], b.observation[OBSERVATION])
        and torch.equal(a.reward, b.reward)
        and torch.equal(a.success, b.success)
        for a, b in zip(first, second, strict=True)
    )


@pytest.mark.parametrize("name", IDS)
@settings(max_examples=2, deadline=None, derandomize=True)
@given(seed=st.integers(0, 2**31 - 1), before=st.integers(0, 25))
def test_snapshot_and_state_go_on_bit_identically(name, seed, before):
    world = world_of(name)
    world.reset([seed, seed + 1])
    context = world.context()
    run(world, causes(world, seed, before))
    snapshot, state, seen = world.snapshot(), world.state(), world.observe()[OBSERVATION]
    actions = causes(world, seed + 1, 15)
    there = run(world, actions)
    end = world.state()

    world.reset([5, 6])
    run(world, actions[:7])
    world.restore(snapshot)
    assert torch.equal(world.observe()[OBSERVATION], seen)
    assert same(there, run(world, actions))
    assert torch.equal(world.state(), end)

    world.reset([8, 9])
    run(world, actions[3:5])
    world.set_context(json.loads(json.dumps(context)))  # as it is kept in a recording
    world.set_state(state)
    assert torch.equal(world.observe()[OBSERVATION], seen)
    assert same(there, run(world, actions))


@pytest.mark.parametrize("name", ["gymnasium/Ant-v5", "pusht", "metaworld/reach-v3"])
def test_a_snapshot_holds_the_generator(name):
    world = world_of(name)
    world.reset([3, 4])
    snapshot = world.snapshot()
    first = [env.np_random.random(3) for env in world.envs]
    world.restore(snapshot)
    assert np.array_equal(first, [env.np_random.random(3) for env in world.envs])


@pytest.mark.parametrize("name", [METAWORLD[0], "adroit/door", "pusht"])
def test_a_reset_depends_on_its_seed_alone(name):
    world = world_of(name)
    first = world.reset([11, 12])[OBSERVATION]
    assert not torch.equal(first[0], first[1])
    run(world, causes(world, 0, 9))
    again = world.reset([12, 11])[OBSERVATION]
    assert torch.equal(first.flip(0), again)


def test_meta_world_starts_and_steps_as_its_own_benchmark_does():
    from metaworld.env_dict import ALL_V3_ENVIRONMENTS

    world = make_world("metaworld/box-close-v3")
    seen = world.reset([3])[OBSERVATION]
    env = ALL_V3_ENVIRONMENTS["box-close-v3"]()
    env._set_task_called, env._partially_observable = True, False
    env.__dict__.pop("sawyer_observation_space", None)
    env._freeze_rand_vec, env._last_rand_vec = True, world.envs[0]._last_rand_vec.copy()
    assert np.array_equal(env.reset()[0].astype(np.float32), seen[0].numpy())
    for action in causes(world_of("metaworld/hammer-v3"), 2, 30)[:, :1]:
        theirs, ours = env.step(action[0].double().numpy()), world.step(action)
        assert np.array_equal(theirs[0].astype(np.float32), ours.observation[OBSERVATION][0].numpy())
        assert np.float32(theirs[1]) == np.float32(ours.reward[0])
        assert bool(theirs[4]["success"]) == bool(ours.success[0])


def test_meta_world_steps_past_five_hundred():
    world = make_world("metaworld/reach-v3", horizon=505)
    for _ in range(504):
        result = world.step(torch.zeros(1, 4))
    assert not result.truncated.any()
    assert world.step(torch.zeros(1, 4)).truncated.all()


# ---- record ------------------------------------------------------------------------------------------


def equal(first, second):
    assert first.metadata == second.metadata
    assert set(first) == set(second)
    for name in first:
        assert np.array_equal(first[name].values, second[name].values, equal_nan=first[name].values.dtype.kind == "f")
        assert np.array_equal(first[name].mask, second[name].mask)


@pytest.fixture(scope="module")
def recorded():
    return record(world_of("metaworld/pick-place-v3"), seeds=[4, 9, 2], noise=0.1, task="pick and place", hold=3)


def test_recordings_have_a_masked_last_row(recorded):
    for episode, seed in zip(recorded, [4, 9, 2], strict=True):
        assert episode.task == "pick and place"
        assert episode.metadata["seed"] == seed
        assert episode.metadata["success"]
        assert episode.metadata["world"]["id"] == "metaworld/pick-place-v3"
        for name in ("action", "next.reward", "next.success"):
            assert episode[name].mask.tolist() == [True] * (episode.length - 1) + [False]
        success = episode["next.success"].values[:-1]
        assert int(success.argmax()) == len(success) - 1 - 3  # three steps are held after the first success
        assert episode.metadata["return"] == pytest.approx(episode["next.reward"].values[:-1].sum(), rel=1e-5)
        assert np.isnan(episode["action"].values[-1]).all()
        assert np.abs(episode["action"].values[:-1]).max() <= 1


def test_an_episode_depends_on_its_seed_alone(recorded):
    alone = record(make_world("metaworld/pick-place-v3"), seeds=[2], noise=0.1, task="pick and place", hold=3)
    equal(alone[0], recorded[2])
    quiet = record(world_of("metaworld/pick-place-v3"), seeds=[2], task="pick and place", hold=3)
    assert not np.array_equal(quiet[0]["action"].values[0], alone[0]["action"].values[0])


def test_recordings_are_the_same_from_two_processes(recorded):
    both = record(
        world_of("metaworld/pick-place-v3"), seeds=[4, 9, 2], noise=0.1, task="pick and place", hold=3, workers=2
    )
    for ours, theirs in zip(recorded, both, strict=True):
        equal(ours, theirs)


def test_any_recorded_step_can_be_anchored(recorded):
    world = world_of("metaworld/pick-place-v3")
    world.reset([70, 71])
    for step in (0, 13, 40):
        world.anchor([recorded[0], recorded[1]], [step, step + 5])
        for k in range(8):
            rows = [(recorded[0], step + k), (recorded[1], step + 5 + k)]
            seen = world.observe()[OBSERVATION].numpy()
            assert all(np.array_equal(seen[i], e[OBSERVATION].values[t]) for i, (e, t) in enumerate(rows))
            result = world.step(torch.from_numpy(np.stack([e["action"].values[t] for e, t in rows])))
            assert all(np.float32(result.reward[i]) == e["next.reward"].values[t] for i, (e, t) in enumerate(rows))


class Steady:
    """A policy that remembers how it was called."""

    def reset(self, batch):
        self.batch = batch

    def act(self, observation):
        assert len(observation[OBSERVATION]) == self.batch
        return torch.full((self.batch, 1), 0.5)


def test_policies_and_pictures_are_recorded():
    world = make_world("pendulum", batch=2, horizon=6)
    data = record(world, seeds=[1, 2, 3], policy=Steady(), images=(16, 20), camera="side", encoding="png")
    assert [e.length for e in data] == [7, 7, 7]
    assert data.schema["observation.images.side"].shape == (16, 20, 3)
    assert (data[2]["action"].values[:-1] == 0.5).all()
    world.anchor([data[0], data[2]], [4, 4])
    assert np.array_equal(world.render(16, 20)[1].numpy(), data[2]["observation.images.side"].values[4])
