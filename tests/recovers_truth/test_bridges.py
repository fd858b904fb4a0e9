"""Schrödinger bridges: closed forms of Gaussians, entropic transport, IPF, families of laws, the outer loop."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from torch import Tensor

from invdyn.diffusion.bridges import gaussian_coupling, sinkhorn
from invdyn.diffusion.bridges_drift import RegressionConfig, fit_drift, no_drift, simulate
from invdyn.diffusion.bridges_families import NoDrift, lotka_volterra, repressilator, vortex
from invdyn.diffusion.bridges_fields import polynomial
from invdyn.diffusion.bridges_ipf import BridgeConfig, bridge, time_grid
from invdyn.diffusion.bridges_mixing import Mixing
from invdyn.diffusion.bridges_plain import brownian_bridges, plain_law
from invdyn.diffusion.bridges_refined import RefineReference, pushed_paths, refine_reference
from invdyn.studies.sb_irr_config import simulated
from invdyn.verify.metrics import emd, w2_exact

FIRST = torch.tensor([[1.0, 0.3], [0.3, 0.5]], dtype=torch.float64)
SECOND = torch.tensor([[0.6, -0.2], [-0.2, 1.2]], dtype=torch.float64)
AWAY = torch.tensor([1.0, -1.0], dtype=torch.float64)
QUICK = RegressionConfig(features=30, affine=1.0)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(n: int, covariance: Tensor, mean: Tensor, g: torch.Generator) -> Tensor:
    """Points whose sample mean and covariance are exactly these."""
    x = torch.randn(n, 2, dtype=torch.float64, generator=g)
    x = x - x.mean(0)
    white = torch.linalg.solve(torch.linalg.cholesky(x.T @ x / n), x.T).T
    return mean + white @ torch.linalg.cholesky(covariance).T


@pytest.mark.parametrize("variance", [0.25, 1.0])
def test_gaussian_coupling_is_the_entropic_optimum(variance: float) -> None:
    """Stationary point of tr(C) + s^2/2 log det of the joint covariance, the entropic objective among Gaussians."""
    c = gaussian_coupling(FIRST, SECOND, variance).clone().requires_grad_()
    joint = torch.cat([torch.cat([FIRST, c], 1), torch.cat([c.T, SECOND], 1)])
    (c.trace() + variance / 2 * torch.logdet(joint)).backward()
    assert float(c.grad.abs().max()) < 1e-9
    assert float(torch.linalg.eigvalsh(joint.detach()).min()) > 0


def test_little_noise_gives_the_transport_map_and_much_noise_none() -> None:
    root = torch.linalg.cholesky(FIRST)
    c = gaussian_coupling(FIRST, SECOND, 1e-9)
    values = torch.linalg.eigvals(FIRST @ SECOND).real
    assert float(c.trace()) == pytest.approx(float(values.sqrt().sum()), abs=1e-6)  # Bures: sum of roots
    assert float(gaussian_coupling(FIRST, SECOND, 1e6).abs().max()) < 1e-5
    assert root.shape == (2, 2)


def test_sinkhorn_agrees_with_the_closed_form() -> None:
    g = generator()
    x, y = normal(1200, FIRST, 0 * AWAY, g), normal(1200, SECOND, AWAY, g)
    found = sinkhorn(x, y, 1.0)
    assert found.gap < 1e-9
    assert float(found.plan.sum()) == pytest.approx(1)
    cross = x.T @ found.plan @ (y - AWAY)
    assert float((cross - gaussian_coupling(FIRST, SECOND, 1.0)).abs().max()) < 2e-3  # card; measured 4e-4


def test_sinkhorn_agrees_with_another_library() -> None:
    ot = pytest.importorskip("ot", reason="POT is not installed")
    g = generator(1)
    x, y = normal(40, FIRST, 0 * AWAY, g), normal(60, SECOND, AWAY, g)
    cost = ((x[:, None] - y[None]).square().sum(-1) / 2).numpy()
    plan = ot.sinkhorn([1 / 40] * 40, [1 / 60] * 60, cost, 0.3, stopThr=1e-12, numItermax=100_000)
    assert abs(plan - sinkhorn(x, y, 0.3).plan.numpy()).max() < 1e-9


def test_ipf_finds_the_bridge_of_gaussians() -> None:
    g, variance = generator(), 0.25
    x, y = normal(1600, FIRST, 0 * AWAY, g), normal(1600, SECOND, AWAY, g)
    config = BridgeConfig(sigma=math.sqrt(variance), step=0.05, regression=RegressionConfig(features=30))
    found = bridge(x, y, (0.0, 1.0), config, g)
    path = simulate(found.forward, x.repeat(6, 1), found.times, config.sigma, g)
    start, end = path[0] - path[0].mean(0), path[-1] - path[-1].mean(0)
    gap = start.T @ end / len(end) - gaussian_coupling(FIRST, SECOND, variance)
    assert float(gap.abs().max()) < 5e-2  # card; measured 2.6e-2
    fresh = w2_exact(normal(400, SECOND, AWAY, g), normal(400, SECOND, AWAY, g))
    reached = w2_exact(path[-1][:400], normal(400, SECOND, AWAY, g))
    assert reached < 1.5 * fresh


def test_bridge_under_the_true_law_leaves_it_alone() -> None:
    """Snapshots of a rotation, the rotation as reference: forward drift stays the rotation, backward reverses it."""
    g, family = generator(2), vortex()
    law = family.drift(torch.tensor([-1.0, 0.0, 1.0, 0.0], dtype=torch.float64))
    x = normal(600, 0.3 * torch.eye(2, dtype=torch.float64), AWAY, g)
    times = time_grid(0.0, 1.0, 0.02)
    y = simulate(law, x, times, 0.1, g)[-1]
    found = bridge(x, y, (0.0, 1.0), BridgeConfig(sigma=0.1, step=0.05, rounds=3, regression=QUICK), g, law)
    again = simulate(found.forward, x, found.times, 0.1, g)
    assert float((found.forward(again[10], 0.5) - law(again[10], 0.5)).abs().mean()) < 0.1  # speeds are about 1.4
    back = simulate(found.backward, y, found.times.flip(0), 0.1, g)[-1]
    assert emd(back, x) < 0.15


def test_time_runs_both_ways() -> None:
    times = time_grid(1.0, 2.05, 0.25)
    assert len(times) == 6
    assert float(times[-1]) == pytest.approx(2.05)
    assert time_grid(0.0, 1.0, 0.1).shape == (11,)
    # A deterministic drift simulated forward, then its reverse backward, returns.
    g = generator(3)
    x = torch.randn(5, 2, dtype=torch.float64, generator=g)
    steady = torch.tensor([0.3, -0.2], dtype=torch.float64)
    there = simulate(lambda x, t: steady.expand_as(x), x, times, 0.0, g)[-1]
    back = simulate(lambda x, t: -steady.expand_as(x), there, times.flip(0), 0.0, g)[-1]
    assert torch.allclose(back, x)


@pytest.mark.parametrize("regressor", ["features", "gp"])
def test_drifts_are_regressed_from_increments(regressor: str) -> None:
    g = generator(4)
    x = torch.rand(40, 1, dtype=torch.float64, generator=g) * 4 - 2
    times = torch.linspace(0, 1, 11, dtype=torch.float64)
    path = simulate(lambda x, t: torch.sin(2 * x) + t, x, times, 0.02, g)
    config = RegressionConfig(regressor=regressor, features=300)  # type: ignore[arg-type]
    found = fit_drift(times, path, 0.02, config, g)
    seen = path[5]
    assert float((found(seen, 0.5) - torch.sin(2 * seen) - 0.5).abs().mean()) < 0.06
    # Beyond what was seen the answer stays at its edge.
    far = torch.tensor([[100.0]], dtype=torch.float64)
    edge = path[:-1].max().reshape(1, 1)
    assert torch.allclose(found(far, 0.5), found(edge, 0.5))


def increments(family_path: Tensor, step: float) -> tuple[Tensor, Tensor, Tensor]:
    x = family_path[:-1].flatten(0, 1)
    rise = ((family_path[1:] - family_path[:-1]) / step).flatten(0, 1)
    return x, rise, torch.full((len(x),), step / 0.1**2, dtype=torch.float64)


def test_projection_recovers_lotka_volterra_and_adam_tends_to_it() -> None:
    g, family = generator(5), lotka_volterra()
    truth = torch.tensor([1.0, 0.4, 0.4, 0.1], dtype=torch.float64)
    start = 5 + 0.1 * torch.rand(50, 2, dtype=torch.float64, generator=g)
    step = 0.02
    path = [start]
    for _ in range(500):
        x = path[-1]
        noise = torch.randn(x.shape, dtype=torch.float64, generator=g)
        path.append(x + step * family.evaluate(truth, x) + 0.02 * x * math.sqrt(step) * noise)
    x, rise, weight = increments(torch.stack(path), step)
    found = family.fit(x, rise, weight, None)
    assert float((found.parameters / truth - 1).abs().max()) < 0.02  # card
    # With the noise that the model assumes, standard errors are those of the estimates.
    assert bool((found.errors > 0).all())
    some = slice(None, None, 20)
    exact = family.fit(x[some], rise[some], weight[some], None)
    start = torch.full((4,), 0.5, dtype=torch.float64)
    slow = family.fit_adam(x[some], rise[some], weight[some], start, 1500, 0.02)
    assert float((slow.parameters - exact.parameters).abs().max()) < 1e-3  # card


def test_standard_errors_are_the_spread_of_estimates() -> None:
    family = vortex()
    truth = torch.tensor([-1.0, 0.2, 1.0, -0.1], dtype=torch.float64)
    answers, told = [], []
    for seed in range(60):
        g = generator(100 + seed)
        x = torch.randn(30, 2, dtype=torch.float64, generator=g)
        path = simulate(family.drift(truth), x, torch.linspace(0, 1, 21, dtype=torch.float64), 0.1, g)
        found = family.fit(*increments(path, 0.05), None)
        answers.append(found.parameters)
        told.append(found.errors)
    ratio = torch.stack(answers).std(0) / torch.stack(told).mean(0)
    assert bool(((ratio > 0.7) & (ratio < 1.35)).all())


def test_repressilator_is_fitted_from_a_distant_guess() -> None:
    g, family = generator(6), repressilator()
    truth = torch.tensor([10.0, 3.0, 1.0, 1.0], dtype=torch.float64)
    start = 1 + torch.rand(30, 3, dtype=torch.float64, generator=g)
    path = simulate(family.drift(truth), start, torch.linspace(0, 6, 301, dtype=torch.float64), 0.02, g)
    found = family.fit(*increments(path, 0.02), None)
    assert float((found.parameters / truth - 1).abs().max()) < 0.05


@pytest.fixture(scope="module")
def rotation() -> tuple[list[Tensor], list[float], Tensor]:
    """Fresh particles at five times of a rotation with noise 0.2; numbers differ from time to time."""
    g, family = generator(7), vortex()
    truth = torch.tensor([-1.0, 0.2, 1.0, -0.1], dtype=torch.float64)
    times, snapshots = [0.0, 0.8, 1.5, 2.3, 3.0], []
    for k, time in enumerate(times):
        x = torch.tensor([1.0, 0.0]) + 0.3 * torch.randn(70 + 5 * k, 2, dtype=torch.float64, generator=g)
        snapshots.append(x if time == 0 else simulate(family.drift(truth), x, time_grid(0.0, time, 0.02), 0.2, g)[-1])
    return snapshots, times, truth


def test_outer_loop_finds_the_law_between_unpaired_snapshots(
    rotation: tuple[list[Tensor], list[float], Tensor],
) -> None:
    snapshots, times, truth = rotation
    inner = BridgeConfig(sigma=0.2, step=0.1, rounds=4, regression=QUICK)
    config = RefineReference(iterations=6, bridge=inner)
    seen, at = snapshots[::2], times[::2]
    plain = refine_reference(seen, at, NoDrift(), dataclasses.replace(config, iterations=1), generator(8))
    found = refine_reference(seen, at, vortex(), config, generator(8))
    errors = [float((f.parameters - truth).abs().max()) for f in found.fitted]
    assert errors[-1] < 0.5 * errors[0]
    assert found.kl[-1] < 0.5 * found.kl[0]  # its estimate from some 200 paths is too noisy to be monotone

    def missed(paths: Tensor, grid: Tensor) -> float:
        """EMD at the two snapshots that were held out, at the grid's nearest time."""
        total = 0.0
        for k in (1, 3):
            near = int((grid - times[k]).abs().argmin())
            total += emd(paths[near][: len(snapshots[k])], snapshots[k])
        return total

    assert missed(found.paths, found.times) < 0.75 * missed(plain.paths, plain.times)
    assert found.paths.shape[1] == sum(len(x) for x in seen)
    assert torch.equal(found.at(0.0)[: len(seen[0])], seen[0])  # every snapshot's own particles stay where they were


