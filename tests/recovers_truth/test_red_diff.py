"""RED-diff against its exact Gaussian case, the potential of its field, and operators against their adjoints."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from invdyn.diffusion import DiscretePath, GaussianMixturePrior, GaussianPrior, RedDiff
from invdyn.diffusion.operators import Operator, block_average, blur, hide, matrix, phase_retrieval
from invdyn.diffusion.variational import denoising_field, matched_weight, regulariser_precision, whitening
from invdyn.errors import ConfigError, SignalError, UnknownNameError

D64 = torch.float64
PATH = DiscretePath.linear()
ALL = [PATH.level_time(k) for k in reversed(range(1000))]
SOME = [PATH.level_time(k) for k in range(999, -1, -10)]


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def problem(seed: int, round_variance: float | None = None) -> tuple[GaussianPrior, Tensor, Tensor]:
    """A prior in 6-D, three measured combinations, and the values of four measurements."""
    g = generator(seed)
    root = torch.randn(6, 6, generator=g, dtype=D64) / 6**0.5
    cov = root @ root.mT + 0.2 * torch.eye(6, dtype=D64)
    if round_variance is not None:
        cov = round_variance * torch.eye(6, dtype=D64)
    prior = GaussianPrior(torch.randn(6, generator=g, dtype=D64), cov)
    h = torch.randn(3, 6, generator=g, dtype=D64) / 6**0.5
    return prior, h, torch.randn(4, 3, generator=g, dtype=D64)


def fixed_point(prior: GaussianPrior, h: Tensor, y: Tensor, pull: Tensor, a: float = 1.0, b: float = 1.0) -> Tensor:
    """(a pull + b H^T H) mu = a pull m + b H^T y."""
    left = a * pull + b * h.mT @ h
    return torch.linalg.solve(left, (a * pull @ prior.mean() + b * y @ h).mT).mT


def solve(prior: GaussianPrior, h: Tensor, y: Tensor, steps: int = 1200, **settings: object) -> Tensor:
    """Noise levels in random order, the second half of the steps averaged."""
    order = torch.randint(0, 1000, (steps,), generator=generator(9)).tolist()
    tail: list[Tensor] = []
    red = RedDiff(PATH, [ALL[k] for k in order], lr=0.03, final_lr=0.02, draws=8, **settings)  # type: ignore[arg-type]
    red(
        prior.denoiser(PATH),
        matrix(h),
        y,
        generator(8),
        watch=lambda i, mu: tail.append(mu.clone()) if i >= steps // 2 else None,
    )
    return torch.stack(tail).mean(0)


def relative(found: Tensor, truth: Tensor) -> float:
    return float((found - truth).norm() / truth.norm())


@pytest.mark.parametrize("seed", [1, *(pytest.param(k, marks=pytest.mark.slow) for k in (2, 3))])
def test_gaussian_case_ends_in_its_fixed_point(seed: int) -> None:
    """Card, point 1: 1 % after 1,200 steps in the code's own units, both terms means."""
    prior, h, y = problem(seed)
    found = solve(prior, h, y, weight=0.25)
    exact = fixed_point(prior, h, y, 0.25 * regulariser_precision(prior, PATH, ALL), 1 / 6, 1 / 3)
    assert relative(found, exact) < 0.01


def test_one_weight_is_right_for_a_round_prior_and_a_matrix_for_any() -> None:
    """Card, point 2: posterior mean to 1 % with the matched weight, and with `whitening`; 0.25 is off as predicted."""
    noise = 0.6
    prior, h, y = problem(4, round_variance=1.0)
    bayes = torch.stack([prior.given(h, one, noise).means[0] for one in y])
    right = matched_weight(1.0, PATH, ALL, noise)
    assert relative(solve(prior, h, y, weight=right, sums=True), bayes) < 0.01
    off = solve(prior, h, y, weight=0.25 * noise**2, sums=True)
    predicted = fixed_point(prior, h, y, 0.25 * noise**2 * regulariser_precision(prior, PATH, ALL))
    assert relative(off, predicted) < 0.02
    assert relative(predicted, bayes) > 0.1
    prior, h, y = problem(5)
    bayes = torch.stack([prior.given(h, one, noise).means[0] for one in y])
    assert relative(solve(prior, h, y, weight=whitening(prior, PATH, ALL, noise), sums=True), bayes) < 0.01


def test_numbers_of_the_schedule() -> None:
    """s I(s) of linear-1000 at five variances (card), and the weight for s = 1 in units of the noise."""
    expected = {0.25: 0.207, 0.5: 0.389, 1.0: 0.724, 2.0: 1.331, 4.0: 2.418}
    for s, value in expected.items():
        assert 1 / matched_weight(s, PATH, ALL, 1.0) == pytest.approx(value, abs=6e-4)
    assert matched_weight(1.0, PATH, ALL, 1.0) == pytest.approx(1.380, abs=2e-3)


