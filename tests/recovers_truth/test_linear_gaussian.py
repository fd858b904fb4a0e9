"""The linear-Gaussian posteriors equal brute-force conditioning, and the world follows its equations."""

from __future__ import annotations

import pytest
import torch

from invdyn.errors import ConfigError, WorldError
from invdyn.worlds.linear_gaussian import STATE, Gaussian, LinearGaussianWorld
from invdyn.worlds.torch_world import Quality


def condition(mean: torch.Tensor, cov: torch.Tensor, known: list[int], values: torch.Tensor) -> Gaussian:
    """Posterior of the other components of a joint Gaussian: the textbook formula on the full covariance."""
    other = [i for i in range(len(mean)) if i not in known]
    gain = cov[other][:, known] @ torch.linalg.inv(cov[known][:, known])
    posterior = mean[other] + (values - mean[known]) @ gain.T
    return Gaussian(posterior, cov[other][:, other] - gain @ cov[known][:, other])


@pytest.fixture
def joint() -> tuple[LinearGaussianWorld, torch.Tensor, torch.Tensor]:
    """Covariance of (o, a, o') for o ~ N(0, P), built by pushing independent unit noises through the equations."""
    world = LinearGaussianWorld(1)
    generator = torch.Generator().manual_seed(4)
    root = torch.randn(4, 4, dtype=torch.float64, generator=generator)
    A, B, K = world.A, world.B, world.K

    def zero(rows: int, columns: int) -> torch.Tensor:
        return torch.zeros(rows, columns, dtype=torch.float64)

    def noise(size: int, scale: float) -> torch.Tensor:
        return scale * torch.eye(size, dtype=torch.float64)

    o = torch.cat([root, zero(4, 2), zero(4, 4)], 1)
    a = K @ o + torch.cat([zero(2, 4), noise(2, 0.5), zero(2, 4)], 1)
    after = A @ o + B @ a + torch.cat([zero(4, 6), noise(4, 0.2)], 1)
    mixing = torch.cat([o, a, after])
    sample = mixing @ torch.randn(10, 50, dtype=torch.float64, generator=generator)
    return world, mixing @ mixing.T, sample.T


def test_posteriors_equal_brute_force_conditioning(joint: tuple) -> None:
    world, cov, sample = joint
    oracle, mean = world.oracle(), torch.zeros(10).double()
    o, a, after = sample[:, :4], sample[:, 4:6], sample[:, 6:]
    first, act, then = [0, 1, 2, 3], [4, 5], [6, 7, 8, 9]

    def marginal(indices: list[int]) -> torch.Tensor:
        return cov[indices][:, indices]

    cases = {
        "policy": (oracle.policy(o), condition(mean[:6], marginal(first + act), [0, 1, 2, 3], o)),
        "forward": (oracle.forward(o, a), condition(mean, cov, first + act, sample[:, :6])),
        "video": (oracle.video(o), condition(mean[:8], marginal(first + then), [0, 1, 2, 3], o)),
        "inverse": (oracle.inverse(o, after), condition(mean, cov, first + then, sample[:, first + then])),
        "joint": (oracle.joint(o), condition(mean, cov, first, o)),
    }
    for name, (ours, brute) in cases.items():
        torch.testing.assert_close(ours.mean, brute.mean, rtol=0, atol=1e-9, msg=name)
        torch.testing.assert_close(ours.covariance, brute.covariance, rtol=0, atol=1e-9, msg=name)


def test_samples_and_density_agree_with_the_moments() -> None:
    oracle = LinearGaussianWorld(1).oracle()
    o = torch.ones(1, 4).double()
    posterior = oracle.video(o)
    many = Gaussian(posterior.mean.expand(40_000, 4), posterior.covariance)
    draws = many.sample(torch.Generator().manual_seed(0))
    # Standard errors: sd / 200 for means (sd < 3), relative 1/sqrt(20000) = 0.7 % for variances.
    assert (draws.mean(0) - posterior.mean[0]).abs().max() < 0.06
    assert ((draws.T.cov() - posterior.covariance).abs().max() / posterior.covariance.max()) < 0.04
    reference = torch.distributions.MultivariateNormal(posterior.mean[0], posterior.covariance)
    torch.testing.assert_close(many.log_prob(draws)[:9], reference.log_prob(draws[:9]))


