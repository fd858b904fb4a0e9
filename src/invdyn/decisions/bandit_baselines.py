"""Bandits that know nothing of linearity: `UCB1`, `Exp3`, `BatchedExp3`, `AR2`; and the advertiser's own split.

UCB1: Auer, Cesa-Bianchi, Fischer 2002. Exp3: Auer et al. 2002; batched: Dekel, Tewari, Arora, ICML 2012. AR2: Chen,
Golrezaei, Bouneffouf 2021 (rewards drift by an autoregression). Settings of the authors' experiments (arXiv 2211.08997,
appendix): rewards shifted by 2 M and scaled by 4 M, M a bound on the reward; rates from the horizon; batches as long as
DynLin-UCB's last hold.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float64, Int64

from invdyn.decisions.linear_bandit import BanditAgent, Draws, LinearBandit
from invdyn.decisions.optimism import hold_length

__all__ = ["AR2", "UCB1", "BatchedExp3", "Exp3", "expert_action", "last_hold"]


def last_hold(rounds: int, rho: float) -> int:
    """Rounds of DynLin-UCB's last epoch within the horizon."""
    epoch, played = 0, 0
    while played < rounds:
        epoch += 1
        played += 1 + hold_length(epoch, rho)
    return 1 + hold_length(epoch, rho)


class UCB1(BanditAgent):
    """Mean reward of an arm plus sigma sqrt(2 log t / pulls)."""

    def __init__(self, bandit: LinearBandit, trials: int, scale: float | None = None) -> None:
        self.scale = bandit.sigma if scale is None else scale
        self.pulls, self.sums = (np.zeros((trials, len(bandit.actions))) for _ in range(2))
        self.rows = np.arange(trials)
        self.arm: Int64[np.ndarray, " trial"] = np.zeros(trials, np.int64)

    def choose(self, t: int) -> Int64[np.ndarray, " trial"]:
        if t < self.pulls.shape[1]:
            self.arm = np.full(len(self.rows), t, np.int64)
        else:
            self.arm = (self.sums / self.pulls + self.scale * np.sqrt(2 * math.log(t) / self.pulls)).argmax(1)
        return self.arm

    def observe(self, t: int, reward: Float64[np.ndarray, " trial"]) -> None:
        self.pulls[self.rows, self.arm] += 1
        self.sums[self.rows, self.arm] += reward


class BatchedExp3(BanditAgent):
    """Exponential weights on importance-weighted rewards, one draw and one update per batch of rounds."""

    def __init__(self, bandit: LinearBandit, rounds: int, draws: Draws, batch: int | None = None) -> None:
        self.draws, trials = draws, len(draws.streams)
        self.batch = last_hold(rounds, bandit.rho) if batch is None else batch
        arms = len(bandit.actions)
        turns = 2 * (rounds / self.batch) / 3
        self.explore = min(1.0, math.sqrt(arms * math.log(arms) / ((math.e - 1) * turns)))
        self.rate = self.explore / arms
        w, b = float(np.linalg.norm(bandit.omega)), float(np.linalg.norm(bandit.B, 2))
        self.bound = (float(np.linalg.norm(bandit.theta)) + w * b / (1 - bandit.rho)) * bandit.size
        self.gain, self.sums = np.zeros((trials, arms)), np.zeros(trials)
        self.chance = np.full((trials, arms), 1 / arms)
        self.rows = np.arange(trials)
        self.arm: Int64[np.ndarray, " trial"] = np.zeros(trials, np.int64)

    def choose(self, t: int) -> Int64[np.ndarray, " trial"]:
        if t % self.batch == 0:
            self.arm = (self.chance.cumsum(1) < self.draws.next()[:, None]).sum(1).clip(max=self.chance.shape[1] - 1)
        return self.arm

    def observe(self, t: int, reward: Float64[np.ndarray, " trial"]) -> None:
        self.sums += reward
        if (t + 1) % self.batch:
            return
        scaled = (self.sums / self.batch + 2 * self.bound) / (4 * self.bound)
        self.gain[self.rows, self.arm] += scaled / self.chance[self.rows, self.arm]
        weight = np.exp(self.rate * (self.gain - self.gain.max(1, keepdims=True)))
        self.chance = (1 - self.explore) * weight / weight.sum(1, keepdims=True) + self.explore / weight.shape[1]
        self.sums[:] = 0


