"""Identification: ranks, parameters and intervals of known models; consistency; friction; excitation; real arms."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from sysconfig import get_path
from typing import Any

import numpy as np
import pytest
import torch

from invdyn.bodies.files import load_model
from invdyn.forces.identification.base_parameters import base_parameters
from invdyn.forces.identification.body_regressor import body_regressor
from invdyn.forces.identification.crossvalidation import choose, cross_validate
from invdyn.forces.identification.equations import Equations, collect
from invdyn.forces.identification.estimate import Estimate
from invdyn.forces.identification.excitation import Limits, design_excitation
from invdyn.forces.identification.feasible import fit_feasible
from invdyn.forces.identification.friction import Friction
from invdyn.forces.identification.least_squares import fit_least_squares
from invdyn.forces.identification.log_cholesky import fit_log_cholesky
from invdyn.forces.identification.pseudo_inertia import (
    consistent,
    divergence,
    from_log_cholesky,
    inertial_parameters,
    pseudo_inertia,
    to_log_cholesky,
)
from invdyn.forces.identification.replay import acceleration, replay_motion, replay_torque

ROBOTS = Path(get_path("purelib")) / "cmeel.prefix/share/example-robot-data/robots"
PANDA = "panda_description/urdf/panda.urdf"
FINGERS = ["panda_finger_joint1", "panda_finger_joint2"]
Regressor = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]
Motion = tuple[np.ndarray, np.ndarray, np.ndarray]


class Robot:
    """Pinocchio's model as the oracle: its regressor, its parameters, its limits."""

    def __init__(self, file: str, *, locked: list[str] | None = None, floating: bool = False) -> None:
        self.pin = pytest.importorskip("pinocchio")
        if not (ROBOTS / file).is_file():
            pytest.skip("needs the package example-robot-data")
        root = (self.pin.JointModelFreeFlyer(),) if floating else ()
        self.model = self.pin.buildModelFromUrdf(str(ROBOTS / file), *root)
        if locked:
            ids = [self.model.getJointId(name) for name in locked]
            self.model = self.pin.buildReducedModel(self.model, ids, self.pin.neutral(self.model))
        self.data = self.model.createData()
        self.pi = np.concatenate([i.toDynamicParameters() for i in list(self.model.inertias)[1:]])

    def regressor(self, q: np.ndarray, v: np.ndarray, a: np.ndarray) -> np.ndarray:
        rows = [self.pin.computeJointTorqueRegressor(self.model, self.data, *r).copy() for r in zip(q, v, a)]
        return np.array(rows)

    def states(self, samples: int, seed: int) -> Motion:
        rng, nv = np.random.default_rng(seed), self.model.nv
        here = self.pin.neutral(self.model)
        q = np.array([self.pin.integrate(self.model, here, rng.standard_normal(nv)) for _ in range(samples)])
        return q, rng.standard_normal((samples, nv)), rng.standard_normal((samples, nv))

    def within_limits(self, samples: int, seed: int) -> Motion:
        rng, m = np.random.default_rng(seed), self.model
        q = rng.uniform(m.lowerPositionLimit, m.upperPositionLimit, (samples, m.nv))
        qd = rng.uniform(-0.5, 0.5, (samples, m.nv)) * m.velocityLimit
        return q, qd, rng.uniform(-5, 5, (samples, m.nv))


@pytest.fixture(scope="module")
def panda() -> Robot:
    return Robot(PANDA, locked=FINGERS)


def rms(x: np.ndarray) -> float:
    return float(np.sqrt(np.square(x).mean()))


def bodies_that_are_real(estimate: Estimate) -> int:
    return int(consistent(torch.as_tensor(estimate.inertial.reshape(-1, 10))).sum())


