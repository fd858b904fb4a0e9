"""Bandits on hidden linear systems: published numbers, regret by hand, optimism, baselines, identification."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest

from invdyn.decisions.bandit_baselines import AR2, UCB1, BatchedExp3, Exp3, expert_action, last_hold
from invdyn.decisions.linear_bandit import (
    PUBLISHED,
    BanditAgent,
    Draws,
    LinearBandit,
    budget_actions,
    play,
    published,
)
from invdyn.decisions.linear_identification import estimate_markov, hankel, ho_kalman
from invdyn.decisions.optimism import Bound, DiscountedLinUCB, DynLinUCB, LinUCB, hold_length
from invdyn.worlds.linear_gaussian import STATE, LinearGaussianConfig, LinearGaussianWorld


class Fixed(BanditAgent):
    """Plays given arms, remembers rewards."""

    def __init__(self, arms: list[int], trials: int = 1) -> None:
        self.arms, self.trials = arms, trials
        self.seen: list[np.ndarray] = []

    def choose(self, t: int) -> np.ndarray:
        return np.full(self.trials, self.arms[t % len(self.arms)], np.int64)

    def observe(self, t: int, reward: np.ndarray) -> None:
        self.seen.append(reward.copy())


def test_published_systems_have_the_published_numbers() -> None:
    synthetic, real = published("synthetic"), published("real")
    assert synthetic.h == pytest.approx([0.5625, 0.5, 0.1111], abs=5e-5)
    assert real.h == pytest.approx([0.2515, -0.0363, 0.1061], abs=5e-5)
    assert real.theta == pytest.approx([0.13, 0.41, 0.02])
    assert (synthetic.rho, synthetic.phi) == pytest.approx((0.2, 1.0))
    assert (real.rho, real.phi) == pytest.approx((0.667, 2.78), abs=2e-3)
    assert real.best == pytest.approx(0.3046, abs=5e-5)
    assert real.actions[real.value(real.actions).argmax()].tolist() == [1.0, 0.0, 0.5]
    # The myopic order of the first two actions of the synthetic system is wrong.
    first, second = np.array([1, 0.5, 0]), np.array([0.5, 1, 0])
    assert synthetic.value(first) > synthetic.value(second)
    assert first @ synthetic.theta < second @ synthetic.theta


def test_rewards_and_regret_by_hand() -> None:
    bandit = published("real", sigma=0.0)
    agent = Fixed([0, 3, 3, 5])
    done = play(bandit, agent, 30, [0], checkpoints=(1, 7), keep_arms=True)
    x = np.zeros(3)
    total = 0.0
    for t in range(30):
        u = bandit.actions[[0, 3, 3, 5][t % 4]]
        assert agent.seen[t][0] == pytest.approx(float((bandit.C @ x + bandit.D @ u).sum()), abs=1e-14)
        x = bandit.A @ x + bandit.B @ u
        total += bandit.best - float(bandit.h @ u)
    assert done.rounds.tolist() == [1, 7, 30]
    assert done.regret[-1, 0] == pytest.approx(total)
    assert done.arms[:, 0].tolist() == ([0, 3, 3, 5] * 8)[:30]


def test_noise_is_common_and_belongs_to_the_seed() -> None:
    bandit = published("real", sigma=0.1)
    one, two = Fixed([2], 2), Fixed([2], 1)
    play(bandit, one, 5000, [7, 8])
    play(bandit, two, 5000, [8], block=333)
    assert np.allclose(np.array(one.seen)[:, 1], np.array(two.seen)[:, 0], atol=1e-12)
    assert np.std(np.array(one.seen)[100:, 0]) > 0.1
    # Every output has noise of its own: three of them and the state's.
    quiet = replace(bandit, A=np.zeros((3, 3)), B=np.zeros((3, 3)), C=np.zeros((3, 3)))
    agent = Fixed([0])
    play(quiet, agent, 20_000, [1])
    assert np.std(np.array(agent.seen)) == pytest.approx(0.1 * math.sqrt(3), rel=0.03)


def test_the_world_and_the_bandit_are_one_system() -> None:
    m = PUBLISHED["real"]
    settings = LinearGaussianConfig(
        states=3, causes=3, A=m["A"], B=m["B"], C=m["C"], D=m["D"], process_noise=0.0, output_noise=0.0, start=0.0
    )
    bandit = LinearBandit.of(settings, budget_actions())
    world = LinearGaussianWorld(6, settings)
    import torch

    for _ in range(120):
        seen = world.step(torch.from_numpy(bandit.actions).float()).observation[STATE]
    assert np.allclose(seen.double().sum(1).numpy(), bandit.value(bandit.actions), atol=1e-6)
    assert np.allclose(world.markov_parameters(9).sum(1).numpy(), bandit.markov(9), atol=1e-12)


def test_the_best_plan_is_separable() -> None:
    """Enumerated over four rounds from any state: each action is the best for the Markov parameters still to come."""
    bandit = published("real")
    x0 = np.random.default_rng(0).normal(size=3)

    def total(plan: tuple[int, ...]) -> float:
        x, gained = x0, 0.0
        for arm in plan:
            u = bandit.actions[arm]
            gained += float(bandit.omega @ x + bandit.theta @ u)
            x = bandit.A @ x + bandit.B @ u
        return gained

    best = max(itertools.product(range(6), repeat=4), key=total)
    sums = bandit.markov(4).cumsum(0)
    assert best == tuple(int((bandit.actions @ sums[k]).argmax()) for k in (3, 2, 1, 0))
    assert len(set(best)) > 1  # impatience: the last rounds play for the moment


def test_holds_grow_with_the_logarithm() -> None:
    assert [hold_length(m, 0.5) for m in (1, 2, 3, 4, 7, 8, 1024)] == [0, 1, 1, 2, 2, 3, 10]
    assert last_hold(20, 0.5) == 4  # 1 + 2 + 2 + 3 + 3 + 3 + 3 = 17 after seven epochs, the eighth holds four
    bandit = published("synthetic", sigma=0.0)
    agent = DynLinUCB(bandit, Bound.of(bandit, 100), 0.5, Draws([0], 1))
    done = play(bandit, agent, 17, [0], keep_arms=True).arms[:, 0]
    for a, b in ((1, 3), (3, 5), (5, 8), (8, 11), (11, 14), (14, 17)):
        assert len(set(done[a:b])) == 1
    assert agent.epoch == 8
    # Only the last reward of each hold is regressed: seven of seventeen.
    assert np.trace(agent.v[0]) == pytest.approx(3 * agent.bound.ridge + 7 * 1.25)


def test_bound_is_the_papers() -> None:
    bandit = published("real")
    bound = Bound.of(bandit, 100_000)
    w, b, u = np.linalg.norm(bandit.omega), np.linalg.norm(bandit.B, 2), math.sqrt(1.25)
    rho, phi, lam = bandit.rho, bandit.phi, math.log(1e5)
    c1 = u * w * phi * (u * b / (1 - rho) + u / (1 - rho))
    c2 = np.linalg.norm(bandit.theta) + w * b * phi / (1 - rho)
    s2 = 1e-4 * (1 + w**2 * phi**2 / (1 - rho**2))
    spread = math.sqrt(2 * s2 * (math.log(1e5) + 1.5 * math.log(1 + 50 * 1.25 / (3 * lam))))
    assert bound.at(50) == pytest.approx(c1 / math.sqrt(lam) * math.log(math.e * 51) + c2 * math.sqrt(lam) + spread)


def test_estimates_are_ridge_regression() -> None:
    bandit = published("synthetic")
    bound = Bound.of(bandit, 400)
    for agent in (LinUCB(bandit, bound, Draws([3, 4], 1)), DynLinUCB(bandit, bound, 0.0, Draws([3, 4], 1))):
        watch = Fixed([0], 2)
        watch.choose = agent.choose  # type: ignore[method-assign]
        kept: list[np.ndarray] = []

        def both(t: int, reward: np.ndarray, agent: BanditAgent = agent, kept: list[np.ndarray] = kept) -> None:
            kept.append(reward.copy())
            agent.observe(t, reward)

        watch.observe = both  # type: ignore[method-assign]
        arms = play(bandit, watch, 400, [3, 4], keep_arms=True).arms
        for i in range(2):
            u, y = bandit.actions[arms[:, i]], np.array(kept)[:, i]
            expected = np.linalg.solve(bound.ridge * np.eye(3) + u.T @ u, u.T @ y)
            assert agent.h[i] == pytest.approx(expected, abs=1e-9)


def test_discounting_forgets() -> None:
    bandit = published("synthetic")
    bound = Bound.of(bandit, 500)
    slow = DiscountedLinUCB(bandit, bound, Draws([0], 1), gamma=1 - 1e-12)
    plain = LinUCB(bandit, bound, Draws([0], 1))
    pair = [play(bandit, agent, 500, [0], keep_arms=True).arms for agent in (slow, plain)]
    assert (pair[0] == pair[1]).all()
    quick = DiscountedLinUCB(bandit, bound, Draws([0], 1), gamma=0.9)
    play(bandit, quick, 500, [0])
    # Ridge weight is kept, sums of 1.25 per round are cut off at 1 / (1 - gamma).
    assert np.trace(quick.once[0]) == pytest.approx(3 * bound.ridge + 12.5, rel=1e-6)


def test_dynlin_learns_h_and_linear_bandits_do_not() -> None:
    bandit, rounds = published("real"), 6000
    agents = {
        "dyn": DynLinUCB(bandit, Bound.of(bandit, rounds), bandit.rho, Draws([0, 1], 1), watch=bandit.h),
        "lin": LinUCB(bandit, Bound.of(bandit, rounds), Draws([0, 1], 1)),
    }
    lost = {name: float(play(bandit, agent, rounds, [0, 1]).regret[-1].mean()) for name, agent in agents.items()}
    assert lost["dyn"] < 0.75 * lost["lin"]
    assert np.abs(agents["dyn"].h - bandit.h).max() < 0.03
    assert np.abs(agents["lin"].h - bandit.h).max() > 0.2
    assert agents["dyn"].covered.all()


def still(sigma: float = 0.05) -> LinearBandit:
    """No memory: an ordinary bandit, on which every baseline must learn."""
    zero = np.zeros((3, 3))
    return LinearBandit(0.1 * np.eye(3), zero, zero, np.diag([1.0, 0.3, 0.1]), sigma, budget_actions())


def test_baselines_learn_ordinary_bandits() -> None:
    bandit, rounds, seeds = still(), 4000, [0, 1, 2]
    random = rounds * (bandit.best - bandit.value(bandit.actions).mean())
    agents = {
        "ucb1": UCB1(bandit, 3, scale=1.0),
        "exp3": Exp3(bandit, rounds, Draws(seeds, 1)),
        "batched": BatchedExp3(bandit, rounds, Draws(seeds, 1), batch=4),
        "lin": LinUCB(bandit, Bound.of(bandit, rounds), Draws(seeds, 1)),
    }
    for name, agent in agents.items():
        lost = play(bandit, agent, rounds, seeds).regret[-1].mean()
        assert lost < (0.8 if name in ("exp3", "batched") else 0.2) * random, name


def test_batched_exp3_draws_once_per_batch() -> None:
    bandit = still()
    arms = play(bandit, BatchedExp3(bandit, 100, Draws([0], 1), batch=10), 100, [0], keep_arms=True).arms[:, 0]
    assert all(len(set(arms[i : i + 10])) == 1 for i in range(0, 100, 10))
    assert len(set(arms)) > 1


def test_ar2_starts_with_every_arm_and_alternates() -> None:
    bandit = published("real")
    agent = AR2(bandit, 1)
    arms = play(bandit, agent, 60, [0], keep_arms=True).arms[:, 0]
    assert arms[:6].tolist() == [5, 4, 3, 2, 1, 0]
    assert agent.length == math.ceil(6 * bandit.rho**-3 * 0.01**-3)
    assert len(set(arms[7::2])) >= 4  # odd rounds retry arms that may have become better


def test_expert_split_respects_the_caps() -> None:
    u = expert_action((1641952.0, 259591273.0, 716354611.0))
    assert u.sum() == pytest.approx(1.5)
    assert u[2] == pytest.approx(1.0)
    assert u[1] / u[0] == pytest.approx(259591273.0 / 1641952.0)


@pytest.mark.parametrize(("name", "order"), [("synthetic", 2), ("real", 3)])
def test_ho_kalman_continues_markov_parameters(name: str, order: int) -> None:
    bandit = published(name)
    exact = bandit.markov(21)[:, None]
    found = ho_kalman(exact, order)
    assert np.allclose(found.markov(80)[:, 0], bandit.markov(80), atol=1e-12)
    assert found.singular_values[order - 1] > 1e6 * found.singular_values[order]  # the gap tells the order
    assert np.linalg.matrix_rank(hankel(exact, 10, 10), tol=1e-10) == order
    eigenvalues = np.sort(np.abs(np.linalg.eigvals(found.A)))
    assert eigenvalues[-1] == pytest.approx(bandit.rho, rel=1e-6)


def test_ho_kalman_with_several_outputs() -> None:
    bandit = published("real")
    m = [bandit.D] + [bandit.C @ np.linalg.matrix_power(bandit.A, s) @ bandit.B for s in range(14)]
    assert np.allclose(ho_kalman(np.array(m), 3).markov(15), np.array(m), atol=1e-12)


def test_markov_parameters_from_feedback_data() -> None:
    """Inputs that react to past rewards: plain regression on inputs would be biased, the closed-loop form is not."""
    bandit, rng = published("real"), np.random.default_rng(0)
    x, u, y = np.zeros(3), np.zeros((30_000, 3)), np.zeros((30_000, 1))
    for t in range(len(u)):
        u[t] = rng.uniform(0, 0.5, 3) + (0.5 * y[t - 1, 0] if t else 0)
        y[t] = bandit.omega @ x + bandit.theta @ u[t] + 0.05 * rng.normal()
        x = bandit.A @ x + bandit.B @ u[t] + 0.05 * rng.normal(size=3)
    found = estimate_markov(u, y, 20, 30)[:, 0]
    assert np.abs(found - bandit.markov(30)).max() < 0.01
    lags = np.stack([u[19 - i : len(u) - i].ravel() for i in range(20)]).reshape(20, -1, 3)
    rows = lags.transpose(1, 0, 2).reshape(len(lags[0]), -1)
    plain = np.linalg.lstsq(rows, y[19:, 0], rcond=None)[0].reshape(20, 3)
    assert np.abs(plain - bandit.markov(20)).max() > 2 * np.abs(found[:20] - bandit.markov(20)).max()
