"""The claims of the diffusion-principles study: every line of the card's "Works when", with its thresholds."""

from __future__ import annotations

from invdyn.studies.claim import Claim, Threshold

__all__ = ["CLAIMS"]


def _exact(id_: str, statement: str, metric: str, bound: float) -> Claim:
    return Claim(id_, statement, metric, Threshold("<=", bound), smoke=True)


CLAIMS = (
    _exact(
        "1a",
        "every kind of output -> D -> every kind round-trips at 1,000 random (x, t) on all paths, in units of rounding",
        "conversion.error",
        1e-10,
    ),
    _exact("1b", "every loss is |D - x0|^2 with its weight (relative)", "loss_identity.error", 1e-10),
    _exact("2a", "the mixture's score is the gradient of its log-density (relative)", "score.error", 1e-9),
    _exact("2b", "its velocity satisfies the continuity equation, exact divergence", "continuity.residual", 1e-7),
    Claim("3a", "Euler: log2 of the error ratio, 256 to 512 steps", "order.euler", Threshold("within", (0.95, 1.05))),
    Claim(
        "3b",
        "Heun: the smaller of the last two log2 ratios, 128 to 512 steps",
        "order.heun_last_two",
        Threshold(">=", 1.9),
    ),
    Claim("3c", "DDIM: log2 of the error ratio, 256 to 512 steps", "order.ddim", Threshold("within", (0.9, 1.1))),
    Claim("3d", "DPM-Solver++(2M): log2 of the error ratio, 256 to 512 steps", "order.dpmpp_2m", Threshold(">=", 1.8)),
    _exact("4a", "DDIM at eta = 0 equals DPM-Solver++(1)", "views.ddim_error", 1e-12),
    _exact(
        "4b", "DDIM at eta = 1 is the DDPM posterior, mean and fixed_small variance", "views.posterior_error", 1e-12
    ),
    Claim(
        "4c",
        "DDPM and reverse SDEs with the exact score keep a Gaussian's mean and covariance, in standard errors",
        "views.moments",
        Threshold("<=", 3.0),
    ),
    _exact("5a", "Heun with 400 EDM steps agrees with the closed flow map, 64-D digits", "flow_map.heun_error", 5e-4),
    _exact("5b", "flow maps compose", "flow_map.composition", 1e-10),
    _exact("5c", "the exact mean velocity is a zero of the MeanFlow residual", "mean_flow.residual", 1e-8),
    Claim("6a", "flow matching: learnt D against exact D, relative", "learnt_d.flow", Threshold("<=", 0.05)),
    Claim("6b", "EDM: learnt D against exact D, relative", "learnt_d.edm", Threshold("<=", 0.05)),
    Claim(
        "7a",
        "one step of MeanFlow over one step of Euler on the flow-matching net, W2, equal updates",
        "mean_flow.against_euler_1",
        Threshold("<=", 0.5),
    ),
    Claim(
        "7b",
        "one step of MeanFlow over two steps of Euler, W2",
        "mean_flow.against_euler_2",
        Threshold("<=", 1.5),
    ),
    _exact("8a", "guidance of weight 0 and 1 is D without and with the condition", "guidance.exact_error", 0.0),
    Claim(
        "8b",
        "two classes at -1 and 1: weight 3 moves the mean outward from weight 1",
        "guidance.outward",
        Threshold(">=", 0.1),
        smoke=True,
    ),
    Claim(
        "8c",
        "and its mean differs from that of p(x) p(c|x)^3",
        "guidance.beyond_tilted",
        Threshold(">=", 0.1),
        smoke=True,
    ),
    Claim(
        "9",
        "diffusers' DDPM, DDIM and DPM-Solver++ on the same net, grid and noise (relative)",
        "schedulers.error",
        Threshold("<=", 1e-5),
    ),
)