@pytest.mark.parametrize(
    ("file", "locked", "floating", "rank"),
    [
        ("ur_description/urdf/ur5_robot.urdf", None, False, 36),
        (PANDA, FINGERS, False, 43),
        ("g1_description/urdf/g1_29dof_rev_1_0.urdf", None, True, 213),
    ],
)
def test_ranks_and_values_of_base_parameters(file: str, locked: list[str] | None, floating: bool, rank: int) -> None:
    robot = Robot(file, locked=locked, floating=floating)
    motion = robot.states(200, 0)
    truth = robot.regressor(*motion) @ robot.pi
    # Torque from an independent algorithm, so that the regressor is what is tested.
    newton = np.array([robot.pin.rnea(robot.model, robot.data, *row) for row in zip(*motion)])
    assert rms(truth - newton) <= 1e-12 * rms(newton)
    equations = collect(robot.regressor, *motion, newton, Friction.none(), blocks=2)
    fit = fit_least_squares(equations, "ordinary")
    assert fit.base.rank == rank
    assert fit.base.singular[rank - 1] > 1e-3 * fit.base.singular[0]  # far above the cut
    assert np.allclose(fit.value, fit.base.of(robot.pi), rtol=1e-8, atol=1e-9)
    unseen = robot.states(50, 1)
    predicted = fit.estimate.torque(robot.regressor, *unseen)
    expected = robot.regressor(*unseen) @ robot.pi
    assert rms(predicted - expected) <= 1e-9 * rms(expected)


def test_base_parameters_read_as_sums() -> None:
    """Three columns, the last one 0.3 times the first minus the second; a fourth that is zero."""
    y = np.random.default_rng(0).standard_normal((30, 2))
    stacked = np.column_stack([10 * y[:, 0], 10 * y[:, 1], 3 * y[:, 0] - 10 * y[:, 1], 0 * y[:, 0]])
    base = base_parameters(stacked, ["a", "b", "c", "d"])
    assert base.rank == 2
    x = np.array([1.0, 2.0, 3.0, 4.0])
    assert np.allclose(stacked[:, base.independent] @ base.of(x), stacked @ x)
    assert base.invisible() == ("d",)
    kept = {base.names[i] for i in base.independent}
    assert all(text.split(" ")[0] in kept for text in base.expressions())
    first = base_parameters(np.column_stack([y[:, 0], y[:, 1], 0.3 * y[:, 0] - y[:, 1]])[:, [2, 0, 1]], ["c", "a", "b"])
    assert first.identifiable() == ()
    assert base_parameters(np.diag([2.0, 1.0]), ["a", "b"]).expressions() == ("a", "b")


def test_pseudo_inertia_and_log_cholesky_are_bijections(panda: Robot) -> None:
    pi = torch.as_tensor(panda.pi.reshape(-1, 10))
    assert torch.allclose(inertial_parameters(pseudo_inertia(pi)), pi, atol=1e-14)
    assert torch.allclose(from_log_cholesky(to_log_cholesky(pi)), pi, atol=1e-13)
    theta = torch.as_tensor(np.random.default_rng(0).standard_normal((50, 10)))
    assert consistent(from_log_cholesky(theta)).all()
    assert torch.allclose(to_log_cholesky(from_log_cholesky(theta)), theta, atol=1e-7)
    # Against the definition: point masses at known places.
    rng = np.random.default_rng(1)
    mass, place = rng.uniform(0.1, 1, 8), rng.standard_normal((8, 3))
    full = np.einsum("k,ki,kj->ij", mass, np.c_[place, np.ones(8)], np.c_[place, np.ones(8)])
    inertia = sum(m * (p @ p * np.eye(3) - np.outer(p, p)) for m, p in zip(mass, place))
    six = inertia[[0, 0, 1, 0, 1, 2], [0, 1, 1, 2, 2, 2]]
    ten = torch.as_tensor(np.concatenate([[mass.sum()], mass @ place, six]))
    assert np.allclose(pseudo_inertia(ten).numpy(), full)


