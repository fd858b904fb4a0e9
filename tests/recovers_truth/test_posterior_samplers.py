"""Posterior samplers, error bars and motion operators against exact posteriors of a Gaussian and against worlds."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from invdyn.diffusion import DDIM, DiscretePath, GaussianPrior, RedDiff, Sampler
from invdyn.diffusion.operators import as_matrix, clipped, matrix
from invdyn.diffusion.operators_motion import contact_motion, integrate, pinhole, replayed
from invdyn.diffusion.posterior import DPS, Projection, pgdm, wiener
from invdyn.diffusion.spread import block_spread, laplace
from invdyn.diffusion.variational import ordered
from invdyn.errors import ConfigError, SignalError, UnknownNameError
from invdyn.worlds.point2d import Point2D

D64 = torch.float64
PATH = DiscretePath.linear()
TIMES = [*(PATH.level_time(k) for k in range(999, -1, -10)), PATH.level_time(0), 0.0]
NOISE = 0.5


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def standard() -> tuple[GaussianPrior, Tensor, Tensor]:
    """N(m, I) in 3-D, two measured combinations, 4,000 copies of one measurement."""
    g = generator(1)
    prior = GaussianPrior(torch.randn(3, generator=g, dtype=D64), torch.eye(3, dtype=D64))
    h = torch.randn(2, 3, generator=g, dtype=D64)
    return prior, h, torch.randn(2, generator=g, dtype=D64).expand(4000, 2)


def test_wiener_filter_is_the_posterior_mean() -> None:
    g = generator(2)
    root = torch.randn(5, 5, generator=g, dtype=D64)
    prior = GaussianPrior(torch.randn(5, generator=g, dtype=D64), root @ root.mT)
    h, y = torch.randn(2, 5, generator=g, dtype=D64), torch.randn(3, 2, generator=g, dtype=D64)
    found = wiener(prior, matrix(h), y, NOISE, y.new_empty(5))
    assert torch.allclose(found, torch.stack([prior.given(h, one, NOISE).means[0] for one in y]))


def test_pgdm_samples_the_posterior_of_a_standard_normal() -> None:
    """Unit variance is what r_t^2 assumes, so mean and covariance are exact up to steps: 4,000 samples, 6 errors."""
    prior, h, y = standard()
    post = prior.given(h, y[0], NOISE)
    sampler = Sampler(PATH, TIMES, DDIM(1.0), pgdm(matrix(h), y, PATH, NOISE))
    g = generator(3)
    x = sampler(prior.denoiser(PATH), torch.randn(len(y), 3, generator=g, dtype=D64), g)
    error = post.covariances[0].diagonal().sqrt() / len(x) ** 0.5
    assert float(((x.mean(0) - post.means[0]).abs() / error).max()) < 6
    # DDPM's own variance is too small by a share of a step.
    assert torch.allclose(torch.cov(x.mT), post.covariances[0], atol=0.08)


def test_dps_and_projection_come_nearer_to_what_was_measured() -> None:
    prior, h, y = standard()
    y, g = y[:500], generator(4)
    start = torch.randn(len(y), 3, generator=g, dtype=D64)
    plain = Sampler(PATH, TIMES, DDIM(1.0))(prior.denoiser(PATH), start, g)
    guide = Projection(matrix(h), y, PATH, NOISE)
    for sampler in (Sampler(PATH, TIMES, DPS(matrix(h), y, 0.3)), Sampler(PATH, TIMES, DDIM(1.0), guide)):
        found = sampler(prior.denoiser(PATH), start, g)
        assert (found @ h.mT - y).norm() < 0.6 * (plain @ h.mT - y).norm()


def test_dps_takes_the_card_s_step() -> None:
    """x_s less weight times the gradient of norm(y - H D(x_t)), D linear: a closed form."""
    prior, h, y = standard()
    x, rule = torch.ones(1, 3, dtype=D64), DPS(matrix(h), y[:1], 0.7, eta=0.0)
    pair = [(0.5, 0.4)]
    t = torch.full((1,), 0.5, dtype=D64)
    plain = Sampler(PATH, pair, DDIM(0.0))(prior.denoiser(PATH), x)
    r = y[:1] - prior.denoised(x, t, PATH) @ h.mT
    slope = -(r / r.norm()) @ h * PATH.alpha(t)  # dD/dx = alpha I for unit variance on a variance-preserving path
    assert torch.allclose(Sampler(PATH, pair, rule)(prior.denoiser(PATH), x), plain - 0.7 * slope)


def test_error_bars_of_a_gaussian() -> None:
    """Laplace: the exact posterior's sd, by unit vectors to 0.1 %, by 200 sign vectors in 15 %. Blocks: 1/sqrt(P)."""
    g = generator(5)
    root = torch.randn(4, 4, generator=g, dtype=D64)
    prior = GaussianPrior(torch.randn(4, generator=g, dtype=D64), root @ root.mT + 0.3 * torch.eye(4, dtype=D64))
    h, y = torch.randn(2, 4, generator=g, dtype=D64), torch.randn(2, 2, generator=g, dtype=D64)
    mu, denoise = wiener(prior, matrix(h), y, NOISE, y.new_empty(4)), prior.denoiser(PATH)
    exact = prior.given(h, y[0], NOISE).covariances[0]
    found = laplace(denoise, matrix(h), y, mu, PATH, PATH.level_time(0), NOISE)
    assert torch.allclose(found.spread, exact.diagonal().sqrt().expand(2, -1), rtol=1e-3)
    assert torch.allclose(found.residual, (y - mu @ h.mT).square().mean(1).sqrt())
    guess = laplace(denoise, matrix(h), y, mu, PATH, PATH.level_time(0), NOISE, g, probes=200)
    assert torch.allclose(guess.spread, found.spread, rtol=0.15)
    own = block_spread(denoise, matrix(h), y, mu, PATH, PATH.level_time(9), NOISE, g, draws=16)
    assert torch.allclose(own.spread, (1 / torch.linalg.inv(exact).diagonal()).sqrt().expand(2, -1), rtol=0.12)
    one = block_spread(denoise, matrix(h), y, mu, PATH, 0.01, NOISE, g, blocks=torch.tensor([0, 0, 1, 1]), steps=2)
    assert torch.equal(one.spread[:, 0], one.spread[:, 1])


