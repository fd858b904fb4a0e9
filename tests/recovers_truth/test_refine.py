"""Refinement by replay: wrong causes come back to the true ones, right ones are left alone, nothing gets worse."""

import numpy as np
import pytest
from toy_world import CartWorld, StickyCart, episodes

from invdyn.errors import ConfigError, SignalError
from invdyn.verify import OneStep, RefineConfig, one_step_residual, refine
from invdyn.worlds.pendulum import Pendulum


def noisy(episode, scale, seed=0):
    truth = np.array(episode["action"].values, float)
    low, high = episode.schema["action"].low[0], episode.schema["action"].high[0]
    return truth, np.clip(truth + scale * np.random.default_rng(seed).normal(size=truth.shape), low, high)


def test_gauss_newton_recovers_a_linear_world_and_leaves_the_dead_channel():
    (episode,) = episodes((50,), amplitude=0.5)
    truth, guess = noisy(episode, 0.1)
    # Where the guess has the gripper at its stop the world has a kink: that takes more than the usual 3 updates.
    config = RefineConfig(method="gauss-newton", iterations=10)
    made = refine(CartWorld(32), episode, guess, threshold=0.0, config=config)
    clear = np.abs(np.diff(np.array(episode["world.state"].values)[:, 2])) > 0  # gripper away from its stops
    inner = (episode["world.state"].values[1:, 2] > 0.01) & (episode["world.state"].values[1:, 2] < 0.99) & clear
    # Observations are float32 of numbers below 4, the push is seen through v = 0.5 a: 2.4e-7 / 0.5 at most each way.
    np.testing.assert_allclose(made.values[:-1, 0], truth[:-1, 0], atol=2e-6)
    np.testing.assert_allclose(made.values[:-1, 1][inner], truth[:-1, 1][inner], atol=2e-6)
    np.testing.assert_array_equal(made.values[:-1, 2], np.float32(guess[:-1, 2]))
    assert made.changed[:-1].all()
    assert (made.after[:-1] < 1e-5).all()
    np.testing.assert_array_equal(made.before, one_step_residual(CartWorld(3), episode, guess))
    assert np.isnan(made.after[-1])
    assert np.isnan(made.values[-1]).all()
    # 1 check, 3 derivatives, up to 10 updates; hardly any step needs them all.
    assert made.evaluations[:-1].max() <= 14
    usual = refine(CartWorld(32), episode, guess, threshold=0.0, config=RefineConfig(method="gauss-newton"))
    assert usual.evaluations[:-1].max() <= 7
    assert np.mean(np.abs(usual.values - truth)[:-1, 0] < 2e-6) > 0.95
    assert made.source("inferred:m")[0] == "inferred:m+refined"
    assert made.source("inferred:m")[-1] == "inferred:m"


@pytest.mark.parametrize("noise", [0.05, 1.0])
def test_pendulum_torque_is_exact_after_refinement(noise):
    data = episodes((80, 80), amplitude=0.9, make=Pendulum)
    tool = OneStep.of(Pendulum(batch=64), data, signals=["world.state"])
    for episode in data:
        truth, guess = noisy(episode, noise)
        config = RefineConfig(method="gauss-newton")
        made = refine(Pendulum(batch=64), episode, guess, threshold=1e-6, tool=tool, config=config)
        free = np.abs(np.array(episode["world.state"].values)[1:, 1]) < 8 - 1e-9  # the speed was not clipped
        assert free.mean() > 0.9
        # Torques are float32 numbers up to 2: half a unit in the last place is 1.2e-7.
        np.testing.assert_allclose(made.values[:-1][free], truth[:-1][free], atol=1e-6)
        assert made.evaluations.max() <= 1 + 1 + 3


def test_only_steps_above_the_level_are_touched():
    (episode,) = episodes((40,))
    truth, guess = noisy(episode, 0.2)
    guess[::2] = truth[::2]
    guess[5] = np.nan
    world = CartWorld(16)
    made = refine(world, episode, guess, threshold=0.02, keep=np.arange(41) == 7)
    assert not made.changed[::2].any()
    assert not made.changed[[5, 7]].any()
    np.testing.assert_array_equal(made.values[~made.changed], guess[~made.changed])
    assert (made.evaluations[::2][:-1] == 1).all()
    assert made.evaluations[5] == 0
    assert made.evaluations[7] == 1
    assert (made.after[made.changed] < made.before[made.changed]).all()
    same = ~made.changed
    np.testing.assert_array_equal(made.after[same], made.before[same])


def test_sampling_takes_over_where_derivatives_vanish():
    (episode,) = episodes((40,), amplitude=1.0, make=StickyCart)
    truth = np.array(episode["action"].values, float)
    pushes = np.abs(truth[:, 0]) > 0.7
    guess = truth.copy()
    guess[pushes, 0] = 0.3 * np.sign(guess[pushes, 0])  # sticks: no derivative there
    world = StickyCart(64)
    newton = refine(world, episode, guess, threshold=0.05, config=RefineConfig(method="gauss-newton"))
    assert not newton.changed[pushes].any()
    spread = np.full_like(guess, 0.6)
    auto = refine(world, episode, guess, threshold=0.05, spread=spread)
    assert auto.changed[pushes].all()
    assert (auto.methods[pushes] == "sample").all()
    assert np.nanmedian(auto.after[pushes]) < 0.15 * np.nanmedian(auto.before[pushes])
    assert not auto.changed[~pushes].any()
    again = refine(StickyCart(7), episode, guess, threshold=0.05, spread=spread)
    np.testing.assert_array_equal(again.values, auto.values)  # the number of copies changes nothing
    other = refine(world, episode, guess, threshold=0.05, spread=spread, seed=1)
    assert not np.array_equal(other.values, auto.values)


def test_bounds_hold_and_evaluations_are_counted():
    (episode,) = episodes((30,), amplitude=1.0)
    _, guess = noisy(episode, 0.5)
    world = CartWorld(8)
    world.calls = 0
    made = refine(world, episode, guess, threshold=0.0, config=RefineConfig(method="gauss-newton"))
    assert np.nanmin(made.values) >= -1
    assert np.nanmax(made.values) <= 1
    # Copies beyond the jobs of a chunk are padding, at most 7 in each of 1 + 1 + 3 rounds.
    assert made.evaluations.sum() <= world.calls <= made.evaluations.sum() + 5 * 7


def test_errors_say_what_is_wrong():
    (episode,) = episodes((5,))
    with pytest.raises(ConfigError, match=r"refine: threshold -1.0 is negative; a residual is >= 0"):
        refine(CartWorld(), episode, "action", threshold=-1.0)
    with pytest.raises(
        ConfigError, match=r"samples=4, elite=4; all are at least 1 and there are more samples than elite"
    ):
        RefineConfig(samples=4)
    with pytest.raises(
        ConfigError, match=r"perturbation=0.7 lies in \(0, 0.5\), damping=1e-06 and width=0.05 are positive"
    ):
        RefineConfig(perturbation=0.7)
    with pytest.raises(SignalError, match=r"spread has shape \(5, 3\), the causes of episode 0 need \(6, 3\)"):
        refine(CartWorld(), episode, "action", threshold=0.1, spread=np.ones((5, 3)))
    with pytest.raises(SignalError, match=r"keep has shape \(5,\), the causes of episode 0 need \(6,\)"):
        refine(CartWorld(), episode, "action", threshold=0.1, keep=np.ones(5, bool))