def test_zero_drift_family_is_the_plain_bridge_exactly(rotation: tuple[list[Tensor], list[float], Tensor]) -> None:
    snapshots, times, _ = rotation
    inner = BridgeConfig(sigma=0.2, step=0.25, rounds=2, regression=QUICK)
    first = refine_reference(snapshots[:3], times[:3], NoDrift(), RefineReference(1, inner, common=False), generator(9))
    g = generator(9)
    plain = [bridge(snapshots[k], snapshots[k + 1], (times[k], times[k + 1]), inner, g, no_drift) for k in range(2)]
    assert torch.equal(first.paths, pushed_paths(snapshots[:3], plain, 0.2, g)[1])
    # With common random numbers, more iterations change nothing, bit for bit.
    few, many = (
        refine_reference(snapshots[:3], times[:3], NoDrift(), RefineReference(k, inner), generator(9)) for k in (1, 3)
    )
    assert torch.equal(few.paths, many.paths)


def test_single_precision_finds_the_same_law(rotation: tuple[list[Tensor], list[float], Tensor]) -> None:
    """Particles in float32 are bridged in float32; laws stay float64 and are told from it to a few digits."""
    snapshots, times, _ = rotation
    inner = BridgeConfig(sigma=0.2, step=0.2, rounds=2, regression=QUICK)
    config = RefineReference(3, inner, memory=2, closed=True)
    both = [
        refine_reference([x.to(kind) for x in snapshots[::2]], times[::2], vortex(), config, generator(8))
        for kind in (torch.float64, torch.float32)
    ]
    assert both[1].paths.dtype == torch.float32
    assert both[1].fitted[-1].parameters.dtype == torch.float64
    # Noise is drawn in the particles' own precision, so the two runs see different draws.
    assert torch.allclose(both[1].fitted[-1].parameters, both[0].fitted[-1].parameters, atol=0.15)


