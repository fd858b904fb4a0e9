"""Motion differentiated: torques from noisy recordings, exact posteriors, splines, filters, rotations."""

from __future__ import annotations

from math import factorial
from pathlib import Path
from sysconfig import get_path

import numpy as np
import pytest
from scipy.interpolate import BSpline
from scipy.spatial.transform import Rotation

from invdyn.episodes import smooth_kalman
from invdyn.episodes.smooth import Smoothed, cutoff_sweep, smooth, smooth_free, smooth_rotation
from invdyn.episodes.smooth_settled import recursion
from invdyn.errors import SignalError

RATE, SECONDS = 100, 10
TIME = np.arange(RATE * SECONDS) / RATE


def rms(x: np.ndarray) -> float:
    return float(np.sqrt((x**2).mean()))


def sines(seed: int, columns: int, fastest: float = 0.5, time: np.ndarray = TIME) -> tuple[np.ndarray, ...]:
    """Three sines a column, 0.1 Hz to `fastest`, 0.1 to 0.5 rad: position, velocity, acceleration."""
    rng = np.random.default_rng(seed)
    w = 2 * np.pi * rng.uniform(0.1, fastest, (3, columns))
    phase, size = rng.uniform(0, 2 * np.pi, w.shape), rng.uniform(0.1, 0.5, w.shape)
    angle = w * time[:, None, None] + phase
    return (
        (size * np.sin(angle)).sum(1),
        (size * w * np.cos(angle)).sum(1),
        -(size * w * w * np.sin(angle)).sum(1),
    )


@pytest.mark.parametrize("fastest", [0.5, 1.0])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_torques_of_an_arm_from_noisy_angles(seed: int, fastest: float) -> None:
    """The filter bench: UR5, 100 Hz, 10 s, 1e-3 rad: <= 0.2 N m, >= 50 times below central differences."""
    pinocchio = pytest.importorskip("pinocchio")
    file = Path(get_path("purelib")) / "cmeel.prefix/share/example-robot-data/robots/ur_description/urdf/ur5_robot.urdf"
    if not file.is_file():
        pytest.skip("needs the package example-robot-data")
    model = pinocchio.buildModelFromUrdf(str(file))
    data = model.createData()

    def torque(*motion: np.ndarray) -> np.ndarray:
        return np.array([pinocchio.rnea(model, data, *row) for row in zip(*motion)])

    motion = sines(seed, 6, fastest)
    truth = torque(*motion)
    noise = np.random.default_rng(seed + 100).standard_normal(motion[0].shape)
    for size, bound in ((1e-3, 0.2), (1e-4, 0.06)):
        y = motion[0] + size * noise
        first = np.gradient(y, 1 / RATE, axis=0)
        differences = rms(torque(y, first, np.gradient(first, 1 / RATE, axis=0)) - truth)
        found = smooth(TIME, y)
        error = rms(torque(found.position, found.velocity, found.acceleration) - truth)
        assert error <= bound
        assert error <= differences / (50 if size == 1e-3 else 25)


def test_the_recording_tells_its_noise_and_motion() -> None:
    """White jerk simulated exactly: order, noise and density are found, and the errors are as large as said."""
    rng, size, columns = np.random.default_rng(3), 2000, 8
    step, noise, density = 0.01, 2e-3, 50.0
    up = [2, 1, 0]
    q = [[step ** (i + j + 1) / (factorial(i) * factorial(j) * (i + j + 1)) for j in up] for i in up]
    move = np.array([[1, step, step**2 / 2], [0, 1, step], [0, 0, 1]])
    push = rng.standard_normal((size, columns, 3)) @ np.linalg.cholesky(density * np.array(q)).T
    x = recursion(move[None], push[:, None], np.zeros((1, columns, 3)))[:, 0]
    found = smooth(np.arange(size) * step, x[..., 0] + noise * rng.standard_normal((size, columns)))
    assert found.order is not None
    assert found.density is not None
    assert found.noise_std is not None
    assert (found.order == 3).mean() > 0.7  # by likelihood: a few take snap
    # 2000 samples give the noise to about 2 %, eight columns the mean log density to about 10 %.
    assert np.allclose(found.noise_std, noise, rtol=0.08)
    assert abs(np.log(found.density[found.order == 3] / density).mean()) < 0.3
    for truth, said, std in zip(
        np.moveaxis(x, 2, 0),
        (found.position, found.velocity, found.acceleration),
        (found.position_std, found.velocity_std, found.acceleration_std),
    ):
        assert 0.85 < rms((said - truth) / std) < 1.15


