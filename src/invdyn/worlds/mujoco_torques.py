"""`TorqueDriven`: a MuJoCo world whose cause is what actuators and applied forces do to each degree of freedom.

What a recording of states alone can tell exactly is not the control (several can give one force) but the generalised
forces of each simulated step, through the integrator's own inverse (`bodies/mujoco_inverse.py`). This world takes them
as causes and offers that inverse, so that `replay`, `one_step_residual` and `invdyn verify --target world.inverse` work
with torques as they do with actions. Contacts, limits, springs and dampers act by themselves, as they did.

Exact where the recording holds every simulated step. A world that simulates several steps per action keeps every k-th
state, and what happened in between is lost: one constant torque per kept state that reaches the next velocities is not
unique (humanoid, five steps of 3 ms, in contact: such torques were 80 N m away from the true ones).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64, Shaped, UInt8
from torch import Tensor

from invdyn.bodies.mujoco_inverse import RecordedTorques, torques_between
from invdyn.episodes.episode import Episode
from invdyn.episodes.signal import SignalSpec
from invdyn.errors import WorldError, require
from invdyn.worlds.base import WORLD_STATE, Observation, Snapshot, StepResult, World
from invdyn.worlds.mujoco_state import MujocoWorld

__all__ = ["TorqueDriven"]


class TorqueDriven(World):
    """The copies of a MuJoCo world, driven by generalised forces (N m of turns, N of displacements).

    Everything but `step`, `inverse` and `torques` is the world's own. The actuators stand idle, so that observations
    of their own forces, and rewards that count their effort, are those of idle ones.

    Args:
        world: simulates one step of the simulator per action, with an integrator that has an inverse, and moves no
            mocap body.

    Raises:
        WorldError: a world of another kind; says what to record it with.
    """

    inverse_inputs = (WORLD_STATE,)

    def __init__(self, world: MujocoWorld) -> None:
        mujoco = require("mujoco", "worlds")
        self.world = world
        model = world.envs[0].model
        substeps = world.dt / float(model.opt.timestep)
        if abs(substeps - 1) > 1e-6:
            raise WorldError(
                f"{world.name} simulates {substeps:g} steps of {model.opt.timestep:g} s per action and keeps the last "
                "state; torques can be told of every simulated step only. Record it with frame_skip=1."
            )
        if int(model.opt.integrator) == int(mujoco.mjtIntegrator.mjINT_RK4):
            raise WorldError(
                f"{world.name} is integrated by RK4, whose step has no inverse; expected Euler, implicit or "
                "implicitfast. Record it with a model (xml_file=) that says so."
            )
        if model.nmocap:
            raise WorldError(
                f"{world.name} moves {model.nmocap} mocap bodies, which pull with whatever force it takes: its cause "
                "is no torque. Verify its actions instead."
            )
        self.name, self.batch, self.dt, self.horizon = world.name, world.batch, world.dt, world.horizon
        self.observations, self.has_state = world.observations, world.has_state
        self.action = _torque_spec(model)
        self._idle: np.ndarray | None = None

    # ---- what is different -----------------------------------------------------------------------------------------

    def step(self, cause: Float[Tensor, "batch cause"]) -> StepResult:
        """One simulated step under these forces in place of those of the actuators.

        Raises:
            WorldError: another shape, or numbers that are not finite.
        """
        if cause.shape != (self.batch, self.action.size) or not torch.isfinite(cause).all():
            raise WorldError(
                f"{self.name}, driven by torques: a cause of shape {tuple(cause.shape)}; expected finite numbers of "
                f"shape {(self.batch, self.action.size)}, one per copy and degree of freedom."
            )
        mujoco = require("mujoco", "worlds")
        idle = torch.zeros(self.batch, self.world.action.size, dtype=torch.float64)
        for env, force in zip(self.world.envs, cause.detach().cpu().double().numpy(), strict=True):
            data = env.data
            warm = data.qacc_warmstart.copy()
            data.ctrl[:] = self._idle_control()
            data.xfrc_applied[:] = 0.0
            mujoco.mj_fwdPosition(env.model, data)
            mujoco.mj_fwdVelocity(env.model, data)
            mujoco.mj_fwdActuation(env.model, data)
            data.qfrc_applied[:] = force - data.qfrc_actuator  # servos push even when idle
            data.qacc_warmstart[:] = warm
        result = self.world.step(idle)
        for env in self.world.envs:
            if not np.array_equal(env.data.ctrl, self._idle_control()):
                raise WorldError(
                    f"{self.name}: the controls are no function of the action alone, so torques cannot stand in for "
                    "them. Verify its actions instead."
                )
            env.data.qfrc_applied[:] = 0.0
        return result

    def inverse(self, before: Observation, after: Observation) -> Float[Tensor, "batch cause"]:
        """Torques that led from each `world.state` to the next; those recorded with the model as it now stands.

        Raises:
            WorldError: recordings without `world.state`. SignalError: states that are not one simulated step apart.
        """
        if WORLD_STATE not in before or WORLD_STATE not in after:
            raise WorldError(f"{self.name}: torques are found in {WORLD_STATE!r}, which is not there. Record with it.")
        rows = [x[WORLD_STATE].detach().cpu().double().numpy() for x in (before, after)]
        return torch.from_numpy(self._between(*rows).torque)

    def torques(self, episode: Episode) -> RecordedTorques:
        """The same for a whole episode, with contact and passive forces beside.

        Raises:
            WorldError: the episode has no `world.state`.
        """
        self.anchor([episode] * self.batch, [0] * self.batch)
        rows = np.asarray(episode[WORLD_STATE].values, np.float64)
        return self._between(rows[:-1], rows[1:])

    def _between(self, before: np.ndarray, after: np.ndarray) -> RecordedTorques:
        mujoco = require("mujoco", "worlds")
        model = self.world.envs[0].model
        size = mujoco.mj_stateSize(model, mujoco.mjtState.mjSTATE_INTEGRATION)
        first, then = (np.ascontiguousarray(x[:, :size]) for x in (before, after))
        return torques_between(model, first, then)

    def _idle_control(self) -> np.ndarray:
        """The controls that the environment makes of the zero action, found by one step that is taken back."""
        if self._idle is None:
            frozen = self.world.snapshot()
            self.world.resting[:] = False
            self.world.step(torch.zeros(self.batch, self.world.action.size, dtype=torch.float64))
            self._idle = self.world.envs[0].data.ctrl.copy()
            self.world.restore(frozen)
        return self._idle

    # ---- what is not -----------------------------------------------------------------------------------------------

    def reset(self, seeds: Sequence[int]) -> Mapping[str, Shaped[Tensor, "batch ..."]]:
        return self.world.reset(seeds)

    def rest(self, done: Bool[Tensor, " batch"]) -> None:
        self.world.rest(done)

    def observe(self) -> Observation:
        return self.world.observe()

    def snapshot(self) -> Snapshot:
        return self.world.snapshot()

    def restore(self, snapshot: Snapshot) -> None:
        self.world.restore(snapshot)

    def state(self) -> Float64[Tensor, "batch state"]:
        return self.world.state()

    def set_state(self, state: Float64[Tensor, "batch state"]) -> None:
        self.world.set_state(state)

    def context(self) -> list[Mapping[str, Any]]:
        return self.world.context()

    def set_context(self, context: Sequence[Mapping[str, Any]]) -> None:
        self.world.set_context(context)

    def anchor(self, episodes: Sequence[Episode], steps: Sequence[int]) -> None:
        self.world.anchor(episodes, steps)

    def render(self, height: int = 96, width: int = 96) -> UInt8[Tensor, "batch height width 3"]:
        return self.world.render(height, width)

    def close(self) -> None:
        self.world.close()


def _torque_spec(model: Any) -> SignalSpec:
    """One component per degree of freedom, named by joint."""
    mujoco = require("mujoco", "worlds")
    kinds, names, units = mujoco.mjtJoint, [], []
    for j in range(model.njnt):
        name, kind = model.joint(j).name or f"joint{j}", int(model.jnt_type[j])
        if kind == int(kinds.mjJNT_FREE):
            names += [f"{name}.{x}" for x in ("fx", "fy", "fz", "mx", "my", "mz")]
            units += ["N"] * 3 + ["N m"] * 3
        elif kind == int(kinds.mjJNT_BALL):
            names += [f"{name}.m{x}" for x in "xyz"]
            units += ["N m"] * 3
        else:
            names.append(name)
            units.append("N m" if kind == int(kinds.mjJNT_HINGE) else "N")
    unit = units[0] if len(set(units)) == 1 else ", ".join(units)
    return SignalSpec("torque", (model.nv,), "float64", "force", unit, tuple(names))
