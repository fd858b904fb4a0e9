"""Paths, the hub through D and the closed-form priors: identities to rounding, at random points of every path."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from invdyn.diffusion import (
    PATHS,
    DeltaMixturePrior,
    DiscretePath,
    EDMPath,
    GaussianMixturePrior,
    GaussianPrior,
    Path,
    VPLinear,
    denoised_to,
    elbo_step,
    loss_weight,
    make_path,
    to_denoised,
)
from invdyn.diffusion.losses import target
from invdyn.diffusion.parameterize import KINDS
from invdyn.errors import ConfigError, SignalError, UnknownNameError

D64 = torch.float64


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def times(path: Path, size: int, g: torch.Generator) -> Tensor:
    """Random times where alpha and sigma are both positive; on EDM's long axis evenly in log sigma."""
    u = torch.rand(size, generator=g, dtype=D64)
    if isinstance(path, EDMPath):
        return path.t_min * (path.t_max / path.t_min) ** u
    return 0.001 + 0.998 * u


def mixture(g: torch.Generator, dim: int = 2, parts: int = 3) -> GaussianMixturePrior:
    root = torch.randn(parts, dim, dim, generator=g, dtype=D64) * 0.4
    covariances = root @ root.mT + 0.05 * torch.eye(dim, dtype=D64)
    weights = 0.2 + torch.rand(parts, generator=g, dtype=D64)
    return GaussianMixturePrior(weights, 2 * torch.randn(parts, dim, generator=g, dtype=D64), covariances)


@pytest.mark.parametrize("name", PATHS)
def test_slopes_and_inverse_of_every_path(name: str) -> None:
    path = make_path(name)
    t = times(path, 1000, generator()).requires_grad_(True)
    if not isinstance(path, DiscretePath):
        for value, slope in ((path.alpha, path.d_alpha), (path.sigma, path.d_sigma)):
            out = value(t)
            if out.requires_grad:
                (exact,) = torch.autograd.grad(out.sum(), t, allow_unused=True)
                assert torch.allclose(slope(t), torch.zeros_like(t) if exact is None else exact, rtol=1e-9, atol=1e-12)
            else:
                assert (slope(t) == 0).all()
    t = t.detach()
    assert torch.allclose(path.time(path.log_ratio(t)), t, rtol=1e-9, atol=1e-12)
    assert bool((path.d_log_ratio(t) < 0).all())
    assert torch.allclose(path.diffusion(t), -2 * path.sigma(t) ** 2 * path.d_log_ratio(t))
    if name not in ("edm", "linear"):
        assert torch.allclose(path.alpha(t) ** 2 + path.sigma(t) ** 2, torch.ones_like(t), atol=1e-12)


def test_discrete_levels_are_cumulative_products() -> None:
    path = DiscretePath.linear()
    bar = torch.cumprod(1 - torch.linspace(1e-4, 0.02, 1000, dtype=D64), 0)
    t = torch.tensor([path.level_time(k) for k in range(1000)], dtype=D64)
    assert torch.allclose(path.alpha(t) ** 2, bar, rtol=1e-10)
    assert torch.equal(path.level(t), torch.arange(1000))
    assert path.level_time(-1) == 0
    # The continuous twin leaves out beta^2 / 4 a step in log alpha: in all 1000 * 0.02^2 / 3 / 4 = 0.033.
    assert torch.allclose(VPLinear().alpha(t), path.alpha(t), rtol=0.04)
    assert float(DiscretePath.cosine().alpha(torch.tensor(1.0, dtype=D64))) < 0.01