@pytest.mark.parametrize("order", [3, 4])
@pytest.mark.parametrize("even", [True, False])
def test_the_smoother_is_the_exact_posterior(order: int, even: bool) -> None:
    """Against dense Gaussian conditioning (polynomials unknown a priori, integrated white noise), gaps included."""
    rng, noise, density, size = np.random.default_rng(5), 0.3, 3.0, 60
    time = np.arange(size) * 0.05 if even else np.sort(rng.uniform(0, 3, size))
    values = np.sin(time)[:, None] + noise * rng.standard_normal((size, 1))
    values[[0, 7, 8, 30]] = np.nan
    found = smooth(time, values, order=order, noise_std=noise, density=density)
    seen = ~np.isnan(values[:, 0])
    nodes, weights = np.polynomial.legendre.leggauss(2 * order)

    def kernel(derivative: int, with_derivative: int) -> np.ndarray:
        """Covariance of derivatives of the m-fold integral of white noise from time[0]."""
        least = np.minimum.outer(time, time) - time[0]
        s = time[0] + least[..., None] * (nodes + 1) / 2
        up = [order - 1 - d for d in (derivative, with_derivative)]
        left = (time[:, None, None] - s) ** up[0] / factorial(up[0])
        right = (time[None, :, None] - s) ** up[1] / factorial(up[1])
        return density * (left * right * weights).sum(-1) * least / 2

    def basis(d: int) -> np.ndarray:
        t = time - time[0]
        return np.stack([t ** (j - d) / factorial(j - d) if j >= d else 0 * t for j in range(order)], axis=1)

    inverse = np.linalg.inv(kernel(0, 0)[np.ix_(seen, seen)] + noise**2 * np.eye(seen.sum()))
    design = basis(0)[seen]
    spread = np.linalg.inv(design.T @ inverse @ design)
    weight = spread @ design.T @ inverse  # generalised least squares of the polynomial
    y = values[seen, 0]
    for d, mean in enumerate((found.position, found.velocity, found.acceleration)):
        cross = kernel(d, 0)[:, seen]
        left = basis(d) - cross @ inverse @ design
        assert np.allclose(mean[:, 0], basis(d) @ weight @ y + cross @ inverse @ (y - design @ weight @ y), atol=1e-7)
        variance = np.diag(kernel(d, d) - cross @ inverse @ cross.T + left @ spread @ left.T)
        assert found.covariance is not None
        assert np.allclose(found.covariance[:, 0, d, d], variance, rtol=1e-6)


def test_spline_is_the_quintic_smoothing_spline_and_minimises_gcv() -> None:
    """Against penalised B-splines of degree 5 with a knot at every sample."""
    rng = np.random.default_rng(0)
    time = np.sort(rng.uniform(0, 4, 80))
    values = np.sin(2 * time)[:, None] + 0.05 * rng.standard_normal((80, 1))
    knots = np.concatenate([[time[0]] * 5, time, [time[-1]] * 5])
    count = len(knots) - 6
    design = BSpline.design_matrix(time, knots, 5).toarray()
    third = BSpline(knots, np.eye(count), 5).derivative(3)
    nodes, weights = np.polynomial.legendre.leggauss(3)
    at = (time[:-1, None] + np.diff(time)[:, None] * (nodes + 1) / 2).reshape(-1)
    rough = third(at) * np.sqrt(np.diff(time)[:, None] * weights / 2).reshape(-1, 1)
    penalty = rough.T @ rough

    def fit(cutoff: float) -> tuple[np.ndarray, float]:
        step = float(np.median(np.diff(time)))
        ratio = (2 * np.pi * cutoff / (np.sqrt(2) - 1) ** (1 / 6)) ** 6 * step  # jerk density over noise variance
        hat = np.linalg.solve(design.T @ design + penalty / ratio, design.T)
        left = values - design @ hat @ values
        return hat @ values, float(np.log((left**2).mean()) - 2 * np.log(1 - np.trace(design @ hat) / len(time)))

    found = smooth(time, values, "spline")
    coefficients, least = fit(found.cutoff[0])
    for d, mine in enumerate((found.position, found.velocity, found.acceleration)):
        assert np.allclose(mine, BSpline(knots, coefficients, 5).derivative(d)(time), atol=1e-5 * 10**d)
    assert all(fit(found.cutoff[0] * factor)[1] >= least for factor in (0.8, 0.9, 1.1, 1.25))


