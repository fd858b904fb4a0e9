"""Torques of arms learned from motion: known arms recovered, closed forms held, a real arm below its baselines."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal

from invdyn.forces.learned.arm_kernel import ArmKernel, KernelKind
from invdyn.forces.learned.ensemble import EnsembleConfig, Scales, default_trainer
from invdyn.forces.learned.gaussian_process import ArmGPConfig, fit_gp
from invdyn.forces.learned.intervals import calibrate_torques, leave_out
from invdyn.forces.learned.lagrangian import LagrangianConfig, LagrangianNet, fit_lagrangian
from invdyn.forces.learned.network import NetworkConfig, fit_network
from invdyn.forces.learned.ridge import fit_kernel_ridge, fit_linear
from invdyn.forces.learned.rigid_body import fit_rigid_body, fit_semiparametric
from invdyn.forces.learned.rows import TorqueRows, time_blocks
from invdyn.forces.learned.stacking import stack, stack_left_out
from invdyn.verify.metrics.regression import fvu

# A two-link arm in a vertical plane, angles from hanging down, the second relative to the first: I1 + m2 l1^2 (kg m^2),
# I2 (kg m^2), m2 l1 r2 (kg m^2), (m1 r1 + m2 l1) g (N m), m2 r2 g (N m).
TRUE = np.array([0.6, 0.2, 0.15, 6.0, 2.0])


def regressor(q: np.ndarray, qd: np.ndarray, qdd: np.ndarray) -> np.ndarray:
    """[N, 2, 5] of the two-link arm, from its Lagrangian."""
    (q1, q2), (v1, v2), (a1, a2) = q.T, qd.T, qdd.T
    c, s, zero = np.cos(q2), np.sin(q2), np.zeros_like(q1)
    first = [a1, a1 + a2, c * (2 * a1 + a2) - s * (2 * v1 * v2 + v2**2), np.sin(q1), np.sin(q1 + q2)]
    second = [zero, a1 + a2, c * a1 + s * v1**2, zero, np.sin(q1 + q2)]
    return np.stack([np.stack(first, -1), np.stack(second, -1)], 1)


def arm(rows: int, seed: int, *, noise: float = 0.0, lost: float = 0.0) -> TorqueRows:
    """Independent motions of the arm; `lost`: size of a friction no rigid body has, N m."""
    rng = np.random.default_rng(seed)
    q, qd, qdd = rng.uniform(-1.5, 1.5, (rows, 2)), rng.normal(0, 2, (rows, 2)), rng.normal(0, 8, (rows, 2))
    tau = regressor(q, qd, qdd) @ TRUE + lost * np.sin(2 * qd) * np.cos(q)
    return TorqueRows(q, qd, qdd, tau + noise * rng.standard_normal(tau.shape), np.arange(rows))


def mass_matrix(q: np.ndarray) -> np.ndarray:
    c = np.cos(q[:, 1])
    m12 = TRUE[1] + TRUE[2] * c
    return np.stack(
        [np.stack([TRUE[0] + TRUE[1] + 2 * TRUE[2] * c, m12], -1), np.stack([m12, TRUE[1] + 0 * c], -1)], -2
    )


def test_rigid_body_finds_parameters_and_friction() -> None:
    rows = arm(400, 0)
    rows = rows.with_torque(rows.tau + 0.3 * rows.qd + np.array([0.5, -0.2]))
    found = fit_rigid_body(rows, regressor)
    # A rotor at joint 1 and I1 + m2 l1^2, a rotor at joint 2 and I2: one combination of the two pairs is told.
    assert found.rank == 5 + 2 * 3 + 1
    np.testing.assert_allclose(found.parameters[2:], TRUE[2:], atol=1e-9)
    np.testing.assert_allclose(found.parameters[0] + found.friction[0, 3], TRUE[0], atol=1e-9)
    np.testing.assert_allclose(found.friction[:, :3], [[0.3, 0, 0.5], [0.3, 0, -0.2]], atol=1e-9)
    new = arm(100, 1)
    want = new.tau + 0.3 * new.qd + np.array([0.5, -0.2])
    np.testing.assert_allclose(found.predict(new).mean, want, atol=1e-9)


def test_rigid_body_learns_from_torques_of_single_joints() -> None:
    """Each row has one joint's torque, as in SARCOS; the parameters are shared."""
    rows = arm(200, 2)
    tau = np.where(np.arange(200)[:, None] % 2 == np.arange(2), rows.tau, np.nan)
    found = fit_rigid_body(rows.with_torque(tau), regressor, friction=False)
    np.testing.assert_allclose(found.parameters, TRUE, atol=1e-9)


