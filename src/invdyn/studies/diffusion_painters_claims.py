"""The claims of the diffusion-painters study: every line of the card's "Works when", and ours beside them."""

from __future__ import annotations

from invdyn.studies.claim import Claim, Threshold, at_least, at_most

__all__ = ["CLAIMS"]


def _near(id_: str, sigma: str, pilot: float) -> Claim:
    statement = f"share of the kernel mixture's score that the Gaussian explains at sigma = {sigma}: {pilot:g} +- 0.03"
    return Claim(id_, statement, f"share.gaussian_{sigma}", Threshold("within", (pilot - 0.03, pilot + 0.03)))


CLAIMS = (
    at_most(
        "1a", "closed form and 400 steps of Heun agree, digits' Gaussian, 80 to 0.002", "closed.heun", 5e-4, smoke=True
    ),
    at_most(
        "1b", "the linear map of every component against a 64-bit matrix exponential", "closed.expm", 1e-10, smoke=True
    ),
    at_most(
        "1c", "VP and every other path agree with EDM after the change of variables", "closed.paths", 1e-10, smoke=True
    ),
    at_most("2a", "D is x + sigma^2 times autograd of the log-density (relative)", "closed.tweedie", 1e-10, smoke=True),
    at_most(
        "2b",
        "delta mixture and Gaussian: relative difference of scores, log-log slope between sigma 5 and 50",
        "closed.third_slope",
        -2.0,
        smoke=True,
    ),
    at_most("3a", "D's coefficient is half there at sqrt(3 l), top 20 components (relative)", "emergence.half", 0.01),
    at_least("3b", "Spearman of l and its time of emergence, Gaussian", "emergence.gaussian_order", 1.0),
    at_least("3c", "the same on the kernel mixture", "emergence.kernel_order", 0.9),
    _near("4a", "0.5", 0.73),
    _near("4b", "1", 0.92),
    _near("4c", "2", 0.995),
    _near("4d", "5", 1.0),
    at_least("4e", "it is above that of the round Gaussian and of the mean at all levels: margin", "share.ahead", 0.0),
    at_most("5a", "skipping 4 of 18 points changes the MSE to the reference, relative", "kernel.change_4", 0.02),
    at_least("5b", "skipping 10 multiplies it", "kernel.hurt_10", 5.0),
    at_most("6a", "12 points from sigma 5 over 12 points from 80, MSE", "kernel.regrid_12", 0.5),
    at_most("6b", "9 points from sigma 3 over 9 points from 80, MSE", "kernel.regrid_9", 0.5),
    at_least("7a", "12 points from sigma 3: rescaling about the mean over the teleport, MSE", "kernel.about_mean", 2.0),
    at_least("7b", "rescaling about zero over the teleport, MSE", "kernel.about_zero", 5.0),
    at_least("8", "the Gaussian's sample alone, MSE to the reference", "kernel.mse_gaussian", 0.1),
    Claim(
        "9a",
        "trained net: skipping 4 of 18 points changes the MSE, relative",
        "net.change_4",
        Threshold("<=", 0.10),
        reason="8, 10 and 12 %: the error rises by 2e-5 to 3e-5, a tenth of the full grid's own error on this net "
        "(2.4e-4; kernel mixture: 3e-3); its D is not quite the Gaussian's at levels it hardly trains on",
    ),
    at_least("9b", "trained net: skipping 10 multiplies it", "net.hurt_10", 5.0),
    at_most("9c", "(ours) trained net: W2 to digits held out, 4 skipped over full", "net.w2_ratio", 1.02),
    Claim(
        "9d",
        "(ours) the net's samples are nearer to the Gaussian's than to the memorising delta mixture's: MSE ratio",
        "net.delta_over_gaussian",
        Threshold(">=", 2.0),
        reason="falls as the net trains, 2.6 after 1,500 updates, 1.2 after 12,000: it comes to memorise 1,400 digits",
    ),
    at_most(
        "10a", "(ours) what is left of a push along a component: its formula", "closed.sensitivity", 1e-10, smoke=True
    ),
    at_least("10b", "(ours) share of the trajectory in the plane of noise and sample", "emergence.kernel_plane", 0.99),
    at_least("11a", "(ours) class-conditional: own statistics explain more than pooled, margin", "classes.ahead", 0.0),
    at_most(
        "11b", "(ours) 12 points from sigma 2: own class's Gaussian over the pooled one, MSE", "classes.better", 0.5
    ),
)
