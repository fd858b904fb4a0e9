"""Learned torques of arms: what cannot be fitted, asked or calibrated is refused with the remedy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from invdyn.errors import ConfigError, InvdynError, SignalError, UnknownNameError
from invdyn.forces.learned.arm_kernel import ArmKernel
from invdyn.forces.learned.ensemble import EnsembleConfig, Scales
from invdyn.forces.learned.gaussian_process import ArmGPConfig, fit_gp
from invdyn.forces.learned.intervals import calibrate_torques, leave_out
from invdyn.forces.learned.network import NetworkConfig, fit_network
from invdyn.forces.learned.ridge import fit_kernel_ridge, fit_linear
from invdyn.forces.learned.rigid_body import fit_rigid_body
from invdyn.forces.learned.rows import TorqueEstimate, TorqueRows, time_blocks
from invdyn.forces.learned.stacking import stack, stacking_weights
from invdyn.training import TrainerConfig


def rows(count: int = 40, joints: int = 2, blocks: int = 10, **changed: Any) -> TorqueRows:
    rng = np.random.default_rng(0)
    given: dict[str, Any] = {name: rng.standard_normal((count, joints)) for name in ("q", "qd", "qdd", "tau")}
    given["block"] = time_blocks(count, blocks)
    return TorqueRows(**{**given, **changed})


def with_value(value: float) -> np.ndarray:
    array = np.zeros((40, 2))
    array[3, 1] = value
    return array


def unmeasured() -> TorqueRows:
    return rows(tau=np.full((40, 2), np.nan))


def held_without_joint() -> TorqueRows:
    """Joint 2 is measured in one block only, so that it lacks either in training or when held out."""
    tau = np.ones((40, 2))
    tau[4:, 1] = np.nan
    return rows(tau=tau)


def quick() -> NetworkConfig:
    trainer = TrainerConfig(steps=1, batch_size=8, tensorboard=False)
    return NetworkConfig(width=4, depth=1, ensemble=EnsembleConfig(members=1, trainer=trainer))


def regressor(shape: tuple[int, ...], value: float = 1.0) -> Callable[..., np.ndarray]:
    return lambda q, qd, qdd: np.full((len(q), *shape), value)


CASES: list[tuple[Callable[[], object], type[InvdynError], tuple[str, ...]]] = [
    (lambda: rows(qd=np.zeros((40, 3))), SignalError, ("(40, 3)", "expected 4 x [N, n]")),
    (lambda: rows(block=time_blocks(39, 3)), SignalError, ("39 block numbers", "expected")),
    (
        lambda: TorqueRows(*(np.zeros((0, 2)),) * 4, np.zeros(0, np.int64)),
        SignalError,
        ("no sample", "at least one row"),
    ),
    (lambda: rows(qdd=with_value(np.nan)), SignalError, ("qdd of joint 2 is nan in row 3", "Drop the row, or fill")),
    (lambda: rows(tau=with_value(np.inf)), SignalError, ("tau of joint 2 is inf in row 3", "by NaN")),
    (lambda: rows().thinned(0), ConfigError, ("thinned to 0", "at least 1")),
    (lambda: time_blocks(5, 6), ConfigError, ("6 blocks of 5 rows", "between 1 and 5")),
    (lambda: fit_linear(unmeasured()), SignalError, ("no torque of joint 1", "Give rows")),
    (lambda: fit_linear(rows()).predict(rows(joints=3)), SignalError, ("Linear", "2 joints, got rows of 3", "Fit it")),
    (lambda: fit_kernel_ridge(rows(), gamma=0.0), ConfigError, ("gamma=0.0", "positive")),
    (lambda: ArmKernel("rbg", 2), UnknownNameError, ("unknown kernel 'rbg'", "'rbf'")),
    (lambda: ArmGPConfig(first_rows=1), ConfigError, ("first_rows is 1", "at least 2")),
    (lambda: fit_gp(rows(tau=np.ones((40, 2)))), SignalError, ("40 torque(s) of joint 1 never change", "Give rows")),
    (lambda: EnsembleConfig(members=0), ConfigError, ("0 members", "at least 1")),
    (lambda: EnsembleConfig(holdout=1.0), ConfigError, ("holdout is 1.0", "between 0 and 1")),
    (lambda: fit_network(rows(blocks=1), quick()), SignalError, ("all 40 rows are of one block", "time_blocks")),
    (lambda: fit_network(held_without_joint(), quick()), SignalError, ("no torque of joint 2", "Give rows")),
    (lambda: Scales.of(unmeasured()), SignalError, ("no torque of joint 1",)),
    (lambda: fit_rigid_body(rows(), regressor((3, 5))), SignalError, ("(40, 3, 5)", "[40, 2, p]", "Pass a function")),
    (lambda: fit_rigid_body(rows(), regressor((2, 5), np.nan)), SignalError, ("not finite", "[40, 2, p]")),
    (lambda: fit_rigid_body(rows(), regressor((2, 5)), passes=0), ConfigError, ("passes=0", "expected passes >= 1")),
    (lambda: fit_rigid_body(rows(), regressor((2, 5)), cut=1.0), ConfigError, ("cut=1.0", "0 < cut < 1")),
    (lambda: leave_out(fit_linear, rows(), folds=11), ConfigError, ("11 folds of 10", "between 2 and 10")),
    (lambda: stacking_weights([]), ConfigError, ("no model", "at least one")),
    (
        lambda: stacking_weights([leave_out(fit_linear, rows(count), folds=5) for count in (40, 39)]),
        SignalError,
        ("model 2 was left out on other rows than model 1", "same rows"),
    ),
    (lambda: stack([fit_linear(rows())], []), ConfigError, ("1 models and 0 sets", "give as many")),
    (
        lambda: calibrate_torques(leave_out(fit_linear, rows(blocks=8), folds=4)),
        ConfigError,
        ("needs at least 9", "got 8"),
    ),
    (
        lambda: calibrate_torques(leave_out(fit_linear, rows(), folds=4)).around(
            TorqueEstimate(np.zeros((5, 3)), np.ones((5, 3)))
        ),
        SignalError,
        ("calibrated for 2 joints, got torques of 3", "Calibrate on this arm"),
    ),
]


@pytest.mark.parametrize("case", range(len(CASES)))
def test_messages(case: int) -> None:
    act, kind, words = CASES[case]
    with pytest.raises(kind) as caught:
        act()
    for word in words:
        assert word in str(caught.value)
