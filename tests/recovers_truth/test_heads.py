"""Typed heads: densities integrate to 1, moments by quadrature, gradients; torch.distributions as the outside check."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.distributions import Independent, Normal, TransformedDistribution
from torch.distributions.transforms import AffineTransform, TanhTransform

from invdyn.episodes.signal import SignalSpec
from invdyn.nn.categoricals import FactoredCategorical, JointCategorical
from invdyn.nn.distributions import CauseDistribution
from invdyn.nn.gaussians import ClippedGaussian, Gaussian, GaussianMixture, SquashedGaussian
from invdyn.nn.heads import GaussianHead, RegressionHead, bounded_log_std, make_head
from invdyn.nn.mixing import mix_members

LOW, HIGH = torch.tensor([-1.0, -3.0, 2.0]), torch.tensor([1.0, 5.0, 2.5])


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def squashed(batch: int, dtype: torch.dtype = torch.float32) -> SquashedGaussian:
    g = generator(1)
    mean = torch.randn(batch, 3, generator=g, dtype=torch.float64).to(dtype)
    log_std = torch.empty(batch, 3, dtype=torch.float64).uniform_(-2, 1, generator=g).to(dtype)
    return SquashedGaussian(mean, log_std, LOW.to(dtype), HIGH.to(dtype))


def reference(ours: SquashedGaussian) -> Independent:
    low, high = ours.low.double(), ours.high.double()
    base = Normal(ours.base_mean.double(), ours.log_std.double().exp())
    return Independent(
        TransformedDistribution(
            base, [TanhTransform(cache_size=1), AffineTransform((low + high) / 2, (high - low) / 2)]
        ),
        1,
    )


def test_squashed_log_prob_equals_torch_distributions() -> None:
    """Card ssorl, test 8: to 1e-5 for |a| <= 0.999 of half the range, any bounds. In double: rounding is below."""
    ours = squashed(400, torch.float64)
    share = torch.empty(400, 3, dtype=torch.float64).uniform_(-0.999, 0.999, generator=generator(2))
    value = (LOW + HIGH) / 2 + share * (HIGH - LOW) / 2
    torch.testing.assert_close(ours.log_prob(value), reference(ours).log_prob(value), atol=1e-5, rtol=1e-5)


def test_squashed_log_prob_in_float32_on_unit_bounds() -> None:
    """Float32 holds a and 1 - |a| apart to 6e-8 / 1e-3 there: the log-density to 1e-3 at |a| = 0.999, std 0.14."""
    mean, log_std = torch.zeros(1001, 1), torch.zeros(1001, 1)
    value = torch.linspace(-0.999, 0.999, 1001)[:, None]
    ours = SquashedGaussian(mean, log_std, torch.tensor([-1.0]), torch.tensor([1.0]))
    doubled = SquashedGaussian(
        mean.double(), log_std.double(), torch.tensor([-1.0]).double(), torch.tensor([1.0]).double()
    )
    expected = reference(doubled).log_prob(value.double())
    torch.testing.assert_close(ours.log_prob(value).double(), expected, atol=1e-4, rtol=1e-5)


@pytest.mark.parametrize("offset", [0.0, 1000.0])
def test_squashed_stays_finite_on_and_beyond_its_bounds(offset: float) -> None:
    low, high = torch.tensor([offset - 1]), torch.tensor([offset + 1])
    mean = torch.zeros(5, 1, requires_grad=True)
    log_std = torch.full((5, 1), -1.0, requires_grad=True)
    value = torch.tensor([[-1.5], [-1.0], [0.0], [1.0], [1.5]]) + offset
    log_prob = SquashedGaussian(mean, log_std, low, high).log_prob(value)
    log_prob.sum().backward()
    assert torch.isfinite(log_prob).all()
    assert torch.isfinite(mean.grad).all()
    assert torch.isfinite(log_std.grad).all()
    assert mean.grad[0, 0] == mean.grad[1, 0] < 0 < mean.grad[3, 0]  # pulled towards the bound, no further beyond it


def test_samples_and_points_keep_the_bounds() -> None:
    ours = squashed(2000)
    for value in (ours.point(), ours.sample(generator(3))):
        assert bool(((value >= LOW) & (value <= HIGH)).all())


def continuous(kind: str) -> CauseDistribution:
    """One-dimensional answers of a batch of 3, in double."""
    mean = torch.tensor([[-0.7], [0.1], [0.9]], dtype=torch.float64)
    log_std = torch.tensor([[-1.5], [-0.3], [0.6]], dtype=torch.float64)
    low, high = torch.tensor([-1.0], dtype=torch.float64), torch.tensor([1.5], dtype=torch.float64)
    if kind == "gaussian":
        return Gaussian(mean, log_std)
    if kind == "squashed":
        return SquashedGaussian(mean, log_std, low, high)
    if kind == "clipped":
        return ClippedGaussian(mean, log_std, low, high)
    logits = torch.tensor([[0.0, 1.0], [2.0, -1.0], [0.3, 0.2]], dtype=torch.float64)
    means = torch.stack([mean, mean + 1.5], 1)
    if kind == "mixture":
        return GaussianMixture(logits, means, torch.stack([log_std, log_std - 0.5], 1))
    members = Gaussian(torch.stack([mean, mean + 0.4]), torch.stack([log_std, log_std - 0.2]))
    return mix_members(members)


def quadrature(kind: str, distribution: CauseDistribution) -> tuple[Tensor, Tensor, Tensor]:
    """Mass, mean and variance by a fine trapezoid rule over the cause (plus the atoms of a clipped one)."""
    if kind == "squashed":
        u = torch.linspace(-14, 14, 40_001, dtype=torch.float64)
        grid = -1.0 + 2.5 * (torch.tanh(u) + 1) / 2
        step = torch.gradient(grid)[0]
    else:
        low, high = (-1.0, 1.5) if kind == "clipped" else (-20.0, 20.0)
        grid = torch.linspace(low, high, 40_001, dtype=torch.float64)[1:-1]
        step = torch.full_like(grid, grid[1] - grid[0])
    size = len(grid)
    weights = torch.stack([_row(distribution, row).log_prob(grid[:, None]).exp() * step for row in range(3)])
    values = grid.expand(3, size)
    if kind == "clipped":
        atoms = torch.stack(
            [distribution.log_prob(torch.full((3, 1), b, dtype=torch.float64)).exp() for b in (-1.0, 1.5)], 1
        )
        weights = torch.cat([weights, atoms], 1)
        values = torch.cat([values, torch.tensor([[-1.0, 1.5]], dtype=torch.float64).expand(3, 2)], 1)
    mass = weights.sum(1)
    mean = (weights * values).sum(1)
    return mass, mean, (weights * (values - mean[:, None]) ** 2).sum(1)


def _row(distribution: CauseDistribution, row: int) -> CauseDistribution:
    """The distribution of one element of the batch, broadcast against many values."""
    at = slice(row, row + 1)
    if isinstance(distribution, Gaussian):
        return Gaussian(distribution.mean[at], distribution.log_std[at])
    if isinstance(distribution, SquashedGaussian | ClippedGaussian):
        return type(distribution)(
            distribution.base_mean[at], distribution.log_std[at], distribution.low, distribution.high
        )
    if isinstance(distribution, GaussianMixture):
        return GaussianMixture(distribution.log_weights[at], distribution.means[at], distribution.log_stds[at])
    members = distribution.members  # type: ignore[attr-defined]
    return mix_members(Gaussian(members.mean[:, at], members.log_std[:, at]))


@pytest.mark.parametrize("kind", ["gaussian", "squashed", "clipped", "mixture", "ensemble"])
def test_density_integrates_to_one_and_gives_the_moments(kind: str) -> None:
    distribution = continuous(kind)
    mass, mean, variance = quadrature(kind, distribution)
    # 40,001 nodes of the trapezoid rule; the sharpest density has std 0.13, so its error is far below 1e-5.
    torch.testing.assert_close(mass, torch.ones(3, dtype=torch.float64), atol=1e-4, rtol=0)
    if isinstance(distribution, SquashedGaussian | ClippedGaussian):
        ours = distribution.moments()
    elif isinstance(distribution, Gaussian | GaussianMixture):
        ours = (distribution.mean, distribution.variance)
    else:
        ours = (distribution.point(), distribution.spread() ** 2)
    torch.testing.assert_close(ours[0][:, 0], mean, atol=1e-4, rtol=0)
    torch.testing.assert_close(ours[1][:, 0], variance, atol=1e-4, rtol=0)


@pytest.mark.parametrize("kind", ["gaussian", "squashed", "clipped", "mixture", "ensemble"])
def test_samples_have_the_moments(kind: str) -> None:
    distribution = continuous(kind)
    _, mean, variance = quadrature(kind, distribution)
    g = generator(4)
    draws = torch.stack([distribution.sample(g)[:, 0] for _ in range(5_000)])
    # Standard error of the mean: std / sqrt(5,000) <= 0.028; two and a half of them, seed fixed.
    torch.testing.assert_close(draws.mean(0), mean, atol=0.07, rtol=0)
    torch.testing.assert_close(draws.var(0), variance, atol=0.05, rtol=0.08)


def test_spread_of_a_squashed_gaussian_is_its_standard_deviation() -> None:
    """The 8-node rule is good to 3 % up to a base std of 1 (its own error, against 129 nodes)."""
    ours = SquashedGaussian(*(torch.zeros(50, 3), torch.linspace(-4, 0, 150).reshape(50, 3)), LOW, HIGH)
    torch.testing.assert_close(ours.spread(), ours.moments()[1].sqrt(), rtol=0.03, atol=0)


@pytest.mark.parametrize("kind", ["squashed", "clipped", "gaussian", "mixture", "regression"])
def test_loss_gradients_are_right(kind: str) -> None:
    target = SignalSpec("action", (2,), "float32", "action", low=(-1.0, -2.0), high=(1.0, 2.0))
    head = make_head(kind, target, components=2).double()
    raw = torch.randn(6, head.size, generator=generator(5), dtype=torch.float64, requires_grad=True)
    value = torch.tensor(
        [[1.0, -2.0], [0.2, 0.3], [-0.9, 1.5], [0.0, 0.0], [-1.0, 2.0], [0.4, -0.7]], dtype=torch.float64
    )
    weight = torch.tensor([1.0, 0.5, 0.0, 1.0, 0.2, 1.0], dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda r: -(head.distribution(r).log_prob(value) * weight).sum(), (raw,))


def test_log_std_is_bounded() -> None:
    ends = bounded_log_std(torch.tensor([-1e4, 0.0, 1e4]))
    torch.testing.assert_close(ends, torch.tensor([-5.0, -1.5, 2.0]))


def test_mixture_answers_with_its_mode_or_its_mean() -> None:
    means = torch.tensor([[[-1.0], [1.0]]])
    log_stds = torch.full((1, 2, 1), -2.0)
    logits = torch.tensor([[0.0, 1.0]])
    assert GaussianMixture(logits, means, log_stds, answer="mode").point().item() == 1.0
    p = 1 / (1 + math.exp(-1.0))
    assert GaussianMixture(logits, means, log_stds, answer="mean").point().item() == pytest.approx(2 * p - 1, abs=1e-6)
    spread = GaussianMixture(logits, means, log_stds).spread().item()
    assert spread == pytest.approx(math.sqrt(math.exp(-4.0) + 4 * p * (1 - p)), abs=1e-6)


def test_a_broad_but_heavy_component_does_not_beat_the_dense_one() -> None:
    """The mode is where the density is highest, not the component of largest weight."""
    mixture = GaussianMixture(
        torch.tensor([[0.5, 0.0]]), torch.tensor([[[0.0], [3.0]]]), torch.tensor([[[1.5], [-3.0]]])
    )
    assert mixture.mode.item() == 3.0


def test_categoricals_sum_to_one_and_agree_when_independent() -> None:
    sizes = (3, 2)
    logits = torch.randn(4, 5, generator=generator(6), dtype=torch.float64)
    factored = FactoredCategorical(logits, sizes)
    pairs = torch.cartesian_prod(torch.arange(3), torch.arange(2))
    joint_logits = torch.stack([factored.log_prob(pair.expand(4, 2)) for pair in pairs], 1)
    torch.testing.assert_close(joint_logits.exp().sum(1), torch.ones(4, dtype=torch.float64))
    joint = JointCategorical(joint_logits, sizes)
    for pair in pairs:
        torch.testing.assert_close(joint.log_prob(pair.expand(4, 2)), factored.log_prob(pair.expand(4, 2)))
    assert torch.equal(joint.point(), factored.point())
    torch.testing.assert_close(joint.spread(), factored.spread())
    draws = torch.stack([joint.sample(generator(s)) for s in range(2000)]).double()
    expected = (joint_logits.exp()[..., None] * pairs).sum(1)
    torch.testing.assert_close(draws.mean(0), expected, atol=0.1, rtol=0)  # standard error <= 0.02


def test_an_ensemble_of_classes_averages_probabilities() -> None:
    logits = torch.log(torch.tensor([[[0.9, 0.1]], [[0.2, 0.8]]]))
    mixed = mix_members(FactoredCategorical(logits, (2,)))
    assert mixed.log_prob(torch.tensor([[0]])).exp().item() == pytest.approx(0.55, abs=1e-6)
    assert mixed.spread().item() == pytest.approx(0.45, abs=1e-6)


def test_scaled_heads_speak_the_unit_of_the_cause() -> None:
    head = GaussianHead(2)
    head.set_scale(torch.tensor([[10.0, 5.0], [30.0, 5.0]]))
    answer = head.distribution(torch.zeros(1, 4))
    torch.testing.assert_close(answer.point(), torch.tensor([[20.0, 5.0]]))
    torch.testing.assert_close(answer.spread(), math.exp(-1.5) * torch.tensor([[10.0, 1.0]]))  # constant: scale 1


def test_missing_dimensions_are_left_out_of_the_loss() -> None:
    target = SignalSpec("action", (2,), "float32", "action", low=(-1.0,), high=(1.0,))
    raw = torch.randn(5, 4, generator=generator(7))
    value = torch.rand(5, 2, generator=generator(8)) - 0.5
    mask = torch.tensor([[True, False]]).expand(5, 2)
    spoiled = torch.where(mask, value, torch.nan)
    for kind in ("squashed", "clipped", "gaussian"):
        head = make_head(kind, target)
        assert torch.equal(head.loss(raw, value, mask=mask), head.loss(raw, spoiled, mask=mask)), kind
        assert head.loss(raw, value, mask=mask) != head.loss(raw, value), kind
    regression = RegressionHead(2)
    assert torch.equal(regression.loss(raw[:, :2], value, mask=mask), regression.loss(raw[:, :2], spoiled, mask=mask))


def test_weights_weigh() -> None:
    head = GaussianHead(1)
    raw, value = torch.randn(4, 2, generator=generator(9)), torch.randn(4, 1, generator=generator(10))
    weight = torch.tensor([1.0, 0.0, 0.0, 1.0])
    torch.testing.assert_close(head.loss(raw, value, weight), head.loss(raw[[0, 3]], value[[0, 3]]))


def test_a_learned_regression_spread_finds_the_noise() -> None:
    head = RegressionHead(1, spread="learned")
    noise = 0.3 * torch.randn(4000, 1, generator=generator(11))
    optimizer = torch.optim.Adam(head.parameters(), lr=0.05)
    for _ in range(300):
        optimizer.zero_grad()
        head.loss(torch.zeros(4000, 1), noise).backward()
        optimizer.step()
    assert head.distribution(torch.zeros(1, 1)).spread().item() == pytest.approx(0.3, rel=0.03)


def test_clipped_gaussian_far_from_its_bounds_has_finite_gradients():
    """A cause that hardly moves within wide bounds: they are 60,000 deviations away."""
    mean = torch.zeros(3, 1, requires_grad=True)
    log_std = torch.full((3, 1), -11.0, requires_grad=True)
    bound = torch.ones(1)
    value = torch.tensor([[0.0], [2e-5], [-2e-5]])
    ClippedGaussian(mean, log_std, -bound, bound).log_prob(value).sum().backward()
    assert mean.grad is not None
    assert log_std.grad is not None
    assert torch.isfinite(mean.grad).all()
    assert torch.isfinite(log_std.grad).all()
    # (value - mean) / std^2, std = e^-11
    torch.testing.assert_close(mean.grad[1:, 0], torch.tensor([2e-5, -2e-5]) * torch.tensor(22.0).exp())
