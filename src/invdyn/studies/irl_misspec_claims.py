"""The claims of the irl-misspec study: every line of the card's "Works when", with its thresholds.

3c, 5a, 6c and 7c to 7g take the card's pilot figures as thresholds where the card gives no other. 8d and 9 are ours.
"""

from __future__ import annotations

from invdyn.studies.claim import Claim, Threshold

__all__ = ["CLAIMS"]

CLAIMS = (
    Claim(
        "1a",
        "d(R, 3.7 R + shaping + redistribution)",
        "invariance.distance",
        Threshold("<=", 1e-12),
        smoke=True,
    ),
    Claim("1b", "d(R, -R) = 2: difference", "invariance.opposite_error", Threshold("<=", 1e-12), smoke=True),
    Claim(
        "1c",
        "the maximum-causal-entropy policy is unmoved by shaping and redistribution: difference",
        "invariance.policy",
        Threshold("<=", 1e-12),
        smoke=True,
    ),
    Claim(
        "2a",
        "a tangent step of relative length sin(2 arcsin(eps/2)) leads to d = eps = 0.3, and has that length",
        "step.tangent_error",
        Threshold("<=", 1e-12),
        smoke=True,
    ),
    Claim(
        "2b",
        "10,000 random steps of that length never lead beyond eps: excess",
        "step.beyond",
        Threshold("<=", 1e-12),
        smoke=True,
    ),
    Claim("2c", "that length is 0.29661: difference", "step.ratio_error", Threshold("<=", 5e-6), smoke=True),
    Claim(
        "3a",
        "R +- lam shaping, lam = 1 to 1000: policies at the assumed discount are equal: difference",
        "discount.policy",
        Threshold("<=", 1e-12),
        smoke=True,
    ),
    Claim(
        "3b",
        "the pair's distance at discount 0.95 grows with lam: least rise, random process",
        "random.discount.least_rise",
        Threshold(">=", 0.0),
        smoke=True,
    ),
    Claim("3c", "and at lam = 1000 it is near 2", "random.discount.last", Threshold(">=", 1.99), over="median"),
    Claim(
        "3d",
        "one of the pair is at least 1 from R at lam = 1000 (random process)",
        "random.discount.either",
        Threshold(">=", 1.0),
        smoke=True,
    ),
    Claim("3e", "as 3d in the gridworld", "grid.discount.either", Threshold(">=", 1.0), smoke=True),
    Claim(
        "4a",
        "R +- 100 redistribution, random process, half-mixed transitions: distance",
        "random.dynamics.at_100",
        Threshold(">=", 1.99),
        smoke=True,
    ),
    Claim("4b", "as 4a in the gridworld", "grid.dynamics.at_100", Threshold(">=", 1.99), smoke=True),
    Claim(
        "4c",
        "the policies of these pairs are equal under the assumed transitions: difference",
        "dynamics.policy",
        Threshold("<=", 1e-12),
    ),
    Claim(
        "5a",
        "policy distance of cR and -cR is linear in c: log-log slope from 0.1 to 0.01, random process",
        "random.policy.slope",
        Threshold("within", (0.98, 1.02)),
        smoke=True,
    ),
    Claim("5b", "as 5a in the gridworld", "grid.policy.slope", Threshold("within", (0.98, 1.02)), smoke=True),
    Claim("5c", "while their distance is 2: difference", "policy.flip_error", Threshold("<=", 1e-12), smoke=True),
    Claim("6a", "temperature five times too high: distance", "temperature", Threshold("<=", 1e-12), smoke=True),
    Claim("6b", "Boltzmann decoded as Boltzmann: distance", "kind.right", Threshold("<=", 1e-12), smoke=True),
    Claim(
        "6c",
        "Boltzmann decoded as maximum causal entropy: distance (pilot median 0.039)",
        "random.kind.wrong",
        Threshold(">=", 1e-3),
        smoke=True,
    ),
    Claim("7a", "rule V = 0: distance, worst of five assumed discounts", "selection.advantage", Threshold("<=", 1e-12)),
    Claim("7b", "state-only rule at the true 0.9", "random.state_only.at_0.9", Threshold("<=", 1e-10)),
    Claim("7c", "state-only rule at 0.5", "random.state_only.at_0.5", Threshold("<=", 0.13), over="median"),
    Claim("7d", "state-only rule at 0.8", "random.state_only.at_0.8", Threshold("<=", 0.035), over="median"),
    Claim("7e", "state-only rule at 0.95", "random.state_only.at_0.95", Threshold("<=", 0.017), over="median"),
    Claim("7f", "state-only rule at 0.99", "random.state_only.at_0.99", Threshold("<=", 0.031), over="median"),
    Claim(
        "7g",
        "typical error of the state-only rule as a share of the worst case, random process",
        "random.state_only.share_of_worst",
        Threshold("<=", 0.1),
        over="median",
    ),
    Claim(
        "8a",
        "Spearman of d and Kendall's tau of 200 policies' returns, 300 pairs, both worlds",
        "order.spearman",
        Threshold("<=", -0.95),
    ),
    Claim("8b", "d = 0: tau is 1: difference", "order.same_tau_gap", Threshold("<=", 1e-12)),
    Claim(
        "8c",
        "regret is at most K d for all pairs, K by Cauchy-Schwarz: excess",
        "order.beyond_bound",
        Threshold("<=", 1e-12),
    ),
    Claim(
        "8d",
        "that Spearman is stronger than EPIC's and the plain cosine's: least lead",
        "order.lead",
        Threshold(">=", 0.0),
    ),
    Claim(
        "9a",
        "distance falls with the root of the number of observed actions: log-log slope, random process",
        "random.samples.slope",
        Threshold("within", (-0.6, -0.4)),
        over="median",
    ),
    Claim(
        "9b",
        "as 9a in the gridworld",
        "grid.samples.slope",
        Threshold("within", (-0.6, -0.4)),
        over="median",
    ),
)
