"""`PushT`: a disc pushes a T-shaped block onto its place (gym-pusht), with exact state and human recordings.

Chi et al., "Diffusion Policy", RSS 2023; https://github.com/huggingface/gym-pusht (0.1.8, pymunk 6).

**Exact state.** Chipmunk keeps more than poses and velocities: impulses of the last step that warm-start its contact
solver, a "bias velocity" that pushes overlapping bodies apart at the next step, and a tree whose shape (and with it
the order of contacts) depends on history. pymunk's own pickling drops the bias velocity: continuing from a pickle
differs by up to 2e-2 px after one step of pushing. Here, after every step the bias is folded into the pose that it
would move, and the space is built anew from poses, velocities and contacts; so what follows is a function of `state`
alone, bit for bit, and stays within 1e-10 px of the unmodified environment over whole human episodes. The price is
speed: about half the steps per second of the unmodified environment (`invdyn bench worlds`).
"""

from __future__ import annotations

import itertools
import os
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float64, UInt8

from invdyn.episodes.episode import Episode
from invdyn.episodes.signal import SignalSpec
from invdyn.errors import WorldError, require
from invdyn.worlds.base import WORLD_STATE
from invdyn.worlds.gym_adapter import OBSERVATION, GymWorld

__all__ = ["PushT", "agent_velocity"]

SUBSTEPS, SUBSTEP = 10, 0.01
STIFFNESS, DAMPING = 100.0, 20.0
"""Gains of the environment's PD control of the disc (per s^2, per s)."""
WALLS, AGENT, BLOCK = (0, 1, 2, 3), 4, (5, 6)
PAIRS = tuple((a, b) for a in range(7) for b in range(a + 1, 7) if b >= AGENT and (a, b) != BLOCK)
"""Numbers of the shapes that can touch."""
POSE = 11  # block x y angle, its velocities, disc x y, its velocity, last time step
ARBITER, CONTACT = 11, 13
SLOT = ARBITER + 2 * CONTACT
STAMP = 16
"""The space's step count after a rebuild; only differences to it matter."""


