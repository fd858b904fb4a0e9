"""Samplers and guides with exact D: order of convergence measured, equal views, kept moments, terminal steps, hooks."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp
from torch import Tensor

from invdyn.diffusion import (
    DDIM,
    Chain,
    ClassifierFree,
    ClassifierGuide,
    Denoiser,
    DiscretePath,
    DPMpp2M,
    DPMpp2S,
    Euler,
    GaussianMixturePrior,
    GaussianPrior,
    Heun,
    Imputation,
    Measurement,
    Renoise,
    ReverseSDE,
    Sampler,
    denoised_to,
    edm_grid,
    level_grid,
    levels,
    log_ratio_grid,
    make_path,
    uniform_grid,
)
from invdyn.diffusion.steps import Rule
from invdyn.errors import ConfigError, SignalError
from invdyn.verify.convergence import convergence_order

D64 = torch.float64


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def mixture() -> GaussianMixturePrior:
    """Three round parts on a triangle."""
    angle = torch.arange(3, dtype=D64) * (2 * math.pi / 3)
    means = 2 * torch.stack([angle.cos(), angle.sin()], 1)
    return GaussianMixturePrior(
        torch.tensor([0.5, 0.3, 0.2], dtype=D64), means, 0.1 * torch.eye(2, dtype=D64).expand(3, 2, 2)
    )


def gaussian(dim: int = 3) -> GaussianPrior:
    g = generator(11)
    root = torch.randn(dim, dim, generator=g, dtype=D64)
    return GaussianPrior(
        torch.randn(dim, generator=g, dtype=D64), root @ root.mT / dim + 0.1 * torch.eye(dim, dtype=D64)
    )


PATH = make_path("linear")
ORDERS = [
    (Euler(), (0.95, 1.05)),
    (Heun(), (1.9, 2.1)),
    (DDIM(), (0.9, 1.1)),
    (DPMpp2M(), (1.8, 2.2)),
    (DPMpp2S(), (1.8, 2.2)),
    (Heun(variable="sigma"), (1.8, 2.2)),
]


@pytest.fixture(scope="module")
def flow() -> tuple[Tensor, Tensor]:
    """Starts at t = 1 and where the probability flow takes them at 0.02, by another library's solver, to 1e-11."""
    prior, x, end = mixture(), torch.randn(20, 2, generator=generator(1), dtype=D64), 0.02

    def rate(t: float, flat: np.ndarray) -> np.ndarray:
        state = torch.from_numpy(flat).reshape(x.shape)
        return prior.velocity(state, torch.full((len(x),), t, dtype=D64), PATH).numpy().ravel()

    found = solve_ivp(rate, (1.0, end), x.numpy().ravel(), method="DOP853", rtol=1e-11, atol=1e-11)
    return x, torch.from_numpy(found.y[:, -1]).reshape(x.shape)


@pytest.mark.parametrize(("rule", "band"), ORDERS, ids=str)
def test_order_of_convergence_is_the_one_claimed(
    rule: Rule, band: tuple[float, float], flow: tuple[Tensor, Tensor]
) -> None:
    """Card, point 3: exact D of the mixture, linear path, t from 1 to 0.02, the last halving, 256 to 512 steps."""
    prior, (x, truth) = mixture(), flow

    def error(step: float) -> float:
        sampler = Sampler(PATH, uniform_grid(PATH, round(1 / step), end=0.02), rule)
        return float((sampler(prior.denoiser(PATH), x) - truth).norm(dim=1).mean())

    assert band[0] <= convergence_order(error, [1 / 256, 1 / 512]) <= band[1]


def test_ddim_is_dpm_solver_one_and_eta_one_is_the_ddpm_posterior() -> None:
    """Card, point 4, to 1e-12: against the textbook formulas written out."""
    path = DiscretePath.linear()
    g = generator(2)
    x, denoised, z = (torch.randn(20, 3, generator=g, dtype=D64) for _ in range(3))
    for high, low in itertools.pairwise(levels(path, 7, "leading")):
        pair = [path.level_time(high), path.level_time(low)]
        t = torch.tensor(pair, dtype=D64)
        (at, a_s), (st, ss) = path.alpha(t).tolist(), path.sigma(t).tolist()
        plain = Sampler(path, pair, DDIM())(lambda x, t: denoised, x)
        h = math.log(a_s / ss) - math.log(at / st)
        assert torch.allclose(plain, ss / st * x + a_s * (1 - math.exp(-h)) * denoised, rtol=0, atol=1e-12)
        # q(x_s | x_t, x0) of DDPM: beta~ = (1 - abar_s) / (1 - abar_t) beta, beta = 1 - abar_t / abar_s.
        beta = 1 - (at / a_s) ** 2
        mean = a_s * beta / st**2 * denoised + (at / a_s) * ss**2 / st**2 * x
        noisy = Sampler(path, pair, DDIM(eta=1.0))(lambda x, t: denoised, x, generator(5))
        draw = torch.randn(x.shape, generator=generator(5), dtype=D64)
        assert torch.allclose(noisy, mean + math.sqrt(ss**2 / st**2 * beta) * draw, rtol=0, atol=1e-12)
    assert z.shape == x.shape


