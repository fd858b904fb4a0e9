"""`starc`: how differently two rewards order policies; blind to shaping, redistribution and scale. `epic` beside it.

Two rewards that differ by potential shaping R + gamma Phi(s') - Phi(s), by a redistribution over next states that keeps
E[R | s, a], or by a positive factor order all policies alike. STARC (Skalse et al., ICLR 2024, arXiv 2309.15257)
projects the first two away (a subspace W), divides by the norm and measures what is left: 0 is the same order of all
policies, 2 the opposite one. The projection is done where it is small. What is orthogonal to every redistribution is
R(s, a, s') = p(s'|s, a) f(s, a), so a reward becomes one number per (s, a), E[R] / |p(.|s, a)|_2, of the same L2 norm;
there shaping is a span of at most as many columns as states.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64, Int64

from invdyn.errors import ConfigError, SignalError
from invdyn.verify.metrics.arrays import Array, as_array

__all__ = ["RewardSpace", "chord", "epic", "feature_starc", "orthonormal_span", "starc"]

SPARSE = 1000
"""Supported transitions above which projections use a sparse factorisation (card)."""


def orthonormal_span(matrix: Float64[np.ndarray, "row column"], rtol: float = 1e-10) -> Float64[np.ndarray, "row rank"]:
    """An orthonormal basis of the columns' span by pivoted QR; directions below `rtol` of the largest are no span."""
    from scipy.linalg import qr

    if not matrix.size:
        return np.zeros((len(matrix), 0))
    q, r, _ = qr(matrix, mode="economic", pivoting=True)
    size = np.abs(np.diag(r))
    return np.asarray(q[:, size > rtol * max(size[0], np.finfo(float).tiny)])


def chord(first: Float64[np.ndarray, "... n"], second: Float64[np.ndarray, "... n"]) -> Float64[np.ndarray, "..."]:
    """|a/|a| - b/|b||_2 in [0, 2]; a vector of zeros stays zero (at distance 1 from every other, 0 from its like)."""

    def unit(x: np.ndarray) -> np.ndarray:
        norm = np.linalg.norm(x, axis=-1, keepdims=True)
        return x / np.where(norm > 0, norm, 1.0)

    return np.asarray(np.linalg.norm(unit(first) - unit(second), axis=-1))