def test_precision_equals_the_monte_carlo_field() -> None:
    """Card, point 3, first half: 3 standard errors at 20 points (3.5 here: 120 numbers are looked at)."""
    prior, _, _ = problem(6)
    g = generator(7)
    mu = prior.mean() + 2 * torch.randn(20, 6, generator=g, dtype=D64)
    pulls = []
    for t in SOME:
        level = torch.full((20 * 50,), t, dtype=D64)
        eps = torch.randn(20 * 50, 6, generator=g, dtype=D64)
        field = denoising_field(prior.denoiser(PATH), mu.repeat(50, 1), level, eps, PATH)
        ratio = PATH.sigma(level[:1]) / PATH.alpha(level[:1])
        pulls.append((ratio * field).reshape(50, 20, 6))
    draws = torch.stack(pulls).mean(0)
    error = draws.std(0) / 50**0.5
    exact = (mu - prior.mean()) @ regulariser_precision(prior, PATH, SOME)
    assert float(((draws.mean(0) - exact).abs() / error).max()) < 3.5


def test_field_is_the_gradient_of_a_potential() -> None:
    """Card, point 3, second half: on a mixture the stop-gradient field is autograd of R with the same draws, 1e-8.

    R(mu) = mean_t sigma^2/alpha^2 E[-log p_t(alpha mu + sigma eps)]; antithetic draws leave no eps of their own.
    """
    g = generator(10)
    prior = GaussianMixturePrior(
        torch.ones(3, dtype=D64),
        torch.randn(3, 2, generator=g, dtype=D64) * 2,
        0.1 * torch.eye(2, dtype=D64).expand(3, 2, 2),
    )
    mu = torch.randn(30, 2, generator=g, dtype=D64, requires_grad=True)
    half = torch.randn(15, 2, generator=g, dtype=D64)
    potential, pull = mu.new_zeros(()), torch.zeros(30, 2, dtype=D64)
    for t in SOME[5::12]:
        for sign in (1.0, -1.0):
            level, eps = torch.full((30,), t, dtype=D64), sign * half.repeat(2, 1)
            alpha, sigma = PATH.alpha(level)[:, None], PATH.sigma(level)[:, None]
            density = prior.log_prob(alpha * mu + sigma * eps, level, PATH)
            potential = potential - ((sigma / alpha).square()[:, 0] * density).sum()
            pull += sigma / alpha * denoising_field(prior.denoiser(PATH), mu.detach(), level, eps, PATH)
    (slope,) = torch.autograd.grad(potential, mu)
    assert float(((slope - pull).abs() / (1 + slope.abs())).max()) < 1e-8


PICTURES = torch.randn(3, 8, 8, generator=generator(11), dtype=D64)


def bell() -> Tensor:
    kernel = torch.zeros(8, 8, dtype=D64)
    kernel[0, 0], kernel[0, 1], kernel[1, 0], kernel[0, -1], kernel[-1, 0] = 0.5, 0.2, 0.1, 0.15, 0.05
    return kernel


@pytest.mark.parametrize(
    ("operator", "x"),
    [
        (matrix(torch.randn(2, 5, generator=generator(12), dtype=D64)), torch.ones(4, 5, dtype=D64).cumsum(0)),
        (hide(torch.arange(64).reshape(8, 8) % 3 == 0), PICTURES),
        (block_average(2), PICTURES),
        (blur(bell()), PICTURES),
    ],
    ids=["matrix", "mask", "block average", "blur"],
)
def test_linear_operators_have_their_adjoint_and_pseudo_inverse(operator: Operator, x: Tensor) -> None:
    y = operator.forward(x)
    other = torch.randn(y.shape, generator=generator(13), dtype=D64)
    assert operator.adjoint is not None
    assert torch.allclose((y * other).sum(), (x * operator.adjoint(other)).sum())
    assert torch.allclose(operator.forward(operator.guess(y)), y, atol=1e-9)


def test_phase_retrieval_forgets_a_flip() -> None:
    operator = phase_retrieval((8, 8))
    assert torch.allclose(operator.forward(PICTURES), operator.forward(PICTURES.flip(1, 2)))
    assert torch.allclose(operator.forward(PICTURES).square().sum((1, 2)), PICTURES.square().sum((1, 2)))
    assert operator.guess(operator.forward(PICTURES)).shape == PICTURES.shape


def test_clip_and_refusals() -> None:
    wild = denoising_field(
        lambda x, t: 100 * x, torch.ones(1, 2), torch.full((1,), 0.5), torch.zeros(1, 2), PATH, clip=1.0
    )
    alpha, sigma = PATH.alpha(torch.tensor(0.5)), PATH.sigma(torch.tensor(0.5))
    assert torch.allclose(wild, (alpha - alpha) / sigma * torch.ones(1, 2), atol=1e-6)
    with pytest.raises(UnknownNameError, match="linear"):
        RedDiff(PATH, [0.5], weighting="liner")
    with pytest.raises(ConfigError, match="above 0"):
        RedDiff(PATH, [0.5, 0.0])
    with pytest.raises(ConfigError, match="0 draws"):
        RedDiff(PATH, [0.5], draws=0)
    with pytest.raises(SignalError, match="blocks of 3"):
        block_average(3).forward(PICTURES)
