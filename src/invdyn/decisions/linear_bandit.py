"""`LinearBandit`: rewards that arrive through a hidden linear system; `play`: agents on it with common random numbers.

x' = A x + B u + e, y = <w, x> + <theta, u> + n, where w and theta sum the outputs of C and D (every output has noise of
its own). Holding u, the mean reward tends to J(u) = <h, u>, h = theta + B' (I - A)^-T w, and no policy does better than
the best constant action (Mussi, Metelli, Restelli, ICML 2023, arXiv 2211.08997, theorem 2.1). All arrays are float64
numpy; trials run side by side on the leading axis and see the same noise whatever agent plays.
"""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float64, Int64

from invdyn.errors import ConfigError, unknown_name
from invdyn.worlds.linear_gaussian import LinearGaussianConfig, LinearGaussianWorld

__all__ = ["PUBLISHED", "BanditAgent", "Draws", "LinearBandit", "Play", "budget_actions", "play", "published"]

PUBLISHED: dict[str, dict[str, tuple[tuple[float, ...], ...]]] = {
    "synthetic": {
        "A": ((0.2, 0.0, 0.0), (0.0, 0.0, 0.0), (0.0, 0.0, 0.1)),
        "B": ((0.45, 0.0, 0.0), (0.0, 0.0, 0.0), (0.0, 0.0, 0.1)),
        "C": ((1.0, 0.0, 0.0), (0.0, 0.0, 0.0), (0.0, 0.0, 0.1)),
        "D": ((0.0, 0.0, 0.0), (0.0, 0.5, 0.0), (0.0, 0.0, 0.1)),
    },
    "real": {
        "A": ((0.38, 0.33, 0.6), (0.07, 0.76, -0.54), (0.18, 0.34, 0.05)),
        "B": ((0.14, 0.34, -0.05), (-0.17, 0.03, -0.01), (0.04, -0.09, 0.17)),
        "C": ((0.25, -0.14, 0.01), (-0.55, 0.2, -0.13), (-0.31, -0.1, -0.01)),
        "D": ((0.11, 0.1, 0.01), (0.01, 0.36, 0.01), (0.01, -0.05, 0.0)),
    },
}
"""The paper's two systems: a synthetic one, and one identified from the budgets and returns of real advertising."""


def budget_actions(dimension: int = 3, total: float = 1.5, cap: float = 1.0) -> Float64[np.ndarray, "arm cause"]:
    """Vertices of {0 <= u_i <= cap, sum u = total}: UCB objectives are convex, so one of them is optimal.

    >>> budget_actions()[0].tolist(), len(budget_actions())
    ([0.0, 0.5, 1.0], 6)
    """
    if not 0 < total <= dimension * cap:
        raise ConfigError(f"budget_actions: total {total} does not fit {dimension} shares of at most {cap}.")
    found = set()
    for order in itertools.permutations(range(dimension)):
        left, u = total, [0.0] * dimension
        for i in order:
            u[i] = min(cap, left)
            left -= u[i]
        found.add(tuple(u))
    return np.array(sorted(found))


@dataclass(frozen=True)
class LinearBandit:
    """A hidden linear system, its noise and what may be played.

    Args:
        A, B, C, D: state, input, output and feedthrough matrices.
        sigma: standard deviation of the noise of every state and every output.
        actions: the arms.
    """

    A: Float64[np.ndarray, "x x"]
    B: Float64[np.ndarray, "x cause"]
    C: Float64[np.ndarray, "y x"]
    D: Float64[np.ndarray, "y cause"]
    sigma: float
    actions: Float64[np.ndarray, "arm entry"]

    def __post_init__(self) -> None:
        if not self.rho < 1:
            raise ConfigError(
                f"LinearBandit: A has spectral radius {self.rho:.3g}; below 1 is needed, or transients never fade."
            )
        if self.actions.ndim != 2 or self.actions.shape[1] != self.B.shape[1] or not len(self.actions):
            raise ConfigError(
                f"LinearBandit: actions of shape {self.actions.shape}; B takes {self.B.shape[1]} inputs per action."
            )

    @classmethod
    def of(cls, config: LinearGaussianConfig, actions: Float64[np.ndarray, "arm cause"]) -> LinearBandit:
        """The bandit on the matrices of a linear-Gaussian world, whose two noises must be equal."""
        if config.process_noise != config.output_noise:
            raise ConfigError(
                f"LinearBandit: process noise {config.process_noise} and output noise {config.output_noise}; "
                "the bandit has one sigma for both."
            )
        world = LinearGaussianWorld(1, config)
        a, b, c, d = (m.numpy() for m in (world.A, world.B, world.C, world.D))
        return cls(a, b, c, d, config.process_noise, actions)

    @property
    def omega(self) -> Float64[np.ndarray, " x"]:
        """w: the state's weights in the reward."""
        return np.asarray(self.C.sum(0))

    @property
    def theta(self) -> Float64[np.ndarray, " cause"]:
        """The immediate weights."""
        return np.asarray(self.D.sum(0))

    @cached_property
    def rho(self) -> float:
        """Spectral radius of A."""
        return float(np.abs(np.linalg.eigvals(self.A)).max())

    @cached_property
    def phi(self) -> float:
        """Phi(A) = sup_t |A^t|_2 / rho^t over t = 0 ... 1000."""
        if self.rho == 0:
            return 1.0
        power, largest = np.eye(len(self.A)), 1.0
        for _ in range(1000):
            power = power @ self.A / self.rho
            largest = max(largest, float(np.linalg.norm(power, 2)))
        return largest

    @cached_property
    def h(self) -> Float64[np.ndarray, " cause"]:
        """Cumulative Markov parameter theta + B' (I - A)^-T w."""
        return np.asarray(self.theta + self.B.T @ np.linalg.solve((np.eye(len(self.A)) - self.A).T, self.omega))

    def markov(self, count: int) -> Float64[np.ndarray, "lag cause"]:
        """h_0 = theta, h_s = B' (A')^(s-1) w."""
        found, power = [self.theta], self.omega
        for _ in range(count - 1):
            found.append(power @ self.B)
            power = power @ self.A
        return np.array(found[:count])

    def value(self, action: Float64[np.ndarray, "*n cause"]) -> Float64[np.ndarray, "*n"]:
        """J(u), the long-run mean reward of holding u."""
        return np.asarray(action @ self.h)

    @property
    def best(self) -> float:
        """max J over the arms."""
        return float(self.value(self.actions).max())

    @property
    def size(self) -> float:
        """U = max |u|_2."""
        return float(np.linalg.norm(self.actions, axis=1).max())


