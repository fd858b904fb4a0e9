"""The linear beginning of sampling on the 8 x 8 digits: statistics, emergence, explained share, skips, new grids."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from invdyn.diffusion import (
    DDIM,
    ClassGaussians,
    DeltaMixturePrior,
    GaussianPrior,
    Heun,
    Moments,
    Sampler,
    Teleport,
    edm_grid,
    explained_share,
    gaussian_of,
    make_path,
    uniform_grid,
)
from invdyn.diffusion.moments import round_about
from invdyn.diffusion.outline import emergence, half_times, plane_share, sensitivity
from invdyn.diffusion.teleport import skip_time
from invdyn.errors import ConfigError, SignalError
from invdyn.studies.diffusion_painters import STUDY
from invdyn.studies.diffusion_painters_config import DiffusionPaintersConfig
from invdyn.studies.diffusion_painters_exact import closed
from invdyn.studies.diffusion_painters_kernel import classes, on_kernel

D64 = torch.float64
EDM = make_path("edm")
FULL = Sampler(EDM, edm_grid(18), Heun("sigma"))


@pytest.fixture(scope="module")
def digits() -> tuple[Tensor, Tensor]:
    found = pytest.importorskip("sklearn.datasets").load_digits()
    return torch.from_numpy(found.data) / 8 - 1, torch.from_numpy(found.target)


def normal(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=D64)


def test_streamed_moments_are_those_of_the_whole_and_keep_their_digits() -> None:
    """Against torch.cov; a mean of 1e6 would cost a sum of squares twelve digits."""
    data = normal(1, 500, 6) @ normal(2, 6, 6) + 1e6
    whole, other = Moments(6), Moments(6)
    for block in data[:200].split(7):
        whole.add(block)
    other.add(data[200:].reshape(300, 2, 3)).add(data[:0])
    whole.merge(other).merge(Moments(6))
    assert whole.count == 500
    assert torch.allclose(whole.mean, data.mean(0), rtol=1e-14)
    assert torch.allclose(whole.covariance(), torch.cov((data - 1e6).mT), rtol=1e-8, atol=1e-8)


def test_low_rank_and_full_gaussian_agree(digits: tuple[Tensor, Tensor]) -> None:
    """61 of 64 pixels vary: components beyond have no variance, inside the basis or outside."""
    vp = make_path("vp_linear")
    t, r = (torch.full((20,), v, dtype=D64) for v in (0.9, 0.2))
    full, low = (gaussian_of(digits[0], rank) for rank in (None, 61))
    x = normal(1, 20, 64)
    assert torch.allclose(full.flow_map(x, t, r, vp), low.flow_map(x, t, r, vp), atol=1e-10)


def test_a_batch_of_classes_is_each_class_alone_and_their_mixture_the_law_of_total_covariance() -> None:
    data, labels = normal(3, 90, 4), torch.arange(90) % 3
    data[:, 0] += labels
    own = ClassGaussians.of(data, labels)
    t, r = torch.full((90,), 5.0, dtype=D64), torch.full((90,), 0.5, dtype=D64)
    batch = own.given(labels)
    for k in range(3):
        rows, alone = labels == k, gaussian_of(data[labels == k])
        args = (data[rows], t[rows])
        assert torch.equal(batch.flow_map(data, t, r, EDM)[rows], alone.flow_map(*args, r[rows], EDM))
        for name in ("denoised", "score", "log_prob"):
            assert torch.equal(getattr(batch, name)(data, t, EDM)[rows], getattr(alone, name)(*args, EDM))
    mixture = own.mixture()
    assert torch.allclose(mixture.mean(), data.mean(0))
    # Parts have divisor 29, the whole 89: within 3.5 % of the spread inside parts.
    assert torch.allclose(mixture.covariance(), torch.cov(data.mT), atol=0.06)
    with pytest.raises(ConfigError, match="no class 7"):
        own.given(torch.tensor([7]))


def test_trajectories_of_unit_variances_turn_in_a_plane_and_others_do_not() -> None:
    """x_t = alpha D_0 + sigma x_T exactly where every variance is 0 or 1; a spread of variances leaves the plane."""
    axes = torch.linalg.qr(normal(4, 6, 6)).Q
    times = edm_grid(30)
    for variances, flat in (((1.0, 1.0, 1.0), True), ((9.0, 1.0, 0.01), False)):
        prior = GaussianPrior(normal(5, 6), basis=axes[:, :3], variances=torch.tensor(variances, dtype=D64))
        x = 80 * normal(6, 8, 6)
        ends = [prior.flow_map(x, x.new_full((8,), 80.0), x.new_full((8,), t), EDM) for t in times]
        share = plane_share(torch.stack(ends), times, prior.mean(), EDM)
        assert float(share.min()) > 1 - 1e-9 if flat else float(share.max()) < 1 - 1e-4
        assert float(share.max()) <= 1 + 1e-12


def test_half_times_and_what_is_left_of_a_push() -> None:
    """Emergence of a Gaussian: sqrt(3 l); sensitivity: what the flow map makes of a push, on a path with alpha < 1."""
    variances = torch.tensor([0.02, 0.3, 2.0], dtype=D64)
    prior = GaussianPrior(normal(7, 3), basis=torch.linalg.qr(normal(8, 3, 3)).Q, variances=variances)
    times, x = edm_grid(200, zero=False), 80 * normal(9, 20, 3)
    start, found = x.new_full((20,), 80.0), []
    for sigma in times:
        when = x.new_full((20,), sigma)
        found.append(prior.denoised(prior.flow_map(x, start, when, EDM), when, EDM))
    share = emergence(torch.stack(found), prior.mean(), prior.basis[0])
    assert torch.allclose(half_times(share, times), (3 * variances).sqrt(), rtol=1e-3)
    vp, t = make_path("vp_linear"), torch.full((4,), 0.4, dtype=D64)
    pushed = torch.zeros(4, 3, dtype=D64)
    pushed[1:] = prior.basis[0].mT
    ends = prior.flow_map(pushed, t, torch.zeros(4, dtype=D64), vp)
    left = ((ends[1:] - ends[0]) * prior.basis[0].mT).sum(1)
    assert torch.allclose(left, sensitivity(prior, 0.4, vp), rtol=1e-10)
    with pytest.raises(SignalError, match="component 0"):
        half_times(torch.ones(4, 2), [4.0, 3.0, 2.0, 1.0])


def test_share_of_a_score_that_gaussians_explain(digits: tuple[Tensor, Tensor]) -> None:
    """A Gaussian explains itself wholly; of the digits' kernels 0.92 at sigma 1 (card), always more than the mean."""
    prior, model = gaussian_of(digits[0]), DeltaMixturePrior(digits[0], 0.15)
    g = torch.Generator().manual_seed(2)
    data = model.sample(500, g)
    assert explained_share(prior.denoiser(EDM), prior, data, 1.0, EDM, g) == pytest.approx(1.0, abs=1e-12)
    assert explained_share(model.denoiser(EDM), prior, data, 1.0, EDM, g) == pytest.approx(0.92, abs=0.03)
    for t in (0.5, 2.0):
        shares = [explained_share(model.denoiser(EDM), p, data, t, EDM, g) for p in (prior, round_about(prior))]
        assert shares[0] > shares[1]


