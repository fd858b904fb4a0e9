"""Optimistic ridge regression: `DynLinUCB`, which waits for transients to fade, and `LinUCB`, `DiscountedLinUCB`.

DynLin-UCB: Mussi, Metelli, Restelli, ICML 2023, arXiv 2211.08997, algorithm 1 and theorem 4.1. Lin-UCB: Abbasi-Yadkori,
Pal, Szepesvari, NeurIPS 2011. D-Lin-UCB: Russac, Vernade, Cappe, NeurIPS 2019. The baselines use the same noise scale
and the same constants, without the term for transients.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float64, Int64

from invdyn.decisions.linear_bandit import BanditAgent, Draws, LinearBandit
from invdyn.errors import ConfigError

__all__ = ["Bound", "DiscountedLinUCB", "DynLinUCB", "LinUCB", "hold_length"]


@dataclass(frozen=True)
class Bound:
    """beta_t = c1/sqrt(lam) log(e (t+1)) + c2 sqrt(lam) + sqrt(2 s^2 (log(1/delta) + d/2 log(1 + t U^2/(d lam)))).

    Args:
        c1: U W Phi (U |B|/(1 - rho) + X), what transients can bias; 0 for Lin-UCB.
        c2: |theta| + W |B| Phi/(1 - rho), bounds |h|.
        noise: s^2 = sigma^2 (1 + W^2 Phi^2/(1 - rho^2)), with the state's noise.
        size: U, the largest action.
        dimension: d.
        delta: chance of failure, 1/T.
        ridge: lam, log T in the paper's experiments.
    """

    c1: float
    c2: float
    noise: float
    size: float
    dimension: int
    delta: float
    ridge: float

    @classmethod
    def of(cls, bandit: LinearBandit, rounds: int, *, rho: float | None = None, ridge: float | None = None) -> Bound:
        """The paper's constants; `rho` overrides the spectral radius (then Phi stays that of the true one)."""
        r = bandit.rho if rho is None else rho
        if not 0 <= r < 1:
            raise ConfigError(f"Bound: a spectral radius of {r} is assumed; it must lie in [0, 1).")
        w, b, u, phi = (
            float(np.linalg.norm(bandit.omega)),
            float(np.linalg.norm(bandit.B, 2)),
            bandit.size,
            bandit.phi,
        )
        return cls(
            c1=u * w * phi * (u * b / (1 - r) + u / (1 - r)),
            c2=float(np.linalg.norm(bandit.theta)) + w * b * phi / (1 - r),
            noise=bandit.sigma**2 * (1 + w**2 * phi**2 / (1 - r**2)),
            size=u,
            dimension=bandit.actions.shape[1],
            delta=1 / rounds,
            ridge=math.log(rounds) if ridge is None else ridge,
        )

    def at(self, t: int, weight: float | None = None) -> float:
        """beta after t rounds; `weight` replaces t in the last logarithm (discounted sums)."""
        seen = t if weight is None else weight
        spread = math.log(1 / self.delta) + self.dimension / 2 * math.log(
            1 + seen * self.size**2 / (self.dimension * self.ridge)
        )
        transient = self.c1 / math.sqrt(self.ridge) * math.log(math.e * (t + 1))
        return transient + self.c2 * math.sqrt(self.ridge) + math.sqrt(2 * self.noise * spread)


def hold_length(epoch: int, rho: float) -> int:
    """H_m = floor(log m / log(1/rho)): rounds beyond the first that epoch m holds its action.

    >>> [hold_length(m, 0.5) for m in (1, 2, 3, 4, 8)], hold_length(1000, 0.0)
    ([0, 1, 1, 2, 3], 0)
    """
    return 0 if rho == 0 else math.floor(math.log(epoch) / math.log(1 / rho) + 1e-12)


def first_best(objective: Float64[np.ndarray, "trial arm"], tie: float = 1e-9) -> Int64[np.ndarray, " trial"]:
    """The first arm within `tie` of the best: arms are often mirror images, and rounding must not choose among them."""
    return np.asarray((objective >= objective.max(1, keepdims=True) - tie).argmax(1))


