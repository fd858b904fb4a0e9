"""Sizes of the rti-dp study, its tasks, and the recordings of their experts."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Shaped
from torch import Tensor

from invdyn.decisions.chunk_config import ChunkPolicyConfig
from invdyn.decisions.chunk_training import CHUNK_TRAINER
from invdyn.decisions.receding_horizon import Plan
from invdyn.episodes.dataset import Dataset
from invdyn.training.trainer import TrainerConfig
from invdyn.worlds.base import World
from invdyn.worlds.record import record
from invdyn.worlds.registry import make_world

__all__ = ["DOOR", "MORE", "PICTURES", "TASKS", "RtiDpConfig", "Task", "demonstrations", "make_task"]

PICTURES = "observation.images.camera"
SHORT = (2, 1, 0)
SCALED = 10.0
"""What two-valued components are divided by under `scale` (card)."""
DOOR = "adroit_door_human"
"""Folder of the recorded door openings, and the name of the experiment on them."""
GRIPPER = 3


@dataclass(frozen=True)
class Task:
    """A world to act in.

    Args:
        world: its id.
        options: of the world.
        max_steps: of an evaluation episode; None for the world's horizon.
        binary: the component of the action that is made two-valued; None for none.
        images: side in pixels of the pictures that policies see instead of the state; None for the state.
    """

    world: str
    options: Mapping[str, Any] = field(default_factory=dict)
    max_steps: int | None = None
    binary: int | None = None
    images: int | None = None

    @property
    def inputs(self) -> tuple[str, ...]:
        """Signals that policies act on; empty for the state."""
        return (PICTURES,) if self.images else ()


_POINT = {
    "order": 1, "gear": 0.012, "obstacle": 0.08, "goal_visible": True, "goal_radius": 0.02, "horizon": 90,
}  # fmt: skip
TASKS: dict[str, Task] = {
    "point": Task("point2d", _POINT),
    "moving": Task("point2d", {**_POINT, "goal_speed": 0.16, "horizon": 60}),
    "reach": Task("metaworld/reach-v3", max_steps=120),
    "push": Task("metaworld/push-v3", max_steps=200),
    "drawer": Task("metaworld/drawer-open-v3", max_steps=200),
    "pick": Task("metaworld/pick-place-v3", max_steps=200, binary=GRIPPER),
}
"""The card's laptop benchmark: a point round an obstacle (goal at rest, moving), four Meta-World tasks."""
MORE: dict[str, Task] = {
    "button": Task("metaworld/button-press-v3", max_steps=200),
    "door_open": Task("metaworld/door-open-v3", max_steps=200),
    "window": Task("metaworld/window-open-v3", max_steps=200),
    "peg": Task("metaworld/peg-insert-side-v3", max_steps=200, binary=GRIPPER),
    "reach_seen": Task("metaworld/reach-v3", max_steps=120, images=84),
    "drawer_seen": Task("metaworld/drawer-open-v3", max_steps=200, images=84),
}
"""What scale gpu adds: four more tasks, and two whose policies see pictures (card: 8 tasks, 84 x 84 for two)."""


@dataclass(frozen=True)
class RtiDpConfig:
    """Sizes of one scale. Card = the study's specification; ours = chosen here."""

    parts: tuple[str, ...] = ("exact", *TASKS, DOOR)
    """Which experiments run; the recorded door openings where `--data` holds them."""
    episodes: int = 50
    """Demonstrations a task, and evaluation episodes a plan (card)."""
    steps: int = 6000
    """Updates of the diffusion policy (card: 5,000 to 10,000)."""
    batch: int = 128
    """Chunks an update (card)."""
    cloning_steps: int = 3000
    """Updates of the behaviour-cloned MLP (ours; it converges sooner)."""
    policy: ChunkPolicyConfig = field(default_factory=lambda: ChunkPolicyConfig(kind="x0"))
    """MLP on two cores (card: small U-Net or MLP). It puts out the clean chunk (ours); nets that put out
    eps, as the card's, are trained and run beside it: trained for so short they learn less and cling to a guess."""
    ticks: int = 60
    """Calls timed for the latency, one copy of the world (ours)."""
    device: str = "cpu"
    """Where the nets are trained and asked."""
    held_out: int = 5
    """Recorded door openings that the offline comparison acts along; the others are learnt from (ours)."""

    def chunk_trainer(self, seed: int) -> TrainerConfig:
        """The loop of the diffusion policy."""
        return dataclasses.replace(
            CHUNK_TRAINER,
            steps=self.steps,
            batch_size=self.batch,
            warmup=min(CHUNK_TRAINER.warmup, self.steps // 10),
            seed=seed,
            device=self.device,
        )


PLANS: dict[str, Plan] = {
    "dp100_8": Plan(),
    "dp100_1": Plan(execute=1),
    "ddim3_1": Plan(rule="ddim", steps=3, execute=1),
    "ddim10_1": Plan(rule="ddim", steps=10, execute=1),
    "rti": Plan(execute=1, real_time=SHORT),
    "rti_renoised": Plan(execute=1, real_time=SHORT, renoise=True),
}
"""Levels of a tick: Push-T's list (card: at most 3 steps); our variant renoises the guess. Controls at equal compute
(DDIM-3), at equal reactivity (DP-100/1), and as usual (DP-100/8)."""


def make_task(task: Task, batch: int) -> World:
    """Copies of the task's world."""
    return make_world(task.world, batch=batch, **task.options)


class _Binary:
    """The expert with one component of its action made two-valued before it is applied."""

    def __init__(self, world: World, component: int) -> None:
        self.expert, self.component = world.expert(), component

    def reset(self, batch: int) -> None:
        """Experts hold no memory of an episode."""

    def act(self, observation: Mapping[str, Shaped[Tensor, "batch ..."]]) -> Tensor:
        action = self.expert.act().clone()
        action[:, self.component] = torch.where(action[:, self.component] > 0, 1.0, -1.0)
        return action


def demonstrations(task: Task, episodes: int, seed: int) -> Dataset:
    """Episodes of the task's expert, each held some steps after success."""
    with closing(make_task(task, min(episodes, 25))) as world:
        actor = None if task.binary is None else _Binary(world, task.binary)
        first = 1000 * seed
        images = None if task.images is None else (task.images, task.images)
        return record(world, seeds=range(first, first + episodes), policy=actor, hold=10, images=images)
