"""MOREC: the read-out by hand, a planted density, filters, MOBILE's penalty against a loop, the refrigerator."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from invdyn.decisions.bellman_inconsistency import BellmanInconsistency
from invdyn.decisions.dynamics_readout import CUT, DynamicsReward, Snapshots, calibrated, probability_of, reward_of
from invdyn.decisions.dynamics_reward import RewardConfig, fit_dynamics_reward, segment_starts
from invdyn.decisions.rollout_loop import RolloutLoop
from invdyn.decisions.sac import SAC, SACConfig
from invdyn.decisions.transition_filter import RewardFilter, UncertaintyFilter
from invdyn.decisions.transitions import Transitions
from invdyn.errors import ConfigError, UnknownNameError
from invdyn.nn import StackedMLP, Streams
from invdyn.worlds import record
from invdyn.worlds.forward_model import ExactDynamics, ForwardModel, ModelStep
from invdyn.worlds.refrigerator import PID, OnOff, Refrigerator

UNIT = torch.ones(1)


def line(count: int, slope: float) -> DynamicsReward:
    """Snapshots whose logit is slope x (s' - s), read between -1 and 1."""
    nets = StackedMLP(count, 3, 1, width=2, depth=1)
    with torch.no_grad():
        for value in (*nets.weights, *nets.biases):
            value.zero_()
        nets.weights[0][:, 2] = torch.tensor([1.0, -1.0])
        nets.weights[1][:, :, 0] = torch.tensor([slope, -slope])
    snapshots = Snapshots(nets, torch.zeros(3), torch.ones(3))
    return DynamicsReward(snapshots, torch.ones(count), -torch.ones(count))


def test_the_readout_by_hand() -> None:
    logits = torch.tensor([[0.5, -7.0, 9.0], [10.0, 11.0, 15.0]]).double()
    expert, learner = torch.tensor([2.0, 14.0]).double(), torch.tensor([-1.0, 10.0]).double()
    torch.testing.assert_close(
        calibrated(logits, expert, learner), torch.tensor([[0.0, -1.0, 1.0], [-1.0, -0.5, 1.0]]).double()
    )
    # e_max = 14 and l_min = -1: the range is 28
    assert calibrated(logits, expert, learner, None)[0].tolist() == [0.0, -14.0, 14.0]
    assert float(reward_of(torch.tensor(0.5).double())) == pytest.approx(0.693147, abs=1e-6)
    assert probability_of(CUT) == pytest.approx(0.451188, abs=1e-6)
    reward = line(3, 1.0)
    seen, unit = torch.zeros(4, 1), torch.zeros(4, 1)
    after = torch.tensor([[0.0], [1.0], [-1.0], [50.0]])
    least, most = (-math.log(1 - 1 / (1 + math.exp(z))) for z in (1, -1))
    assert reward(seen, unit, after).tolist() == pytest.approx([math.log(2), most, least, most], abs=1e-5)
    assert (round(least, 4), round(most, 4)) == (0.3133, 1.3133)
    with pytest.raises(ConfigError, match="2 snapshots with 2 values of recorded and 2 of generated transitions"):
        DynamicsReward(line(2, 1.0).snapshots, torch.zeros(2), torch.zeros(2))


def test_one_snapshot_of_several() -> None:
    reward = line(3, 1.0)
    with torch.no_grad():
        reward.snapshots.nets.weights[1][2] *= -1
    seen, unit, after = torch.zeros(1, 1), torch.zeros(1, 1), torch.full((1, 1), 0.7)
    up, down = (float(reward.only([i])(seen, unit, after)) for i in (0, -1))
    assert up > math.log(2) > down
    both = float(reward.only([0, 2])(seen, unit, after))
    assert both == pytest.approx(math.log(2), abs=1e-5)  # the probabilities p and 1 - p average to one half


class Offers(ForwardModel):
    """Four candidates: 0.5, -1, 2, 0.1 further on; the penalty's spread grows with the state."""

    def step(self, state: Tensor, cause: Tensor, generator: torch.Generator | None = None) -> ModelStep:
        raise AssertionError("a filter asks for candidates")

    def candidates(self, state: Tensor, cause: Tensor, generator: torch.Generator | None = None) -> ModelStep:
        after = torch.stack([state + x for x in (0.5, -1.0, 2.0, 0.1)])
        spread = state[:, 0].abs().expand(4, -1)
        return ModelStep(after, after[..., 0], torch.zeros(after.shape[:2], dtype=torch.bool), spread)


def test_filters_take_drop_and_end() -> None:
    seen, unit = torch.zeros(2000, 1), torch.zeros(2000, 1)
    offered = Offers().candidates(seen, unit)
    reward, g = line(2, 0.5), torch.Generator().manual_seed(0)
    assert RewardFilter(reward)(seen, unit, offered, g).which.unique().tolist() == [2]
    worst = RewardFilter(reward, "argmin")(seen, unit, offered, g)
    assert worst.which.unique().tolist() == [1]
    assert not worst.keep.any()  # sigmoid(-1/2) lies below 0.4512
    assert RewardFilter(reward, "argmin", cut=None)(seen, unit, offered, g).keep.all()
    score = RewardFilter(reward).score(seen, unit, offered)[:, 0]
    for select, wanted in (("softmax", torch.softmax(10 * score, 0)), ("random", torch.full((4,), 0.25))):
        which = RewardFilter(reward, select)(seen, unit, offered, g).which
        share = which.bincount(minlength=4) / 2000
        torch.testing.assert_close(share, wanted, atol=0.055, rtol=0)  # 5 standard deviations
    out = RolloutLoop(Offers(), 4, -UNIT, UNIT, choose=UncertaintyFilter(1e9)).roll(
        lambda o, n: torch.zeros_like(o), torch.zeros(1, 5, 1), Streams([0])
    )
    assert out.lengths.tolist() == [4.0]
    ended = RolloutLoop(Offers(), 4, -UNIT, UNIT, choose=UncertaintyFilter(0.0)).roll(
        lambda o, n: torch.zeros_like(o), torch.zeros(1, 5, 1), Streams([0])
    )
    assert ended.lengths.tolist() == [1.0]  # only the start has no spread
    with pytest.raises(UnknownNameError, match=r"unknown selection 'argmx'. Did you mean 'argmax'"):
        RewardFilter(reward, "argmx")
    with pytest.raises(ConfigError, match=r"temperature is 0.0, expected above 0"):
        RewardFilter(reward, temperature=0.0)


def test_mobile_is_the_spread_of_members_mean_values() -> None:
    agent = SAC(SACConfig(critics=2, eta=0.0, width=8, depth=2), 1, 1, [3, 4])
    after = torch.randn(2, 6, 5, 1)
    offered = ModelStep(after, after[..., 0], after[..., 0] > 1, torch.zeros(2, 6, 5))
    told = BellmanInconsistency(agent, 3)(offered)
    for run in range(2):
        for row in range(5):
            means = []
            for member in range(3):
                values = []
                for sample in (member, member + 3):
                    s = after[:, sample, row : row + 1]
                    value = float(agent.target(s, agent.act(s))[run].min())
                    values.append(0.0 if float(s[run]) > 1 else value)
                means.append(sum(values) / 2)
            assert float(told[run, row]) == pytest.approx(float(torch.tensor(means).std()), abs=1e-6)
    loop = RolloutLoop(
        Offers(), 1, -UNIT, UNIT, penalty=2.0, uncertainty=lambda c: torch.full_like(c.reward[:, 0], 3.0)
    )
    out = loop.roll(lambda o, n: torch.zeros_like(o), torch.zeros(2, 4, 1), Streams([3, 4]))
    torch.testing.assert_close(out.rows.reward, out.rows.next_observation[..., 0] - 6)
    with pytest.raises(ConfigError, match="1 members; it needs two at least"):
        BellmanInconsistency(agent, 1)


SMALL = RewardConfig(
    encoder=(16, 16), head=(16,), iterations=60, every=3, snapshots=20, starts=64, horizon=3, discriminator_updates=3,
    batch=128, discriminator_lr=2e-3, model_lr=3e-3, warm=0, likelihood=0.3, epochs=2, minibatches=2,
)  # fmt: skip


def walk(seed: int) -> Transitions:
    """x' = 0.9 x + 0.5 a + noise of 0.1, in episodes of 50 steps."""
    g = torch.Generator().manual_seed(seed)
    x, steps = torch.randn(30, 1, generator=g), []
    for _ in range(50):
        a = 2 * torch.rand(30, 1, generator=g) - 1
        after = 0.9 * x + 0.5 * a + 0.1 * torch.randn(30, 1, generator=g)
        steps.append((x, a, after))
        x = after
    x, a, after = (torch.stack(v, 1).flatten(0, 1)[None] for v in zip(*steps))
    flags = torch.zeros(x.shape[:2], dtype=torch.bool)
    return Transitions(x, a, torch.zeros(x.shape[:2]), after, flags, flags)


def test_a_planted_density_is_ranked_and_runs_do_not_meddle() -> None:
    parts = [walk(0), walk(1)]
    data = Transitions(*(torch.cat(v) for v in zip(*parts)))
    fitted = fit_dynamics_reward(data, SMALL, [5, 6])
    assert fitted.expert.shape == fitted.error.shape == (60, 2)
    g = torch.Generator().manual_seed(9)
    for reward in fitted.rewards:
        assert bool((reward.expert > reward.learner).all())
        x, a = torch.randn(2000, 1, generator=g) * 0.5, 2 * torch.rand(2000, 1, generator=g) - 1
        true = 0.9 * x + 0.5 * a
        near, far = true + 0.05, true + torch.where(torch.rand(2000, 1, generator=g) < 0.5, -1.0, 1.0)
        assert (reward(x, a, near) > reward(x, a, far)).float().mean() > 0.95
    short = RewardConfig(**{**SMALL.__dict__, "iterations": 6})
    alone = fit_dynamics_reward(parts[1], short, [6])
    together = fit_dynamics_reward(data, short, [5, 6])
    torch.testing.assert_close(alone.expert[:, 0], together.expert[:, 1], atol=1e-4, rtol=1e-3)


def test_against_a_wide_p_discriminators_stay_sharp() -> None:
    tracking, wide = (
        fit_dynamics_reward(walk(0), replace(SMALL, log_std=bounds), [5]) for bounds in ((-5.0, 1.0), (1.0, 2.0))
    )
    late = slice(30, None)
    margins = [float((fit.expert - fit.learner)[late].mean()) for fit in (tracking, wide)]
    assert margins[1] > 2 * margins[0]
    assert len(wide.rewards[0].expert) == 20  # no snapshot without a scale
    with pytest.raises(ConfigError, match="expected a lower and a higher bound"):
        replace(SMALL, log_std=(1.0, 1.0))


def test_segments_follow_each_other_and_too_short_recordings_are_refused() -> None:
    data = walk(0)
    starts = segment_starts(data, 3)[0]
    assert len(starts) == 30 * 48
    assert set((starts % 50).tolist()) == set(range(48))
    with pytest.raises(ConfigError, match="no recording holds 51 steps in a row"):
        segment_starts(data, 51)
    with pytest.raises(ConfigError, match="1 runs of transitions for 2 seeds"):
        fit_dynamics_reward(data, SMALL, [1, 2])
    with pytest.raises(ConfigError, match="2 iterations with a snapshot every 3 leave none"):
        RewardConfig(iterations=2, every=3)


def test_the_refrigerator_follows_its_law_and_its_controllers_their_targets() -> None:
    world = Refrigerator(6, noise=0.0)
    pid = record(world, seeds=range(6), policy=PID(target=8.0, noise=0.0), hold=100)
    for episode in pid:
        t, u = episode["observation.state"].values[:, 0], episode["action"].values[:, 0]
        torch.testing.assert_close(
            torch.tensor(t[1:]), torch.tensor(t[:-1] + 0.1 * (25 - t[:-1]) - 4 * u[:-1]), atol=1e-5, rtol=0
        )
        assert abs(t[-1] - 8) < 0.1  # the integral term leaves no offset
        assert episode["next.reward"].values.reshape(-1)[3] == pytest.approx(-((t[3] - 5) ** 2), rel=1e-4)
    swings = next(iter(record(world, seeds=[1], policy=OnOff(-2.0, 12.0), hold=100)))["observation.state"].values[:, 0]
    assert swings[20:].min() < 0
    assert swings[20:].max() > 10
    assert (swings.min() > world.config.reach[0]) & (swings.max() < world.config.reach[1])
    exact = ExactDynamics(Refrigerator(4, noise=0.0))
    assert float(exact.step(torch.tensor([[15.0]]), torch.zeros(1, 1)).state) == pytest.approx(16.0)
    with pytest.raises(ConfigError, match=r"leak is 1.5"):
        Refrigerator(1, leak=1.5)
