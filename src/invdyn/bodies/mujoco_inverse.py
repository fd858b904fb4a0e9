"""Torques behind MuJoCo recordings, through the integrator's own inverse.

(v1 - v0) / h is not the acceleration MuJoCo's solver found: Euler and implicitfast solve (M + h D) a = ... with the
damping D of joints taken at the end of the step, so that mj_inverse of the difference quotient is wrong by h D a, which
for stiff damping is as large as the torques. mjENBL_INVDISCRETE undoes the step first. What is left is how far the
solver of contacts was from its optimum when the recording was made, because the inverse takes the exact optimum.

Source: MuJoCo documentation, "Computation: Discrete-time inverse dynamics"; mj_discreteAcc.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64

from invdyn.errors import ConfigError, SignalError, require

__all__ = ["RecordedTorques", "recorded_torques", "replayed", "torques_between"]


@dataclass(frozen=True)
class RecordedTorques:
    """What acted in each step, in MuJoCo's convention (`mujoco_convention.forces_from_mujoco` converts).

    Args:
        torque: [time, nv] of actuators and applied forces together (qfrc_inverse), N m or N.
        constraint: [time, nv] of contacts, limits, dry friction and equality constraints (qfrc_constraint).
        passive: [time, nv] of springs, dampers and fluid at the start of the step (qfrc_passive).
        touching: [time] whether there were contacts.
    """

    torque: Float64[np.ndarray, "time nv"]
    constraint: Float64[np.ndarray, "time nv"]
    passive: Float64[np.ndarray, "time nv"]
    touching: Bool[np.ndarray, " time"]


def recorded_torques(
    mj_model: Any,
    qpos: Float64[np.ndarray, "time nq"],
    qvel: Float64[np.ndarray, "_ nv"],
    clock: Float64[np.ndarray, "..."] | None = None,
    discrete: bool = True,
) -> RecordedTorques:
    """The torques that took a recording from each state to the next.

    Args:
        mj_model: the `mujoco.MjModel` that was stepped, with its time step and integrator; it is not changed.
        qpos, qvel: of every simulated step, the final state included: one row more than there are torques.
        clock: [time] of the states, s, to check that no step is missing; None trusts that.
        discrete: False inverts the continuous equations instead, as a comparison.

    Raises:
        SignalError: other numbers of columns than the model's, or of rows than each other's; values that are not
            finite, fewer than two states, or states further apart than the model's step.
        ConfigError: the integrator has no discrete inverse (RK4).
        MissingExtraError: mujoco is not installed.
    """
    mujoco = require("mujoco", "worlds")
    _check(mj_model, qpos, qvel, clock)
    model, data = _inverting(mj_model, discrete), mujoco.MjData(mj_model)

    def put(t: int) -> None:
        data.qpos[:], data.qvel[:] = qpos[t], qvel[t]

    return _inverted(model, data, put, np.diff(qvel, axis=0) / model.opt.timestep)


def torques_between(
    mj_model: Any,
    before: Float64[np.ndarray, "step state"],
    after: Float64[np.ndarray, "step state"],
    discrete: bool = True,
) -> RecordedTorques:
    """The torques of single steps, from whole states (mjSTATE_INTEGRATION): for pairs that need not follow each other.

    Args:
        mj_model: the model that was stepped; it is not changed.
        before, after: states one simulated step apart. Positions, velocities, activations, mocap poses and which
            equalities are active are taken from `before`; controls and applied forces are what is looked for.
        discrete: see `recorded_torques`.

    Raises:
        SignalError: states of another size than the model's, not finite, or not one step apart.
        ConfigError: the integrator has no discrete inverse (RK4).
    """
    mujoco = require("mujoco", "worlds")
    spec = mujoco.mjtState.mjSTATE_INTEGRATION
    size = mujoco.mj_stateSize(mj_model, spec)
    if before.shape != after.shape or before.shape[1] != size or not (np.isfinite(before) & np.isfinite(after)).all():
        raise SignalError(
            f"states of shapes {before.shape} and {after.shape}; expected finite rows of {size} numbers on both sides, "
            "as the model has. Pass states of the model that was recorded."
        )
    model, data = _inverting(mj_model, discrete), mujoco.MjData(mj_model)
    clock, velocity = np.zeros((2, len(before))), np.zeros((2, len(before), model.nv))
    for side, rows in enumerate((before, after)):
        for t, row in enumerate(rows):
            mujoco.mj_setState(model, data, row, spec)
            clock[side, t], velocity[side, t] = data.time, data.qvel
    _one_step_apart(model, clock[1] - clock[0])

    def put(t: int) -> None:
        mujoco.mj_setState(model, data, np.ascontiguousarray(before[t]), spec)

    return _inverted(model, data, put, (velocity[1] - velocity[0]) / model.opt.timestep)


def _inverting(mj_model: Any, discrete: bool) -> Any:
    """A copy of the model whose `mj_inverse` undoes the integrator's step, or does not."""
    mujoco = require("mujoco", "worlds")
    model = copy.copy(mj_model)
    flag = int(mujoco.mjtEnableBit.mjENBL_INVDISCRETE)
    model.opt.enableflags = (int(model.opt.enableflags) & ~flag) | (flag if discrete else 0)
    if discrete and int(model.opt.integrator) == int(mujoco.mjtIntegrator.mjINT_RK4):
        raise ConfigError(
            "the model's integrator is RK4, whose step has no inverse; expected Euler, implicit or implicitfast. "
            'Record with integrator="implicitfast", or pass discrete=False and expect errors.'
        )
    return model


