"""`locomotion/<task>`: Gymnasium's Hopper, HalfCheetah and Walker2d (v5) in large batches, as models need them.

The same simulation as `gymnasium/Hopper-v5`, to the bit, made to be rolled from thousands of given states: the state is
what `mj_step` reads in these models and no more (positions, velocities, the solver's warm start), observation, reward
and end are computed from it for all copies at once, and copies are stepped by several threads (MuJoCo lets go of
Python's lock). When an episode ends is known as a function of what is observed too (`ends`), so learnt models need not
guess it. As a model (state set, step, observation) a row of Hopper takes 106 us of one thread and of HalfCheetah 49;
`gymnasium/<EnvId>` takes 252 and 227. https://gymnasium.farama.org/environments/mujoco/
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64, Shaped
from torch import Tensor

from invdyn.episodes.signal import SignalSpec
from invdyn.errors import ConfigError, WorldError, require, unknown_name
from invdyn.worlds.torch_world import Outcome, TorchWorld

__all__ = ["TASKS", "Locomotion", "LocomotionConfig", "Task", "ends"]

OBSERVATION = "observation.state"


@dataclass(frozen=True)
class Task:
    """One of Gymnasium's planar walkers; numbers are the defaults of its v5.

    Args:
        env: id in Gymnasium.
        control_cost: weight of the sum of squared causes in the reward.
        healthy: reward of every step that ends within the ranges.
        height: metres, above and below which the root must stay.
        angle: radians that the root may lean to either side.
        rest: bound on the angle and everything after it, joints and velocities.
        fastest: observed velocities are held within this.
    """

    env: str
    control_cost: float = 1e-3
    healthy: float = 1.0
    height: tuple[float, float] = (-np.inf, np.inf)
    angle: float = np.inf
    rest: float = np.inf
    fastest: float = 10.0

    @property
    def endless(self) -> bool:
        """Whether no state ends an episode."""
        return self.height == (-np.inf, np.inf)

    def alive(self, seen: Float[Tensor, "*batch obs"]) -> Bool[Tensor, "*batch"]:
        """Whether states are within the ranges, given positions without x and then velocities."""
        if self.endless:
            return torch.ones_like(seen[..., 0], dtype=torch.bool)
        low, high = self.height
        height, angle, rest = seen[..., 0], seen[..., 1].abs(), seen[..., 1:].abs()
        return (height > low) & (height < high) & (angle < self.angle) & (rest < self.rest).all(-1)


TASKS: dict[str, Task] = {
    "hopper": Task("Hopper-v5", height=(0.7, np.inf), angle=0.2, rest=100.0),
    "halfcheetah": Task("HalfCheetah-v5", control_cost=0.1, healthy=0.0, fastest=np.inf),
    "walker2d": Task("Walker2d-v5", height=(0.8, 2.0), angle=1.0),
}


def ends(
    task: str, state: Float[Tensor, "batch obs"], cause: Float[Tensor, "batch cause"], after: Float[Tensor, "batch obs"]
) -> Bool[Tensor, " batch"]:
    """Whether an episode of a task ends in an observation, for models of observations: `partial(ends, "hopper")`."""
    return ~TASKS[task].alive(after)


@dataclass(frozen=True)
class LocomotionConfig:
    """Settings.

    Args:
        horizon: steps per episode (Gymnasium: 1,000).
        threads: that step the copies; what comes out does not depend on it.
    """

    horizon: int = 1000
    threads: int = 1

    def __post_init__(self) -> None:
        if self.horizon < 1 or self.threads < 1:
            raise ConfigError(f"locomotion: horizon {self.horizon}, threads {self.threads}; each is at least 1.")


class Locomotion(TorchWorld[LocomotionConfig]):
    """Copies of one planar walker.

    Observation: positions without x (m, rad), then velocities (m/s, rad/s), held within +-10 but for HalfCheetah.
    Cause: torques of the joints, within +-1 of the actuators' gear. A reset is Gymnasium's own with that seed.
    State: positions (nq), velocities (nv), the accelerations that the solver starts from (nv).

    Args:
        task: `hopper`, `halfcheetah` or `walker2d`.
        batch, config, options: as for every `TorchWorld`.

    Raises:
        UnknownNameError: no such task; lists the nearest.
        MissingExtraError: gymnasium or mujoco is not installed.
    """

    config_class = LocomotionConfig

    def __init__(self, task: str, batch: int = 1, config: LocomotionConfig | None = None, **options: Any) -> None:
        if task not in TASKS:
            raise unknown_name("locomotion task", task, TASKS)
        self.name, self.task = f"locomotion/{task}", TASKS[task]
        gym, self._mujoco = require("gymnasium", "worlds"), require("mujoco", "worlds")
        self._env = gym.make(self.task.env, disable_env_checker=True).unwrapped
        states = self._mujoco.mjtState
        self._part = int(states.mjSTATE_QPOS) | int(states.mjSTATE_QVEL) | int(states.mjSTATE_WARMSTART)
        super().__init__(batch, config, "cpu", **options)
        self._pool: ThreadPoolExecutor | None = None
        self._datas = [self._mujoco.MjData(self._env.model) for _ in range(self.config.threads)]

    def specs(self) -> None:
        model, env = self._env.model, self._env
        self.dt, self.horizon = float(env.dt), self.config.horizon
        joints = [model.joint(i).name for i in range(model.nq)]
        self.state_names = [*joints, *(f"{j}.velocity" for j in joints), *(f"{j}.warm" for j in joints)]
        size = model.nq - 1 + model.nv
        self.seen = slice(1, 1 + size)
        self.observations = (self.vector(OBSERVATION, size, names=tuple(self.state_names[self.seen])),)
        self.action = SignalSpec("action", (model.nu,), "float32", "action", low=(-1.0,), high=(1.0,))

    def start(self) -> tuple[Float64[Tensor, "state batch"], dict[str, Float64[Tensor, "value batch"]]]:
        rows = np.empty((self.batch, len(self.state_names)))
        for row, seed in zip(rows, self.seeds.tolist()):
            self._env.reset(seed=seed)
            self._mujoco.mj_getState(self._env.model, self._env.data, row, self._part)
        return torch.from_numpy(rows).T.contiguous(), {}

    def _run(self, rows: np.ndarray, causes: np.ndarray, data: Any) -> None:
        """Step rows of states in place."""
        model, get, put = self._env.model, self._mujoco.mj_getState, self._mujoco.mj_setState
        step, frames = self._mujoco.mj_step, self._env.frame_skip
        for row, cause in zip(rows, causes):
            put(model, data, row, self._part)
            data.ctrl[:] = cause
            step(model, data, nstep=frames)
            get(model, data, row, self._part)

    def advance(self, cause: Float64[Tensor, "cause batch"]) -> Outcome:
        before, rows = self.x[0], self.x.T.numpy().copy()  # the copy is stepped in place
        causes = cause.T.numpy()
        if len(self._datas) == 1:
            self._run(rows, causes, self._datas[0])
        else:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(len(self._datas))
            parts = (np.array_split(v, len(self._datas)) for v in (rows, causes))
            list(self._pool.map(self._run, *parts, self._datas))
        self.x = torch.from_numpy(rows).T.contiguous()
        alive = self.task.alive(self.x[self.seen].T)
        cost = torch.zeros_like(before)
        for u in cause:  # one after the other, as numpy adds so few
            cost = cost + u.square()
        # Brackets as in Gymnasium's own sum, whose last bit depends on them.
        reward = (self.x[0] - before) / self.dt + self.task.healthy * alive - self.task.control_cost * cost
        ended = torch.zeros_like(alive) if self.task.endless else ~alive
        return Outcome(reward, torch.zeros_like(alive), ended)

    def observe_state(self) -> dict[str, Shaped[Tensor, "batch ..."]]:
        return {OBSERVATION: self.observed(self.x.T).float()}

    def observed(self, state: Float64[Tensor, "*batch state"]) -> Float64[Tensor, "*batch obs"]:
        """What is seen of states, in double precision."""
        joints = self._env.model.nq - 1
        place, speed = state[..., self.seen].split([joints, self.seen.stop - 1 - joints], -1)
        return torch.cat([place, speed.clamp(-self.task.fastest, self.task.fastest)], -1)

    def state_of(
        self, place: Float64[Tensor, "batch nq"], speed: Float64[Tensor, "batch nv"]
    ) -> Float64[Tensor, "batch state"]:
        """States of given positions and velocities, as Gymnasium's `set_state` makes them right after a reset.

        Raises:
            WorldError: other numbers of joints.
        """
        model, data = self._env.model, self._env.data
        if place.shape[1] != model.nq or speed.shape[1] != model.nv:
            raise WorldError(
                f"{self.name}: {place.shape[1]} positions and {speed.shape[1]} velocities, expected {model.nq} and "
                f"{model.nv}."
            )
        rows = np.empty((len(place), len(self.state_names)))
        for row, q, v in zip(rows, place.numpy(), speed.numpy()):
            self._mujoco.mj_resetData(model, data)
            self._env.set_state(q, v)
            self._mujoco.mj_getState(model, data, row, self._part)
        return torch.from_numpy(rows)

    def close(self) -> None:
        if self._pool is not None:
            self._pool.shutdown()
            self._pool = None
        self._env.close()