def test_divergence_is_a_distance_that_ignores_frames_and_units(panda: Robot) -> None:
    pi = torch.as_tensor(panda.pi.reshape(-1, 10))
    other = from_log_cholesky(to_log_cholesky(pi) + 0.1)
    assert torch.allclose(divergence(pi, pi), torch.zeros(7, dtype=pi.dtype), atol=1e-10)
    assert (divergence(other, pi) > 0).all()
    move = torch.eye(4, dtype=pi.dtype)  # another frame, lengths in another unit
    move[:3, :3] = 100 * torch.linalg.qr(torch.as_tensor(np.random.default_rng(0).standard_normal((3, 3))))[0]
    move[:3, 3] = torch.tensor([0.3, -2.0, 5.0])
    seen = [inertial_parameters(move @ pseudo_inertia(x) @ move.T) for x in (other, pi)]
    assert torch.allclose(divergence(*seen), divergence(other, pi), rtol=1e-6)


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow), pytest.param(2, marks=pytest.mark.slow)])
@pytest.mark.parametrize(("samples", "bound"), [(20, 0.0320), (60, 0.0185), (500, 0.0060)])
def test_consistent_fits_of_a_noisy_panda(panda: Robot, samples: int, bound: float, seed: int) -> None:
    """5 % torque noise: all seven bodies real, torque on unseen motion better than least squares tells it."""
    motion = panda.within_limits(samples, seed)
    truth = panda.regressor(*motion) @ panda.pi
    noisy = truth + 0.05 * truth.std(0) * np.random.default_rng(seed + 50).standard_normal(truth.shape)
    equations = collect(panda.regressor, *motion, noisy, Friction.none(), blocks=1)
    unseen = panda.within_limits(300, 99)
    expected = panda.regressor(*unseen) @ panda.pi

    def error(estimate: Estimate) -> float:
        return rms(estimate.torque(panda.regressor, *unseen) - expected) / rms(expected)

    plain, weighted = (fit_least_squares(equations, m) for m in ("ordinary", "weighted"))  # type: ignore[arg-type]
    sigma = weighted.estimate.sigma
    assert bodies_that_are_real(plain.estimate) < 7
    found = {"feasible": fit_feasible(equations, sigma=sigma), "free": fit_log_cholesky(equations, sigma=sigma)}
    for estimate in found.values():
        assert bodies_that_are_real(estimate) == 7
        assert error(estimate) <= min(error(plain.estimate), bound)
    # The same convex problem: log-Cholesky cannot lie below the optimum that the program proves, nor far above.
    cost = {k: float((equations.squares(e.unknowns).sum(0) / sigma**2).sum()) for k, e in found.items()}
    assert cost["feasible"] * (1 - 1e-3) <= cost["free"] <= cost["feasible"] * 1.03  # the ball (least) apart


def test_without_noise_the_consistent_fits_find_the_truth(panda: Robot) -> None:
    motion, unseen = panda.within_limits(60, 4), panda.within_limits(50, 5)
    tau = panda.regressor(*motion) @ panda.pi
    equations = collect(panda.regressor, *motion, tau, Friction.none(), blocks=1)
    sigma = np.full(7, 0.1)
    expected = panda.regressor(*unseen) @ panda.pi
    for estimate, bound in (
        (fit_feasible(equations, sigma=sigma), 1e-5),
        (fit_log_cholesky(equations, sigma=sigma), 1e-3),
    ):
        assert rms(estimate.torque(panda.regressor, *unseen) - expected) <= bound * rms(expected)


@pytest.mark.parametrize("fit", [fit_feasible, fit_log_cholesky])
def test_a_prior_decides_what_torque_does_not_tell(panda: Robot, fit: Any) -> None:
    motion = panda.within_limits(60, 4)
    tau = panda.regressor(*motion) @ panda.pi
    noisy = tau + 0.05 * tau.std(0) * np.random.default_rng(0).standard_normal(tau.shape)
    equations = collect(panda.regressor, *motion, noisy, Friction.none(), blocks=1)
    free, held = fit(equations), fit(equations, prior=panda.pi, strength=10.0)
    assert rms(held.inertial - panda.pi) < 0.2 * rms(free.inertial - panda.pi)
    tight = fit(equations, prior=panda.pi, strength=1e9)
    assert np.allclose(tight.inertial, panda.pi, atol=1e-3)


def with_friction(panda: Robot, samples: int, seed: int, friction: Friction, truth: np.ndarray) -> tuple[Motion, Any]:
    motion = panda.within_limits(samples, seed)
    tau = panda.regressor(*motion) @ panda.pi + (friction.columns(*motion[1:]) * truth).sum(2)
    return motion, tau