def test_teleports_of_a_gaussian_cost_nothing_on_any_grid_and_path(digits: tuple[Tensor, Tensor]) -> None:
    """Where the model is the Gaussian, skipping and regridding only remove the solver's error; calls are counted."""
    prior = gaussian_of(digits[0])
    asked = 0

    def denoise(x: Tensor, t: Tensor) -> Tensor:
        nonlocal asked
        asked += 1
        return prior.denoised(x, t, EDM)

    x = 80 * normal(10, 20, 64)
    truth = prior.flow_map(x, x.new_full((20,), 80.0), x.new_zeros(20), EDM)
    whole = float((FULL(denoise, x) - truth).square().mean())
    for ported, calls in (
        (Teleport.skip(FULL, prior, 8), 19),
        (Teleport.regrid(FULL, prior, 12, 3.0), 23),
        (Teleport.measured(FULL, prior, denoise, digits[0][:50], torch.Generator().manual_seed(1), 0.9), 1),
    ):
        asked = 0
        error = float((ported(denoise, x) - truth).square().mean())
        assert error < whole
        assert asked == ported.calls() == calls
    cosine = make_path("vp_linear")
    short = Teleport.regrid(Sampler(cosine, uniform_grid(cosine, 10), DDIM()), prior, 12, 0.5)
    assert short.landing == 0.5
    ratios = [
        cosine.sigma(torch.tensor(t, dtype=D64)) / cosine.alpha(torch.tensor(t, dtype=D64))
        for t, _ in short.sampler.pairs
    ]
    low = edm_grid(12, low=float(ratios[-1]), high=float(ratios[0]), zero=False)
    assert torch.allclose(torch.stack(ratios), torch.tensor(low, dtype=D64), rtol=1e-9)


