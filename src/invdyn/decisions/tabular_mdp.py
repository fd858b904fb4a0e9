"""`TabularMDP`: decision processes with finitely many states and actions, where everything is exact.

Values by linear solves, optimal ones by policy iteration (Howard 1960), soft ones (maximum causal entropy, Ziebart
2010) by soft policy iteration, which is Newton's method on the soft Bellman equation. Float64, no sampling anywhere.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import torch
from jaxtyping import Bool, Float64
from torch import Tensor

from invdyn.errors import ConfigError, SignalError

__all__ = ["Solution", "TabularMDP", "chain_mdp", "grid_mdp", "random_mdp"]


@dataclass(frozen=True)
class Solution:
    """Values and the policy that has them.

    Args:
        values: V(s); 0 at terminal states.
        q: Q(s, a); -inf where the action is not available.
        policy: pi(a|s); rows of terminal states are uniform and never used.
    """

    values: Float64[Tensor, " s"]
    q: Float64[Tensor, "s a"]
    policy: Float64[Tensor, "s a"]


@dataclass(frozen=True)
class TabularMDP:
    """States, actions, transitions, rewards R(s, a, s'), discount and start.

    Args:
        transition: p(s'|s, a).
        reward: R(s, a, s').
        discount: gamma in [0, 1); 1 only where every policy ends.
        start: distribution of the first state.
        terminal: states where the episode ends; None: it never does.
        available: actions that exist in a state; None: all.
    """

    transition: Float64[Tensor, "s a s"]
    reward: Float64[Tensor, "s a s"]
    discount: float
    start: Float64[Tensor, " s"]
    terminal: Bool[Tensor, " s"] | None = None
    available: Bool[Tensor, "s a"] | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.discount <= 1:
            raise ConfigError(f"TabularMDP: discount {self.discount}; it must lie between 0 and 1.")
        total = self.transition.sum(-1)[self.live]
        if len(total) and not (float((total - 1).abs().max()) < 1e-9 and float(self.transition.min()) >= 0):
            raise SignalError(
                "TabularMDP: transition probabilities of a state and action must be >= 0 and sum to 1; normalise them."
            )
        acting = self.live.any(1) | self.ends
        if not bool(acting.all()):
            lost = int((~acting).nonzero()[0])
            raise SignalError(f"TabularMDP: state {lost} has no available action; give it one or mark it as terminal.")

    @cached_property
    def ends(self) -> Bool[Tensor, " s"]:
        """Terminal states."""
        n = len(self.transition)
        return torch.zeros(n, dtype=torch.bool) if self.terminal is None else self.terminal

    @cached_property
    def live(self) -> Bool[Tensor, "s a"]:
        """Pairs of state and action that can happen."""
        exists = torch.ones(self.transition.shape[:2], dtype=torch.bool) if self.available is None else self.available
        return exists & ~self.ends[:, None]

    @cached_property
    def onward(self) -> Float64[Tensor, "s a s"]:
        """p(s'|s, a) less what ends the episode: what future value flows through."""
        return self.transition * self.live[:, :, None] * ~self.ends

    @cached_property
    def expected_reward(self) -> Float64[Tensor, "s a"]:
        """E[R(s, a, S')]."""
        return (self.transition * self.reward).sum(-1) * self.live

    def with_reward(self, reward: Float64[Tensor, "s a s"] | Float64[Tensor, "s a"]) -> TabularMDP:
        """The same process with another reward."""
        full = reward if reward.ndim == 3 else reward[:, :, None].expand_as(self.transition)
        return replace(self, reward=full)

    def reachable(self) -> Bool[Tensor, " s"]:
        """States that some policy visits."""
        step = (self.onward > 0).any(1)
        seen = self.start > 0
        for _ in range(len(seen)):
            seen = seen | (seen[:, None] & step).any(0)
        return seen | (seen[:, None] & (self.transition > 0).any(1) & ~self.ends[:, None]).any(0)

    def q_of(self, values: Float64[Tensor, " s"]) -> Float64[Tensor, "s a"]:
        """One step of reward, then these values."""
        q = self.expected_reward + self.discount * self.onward @ values
        return q.masked_fill(~self.live & ~self.ends[:, None], -torch.inf).masked_fill(self.ends[:, None], 0.0)

    def values(
        self, policy: Float64[Tensor, "*n s a"], bonus: Float64[Tensor, "*n s"] | None = None
    ) -> Float64[Tensor, "*n s"]:
        """V of one policy or many, exactly; `bonus` is added to the reward of each step (an entropy, say)."""
        gain = (policy * self.expected_reward).sum(-1)
        if bonus is not None:
            gain = gain + bonus
        flow = torch.einsum("...sa,sat->...st", policy, self.onward)
        eye = torch.eye(len(self.start), dtype=torch.float64)
        return torch.linalg.solve(eye - self.discount * flow, gain)

    def returns(self, policy: Float64[Tensor, "*n s a"]) -> Float64[Tensor, "*n"]:
        """J = E[sum gamma^t R] from the start distribution."""
        return self.values(policy) @ self.start

    def occupancy(self, policy: Float64[Tensor, "s a"]) -> Float64[Tensor, "s a"]:
        """Discounted visits, so that J = sum occupancy x E[R]."""
        flow = torch.einsum("sa,sat->st", policy, self.onward)
        eye = torch.eye(len(self.start), dtype=torch.float64)
        visits = torch.linalg.solve((eye - self.discount * flow).T, self.start)
        return visits[:, None] * policy * self.live

    def uniform(self) -> Float64[Tensor, "s a"]:
        """Every available action alike."""
        weight = (self.live | self.ends[:, None]).double()
        return weight / weight.sum(1, keepdim=True)

    def optimal(self, tie: float = 1e-9) -> Solution:
        """Optimal values; the policy is uniform over the actions within `tie` (of the largest |Q|) of the best."""
        best, values = self.uniform(), None
        for _ in range(1000):
            values = self.values(best)
            q = self.q_of(values)
            # An action is replaced only by one that is better beyond rounding, or equals would alternate for ever.
            held = (best * q.masked_fill(best == 0, 0.0)).sum(1)
            better = q.max(1).values > held + 1e-12 * (1 + held.abs())
            if not bool(better.any()):
                break
            greedy = torch.nn.functional.one_hot(q.argmax(1), q.shape[1]).double()
            best = torch.where(better[:, None], greedy, best)
        assert values is not None
        q = self.q_of(values)
        top = q >= q.max(1, keepdim=True).values - tie * float(q[torch.isfinite(q)].abs().max().clamp_min(1e-300))
        return Solution(values, q, top.double() / top.sum(1, keepdim=True))

    def soft(self, alpha: float) -> Solution:
        """Maximum causal entropy: V = alpha log sum exp(Q/alpha), pi = softmax(Q/alpha) (alpha in units of reward)."""
        if not alpha > 0:
            raise ConfigError(f"TabularMDP.soft: alpha {alpha}; the temperature must be above 0.")
        policy, last = self.uniform(), torch.inf
        for _ in range(1000):
            entropy = -torch.special.xlogy(policy, policy).sum(1) * ~self.ends
            values = self.values(policy, alpha * entropy)
            q = self.q_of(values)
            policy = torch.softmax(q / alpha, 1)
            gap = float((alpha * torch.logsumexp(q / alpha, 1) - values)[~self.ends].abs().max())
            # The residual may rise before Newton's quadratic phase; there, what no longer shrinks is rounding.
            if gap >= last and gap < 1e-9 * (1 + float(values.abs().max())):
                break
            last = gap
        return Solution(values, q, policy)

    def boltzmann(self, beta: float) -> Solution:
        """Optimal values with the policy softmax(beta Q*) (beta in 1/units of reward)."""
        if not beta > 0:
            raise ConfigError(f"TabularMDP.boltzmann: beta {beta}; it must be above 0.")
        best = self.optimal()
        return Solution(best.values, best.q, torch.softmax(beta * best.q, 1))


def random_mdp(states: int, actions: int, discount: float, generator: torch.Generator) -> TabularMDP:
    """Transitions uniform on the simplex, rewards R(s, a, s') standard normal, start uniform."""
    raw = -torch.rand(states, actions, states, dtype=torch.float64, generator=generator).log()
    reward = torch.randn(states, actions, states, dtype=torch.float64, generator=generator)
    start = torch.full((states,), 1 / states, dtype=torch.float64)
    return TabularMDP(raw / raw.sum(-1, keepdim=True), reward, discount, start)


def grid_mdp(
    height: int,
    width: int,
    discount: float,
    reward: Float64[Tensor, " s"],
    *,
    slip: float = 0.2,
    terminal: Bool[Tensor, " s"] | None = None,
) -> TabularMDP:
    """A grid, row by row; up, down, left, right; with probability `slip` to one of the two sides instead.

    Args:
        height, width: cells.
        discount: gamma.
        reward: paid on leaving a cell, one number per cell.
        slip: probability of going sideways, half to each side; walls hold.
        terminal: cells where the episode ends.
    """
    n = height * width
    moves = ((-1, 0), (1, 0), (0, -1), (0, 1))
    sides = ((2, 3), (2, 3), (0, 1), (0, 1))
    row, column = torch.arange(n) // width, torch.arange(n) % width
    lands = [(row + i).clamp(0, height - 1) * width + (column + j).clamp(0, width - 1) for i, j in moves]
    transition = torch.zeros(n, 4, n, dtype=torch.float64)
    for a in range(4):
        for move, share in ((a, 1 - slip), (sides[a][0], slip / 2), (sides[a][1], slip / 2)):
            transition[torch.arange(n), a, lands[move]] += share
    full = reward[:, None, None].expand(n, 4, n)
    return TabularMDP(transition, full, discount, torch.full((n,), 1 / n, dtype=torch.float64), terminal)


def chain_mdp(states: int, discount: float, *, slip: float = 0.1, goal: float = 1.0) -> TabularMDP:
    """A chain with the actions left and right, which `slip` turns round; `goal` is paid on arrival at the right end."""
    transition = torch.zeros(states, 2, states, dtype=torch.float64)
    here = torch.arange(states)
    for action, step in enumerate((-1, 1)):
        transition[here, action, (here + step).clamp(0, states - 1)] += 1 - slip
        transition[here, action, (here - step).clamp(0, states - 1)] += slip
    reward = torch.zeros_like(transition)
    reward[:, :, -1] = goal
    start = torch.zeros(states, dtype=torch.float64)
    start[0] = 1.0
    return TabularMDP(transition, reward, discount, start)
