"""Hopper, HalfCheetah, Walker2d as worlds and models: Gymnasium's own steps, mixed models, the studies on them."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch

from invdyn.decisions.dynamics_reward import RewardConfig
from invdyn.decisions.learned_dynamics import DynamicsConfig
from invdyn.decisions.offline_sets import SetConfig
from invdyn.decisions.sac import SACConfig
from invdyn.errors import ConfigError, UnknownNameError, WorldError
from invdyn.nn.probabilistic_ensemble import EnsembleDynamics, ProbabilisticEnsemble
from invdyn.studies.morec import STUDY as MOREC
from invdyn.studies.ravl import STUDY as RAVL
from invdyn.studies.study import Context
from invdyn.studies.walkers import WalkersConfig
from invdyn.worlds import make_world
from invdyn.worlds.forward_model import ExactDynamics
from invdyn.worlds.locomotion import OBSERVATION, TASKS, Locomotion, ends
from invdyn.worlds.mixed_dynamics import MixedDynamics

gymnasium = pytest.importorskip("gymnasium", reason="needs the extra 'worlds'")
pytest.importorskip("mujoco", reason="needs the extra 'worlds'")
every_task = pytest.mark.parametrize("task", TASKS)
_envs = {}


def env_of(task: str):
    """Gymnasium's own environment, stepped alone."""
    if task not in _envs:
        _envs[task] = gymnasium.make(TASKS[task].env, disable_env_checker=True).unwrapped
    return _envs[task]


def causes(world: Locomotion, steps: int, seed: int = 0) -> torch.Tensor:
    draw = torch.rand(steps, world.batch, world.action.size, generator=torch.Generator().manual_seed(seed))
    return 2 * draw - 1


@every_task
def test_episodes_are_gymnasiums_bit_for_bit(task: str) -> None:
    world, env = Locomotion(task, 2), env_of(task)
    seen = world.reset([3, 4])[OBSERVATION]
    actions = causes(world, 30)
    steps = [world.step(a) for a in actions]
    fallen = False
    for copy in range(2):
        start, _ = env.reset(seed=3 + copy)
        np.testing.assert_array_equal(seen[copy].numpy(), start.astype(np.float32))
        for step, action in zip(steps, actions):
            observation, reward, terminated, _, _ = env.step(action[copy].double().numpy())
            np.testing.assert_array_equal(step.observation[OBSERVATION][copy].numpy(), observation.astype(np.float32))
            assert float(step.reward[copy]) == float(reward)
            assert bool(step.terminated[copy]) == terminated
            fallen |= terminated
    assert fallen == (task != "halfcheetah")  # uniform actions tip the others over: both answers were compared
    assert world.dt == pytest.approx(env.dt)


@every_task
def test_a_state_goes_on_as_gymnasiums_environment_does(task: str) -> None:
    """From positions and velocities alone, and from a state of the middle of an episode, with or without threads."""
    env = env_of(task)
    rng = np.random.default_rng(0)
    place, speed = (rng.uniform(-0.1, 0.1, (3, n)) for n in (env.model.nq, env.model.nv))
    place[:, 1] += env.init_qpos[1]
    world = Locomotion(task, 3)
    world.set_state(world.state_of(torch.from_numpy(place), torch.from_numpy(speed)))
    first = [world.step(a) for a in causes(world, 2)]
    middle = world.state()
    actions = causes(world, 3, seed=1)
    steps = [*first, *(world.step(a) for a in actions)]
    for copy in range(3):
        env.reset(seed=0)
        env.data.qacc_warmstart[:] = 0
        env.set_state(place[copy], speed[copy])
        for step, action in zip(steps, [*causes(world, 2), *actions]):
            observation, reward, terminated, _, _ = env.step(action[copy].double().numpy())
            np.testing.assert_array_equal(step.observation[OBSERVATION][copy].numpy(), observation.astype(np.float32))
            assert (float(step.reward[copy]), bool(step.terminated[copy])) == (float(reward), terminated)

    again = Locomotion(task, 3, threads=2)
    again.set_state(middle)
    assert torch.equal(again.state(), middle)
    for action, step in zip(actions, steps[2:]):
        other = again.step(action)
        assert torch.equal(other.observation[OBSERVATION], step.observation[OBSERVATION])
        assert torch.equal(other.reward, step.reward)
    assert torch.equal(again.state(), world.state())
    again.close()