def test_the_landing_is_where_the_share_falls() -> None:
    assert skip_time(lambda t: 1 - 0.01 / t, [80.0, 20.0, 4.0, 1.0]) == 4.0
    with pytest.raises(ConfigError, match="skip nothing"):
        skip_time(lambda t: 0.5, [80.0, 1.0])


def test_points_of_the_card_on_few_starts() -> None:
    """Points 5 to 8 on medians over few starts, and classes.

    Means need thousands: a trajectory in a thousand that ends in another mode moves the error by a fifth (skipping 4
    changed it by 23 % on one set of 300 starts, by 0.1 % on another). The study judges them as worded, in `results/`.
    """
    pytest.importorskip("sklearn")
    config = DiffusionPaintersConfig(starts=64, controls=64, reference=96)
    m = on_kernel(4, config).metrics
    assert m["kernel.change_4_median"] < 0.02
    assert m["kernel.hurt_10_median"] >= 3
    assert m["kernel.regrid_12_median"] <= 0.5
    assert m["kernel.regrid_9_median"] <= 0.5
    assert m["kernel.about_zero_median"] > m["kernel.about_mean_median"] > 1
    assert m["kernel.mse_gaussian"] >= 0.1
    apart = classes(4, config).metrics
    assert apart["classes.ahead"] > 0
    assert apart["classes.better"] < 0.5


def test_smoke_claims_hold() -> None:
    pytest.importorskip("sklearn")
    config = STUDY.scales["smoke"]
    metrics = {7: closed(7, config).metrics}
    judged = [claim.judge(metrics) for claim in STUDY.claims if claim.smoke]
    assert len(judged) >= 6
    assert all(verdict.passed for verdict in judged), [v for v in judged if not v.passed]


def test_refusals_name_the_fault(digits: tuple[Tensor, Tensor]) -> None:
    sampler, prior = Sampler(EDM, edm_grid(4), Heun("sigma")), gaussian_of(digits[0])
    with pytest.raises(ConfigError, match="4 of 4 steps"):
        Teleport.skip(sampler, prior, 4)
    with pytest.raises(ConfigError, match="landing at t = 90"):
        Teleport.regrid(sampler, prior, 3, 90.0)
    with pytest.raises(ConfigError, match="from t = 1 to 80"):
        Teleport(sampler, prior, 1.0)
    with pytest.raises(SignalError, match="rank 65"):
        gaussian_of(digits[0], 65)
    with pytest.raises(SignalError, match="at least 2"):
        gaussian_of(digits[0][:1])
    with pytest.raises(SignalError, match="expected 64"):
        Moments(64).add(torch.full((2, 64), math.nan, dtype=D64))