@pytest.mark.parametrize("name", PATHS)
def test_every_kind_round_trips_through_d(name: str) -> None:
    """Card, point 1: 1e-10 in float64 at 1,000 random (x, t) on all paths."""
    path, g = make_path(name), generator(1)
    t = times(path, 1000, g)
    x, denoised = (torch.randn(1000, 3, generator=g, dtype=D64) for _ in range(2))
    for kind in KINDS:
        output = denoised_to(kind, denoised, x, t, path)
        back = to_denoised(kind, output, x, t, path)
        # x/alpha - D cancels when noise outweighs data: rounding grows with sigma/alpha, the identity does not.
        scale = 1 + (path.sigma(t) / path.alpha(t)).clamp_min(1.0)[:, None]
        assert float(((back - denoised).abs() / scale).max()) < 1e-10, kind
        for other in KINDS:
            there = denoised_to(other, back, x, t, path)
            direct = denoised_to(other, denoised, x, t, path)
            assert torch.allclose(there, direct, rtol=1e-7, atol=1e-8), (kind, other)
    v = denoised_to("velocity", denoised, x, t, path)
    if name == "trig":
        assert torch.allclose(v, math.pi / 2 * denoised_to("salimans_v", denoised, x, t, path), atol=1e-10)


@pytest.mark.parametrize("name", PATHS)
def test_every_loss_is_one_loss_with_a_weight(name: str) -> None:
    path, g = make_path(name), generator(2)
    t = times(path, 1000, g)
    x0, noise, denoised = (torch.randn(1000, 2, generator=g, dtype=D64) for _ in range(3))
    x = path.corrupt(x0, noise, t)
    for kind in ("x0", "eps", "score", "velocity", "salimans_v"):
        own = (denoised_to(kind, denoised, x, t, path) - target(kind, x0, noise, t, path)).square().sum(1)
        hub = loss_weight(kind, t, path) * (denoised - x0).square().sum(1)
        assert torch.allclose(own, hub, rtol=1e-8), kind
    # EDM's weight makes the loss of its raw output F plain.
    own = (denoised_to("edm", denoised, x, t, path) - denoised_to("edm", x0, x, t, path)).square().sum(1)
    assert torch.allclose(own, loss_weight("edm", t, path) * (denoised - x0).square().sum(1), rtol=1e-8)


def test_elbo_steps_add_up_and_tend_to_the_continuous_weight() -> None:
    path = VPLinear()
    t = torch.linspace(0.1, 0.9, 4001, dtype=D64)
    whole = elbo_step(t[-1:], t[:1], path)
    assert torch.allclose(elbo_step(t[1:], t[:-1], path).sum(), whole[0], rtol=1e-10)
    integral = torch.trapezoid(loss_weight("elbo", t, path), t)
    assert float((integral - whole[0]).abs() / whole[0]) < 1e-5
    assert float(loss_weight("min_snr", t, path).max()) == 5.0


@pytest.mark.parametrize("name", PATHS)
def test_score_is_the_gradient_of_the_density(name: str) -> None:
    """Card, point 2: 1e-9, for full, low-rank and delta mixtures."""
    path, g = make_path(name), generator(3)
    low = GaussianMixturePrior(
        torch.tensor([0.3, 0.7], dtype=D64),
        torch.randn(2, 4, generator=g, dtype=D64),
        basis=torch.linalg.qr(torch.randn(2, 4, 2, generator=g, dtype=D64)).Q,
        variances=torch.tensor([[1.0, 0.3], [0.5, 0.2]], dtype=D64),
        rest=torch.tensor([0.04, 0.01], dtype=D64),
    )
    points = torch.randn(20, 4, generator=g, dtype=D64)
    for prior in (mixture(g), low, DeltaMixturePrior(points, 0.15), DeltaMixturePrior(points)):
        t = times(path, 200, g)
        data = prior.sample(200, g)
        x = path.corrupt(data, torch.randn(data.shape, generator=g, dtype=D64), t).requires_grad_(True)
        (exact,) = torch.autograd.grad(prior.log_prob(x, t, path).sum(), x)
        x = x.detach()
        found = prior.score(x, t, path)
        size = found.norm(dim=1).clamp_min(1.0)
        assert float(((found - exact).norm(dim=1) / size).max()) < 1e-9
        hub = denoised_to("score", prior.denoised(x, t, path), x, t, path)
        # (alpha D - x) / sigma^2 loses the digits that alpha D and x share: compared in units of x / sigma^2.
        unit = x.norm(dim=1) / path.sigma(t) ** 2 + size
        assert float(((hub - found).norm(dim=1) / unit).max()) < 1e-11