def test_mixing_ends_a_linear_iteration_that_crawls() -> None:
    """theta -> A theta + b with rates .95, .7, .3 in p = 3 dimensions stands still after about p + 1 mixed turns."""
    turn = torch.linalg.qr(torch.randn(3, 3, dtype=torch.float64, generator=generator(1))).Q
    matrix = turn @ torch.diag(torch.tensor([0.95, 0.7, 0.3], dtype=torch.float64)) @ turn.T
    shift = torch.ones(3, dtype=torch.float64)
    fixed = torch.linalg.solve(torch.eye(3, dtype=torch.float64) - matrix, shift)

    def left(mixing: Mixing, turns: int) -> float:
        theta = torch.zeros(3, dtype=torch.float64)
        for _ in range(turns):
            theta = mixing.after(theta, matrix @ theta + shift)
        return float((theta - fixed).norm() / fixed.norm())

    assert left(Mixing(0), 5) > 0.5
    assert left(Mixing(3, reach=1e9), 5) < 1e-6
    assert left(Mixing(3), 5) > 1e-3  # a step may be at most four times the plain one
    assert left(Mixing(3), 12) < 0.2 * left(Mixing(0), 12)


def test_mixing_goes_on_where_steps_grow_and_rests_where_there_are_none() -> None:
    mixing, one = Mixing(2), torch.ones(1, dtype=torch.float64)
    assert mixing.after(0 * one, one) == 1.0
    assert mixing.after(one, 3 * one) == 5.0  # from 1 to 2: a secant would turn back
    assert mixing.after(5 * one, 5 * one) == 5.0
    mixing.forget()
    assert mixing.after(one, 3 * one) == 3.0


