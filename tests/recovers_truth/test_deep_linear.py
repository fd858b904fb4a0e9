"""Closed forms of deep linear learning against simulation, outside references, and back from curves to causes."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.integrate import quad

from invdyn.errors import ConfigError, SignalError
from invdyn.learning import (
    Correlations,
    activity_map,
    backward,
    balanced,
    balanced_chain,
    balanced_pair,
    balanced_time,
    binary_tree,
    chain_product,
    correlations,
    crossing_times,
    deep,
    deep_time,
    descent_direction,
    epochs_to_loss,
    fit_loss_curve,
    fit_mode_curve,
    fixed_activity,
    gaussian_chain,
    gaussian_exponents,
    gradient_descent,
    gradient_flow,
    identify_depth,
    infinite_time,
    jacobian_spectrum,
    orthogonal_chain,
    orthogonal_init,
    product_singular_values,
    riccati,
    unbalanced,
)
from invdyn.training.hvp import hvp, largest_eigenvalue
from invdyn.worlds.solver import RK4, Tsit5


@pytest.fixture
def g() -> torch.Generator:
    return torch.Generator().manual_seed(5)


def teacher(g: torch.Generator, n: int = 8, strengths: tuple[float, ...] = (3.0, 1.0)) -> tuple:
    s = torch.tensor(strengths, dtype=torch.float64)
    left, right = (orthogonal_init(n, len(s), g)[0] for _ in range(2))
    return left, right, s, Correlations((left * s) @ right.mT)


def test_balanced_form_solves_its_equation_and_inverts() -> None:
    t = np.linspace(0, 3, 7)
    u, h = balanced(2.0, 0.01, t, tau=1.5), 1e-6
    slope = (balanced(2.0, 0.01, t + h, tau=1.5) - balanced(2.0, 0.01, t - h, tau=1.5)) / (2 * h)
    np.testing.assert_allclose(1.5 * slope, 2 * u * (2 - u), rtol=1e-7)
    assert float(balanced(2.0, 0.01, balanced_time(2.0, 0.01, 1.7))) == pytest.approx(1.7, abs=1e-12)
    assert float(balanced(0.0, 0.5, 2.0)) == pytest.approx(0.5 / (1 + 2 * 0.5 * 2))  # no signal: u decays as 1/t
    assert float(balanced(5.0, 1e-3, 1e4)) == pytest.approx(5.0)  # the textbook form overflows here


def test_unbalanced_form_matches_the_pilot_value_and_both_orders() -> None:
    a, b = unbalanced(3.0, 0.9, 0.05, 0.8)
    assert float(a * b) == pytest.approx(2.744040610702, abs=1e-11)
    assert float(a**2 - b**2) == pytest.approx(0.9**2 - 0.05**2, abs=1e-13)
    b2, a2 = unbalanced(3.0, 0.05, 0.9, 0.8)
    assert (float(a2), float(b2)) == pytest.approx((float(a), float(b)))
    even = unbalanced(3.0, 0.3, 0.3, 0.8)
    assert float(even[0] * even[1]) == pytest.approx(float(balanced(3.0, 0.09, 0.8)))


@pytest.mark.parametrize("depth", [2, 3, 4, 8, 32, 128])
def test_deep_time_equals_quadrature_and_deep_inverts_it(depth: int) -> None:
    expected = quad(lambda u: 1 / (depth * u ** (2 - 2 / depth) * (1.3 - u)), 0.05, 1.1, epsabs=1e-13)[0]
    assert float(deep_time(1.3, 0.05, 1.1, depth)) == pytest.approx(expected, rel=1e-11)
    levels = np.array([0.051, 0.2, 0.65, 1.2, 1.299])
    np.testing.assert_allclose(deep(1.3, 0.05, deep_time(1.3, 0.05, levels, depth), depth), levels, rtol=1e-8)


def test_depth_without_end_is_the_limit_of_deep_times() -> None:
    assert float(infinite_time(1.0, 0.1, 0.5)) == pytest.approx(10.197, abs=5e-4)
    far = [1e5 * float(deep_time(1.0, 0.1, 0.5, 100_000))]
    assert far[0] == pytest.approx(float(infinite_time(1.0, 0.1, 0.5)), rel=2e-4)


@pytest.mark.parametrize("whitened", [True, False])
def test_descent_direction_is_minus_the_gradient(g: torch.Generator, whitened: bool) -> None:
    _, _, _, data = teacher(g)
    if not whitened:
        root = torch.randn(8, 8, generator=g, dtype=torch.float64)
        data = Correlations(data.input_output, root @ root.mT)
    chain = [w.requires_grad_() for w in gaussian_chain((8, 5, 6, 8), g, batch=2)]
    data.excess_loss(chain_product(chain)).sum().backward()
    for layer, direction in zip(chain, descent_direction(chain, data), strict=True):
        torch.testing.assert_close(direction, -layer.grad, rtol=1e-9, atol=1e-9)


def test_flow_of_a_deep_chain_follows_the_closed_form(g: torch.Generator) -> None:
    left, right, s, data = teacher(g)
    times = torch.linspace(0, 2, 9, dtype=torch.float64)
    start = torch.tensor([0.1, 0.2], dtype=torch.float64)
    trace = gradient_flow(balanced_chain(left, right, start, 5, 4, g), data, times, Tsit5(1e-9, 1e-11))
    expected = deep(s.numpy(), start.numpy(), times[:, None].numpy(), 4)
    np.testing.assert_allclose(trace.modes(left, right)[:, 0].numpy(), expected, atol=1e-7)
    assert float(trace.imbalance().max()) < 1e-9
    torch.testing.assert_close(trace.spectra()[:, 0, :2], trace.modes(left, right)[:, 0].sort(-1, True)[0])
    torch.testing.assert_close(sum(trace.updates()[0]), trace.weights[0][-1] - trace.weights[0][0])


def test_riccati_equals_the_flow_and_refuses_unbalanced_starts(g: torch.Generator) -> None:
    _, _, _, data = teacher(g)
    pair = balanced_pair((8, 6, 8), 0.5, g, batch=2)
    times = torch.tensor([0.0, 0.4, 1.5], dtype=torch.float64)
    flow = gradient_flow(pair, data, times, RK4(2e-3)).products()
    for t, product in zip(times, flow, strict=True):
        torch.testing.assert_close(riccati((pair[0], pair[1]), data.input_output, float(t)), product, rtol=0, atol=1e-8)
    loose = gaussian_chain((8, 6, 8), g)
    with pytest.raises(ConfigError, match="a balanced start is needed"):
        riccati((loose[0], loose[1]), data.input_output, 1.0)


def test_gradient_descent_at_small_rate_follows_the_flow(g: torch.Generator) -> None:
    left, right, s, data = teacher(g)
    start = balanced_chain(left, right, torch.full_like(s, 0.01), 4, 2, g)
    trace = gradient_descent(start, data, 1e-3, [0, 500, 1500])
    expected = balanced(s.numpy(), 0.01, trace.times[:, None].numpy(), tau=1e3)
    np.testing.assert_allclose(trace.modes(left, right)[:, 0].numpy(), expected, rtol=0.01)
    with pytest.raises(SignalError, match="rate 5 diverges"):
        gradient_descent(start, data, 5.0, [0, 200])


def test_best_rate_is_the_one_that_arrives_first(g: torch.Generator) -> None:
    left, right, s, data = teacher(g)
    start = balanced_chain(left, right, torch.full_like(s, 0.05), 4, 2, g)
    rates = torch.tensor([0.01, 0.05, 0.1, 10.0], dtype=torch.float64)
    found = epochs_to_loss(start, data, rates)
    alone = [epochs_to_loss(start, data, rates[i : i + 1]).epochs for i in range(3)]
    assert found.rate == 0.1
    assert found.epochs == min(alone)
    assert alone[0] > alone[1] > alone[2]
    capped = epochs_to_loss(start, data, rates[:1], cap=5)
    assert (capped.epochs, capped.rate) == (5.0, None)
    with pytest.raises(ConfigError, match="one start at a time"):
        epochs_to_loss(gaussian_chain((8, 4, 8), g, batch=2), data, rates)


@pytest.mark.parametrize("depth", [2, 3, 6])
def test_curvature_at_the_end_is_what_limits_the_learning_rate(g: torch.Generator, depth: int) -> None:
    """The largest Hessian eigenvalue of a learnt chain is L s^(2 - 2/L); gradient descent diverges above 2 over it."""
    left, right, s, data = teacher(g)
    chain = balanced_chain(left, right, s, 8, depth, g)
    flat = torch.cat([w.flatten() for w in chain])

    def loss(weights: torch.Tensor) -> torch.Tensor:
        layers = [part.reshape(w.shape) for part, w in zip(weights.split([w.numel() for w in chain]), chain)]
        return data.excess_loss(chain_product(layers)).sum()

    top = largest_eigenvalue(lambda v: hvp(loss, flat, v).product, torch.randn(flat.shape, generator=g).double()).value
    assert top == pytest.approx(depth * float(s.max()) ** (2 - 2 / depth), rel=1e-6)
    near = [w + 1e-4 * torch.randn(w.shape, generator=g, dtype=torch.float64) for w in chain]
    assert epochs_to_loss(near, data, torch.tensor([1.9 / top]), fraction=1e-12, cap=400).rate is not None
    wild = gradient_descent(near, data, 2.2 / top, (0, 60)).products()[-1]
    assert float(data.excess_loss(wild).max()) > 1e-3


def test_whitening_gives_unit_covariance_and_the_least_squares_map() -> None:
    rng = np.random.default_rng(0)
    x = torch.from_numpy(rng.normal(size=(200, 5)) @ rng.normal(size=(5, 5)))
    y = x[:, :2] @ torch.ones(2, 3, dtype=torch.float64) + torch.from_numpy(rng.normal(size=(200, 3)))
    white, raw = correlations(x, y), correlations(x, y, whiten=False)
    # The strengths are the singular values of the correlations with unit-variance, uncorrelated inputs.
    assert raw.inputs is not None
    root = torch.linalg.cholesky(torch.linalg.inv(raw.inputs))
    torch.testing.assert_close(torch.linalg.svdvals(white.input_output), torch.linalg.svdvals(raw.input_output @ root))
    expected, *_ = np.linalg.lstsq((x - x.mean(0)).numpy(), (y - y.mean(0)).numpy(), rcond=None)
    np.testing.assert_allclose(raw.best().numpy(), expected.T, atol=1e-10)
    with pytest.raises(SignalError, match="only 5 vary"):
        correlations(x, y, keep=6)
    with pytest.raises(SignalError, match="each input needs one"):
        correlations(x, y[:-1])


def test_orthogonal_is_orthogonal_and_uniform(g: torch.Generator) -> None:
    tall, wide = orthogonal_init(7, 4, g, gain=2.0, batch=3), orthogonal_init(4, 7, g)
    torch.testing.assert_close(tall.mT @ tall, 4 * torch.eye(4, dtype=torch.float64).expand(3, 4, 4))
    torch.testing.assert_close(wide @ wide.mT, torch.eye(4, dtype=torch.float64)[None])
    # Without the sign fix the first entry of a 1 x 1 "rotation" would always have one sign; uniform means half each.
    signs = orthogonal_init(1, 1, g, batch=400).flatten()
    assert 150 < int((signs > 0).sum()) < 250  # 5 sd of a fair coin is 50
    with pytest.raises(ConfigError, match="3 hidden units cannot carry 4 modes"):
        balanced_chain(tall[0], tall[0], torch.ones(4, dtype=torch.float64), 3, 2, g)
    with pytest.raises(ConfigError, match="9 hidden units need as many inputs"):
        balanced_pair((8, 9, 8), 1.0, g)


def test_long_products_keep_their_small_singular_values(g: torch.Generator) -> None:
    n, depth = 40, 200
    factors = [w[0].numpy() for w in gaussian_chain([n] * (depth + 1), g)]
    values = product_singular_values(factors)
    # Their product is known exactly from the determinants, far below what the formed product could show.
    assert np.log(values).sum() == pytest.approx(sum(np.linalg.slogdet(f)[1] for f in factors), rel=1e-10)
    # Lyapunov exponents, within fluctuations of order sqrt(1 / (n depth)) = 0.011 each.
    assert np.abs(np.log(values[:20]) / depth - gaussian_exponents(n)[:20]).max() < 0.06
    few = [w[0].numpy() for w in gaussian_chain([n] * 4, g)]
    np.testing.assert_allclose(product_singular_values(few), np.linalg.svd(few[2] @ few[1] @ few[0])[1], rtol=1e-9)
    with pytest.raises(SignalError, match="expected squares of one size"):
        product_singular_values([np.eye(3), np.eye(2)])


def test_tree_modes_are_its_singular_value_decomposition() -> None:
    data = binary_tree(3)
    assert data.properties.shape == (15, 8)
    torch.testing.assert_close((data.left * data.strengths) @ data.right.mT, data.properties)
    torch.testing.assert_close(data.strengths.square(), torch.tensor([15.0, 7, 3, 3, 1, 1, 1, 1]).double())
    torch.testing.assert_close(data.left.mT @ data.left, torch.eye(8).double())
    with pytest.raises(ConfigError, match="at least one split"):
        binary_tree(0)


def test_tanh_nets_against_autograd_and_the_activity_map(g: torch.Generator) -> None:
    chain = [w[0] for w in orthogonal_chain([12] * 6, g, gain=1.2)]
    x = torch.randn(12, 1, generator=g, dtype=torch.float64)
    error = torch.randn(12, 1, generator=g, dtype=torch.float64)
    weights = [w.clone().requires_grad_() for w in chain]

    def net(h: torch.Tensor) -> torch.Tensor:
        for w in weights:
            h = torch.tanh(w @ h)
        return h

    (net(x) * error).sum().backward()
    found = backward(chain, x, error)
    torch.testing.assert_close(found.weight_norms, torch.stack([w.grad.norm() for w in weights]))
    jacobian = torch.autograd.functional.jacobian(lambda v: net(v[:, None])[:, 0], x[:, 0])
    torch.testing.assert_close(jacobian_spectrum(chain, x[:, 0]), torch.linalg.svdvals(jacobian))
    q = fixed_activity(1.1)
    assert float(activity_map(np.asarray(q), 1.1)) == pytest.approx(q, abs=1e-10)
    wide = [w[0] for w in gaussian_chain([1000] * 2, g, gain=1.1)]
    inputs = math.sqrt(0.5) * torch.randn(1000, 64, generator=g, dtype=torch.float64)
    # 1000 units: the mean square fluctuates by about 1 / sqrt(1000 / 2) = 4 %.
    measured = float(backward(wide, inputs, inputs).activity[0])
    assert measured == pytest.approx(float(activity_map(np.asarray(0.5), 1.1)), rel=0.15)
    assert fixed_activity(1.0) == 0.0
    with pytest.raises(SignalError, match="differ in shape"):
        backward(chain, x, error[:5])


def test_crossings_are_linear_between_records_and_nan_where_there_are_none() -> None:
    times = torch.tensor([0.0, 1.0, 3.0], dtype=torch.float64)
    curves = torch.tensor([[0.0, 0.0], [1.0, 0.1], [2.0, 0.2]], dtype=torch.float64)
    found = crossing_times(times, curves, torch.tensor([1.5, 0.5], dtype=torch.float64))
    assert float(found[0]) == 2.0
    assert math.isnan(float(found[1]))
    with pytest.raises(SignalError, match="starts above its level"):
        crossing_times(times, curves + 2, torch.tensor([1.5, 0.5], dtype=torch.float64))


@pytest.mark.parametrize("depth", [2, 4])
def test_causes_come_back_from_a_noisy_loss_curve(depth: int) -> None:
    rng = np.random.default_rng(depth)
    s, u0, tau = np.array([4.0, 2.0, 0.9]), np.array([0.02, 0.03, 0.02]), 150.0
    times = np.linspace(0, 1.5 * deep_time(s, u0, 0.95 * s, depth, tau).max(), 800)
    loss = 0.25 + ((s - deep(s, u0, times[:, None], depth, tau)) ** 2).sum(1) / 2
    fit = identify_depth(times, loss + 1e-3 * rng.normal(size=800), 3)
    assert fit.depth == depth
    np.testing.assert_allclose(fit.strengths, s, rtol=0.02)
    np.testing.assert_allclose(fit.starts, u0, rtol=0.1)
    assert fit.tau == pytest.approx(tau, rel=0.02)
    assert fit.floor == pytest.approx(0.25, abs=2e-3)
    assert fit.residual == pytest.approx(1e-3, rel=0.15)
    # The trivial control: another depth explains the same curve clearly worse.
    assert fit_loss_curve(times, loss, 3, 8).residual > 3 * fit_loss_curve(times, loss, 3, depth).residual


def test_imbalance_and_rate_come_back_from_a_mode_curve() -> None:
    rng = np.random.default_rng(1)
    times = np.linspace(0, 300, 400)
    a, b = unbalanced(2.0, 0.8, 0.2, times, 100.0)
    fit = fit_mode_curve(times, a * b + 1e-3 * rng.normal(size=400))
    assert (fit.strength, fit.start, fit.tau) == pytest.approx((2.0, 0.16, 100.0), rel=0.03)
    assert fit.imbalance == pytest.approx(0.8**2 - 0.2**2, rel=0.05)


def test_curves_that_cannot_be_fitted_say_why() -> None:
    with pytest.raises(SignalError, match="5 times and 5 losses for 10 unknowns"):
        fit_loss_curve(np.arange(5.0), np.arange(5.0), 4, 2)
    with pytest.raises(SignalError, match="every loss must be finite"):
        fit_loss_curve(np.arange(50.0), np.full(50, np.nan), 2, 2)
    with pytest.raises(SignalError, match="8 finite pairs are needed"):
        fit_mode_curve(np.arange(5.0), np.arange(5.0))
    with pytest.raises(ConfigError, match="two weight matrices or more"):
        deep(1.0, 0.1, 1.0, 1)
    with pytest.raises(ConfigError, match="two weight matrices or more"):
        deep_time(1.0, 0.1, 0.5, 1)
