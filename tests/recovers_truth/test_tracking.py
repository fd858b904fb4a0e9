"""Refinement along the episode: exact where the recording does not tell the state, as refinement from states is not."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from toy_world import CartWorld, DelayedCart, episodes

from invdyn.episodes import open_dataset
from invdyn.episodes.dataset import Dataset
from invdyn.episodes.views import select_signals
from invdyn.errors import ConfigError, SignalError, WorldError
from invdyn.verify import OneStep, RefineConfig, refine, refine_track, replay
from invdyn.worlds.base import WORLD_STATE


class PositionsOnly(CartWorld):
    """Recordings tell x and g; velocities are central differences of x, as one would take them (zero at the start)."""

    def anchor(self, episodes, steps):
        rows = []
        for episode, step in zip(episodes, steps, strict=True):
            seen = np.array(episode["observation.state"].values, float)
            first, last = max(step - 1, 0), min(step + 1, len(seen) - 1)
            v = 0.0 if step == 0 else (seen[last, 0] - seen[first, 0]) / ((last - first) * self.dt)
            rows.append([seen[step, 0], v, seen[step, 2]])
        self.set_state(torch.tensor(rows, dtype=torch.float64))


def recording(lengths=(40,), seed=0, **options):
    """Without `world.state`; the gripper is hardly moved, so that it stays off its stops."""
    whole = Dataset.from_episodes(episodes(lengths, seed, amplitude=0.3, **options))
    return list(select_signals(whole, ["observation.state", "action"]))


def noisy(episode, scale=0.2, seed=0):
    truth = np.array(episode["action"].values, float)
    return truth, np.clip(truth + scale * np.random.default_rng(seed).normal(size=truth.shape), -1, 1)


POSITIONS = np.array([1.0, 0.0, 1.0])
"""x and g are compared; the cart's velocity is not seen."""


def tool(world, data, horizon=1):
    made = OneStep.of(world, data, horizon=horizon)
    return replace(made, scale=made.scale * POSITIONS)


def test_without_velocities_the_causes_are_recovered_along_the_episode_only():
    data = recording()
    truth, guess = noisy(data[0])
    config = RefineConfig(method="gauss-newton", iterations=10)
    settings = {"threshold": 0.0, "config": config, "tool": tool(PositionsOnly(1), data)}
    errors = {}
    for name, method in (("from states", refine), ("along", refine_track)):
        made = method(PositionsOnly(1), data[0], guess, **settings)
        inner = np.abs(np.array(data[0]["observation.state"].values)[1:, 2] - 0.5) < 0.49
        errors[name] = np.abs(made.values - truth)[:-1][inner, :2].max(0)
        drift = replay(PositionsOnly(1), data, [made.values]).errors["observation.state"][0][-1, 0]
        errors[name + ", open loop"] = drift
        assert np.isnan(made.values[-1]).all()
        assert np.isnan(made.after[-1])
    # v is wrong by a quarter of the change of the push, and the push makes up for it: 0.3 at most, nearly all of it.
    assert errors["from states"][0] > 0.1
    # Positions are float32 of numbers near 1; the push is seen through x = 0.05 a, and each error is paid back at the
    # next step: 6e-8 / 0.05, a few times.
    assert errors["along"].max() < 1e-5
    assert errors["along, open loop"] < 1e-6
    assert errors["from states, open loop"] > 1e-2


def test_the_setting_reaches_it_through_refine():
    data = recording()
    _, guess = noisy(data[0])
    config = RefineConfig(along=True, method="gauss-newton")
    one = refine(PositionsOnly(1), data[0], guess, threshold=0.01, config=config, seed=3)
    same = refine_track(PositionsOnly(1), data[0], guess, threshold=0.01, config=config, seed=3)
    np.testing.assert_array_equal(one.values, same.values)
    np.testing.assert_array_equal(one.after, same.after)


@pytest.mark.parametrize("method", ["gauss-newton", "auto"])
def test_the_number_of_copies_changes_nothing(method):
    data = recording()
    _, guess = noisy(data[0])
    config = RefineConfig(method=method, iterations=1)
    one, many = (refine_track(PositionsOnly(b), data[0], guess, threshold=1e-3, config=config) for b in (1, 7))
    np.testing.assert_array_equal(one.values, many.values)
    np.testing.assert_array_equal(one.evaluations, many.evaluations)


def test_measured_and_missing_causes_are_left_alone():
    data = recording((30,))
    truth, guess = noisy(data[0])
    guess[12] = np.nan
    guess[20:24] = truth[20:24]
    keep = np.isin(np.arange(31), [20, 21, 22, 23])
    world = CartWorld(1)
    (whole,) = episodes((30,), amplitude=0.3)
    made = refine_track(world, whole, guess, threshold=0.01, keep=keep)
    np.testing.assert_array_equal(made.values[keep], truth[keep])
    assert np.isnan(made.values[12]).all()
    assert made.evaluations[12] == 0
    assert not made.changed[keep].any()
    assert (made.after[made.changed] < made.before[made.changed]).all()
    # Anchored anew at step 13, so what follows is right as well.
    after = np.r_[13:20, 24:30]
    assert np.abs(made.values - truth)[after, 0].max() < 0.02
    below = np.isfinite(made.before) & (made.before <= 0.01)
    assert not made.changed[below].any()


