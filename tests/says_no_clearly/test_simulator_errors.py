"""What simulators and `record` refuse, and how they say it."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
import torch

from invdyn.episodes.episode import Episode
from invdyn.episodes.signal import Signal
from invdyn.errors import ConfigError, MissingExtraError, UnknownNameError, WorldError
from invdyn.worlds import make_world, record

pytest.importorskip("mujoco", reason="needs the extra 'worlds'")


@pytest.fixture(scope="module")
def reach():
    return make_world("metaworld/reach-v3")


def test_unknown_names_get_the_nearest():
    with pytest.raises(UnknownNameError, match=r"unknown world 'pendulun'. Did you mean 'pendulum'\?"):
        make_world("pendulun")
    with pytest.raises(UnknownNameError, match=r"unknown Meta-World task 'pick-plase-v3'. Did you mean 'pick-place"):
        make_world("metaworld/pick-plase-v3")
    with pytest.raises(UnknownNameError, match=r"unknown Gymnasium environment 'HalfCheeta-v5'. Did you mean 'Half"):
        make_world("gymnasium/HalfCheeta-v5")


def test_environments_that_do_not_fit():
    with pytest.raises(WorldError, match=r"CartPole-v1: its actions are Discrete.*continuous numbers can be inferred"):
        make_world("gymnasium/CartPole-v1")
    with pytest.raises(ConfigError, match="batch is 0; a world has at least one copy"):
        make_world("metaworld/reach-v3", batch=0)
    with pytest.raises(ConfigError, match="horizon is 0; an episode has at least one step"):
        make_world("metaworld/reach-v3", horizon=0)
    with pytest.raises(ConfigError, match=r"start 'there' is none of 'observed', 'fitted', 'stored'"):
        make_world("adroit/door", start="there")


def test_missing_packages_name_the_extra(monkeypatch):
    import importlib

    real = importlib.import_module

    def without(name, *rest):
        if name.startswith(("metaworld", "gym_pusht")):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name.partition(".")[0])
        return real(name, *rest)

    monkeypatch.setattr("invdyn.errors.importlib.import_module", without)
    for name in ("metaworld/reach-v3", "pusht"):
        with pytest.raises(MissingExtraError, match=r'pip install "invdyn\[worlds\]"'):
            make_world(name)


def test_states_and_causes_that_do_not_fit(reach):
    size = reach.state().shape[1]
    with pytest.raises(WorldError, match=rf"the state has shape \(1, 3\), expected \(1, {size}\). Was it recorded in"):
        reach.set_state(torch.zeros(1, 3, dtype=torch.float64))
    with pytest.raises(WorldError, match="the state to set holds NaN or infinity"):
        reach.set_state(torch.full((1, size), torch.nan, dtype=torch.float64))
    with pytest.raises(WorldError, match=r"the cause has shape \(1, 3\), expected \(1, 4\)"):
        reach.step(torch.zeros(1, 3))
    with pytest.raises(WorldError, match=r"the cause of copy 0 is \[nan.*expected finite numbers"):
        reach.step(torch.full((1, 4), torch.nan))
    with pytest.raises(WorldError, match="2 seeds for 1 copies; give one seed per copy"):
        reach.reset([1, 2])
    with pytest.raises(WorldError, match="a picture of 0 x 5 pixels was asked for"):
        reach.render(0, 5)


def test_foreign_snapshots_and_contexts(reach):
    other = make_world("metaworld/push-v3").snapshot()
    with pytest.raises(WorldError, match=r"the snapshot is of 'metaworld/push-v3'.*into 'metaworld/reach-v3'"):
        reach.restore(other)
    with pytest.raises(WorldError, match="the snapshot holds 2 copies, this metaworld/reach-v3 has 1"):
        reach.restore(make_world("metaworld/reach-v3", batch=2).snapshot())
    with pytest.raises(WorldError, match="copy 0: recorded in world 'pendulum', not in 'metaworld/reach-v3'"):
        reach.set_context([{"id": "pendulum"}])
    with pytest.raises(WorldError, match=r"metadata 'world' of a metaworld/reach-v3 recording needs 'attributes'"):
        reach.set_context([{}])
    with pytest.raises(WorldError, match="0 contexts for 1 copies"):
        reach.set_context([])


class Sealed(gymnasium.Env):
    """Keeps its state where nobody can copy it."""

    action_space = gymnasium.spaces.Box(-1, 1, (1,))
    observation_space = gymnasium.spaces.Box(-1, 1, (1,))
    metadata = {"render_fps": 10}  # noqa: RUF012 - as gymnasium declares it

    def __init__(self):
        self.stream = (i for i in range(10**6))

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.zeros(1), {}

    def step(self, action):
        return np.zeros(1), 0.0, False, False, {}


class Noisy(Sealed):
    """Steps at random."""

    def __init__(self):
        pass

    def step(self, action):
        return self.np_random.normal(size=1), 0.0, False, False, {}


def test_environments_without_an_exact_state():
    gymnasium.register("InvdynSealed-v0", entry_point=Sealed, max_episode_steps=5)
    gymnasium.register("InvdynNoisy-v0", entry_point=Noisy, max_episode_steps=5)
    gymnasium.register("InvdynEndless-v0", entry_point=Noisy)
    with pytest.raises(WorldError, match=r"no exact snapshot: its attribute 'stream' \(generator\) cannot be copied"):
        make_world("gymnasium/InvdynSealed-v0")
    noisy = make_world("gymnasium/InvdynNoisy-v0")
    with pytest.raises(WorldError, match=r"not a function of the numbers it shows.*Use snapshot and restore"):
        noisy.state()
    with pytest.raises(WorldError, match="InvdynNoisy-v0 cannot be rendered"):
        noisy.render()
    with pytest.raises(WorldError, match="InvdynNoisy-v0 has no scripted expert"):
        record(noisy, seeds=[0])
    snapshot = noisy.snapshot()
    first = noisy.step(torch.zeros(1, 1)).observation["observation.state"]
    noisy.restore(snapshot)
    assert torch.equal(noisy.step(torch.zeros(1, 1)).observation["observation.state"], first)
    with pytest.raises(ConfigError, match=r"does not say its horizon \(steps per episode\); give it as an option"):
        make_world("gymnasium/InvdynEndless-v0")


def test_recordings_that_do_not_tell_the_state():
    for name, match in (
        ("pusht", r"neither 'world.state' nor the five numbers 'observation.state'"),
        ("adroit/door", r"needs 'world.state', or 'observation.state' and 'door_body_pos'"),
        ("metaworld/reach-v3", "has no 'world.state' and metaworld/reach-v3 cannot be put into its state"),
    ):
        world = make_world(name)
        bare = Episode.from_signals([Signal(world.action, np.zeros((3, world.action.size), np.float32))], fps=10.0)
        with pytest.raises(WorldError, match=match):
            world.anchor([bare], [0])


def test_record_refuses(reach):
    with pytest.raises(ConfigError, match="no seeds given; give one per episode"):
        record(reach, seeds=[])
    with pytest.raises(ConfigError, match=r"noise -1.0, hold 10 and workers 1; expected >= 0"):
        record(reach, seeds=[0], noise=-1.0)
    reach.recipe, recipe = None, reach.recipe
    with pytest.raises(WorldError, match="was not made by make_world, so other processes cannot make it"):
        record(reach, seeds=[0], workers=2)
    reach.recipe = recipe