def test_the_world_is_its_own_model() -> None:
    """In chunks of another size than the rows, ends included."""
    world = make_world("locomotion/hopper", batch=2)
    world.reset([1, 2])
    start, actions = world.state().repeat(3, 1)[:5], causes(Locomotion("hopper", 5), 4)
    model, state = ExactDynamics(Locomotion("hopper", 4)), start
    for step in range(4):
        after = model.step(state, actions[step])
        for row in range(0, 5, 2):
            rows = [row, min(row + 1, 4)]
            world.set_state(state[rows])
            told = world.step(actions[step][rows])
            assert torch.equal(after.state[rows], world.state())
            assert torch.equal(after.reward[rows], told.reward.float())
            assert torch.equal(after.terminated[rows], told.terminated)
            assert torch.equal(model.observe(after.state)[rows], told.observation[OBSERVATION])
        state = after.state
    assert not after.spread.any()


@pytest.mark.parametrize(
    ("task", "change", "ended"),
    [
        ("hopper", {}, False),
        ("hopper", {0: 0.69}, True),
        ("hopper", {1: -0.21}, True),
        ("hopper", {3: 101.0}, True),
        ("hopper", {0: 99.0}, False),
        ("walker2d", {0: 0.79}, True),
        ("walker2d", {0: 2.01}, True),
        ("walker2d", {1: 1.01}, True),
        ("walker2d", {3: 101.0}, False),
        ("halfcheetah", {0: -5.0, 1: 9.0}, False),
    ],
)
def test_ends_are_known_from_what_is_seen(task: str, change: dict[int, float], ended: bool) -> None:
    size = {"hopper": 11}.get(task, 17)
    seen = torch.zeros(1, size)
    seen[0, 0] = 1.2
    for component, value in change.items():
        seen[0, component] = value
    assert bool(ends(task, seen, torch.zeros(1, 3), seen)) == ended


@pytest.fixture(scope="module")
def models() -> tuple[EnsembleDynamics, EnsembleDynamics, ExactDynamics]:
    """A random and a "learnt" model of Hopper, and the true one."""

    def ensemble(seed: int) -> EnsembleDynamics:
        g = torch.Generator().manual_seed(seed)
        net = ProbabilisticEnsemble(14, 12, members=2, width=8, depth=2, generator=g)
        return EnsembleDynamics(net, -torch.ones(3), torch.ones(3), ends=partial(ends, "hopper"), average=True)

    return ensemble(0), ensemble(1), ExactDynamics(Locomotion("hopper", 4))


def test_mixed_models_end_in_the_models_they_mix(
    models: tuple[EnsembleDynamics, EnsembleDynamics, ExactDynamics],
) -> None:
    random, learnt, exact = models
    start = exact.world.state()
    actions = causes(Locomotion("hopper", 4), 3)
    seen = slice(1, 12)

    def mixed(quality: float) -> MixedDynamics:
        return MixedDynamics(*models, seen, quality, ends=partial(ends, "hopper"))

    for quality, end in ((-1.0, random), (0.0, learnt)):
        model, observation = mixed(quality), exact.observe(start)
        state = model.extended(start)
        for action in actions:
            told, after = end.step(observation, action), model.step(state, action)
            assert torch.equal(model.observe(after.state), told.state)
            assert torch.equal(after.reward, told.reward)
            assert torch.equal(after.terminated, told.terminated)
            assert torch.equal(after.spread, told.spread)
            observation, state = told.state, after.state

    model, true = mixed(1.0), start
    state = model.extended(start)
    for action in actions:
        told, after = exact.step(true, action), model.step(state, action)
        assert torch.equal(after.state[:, :18], told.state)
        assert torch.equal(model.observe(after.state), exact.observe(told.state))
        assert torch.equal(after.reward, told.reward)
        assert torch.equal(after.terminated, told.terminated)
        assert not after.spread.any()
        true, state = told.state, after.state

    half = mixed(0.5).step(model.extended(start), actions[0])
    told, truth = learnt.step(exact.observe(start), actions[0]), exact.step(start, actions[0])
    between = (told.state + exact.observe(truth.state)) / 2
    torch.testing.assert_close(mixed(0.5).observe(half.state), between)
    # The simulator goes on from what is seen.
    torch.testing.assert_close(exact.observe(half.state[:, :18].contiguous()), between)
    torch.testing.assert_close(half.reward, (told.reward + truth.reward) / 2)