SDES = [(ReverseSDE(0.5), 250), (ReverseSDE(1.0), 250), (DDIM(eta=1.0), 250), (DDIM(eta=0.5), 250)]


@pytest.mark.parametrize(("rule", "steps"), SDES, ids=lambda v: str(v))
@pytest.mark.parametrize("name", ["vp_linear", "edm"])
def test_noisy_samplers_keep_the_moments_of_a_gaussian(rule: Rule, steps: int, name: str) -> None:
    """Card, point 4: mean and covariance within 3 standard errors, started in the exact marginal.

    A bias of the discretisation would show, so steps are many and even in lambda.
    """
    path, prior, g = make_path(name), gaussian(), generator(3)
    top = {"vp_linear": 0.9, "linear": 0.97, "edm": 20.0}[name]
    size = 2000
    t = torch.full((size,), top, dtype=D64)
    x = path.corrupt(prior.sample(size, g), torch.randn(size, 3, generator=g, dtype=D64), t)
    end = float(path.time(torch.tensor(3.0, dtype=D64)))
    out = Sampler(path, log_ratio_grid(path, steps, top, end), rule)(prior.denoiser(path), x, g)
    last = torch.tensor(end, dtype=D64)
    a2, s2 = float(path.alpha(last) ** 2), float(path.sigma(last) ** 2)
    mean, covariance = math.sqrt(a2) * prior.mean(), a2 * prior.covariance() + s2 * torch.eye(3, dtype=D64)
    scale = covariance.diagonal().sqrt()
    assert float(((out.mean(0) - mean).abs() / (scale / math.sqrt(size))).max()) < 3.5
    found = torch.cov(out.T)
    error = ((scale[:, None] * scale) ** 2 + covariance**2).sqrt() / math.sqrt(size)
    assert float(((found - covariance).abs() / error).max()) < 3.5


def test_heun_agrees_with_the_closed_flow_map() -> None:
    """Card, point 5: 400 EDM steps, 5e-4."""
    path, prior, g = make_path("edm"), gaussian(8), generator(4)
    x = 80 * torch.randn(50, 8, generator=g, dtype=D64)
    grid = edm_grid(401, zero=False)
    found = Sampler(path, grid, Heun(variable="sigma"))(prior.denoiser(path), x)
    t, r = (torch.full((50,), v, dtype=D64) for v in (grid[0], grid[-1]))
    assert float((found - prior.flow_map(x, t, r, path)).abs().max()) < 5e-4


@pytest.mark.parametrize("name", ["linear", "trig", "edm", "vp_linear", "cosine_k"])
@pytest.mark.parametrize(
    "rule",
    [DDIM(), DDIM(eta=1.0), DPMpp2M(), DPMpp2S(), Heun(), Heun("sigma", churn=5.0), Euler(), ReverseSDE(), Renoise()],
    ids=lambda v: str(v),
)
def test_pure_noise_and_the_data_are_ordinary_ends(rule: Rule, name: str) -> None:
    """Every rule from t_max to exactly 0: finite, on the data where the data are one point, no division by sigma."""
    path, point = make_path(name), torch.tensor([1.5, -0.5], dtype=D64)
    sampler = Sampler(path, uniform_grid(path, 8), rule)
    x = sampler.start(torch.zeros(30, 2, dtype=D64), generator(6))
    out = sampler(lambda x, t: point.expand_as(x), x, generator(7))
    assert torch.allclose(out, point.expand_as(out), rtol=0, atol=1e-9)


