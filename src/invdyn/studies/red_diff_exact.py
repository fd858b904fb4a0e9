"""Part (a) of the RED-diff study: exact priors. Fixed points, the right lambda, the field's potential, mixtures."""

from __future__ import annotations

import torch
from torch import Tensor

from invdyn.diffusion import DDIM, GaussianMixturePrior, GaussianPrior, RedDiff, Sampler
from invdyn.diffusion.operators import matrix
from invdyn.diffusion.posterior import DPS, Projection, pgdm, wiener
from invdyn.diffusion.run import Guide
from invdyn.diffusion.spread import block_spread, laplace
from invdyn.diffusion.variational import (
    denoising_field,
    matched_weight,
    ordered,
    regulariser_precision,
    whitening,
)
from invdyn.studies.part import Part, generators
from invdyn.studies.red_diff_config import PATH, RedDiffConfig, descending, grid

__all__ = ["field", "gaussian", "mixture"]

ALL = [PATH.level_time(k) for k in reversed(range(1000))]
NOISE = 0.6
S_I = {0.25: 0.207, 0.5: 0.389, 1.0: 0.724, 2.0: 1.331, 4.0: 2.418}
"""s I(s) of the schedule (card)."""


def problem(dim: int, g: torch.Generator, variance: float | None = None) -> tuple[GaussianPrior, Tensor, Tensor]:
    """A prior with a random covariance (or a round one), dim / 2 random measurements, their values for 4 truths."""
    root = torch.randn(dim, dim, generator=g, dtype=torch.float64) / dim**0.5
    eye = torch.eye(dim, dtype=torch.float64)
    cov = root @ root.mT + 0.2 * eye if variance is None else variance * eye
    prior = GaussianPrior(torch.randn(dim, generator=g, dtype=torch.float64), cov)
    h = torch.randn(dim // 2, dim, generator=g, dtype=torch.float64) / dim**0.5
    seen = prior.sample(4, g) @ h.mT
    return prior, h, seen + NOISE * torch.randn(seen.shape, generator=g, dtype=torch.float64)


def fixed_point(prior: GaussianPrior, h: Tensor, y: Tensor, pull: Tensor, a: float = 1.0, b: float = 1.0) -> Tensor:
    """(a pull + b H^T H) mu = a pull m + b H^T y."""
    return torch.linalg.solve(a * pull + b * h.mT @ h, (a * pull @ prior.mean() + b * y @ h).mT).mT


def solve(
    prior: GaussianPrior, h: Tensor, y: Tensor, g: torch.Generator, config: RedDiffConfig, **settings: object
) -> Tensor:
    """mu with noise levels in random order, the second half of the steps averaged."""
    steps, tail = config.averaged_steps, []
    order = [ALL[k] for k in torch.randint(0, 1000, (steps,), generator=g).tolist()]
    red = RedDiff(PATH, order, lr=0.03, final_lr=0.02, draws=config.gaussian_draws, **settings)  # type: ignore[arg-type]

    def watch(step: int, mu: Tensor) -> None:
        if step >= steps // 2:
            tail.append(mu.clone())

    red(prior.denoiser(PATH), matrix(h), y, g, watch=watch)
    return torch.stack(tail).mean(0)


def relative(found: Tensor, truth: Tensor) -> float:
    """|found - truth| / |truth|."""
    return float((found - truth).norm() / truth.norm())


def gaussian(seed: int, config: RedDiffConfig) -> Part:
    """Points 1 and 2, and error bars beside the exact posterior's (ours)."""
    g, _ = generators(seed, "gaussian")
    errors = []
    for _ in range(config.problems):
        prior, h, y = problem(config.dim, g)
        found = solve(prior, h, y, g, config, weight=0.25)
        pull = 0.25 * regulariser_precision(prior, PATH, ALL)
        errors.append(relative(found, fixed_point(prior, h, y, pull, 1 / config.dim, 1 / len(h))))
    metrics: dict[str, object] = {"fixed_point.error": max(errors)}
    metrics["schedule.error"] = max(abs(1 / matched_weight(s, PATH, ALL, 1.0) - v) for s, v in S_I.items())

    likelihood = {"sums": True, "data": 1 / NOISE**2}
    prior, h, y = problem(config.dim, g, 1.0)
    bayes = wiener(prior, matrix(h), y, NOISE, y.new_empty(config.dim))
    right = matched_weight(1.0, PATH, ALL, 1.0)
    metrics["matched.error"] = relative(solve(prior, h, y, g, config, weight=right, **likelihood), bayes)
    off = solve(prior, h, y, g, config, weight=0.25, **likelihood)
    predicted = fixed_point(prior, h, y, 0.25 * regulariser_precision(prior, PATH, ALL), b=1 / NOISE**2)
    # The factor: how far the answer is from Bayes', found over predicted.
    metrics["quarter.factor_error"] = abs(float((off - bayes).norm() / (predicted - bayes).norm()) - 1)
    metrics["quarter.away"] = relative(predicted, bayes)

    prior, h, y = problem(config.dim, g)
    bayes = wiener(prior, matrix(h), y, NOISE, y.new_empty(config.dim))
    weight = whitening(prior, PATH, ALL, 1.0)
    metrics["whiten.error"] = relative(solve(prior, h, y, g, config, weight=weight, **likelihood), bayes)
    best = min(relative(fixed_point(prior, h, y, _pull(prior, c), b=1 / NOISE**2), bayes) for c in _scalars())
    metrics["scalar.best_error"] = best

    post = torch.linalg.inv(torch.linalg.inv(prior.covariance()) + h.mT @ h / NOISE**2)
    quiet = PATH.level_time(0)
    exact = post.diagonal().sqrt().expand(4, -1)
    at = laplace(prior.denoiser(PATH), matrix(h), y, bayes, PATH, quiet, NOISE)
    metrics["laplace.error"] = relative(at.spread, exact)
    narrow = (1 / torch.linalg.inv(post).diagonal()).sqrt().expand(4, -1)
    own = block_spread(prior.denoiser(PATH), matrix(h), y, bayes, PATH, PATH.level_time(9), NOISE, g, start=0.3)
    metrics["block.mean_field_error"] = relative(own.spread, narrow)
    metrics["block.share_of_exact"] = float((own.spread / exact).mean())
    return Part(metrics, {})


def _pull(prior: GaussianPrior, weight: float) -> Tensor:
    return weight * regulariser_precision(prior, PATH, ALL)


def _scalars() -> list[float]:
    return [0.1 * 1.1**k for k in range(60)]


def field(seed: int, config: RedDiffConfig) -> Part:
    """Point 3: the Monte-Carlo field against M at 20 points; the stop-gradient field against autograd of R."""
    g, _ = generators(seed, "field")
    prior, _, _ = problem(config.dim, g)
    some = [PATH.level_time(k) for k in range(999, -1, -20)]
    mu = prior.mean() + 2 * torch.randn(20, config.dim, generator=g, dtype=torch.float64)
    draws, pulls = config.field_draws, []
    for t in some:
        eps = torch.randn(draws * 20, config.dim, generator=g, dtype=torch.float64)
        level = torch.full((draws * 20,), t, dtype=torch.float64)
        found = denoising_field(prior.denoiser(PATH), mu.repeat(draws, 1), level, eps, PATH)
        ratio = PATH.sigma(level[:1]) / PATH.alpha(level[:1])
        pulls.append((ratio * found).reshape(draws, 20, config.dim))
    mean = torch.stack(pulls).mean(0)
    error = mean.std(0) / draws**0.5
    exact = (mu - prior.mean()) @ regulariser_precision(prior, PATH, some)
    away = (mean.mean(0) - exact).norm(dim=1) / error.norm(dim=1)
    metrics = {
        "field.standard_errors": float(away.max()),
        "field.standard_error": float((error.norm(dim=1) / exact.norm(dim=1)).max()),
    }

    three = GaussianMixturePrior(
        torch.ones(3, dtype=torch.float64),
        2 * torch.randn(3, 2, generator=g, dtype=torch.float64),
        0.1 * torch.eye(2, dtype=torch.float64).expand(3, 2, 2),
    )
    at = torch.randn(30, 2, generator=g, dtype=torch.float64, requires_grad=True)
    half = torch.randn(15, 2, generator=g, dtype=torch.float64)
    potential, pull = at.new_zeros(()), torch.zeros(30, 2, dtype=torch.float64)
    for t in some:
        for sign in (1.0, -1.0):  # pairs, so that no eps of its own is left in the field
            level, eps = torch.full((30,), t, dtype=torch.float64), sign * half.repeat(2, 1)
            alpha, sigma = PATH.alpha(level)[:, None], PATH.sigma(level)[:, None]
            density = three.log_prob(alpha * at + sigma * eps, level, PATH)
            potential = potential - ((sigma / alpha).square()[:, 0] * density).sum()
            pull += sigma / alpha * denoising_field(three.denoiser(PATH), at.detach(), level, eps, PATH)
    (slope,) = torch.autograd.grad(potential, at)
    metrics["potential.error"] = float(((slope - pull).abs() / (1 + slope.abs())).max())
    return Part(metrics, {})


def mixture(seed: int, config: RedDiffConfig) -> Part:
    """Point 4: one measured direction that leaves modes open; does an answer stand on one of them?"""
    g, _ = generators(seed, "mixture")
    dim, parts, sd, noise = config.mixture_dim, 8, 0.1, 0.1
    # Pairs of parts that the measured components cannot tell apart: equal there, opposite elsewhere.
    means = torch.randn(parts, dim, generator=g, dtype=torch.float64)
    means[parts // 2 :] = means[: parts // 2]
    means[parts // 2 :, dim // 2 :] *= -1
    prior = GaussianMixturePrior(
        torch.ones(parts, dtype=torch.float64),
        means,
        sd**2 * torch.eye(dim, dtype=torch.float64).expand(parts, dim, dim),
    )
    h = torch.eye(dim, dtype=torch.float64)[: dim // 2]
    truth = prior.sample(config.mixture_runs, g)
    y = truth @ h.mT
    y = y + noise * torch.randn(y.shape, generator=g, dtype=torch.float64)
    operator, denoise, times = matrix(h), prior.denoiser(PATH), grid(config.mixture_steps)

    def share(found: Tensor) -> float:
        good = 0
        for x, one in zip(found, y):
            post = prior.given(h, one, noise)
            modes = post.means[post.log_weights.exp() > 0.01]
            good += bool(((x - modes).abs() <= 3 * sd).all(1).any())
        return good / len(found)

    levels = descending(config.mixture_steps)
    orders = {"red_diff": levels, "red_diff_ascending": levels[::-1], "red_diff_random": ordered(levels, "random", g)}
    answers = {}
    for name, order in orders.items():
        red = RedDiff(PATH, order, 1.0, data=1 / noise**2, sums=True, lr=0.1)
        answers[name] = red(denoise, operator, y, g)
    # As few as the digits get: too few for Adam to reach a mode from the pseudo-inverse.
    red = RedDiff(PATH, descending(config.calls), 1.0, data=1 / noise**2, sums=True, lr=0.1)
    answers["red_diff_few"] = red(denoise, operator, y, g)
    answers["sds"] = RedDiff(PATH, levels, data=0.0, sums=True, lr=0.1)(denoise, operator, y, g)
    start = torch.randn(truth.shape, generator=g, dtype=torch.float64)
    for weight in (0.1, 0.3, 1.0):
        answers[f"dps_{weight:g}"] = Sampler(PATH, times, DPS(operator, y, weight))(denoise, start, g)
    guides: dict[str, Guide] = {
        "pgdm": pgdm(operator, y, PATH, noise),
        "projection": Projection(operator, y, PATH, noise),
    }
    for name, guide in guides.items():
        answers[name] = Sampler(PATH, times, DDIM(1.0), guide)(denoise, start, g)
    answers["wiener"] = wiener(prior, operator, y, noise, truth[0])
    answers["pseudo_inverse"] = operator.guess(y)
    metrics = {f"mixture.{name}": share(x) for name, x in answers.items()}
    metrics["mixture.dps"] = max(metrics[f"mixture.dps_{w:g}"] for w in (0.1, 0.3, 1.0))
    metrics["mixture.truth"] = share(truth)
    shown = {name: answers[name][:, [0, -1]].tolist() for name in ("red_diff", "wiener", "pgdm")}
    best = max((0.1, 0.3, 1.0), key=lambda w: metrics[f"mixture.dps_{w:g}"])
    shown["dps"] = answers[f"dps_{best:g}"][:, [0, -1]].tolist()
    return Part(metrics, {"points": shown, "means": means[:, [0, -1]].tolist(), "sd": sd})