@pytest.mark.parametrize("method", ["rts", "butterworth", "spline", "savgol"])
def test_the_cutoff_is_the_half_power_frequency(method: str) -> None:
    """A sine at the cut-off comes out at 1/sqrt(2) and without delay, whatever the method."""
    time = np.arange(4000) / 200
    wave = np.stack([np.sin(2 * np.pi * 5 * time), np.cos(2 * np.pi * 5 * time)], axis=1)
    found = smooth(time, wave, method, cutoff=5.0)
    middle = slice(1000, 3000)
    # the windows of Savitzky and Golay come in whole samples; the others are exact but for sampling
    assert np.allclose(found.position[middle], np.sqrt(0.5) * wave[middle], atol=0.05 if method == "savgol" else 0.01)
    assert np.allclose(found.cutoff, 5.0, rtol=0.05 if method == "savgol" else 1e-9)


@pytest.mark.parametrize("method", ["rts", "butterworth", "spline", "savgol"])
def test_every_method_beats_differences(method: str) -> None:
    position, velocity, acceleration = sines(0, 4)
    y = position + 1e-3 * np.random.default_rng(1).standard_normal(position.shape)
    found = smooth(TIME, y, method)
    first = np.gradient(y, TIME, axis=0)
    assert rms(found.velocity - velocity) < rms(first - velocity) / 4
    assert rms(found.acceleration - acceleration) < rms(np.gradient(first, TIME, axis=0) - acceleration) / 10


def test_polynomials_pass_savitzky_golay_unchanged() -> None:
    time = np.arange(60) / 30
    found = smooth(time, (time**4 - time)[:, None], "savgol", window=11)
    assert np.allclose(found.position[:, 0], time**4 - time)
    assert np.allclose(found.acceleration[:, 0], 12 * time**2)


def test_gaps_are_bridged_and_the_uncertainty_shows_it() -> None:
    position, _, _ = sines(2, 3)
    y = position + 1e-3 * np.random.default_rng(2).standard_normal(position.shape)
    y[400:450, 1] = np.nan
    found = smooth(TIME, y)
    inside = np.abs(found.position[400:450, 1] - position[400:450, 1]) / found.position_std[400:450, 1]
    assert inside.max() < 4
    assert found.position_std[425, 1] > 2 * found.position_std[300, 1]
    assert np.allclose(found.position[:, 0], smooth(TIME, y[:, :1]).position[:, 0])  # columns do not disturb each other