def test_churn_keeps_the_distribution_and_grids_end_where_told() -> None:
    path, prior, g = make_path("edm"), gaussian(), generator(8)
    x = 80 * torch.randn(5_000, 3, generator=g, dtype=D64)
    out = Sampler(path, edm_grid(100), Heun("sigma", churn=40.0, low=0.05, high=50.0))(prior.denoiser(path), x, g)
    # 5,000 samples: 3.5 standard errors of the mean, and 7 % of a covariance entry.
    scale = prior.covariance().diagonal().sqrt()
    assert float(((out.mean(0) - prior.mean()).abs() / scale).max()) < 3.5 / math.sqrt(5_000)
    assert float((torch.cov(out.T) - prior.covariance()).abs().max()) < 0.07 * float(scale.square().max())
    grid = edm_grid(18)
    assert (len(grid), grid[0], grid[-2], grid[-1]) == (19, 80.0, 0.002, 0.0)
    assert grid[1] == pytest.approx((80 ** (1 / 7) + (0.002 ** (1 / 7) - 80 ** (1 / 7)) / 17) ** 7)
    ddpm = DiscretePath.linear()
    assert levels(ddpm, 4, "leading") == [750, 500, 250, 0]
    assert levels(ddpm, 4, "trailing") == [999, 749, 499, 249]
    assert levels(ddpm, 3, "linspace") == [999, 500, 0]
    assert level_grid(ddpm, 4)[-1] == 0.0


def test_pairs_relabel_levels() -> None:
    """Steps k -> k - 1 for a list of k with gaps: what real-time iteration does."""
    path = DiscretePath.cosine()
    pairs = [(path.level_time(k), path.level_time(k - 1)) for k in (7, 3, 0)]
    seen: list[float] = []

    def denoise(x: Tensor, t: Tensor) -> Tensor:
        seen.append(float(t[0]))
        return torch.zeros_like(x)

    Sampler(path, pairs, DDIM())(denoise, torch.ones(2, 2))
    assert [round(v * 100) - 1 for v in seen] == [7, 3, 0]


def test_guidance_zero_and_one_are_exact_and_an_interval_is_kept() -> None:
    """Card, point 8, first half."""
    prior, left = mixture(), gaussian(2)
    g = generator(9)
    x, t = torch.randn(50, 2, generator=g, dtype=D64), 0.05 + 0.9 * torch.rand(50, generator=g, dtype=D64)
    without, under = prior.denoised(x, t, PATH), left.denoised(x, t, PATH)
    for path in (None, PATH):
        assert torch.equal(ClassifierFree(left.denoiser(PATH), 0.0, path)(x, t, without), without)
        assert torch.equal(ClassifierFree(left.denoiser(PATH), 1.0, path)(x, t, without), under)
    some = ClassifierFree(left.denoiser(PATH), 3.0, PATH, interval=(0.0, 5.0))(x, t, without)
    inside = PATH.log_ratio(t) >= 0
    assert torch.equal(some[~inside], under[~inside])
    assert torch.allclose(some[inside], (without + 3 * (under - without))[inside])


def test_classifier_guidance_equals_the_class_conditional() -> None:
    """With the exact p(c | x_t) the guided D of the mixture is D of the class."""
    prior, path = mixture(), make_path("vp_linear")
    first = GaussianMixturePrior(torch.ones(1, dtype=D64), prior.means[:1], prior.covariances[:1])
    g = generator(10)
    t = 0.1 + 0.8 * torch.rand(40, generator=g, dtype=D64)
    x = path.corrupt(prior.sample(40, g), torch.randn(40, 2, generator=g, dtype=D64), t)
    guide = ClassifierGuide(lambda x, t: first.log_prob(x, t, path) - prior.log_prob(x, t, path), path)
    assert torch.allclose(guide(x, t, prior.denoised(x, t, path)), first.denoised(x, t, path), atol=1e-9)


def test_measurement_guide_is_exact_for_gaussians() -> None:
    """p(y | x_t) = N(y; H D, H Cov[x0 | x_t] H^T + s^2): samples are those of the Bayes posterior, by the flow map."""
    path, prior, g = make_path("linear"), gaussian(), generator(12)
    h, y, noise = torch.randn(2, 3, generator=g, dtype=D64), torch.randn(2, generator=g, dtype=D64), 0.5
    after = prior.given(h, y, noise)
    posterior = GaussianPrior(after.means[0], after.covariances[0])

    def likelihood(denoised: Tensor, t: Tensor) -> Tensor:
        left = prior.posterior(denoised.detach(), t, path).covariances[:, 0]  # the same for every x
        seen = h @ left @ h.mT + noise**2 * torch.eye(2, dtype=D64)
        away = y - denoised @ h.mT
        return -0.5 * (away * torch.linalg.solve(seen, away[..., None])[..., 0]).sum(1)

    guide = Measurement(likelihood, path)
    t = 0.1 + 0.8 * torch.rand(30, generator=g, dtype=D64)
    x = torch.randn(30, 3, generator=g, dtype=D64).requires_grad_(True)
    bent = guide(x, t, prior.denoised(x, t, path))
    assert torch.allclose(bent.detach(), posterior.denoised(x.detach(), t, path), atol=1e-9)
    grid = uniform_grid(path, 40, start=0.99)  # at 1 alpha is 0: nothing to push, nothing to divide by
    sampler = Sampler(path, grid, Heun(), guide=Chain(guide))
    start = sampler.start(torch.zeros(10, 3, dtype=D64), g)
    plain = Sampler(path, grid, Heun())(posterior.denoiser(path), start)
    assert torch.allclose(sampler(prior.denoiser(path), start), plain, atol=1e-9)