def test_what_cannot_be_is_refused(models: tuple[EnsembleDynamics, EnsembleDynamics, ExactDynamics]) -> None:
    with pytest.raises(UnknownNameError, match=r"unknown locomotion task 'hoper'. Did you mean 'hopper'"):
        make_world("locomotion/hoper")
    with pytest.raises(ConfigError, match="locomotion: horizon 1000, threads 0; each is at least 1"):
        Locomotion("hopper", threads=0)
    with pytest.raises(WorldError, match="5 positions and 6 velocities, expected 6 and 6"):
        Locomotion("hopper").state_of(torch.zeros(1, 5).double(), torch.zeros(1, 6).double())
    with pytest.raises(ConfigError, match=r"mixed dynamics: quality is 1.5, expected -1 \(random\) to 1 \(true\)"):
        MixedDynamics(*models, slice(1, 12), 1.5)


TOY = WalkersConfig(
    maker=SetConfig(epochs=2, episodes=2, updates=6, batch=16, width=8),
    episodes=4,
    horizon=12,
    copies=4,
    threads=2,
    dynamics=DynamicsConfig(members=2, elites=2, width=8, depth=2, epochs=1),
    evaluation=2,
)
LEARNER = SACConfig(critics=3, width=8, depth=2)


def test_ravls_walkers_run_at_toy_size() -> None:
    """Every method under every model; the figure has a second row."""
    config = replace(
        RAVL.scales["gpu"],
        parts=("hopper",),
        walkers=TOY,
        walker_learner=LEARNER,
        qualities=(-1.0, 0.5, 1.0),
        length=2,
        walker_updates=12,
        walker_epoch=6,
        learnt_starts=8,
        exact_starts=4,
        walker_batch=16,
        walker_sample=50,
    )
    notes: list[str] = []
    outcomes = RAVL.run(config, (0, 1), Context(advance=notes.append))
    assert len(notes) == RAVL.parts(config, (0, 1)) == 3
    for outcome in outcomes.values():
        m = outcome.metrics
        for source in ("learnt", "exact"):
            for method in ("base", "mopo", "ravl"):
                assert np.isfinite(m[f"hopper.{source}.{method}.score"])
        for method in ("base", "ravl"):
            assert all(f"hopper.mixed.{method}.{q}.score" in m for q in ("-1", "0.5", "1"))
        # The simulator is certain, so MOPO is the base; the ensemble is not.
        assert m["hopper.exact.mopo.value"] == pytest.approx(m["hopper.exact.base.value"], abs=1e-5)
        assert m["hopper.learnt.mopo.value"] != pytest.approx(m["hopper.learnt.base.value"], abs=1e-3)
        assert -1 <= m["hopper.learnt.ravl.penalty_rank"] <= 1
    assert len(RAVL.figure(config, outcomes).axes) == 6


def test_morecs_walkers_run_at_toy_size() -> None:
    config = replace(
        MOREC.scales["gpu"],
        parts=("halfcheetah",),
        walkers=TOY,
        walker_reward=RewardConfig(
            encoder=(8,), head=(8,), iterations=8, every=2, starts=16, horizon=2, batch=32, width=8, warm=0
        ),
        walker_learner=replace(LEARNER, critics=2, eta=0.0),
        walker_epochs=2,
        walker_updates=6,
        walker_starts=8,
        walker_batch=16,
        walker_checks=1,
        length=4,
        host_length=2,
    )
    outcomes = MOREC.run(config, (0,), Context())
    assert MOREC.parts(config, (0,)) == 3
    m = outcomes[0].metrics
    for kind in ("medium", "medium-replay", "random"):
        assert all(np.isfinite(m[f"halfcheetah.{kind}.{name}.score"]) for name in ("morec", "mopo", "mopo5"))
        assert m[f"halfcheetah.{kind}.mopo5.length"] == 2
        assert m[f"halfcheetah.{kind}.mopo.length"] == 4
        assert m[f"halfcheetah.{kind}.morec.length"] <= 4
        assert 0 <= m[f"halfcheetah.{kind}.true_cut"] <= 1
    assert len(MOREC.figure(config, outcomes).axes) == 6