class DynLinUCB(BanditAgent):
    """Holds every action until its transient has faded, regresses on the last reward of each hold only.

    Args:
        bandit: what it knows: actions (and, through `bound`, norms), never A, B, C, D themselves.
        bound: beta.
        rho: assumed bound on the spectral radius.
        draws: pick the first actions; their number is the number of trials.
        watch: true h; then `covered` says, per trial, whether |<h^ - h, u>| <= beta sqrt(u' V^-1 u) always held.
    """

    def __init__(
        self,
        bandit: LinearBandit,
        bound: Bound,
        rho: float,
        draws: Draws,
        watch: Float64[np.ndarray, " cause"] | None = None,
    ) -> None:
        self.actions, self.bound, self.rho, self.watch = bandit.actions, bound, rho, watch
        d = self.actions.shape[1]
        self.arm = draws.below(len(self.actions))
        trials = len(self.arm)
        self.v = np.tile(bound.ridge * np.eye(d), (trials, 1, 1))
        self.b = np.zeros((trials, d))
        self.h: Float64[np.ndarray, "trial cause"] = np.zeros((trials, d))
        self.epoch, self.ends = 1, hold_length(1, rho)  # the round whose reward counts
        self.starts = 0
        self.covered: Bool[np.ndarray, " trial"] = np.ones(trials, bool)

    def choose(self, t: int) -> Int64[np.ndarray, " trial"]:
        if t == self.starts and self.epoch > 1:
            width = self.bound.at(t) * self.widths()
            mean = self.h @ self.actions.T
            if self.watch is not None:
                self.covered &= (np.abs(mean - self.actions @ self.watch) <= width).all(1)
            self.arm = first_best(mean + width)
        return self.arm

    def widths(self) -> Float64[np.ndarray, "trial arm"]:
        """sqrt(u' V^-1 u)."""
        solved = np.linalg.solve(self.v, np.broadcast_to(self.actions.T, (len(self.v), *self.actions.T.shape)))
        return np.asarray(np.sqrt((self.actions.T * solved).sum(1)))

    def observe(self, t: int, reward: Float64[np.ndarray, " trial"]) -> None:
        if t < self.ends:
            return  # the transient of the action before
        u = self.actions[self.arm]
        self.v += u[:, :, None] * u[:, None, :]
        self.b += reward[:, None] * u
        self.h = np.linalg.solve(self.v, self.b[:, :, None])[:, :, 0]
        self.epoch += 1
        self.starts = t + 1
        self.ends = t + 1 + hold_length(self.epoch, self.rho)


class LinUCB(BanditAgent):
    """Takes every reward at face value: y = <h, u> + noise. V^-1 is kept by rank-one updates."""

    def __init__(self, bandit: LinearBandit, bound: Bound, draws: Draws) -> None:
        self.actions, self.bound = bandit.actions, replace(bound, c1=0.0)
        d = self.actions.shape[1]
        self.arm = draws.below(len(self.actions))
        trials = len(self.arm)
        self.inverse = np.tile(np.eye(d) / bound.ridge, (trials, 1, 1))
        self.b = np.zeros((trials, d))
        # u u' of every arm, flat, so that u' V^-1 u of all arms is one product
        self.squares = (self.actions[:, :, None] * self.actions[:, None, :]).reshape(len(self.actions), -1).T

    @property
    def h(self) -> Float64[np.ndarray, "trial cause"]:
        """The estimate."""
        return np.asarray((self.inverse @ self.b[:, :, None])[:, :, 0])

    def choose(self, t: int) -> Int64[np.ndarray, " trial"]:
        if t > 0:
            width = np.sqrt(self.inverse.reshape(len(self.b), -1) @ self.squares)
            self.arm = first_best(self.h @ self.actions.T + self.bound.at(t) * width)
        return self.arm

    def observe(self, t: int, reward: Float64[np.ndarray, " trial"]) -> None:
        u = self.actions[self.arm]
        turned = (self.inverse @ u[:, :, None])[:, :, 0]
        scale = 1 + (u * turned).sum(1)
        self.inverse -= turned[:, :, None] * (turned / scale[:, None])[:, None, :]
        self.b += reward[:, None] * u


class DiscountedLinUCB(BanditAgent):
    """Lin-UCB for drifting rewards: old rounds count less by `gamma` per round."""

    def __init__(self, bandit: LinearBandit, bound: Bound, draws: Draws, gamma: float = 0.999999) -> None:
        if not 0 < gamma < 1:
            raise ConfigError(f"DiscountedLinUCB: gamma {gamma}; it must lie between 0 and 1.")
        self.actions, self.bound, self.gamma = bandit.actions, replace(bound, c1=0.0), gamma
        eye = np.eye(self.actions.shape[1])
        self.arm = draws.below(len(self.actions))
        trials = len(self.arm)
        self.once, self.twice = (np.tile(bound.ridge * eye, (trials, 1, 1)) for _ in range(2))
        self.keep, self.keep2 = (1 - gamma) * bound.ridge * eye, (1 - gamma**2) * bound.ridge * eye
        self.b = np.zeros((trials, len(eye)))
        self.h = np.zeros((trials, len(eye)))

    def choose(self, t: int) -> Int64[np.ndarray, " trial"]:
        if t > 0:
            inverse = np.linalg.inv(self.once)
            self.h = (inverse @ self.b[:, :, None])[:, :, 0]
            spread = (self.actions @ (inverse @ self.twice @ inverse) * self.actions).sum(-1)
            weight = (1 - self.gamma ** (2 * t)) / (1 - self.gamma**2)
            self.arm = first_best(self.h @ self.actions.T + self.bound.at(t, weight) * np.sqrt(spread))
        return self.arm

    def observe(self, t: int, reward: Float64[np.ndarray, " trial"]) -> None:
        u = self.actions[self.arm]
        square = u[:, :, None] * u[:, None, :]
        self.once = self.gamma * self.once + square + self.keep
        self.twice = self.gamma**2 * self.twice + square + self.keep2
        self.b = self.gamma * self.b + reward[:, None] * u