def test_imputed_entries_come_out_as_they_were_given() -> None:
    prior, g = gaussian(), generator(13)
    known = torch.tensor([0.3, 0.0, 0.0], dtype=D64)
    mask = torch.tensor([True, False, False])
    sampler = Sampler(PATH, uniform_grid(PATH, 20), DDIM(), guide=Imputation(known, mask))
    out = sampler(prior.denoiser(PATH), sampler.start(torch.zeros(50, 3, dtype=D64), g))
    assert torch.allclose(out[:, 0], known[0].expand(50), atol=1e-12)
    assert float(out[:, 1].std()) > 0.1


def test_state_stays_wide_and_clip_holds() -> None:
    prior = gaussian()
    calls: list[torch.dtype] = []

    def denoise(x: Tensor, t: Tensor) -> Tensor:
        calls.append(x.dtype)
        return prior.denoised(x.double(), t.double(), PATH).to(x.dtype)

    x = torch.randn(40, 3, generator=generator(14))
    grid = uniform_grid(PATH, 150, end=0.0)
    wide = Sampler(PATH, grid, Euler(), wide=True)(denoise, x)
    assert set(calls) == {torch.float32}
    assert wide.dtype == torch.float32
    exact = Sampler(PATH, grid, Euler())(prior.denoiser(PATH), x.double())
    narrow = Sampler(PATH, grid, Euler())(denoise, x)
    assert float((wide - exact).abs().max()) < float((narrow - exact).abs().max())
    assert float(Sampler(PATH, grid, clip=0.5)(denoise, x).abs().max()) <= 0.5


def test_refusals_name_the_fault() -> None:
    x = torch.zeros(2, 2)
    with pytest.raises(ConfigError, match="step from t = 0"):
        Sampler(PATH, [1.0, 0.2, 0.4])
    with pytest.raises(ConfigError, match="at least two times"):
        Sampler(PATH, [1.0])
    with pytest.raises(ConfigError, match="kind 'eps'"):
        Sampler(PATH, [1.0, 0.0])(Denoiser(lambda x, t, c: x, PATH, "eps"), x)
    with pytest.raises(SignalError, match=r"not finite"):
        Sampler(PATH, [1.0, 0.0])(lambda x, t: x / 0, x)
    with pytest.raises(ConfigError, match=r"eta is 2\.0"):
        DDIM(eta=2.0)
    with pytest.raises(ConfigError, match="needs variable"):
        Heun(churn=1.0)
    with pytest.raises(ConfigError, match="Start and end between"):
        log_ratio_grid(PATH, 10, 1.0, 0.1)
    with pytest.raises(ConfigError, match="needs the path"):
        ClassifierFree(lambda x, t: x, 2.0, interval=(0.0, 1.0))


def test_a_net_of_any_kind_samples_the_same() -> None:
    """The kind is notation: exact outputs of every kind give the same samples."""
    path, prior = make_path("vp_linear"), gaussian()
    x = torch.randn(20, 3, generator=generator(15), dtype=D64)
    grid = uniform_grid(path, 30, end=0.0)
    plain = Sampler(path, grid, DPMpp2M())(prior.denoiser(path), x)
    for kind in ("x0", "eps", "score", "velocity", "salimans_v"):

        def net(x: Tensor, t: Tensor, condition: None, kind: str = kind) -> Tensor:
            return denoised_to(kind, prior.denoised(x, t, path), x, t, path)

        out = Sampler(path, grid, DPMpp2M())(Denoiser(net, path, kind), x)  # type: ignore[arg-type]
        assert torch.allclose(out, plain, atol=1e-8), kind
