"""`GymWorld`: copies of a Gymnasium environment as one batched `World` with exact snapshot and restore.

The environment is used bare (`env.unwrapped`): time limits are ours (`horizon`), so stepping past an end is legal and
nothing resets by itself. An episode is a function of its seed alone: before each reset the copy goes back to what it
was right after it was made, so that nothing of the last episode is left.

Subclasses say what the simulator's own state is (`simulator_state`, `set_simulator_state`).
"""

from __future__ import annotations

import gc
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64, Shaped, UInt8
from torch import Tensor

from invdyn.episodes.signal import SignalSpec
from invdyn.errors import ConfigError, WorldError
from invdyn.worlds import env_attributes
from invdyn.worlds.base import Snapshot, StepResult, World

__all__ = ["OBSERVATION", "GymWorld"]

OBSERVATION = "observation.state"


class GymWorld(World):
    """A batch of copies of one Gymnasium environment, stepped one after the other.

    Args:
        name: id of the world.
        make: makes one environment.
        batch: number of copies.
        horizon: steps after which `truncated` is set.
        dt: seconds per step.
        observation: spec of the observation vector; its values are those of the environment as float32.
        action: spec of the cause.
    """

    per_step: Sequence[str] = ()
    """Attributes of the environment that are numbers and change with every step: part of `state`."""
    late: Sequence[str] = ()
    """Attributes that are None until a step of the episode gives them a number: also part of `state`."""
    simulator_objects: ClassVar[tuple[str, ...]] = ()
    """Attributes of the environment that belong to its simulator: left to `simulator_snapshot`."""
    clip: ClassVar[bool] = True
    """Whether causes are clipped to the bounds of the action."""
    success_keys: ClassVar[tuple[str, ...]] = ("success", "is_success")
    """Entries of the step's info that say the task is solved; an environment without either never succeeds."""

    def __init__(
        self,
        name: str,
        make: Callable[[], Any],
        *,
        batch: int = 1,
        horizon: int,
        dt: float,
        observation: SignalSpec,
        action: SignalSpec,
    ) -> None:
        if batch < 1:
            raise ConfigError(f"{name}: batch is {batch}; a world has at least one copy.")
        if horizon < 1:
            raise ConfigError(f"{name}: horizon is {horizon}; an episode has at least one step.")
        self.name, self.batch, self.horizon, self.dt = name, batch, horizon, dt
        self.observations, self.action = (observation,), action
        self.envs = [make().unwrapped for _ in range(batch)]
        self.elapsed = np.zeros(batch, np.int64)
        self.resting = np.zeros(batch, bool)
        self.seen: Float64[np.ndarray, "batch state"] = np.zeros((batch, observation.size))
        self._outcome = np.zeros((batch, 3))  # reward, terminated, success
        self._pictures: dict[int, np.ndarray] = {}
        self._pristine = [self.freeze(i) for i in range(batch)]
        self.reset(range(batch))

    # ---- what a kind of simulator writes --------------------------------------------------------------------------

    @abstractmethod
    def simulator_state(self, copy: int) -> Float64[np.ndarray, " state"]:
        """The simulator's own state of one copy, of constant size."""

    @abstractmethod
    def set_simulator_state(self, copy: int, state: Float64[np.ndarray, " state"]) -> None:
        """Take over what `simulator_state` gave."""

    def simulator_snapshot(self, copy: int) -> Any:
        """What a snapshot holds besides the Python attributes; by default the simulator's state."""
        return self.simulator_state(copy)

    def restore_simulator(self, copy: int, content: Any) -> None:
        self.set_simulator_state(copy, content)

    def start(self, copy: int, seed: int) -> Float64[np.ndarray, " state"]:
        """Reset one copy; returns its first observation."""
        observation, _ = self.envs[copy].reset(seed=int(seed))
        return self.flat(observation)

    def advance(self, copy: int, action: Float64[np.ndarray, " cause"]) -> tuple[Any, float, bool, Mapping[str, Any]]:
        """One step of one copy: observation, reward, terminated, info."""
        observation, reward, terminated, _, info = self.envs[copy].step(action)
        return observation, float(reward), bool(terminated), info

    def flat(self, observation: Any) -> Float64[np.ndarray, " state"]:
        """The environment's observation as one vector."""
        return np.asarray(observation, np.float64).reshape(-1)

    def picture(self, copy: int, height: int, width: int) -> UInt8[np.ndarray, "height width 3"]:
        """RGB picture of one copy."""
        raise WorldError(f"{self.name} cannot be rendered.")

    # ---- World ----------------------------------------------------------------------------------------------------

    def reset(self, seeds: Sequence[int]) -> Mapping[str, Shaped[Tensor, "batch ..."]]:
        if len(seeds) != self.batch:
            raise WorldError(f"{self.name}: {len(seeds)} seeds for {self.batch} copies; give one seed per copy.")
        self.resting[:] = False
        self.elapsed[:] = 0
        self._outcome[:] = 0
        for i, seed in enumerate(seeds):
            self.thaw(i, self._pristine[i])
            self.seen[i] = self.start(i, seed)
        return self.observe()

    def rest(self, done: Bool[Tensor, " batch"]) -> None:
        self.resting |= done.cpu().numpy()

    def step(self, cause: Float[Tensor, "batch cause"]) -> StepResult:
        actions = self._checked(cause)
        for i in np.flatnonzero(~self.resting):
            observation, reward, terminated, info = self.advance(int(i), actions[i])
            self.seen[i] = self.flat(observation)
            success = any(bool(info.get(key, False)) for key in self.success_keys)
            self._outcome[i] = reward, terminated, success
            self.elapsed[i] += 1
        reward, terminated, success = torch.from_numpy(self._outcome.T.copy())
        truncated = torch.from_numpy(self.elapsed >= self.horizon)
        return StepResult(self.observe(), reward, terminated.bool(), truncated, success.bool())

    def observe(self) -> Mapping[str, Shaped[Tensor, "batch ..."]]:
        return {OBSERVATION: torch.from_numpy(self.seen.astype(np.float32))}

    def _checked(self, cause: Tensor) -> np.ndarray:
        """Causes as float64 within the bounds."""
        if cause.shape != (self.batch, self.action.size):
            raise WorldError(
                f"{self.name}: the cause has shape {tuple(cause.shape)}, expected {(self.batch, self.action.size)} "
                "(one row per copy)."
            )
        u = cause.detach().cpu().double().numpy()
        broken = np.flatnonzero(~np.isfinite(u).all(1) & ~self.resting)
        if len(broken):
            at = int(broken[0])
            raise WorldError(f"{self.name}: the cause of copy {at} is {u[at].tolist()}; expected finite numbers.")
        if self.clip and self.action.low is not None and self.action.high is not None:
            u = np.clip(u, np.asarray(self.action.low), np.asarray(self.action.high))
        return u

    # ---- state ----------------------------------------------------------------------------------------------------

    def freeze(self, copy: int) -> Any:
        """Everything of one copy."""
        attributes = env_attributes.snapshot(self.envs[copy], self.name, self.simulator_objects)
        simulator = self.simulator_snapshot(copy)
        return attributes, simulator, self.seen[copy].copy(), int(self.elapsed[copy]), self._outcome[copy].copy()

    def thaw(self, copy: int, content: Any) -> None:
        """Back to what `freeze` gave."""
        attributes, simulator, seen, elapsed, outcome = content
        env_attributes.restore(self.envs[copy], attributes, self.simulator_objects)
        self.restore_simulator(copy, simulator)
        self.seen[copy], self.elapsed[copy], self._outcome[copy] = seen, elapsed, outcome

    def snapshot(self) -> Snapshot:
        return Snapshot(self.name, (self.resting.copy(), [self.freeze(i) for i in range(self.batch)]))

    def restore(self, snapshot: Snapshot) -> None:
        if snapshot.world != self.name:
            raise WorldError(f"the snapshot is of {snapshot.world!r}; it cannot be restored into {self.name!r}.")
        resting, copies = snapshot.content
        if len(copies) != self.batch:
            raise WorldError(f"the snapshot holds {len(copies)} copies, this {self.name} has {self.batch}.")
        self.resting = resting.copy()
        for i, content in enumerate(copies):
            self.thaw(i, content)

    def state(self) -> Float64[Tensor, "batch state"]:
        """[simulator | attributes that change per step | observation last returned].

        The observation is kept because simulators compute it from quantities that may lag the state (MuJoCo's
        positions of sites lag by a substep), so it cannot be computed again from the state alone.
        """
        return torch.from_numpy(np.stack([self._pack(i) for i in range(self.batch)]))

    def _pack(self, copy: int) -> np.ndarray:
        env = self.envs[copy]
        extras = [np.ravel(getattr(env, name)).astype(np.float64) for name in self.per_step]
        for name in self.late:
            value = getattr(env, name, None)
            extras.append(np.array([value is not None, 0.0 if value is None else value], np.float64))
        return np.concatenate([self.simulator_state(copy), *extras, self.seen[copy]])

    def set_state(self, state: Float64[Tensor, "batch state"]) -> None:
        """Set the state; the episode's constants, step counters and generators stay as they are."""
        size = len(self._pack(0))
        if state.shape != (self.batch, size):
            raise WorldError(
                f"{self.name}: the state has shape {tuple(state.shape)}, expected {(self.batch, size)}. "
                "Was it recorded in this world with these options?"
            )
        if not torch.isfinite(state).all():
            raise WorldError(f"{self.name}: the state to set holds NaN or infinity.")
        self.resting[:] = False
        for i, row in enumerate(state.detach().cpu().double().numpy()):
            env, at = self.envs[i], size - self.seen.shape[1]
            self.seen[i] = row[at:]
            for name in reversed(self.late):
                at -= 2
                setattr(env, name, row[at + 1] if row[at] else None)
            for name in reversed(self.per_step):
                now = getattr(env, name)
                at -= np.size(now)
                values = row[at : at + np.size(now)]
                if isinstance(now, np.ndarray):
                    setattr(env, name, values.reshape(now.shape).astype(now.dtype))
                else:
                    setattr(env, name, type(now)(values[0]))
            self.set_simulator_state(i, row[:at])

    def render(self, height: int = 96, width: int = 96) -> UInt8[Tensor, "batch height width 3"]:
        if height < 1 or width < 1:
            raise WorldError(f"{self.name}: a picture of {height} x {width} pixels was asked for; both are at least 1.")
        for i in range(self.batch):
            last = self._pictures.get(i)
            if not self.resting[i] or last is None or last.shape[:2] != (height, width):
                self._pictures[i] = np.array(self.picture(i, height, width), np.uint8)
        return torch.from_numpy(np.stack([self._pictures[i] for i in range(self.batch)]))

    def close(self) -> None:
        for env in self.envs:
            env.close()
        self.envs.clear()
        # Environments hold themselves in cycles, and the collector does not see how much memory a simulator has:
        # without this call a program that makes one world after the other keeps them all.
        gc.collect()