class PushT(GymWorld):
    """Copies of gym-pusht.

    Observation (5): disc x, y, block x, y (px of 512), block angle (rad, 0..2 pi). Action (2): where the disc is to go
    (px). 10 steps a second. Reward: covered share of the goal / 0.95; success: more than 0.95 covered.

    Recordings without `world.state` (the human ones) are anchored by `observation.state`: the block's angle is set
    before its position (it turns about its centre of mass), its velocity is zero (the space damps it out at every
    substep), and the disc's velocity follows from the positions recorded so far, see `agent_velocity`.

    Args:
        batch: number of copies.
        horizon: steps until truncation.
    """

    simulator_objects: ClassVar[tuple[str, ...]] = ("space", "agent", "block", "_block_shapes", "collision_handeler")

    def __init__(self, *, batch: int = 1, horizon: int = 300) -> None:
        os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")  # pygame greets on stdout
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            package = require("gym_pusht.envs.pusht", "worlds")
            self._pymunk: Any = require("pymunk", "worlds")
            self._arbiter: Any = require("pymunk.arbiter", "worlds")
            self._lib: Any = require("pymunk._chipmunk_cffi", "worlds").lib

        def made() -> Any:
            env = package.PushTEnv(obs_type="state")
            env.reset(seed=0)
            env._get_coverage = _Coverage(env, package.pymunk_to_shapely)
            return env

        super().__init__(
            "pusht",
            made,
            batch=batch,
            horizon=horizon,
            dt=SUBSTEPS * SUBSTEP,
            observation=SignalSpec(
                OBSERVATION,
                (5,),
                "float32",
                "state",
                "px, rad",
                ("agent_x", "agent_y", "block_x", "block_y", "block_angle"),
            ),
            action=SignalSpec("action", (2,), "float32", "action", "px", ("target_x", "target_y"), (0.0,), (512.0,)),
        )

    def start(self, copy: int, seed: int) -> Float64[np.ndarray, " state"]:
        observation = super().start(copy, seed)
        self._settle(copy)
        return observation

    def advance(self, copy: int, action: Float64[np.ndarray, " cause"]) -> tuple[Any, float, bool, Mapping[str, Any]]:
        result = super().advance(copy, action)
        self._settle(copy)
        return result

    def picture(self, copy: int, height: int, width: int) -> UInt8[np.ndarray, "height width 3"]:
        env = self.envs[copy]
        return np.asarray(env._get_img(env._draw(), width=width, height=height))

    def anchor(self, episodes: Sequence[Episode], steps: Sequence[int]) -> None:
        if all(WORLD_STATE in episode for episode in episodes):
            super().anchor(episodes, steps)
            return
        if len(episodes) != self.batch:
            raise WorldError(f"{self.name}: {len(episodes)} episodes for {self.batch} copies; give one per copy.")
        for i, (episode, step) in enumerate(zip(episodes, steps, strict=True)):
            if OBSERVATION not in episode or episode.schema[OBSERVATION].shape != (5,):
                raise WorldError(
                    f"episode {episode.index} has neither {WORLD_STATE!r} nor the five numbers {OBSERVATION!r} "
                    "(agent x y, block x y, angle) that put Push-T into its state."
                )
            seen = episode.read(OBSERVATION, 0, step + 1).values.astype(np.float64)
            if not np.isfinite(seen).all():
                raise WorldError(f"episode {episode.index}: {OBSERVATION!r} holds NaN up to step {step}.")
            self._place(i, seen[-1], agent_velocity(seen[:, :2]))
            self.seen[i] = self.flat(self.envs[i].get_obs())
        self.resting[:] = False
        self.elapsed[:] = steps

    # ---- exact state --------------------------------------------------------------------------------

    def simulator_state(self, copy: int) -> Float64[np.ndarray, " state"]:
        env = self.envs[copy]
        shapes = list(env.space.shapes)
        state = np.zeros(POSE + len(PAIRS) * SLOT)
        position, angle = self._pose(env.block)
        block, agent = env.block, env.agent
        state[:POSE] = [
            *(*position, angle, *block.velocity, block.angular_velocity, *agent.position, *agent.velocity),
            self._lib.cpSpaceGetCurrentTimeStep(env.space._space),
        ]
        stamp = self._lib.cpSpaceGetTimestamp(env.space._space)
        for raw in env.space._get_arbiters():
            arbiter = self._arbiter._arbiter_to_dict(raw, env.space)
            a, b = shapes.index(arbiter["a"]), shapes.index(arbiter["b"])
            at = POSE + PAIRS.index((min(a, b), max(a, b))) * SLOT
            state[at : at + SLOT] = _packed(arbiter, a < b, stamp)
        return state

    def set_simulator_state(self, copy: int, state: Float64[np.ndarray, " state"]) -> None:
        env = self.envs[copy]
        contacts = env.__dict__.get("n_contact_points", 0)
        env._setup()
        env.n_contact_points = contacts
        x, y, angle, vx, vy, spin, ax, ay, avx, avy, step = (float(v) for v in state[:POSE])
        self._set_pose(env.block, (x, y), angle)
        env.block.velocity, env.block.angular_velocity = (vx, vy), spin
        env.agent.position, env.agent.velocity = (ax, ay), (avx, avy)
        space, shapes = env.space, list(env.space.shapes)
        self._lib.cpSpaceSetTimestamp(space._space, STAMP)
        self._lib.cpSpaceSetCurrentTimeStep(space._space, step)
        for i, (a, b) in enumerate(PAIRS):
            at = POSE + i * SLOT
            if state[at]:
                arbiter = _unpacked(state[at : at + SLOT], shapes[a], shapes[b])
                raw = self._arbiter._arbiter_from_dict(arbiter, space)
                self._lib.cpSpaceAddCachedArbiter(space._space, raw)

    def _settle(self, copy: int) -> None:
        """Fold the pending bias velocity into the block's pose and build the space anew."""
        block = self.envs[copy].block
        position, angle = self._pose(block)
        velocity, spin, centre = block.velocity, block.angular_velocity, block.center_of_gravity
        # A position update of one second from rest at the origin lands on the bias velocity itself.
        block.center_of_gravity = block.position = block.velocity = (0, 0)
        block.angle = block.angular_velocity = 0
        self._pymunk.Body.update_position(block, 1.0)
        (bx, by), turn = block.position, block.angle
        block.center_of_gravity = centre
        self._set_pose(block, (position[0] + bx * SUBSTEP, position[1] + by * SUBSTEP), angle + turn * SUBSTEP)
        block.velocity, block.angular_velocity = velocity, spin
        self.set_simulator_state(copy, self.simulator_state(copy))

    def _place(self, copy: int, observation: Float64[np.ndarray, "5"], velocity: Float64[np.ndarray, "2"]) -> None:
        """A state without contacts from an observation: angle before position."""
        env = self.envs[copy]
        env._setup()
        env.agent.position, env.agent.velocity = observation[:2].tolist(), velocity.tolist()
        env.block.angle = float(observation[4])
        env.block.position = observation[2:4].tolist()
        self.set_simulator_state(copy, self.simulator_state(copy))

    @staticmethod
    def _pose(body: Any) -> tuple[tuple[float, float], float]:
        """Position of the centre of mass, and angle, without rounding.

        A body reports the position of its origin, computed from that of its centre of mass; with the centre moved to
        the origin the two are the same number.
        """
        centre, angle = body.center_of_gravity, body.angle
        body.center_of_gravity = (0, 0)
        body.angle = angle  # computes the transform anew
        position = body.position
        body.center_of_gravity = centre
        body.angle = angle
        return (position.x, position.y), angle

    @staticmethod
    def _set_pose(body: Any, position: tuple[float, float], angle: float) -> None:
        """The reverse of `_pose`."""
        centre = body.center_of_gravity
        body.center_of_gravity = (0, 0)
        body.angle, body.position = angle, position
        body.center_of_gravity = centre
        body.angle = angle