def test_world_follows_the_oracle() -> None:
    world = LinearGaussianWorld(20_000)
    oracle, before = world.oracle(), world.state()[:, :4]
    action = world.expert().act().double()
    world.step(action)
    after = world.state()[:, :4]
    policy, forward = action - oracle.policy(before).mean, after - oracle.forward(before, action).mean
    # 20,000 samples: relative error of a standard deviation about 0.5 %.
    assert (policy.std(0) / 0.5 - 1).abs().max() < 0.02
    assert (forward.std(0) / 0.2 - 1).abs().max() < 0.02
    assert (forward.mean(0)).abs().max() < 0.01
    error = action - oracle.inverse(before, after).mean
    torch.testing.assert_close(error.T.cov(), oracle.inverse(before, after).covariance, rtol=0.06, atol=2e-4)


def test_long_run_covariance() -> None:
    world = LinearGaussianWorld(5000, K=((0.1, 0.0, 0.0, 0.0), (0.0, 0.1, 0.0, 0.0)), radius=0.6)
    expert = world.expert()
    for _ in range(60):
        world.step(expert.act())
    covariance = world.state()[:, :4].T.cov()
    scale = world.stationary().diagonal().max()
    assert (covariance - world.stationary()).abs().max() / scale < 0.08  # 5000 copies: about 2 % standard error


def test_impulse_response_and_feedthrough() -> None:
    world = LinearGaussianWorld(
        1, process_noise=0.0, start=0.0, C=((1.0, 0.0, 0.0, 0.0), (0.0, 1.0, 1.0, 0.0)), D=((1.0, 2.0), (3.0, 4.0))
    )
    h = world.markov_parameters(6)
    assert h.shape == (6, 2, 2)
    impulse = torch.tensor([[1.0, -2.0]])
    first = world.step(impulse).observation[STATE][0].double()
    torch.testing.assert_close(first, (h[0] + h[1]) @ impulse[0].double(), rtol=1e-5, atol=1e-6)
    for lag in range(2, 6):
        y = world.step(torch.zeros(1, 2)).observation[STATE][0].double()
        torch.testing.assert_close(y, h[lag] @ impulse[0].double(), rtol=1e-5, atol=1e-6)


def test_exact_inverse_without_noise() -> None:
    world = LinearGaussianWorld(50, process_noise=0.0)
    before, u = world.observe(), torch.randn(50, 2, generator=torch.Generator().manual_seed(0))
    after = world.step(u).observation
    torch.testing.assert_close(world.inverse(before, after).float(), u, rtol=0, atol=1e-5)


def test_says_what_is_wrong() -> None:
    with pytest.raises(ConfigError, match=r"linear_gaussian: C is \(1, 3\); with B of \(4, 2\) it has to be \(1, 4\)"):
        LinearGaussianWorld(1, C=((1.0, 0.0, 0.0),))
    with pytest.raises(ConfigError, match="the rows of B have different lengths"):
        LinearGaussianWorld(1, B=((1.0,), (1.0, 2.0)))
    with pytest.raises(ConfigError, match="standard deviations are at least 0 and the horizon at least 1"):
        LinearGaussianWorld(1, process_noise=-1.0)
    with pytest.raises(WorldError, match="the oracle needs C = identity, D = 0 and no output noise"):
        LinearGaussianWorld(1, output_noise=0.1).oracle()
    noisy = LinearGaussianWorld(1)
    with pytest.raises(WorldError, match=r"with process noise the cause is not exact; use oracle\(\).inverse"):
        noisy.inverse(noisy.observe(), noisy.observe())
    flat = LinearGaussianWorld(1, process_noise=0.0, B=((1.0, 2.0),) * 4)
    with pytest.raises(WorldError, match="B has not full column rank"):
        flat.inverse(flat.observe(), flat.observe())
    with pytest.raises(WorldError, match=r"A \+ B K has an eigenvalue outside the unit circle"):
        LinearGaussianWorld(1, radius=3.0, K=((0.0,) * 4,) * 2).stationary()
    with pytest.raises(WorldError, match="no bounds to measure noise in; set policy_noise instead"):
        noisy.expert(Quality(noise=0.1))
    with pytest.raises(WorldError, match="linear_gaussian cannot be rendered"):
        noisy.render()