def test_joints_of_unequal_noise_are_weighted() -> None:
    """The iterated weights beat equal ones: joint 2 is a hundred times as exact as joint 1."""
    errors = []
    for passes in (1, 4):
        off = []
        for seed in range(10):
            rows = arm(60, seed)
            noise = np.random.default_rng(seed + 50).standard_normal(rows.tau.shape) * np.array([2.0, 0.02])
            found = fit_rigid_body(rows.with_torque(rows.tau + noise), regressor, friction=False, passes=passes)
            off.append(found.parameters[1] - TRUE[1])
        errors.append(np.sqrt(np.mean(np.square(off))))
    assert errors[1] < 0.5 * errors[0]


def test_residual_learns_what_a_rigid_body_cannot() -> None:
    train, new = arm(300, 3, noise=0.02, lost=1.0), arm(300, 4, lost=1.0)
    body = fvu(new.tau, fit_rigid_body(train, regressor).predict(new).mean)
    both = fit_semiparametric(train, regressor, lambda rows: fit_gp(rows, ArmGPConfig(kernel="rbf")))
    pure = fvu(new.tau, fit_gp(train, ArmGPConfig(kernel="rbf")).predict(new).mean)
    left = fvu(new.tau, both.predict(new).mean)
    assert (left < 0.5 * body).all()
    assert (left < pure).all()


def test_structure_of_the_kernel_pays_and_the_evidence_knows() -> None:
    train, new = arm(200, 5, noise=0.05), arm(500, 6)
    rbf, structured = (fit_gp(train, ArmGPConfig(kernel=kind)) for kind in ("rbf", "arm"))
    assert (structured.evidence > rbf.evidence).all()
    plain, better = fvu(new.tau, rbf.predict(new).mean), fvu(new.tau, structured.predict(new).mean)
    assert (better < 0.5 * plain).all()
    assert (better < 0.1 * fvu(new.tau, fit_linear(train).predict(new).mean)).all()
    assert structured.noise == pytest.approx(0.05, rel=0.5)


@pytest.mark.parametrize("kind", ["rbf", "arm"])
def test_posterior_and_evidence_are_those_of_a_joint_gaussian(kind: KernelKind) -> None:
    train, new = arm(60, 7, noise=0.1), arm(15, 8)
    found = fit_gp(train, ArmGPConfig(kernel=kind))
    told = found.predict(new)
    for joint, part in enumerate(found.parts):
        x, z = part.inputs, torch.from_numpy(part.standard(new.motion))
        with torch.no_grad():
            joined = part.kernel(torch.cat([x, z]), torch.cat([x, z])).numpy()
        np.testing.assert_allclose(part.kernel.diagonal(z).numpy(), joined.diagonal()[60:], rtol=1e-9)
        joined = joined + part.noise * np.eye(75)
        y = (train.tau[:, joint] - part.mean) / part.std
        gain = np.linalg.solve(joined[:60, :60], joined[:60, 60:]).T
        variance = (joined[60:, 60:] - gain @ joined[:60, 60:]).diagonal()
        np.testing.assert_allclose(told.mean[:, joint], part.mean + part.std * (gain @ y), atol=1e-6)
        np.testing.assert_allclose(told.spread[:, joint], part.std * np.sqrt(variance), rtol=1e-6)
        evidence = multivariate_normal(np.zeros(60), joined[:60, :60]).logpdf(y) / 60
        assert found.evidence[joint] == pytest.approx(evidence, abs=1e-9)


def test_evidence_is_climbed_to_a_top() -> None:
    """No single setting moved by 2 % raises it by more than the tolerance of the climb."""
    part = fit_gp(arm(80, 9, noise=0.1), ArmGPConfig(kernel="rbf", first_evaluations=300)).parts[0]
    y = (part.tau - part.mean) / part.std

    def evidence(kernel: ArmKernel) -> float:
        with torch.no_grad():
            covariance = kernel(part.inputs, part.inputs).numpy() + part.noise * np.eye(80)
        return float(multivariate_normal(np.zeros(80), covariance).logpdf(y)) / 80

    top = evidence(part.kernel)
    for name, value in part.kernel.named_parameters():
        for i in range(len(value)):
            for step in (-0.02, 0.02):
                moved = copy.deepcopy(part.kernel)
                moved.get_parameter(name)[i] += step
                assert evidence(moved) < top + 1e-4