def test_a_horizon_tells_causes_that_act_late():
    (episode,) = episodes((30,), amplitude=0.3, make=DelayedCart)
    truth = np.array(episode["action"].values, float)
    guess = truth.copy()
    guess[::3, 0] += 0.2  # each wrong push has right ones behind it
    error = {}
    for horizon in (1, 2):
        world = DelayedCart(1)
        measure, config = OneStep.of(world, [episode], horizon=horizon), RefineConfig(method="gauss-newton")
        made = refine_track(world, episode, guess, threshold=1e-4, tool=measure, config=config)
        error[horizon] = np.abs(made.values - truth)[:-2:3, 0].max()
    assert error[1] == pytest.approx(0.2, abs=1e-6)  # no trace in the next step
    assert error[2] < 1e-3


def test_a_world_that_strays_is_anchored_again():
    (episode,) = episodes((30,), amplitude=0.3)
    truth = np.array(episode["action"].values, float)
    guess = truth.copy()
    guess[10] = [1.0, 0.0, 0.0]
    config = RefineConfig(method="gauss-newton")
    keep = np.ones(31, bool)  # nothing may be corrected, so the error at step 10 stays
    settings = {"threshold": 0.0, "config": config, "keep": keep}
    held = refine_track(CartWorld(1), episode, guess, **settings)
    assert held.after[10] > 1
    assert held.after[11:-1].max() < 1e-4
    drifting = refine_track(CartWorld(1), episode, guess, **settings, lost=None)
    assert drifting.after[11:-1].min() > 0.5


def test_noise_weighs_the_recording_against_the_model():
    """A linear world: the cause must be the mean of two Gaussians, weighed by their precisions."""
    (episode,) = episodes((30,), amplitude=0.3)
    _, guess = noisy(episode, 0.05)
    world, spread = CartWorld(1), np.full((31, 3), 0.05)
    measure = OneStep.of(world, [episode])

    def refined(noise, spread=spread):
        config = RefineConfig(noise=noise, method="gauss-newton")
        return refine(world, episode, guess, threshold=0.0, spread=spread, config=config, tool=measure)

    plain, weighed = refined(0.0), refined(0.1)
    slope = np.array([0.05, 0.5]) / measure.scale[:2]  # of x and v with the push
    seen, told = (slope**2).sum() / 0.1**2, 1 / 0.05**2
    wanted = (seen * plain.values + told * guess) / (seen + told)
    np.testing.assert_allclose(weighed.values[:-1, 0], wanted[:-1, 0], atol=2e-5)
    np.testing.assert_allclose(weighed.values[:-1, 2], guess[:-1, 2], atol=1e-6)  # does nothing: as the model said
    assert (weighed.after[:-1] >= plain.after[:-1]).all()
    assert (weighed.after[weighed.changed] < weighed.before[weighed.changed]).all()
    surer = refined(0.1, spread / 50)
    assert np.nanmax(np.abs(surer.values - guess)) < 0.05 * np.nanmax(np.abs(plain.values - guess))


def test_human_push_t_wrong_targets_come_back(shared_data):
    """10 px of noise on a human's targets: velocities are not recorded, contact is, the targets come back."""
    pytest.importorskip("gym_pusht", reason="needs the extra 'worlds'")
    from invdyn.worlds import make_world

    data = open_dataset(shared_data / "pusht_human")
    world, episode = make_world("pusht"), data[8]
    truth = np.array(episode["action"].values, float)
    guess = np.clip(truth + 10 * np.random.default_rng(0).normal(size=truth.shape), 0, 512)
    # Contact bends the effect of a target: small finite differences, and a few more updates.
    config = RefineConfig(method="gauss-newton", iterations=6, perturbation=0.005)
    settings = {"threshold": 1e-4, "config": config, "tool": OneStep.of(world, list(data[range(5)]))}
    error, drift = {}, {}
    for name, method in (("from states", refine), ("along", refine_track)):
        values = method(world, episode, guess, **settings).values
        error[name] = np.abs(values - truth)[:-1].mean()
        drift[name] = replay(world, [episode], [values]).median_error()
    # Measured: 7.7 px before; 0.05 px from states (the disc's velocity is not known exactly there); 1e-4 px along.
    assert error["along"] < 0.001
    assert error["from states"] > 0.01
    # Along the episode, errors of the causes cancel instead of adding up: 2e-5 px against 0.06 px.
    assert drift["along"] < 0.001
    assert drift["from states"] > 0.01


def test_errors_say_what_is_wrong():
    (episode,) = episodes((5,))
    with pytest.raises(ConfigError, match=r"refine: threshold -1.0 is negative; a residual is >= 0"):
        refine_track(CartWorld(1), episode, "action", threshold=-1.0)
    with pytest.raises(SignalError, match=r"spread has shape \(5, 3\), the causes of episode 0 need \(6, 3\)"):
        refine_track(CartWorld(1), episode, "action", threshold=0.1, spread=np.ones((5, 3)))
    with pytest.raises(ConfigError, match=r"noise=0.5 weighs the recording against the model. Give its spread too"):
        refine_track(CartWorld(1), episode, "action", threshold=0.1, config=RefineConfig(noise=0.5))
    with pytest.raises(ConfigError, match=r"noise=-1.0; it is a size in one-step scales, 0 or more"):
        RefineConfig(noise=-1.0)
    (positions,) = recording((5,))
    assert WORLD_STATE not in positions
    with pytest.raises(WorldError, match=r"episode 0 has no 'world.state' and toy/cart cannot be put into its state"):
        refine_track(CartWorld(1), positions, "action", threshold=0.1)
