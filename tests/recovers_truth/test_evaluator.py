"""Closed-loop evaluation: same starts for every policy, ragged ends, processes that change nothing, videos."""

import functools
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from toy_world import CartWorld, Proportional

from invdyn.errors import ConfigError, WorldError
from invdyn.verify import CostMeter, evaluate, flops, parameters, write_video


def reference(gain, seed, horizon=40):
    """One episode by hand."""
    world, policy = CartWorld(1), Proportional(gain)
    seen, total, success, length = world.reset([seed]), 0.0, False, 0
    for _ in range(horizon):
        result = world.step(policy.act(seen))
        seen, total = result.observation, total + float(result.reward)
        success |= bool(result.success)
        length += 1
        if result.terminated or result.truncated:
            break
    return success, total, length


@pytest.mark.parametrize("gain", [1.0, -1.0, 0.02])
def test_outcomes_equal_single_episodes(gain):
    seeds = list(range(7))
    found = evaluate(Proportional(gain), CartWorld(3), seeds)
    for i, seed in enumerate(seeds):
        success, total, length = reference(gain, seed)
        assert (found.success[i], found.lengths[i]) == (success, length)
        assert found.returns[i] == pytest.approx(total, rel=1e-6)
    assert found.success_rate.episodes == 7
    assert found.summary()["success_rate"] == found.success.mean()
    if gain < 0:  # driven away: each ends where it leaves the table, at its own step
        assert not found.success.any()
        assert len(set(found.lengths.tolist())) > 1


def test_expert_succeeds_and_stopping_there_shortens():
    whole = evaluate(None, CartWorld(4), range(6))
    short = evaluate(None, CartWorld(4), range(6), stop_on_success=True)
    assert whole.success.all()
    assert short.success.all()
    assert (whole.lengths == 40).all()
    assert (short.lengths < 40).all()
    assert (evaluate(None, CartWorld(4), range(6), max_steps=2).lengths == 2).all()


def test_processes_give_identical_results(tmp_path):
    make = functools.partial(CartWorld, 2)
    alone = evaluate(Proportional(0.3), make, range(5))
    many = evaluate(Proportional(0.3), make, range(5), workers=2, videos=tmp_path, film=[3])
    for name in ("success", "returns", "lengths"):
        np.testing.assert_array_equal(getattr(alone, name), getattr(many, name))
    assert alone.seeds == many.seeds
    assert many.videos[3].is_file()


def test_videos_show_the_episode(tmp_path):
    found = evaluate(Proportional(-1.0), CartWorld(2), [5, 6, 7], videos=tmp_path / "v", film=[6], size=(32, 64))
    assert set(found.videos) == {6}
    with av.open(str(found.videos[6])) as container:
        frames = [f.to_ndarray(format="rgb24") for f in container.decode(video=0)]
        assert float(container.streams.video[0].average_rate) == pytest.approx(10)
    assert len(frames) == found.lengths[1] + 1  # the start is filmed too
    assert frames[0].shape == (32, 64, 3)
    bright = [int(f[16, :, 0].astype(int).argmax()) for f in frames]
    assert bright[-1] > bright[0] + 5  # it moves right


def test_cost_meter():
    meter = CostMeter(warmup=1)
    for _ in range(6):
        with meter.call():
            torch.randn(200, 200) @ torch.randn(200, 200)
    cost = meter.cost()
    assert cost.calls == 5
    assert 0 < cost.median_ms <= cost.p95_ms
    assert cost.peak_memory_mb > 50  # an interpreter with torch is never smaller
    assert cost.peak_device_mb is None
    layer = torch.nn.Linear(10, 20)
    assert parameters(layer) == 220
    assert flops(lambda: layer(torch.zeros(3, 10))) == 2 * 3 * 10 * 20
    assert np.isnan(CostMeter().cost().median_ms)


def test_errors_say_what_is_wrong(tmp_path):
    policy, world = Proportional(1.0), CartWorld(2)
    with pytest.raises(ConfigError, match=r"evaluate: no seeds were given; give one seed per episode"):
        evaluate(policy, world, [])
    with pytest.raises(ConfigError, match=r"a seed stands twice; repeated episodes would narrow the interval"):
        evaluate(policy, world, [1, 1])
    with pytest.raises(ConfigError, match=r"workers=1 and max_steps=0 must be at least 1"):
        evaluate(policy, world, [1], max_steps=0)
    with pytest.raises(WorldError, match=r"was not made by make_world, so other processes cannot make it"):
        evaluate(policy, world, [1, 2], workers=2)
    with pytest.raises(ConfigError, match=r"seed 9 is to be filmed but is not among the seeds evaluated"):
        evaluate(policy, world, [1, 2], videos=tmp_path, film=[9])
    with pytest.raises(ConfigError, match=r"a.mp4: frames of 31 x 32 px; height and width must be even"):
        write_video(Path(tmp_path / "a.mp4"), np.zeros((2, 31, 32, 3), np.uint8), 10.0)
