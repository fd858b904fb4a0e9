"""`AdroitDoor`: a hand of 24 joints on a moving arm opens a door (gymnasium-robotics, MuJoCo), with human recordings.

Rajeswaran et al., "Learning Complex Dexterous Manipulation with Deep RL and Demonstrations", RSS 2018.

**Where the human recordings start.** Their stored start state (`init_qpos`, `init_qvel`) is zero in every joint, but
the first observation is not: the recorder had put arm and wrist where the glove was, after storing the state. Starting
from the first observation instead (27 joints, latch and hinge are in it; the arm's slide, which is not, follows from
the palm's position, to 6e-8 m) takes the median joint error of a replay from 2e-3 rad to 4e-4. What remains is the
start's velocity, which is not recorded: with it fitted to the second observation, the replay agrees to 2e-4 rad over
the first ten steps, so it is not another version of the simulator; contact then amplifies it. Rewards differ because
their definition changed in gymnasium-robotics 1.2.1.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float64

from invdyn.episodes.episode import Episode
from invdyn.episodes.signal import SignalSpec
from invdyn.errors import ConfigError, WorldError, require
from invdyn.worlds.base import WORLD_STATE
from invdyn.worlds.gym_adapter import OBSERVATION
from invdyn.worlds.mujoco_state import MujocoWorld, integration_state, set_integration_state

__all__ = ["AdroitDoor"]

STARTS = ("observed", "fitted", "stored")
HAND = (
    *("WRJ1", "WRJ0", "FFJ3", "FFJ2", "FFJ1", "FFJ0", "MFJ3", "MFJ2", "MFJ1", "MFJ0", "RFJ3", "RFJ2", "RFJ1", "RFJ0"),
    *("LFJ4", "LFJ3", "LFJ2", "LFJ1", "LFJ0", "THJ4", "THJ3", "THJ2", "THJ1", "THJ0"),
)
NAMES = (
    *("ARRx", "ARRy", "ARRz", *HAND, "latch", "door_hinge"),
    *(f"{what}.{axis}" for what in ("palm", "handle", "palm_to_handle") for axis in "xyz"),
    "door_open",
)
JOINTS, LATCH, HINGE, PALM = slice(0, 27), 27, 28, slice(29, 32)
"""Where these stand in the observation."""


class AdroitDoor(MujocoWorld):
    """Copies of `AdroitHandDoor-v1`.

    Observation (39): 27 joints (rad), latch, hinge (rad), palm, handle and their difference (m), a flag. Action (28):
    targets of the actuators, -1..1 of their range (clipped). 100 steps a second. Success: hinge >= 1.35 rad.

    Recordings without `world.state` (the human ones) are anchored by their observations; `door_body_pos` comes from the
    metadata `world`. At step 0 the hand is at rest; later steps take central differences of the observations as
    velocities (ten steps on, half of such starts are within 6e-3 rad, nine tenths within 3e-2 to 8e-2).

    Args:
        batch: number of copies.
        horizon: steps until truncation.
        start: at step 0 of such recordings, `observed`: pose of the first observation, at rest; `fitted`: with the
            velocity that makes the first recorded action lead to the second observation (uses that action);
            `stored`: the metadata's `init_qpos` and `init_qvel`.
    """

    camera: ClassVar[str | int] = -1
    look: ClassVar[Mapping[str, Any]] = {"azimuth": 90.0, "elevation": -25.0, "distance": 1.5, "lookat": (0, 0, 0.2)}

    def __init__(self, *, batch: int = 1, horizon: int = 300, start: str = "observed") -> None:
        if start not in STARTS:
            raise ConfigError(f"adroit/door: start {start!r} is none of 'observed', 'fitted', 'stored'.")
        self.starting = start
        with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
            make = require("gymnasium_robotics.envs.adroit_hand.adroit_door", "worlds").AdroitHandDoorEnv
        names = tuple(f"A_{name}" for name in ("ARTz", "ARRx", "ARRy", "ARRz", *HAND))
        super().__init__(
            "adroit/door",
            make,
            batch=batch,
            horizon=horizon,
            dt=0.01,
            observation=SignalSpec(OBSERVATION, (39,), "float32", "state", "rad, m", NAMES),
            action=SignalSpec(
                "action", (28,), "float32", "action", "share of the actuator's range", names, (-1.0,), (1.0,)
            ),
        )

    def anchor(self, episodes: Sequence[Episode], steps: Sequence[int]) -> None:
        if all(WORLD_STATE in episode for episode in episodes):
            super().anchor(episodes, steps)
            return
        if len(episodes) != self.batch:
            raise WorldError(f"{self.name}: {len(episodes)} episodes for {self.batch} copies; give one per copy.")
        for i, (episode, step) in enumerate(zip(episodes, steps, strict=True)):
            facts = episode.metadata.get("world", {})
            if "door_body_pos" not in facts or OBSERVATION not in episode:
                raise WorldError(
                    f"episode {episode.index} does not tell the state: it needs {WORLD_STATE!r}, or {OBSERVATION!r} "
                    "and 'door_body_pos' in its metadata 'world'."
                )
            env = self.envs[i]
            env.model.body_pos[env.door_body_id] = facts["door_body_pos"]
            if step == 0 and self.starting == "stored":
                if "init_qpos" not in facts or "init_qvel" not in facts:
                    raise WorldError(f"episode {episode.index}: start='stored' needs 'init_qpos' and 'init_qvel'.")
                position, velocity = (np.asarray(facts[key], np.float64) for key in ("init_qpos", "init_qvel"))
            else:
                position, velocity = self._from_observations(i, episode, step)
            self._put(i, position, velocity)
            self.seen[i] = self.flat(env._get_obs())
        self.resting[:] = False
        self.elapsed[:] = steps

    def _from_observations(self, copy: int, episode: Episode, step: int) -> tuple[np.ndarray, np.ndarray]:
        """Positions and velocities of all 30 joints at one step of a recording."""
        first, last = max(step - 1, 0), min(step + 1, episode.length - 1)
        rows = episode.read(OBSERVATION, first, last + 1).values.astype(np.float64)
        poses = np.stack([self._pose(copy, row) for row in rows])
        at = poses[step - first]
        if step > 0:
            return at, (poses[-1] - poses[0]) / ((last - first) * self.dt)
        velocity = np.zeros_like(at)
        if self.starting == "fitted" and "action" in episode and episode["action"].mask[0] and last > 0:
            velocity = self._fitted(copy, at, poses[1], episode["action"].values[0].astype(np.float64))
        return at, velocity

    def _pose(self, copy: int, observation: Float64[np.ndarray, "39"]) -> Float64[np.ndarray, "30"]:
        """All joints from one observation; the arm's slide is what puts the palm where it was seen."""
        mujoco = require("mujoco", "worlds")
        env = self.envs[copy]

        def palm(pose: np.ndarray) -> np.ndarray:
            env.data.qpos[:] = pose
            mujoco.mj_kinematics(env.model, env.data)
            return np.array(env.data.site_xpos[env.grasp_site_id])

        pose = np.zeros(30)
        pose[1:28], pose[28], pose[29] = observation[JOINTS], observation[HINGE], observation[LATCH]
        without = palm(pose)
        pose[0] = 1.0
        axis = palm(pose) - without
        pose[0] = axis @ (observation[PALM] - without) / (axis @ axis)
        return pose

    def _put(self, copy: int, position: np.ndarray, velocity: np.ndarray) -> None:
        """Joints at rest or moving, nothing else in motion (no warm start, no controls)."""
        mujoco = require("mujoco", "worlds")
        env = self.envs[copy]
        mujoco.mj_resetData(env.model, env.data)
        env.set_state(position, velocity)

    def _fitted(self, copy: int, start: np.ndarray, then: np.ndarray, action: np.ndarray) -> np.ndarray:
        """The velocity from which one action leads to the next pose (Newton on finite differences)."""
        env = self.envs[copy]
        self._put(copy, start, np.zeros(30))
        rest = integration_state(env.model, env.data)

        def after(velocity: np.ndarray) -> np.ndarray:
            set_integration_state(env.model, env.data, rest)
            env.data.qvel[:] = velocity
            env.step(action)
            return np.array(env.data.qpos)

        velocity = np.zeros(30)
        for _ in range(4):
            reached = after(velocity)
            slope = np.stack([(after(velocity + 1e-4 * row) - reached) / 1e-4 for row in np.eye(30)], 1)
            velocity = velocity + np.linalg.lstsq(slope, then - reached, rcond=1e-6)[0]
        return velocity
