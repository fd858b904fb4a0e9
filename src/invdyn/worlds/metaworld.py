"""`MetaWorld`: the 50 manipulation tasks of Meta-World v3 (a Sawyer arm, MuJoCo) with their scripted experts.

Goal-observable variants: the last three numbers of the observation are the goal. A seed draws the task's variation
(positions of object and goal) with the environment's own seeded generator, so it does not depend on earlier episodes.
Yu et al., "Meta-World", CoRL 2019; https://github.com/Farama-Foundation/Metaworld (3.1).

**How good the experts are** (seeds 0-19 of each task, without noise, up to 500 steps; one task again:
`invdyn evaluate expert --world metaworld/<task> --episodes 20 --seed 0`). 986 of 1,000 episodes succeed, in 37
(coffee-button, handle-press) to 145 (disassemble) steps, median per task. All 20 succeed in 41 of the 50 tasks; the
others:

| task | succeed | median steps | task | succeed | median steps |
|---|---|---|---|---|---|
| box-close | 19 | 103 | peg-unplug-side | 19 | 122 |
| disassemble | 19 | 145 | push-back | 19 | 123 |
| door-open | 19 | 84 | sweep-into | 19 | 52 |
| peg-insert-side | 19 | 92 | soccer | 18 | 80 |
| | | | stick-pull | 15 | 119 |

**The gripper** leaves a trace wherever the fingers can move, grasping or not, because their opening is observed. Where
an expert keeps them closed against their stop (door-close, handle-press, faucet-open), its command cannot be told:
`verify.resolvable` finds a trace in 8 to 28 % of the steps.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor

from invdyn.episodes.signal import SignalSpec
from invdyn.errors import require, unknown_name
from invdyn.worlds.base import Expert
from invdyn.worlds.gym_adapter import OBSERVATION
from invdyn.worlds.mujoco_state import MujocoWorld

__all__ = ["HORIZON", "MetaWorld", "MetaWorldExpert", "tasks"]

HORIZON = 500
"""Meta-World's own episode length; experts need 30-200 steps."""

FRAME = (
    *("hand.x", "hand.y", "hand.z", "gripper.opening"),
    *("object1.x", "object1.y", "object1.z", "object1.qx", "object1.qy", "object1.qz", "object1.qw"),
    *("object2.x", "object2.y", "object2.z", "object2.qx", "object2.qy", "object2.qz", "object2.qw"),
)
"""One frame of the observation: metres, opening 0 (closed) .. 1, unit quaternions; zeros for a missing object."""
NAMES = (*FRAME, *(f"previous.{name}" for name in FRAME), "goal.x", "goal.y", "goal.z")


def tasks() -> tuple[str, ...]:
    """Names of the tasks, e.g. `pick-place-v3`."""
    return tuple(require("metaworld.env_dict", "worlds").ALL_V3_ENVIRONMENTS)


class MetaWorld(MujocoWorld):
    """Copies of one Meta-World task.

    Observation (39): hand position, gripper opening, poses of up to two objects, the same one step earlier, the goal.
    Action (4): displacement of the hand's target (+-1 = +-1 cm) and the gripper's effort (1 closes). 80 steps a second.
    Success: what the task itself reports.

    Args:
        task: e.g. `pick-place-v3`.
        batch: number of copies.
        horizon: steps until truncation; stepping on is allowed (Meta-World itself refuses after 500).

    Raises:
        MissingExtraError: metaworld is not installed.
        UnknownNameError: no such task; lists the nearest.
    """

    per_step = ("curr_path_length", "_prev_obs")
    transient = ("_last_stable_obs",)
    late = ("_target_to_obj_init",)
    camera: ClassVar[str | int] = -1  # the model's own `corner` cameras are upside down and far away
    look: ClassVar[Mapping[str, Any]] = {
        "azimuth": 142.5,
        "elevation": -32.0,
        "distance": 1.0,
        "lookat": (0.0, 0.65, 0.12),
    }
    geom_groups: ClassVar[tuple[int, ...] | None] = (0, 1)

    def __init__(self, task: str, *, batch: int = 1, horizon: int = HORIZON) -> None:
        table = require("metaworld.env_dict", "worlds").ALL_V3_ENVIRONMENTS
        if task not in table:
            raise unknown_name("Meta-World task", task, table)
        self.task = task

        def make() -> Any:
            env = table[task]()
            env._set_task_called = True
            env._partially_observable = False
            env.__dict__.pop("sawyer_observation_space", None)  # cached for the hidden goal
            env._freeze_rand_vec = False
            env.seeded_rand_vec = True
            env.max_path_length = 2**31  # the horizon is ours
            env.touching_object = _Touching(env)
            return env

        super().__init__(
            f"metaworld/{task}",
            make,
            batch=batch,
            horizon=horizon,
            dt=0.0125,
            observation=SignalSpec(OBSERVATION, (39,), "float32", "state", "m", NAMES),
            action=SignalSpec("action", (4,), "float32", "action", "", ("dx", "dy", "dz", "gripper"), (-1.0,), (1.0,)),
        )

    def start(self, copy: int, seed: int) -> Float64[np.ndarray, " state"]:
        # As Meta-World's benchmarks do it: a first reset draws the variation (rejecting unfit ones), then the task is
        # reset with that variation frozen. Meta-World's reset runs twice and reads what the first run left in the
        # model, so drawing anew in between would give starts that its own tasks do not have.
        env, pristine = self.envs[copy], self.freeze(copy)
        env.seed(int(seed))
        env.reset()
        variation = env._last_rand_vec.copy()
        self.thaw(copy, pristine)
        env.seed(int(seed))
        env._freeze_rand_vec, env._last_rand_vec = True, variation
        observation, _ = env.reset()
        return self.flat(observation)

    def expert(self) -> Expert:
        return MetaWorldExpert(self)


class MetaWorldExpert(Expert):
    """Meta-World's own scripted policy of the task, clipped to the bounds of the action.

    The policies are functions of the present observation, so an expert can start in any state.
    """

    def __init__(self, world: MetaWorld) -> None:
        self.world = world
        policies = require("metaworld.policies", "worlds").ENV_POLICY_MAP
        self.policy = policies[world.task]()

    def act(self) -> Float[Tensor, "batch cause"]:
        actions = np.zeros((self.world.batch, 4))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # that the policy's answer needs clipping, which comes here
            for i in np.flatnonzero(~self.world.resting):
                actions[i] = np.clip(self.policy.get_action(self.world.seen[i].copy()), -1.0, 1.0)
        return torch.from_numpy(actions.astype(np.float32))


class _Touching:
    """`SawyerXYZEnv.touching_object` on arrays: the same contacts and forces, without a Python loop over all contacts.

    Meta-World's own walks the list of contacts twice per step, which takes a quarter of the time of a step.
    """

    def __init__(self, env: Any) -> None:
        self.env = env
        self.left, self.right = (env.model.geom(f"{side}pad_geom").id for side in ("left", "right"))

    def __call__(self, object_geom_id: int) -> bool:
        contacts = self.env.data.contact
        pairs, address = contacts.geom, contacts.efc_address
        force = self.env.data.efc_force
        with_object = (pairs == object_geom_id).any(1)

        def pressed(pad: int) -> bool:
            return bool(sum(force[address[with_object & (pairs == pad).any(1)]]) > 0)

        return pressed(self.left) and pressed(self.right)