@dataclass(frozen=True)
class RewardSpace:
    """Rewards of one decision process, up to what cannot matter for the order of policies.

    Args:
        state, action, next_state, probability: the supported transitions, grouped by (state, action).
        states: number of states.
        discount: gamma.
        terminal: states where the episode ends; their potential is zero. None: nowhere.
        rtol: below this share of the reward's norm, what the projection leaves is rounding and counts as zero.
    """

    state: Int64[np.ndarray, " transition"]
    action: Int64[np.ndarray, " transition"]
    next_state: Int64[np.ndarray, " transition"]
    probability: Float64[np.ndarray, " transition"]
    states: int
    discount: float
    terminal: Bool[np.ndarray, " s"] | None = None
    rtol: float = 1e-13

    def __post_init__(self) -> None:
        if not 0 <= self.discount <= 1:
            raise ConfigError(f"starc: discount {self.discount}; it must lie between 0 and 1.")
        if not len(self.state):
            raise SignalError("starc: no transition is supported; give at least one state that is not terminal.")
        gap = np.abs(np.add.reduceat(self.probability, self.first) - 1).max()
        if not gap < 1e-9:
            raise SignalError(
                f"starc: transition probabilities of a state and action sum to 1 only within {gap:.2g}; normalise them."
            )

    @classmethod
    def of(
        cls,
        transition: Array,
        discount: float,
        *,
        terminal: Array | None = None,
        available: Array | None = None,
        reachable: Array | None = None,
    ) -> RewardSpace:
        """The space of a dense table.

        Args:
            transition: [s, a, s] probabilities p(s'|s, a).
            discount: gamma.
            terminal: [s], where the episode ends.
            available: [s, a], which actions exist; None: all.
            reachable: [s], states that can be visited; rewards elsewhere do not matter. None: all.
        """
        p = as_array(transition).astype(np.float64)
        if p.ndim != 3 or p.shape[0] != p.shape[2]:
            raise SignalError(f"starc: transitions have shape {p.shape}; expected [state, action, state].")
        live = np.ones(p.shape[:2], bool) if available is None else as_array(available).astype(bool).copy()
        ends = None if terminal is None else as_array(terminal).astype(bool)
        if ends is not None:
            live &= ~ends[:, None]
        if reachable is not None:
            live &= as_array(reachable).astype(bool)[:, None]
        s, a, t = np.nonzero(np.where(live[:, :, None], p, 0.0))
        return cls(s, a, t, p[s, a, t], len(p), float(discount), ends)

    @cached_property
    def first(self) -> Int64[np.ndarray, " pair"]:
        """Where each (state, action) pair starts among the transitions."""
        change = (np.diff(self.state) != 0) | (np.diff(self.action) != 0)
        return np.concatenate([[0], 1 + np.flatnonzero(change)]).astype(np.int64)

    @cached_property
    def scale(self) -> Float64[np.ndarray, " pair"]:
        """|p(.|s, a)|_2 of every pair."""
        return np.asarray(np.sqrt(np.add.reduceat(self.probability**2, self.first)))

    def on_support(self, reward: Array) -> Float64[np.ndarray, "... transition"]:
        """A reward [..., s, a, s'], [..., s, a] or [..., transition] as values on the supported transitions."""
        r = as_array(reward).astype(np.float64)
        shape = (self.states, int(self.action.max()) + 1, self.states)
        if r.ndim >= 3 and r.shape[-3] == shape[0] and r.shape[-2] >= shape[1] and r.shape[-1] == shape[2]:
            r = r[..., self.state, self.action, self.next_state]
        elif r.ndim >= 2 and r.shape[-2] == shape[0] and r.shape[-1] >= shape[1] and r.shape[-1] != len(self.state):
            r = r[..., self.state, self.action]
        elif r.shape[-1] != len(self.state):
            raise SignalError(
                f"starc: a reward of shape {r.shape}; expected {shape}, {shape[:2]} or one number for each of the "
                f"{len(self.state)} supported transitions."
            )
        if not np.isfinite(r).all():
            raise SignalError("starc: the reward is NaN or infinite on a transition that can happen.")
        return np.asarray(r)

    def _pairs(self, reward: Array) -> Float64[np.ndarray, "... pair"]:
        """E[R | s, a] / |p|: orthonormal coordinates of what no redistribution touches."""
        weighted = self.probability * self.on_support(reward)
        return np.asarray(np.add.reduceat(weighted, self.first, axis=-1) / self.scale)

    @cached_property
    def _shaping(self) -> Any:
        """Sparse [pair, state]: the coordinates of gamma Phi(s') - Phi(s)."""
        from scipy.sparse import csr_matrix

        pair = np.repeat(np.arange(len(self.first)), np.diff([*self.first, len(self.state)]))
        after = self.discount * self.probability / self.scale[pair]
        here = -1.0 / self.scale
        rows = np.concatenate([pair, np.arange(len(self.first))])
        columns = np.concatenate([self.next_state, self.state[self.first]])
        matrix = csr_matrix((np.concatenate([after, here]), (rows, columns)), shape=(len(self.first), self.states))
        seen = np.zeros(self.states, bool)
        seen[columns] = True
        if self.terminal is not None:
            seen &= ~self.terminal
        return matrix[:, np.flatnonzero(seen)]

    @cached_property
    def _basis(self) -> Float64[np.ndarray, "pair rank"]:
        return orthonormal_span(self._shaping.toarray())

    @cached_property
    def _factor(self) -> Any:
        from scipy.sparse.linalg import splu

        if self.discount == 1:
            raise ConfigError(
                f"starc: discount 1 with {len(self.state)} transitions; above {SPARSE} it must be below 1."
            )
        return splu((self._shaping.T @ self._shaping).tocsc())

    def _project(self, z: Float64[np.ndarray, "n pair"]) -> Float64[np.ndarray, "n pair"]:
        """z less its part in the span of shaping, twice: the second pass removes the rounding of the first."""
        for _ in range(2):
            if len(self.state) <= SPARSE:
                z = z - (z @ self._basis) @ self._basis.T
            else:
                z = z - (self._shaping @ self._factor.solve(np.asarray(self._shaping.T @ z.T))).T
        return z

    def canonical(self, reward: Array) -> Float64[np.ndarray, "... pair"]:
        """c(R) = R - proj_W R, the equivalent reward of least L2 norm, in orthonormal coordinates (one per pair)."""
        start = self._pairs(reward)
        z = self._project(start.reshape(-1, start.shape[-1]))
        size = np.linalg.norm(start.reshape(-1, start.shape[-1]), axis=-1, keepdims=True)
        kept = np.linalg.norm(z, axis=-1, keepdims=True) > self.rtol * size
        return np.asarray(np.where(kept, z, 0.0).reshape(start.shape))

    def lift(self, canonical: Float64[np.ndarray, "... pair"]) -> Float64[np.ndarray, "... transition"]:
        """The reward on the supported transitions that has these coordinates and the same L2 norm."""
        sizes = np.diff([*self.first, len(self.state)])
        return np.asarray(np.repeat(canonical / self.scale, sizes, axis=-1) * self.probability)

    def distance(self, first: Array, second: Array) -> Float64[np.ndarray, "..."]:
        """d(R1, R2) in [0, 2]; leading axes are compared one by one."""
        return chord(self.canonical(first), self.canonical(second))

    def value_canonical(self, reward: Array, policy: Array) -> Float64[np.ndarray, "... pair"]:
        """Another admissible c: E[R(s, a, S') - V(s) + gamma V(S')] with V the values of a fixed policy [s, a]."""
        n, pi = self.states, as_array(policy).astype(np.float64)
        expected = self._pairs(reward) * self.scale
        s, a = self.state[self.first], self.action[self.first]
        pair = np.repeat(np.arange(len(s)), np.diff([*self.first, len(self.state)]))
        alive = np.ones(n) if self.terminal is None else (~self.terminal).astype(float)
        flow = np.zeros((len(s), n))
        np.add.at(flow, (pair, self.next_state), self.probability * alive[self.next_state])
        mine = np.zeros((n, len(s)))
        mine[s, np.arange(len(s))] = pi[s, a]
        values = np.linalg.solve(np.eye(n) - self.discount * mine @ flow, mine @ expected.reshape(-1, len(s)).T)
        shift = self.discount * flow @ values - values[s]
        return np.asarray(expected + shift.T.reshape(expected.shape))