@pytest.mark.parametrize("method", ["weighted", "feasible", "log-cholesky"])
def test_friction_is_found_beside_the_inertias(panda: Robot, method: str) -> None:
    friction = Friction(stribeck=0.3)
    truth = np.random.default_rng(8).uniform(0.1, 1.0, (7, 5))  # viscous, Coulomb, Stribeck, rotor, offset
    motion, tau = with_friction(panda, 800, 6, friction, truth)
    tau = tau + 0.02 * np.random.default_rng(1).standard_normal(tau.shape)
    equations = collect(panda.regressor, *motion, tau, friction)
    found = {
        "weighted": lambda: fit_least_squares(equations).estimate,
        "feasible": lambda: fit_feasible(equations),
        "log-cholesky": lambda: fit_log_cholesky(equations),
    }[method]()
    # Rotor inertia alone shows on joint 1 as Izz of the links does; the others are told apart.
    assert np.allclose(found.coefficients[:, [0, 1, 2, 4]], truth[:, [0, 1, 2, 4]], atol=0.02)
    if method != "weighted":
        assert (found.coefficients[:, [0, 1, 3]] >= 0).all()
    assert np.allclose(found.sigma, 0.02, rtol=0.2)


def test_the_smoothed_sign_is_chosen_by_blocks_left_out(panda: Robot) -> None:
    truth = np.ones((7, 4)) * (0.2, 1.0, 0.1, 0.0)
    motion, tau = with_friction(panda, 600, 3, Friction(width=0.2), truth)
    tau = tau + 0.05 * np.random.default_rng(2).standard_normal(tau.shape)
    # Slow enough that the width shows.
    widths = (0.0, 0.05, 0.2, 0.8)
    made = {w: (lambda w=w: collect(panda.regressor, *motion, tau, Friction(width=w), blocks=5)) for w in widths}
    best, scores = choose(made, lambda e: fit_least_squares(e, "ordinary").estimate)
    assert best == 0.2
    assert set(scores) == set(widths)


@pytest.mark.parametrize("method", ["ordinary", "weighted"])
def test_intervals_cover(panda: Robot, method: Any) -> None:
    """95 % intervals of both kinds contain the truth in about 95 % of 43 parameters x 40 recordings."""
    inside, blockwise = [], []
    motion = panda.within_limits(200, 0)
    truth = panda.regressor(*motion) @ panda.pi
    for seed in range(40):
        noise = np.random.default_rng(seed).standard_normal(truth.shape)
        scale = 0.05 * truth.std(0) if method == "weighted" else 0.5
        equations = collect(panda.regressor, *motion, truth + scale * noise, Friction.none(), blocks=10)
        fit = fit_least_squares(equations, method)
        expected = fit.base.of(panda.pi)
        for kind, found in (("independent", inside), ("blocks", blockwise)):
            lower, upper = fit.interval(0.95, kind)  # type: ignore[arg-type]
            found.append(((lower <= expected) & (expected <= upper)).mean())
        assert np.allclose(fit.relative_std(), fit.std() / abs(fit.value))
    # 40 recordings of correlated parameters: about 1 % of standard error.
    assert 0.92 < np.mean(inside) < 0.98
    assert 0.86 < np.mean(blockwise) < 0.98  # ten blocks, one joint's noise each: slightly short, as sandwiches are


def test_correlated_errors_need_the_scatter_of_blocks(panda: Robot) -> None:
    inside, blockwise = [], []
    motion = [np.repeat(x, 10, axis=0) for x in panda.within_limits(200, 0)]
    truth = panda.regressor(*motion) @ panda.pi
    for seed in range(10):
        noise = np.repeat(np.random.default_rng(seed).standard_normal((200, 7)), 10, axis=0)
        equations = collect(panda.regressor, *motion, truth + 0.3 * noise, Friction.none(), blocks=20)
        fit = fit_least_squares(equations, "ordinary")
        expected = fit.base.of(panda.pi)
        for kind, found in (("independent", inside), ("blocks", blockwise)):
            lower, upper = fit.interval(0.95, kind)  # type: ignore[arg-type]
            found.append(((lower <= expected) & (expected <= upper)).mean())
    assert np.mean(inside) < 0.6  # ten copies of every error are no tenfold evidence
    assert np.mean(blockwise) > 0.88


