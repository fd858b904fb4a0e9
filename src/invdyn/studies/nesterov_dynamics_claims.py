"""The claims of the nesterov-dynamics study: every line of the card's "Works when", with its thresholds.

2c, 3c, 3d, 3e, 4c, 10e, 10f, 11a and 11b are ours: what the card leaves open, made the other way or measured beside it.
"""

from __future__ import annotations

from invdyn.studies.claim import Claim, Threshold

__all__ = ["CLAIMS"]

CLAIMS = (
    Claim(
        "1",
        "passivity flow: |z(t)|/|z(0)| equals e^(-lam t), relative, on a quadratic, log-sum-exp and a double well",
        "manifold.error",
        Threshold("<=", 1e-6),
        smoke=True,
    ),
    Claim(
        "2a",
        "without the tangent term: slope of the distance to the slow manifold (relative to speed) against lam",
        "slow.friction_slope",
        Threshold("within", (-1.1, -0.9)),
    ),
    Claim(
        "2b",
        "with it: slope of the distance between the flow and gradient descent's flow from the same start",
        "slow.passivity_slope",
        Threshold("within", (-1.1, -0.9)),
    ),
    Claim(
        "2c",
        "with it the manifold is invariant, not only near: relative distance after the transient at lam = 64 k L",
        "slow.passivity_off",
        Threshold("<=", 1e-8),
    ),
    Claim(
        "3a",
        "NAG's deviation from the high-resolution equation over that from the low-resolution one, worst of four steps",
        "limit.ratio",
        Threshold("<=", 0.5),
    ),
    Claim(
        "3b",
        "that deviation decreases with s: largest ratio of one step to the four times larger one",
        "limit.shrinks",
        Threshold("<=", 1.0),
    ),
    Claim(
        "3c",
        "as 3a with the iterates x_k themselves instead of the points where gradients are taken",
        "limit.iterates_ratio",
        Threshold("<=", 0.5),
        reason="the equation is the limit of the extrapolated points; the iterates lie sqrt(s) times their velocity "
        "behind, which is of the order the equation was made to resolve",
    ),
    Claim(
        "3d",
        "the pair of first-order equations without Hessian follows the same path",
        "limit.pair_error",
        Threshold("<=", 1e-6),
    ),
    Claim(
        "3e",
        "along the high-resolution flow the energy falls by e^(-sqrt(mu)/4) a unit of time: worst ratio to that",
        "limit.energy_excess",
        Threshold("<=", 1.0),
    ),
    Claim(
        "4a",
        "on quadratics NAG's step minus heavy ball's (same numbers) is -s beta H (x_k - x_(k-1))",
        "splitting.damping_error",
        Threshold("<=", 1e-12),
        smoke=True,
    ),
    Claim(
        "4b",
        "beta is the (1, 1) Pade value of e^(-2 sqrt(mu s))",
        "splitting.cayley_error",
        Threshold("<=", 1e-15),
        smoke=True,
    ),
    Claim(
        "4c",
        "the drift-kick splitting and the momentum form give the same iterates",
        "splitting.form_error",
        Threshold("<=", 1e-12),
        smoke=True,
    ),
    Claim(
        "5a",
        "certificate: worst V+/V over 1 - sqrt(mu/L), minus one, at every step on all functions",
        "certificate.excess",
        Threshold("<=", 1e-12),
        smoke=True,
    ),
    Claim(
        "5b",
        "momentum and three-sequence forms agree (relative to the start)",
        "certificate.form_error",
        Threshold("<=", 1e-12),
        smoke=True,
    ),
    Claim(
        "6",
        "triple momentum's output contracts by 0.8 a step at kappa = 25 (kinked function, steps 40 to 80)",
        "cycle.rate_error",
        Threshold("<=", 1e-6),
        smoke=True,
    ),
    Claim(
        "7a",
        "heavy ball from 3.3 is on the cycle 792/1225, -2208/1225, 2592/1225 after 1,000 steps",
        "cycle.error",
        Threshold("<=", 1e-12),
        smoke=True,
    ),
    Claim(
        "7b",
        "Nesterov and triple momentum are at 0 after 100 steps from there",
        "cycle.others",
        Threshold("<=", 1e-9),
        smoke=True,
    ),
    Claim(
        "8",
        "spectral radii over [mu, L] match the four formulas at kappa = 10, 100, 1000",
        "radii.error",
        Threshold("<=", 1e-6),
        smoke=True,
    ),
    Claim(
        "9a",
        "iterations to 1e-8 against kappa, 10 to 1e4: exponent of Nesterov",
        "rates.nesterov_slope",
        Threshold("within", (0.45, 0.55)),
    ),
    Claim("9b", "exponent of triple momentum", "rates.triple_momentum_slope", Threshold("within", (0.45, 0.55))),
    Claim("9c", "exponent of gradient descent", "rates.gradient_descent_slope", Threshold("within", (0.95, 1.05))),
    Claim(
        "10a",
        "share of optimisers named correctly from 60 iterates, exact gradients",
        "identify.named",
        Threshold(">=", 1.0),
    ),
    Claim(
        "10b",
        "share named correctly with 1 % gradient noise",
        "identify.named_noisy",
        Threshold(">=", 0.95),
        over="mean",
    ),
    Claim("10c", "their coefficients, exact gradients (relative)", "identify.error", Threshold("<=", 1e-6)),
    Claim("10d", "their coefficients, 1 % noise (relative, worst)", "identify.error_noisy", Threshold("<=", 0.05)),
    Claim(
        "10e",
        "lam and k back from the positions of a passivity flow (relative)",
        "identify.passivity_error",
        Threshold("<=", 1e-6),
    ),
    Claim(
        "10f",
        "as 10e with noise of sd 1e-3 on every position",
        "identify.passivity_error_noisy",
        Threshold("<=", 0.05),
    ),
    Claim(
        "11a",
        "worst case over the class (semidefinite program, kappa = 10): V of NAG after N = 1 to 5 over (1 - th)^N",
        "performance.nesterov_excess",
        Threshold("<=", 1.0),
    ),
    Claim(
        "11b",
        "the same program gives gradient descent's known factor ((kappa - 1)/(kappa + 1))^(2N) (relative)",
        "performance.descent_error",
        Threshold("<=", 1e-6),
    ),
)