@pytest.mark.parametrize("name", ["linear", "trig", "edm", "vp_linear"])
def test_velocity_satisfies_the_continuity_equation(name: str) -> None:
    """Card, point 2: d log p/dt + v . grad log p + div v = 0 with the exact divergence, residual <= 1e-7."""
    path, g = make_path(name), generator(4)
    prior = mixture(g)
    t = times(path, 100, g) if name == "edm" else 0.02 + 0.96 * torch.rand(100, generator=g, dtype=D64)
    x = path.corrupt(prior.sample(100, g), torch.randn(100, 2, generator=g, dtype=D64), t)
    leaf = t.clone().requires_grad_(True)
    (rate,) = torch.autograd.grad(prior.log_prob(x, leaf, path).sum(), leaf)

    def velocity(one: Tensor, when: Tensor) -> Tensor:
        return prior.velocity(one[None], when[None], path)[0]

    jacobian = torch.func.vmap(torch.func.jacrev(velocity))(x, t)
    divergence = jacobian.diagonal(dim1=1, dim2=2).sum(1)
    residual = rate + (prior.velocity(x, t, path) * prior.score(x, t, path)).sum(1) + divergence
    assert float((residual.abs() / (1 + rate.abs())).max()) < 1e-7


def test_gaussian_flow_map_composes_and_moves_by_its_velocity() -> None:
    """Card, point 5: composition to 1e-10; d Phi / dr = v."""
    g = generator(5)
    root = torch.randn(4, 4, generator=g, dtype=D64)
    full = GaussianPrior(torch.randn(4, generator=g, dtype=D64), root @ root.mT)
    low = GaussianPrior(
        torch.randn(4, generator=g, dtype=D64),
        basis=torch.linalg.qr(root[:, :2]).Q,
        variances=torch.tensor([2.0, 0.5], dtype=D64),
    )
    for prior in (full, low):
        for name in ("linear", "vp_linear", "edm", "trig"):
            path = make_path(name)
            t, s, r = (torch.full((50,), share * path.t_max, dtype=D64) for share in (0.9, 0.5, 0.1))
            x = path.sigma(t)[:, None] * torch.randn(50, 4, generator=g, dtype=D64)
            two = prior.flow_map(prior.flow_map(x, t, s, path), s, r, path)
            assert torch.allclose(two, prior.flow_map(x, t, r, path), rtol=1e-10, atol=1e-10)
            ends = [prior.flow_map(x, t, s + d, path) for d in (-1e-5, 1e-5)]
            there = prior.flow_map(x, t, s, path)
            assert torch.allclose((ends[1] - ends[0]) / 2e-5, prior.velocity(there, s, path), rtol=1e-6, atol=1e-6)
            u = prior.mean_velocity(x, t, r, path)
            assert torch.allclose(x - (t - r)[:, None] * u, prior.flow_map(x, t, r, path))


def test_posterior_has_the_mean_d_and_the_covariance_of_tweedie() -> None:
    """Cov[x0 | x_t] = sigma^2 / alpha dD/dx."""
    path, g = make_path("vp_linear"), generator(6)
    prior = mixture(g, dim=3)
    t = 0.1 + 0.6 * torch.rand(30, generator=g, dtype=D64)
    x = path.corrupt(prior.sample(30, g), torch.randn(30, 3, generator=g, dtype=D64), t)
    weights, means, inside = prior.posterior(x, t, path)
    mean = torch.einsum("bk,bkd->bd", weights, means)
    assert torch.allclose(mean, prior.denoised(x, t, path), rtol=1e-10)
    away = means - mean[:, None]
    covariance = torch.einsum("bk,bkij->bij", weights, inside + away[..., :, None] * away[..., None, :])
    jacobian = torch.func.vmap(torch.func.jacrev(lambda a, b: prior.denoised(a[None], b[None], path)[0]))(x, t)
    assert torch.allclose(covariance, (path.sigma(t) ** 2 / path.alpha(t))[:, None, None] * jacobian, atol=1e-9)