def test_reduction_loses_nothing_and_does_not_grow(panda: Robot) -> None:
    motion = panda.within_limits(700, 0)
    tau = np.random.default_rng(0).standard_normal((700, 7)) + 3.0
    friction = Friction(width=0.1)
    x = np.random.default_rng(1).standard_normal(98)
    made: list[Equations] = [
        collect(panda.regressor, *motion, tau, friction, blocks=3, chunk=chunk) for chunk in (50, 10_000)
    ]
    y = panda.regressor(*motion) @ x[:70] + (friction.columns(*motion[1:]) * x[70:].reshape(7, 4)).sum(2)
    for equations in made:
        assert equations.factors.shape == (3, 7, 75, 75)  # whatever the length
        assert np.allclose(equations.squares(x).sum(0), np.square(y - tau).sum(0))
        assert np.allclose(equations.take([1]).squares(x)[0], np.square(y - tau)[233:466].sum(0))
        assert np.allclose(equations.spread()[1], 233 * tau[233:466].var(0))
        sigma = np.linspace(0.5, 2, 7)
        triangle = equations.triangle(sigma)
        cost = np.square(triangle.matrix @ x - triangle.target).sum() + triangle.rest
        assert np.isclose(cost, np.square((y - tau) / sigma).sum())


def test_cross_validation_is_the_error_of_blocks_left_out(panda: Robot) -> None:
    motion = panda.within_limits(400, 0)
    tau = panda.regressor(*motion) @ panda.pi + 0.1 * np.random.default_rng(0).standard_normal((400, 7))
    tau[13, 2] = np.nan  # left out
    known = np.isfinite(tau).all(1)
    equations = collect(panda.regressor, *motion, tau, Friction.none(), blocks=4)
    found = cross_validate(equations, lambda e: fit_least_squares(e, "ordinary").estimate)
    rows = np.arange(200, 300)
    rest = np.setdiff1d(np.flatnonzero(known), rows)
    stacked = panda.regressor(*(x[rest] for x in motion)).reshape(-1, 70)
    x = np.linalg.lstsq(stacked, tau[rest].reshape(-1), rcond=1e-9)[0]
    error = panda.regressor(*(m[rows] for m in motion)) @ x - tau[rows]
    assert np.allclose(found.nmse[2], np.square(error).mean(0) / tau[known].var(0))
    assert np.allclose(found.nrmse, np.sqrt(found.mean))


def test_the_identified_model_replays_torque_and_motion(panda: Robot) -> None:
    """A minute of simulated motion: torques to their noise, motion through forward dynamics of the identified model."""
    friction = Friction(width=0.1)
    truth = np.ones((7, 4)) * (1.0, 0.5, 0.1, 0.0)
    time = np.arange(600) / 100
    rng = np.random.default_rng(0)
    w, phase = 2 * np.pi * rng.uniform(0.2, 0.7, (3, 7)), rng.uniform(0, 6, (3, 7))
    angle = w * time[:, None, None] + phase
    middle = (panda.model.lowerPositionLimit + panda.model.upperPositionLimit) / 2
    q = middle + 0.3 * np.sin(angle).sum(1)
    qd, qdd = 0.3 * (w * np.cos(angle)).sum(1), -0.3 * (w * w * np.sin(angle)).sum(1)
    tau = panda.regressor(q, qd, qdd) @ panda.pi + (friction.columns(qd, qdd) * truth).sum(2)
    noisy = tau + 0.05 * np.random.default_rng(1).standard_normal(tau.shape)
    found = fit_feasible(collect(panda.regressor, q, qd, qdd, noisy, friction), prior=panda.pi, strength=1e-3)
    torque = replay_torque(found, panda.regressor, q, qd, qdd, tau)
    assert (torque.rmse < 0.02).all()
    assert np.allclose(torque.nmse, torque.rmse**2 / tau.var(0))
    exact = Estimate.of(
        np.concatenate([panda.pi, truth.reshape(-1)]), collect(panda.regressor, q, qd, qdd, tau, friction), "exact"
    )
    assert np.allclose(acceleration(exact, panda.regressor, q[:5], qd[:5], tau[:5]), qdd[:5], atol=1e-8)
    moved = replay_motion(exact, panda.regressor, time, q, qd, tau, horizon=0.2)
    assert moved.rmse.max() < 1e-4  # torque is linear between samples only
    identified = replay_motion(found, panda.regressor, time, q, qd, tau, horizon=0.2)
    assert (identified.rmse < 0.05 * identified.still).all()