def _inverted(
    model: Any, data: Any, put: Callable[[int], None], rates: Float64[np.ndarray, "step nv"]
) -> RecordedTorques:
    """`mj_inverse` of each step that `put` sets the state of."""
    mujoco = require("mujoco", "worlds")
    steps = len(rates)
    out = {name: np.zeros((steps, model.nv)) for name in ("qfrc_inverse", "qfrc_constraint", "qfrc_passive")}
    touching = np.zeros(steps, bool)
    for t in range(steps):
        put(t)
        data.qacc[:] = rates[t]
        mujoco.mj_inverse(model, data)
        for name, values in out.items():
            values[t] = getattr(data, name)
        touching[t] = data.ncon > 0
    return RecordedTorques(out["qfrc_inverse"], out["qfrc_constraint"], out["qfrc_passive"], touching)


def replayed(
    mj_model: Any,
    qpos: Float64[np.ndarray, "time nq"],
    qvel: Float64[np.ndarray, "_ nv"],
    torque: Float64[np.ndarray, "step column"],
) -> Float64[np.ndarray, "step column"]:
    """Velocities after one simulated step from each recorded state under given torques; compare with qvel[1:].

    Args:
        mj_model: the model that was stepped; it is not changed.
        qpos, qvel: the recording.
        torque: generalised forces of actuators and applied forces together, as `recorded_torques` gives them.

    Raises:
        SignalError: as `recorded_torques`, or another number of torques than of steps.
    """
    mujoco = require("mujoco", "worlds")
    _check(mj_model, qpos, qvel, None)
    if torque.shape != (len(qpos) - 1, mj_model.nv):
        raise SignalError(
            f"torques have shape {torque.shape}; expected ({len(qpos) - 1}, {mj_model.nv}), a row for each step "
            "between the states. Pass the torques of this recording."
        )
    model = copy.copy(mj_model)
    data = mujoco.MjData(model)
    after = np.zeros((len(torque), model.nv))
    for t in range(len(torque)):
        data.qpos[:], data.qvel[:], data.qfrc_applied[:] = qpos[t], qvel[t], 0.0
        mujoco.mj_forward(model, data)
        data.qfrc_applied[:] = torque[t] - data.qfrc_actuator  # servos push even with zero controls
        mujoco.mj_step(model, data)
        after[t] = data.qvel
    return after


def _check(model: Any, qpos: np.ndarray, qvel: np.ndarray, clock: np.ndarray | None) -> None:
    """Whether these can be successive states of the model."""
    if (qpos.shape[1], qvel.shape[1]) != (model.nq, model.nv) or len(qpos) < 2:
        raise SignalError(
            f"the recording has {len(qpos)} states of {qpos.shape[1]} positions and {qvel.shape[1]} velocities; "
            f"expected at least 2 of {model.nq} and {model.nv}, as the model has. Pass the model that was recorded."
        )
    if len(qvel) != len(qpos) or (clock is not None and clock.shape != (len(qpos),)):
        times = "none" if clock is None else str(clock.size)
        raise SignalError(
            f"the recording has {len(qpos)} positions, {len(qvel)} velocities and {times} times; expected as many of "
            "each, one row a state. Pass rows of the same states."
        )
    for name, values in (("qpos", qpos), ("qvel", qvel)):
        bad = np.flatnonzero(~np.isfinite(values).all(axis=1))
        if len(bad):
            raise SignalError(f"{name} of state {bad[0]} is not finite; expected numbers. Cut the recording before it.")
    if clock is not None:
        _one_step_apart(model, np.diff(clock))


def _one_step_apart(model: Any, apart: Float64[np.ndarray, " step"]) -> None:
    step = float(model.opt.timestep)
    off = np.flatnonzero(np.abs(apart - step) > 1e-3 * step)
    if len(off):
        raise SignalError(
            f"states {off[0]} and {off[0] + 1} are {apart[off[0]]:.6g} s apart and the model's step is {step:.6g} s; "
            "expected every simulated state. Record each step: torques between kept states are lost."
        )