@pytest.mark.parametrize("method", ["rts", "spline"])
def test_blocks_side_by_side_give_what_samples_one_by_one_give(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Dropouts on a regular clock can be run both ways; so can a recording without any."""
    rng = np.random.default_rng(4)
    y = sines(2, 3)[0] + 1e-3 * rng.standard_normal((len(TIME), 3))
    y[:, 1][rng.random(len(TIME)) < 0.05] = np.nan
    y[[0, 3, 400, 401, 402, -1], 2] = np.nan
    found = []
    for gaps in (0, len(TIME)):
        monkeypatch.setattr(smooth_kalman, "INTERRUPTED", gaps)
        found.append(smooth(TIME, y, method))
    blocks, one_by_one = found
    assert np.allclose(blocks.cutoff, one_by_one.cutoff, rtol=1e-6)
    for name, least in (("position", 1e-9), ("velocity", 1e-7), ("acceleration", 1e-5)):
        assert np.allclose(getattr(blocks, name), getattr(one_by_one, name), rtol=1e-6, atol=least)
    if method == "rts":
        assert blocks.covariance is not None
        assert one_by_one.covariance is not None
        variance = [np.einsum("tcii->tci", x) for x in (blocks.covariance, one_by_one.covariance)]
        assert np.allclose(*variance, rtol=1e-3, atol=0)  # the first samples, which hold most, lose digits both ways


def test_a_recording_that_paused_is_smoothed_like_one_that_did_not() -> None:
    """The pause is 7500 times a sample's step: states predicted over it have no digit left where orders are high."""
    time = np.sort(np.random.default_rng(1).uniform(0, 4, 600))
    noise = 1e-3 * np.random.default_rng(0).standard_normal((600, 2))
    truth = np.stack([np.sin(3 * time), np.cos(5 * time)], axis=1)
    paused = np.where(np.arange(600) < 300, time, time + 50)
    found = smooth(paused, truth + noise)
    assert np.allclose(found.noise_std, 1e-3, rtol=0.1)
    assert rms(found.position - truth) < 4e-4


def test_an_order_for_each_column() -> None:
    y = sines(3, 4)[0] + 1e-3 * np.random.default_rng(2).standard_normal((len(TIME), 4))
    orders = np.array([3, 5, 3, 4])
    for cutoff in (None, 4.0):
        found = smooth(TIME, y, order=orders, cutoff=cutoff)
        for k, order in enumerate(orders):
            alone = smooth(TIME, y[:, k : k + 1], order=int(order), cutoff=cutoff)
            assert np.allclose(found.acceleration[:, k], alone.acceleration[:, 0], rtol=1e-8, atol=1e-8)
            assert found.order is not None
            assert found.order[k] == order


def test_velocities_of_a_real_arm(shared_data: Path) -> None:
    """Panda at 1 kHz with a jittering clock: as near to its measured velocities as 6 Hz, the best cut-off, untold."""
    recording = np.load(shared_data / "panda_gaz2019" / "panda_excitation_first80.npz")
    time, angle, rate = (recording[name][:3000] for name in ("t", "q", "qd"))
    found = smooth(time, angle)
    error = rms(found.velocity - rate)
    assert error < 0.014  # rad/s; the arm moves at 0.7, and its measured velocities are noisy themselves
    assert error < rms(np.gradient(angle, time, axis=0) - rate) / 8
    even = np.linspace(time[0], time[-1], len(time))
    resampled = np.stack([np.interp(even, time, column) for column in angle.T], axis=1)
    field = smooth(even, resampled, "butterworth", cutoff=6.0).velocity
    assert error < rms(np.stack([np.interp(time, even, column) for column in field.T], axis=1) - rate) * 1.02


def test_a_recording_without_noise_is_kept() -> None:
    position, velocity, acceleration = sines(4, 2)
    found = smooth(TIME, position)
    assert np.allclose(found.position, position, atol=1e-10)
    assert np.allclose(found.velocity, velocity, atol=1e-6)
    assert np.allclose(found.acceleration, acceleration, atol=1e-3)
    still = smooth(TIME, np.full((len(TIME), 1), 0.3))
    assert np.allclose(still.position, 0.3)
    assert np.allclose(still.acceleration, 0)


def test_methods_without_uncertainty_say_so() -> None:
    with pytest.raises(SignalError, match="method='butterworth' knows no uncertainty"):
        _ = smooth(TIME, sines(0, 1)[0], "butterworth").position_std


def orientation(time: np.ndarray) -> Rotation:
    """Two and a half revolutions while swaying."""
    angles = [2 * time + 0.7 * np.sin(1.7 * time), 0.6 * np.sin(2 * time + 0.3), 0.8 * np.cos(1.3 * time)]
    return Rotation.from_euler("ZYX", np.stack(angles, axis=1))


def body_rate(time: np.ndarray, h: float = 1e-4) -> np.ndarray:
    return (orientation(time - h).inv() * orientation(time + h)).as_rotvec() / (2 * h)


OMEGA = body_rate(TIME)
ALPHA = (body_rate(TIME + 1e-3) - body_rate(TIME - 1e-3)) / 2e-3


def recorded(noise: float, seed: int = 0) -> np.ndarray:
    """Quaternions with noise in body axes, and signs thrown."""
    rng = np.random.default_rng(seed)
    turned = orientation(TIME) * Rotation.from_rotvec(noise * rng.standard_normal((len(TIME), 3)))
    return turned.as_quat() * rng.choice([-1.0, 1.0], (len(TIME), 1))


@pytest.mark.parametrize(("noise", "rate", "acceleration"), [(0.0, 1e-6, 1e-4), (1e-3, 5e-3, 0.08), (1e-2, 0.03, 0.4)])
def test_rates_of_recorded_orientations(noise: float, rate: float, acceleration: float) -> None:
    found = smooth_rotation(TIME, recorded(noise))
    off = (orientation(TIME).inv() * Rotation.from_quat(found.orientation)).as_rotvec()
    assert rms(off) <= 0.4 * noise + 1e-9
    assert rms(found.omega - OMEGA) < rate
    assert rms(found.alpha - ALPHA) < acceleration
    assert np.abs(np.diff(found.orientation, axis=0)).max() < 0.1  # no sign left to flip
    if noise:
        assert found.noise_std == pytest.approx(noise, rel=0.08)
        assert 0.5 < rms((found.omega - OMEGA) / np.sqrt(found.covariance[:, :, 1, 1])) < 1.1


def test_rates_turn_with_the_frame() -> None:
    parent, body = Rotation.from_rotvec([0.3, -1.1, 0.6]), Rotation.from_rotvec([-0.4, 0.2, 2.0])
    plain = recorded(1e-3)
    there = smooth_rotation(TIME, (parent * Rotation.from_quat(plain) * body).as_quat())
    here = smooth_rotation(TIME, plain)
    assert np.allclose(there.omega, body.inv().apply(here.omega), atol=1e-8)
    assert np.allclose(there.alpha, body.inv().apply(here.alpha), atol=1e-6)


def test_lost_orientations_are_bridged() -> None:
    given = recorded(1e-3)
    given[500:520] = np.nan
    found = smooth_rotation(TIME, given)
    off = (orientation(TIME).inv() * Rotation.from_quat(found.orientation)).as_rotvec()
    assert np.linalg.norm(off, axis=1)[500:520].max() < 0.02
    assert rms(found.omega - OMEGA) < 0.01


def test_a_free_body_has_the_velocity_and_acceleration_of_a_free_joint() -> None:
    """v and a as Pinocchio differentiates a free-flyer's coordinates."""
    pinocchio = pytest.importorskip("pinocchio")
    model = pinocchio.Model()
    model.addJoint(0, pinocchio.JointModelFreeFlyer(), pinocchio.SE3.Identity(), "free")
    position = np.stack([np.sin(TIME), 0.5 * np.cos(2 * TIME), 0.1 * TIME**2], axis=1)
    found = smooth_free(TIME, position, recorded(0.0))
    steps = np.array([pinocchio.difference(model, a, b) for a, b in zip(found.q[:-2], found.q[2:])]) * RATE / 2
    # differences over two steps of 10 ms are good to about (dt^2 / 6) d^2v/dt^2
    assert np.allclose(found.v[1:-1], steps, atol=2e-3)
    assert np.allclose(found.a[1:-1], (found.v[2:] - found.v[:-2]) * RATE / 2, atol=5e-3)
    assert found.covariance.shape == (len(TIME), 6, 3, 3)


def test_the_effect_of_the_cutoff_is_shown() -> None:
    """Noise above the motion's band: low cut-offs lose motion, high ones keep noise; the residual flattens between."""
    position, _, acceleration = sines(1, 2, fastest=2.0)
    y = position + 1e-3 * np.random.default_rng(0).standard_normal(position.shape)

    def quantity(motion: Smoothed) -> np.ndarray:
        return motion.acceleration

    found = cutoff_sweep(TIME, y, [1.0, 3.0, 6.0, 12.0, 24.0], quantity, reference=6.0)
    errors = [rms(q - acceleration) for q in found.quantity]
    assert min(errors) < min(errors[0], errors[-1]) / 3
    assert found.reference == 2
    assert np.all(found.change[2] == 0)
    assert np.all(found.change[[0, 4]] > found.change[[1, 3]])
    assert np.all(np.diff(found.residual, axis=0) < 0)
    assert np.allclose(found.rms[4], np.sqrt((found.quantity[4] ** 2).mean(0)))