def test_our_regressor_is_the_oracles(panda: Robot) -> None:
    """The file read and differentiated by ourselves, fingers and all; parameters found go back into the model."""
    whole = Robot(PANDA)
    model = load_model(ROBOTS / PANDA, mimic=False)  # as the oracle reads it
    ours = body_regressor(model)
    motion = whole.states(20, 3)
    assert np.allclose(model.parameters, whole.pi, atol=1e-12)
    assert rms(ours(*motion) - whole.regressor(*motion)) < 1e-12 * rms(whole.regressor(*motion))
    tau = ours(*motion) @ model.parameters
    again = body_regressor(model.with_parameters(2 * model.parameters))
    assert np.allclose(again(*motion), ours(*motion))  # it knows no parameters
    assert np.allclose(tau, np.array([whole.pin.rnea(whole.model, whole.data, *row) for row in zip(*motion)]))


def test_excitation_keeps_limits_starts_at_rest_and_tells_parameters() -> None:
    """The search lowers the condition number it is told to, and so the error of the parameters."""
    model = load_model(ROBOTS / "ur_description/urdf/ur5_robot.urdf")
    regressor = body_regressor(model)
    limits = Limits(
        np.array([-2.0, -3.0, -1.0, -2.0, -2.0, -2.0]),
        np.array([2.0, 0.0, 2.0, 2.0, 2.0, 2.0]),
        np.full(6, 1.5),
        np.array([8.0, 4.0, 2.0, 8.0, 8.0, 8.0]),
    )
    found = design_excitation(regressor, limits, friction=Friction.none(), steps=40)
    assert found.condition < found.initial / 3  # measured: a fifth
    time = np.linspace(0, 10, 5001)
    q, qd, qdd = found.at(time)
    for given, lower, upper in (
        (q, limits.lower, limits.upper),
        (qd, -limits.velocity, limits.velocity),
        (qdd, -limits.acceleration, limits.acceleration),
    ):
        assert (given > lower).all()
        assert (given < upper).all()
    # The largest is near to what the limits allow for some derivative of each joint.
    used = [np.abs(qd).max(0) / limits.velocity, np.abs(qdd).max(0) / limits.acceleration]
    used.append((np.ptp(q, axis=0)) / (limits.upper - limits.lower))
    assert (np.max(used, axis=0) > 0.7).all()
    for end in (0, -1):
        assert np.abs(qd[end]).max() < 1e-12
        assert np.abs(qdd[end]).max() < 1e-10
    assert np.allclose(q[0], q[-1])
    # What `at` says of velocity and acceleration is the derivative of its position.
    assert np.allclose(np.gradient(q, time, axis=0)[5:-5], qd[5:-5], atol=1e-4)
    assert np.allclose(np.gradient(qd, time, axis=0)[5:-5], qdd[5:-5], atol=1e-3)
    # The condition number it reports is that of the recording.
    rows = slice(0, -1, 83)
    stacked = regressor(q[rows], qd[rows], qdd[rows]).reshape(-1, 60)
    base = base_parameters(stacked)
    assert base.rank == 36
    kept = np.linalg.cond(stacked[:, base.independent])
    assert 0.3 < kept / found.condition < 3  # the choice of independent columns is that of the search's start

    def spread(motion: Motion) -> float:
        """Standard deviation of predicted torque (over random motion) per unit of noise."""
        y = regressor(*motion).reshape(-1, 60)
        unseen = regressor(*Robot("ur_description/urdf/ur5_robot.urdf").states(50, 0)).reshape(-1, 60)
        return rms(unseen @ np.linalg.pinv(y, rcond=1e-9))

    start = design_excitation(regressor, limits, friction=Friction.none(), steps=1)
    assert spread((q[rows], qd[rows], qdd[rows])) < spread(tuple(x[rows] for x in start.at(time)))  # type: ignore[arg-type]
