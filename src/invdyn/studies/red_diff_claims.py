"""The claims of the RED-diff study: every line of the card's "Works when", with its thresholds, and ours."""

from __future__ import annotations

from invdyn.studies.claim import at_least, at_most

__all__ = ["CLAIMS"]


CLAIMS = (
    at_most(
        "1",
        "Gaussian prior: |mu - fixed point| / |fixed point| after 1,200 averaged steps, worst of three random (S, H)",
        "fixed_point.error",
        0.01,
    ),
    at_most("2a", "lambda* recovers the isotropic posterior mean (relative)", "matched.error", 0.01),
    at_most("2b", "lambda = 0.25 is off by the predicted factor (relative)", "quarter.factor_error", 0.02),
    at_most("2c", "the matrix weight recovers the posterior mean of a correlated prior", "whiten.error", 0.01),
    at_least("2d (ours)", "which the best of 60 scalar weights does not: relative error", "scalar.best_error", 0.01),
    at_most(
        "3a",
        "the Monte-Carlo gradient equals M (mu - m), in standard errors of the vector, worst of 20 points",
        "field.standard_errors",
        3.0,
        smoke=True,
    ),
    at_most(
        "3b",
        "on a 3-component mixture the stop-gradient field equals autograd of the potential, same draws (relative)",
        "potential.error",
        1e-8,
        smoke=True,
    ),
    at_least(
        "4a",
        "mixture prior: RED-diff ends within 3 sd (every component) of a mode consistent with y: share of 100 runs",
        "mixture.red_diff",
        0.95,
    ),
    at_least("4b", "DPS likewise", "mixture.dps", 0.95),
    at_most("4c", "the Wiener filter: share below one half", "mixture.wiener", 0.499999),
    at_least("5a", "in-painting, half the pixels hidden, 100 calls: PSNR over DPS, dB", "inpaint.over_dps", 0.5),
    at_least("5b", "and over the Wiener filter, dB", "inpaint.over_wiener", 1.0),
    at_least("5c", "super-resolution x2: PSNR over the best baseline, dB", "super.over_best", -0.1),
    at_most("6a", "peak memory of tensors over DPS's, a net of 8 x 512", "cost.memory_mb.ratio", 0.6),
    at_most("6b", "time of a step over DPS's, the same net", "cost.step_ms.ratio", 0.6),
    at_most(
        "6c (ours)",
        "as 6a with the digits' own net of 3 x 256",
        "small_net.cost.memory_mb.ratio",
        0.6,
        reason="A net this small holds little more than one layer at a time, as the loop around it does.",
    ),
    at_most(
        "6d (ours)",
        "as 6b with the digits' own net",
        "small_net.cost.step_ms.ratio",
        0.6,
        reason="A call of this net takes no longer than Adam and the arithmetic around it.",
    ),
    at_most("7a", "force histories: RMS error over the pseudo-inverse's", "force.against_pseudo_inverse", 0.5),
    at_most(
        "7b",
        "the answer replayed in its world: RMS distance to the measured positions, in noise sds",
        "force.residual.red_diff",
        1.2,
    ),
    at_least(
        "8",
        "phase retrieval: of ten starts the one that fits best, up to a flip: share of digits at 20 dB or more",
        "phase.share.red_diff",
        0.8,
    ),
    at_most(
        "9 (ours)",
        "error bars from the curvature at mu equal the exact posterior's on a Gaussian (relative)",
        "laplace.error",
        0.01,
    ),
)
