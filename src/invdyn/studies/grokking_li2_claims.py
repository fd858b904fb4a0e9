"""The claims of the grokking-li2 study: every line of the card's "Works when", with its thresholds.

3e, 7c, 7d, 6b and 11 are ours: what the card describes without a threshold.
"""

from __future__ import annotations

from invdyn.studies.claim import Claim, Threshold

__all__ = ["CLAIMS"]

CLAIMS = (
    Claim(
        "1a",
        "ridge readout: the closed form of the gradient on the features equals the direct one (relative, eta = 2e-4)",
        "lazy.error",
        Threshold("<=", 1e-8),
        smoke=True,
    ),
    Claim(
        "1b",
        "without decay, features of rank n - 1: that gradient is zero",
        "lazy.without_decay",
        Threshold("<=", 1e-9),
        smoke=True,
    ),
    Claim(
        "2a",
        "cosine of that gradient with Y~ Y~^T F~ at the start, K = 20 n (M = 23, n = 317)",
        "lazy.cosine_20n",
        Threshold(">=", 0.85),
        smoke=True,
    ),
    Claim(
        "2b",
        "it rises from K = n over 2 n, 4 n, 10 n to 20 n: least rise",
        "lazy.rise",
        Threshold(">=", 0.0),
        smoke=True,
    ),
    Claim("3a", "gradient of E against autograd (relative)", "energy.gradient", Threshold("<=", 1e-10), smoke=True),
    Claim(
        "3b",
        "60 random starts at M = 5, 7, 11 all end at E = M/4",
        "energy.energy",
        Threshold("<=", 1e-4),
        smoke=True,
    ),
    Claim("3c", "each on one frequency: largest leak", "energy.leak", Threshold("<=", 1e-6), smoke=True),
    Claim("3d", "with |u|^2 = 1/2", "energy.half", Threshold("<=", 1e-4), smoke=True),
    Claim(
        "3e",
        "on Z_2 x Z_3 x Z_4 and S_4 too every start ends on one irrep: share",
        "energy.groups_pure",
        Threshold(">=", 1.0),
        smoke=True,
    ),
    Claim("4a", "M = 41, K = 1024, p = 0.5: train accuracy at epoch 50", "grok.train_at_50", Threshold(">=", 1.0)),
    Claim("4b", "test accuracy at epoch 50", "grok.test_at_50", Threshold("<=", 0.05)),
    Claim("4c", "test accuracy at epoch 300", "grok.test_at_300", Threshold(">=", 0.99)),
    Claim("4d", "without decay: test accuracy at epoch 400", "grok.control_end", Threshold("<=", 0.1)),
    Claim("4e", "M = 31, p = 0.6: test accuracy at epoch 450", "events.test_end", Threshold(">=", 0.995)),
    Claim(
        "4f",
        "the same without decay, worst of all nets (card: 0.10 for one)",
        "events.control_end",
        Threshold("<=", 0.15),
        reason="nets differ: at this order and share some of them reach 0.2 to 0.3 by what the lazy stage learns; "
        "none goes on from there",
    ),
    Claim("5a", "M = 41, p = 0.15: test accuracy at epoch 400", "grok.few_end", Threshold("<=", 0.05)),
    Claim(
        "5b",
        "share at test accuracy 0.5, times M/ln M, over M = 23, 31, 41: largest distance from the mean (relative)",
        "shares.spread",
        Threshold("<=", 0.25),
    ),
    Claim("5c", "R^2 of log n_c against log(M ln M)", "shares.r2", Threshold(">=", 0.97)),
    Claim(
        "6",
        "peak growth of |G_F| and the rise of E above anything the control reaches precede test accuracy 0.5: share",
        "events.ordered",
        Threshold(">=", 0.9),
        over="mean",
    ),
    Claim(
        "7a",
        "repulsion: b_jl < 0 for this share of the 200 most similar pairs at epoch 50",
        "grok.repulsion_early",
        Threshold(">=", 0.8),
    ),
    Claim(
        "7b",
        "at epoch 400",
        "grok.repulsion_late",
        Threshold(">=", 0.95),
        reason="one seed of three holds it; the others are one and four pairs of the 200 short",
    ),
    Claim(
        "7c",
        "the theorem's own sign, from the projected similarity computed without B: share of pairs that keep it",
        "grok.sign_rule",
        Threshold(">=", 1.0),
    ),
    Claim(
        "7d",
        "top-down: with half of the frequencies learnt, the residual's energy has its maxima on the others only: share",
        "maxima.top_down",
        Threshold(">=", 1.0),
        smoke=True,
    ),
    Claim(
        "8a",
        "at the end this share of living nodes has 90 % of its energy on one frequency",
        "features.pure",
        Threshold(">=", 0.95),
    ),
    Claim("8b", "every frequency appears: share", "features.frequencies", Threshold(">=", 1.0)),
    Claim(
        "9",
        "Muon's epochs to test accuracy 0.99 over Adam's, best rates of each, mean over p = 0.4 and 0.6 (M = 31)",
        "muon.ratio",
        Threshold("<=", 0.7),
        over="mean",
    ),
    Claim(
        "10",
        "share needed by a dihedral group (d_k = 2) over that of the cyclic group of equal order",
        "degrees.ratio",
        Threshold(">=", 1.5),
        over="mean",
        reason="d_k^2 stands in a sufficient condition; what is needed was no more for the dihedral groups of order 30 "
        "and 42 than for the cyclic ones",
    ),
    Claim(
        "11",
        "the stage detector fires (sigma_2/sigma_3 of 20 updates >= 10) with decay and never without: share",
        "grok.detector_separates",
        Threshold(">=", 1.0),
    ),
)
