"""Replay: true causes reproduce the recording bit for bit; wrong ones diverge by what they should."""

import numpy as np
import pytest
from toy_world import CartWorld, episodes

from invdyn.episodes.signal import Signal, SignalSpec
from invdyn.errors import ConfigError, SignalError, UnknownNameError, WorldError
from invdyn.verify import OneStep, one_step_residual, replay


@pytest.mark.parametrize("batch", [1, 3, 8])
@pytest.mark.parametrize("every", [None, 1, 4])
def test_recorded_causes_reproduce_ragged_episodes_exactly(batch, every):
    data = episodes()
    result = replay(CartWorld(batch), data, "action", every=every)
    assert result.replayed.tolist() == [20, 12, 17, 9, 25]
    assert not result.missing.any()
    for errors, episode in zip(result.errors["observation.state"], data, strict=True):
        assert errors.shape == (episode.length, 3)
        assert (errors == 0).all()
    for seen, episode in zip(result.seen["observation.state"], data, strict=True):
        np.testing.assert_array_equal(seen, episode["observation.state"].values)
    assert result.final_error().tolist() == [0.0] * 5
    assert result.units == {"observation.state": "m"}


def test_batch_size_does_not_change_the_result():
    data = episodes()
    causes = [np.nan_to_num(np.array(e["action"].values)) * 0.5 for e in data]
    one, many = (replay(CartWorld(b), data, causes, every=5) for b in (1, 4))
    for a, b in zip(one.errors["observation.state"], many.errors["observation.state"], strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(one.returns, many.returns)
    np.testing.assert_array_equal(one.success, many.success)


def test_a_constant_error_in_the_cause_grows_as_the_dynamics_say():
    data = episodes((30,), amplitude=0.2)
    wrong = np.array(data[0]["action"].values, float)
    wrong[:, 0] += 0.1
    drift = replay(CartWorld(), data, [wrong]).errors["observation.state"][0]
    steps = np.arange(31)
    # v is off by 0.05 per step, x by 0.1 times the sum of those; float32 observations of numbers below 10.
    np.testing.assert_allclose(drift[:, 1], 0.05 * steps, atol=2e-6)
    np.testing.assert_allclose(drift[:, 0], 0.005 * steps * (steps + 1) / 2, atol=2e-6)
    anchored = replay(CartWorld(), data, [wrong], every=5).errors["observation.state"][0]
    np.testing.assert_allclose(anchored[1:, 1], 0.05 * ((steps[1:] - 1) % 5 + 1), atol=2e-6)


def test_a_missing_cause_ends_an_open_loop_replay_and_is_counted():
    data = episodes((20, 10))
    causes = [np.array(e["action"].values, float) for e in data]
    causes[0][7] = np.nan
    result = replay(CartWorld(), data, causes)
    assert result.replayed.tolist() == [7, 10]
    assert result.missing.tolist() == [13, 0]
    assert np.isfinite(result.errors["observation.state"][0]).all(1).tolist() == [True] * 8 + [False] * 13
    again = replay(CartWorld(), data, causes, every=5)
    assert again.replayed.tolist() == [17, 10]  # steps 7, 8, 9 are lost, from 10 on it is anchored anew
    assert result.curve().count.tolist() == [2] * 8 + [1] * 3


def test_outcome_and_curve():
    data = episodes((15, 15, 15))
    result = replay(CartWorld(), data, [np.zeros((16, 3))] * 3, signals=["observation.state", "world.state"])
    # The cart stands still: the reward is -|x0| at every step.
    x0 = [float(e["observation.state"].values[0, 0]) for e in data]
    np.testing.assert_allclose(result.returns, [-15 * x for x in x0], rtol=1e-6)
    np.testing.assert_allclose(result.best_reward, [-x for x in x0], rtol=1e-6)
    nothing = replay(CartWorld(), data, [np.full((16, 3), np.nan)] * 3)
    assert np.isnan(nothing.best_reward).all()
    assert not result.success.any()
    curve = result.curve("world.state", components="max")
    series = np.stack(result.divergence("world.state", components="max"))
    np.testing.assert_array_equal(curve.median, np.median(series, 0))
    assert (curve.q25 <= curve.median).all()
    assert (curve.median <= curve.q75).all()
    told = result.summary()
    assert told["transitions"] == told["replayed"] == 45
    assert told["final_error_median"]["world.state"] > 0


def test_angles_are_wrapped_only_where_declared():
    spec = SignalSpec("observation.state", (3,), "float32", "state", unit="rad", names=("x", "v", "g"))

    class Turned(CartWorld):
        def __init__(self):
            super().__init__()
            self.observations = (spec,)

    data = []
    for e in episodes((6,)):
        values = np.array(e["observation.state"].values)
        values[:, 0] += 2 * np.pi
        data.append(type(e).from_signals([e["action"], e["world.state"], Signal(spec, values)], fps=10.0))
    plain = replay(Turned(), data, "action").errors["observation.state"][0]
    wrapped = replay(Turned(), data, "action", angles=["observation.state:x"]).errors["observation.state"][0]
    np.testing.assert_allclose(plain[:, 0], 2 * np.pi, atol=1e-5)
    np.testing.assert_allclose(wrapped, 0, atol=1e-5)  # float32 of numbers near 7
    with pytest.raises(UnknownNameError, match=r"unknown component of 'observation.state' 'y'. Known: g, v, x"):
        replay(Turned(), data, "action", angles=["observation.state:y"])
    with pytest.raises(UnknownNameError, match=r"angle 'q' is none of the compared signals observation.state"):
        replay(Turned(), data, "action", angles=["q"])


def test_one_step_residual_is_zero_for_the_truth_and_in_units_of_the_one_step_change():
    data = episodes((40, 30), amplitude=0.3)
    step = OneStep.of(CartWorld(7), data)
    true = step.residual(data[0], "action")
    assert np.isnan(true[-1])
    assert (true[:-1] == 0).all()
    off = np.array(data[0]["action"].values, float)
    off[:, 0] += 0.2
    residual = one_step_residual(CartWorld(7), data[0], off, scale=step.scale)
    # v off by 0.1, x by 0.01, g not at all, each divided by its scale.
    expected = np.sqrt(((np.array([0.01, 0.1, 0.0]) / step.scale) ** 2).mean())
    np.testing.assert_allclose(residual[:-1], expected, rtol=1e-4)
    gone = off.copy()
    gone[3] = np.nan
    assert np.isnan(one_step_residual(CartWorld(7), data[0], gone)).nonzero()[0].tolist() == [3, 40]


def test_residual_of_the_dead_channel_is_zero():
    data = episodes((20,))
    off = np.array(data[0]["action"].values, float)
    off[:, 2] = -off[:, 2]
    assert (one_step_residual(CartWorld(), data[0], off)[:-1] == 0).all()


def test_errors_say_what_is_wrong():
    data = episodes((5, 6))
    world = CartWorld()
    with pytest.raises(ConfigError, match=r"every=0; re-anchor every 1 or more steps, or pass None for open loop"):
        replay(world, data, "action", every=0)
    with pytest.raises(SignalError, match=r"no episodes were given"):
        replay(world, [], "action")
    with pytest.raises(SignalError, match=r"causes were given for 1 episodes, there are 2"):
        replay(world, data, [np.zeros((6, 3))])
    with pytest.raises(SignalError, match=r"episode 0: causes of shape \(5, 3\); toy/cart needs \[6, 3\], one row per"):
        replay(world, data, [np.zeros((5, 3)), np.zeros((7, 3))])
    with pytest.raises(UnknownNameError, match=r"unknown signal of episode 0 'acton'"):
        replay(world, data, "acton")
    with pytest.raises(
        WorldError, match=r"toy/cart does not observe 'speed'. It observes: observation.state, world.state"
    ):
        replay(world, data, "action", signals=["speed"])
    with pytest.raises(SignalError, match=r"'observation.state' was declared an angle but its unit is 'm'; only rad"):
        replay(world, data, "action", angles=["observation.state"])
    with pytest.raises(UnknownNameError, match=r"unknown replayed signal 'x'. Known: observation.state"):
        replay(world, data, "action").curve("x")
    bare = [type(e).from_signals([e["action"], e["observation.state"]], fps=10.0) for e in data]
    with pytest.raises(WorldError, match=r"has no 'world.state' and toy/cart cannot be put into its state"):
        replay(world, bare, "action")
    blind = [type(e).from_signals([e["action"], e["world.state"]], fps=10.0) for e in data]
    with pytest.raises(WorldError, match=r"has none of the observations of toy/cart \(observation.state\) to compare"):
        replay(world, blind, "action")
    with pytest.raises(UnknownNameError, match=r"unknown signal of episode 0 'observation.state'"):
        replay(world, blind, "action", signals=["observation.state"])
    with pytest.raises(SignalError, match=r"a scale of 2 components for 3 compared ones"):
        one_step_residual(world, data[0], "action", scale=np.ones(2))
    short = episodes((1,))
    with pytest.raises(
        SignalError, match=r"1 recorded steps have a next one; at least 2 are needed for the one-step scale"
    ):
        one_step_residual(world, short[0], "action")
    with pytest.raises(ConfigError, match=r"the horizon is at least 1 step, got 0"):
        OneStep.of(world, data, horizon=0)


def test_pictures_are_refused():
    class Seeing(CartWorld):
        def __init__(self):
            super().__init__()
            self.observations = (SignalSpec("observation.images.top", (4, 4, 3), "uint8", "image"),)

    (e,) = episodes((5,))
    picture = Signal(Seeing().observations[0], np.zeros((6, 4, 4, 3), np.uint8))
    with pytest.raises(SignalError, match=r"'observation.images.top' is image: replay compares numbers"):
        replay(Seeing(), [e.with_signals([picture])], "action", signals=["observation.images.top"])
