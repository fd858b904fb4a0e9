"""`IdentifiedSet`: every reward that explains a policy under an assumed behaviour model, and rules that pick one.

Closed form (Skalse et al., arXiv 2203.07475): maximum causal entropy explains pi by

    R = alpha log pi(a|s) + V(s) - gamma E[V(S')],   V arbitrary,

Boltzmann by the same with beta^-1 (log pi - max_a log pi) in place of the first term, each plus any redistribution
over next states. Optimal behaviour leaves a cone of inequalities, from which `max_margin` picks by linear programming
(Ng and Russell, ICML 2000).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor

from invdyn.decisions.behaviour import Behaviour
from invdyn.decisions.tabular_mdp import TabularMDP
from invdyn.errors import ConfigError, SignalError, unknown_name
from invdyn.verify.metrics.starc import RewardSpace

__all__ = ["RULES", "IdentifiedSet", "reward_space"]

RULES = ("advantage", "minimal_norm", "state_only", "max_margin")


def reward_space(mdp: TabularMDP) -> RewardSpace:
    """What of a reward can matter in this process: supported transitions of reachable states."""
    return RewardSpace.of(
        mdp.transition, mdp.discount, terminal=mdp.ends, available=mdp.live, reachable=mdp.reachable()
    )


@dataclass(frozen=True)
class IdentifiedSet:
    """The rewards that explain a policy.

    Args:
        policy: pi(a|s) as seen; positive wherever an action is available, unless the behaviour is `optimal`.
        mdp: the assumed dynamics and discount; its reward is not looked at.
        behaviour: the assumed behaviour model.
    """

    policy: Float64[Tensor, "s a"]
    mdp: TabularMDP
    behaviour: Behaviour

    def __post_init__(self) -> None:
        if self.behaviour.kind != "optimal" and not bool((self.policy[self.mdp.live] > 0).all()):
            s, a = map(int, ((self.policy <= 0) & self.mdp.live).nonzero()[0])
            raise SignalError(
                f"IdentifiedSet: action {a} is never taken in state {s}, which no finite reward explains under "
                f"{self.behaviour.kind!r}; smooth the counts, or mark the action as not available."
            )

    @property
    def base(self) -> Float64[Tensor, "s a"]:
        """The member with V = 0: alpha log pi, or beta^-1 (log pi - max log pi), the advantage."""
        if self.behaviour.kind == "optimal":
            raise ConfigError("IdentifiedSet: optimal behaviour has no advantage form; its rule is 'max_margin'.")
        live = self.mdp.live
        log = torch.where(live, self.policy, torch.ones_like(self.policy)).log()
        if self.behaviour.kind == "mce":
            return self.behaviour.parameter * log
        best = log.masked_fill(~live, -torch.inf).max(1, keepdim=True).values
        return torch.where(live, log - best, torch.zeros_like(log)) / self.behaviour.parameter

    def member(self, values: Float64[Tensor, " s"]) -> Float64[Tensor, "s a"]:
        """E[R | s, a] of the member whose values are V (soft ones for maximum causal entropy)."""
        free = torch.where(self.mdp.ends, torch.zeros_like(values), values)
        here = free[:, None] - self.mdp.discount * self.mdp.onward @ free
        return self.base + here * self.mdp.live

    def contains(self, reward: Float64[Tensor, "s a s"] | Float64[Tensor, "s a"], tolerance: float = 1e-9) -> bool:
        """Whether this reward explains the policy; for `optimal`, whether the policy's support is all of its optima."""
        if self.behaviour.kind == "optimal":
            best = self.mdp.with_reward(reward).optimal(tie=tolerance).policy
            return bool(((best > 0) == (self.policy > 0))[~self.mdp.ends].all())
        space = reward_space(self.mdp)
        gap = space.canonical(reward) - space.canonical(self.base)
        return bool(np.linalg.norm(gap) <= tolerance * (1 + np.linalg.norm(space.canonical(reward))))

    def pick(self, rule: str) -> Float64[Tensor, "s a"]:
        """E[R | s, a] of the member that a rule selects.

        `advantage`: V = 0, the same whatever the discount. `minimal_norm`: least L2 norm under the assumed dynamics
        and discount. `state_only`: V such that the reward depends on the action least (least squares). `max_margin`:
        state-only, |r| <= 1, largest margins to the second-best action: first the smallest, then their sum.
        """
        if rule not in RULES:
            raise unknown_name("selection rule", rule, RULES)
        if (rule == "max_margin") != (self.behaviour.kind == "optimal"):
            raise ConfigError(
                f"IdentifiedSet: rule {rule!r} with behaviour {self.behaviour.kind!r}; 'max_margin' belongs to "
                "'optimal', the other rules to 'mce' and 'boltzmann'."
            )
        return {
            "advantage": lambda: self.base,
            "minimal_norm": self._minimal_norm,
            "state_only": self._state_only,
            "max_margin": self._max_margin,
        }[rule]()

    def _minimal_norm(self) -> Float64[Tensor, "s a"]:
        space = reward_space(self.mdp)
        found = torch.zeros_like(self.base)
        s, a = (torch.from_numpy(x[space.first]) for x in (space.state, space.action))
        found[s, a] = torch.from_numpy(space.canonical(self.base) * space.scale)
        return found

    def _state_only(self) -> Float64[Tensor, "s a"]:
        """min over V, r of sum (base + V - gamma E V - r(s))^2; returns r(s) for every action."""
        mdp = self.mdp
        s, a = mdp.live.nonzero(as_tuple=True)
        n = len(mdp.start)
        here = torch.eye(n, dtype=torch.float64)
        free = ((here[s] - mdp.discount * mdp.onward[s, a]) * ~mdp.ends).numpy()
        design = np.concatenate([free, -here[s].numpy()], axis=1)
        solved = np.linalg.lstsq(design, -self.base[s, a].numpy(), rcond=1e-12)[0]
        return torch.from_numpy(solved[n:])[:, None] * mdp.live

    def _max_margin(self) -> Float64[Tensor, "s a"]:
        from scipy.optimize import linprog

        mdp, n = self.mdp, len(self.mdp.start)
        flow = torch.einsum("sa,sat->st", self.policy, mdp.onward)
        inverse = torch.linalg.inv(torch.eye(n, dtype=torch.float64) - mdp.discount * flow)
        s, a = (mdp.live & (self.policy == 0)).nonzero(as_tuple=True)
        # Q(s, pi) - Q(s, a) = gamma (P_pi - P_a) (I - gamma P_pi)^-1 r >= m_s; equal optima stay equal.
        better = mdp.discount * ((flow[s] - mdp.onward[s, a]) @ inverse).numpy()
        margin = np.eye(n)[s.numpy()]
        ties = (mdp.live & (self.policy > 0)).nonzero(as_tuple=True)
        equal = mdp.discount * ((flow[ties[0]] - mdp.onward[ties]) @ inverse).numpy()
        # Variables r(s) and the margins m_s. First the largest smallest margin, then the largest sum that keeps it: a
        # sum alone would buy large margins in some states with ties in others.
        wide = np.concatenate([-better, margin], axis=1)
        limit = 2 / (1 - min(mdp.discount, 0.999))
        floor = 0.0
        for cost in (np.concatenate([np.zeros(2 * n), [-1.0]]), np.concatenate([np.zeros(n), -np.ones(n)])):
            extra = len(cost) - 2 * n  # the smallest margin, in the first pass
            below = np.concatenate([-better, np.zeros((len(better), n)), np.ones((len(better), 1))], axis=1)
            solved = linprog(
                cost,
                A_ub=below if extra else wide,
                b_ub=np.zeros(len(better)),
                A_eq=np.concatenate([equal, np.zeros((len(equal), n + extra))], axis=1),
                b_eq=np.zeros(len(equal)),
                bounds=[(-1, 1)] * n + [(floor, limit)] * (n + extra),
                method="highs",
            )
            if solved.status != 0:
                raise SignalError(f"IdentifiedSet: no state-only reward makes this policy optimal ({solved.message}).")
            floor = max(0.0, float(solved.x[-1]) * (1 - 1e-6)) if extra else floor
        return torch.from_numpy(solved.x[:n])[:, None] * mdp.live