def test_a_block_left_out_is_a_fit_without_it() -> None:
    """In closed form against the same kernel conditioned on the other blocks."""
    rows = arm(60, 10, noise=0.1)
    rows = TorqueRows(rows.q, rows.qd, rows.qdd, rows.tau, time_blocks(60, 6))
    found = fit_gp(rows)
    for part, left in zip(found.parts, found.left_out()):
        with torch.no_grad():
            k = part.kernel(part.inputs, part.inputs).numpy() + part.noise * np.eye(60)
        y = (part.tau - part.mean) / part.std
        for block in range(6):
            out = rows.block == block
            gain = np.linalg.solve(k[np.ix_(~out, ~out)], k[np.ix_(~out, out)]).T
            variance = (k[np.ix_(out, out)] - gain @ k[np.ix_(~out, out)]).diagonal()
            np.testing.assert_allclose(left.mean[out], part.mean + part.std * gain @ y[~out], atol=1e-6)
            np.testing.assert_allclose(left.spread[out], part.std * np.sqrt(variance), rtol=1e-6)


def test_kernel_ridge_is_that_of_scikit_learn() -> None:
    sklearn = pytest.importorskip("sklearn.kernel_ridge", reason="needs the extra 'studies'")
    train, new = arm(80, 11, noise=0.1), arm(20, 12)
    told = fit_kernel_ridge(train, gamma=0.05, alpha=0.1).predict(new).mean
    mean, std = train.motion.mean(0), train.motion.std(0)
    for joint in range(2):
        y = train.tau[:, joint]
        theirs = sklearn.KernelRidge(kernel="rbf", gamma=0.05, alpha=0.1).fit((train.motion - mean) / std, y - y.mean())
        np.testing.assert_allclose(told[:, joint], theirs.predict((new.motion - mean) / std) + y.mean(), atol=1e-9)


def net(joints: int = 3) -> LagrangianNet:
    ones = (1.0,) * joints
    torch.manual_seed(0)
    return LagrangianNet(Scales((0.0,) * joints, ones, ones, ones, (0.0,) * joints, ones), 16, 2, True).double()