def published(name: str, sigma: float = 0.01) -> LinearBandit:
    """One of the paper's systems with its six actions, the permutations of (1, 0.5, 0)."""
    if name not in PUBLISHED:
        raise unknown_name("published bandit", name, PUBLISHED)
    m = PUBLISHED[name]
    config = LinearGaussianConfig(
        states=3, causes=3, A=m["A"], B=m["B"], C=m["C"], D=m["D"], process_noise=sigma, output_noise=sigma
    )
    return LinearBandit.of(config, budget_actions())


class Draws:
    """Uniform numbers, one per trial at a time; those of a trial are a function of its seed alone.

    Args:
        seeds: one per trial.
        tag: tells the streams of one seed apart.
        block: drawn at a time.
    """

    def __init__(self, seeds: Sequence[int], tag: int, block: int = 4096) -> None:
        self.streams = [np.random.default_rng([seed, tag]) for seed in seeds]
        self.block, self.used = block, block
        self.store: Float64[np.ndarray, "block trial"] = np.empty((0, len(seeds)))

    def next(self) -> Float64[np.ndarray, " trial"]:
        """The next number of every trial."""
        if self.used == self.block:
            self.store, self.used = np.stack([s.random(self.block) for s in self.streams], 1), 0
        self.used += 1
        return np.asarray(self.store[self.used - 1])

    def below(self, count: int) -> Int64[np.ndarray, " trial"]:
        """Integers from 0 to count - 1."""
        return np.minimum((self.next() * count).astype(np.int64), count - 1)


class BanditAgent(ABC):
    """Chooses an arm per trial and sees its reward; all trials in step."""

    @abstractmethod
    def choose(self, t: int) -> Int64[np.ndarray, " trial"]:
        """Arms of round t (from 0)."""

    @abstractmethod
    def observe(self, t: int, reward: Float64[np.ndarray, " trial"]) -> None:
        """Rewards of round t."""


@dataclass(frozen=True)
class Play:
    """What happened.

    Args:
        rounds: checkpoints (rounds played).
        regret: cumulative expected regret there, sum of J(u*) - J(u_t).
        arms: arm of every round, where asked for; else empty.
    """

    rounds: Int64[np.ndarray, " checkpoint"]
    regret: Float64[np.ndarray, "checkpoint trial"]
    arms: Int64[np.ndarray, "round trial"]


def play(
    bandit: LinearBandit,
    agent: BanditAgent,
    rounds: int,
    seeds: Sequence[int],
    *,
    checkpoints: Sequence[int] = (),
    keep_arms: bool = False,
    block: int = 4096,
) -> Play:
    """Play from x = 0. The noise of a trial is a function of its seed alone, so agents are compared on the same one.

    Args:
        bandit: the system.
        agent: made for len(seeds) trials.
        rounds: T.
        seeds: one trial each.
        checkpoints: rounds after which cumulative regret is kept; the last round always is.
        keep_arms: return every choice.
        block: rounds of noise drawn at a time.
    """
    streams = [np.random.default_rng([seed, 0x6E6F6973]) for seed in seeds]
    n, outputs = len(bandit.A), len(bandit.C)
    pushed, paid = bandit.actions @ bandit.B.T, bandit.actions @ bandit.theta
    lost = bandit.best - bandit.value(bandit.actions)
    x, total = np.zeros((len(seeds), n)), np.zeros(len(seeds))
    marks = sorted({*checkpoints, rounds})
    kept: list[np.ndarray] = []
    arms: list[np.ndarray] = []
    for start in range(0, rounds, block):
        noise = bandit.sigma * np.stack([s.standard_normal((block, n + outputs)) for s in streams], 1)
        inner, outer = noise[:, :, :n], noise[:, :, n:].sum(-1)
        for t in range(start, min(start + block, rounds)):
            arm = agent.choose(t)
            reward = x @ bandit.omega + paid[arm] + outer[t - start]
            x = x @ bandit.A.T + pushed[arm] + inner[t - start]
            agent.observe(t, reward)
            total = total + lost[arm]
            if keep_arms:
                arms.append(arm)
            if t + 1 == marks[len(kept)]:
                kept.append(total)
    shown = np.array(arms, np.int64).reshape(-1, len(seeds))
    return Play(np.array(marks, np.int64), np.array(kept), shown)