def starc(
    first: Array,
    second: Array,
    transition: Array,
    discount: float,
    *,
    terminal: Array | None = None,
    available: Array | None = None,
    reachable: Array | None = None,
) -> float:
    """Distance of two rewards [s, a, s'] under p(s'|s, a) and gamma: 0 the same order of policies, 2 the opposite.

    >>> p = np.full((2, 2, 2), 0.5)
    >>> r = np.arange(8.0).reshape(2, 2, 2)
    >>> round(starc(r, 3 * r, p, 0.9), 12), round(starc(r, -r, p, 0.9), 12)
    (0.0, 2.0)
    """
    space = RewardSpace.of(transition, discount, terminal=terminal, available=available, reachable=reachable)
    return float(space.distance(first, second))


def feature_starc(
    first: Array, second: Array, features: Array, shaping: Array, *, rtol: float = 1e-10
) -> tuple[float, int]:
    """STARC where states are continuous: rewards r = <w, phi>, both seen at sampled transitions.

    Args:
        first, second: weights [k].
        features: phi at the samples [sample, k]; average phi over several next states of one (s, a) first, so that
            redistribution drops out.
        shaping: gamma Phi_j(s') - Phi_j(s) of sampled potentials [sample, j], averaged likewise.
        rtol: rank tolerance.

    Returns:
        the distance, and the rank of the sampled shaping: potentials that were not sampled are not projected away.
    """
    phi, span = (as_array(x).astype(np.float64) for x in (features, shaping))
    if phi.ndim != 2 or span.ndim != 2 or len(phi) != len(span):
        raise SignalError(f"feature_starc: features {phi.shape} and shaping {span.shape} need one row per sample.")
    basis = orthonormal_span(span, rtol)
    if basis.shape[1] >= len(phi):
        raise SignalError(
            f"feature_starc: {len(phi)} samples and shaping of rank {basis.shape[1]} leave nothing to compare; "
            "sample more transitions."
        )
    both = np.stack([phi @ as_array(w).astype(np.float64) for w in (first, second)])
    both = both - (both @ basis) @ basis.T
    return float(chord(both[0], both[1])), basis.shape[1]


def epic(first: Array, second: Array, discount: float) -> float:
    """EPIC (Gleave et al., ICLR 2021, arXiv 2006.13900) with uniform coverage of states, actions and next states.

    Pearson distance sqrt((1 - rho) / 2) of R(s, a, s') + E[gamma R(s', A, S') - R(s, A, S') - gamma R(S, A, S')]. It
    knows nothing of the dynamics: redistribution over next states counts as a difference.
    """
    flat = []
    for reward in (first, second):
        r = as_array(reward).astype(np.float64)
        mean = r.mean((1, 2))
        flat.append((r + discount * mean[None, None, :] - mean[:, None, None] - discount * mean.mean()).ravel())
    rho = float(np.corrcoef(flat)[0, 1])
    return float(np.sqrt(max(0.0, (1 - rho) / 2)))