def test_lagrangian_net_obeys_mechanics() -> None:
    """Any weights: M positive definite, power of the torque without friction = rate of the energy."""
    made = net()
    q, v, a = (torch.randn(50, 3, dtype=torch.float64) for _ in range(3))
    mass = made.mass_matrix(q)
    assert (torch.linalg.eigvalsh(mass) > 0).all()
    torch.testing.assert_close(mass, mass.mT)

    def energy(q: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        return 0.5 * (v[..., None, :] @ made.mass_matrix(q) @ v[..., None])[..., 0, 0] + made.potential(q)

    _, rate = torch.func.jvp(energy, (q, v), (v, a))
    conservative = made(torch.cat([q, v, a], 1)) - made.lost(v)
    torch.testing.assert_close((conservative * v).sum(1), rate)
    still = made.lost(torch.zeros(1, 3, dtype=torch.float64))
    assert (((made.lost(v) - still) * v).sum(1) >= 0).all()  # friction takes energy
    flat = torch.cat([q, v, a], 1)
    heavier = made(torch.cat([q, v, a + 1e-3], 1)) - made(flat)
    torch.testing.assert_close(heavier, (mass @ torch.full((3, 1), 1e-3, dtype=mass.dtype))[..., 0])


def trained(steps: int, members: int = 2) -> EnsembleConfig:
    trainer = replace(default_trainer(5e-3, 1e-5), steps=steps, patience=None)
    return EnsembleConfig(members=members, trainer=trainer)


def test_lagrangian_network_finds_the_mass_matrix() -> None:
    """Torques alone, of one joint a row, tell M(q); the pure network has no such thing, and errs more."""
    train, new = arm(1500, 13), arm(400, 14)
    tau = np.where(np.arange(1500)[:, None] % 2 == np.arange(2), train.tau, np.nan)
    found = fit_lagrangian(train.with_torque(tau), LagrangianConfig(friction=False, ensemble=trained(700)))
    pure = fit_network(train.with_torque(tau), NetworkConfig(ensemble=trained(700)))
    error, plain = (fvu(new.tau, m.predict(new).mean) for m in (found, pure))
    assert (error < 0.01).all()
    assert (error < 0.5 * plain).all()
    member = found.net.member(0, LagrangianNet(Scales.of(train), 64, 2, False))
    with torch.no_grad():
        mass = member.mass_matrix(torch.from_numpy(new.q).float()).double().numpy()
    assert np.abs(mass - mass_matrix(new.q)).max() < 0.15 * np.abs(mass_matrix(new.q)).max()


def test_network_beats_a_line_and_its_members_differ() -> None:
    train, new = arm(1500, 15, noise=0.1), arm(400, 16)
    found = fit_network(train, NetworkConfig(width=64, ensemble=trained(800, members=3)))
    told = found.predict(new)
    assert (fvu(new.tau, told.mean) < 0.2 * fvu(new.tau, fit_linear(train).predict(new).mean)).all()
    assert (told.spread > found.noise).all()
    again = fit_network(train, NetworkConfig(width=64, ensemble=trained(800, members=3)))
    np.testing.assert_array_equal(again.predict(new).mean, told.mean)


def test_intervals_cover_as_often_as_they_say() -> None:
    train, new = arm(250, 17, noise=0.3), arm(2000, 18, noise=0.3)
    process = fit_gp(train)
    line = fit_linear(train)
    for model, left in ((process, process.left_out()), (line, leave_out(fit_linear, train, folds=10))):
        estimate = model.predict(new)
        for level in (0.8, 0.9):
            found = calibrate_torques(left, level=level).coverage(new, estimate)
            # Two joints, 250 scores: the standard deviation of the coverage is about 0.02.
            np.testing.assert_allclose(found, level, atol=0.06)


def test_stack_is_at_least_as_good_as_its_best_at_left_out_rows() -> None:
    rows = arm(200, 19, noise=0.5)
    left = [leave_out(fit, rows, folds=10) for fit in (fit_linear, fit_kernel_ridge)]
    models = [fit_linear(rows), fit_kernel_ridge(rows)]
    found = stack(models, left)
    assert (found.weights >= 0).all()
    np.testing.assert_allclose(found.weights.sum(0), 1)
    for j, part in enumerate(stack_left_out(left, found.weights)):
        errors = [((parts[j].mean - part.truth) ** 2).sum() for parts in left]
        mine = ((part.mean - part.truth) ** 2).sum()
        assert mine <= min(errors) * (1 + 1e-9)
        # A parabola in the one free weight: its lowest point in closed form, kept within [0, 1].
        off, step = left[1][j].mean - part.truth, left[0][j].mean - left[1][j].mean
        best = np.clip(-(off @ step) / (step @ step), 0, 1)
        assert found.weights[0, j] == pytest.approx(best, abs=1e-6)
    told = [m.predict(rows) for m in models]
    want = sum(w * t.mean for w, t in zip(found.weights, told))
    np.testing.assert_allclose(found.predict(rows).mean, want)


def sarcos(folder: Path) -> tuple[TorqueRows, TorqueRows]:
    """Leak-free training rows with one torque each, and the shared test rows."""
    given = np.load(folder / "sarcos_train_single_torque.npz")
    keep = ~given["also_in_test"]
    tau = np.full((int(keep.sum()), 7), np.nan)
    tau[np.arange(len(tau)), given["joint"][keep]] = given["torque"][keep]
    motion = (given[name][keep].astype(float) for name in ("q", "qd", "qdd"))
    test = np.load(folder / "sarcos_test_rows_0000_2999.npz")
    whole = (test[name].astype(float) for name in ("q", "qd", "qdd", "tau"))
    return TorqueRows(*motion, tau, np.arange(len(tau))), TorqueRows(*whole, np.arange(len(test["q"])))


def test_sarcos_is_what_its_readme_says(shared_data: Path) -> None:
    """The split and the measure: the baselines measured there come out again."""
    train, test = sarcos(shared_data / "sarcos")
    assert train.measured.sum(0).tolist() == [1971, 1995, 1951, 1948, 1947, 2015, 2000]
    inputs = {row.tobytes() for row in test.motion}
    assert not any(row.tobytes() in inputs for row in train.motion)
    linear = fvu(test.tau, fit_linear(train).predict(test).mean)
    np.testing.assert_allclose(linear, [0.071, 0.119, 0.106, 0.059, 0.131, 0.276, 0.069], atol=6e-4)
    ridge = fvu(test.tau, fit_kernel_ridge(train).predict(test).mean)
    np.testing.assert_allclose(ridge, RIDGE, atol=7e-4)


RIDGE = np.array([0.028, 0.026, 0.020, 0.010, 0.032, 0.036, 0.013])


@pytest.mark.slow
@pytest.mark.timeout(2400)
def test_sarcos_below_every_baseline(shared_data: Path) -> None:
    """Measured 0.0221 0.0256 0.0179 0.0069 0.0296 0.0343 0.0103; less still when stacked (results/arms). Test rows
    choose nothing: the kernel is set by the evidence. The coverage of 3000 rows alone has a deviation of 0.006.
    Measured coverage 0.933 0.905 0.907 0.881 0.913 0.914 0.907: the promise is one-sided, joint by joint."""
    train, test = sarcos(shared_data / "sarcos")
    found = fit_gp(train)
    told = found.predict(test)
    assert (fvu(test.tau, told.mean) < RIDGE).all()
    covered = calibrate_torques(found.left_out()).coverage(test, told)
    assert (covered > 0.87).all()
    assert covered.mean() == pytest.approx(0.9, abs=0.03)