def test_mixed_iterations_from_the_closed_form_are_ahead_of_plain_ones() -> None:
    """A ring of three genes: production and threshold make up for each other, and plain iterations crawl."""
    problem = simulated("repressilator", 60, generator(5))
    inner = BridgeConfig(sigma=0.1, step=0.1, rounds=4, regression=RegressionConfig(features=40, affine=10.0))
    seen, at = problem.snapshots[::2], problem.times[::2]
    assert problem.parameters is not None
    errors = {}
    for memory in (0, 3):
        config = RefineReference(7, inner, memory=memory, closed=memory > 0)
        found = refine_reference(seen, at, problem.family, config, generator(8))
        assert len(found.kl) + found.given_up == 7
        assert len(found.fitted) == len(found.kl)
        errors[memory] = float((found.fitted[-1].parameters / problem.parameters - 1).abs().max())
    assert errors[3] < 0.8 * errors[0]


def test_plain_bridge_in_closed_form_has_the_spread_of_a_brownian_bridge() -> None:
    """One particle at each end: at share u of the way the mean is on the line, the variance sigma^2 T u (1 - u)."""
    a, b = torch.zeros(1, 2, dtype=torch.float64), torch.tensor([[2.0, -1.0]], dtype=torch.float64)
    path = brownian_bridges(a, b, [1.0, 1.5, 3.0], 0.3, generator(2), copies=20_000)
    assert torch.equal(path[0], a.expand(20_000, 2))
    assert torch.allclose(path[-1], b.expand(20_000, 2), atol=1e-12)
    assert torch.allclose(path[1].mean(0), 0.25 * b[0], atol=0.01)
    assert float(path[1].var(0).mean()) == pytest.approx(0.09 * 2 * 0.25 * 0.75, rel=0.03)


def test_law_of_the_plain_bridge_is_the_drift_of_what_is_carried_along() -> None:
    x = torch.randn(60, 2, dtype=torch.float64, generator=generator(3))
    speed = torch.tensor([0.5, -0.25], dtype=torch.float64)
    times = [0.0, 1.0, 2.5]
    found = plain_law([x + t * speed for t in times], times, polynomial(2, 0), 0.05, 0.1, generator(4))
    assert torch.allclose(found.parameters, speed, atol=0.02)