class Exp3(BatchedExp3):
    """Batches of one round."""

    def __init__(self, bandit: LinearBandit, rounds: int, draws: Draws) -> None:
        super().__init__(bandit, rounds, draws, batch=1)


class AR2(BanditAgent):
    """Alternates between the better of the last two arms and arms whose drift may have made them better.

    Every reward is believed to relax to zero by `alpha` per round, with fresh noise of sd `sigma`; an arm that was last
    seen k rounds ago is retried once the gap to the leader is within 24 c0 sigma sqrt((alpha^2 - alpha^(2k+2)) /
    (1 - alpha^2)). Estimates start anew after ceil(arms alpha^-3 sigma^-3) rounds.
    """

    def __init__(self, bandit: LinearBandit, trials: int) -> None:
        arms = len(bandit.actions)
        self.alpha, self.sigma = bandit.rho, bandit.sigma
        self.length = math.ceil(arms * self.alpha**-3 * self.sigma**-3)
        self.c0 = math.sqrt(
            4 * math.log(1 / (self.alpha * self.sigma)) + 4 * math.log(self.length) + 2 * math.log(4 * arms)
        )
        self.guess = np.full((trials, arms), np.inf)
        self.seen, self.called = np.zeros((trials, arms)), np.full((trials, arms), np.inf)
        self.rows = np.arange(trials)
        self.arm = self.before = np.zeros(trials, np.int64)

    def choose(self, t: int) -> Int64[np.ndarray, " trial"]:
        inside, arms = t % self.length, self.guess.shape[1]
        self.before, last = self.arm, self.before
        if inside < arms:
            self.called[:] = np.inf
            self.arm = np.full(len(self.rows), arms - 1 - inside, np.int64)
            return self.arm
        now, then = self.guess[self.rows, self.before], self.guess[self.rows, last]
        leader = np.where(now >= then, self.before, last)
        top = self.guess[self.rows, leader][:, None]
        age = t - self.seen + 1
        drift = np.sqrt((self.alpha**2 - self.alpha ** (2 * age)) / (1 - self.alpha**2))
        fresh = (top - self.guess <= 24 * self.c0 * self.sigma * drift) & np.isinf(self.called)
        fresh[self.rows, leader] = False
        self.called[fresh] = t
        self.called[self.rows, leader] = np.inf  # the leader needs no call
        first = self.called.argmin(1)
        retry = np.isfinite(self.called[self.rows, first]) & (t % 2 == 1)
        self.arm = np.where(retry, first, leader)
        return self.arm

    def observe(self, t: int, reward: Float64[np.ndarray, " trial"]) -> None:
        self.guess *= self.alpha
        self.guess[self.rows, self.arm] = self.alpha * reward
        self.seen[self.rows, self.arm] = t
        self.called[self.rows, self.arm] = np.inf


def expert_action(budgets: Sequence[float], total: float = 1.5, cap: float = 1.0) -> Float64[np.ndarray, " cause"]:
    """An advertiser's own split of `total`: in proportion to past budgets, no share above `cap`, the rest rescaled.

    >>> expert_action([1.0, 1.0, 1.0]).tolist()
    [0.5, 0.5, 0.5]
    """
    share = np.array(budgets, float) / sum(budgets)
    over = share > cap / total
    share = np.where(over, cap / total, share)
    rest = 1 - share[over].sum()
    share[~over] *= rest / share[~over].sum()
    return np.asarray(share * total)