def test_samples_have_the_moments_of_the_prior() -> None:
    g = generator(7)
    prior = mixture(g)
    x = prior.sample(200_000, g)
    # 200,000 samples of spread about 2: three standard errors are below 0.02 in the mean, 0.06 in the covariance.
    assert torch.allclose(x.mean(0), prior.mean(), atol=0.02)
    assert torch.allclose(torch.cov(x.T), prior.covariance(), atol=0.06)


def test_linear_measurement_gives_the_bayes_posterior() -> None:
    """Against the ratio of densities: posterior(x) / (prior(x) N(y; Hx, s^2)) is the same number everywhere."""
    g = generator(8)
    prior = mixture(g, dim=3)
    h, y = torch.randn(2, 3, generator=g, dtype=D64), torch.randn(2, generator=g, dtype=D64)
    posterior = prior.given(h, y, 0.7)
    x = torch.randn(40, 3, generator=g, dtype=D64)
    path, zero = make_path("linear"), torch.zeros(40, dtype=D64)
    ratio = (
        posterior.log_prob(x, zero, path)
        - prior.log_prob(x, zero, path)
        + (y - x @ h.mT).square().sum(1) / (2 * 0.7**2)
    )
    assert torch.allclose(ratio, ratio[:1].expand(40), rtol=1e-9)


def test_delta_mixture_is_a_mixture_of_points_and_events_keep_their_shape() -> None:
    path, g = make_path("edm"), generator(9)
    points = torch.randn(12, 2, 3, generator=g, dtype=D64)
    full = GaussianMixturePrior(
        torch.ones(12, dtype=D64), points.flatten(1), (0.3**2 * torch.eye(6, dtype=D64)).expand(12, 6, 6)
    )
    kernel = DeltaMixturePrior(points, 0.3)
    t = torch.rand(50, generator=g, dtype=D64) * 3 + 0.1
    x = torch.randn(50, 2, 3, generator=g, dtype=D64)
    assert kernel.denoised(x, t, path).shape == x.shape
    assert torch.allclose(kernel.denoised(x, t, path), full.denoised(x, t, path), rtol=1e-9, atol=1e-12)
    assert torch.allclose(kernel.log_prob(x, t, path), full.log_prob(x, t, path), rtol=1e-9)


def test_refusals_name_the_fault() -> None:
    with pytest.raises(UnknownNameError, match="linear"):
        make_path("liner")
    with pytest.raises(UnknownNameError, match="velocity"):
        to_denoised("veloctiy", torch.zeros(1, 1), torch.zeros(1, 1), torch.zeros(1), make_path("linear"))
    with pytest.raises(UnknownNameError, match="min_snr"):
        loss_weight("min-snr", torch.zeros(1), make_path("linear"))
    with pytest.raises(ConfigError, match="level 1000"):
        DiscretePath.linear().level_time(1000)
    with pytest.raises(ConfigError, match="0 < low < high"):
        VPLinear(20.0, 0.1)
    with pytest.raises(ConfigError, match="negative eigenvalue"):
        GaussianPrior(torch.zeros(2), -torch.eye(2))
    with pytest.raises(SignalError, match="3 components, this prior is over 2"):
        GaussianPrior(torch.zeros(2), torch.eye(2)).denoised(torch.zeros(5, 3), torch.ones(5), make_path("linear"))