class _Coverage:
    """`PushTEnv._get_coverage` with the block's two shapes in a fixed order.

    The environment's own takes them from a set, whose order (by address) decides how the areas are rounded.
    """

    def __init__(self, env: Any, to_shapely: Any) -> None:
        self.env, self.to_shapely = env, to_shapely
        self._pose: tuple[float, ...] | None = None
        self._goal: Any = None

    def __call__(self) -> float:
        env, pose = self.env, tuple(self.env.goal_pose)
        if pose != self._pose:  # it stays for the whole episode
            self._pose, self._goal = pose, self.to_shapely(env.get_goal_pose_body(env.goal_pose), env._block_shapes)
        goal = self._goal
        block = self.to_shapely(env.block, env._block_shapes)
        return float(goal.intersection(block).area / goal.area)


def _packed(arbiter: Mapping[str, Any], ordered: bool, stamp: int) -> list[float]:
    """A cached contact pair as `SLOT` numbers; hashes are split because 64 bits do not fit a float."""
    numbers: list[float] = [
        *(1.0, float(ordered), arbiter["e"], arbiter["u"], *arbiter["surface_vr"], arbiter["count"], *arbiter["n"]),
        # state and swapped are small integers: one number
        *(stamp - arbiter["stamp"], arbiter["state"] * 2 + int(bool(arbiter["swapped"]))),
    ]
    for contact in arbiter["contacts"]:
        numbers += [*contact["r1"], *contact["r2"], *(contact[key] for key in CONTACT_KEYS)]
        numbers += [contact["hash"] >> 32, contact["hash"] & 0xFFFFFFFF]
    return [float(number) for number in numbers] + [0.0] * (SLOT - len(numbers))


def _unpacked(numbers: Float64[np.ndarray, " slot"], a: Any, b: Any) -> dict[str, Any]:
    """The reverse of `_packed`."""
    _, ordered, e, u, sx, sy, count, nx, ny, age, state = (float(v) for v in numbers[:ARBITER])
    contacts = []
    for i in range(int(count)):
        row = [float(v) for v in numbers[ARBITER + i * CONTACT : ARBITER + (i + 1) * CONTACT]]
        high, low = int(row[-2]), int(row[-1])
        contacts.append(
            {"r1": row[0:2], "r2": row[2:4], **dict(zip(CONTACT_KEYS, row[4:11])), "hash": high << 32 | low}
        )
    return {
        "a": a if ordered else b,
        "b": b if ordered else a,
        "e": e,
        "u": u,
        "surface_vr": (sx, sy),
        "count": int(count),
        "contacts": contacts,
        "n": (nx, ny),
        "stamp": STAMP - int(age),
        "state": int(state) // 2,
        "swapped": int(state) % 2,
    }


CONTACT_KEYS = ("nMass", "tMass", "bounce", "jnAcc", "jtAcc", "jBias", "bias")


def agent_velocity(positions: Float64[np.ndarray, "time 2"]) -> Float64[np.ndarray, "2"]:
    """The disc's velocity (px/s) at the last of the recorded positions of an episode that began at rest.

    The disc is moved by a linear law alone, ten times per step, whatever it pushes:

        v' = v + (100 (a - p) - 20 v) h,    p' = p + v' h,    h = 0.01 s

    so two positions and the velocity at the first tell the target a, and with it the velocity at the second. The error
    of a velocity shrinks from step to step (factor -0.385), so it does not build up.
    """
    once = np.array(
        [  # (p, v, a) -> (p', v', a)
            [1 - STIFFNESS * SUBSTEP**2, SUBSTEP - DAMPING * SUBSTEP**2, STIFFNESS * SUBSTEP**2],
            [-STIFFNESS * SUBSTEP, 1 - DAMPING * SUBSTEP, STIFFNESS * SUBSTEP],
            [0.0, 0.0, 1.0],
        ]
    )
    step = np.linalg.matrix_power(once, SUBSTEPS)
    velocity = np.zeros(2)
    for now, then in itertools.pairwise(positions):
        target = (then - step[0, 0] * now - step[0, 1] * velocity) / step[0, 2]
        velocity = step[1, 0] * now + step[1, 1] * velocity + step[1, 2] * target
    return velocity