def test_parallel_levels_average_and_other_draws() -> None:
    """Many levels in every step end where many steps would: at the closed fixed point of a standard normal."""
    prior, h, y = standard()
    y = y[:4]
    many = tuple(PATH.level_time(k) for k in range(999, -1, -50))
    red = RedDiff(PATH, [many] * 300, 0.5, lr=0.05, final_lr=0.02, noise="paired", sums=True, sd=1e-4)
    pull = 0.5 * sum(float(PATH.sigma(torch.tensor(t)) ** 2) for t in many) / len(many) * torch.eye(3, dtype=D64)
    exact = torch.linalg.solve(pull + h.mT @ h, (pull @ prior.mean() + y @ h).mT).mT
    assert torch.allclose(red(prior.denoiser(PATH), matrix(h), y, generator(6)), exact, atol=0.05)
    shared = RedDiff(PATH, [0.5], noise="shared").draw(y.new_zeros(3, 2), 1, generator())
    assert torch.equal(shared[0, 0], shared[0, 2])
    assert not RedDiff(PATH, [0.5], noise="none").draw(y.new_zeros(3, 2), 1, generator()).any()
    assert ordered([0.1, 0.3, 0.2], "descending", generator()) == [0.3, 0.2, 0.1]
    assert sorted(ordered([0.1, 0.3, 0.2], "random", generator())) == [0.1, 0.2, 0.3]


def test_motion_operators() -> None:
    """A simulator replayed is the integration of its equation; its gradient is the adjoint."""
    steps, world = 6, Point2D(2, reach=math.inf, goal=(0.0, 0.0))
    c = world.config
    line = integrate(steps, c.dt, c.gear / c.mass, c.damping / c.mass)
    f = replayed(world, torch.zeros_like(world.state()), lambda w: w.x[:2].mT, lambda y: y)
    u = (2 * torch.rand(2, steps, 2, generator=generator(7), dtype=D64) - 1).requires_grad_(True)
    y = f.forward(u)
    assert torch.allclose(y[..., 0], line.forward(u[..., 0]))
    (slope,) = torch.autograd.grad((y[..., 0] * y[..., 0].detach()).sum(), u)
    assert line.adjoint is not None
    assert torch.allclose(slope[..., 0], line.adjoint(y[..., 0].detach()))
    assert torch.allclose(line.guess(y[..., 0]), u[..., 0])

    mass, jacobian = torch.diag(torch.tensor([2.0, 4.0], dtype=D64)), torch.tensor([[1.0, 2.0]], dtype=D64)
    assert torch.allclose(
        as_matrix(contact_motion(mass, jacobian), torch.zeros(1, dtype=D64)).mT, torch.tensor([[0.5, 0.5]], dtype=D64)
    )
    seen = pinhole(2.0).forward(torch.tensor([[[1.0, -2.0, 4.0]]]))
    assert torch.equal(seen, torch.tensor([[[0.5, -1.0]]]))
    assert torch.allclose(pinhole(2.0).forward(pinhole(2.0).guess(seen)), seen)
    assert torch.equal(clipped(2.0).forward(torch.tensor([[0.25, 3.0]])), torch.tensor([[0.5, 1.0]]))


def test_refusals() -> None:
    y = torch.zeros(1, 2)
    with pytest.raises(ConfigError, match=r"not linear\. Use DPS or RedDiff"):
        pgdm(clipped(), y, PATH, 0.1)
    with pytest.raises(ConfigError, match=r"noise is 0\.0, expected a standard deviation above 0"):
        Projection(matrix(torch.eye(2)), y, PATH, 0.0)
    with pytest.raises(ConfigError, match="5 random probes need a generator"):
        laplace(lambda x, t: x, matrix(torch.eye(2)), y, y, PATH, 0.1, 1.0, probes=5)
    with pytest.raises(ConfigError, match="sd is -1"):
        RedDiff(PATH, [0.5], sd=-1.0)
    with pytest.raises(UnknownNameError, match="paired"):
        RedDiff(PATH, [0.5], noise="pared")
    with pytest.raises(UnknownNameError, match="descending"):
        ordered([0.5], "down", generator())
    world = Point2D(2)
    with pytest.raises(SignalError, match="3 cause histories for a world of 2"):
        replayed(world, world.state(), lambda w: w.x, lambda y: y).forward(torch.zeros(3, 4, 2))
