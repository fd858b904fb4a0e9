"""From coarse encoders to inertias: smoothing chosen by torque; friction of a given model; stiff friction replayed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from torques_case import ARM, arm_torque, swing, write_robot

from invdyn.bodies.model import BodyModel
from invdyn.bodies.urdf import read_urdf
from invdyn.forces.identification.body_regressor import moving_regressor
from invdyn.forces.identification.equations import collect
from invdyn.forces.identification.estimate import Estimate
from invdyn.forces.identification.friction import Friction
from invdyn.forces.identification.identify import given_estimate, identify
from invdyn.forces.identification.least_squares import fit_friction
from invdyn.forces.identification.recordings import Measured, recordings_of
from invdyn.forces.identification.replay import replay_motion
from invdyn.forces.identification.settings import IdentifySettings
from invdyn.forces.identification.smoothing import choose_smoothing
from invdyn.forces.torques_columns import Positions

SETTINGS = IdentifySettings(friction=("viscous",), method="wls")


@pytest.fixture(scope="module")
def arm(tmp_path_factory: pytest.TempPathFactory) -> BodyModel:
    return read_urdf(write_robot(tmp_path_factory.mktemp("arm"), ARM))


def test_smoothing_is_chosen_by_the_torque(arm: BodyModel) -> None:
    """Encoders with steps of 2 mrad: at 20 Hz inertias are lost in noise, at the cut-off chosen they are not."""
    time, q, v, a = swing(8.0, 200.0)
    step = 2e-3
    tau = arm_torque(q, v, a) + 0.2 * v + 0.02 * np.random.default_rng(0).normal(size=q.shape)
    measured = Measured(Positions(time, np.round(q / step) * step, (True, True), (), "coarse"), tau)

    def inertia(cutoff: float | None) -> float:
        train, test = recordings_of(arm, (0, 1), measured, 0.2, cutoff=cutoff)
        assert test is not None
        found = identify(arm, (0, 1), np.zeros(2), [train], [test], SETTINGS)
        return found.estimate.named["Iyy[lower]"]

    chosen = choose_smoothing(
        arm, (0, 1), np.zeros(2), [measured], 0.2, cutoffs=(3.0, 20.0), lags=(0.0, 0.02), settings=SETTINGS
    )
    assert (chosen.cutoff, chosen.lag) == (3.0, 0.0)
    assert len(chosen.scores) == 3  # both cut-offs, then the other lag
    truth = 0.01 + 1.0 * 0.2**2
    assert abs(inertia(chosen.cutoff) - truth) < 0.25 * abs(inertia(20.0) - truth)


def test_the_part_held_out_is_not_looked_at(arm: BodyModel) -> None:
    """What stands in it changes nothing that is chosen, though no smoother would take it."""
    time, q, v, a = swing(5.0)
    lost = np.where(np.arange(len(time))[:, None] < 0.8 * len(time), q, np.nan)
    tau = arm_torque(q, v, a) + 0.02 * np.random.default_rng(0).normal(size=q.shape)

    def scores(positions: np.ndarray) -> dict[str, float]:
        measured = Measured(Positions(time, positions, (True, True), (), "swing"), tau)
        how = {"cutoffs": (3.0, 10.0), "settings": SETTINGS}
        return choose_smoothing(arm, (0, 1), np.zeros(2), [measured], 0.2, **how).scores

    assert scores(lost) == scores(q)


def test_friction_of_a_given_model(arm: BodyModel) -> None:
    """The bodies known, losses are found alone; a loss that would have to be a gain is none."""
    _, q, v, a = swing(5.0)
    regressor = moving_regressor(arm, (0, 1), np.zeros(2))
    tau = arm_torque(q, v, a) + v * (0.3, -0.2) + np.tanh(v / 0.1) * (0.5, 0.4)
    found = fit_friction(collect(regressor, q, v, a, tau, Friction(rotor=False, width=0.1)), arm.parameters)
    assert found.coefficients[0] == pytest.approx([0.3, 0.5, 0.0], abs=1e-6)
    assert found.coefficients[1, 0] == 0.0
    assert found.method == "friction alone"
    given = given_estimate(arm, (0, 1))
    assert given is not None
    assert np.allclose(given.torque(regressor, q, v, a), arm_torque(q, v, a))
    assert given_estimate(arm.with_parameters(np.zeros(20)), (0, 1)) is None


@pytest.mark.parametrize("width", [0.0, 0.002])
def test_stiff_friction_is_replayed(arm: BodyModel, width: float) -> None:
    """Friction of a gear on a light link (3000 per second, and a sign): explicit steps would fly off."""
    regressor = moving_regressor(arm, (0, 1), np.zeros(2))
    time, q, v, a = swing(2.0)
    friction = Friction(rotor=False, offset=False, width=width)
    coefficients = np.array([[150.0, 20.0], [40.0, 10.0]])
    light = 1e-3 * arm.parameters
    names = tuple(b.name for b in arm.bodies), tuple(c.name for c in arm.coordinates)
    exact = Estimate(light, coefficients, np.ones(2), "exact", *names, friction)
    tau = exact.torque(regressor, q, v, a)
    moved = replay_motion(exact, regressor, time, q, v, tau, horizon=0.1)
    assert np.isfinite(moved.rmse).all()
    assert (moved.rmse < 0.05 * moved.still).all()


def order(replay: Callable[[int], float]) -> float:
    return float(np.log2(replay(2) / replay(4)))


def test_replay_is_of_second_order(arm: BodyModel, tmp_path: Path) -> None:
    """Halving the steps quarters the error of a motion under torques that are constant between few samples."""
    regressor = moving_regressor(arm, (0, 1), np.zeros(2))
    names = tuple(b.name for b in arm.bodies), tuple(c.name for c in arm.coordinates)
    exact = Estimate(arm.parameters, np.array([[0.5], [0.3]]), np.ones(2), "exact", *names, Friction(
        coulomb=False, rotor=False, offset=False))  # fmt: skip
    time, still = np.arange(6) / 20, np.zeros((6, 2))
    q, tau = np.tile([0.4, -0.3], (6, 1)), np.tile([3.0, -1.0], (6, 1))
    q[5] += 1.0  # how far recorded positions range tells when a replay flew off

    def end(substeps: int) -> np.ndarray:
        return replay_motion(exact, regressor, time, q, still, tau, horizon=0.2, substeps=substeps).error[0, -1]

    fine = end(64)
    assert 1.7 < order(lambda n: float(np.abs(end(n) - fine).max())) < 2.4
