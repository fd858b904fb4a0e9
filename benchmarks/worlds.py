"""Speed of the worlds, next to what a user would write without them.

Batched torch worlds on one thread: peers are gymnasium's own Pendulum-v1 in a loop, and for push2d a plain numpy
environment of the same contact rules that draws with PIL. Simulators: the peer of steps is the bare environment, the
peer of pictures is gymnasium's own MuJoCo renderer at its default settings, from the same place. Ours and peer run in
the same process, alternating; only for two processes the peer is one process.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import gymnasium
import numpy as np
import torch
from PIL import Image, ImageDraw

from invdyn.worlds import World, make_world
from invdyn.worlds.mujoco_state import MujocoWorld
from invdyn.worlds.pendulum import Pendulum
from invdyn.worlds.push2d import CENTERS, Push2D
from invdyn.worlds.push2d_contact import DISC, PUSHER, SPEED
from invdyn.worlds.push2d_look import PALETTES, ZONE_HALF

__all__ = ["run"]

BATCH = 256


class LoopPush:
    """One push2d arena in numpy, drawn by PIL (edges not smoothed, which is the cheaper picture)."""

    def __init__(self, state: np.ndarray) -> None:
        self.pusher, self.discs = state[:2].copy(), state[2:8].reshape(3, 2).copy()
        palette = PALETTES["A"]
        self.colors = [
            tuple(int(255 * v) for v in c) for c in (palette.floor, palette.zone, palette.pusher, *palette.discs)
        ]

    def step(self, action: np.ndarray) -> np.ndarray:
        self.pusher = np.clip(self.pusher + SPEED * np.clip(action, -1, 1), PUSHER, 1 - PUSHER)
        for _ in range(8):
            before = self.discs.copy()
            for k in range(3):
                self.discs[k] += self.apart(self.discs[k] - self.pusher, PUSHER + DISC)
            for a, b in ((0, 1), (0, 2), (1, 2)):
                half = self.apart(self.discs[a] - self.discs[b], 2 * DISC) / 2
                self.discs[a] += half
                self.discs[b] -= half
            self.discs = np.clip(self.discs, DISC, 1 - DISC)
            if np.array_equal(before, self.discs):
                break
        for disc in self.discs:
            self.pusher = self.pusher + self.apart(self.pusher - disc, PUSHER + DISC)
        return np.concatenate([self.pusher, self.discs.ravel()])

    @staticmethod
    def apart(offset: np.ndarray, distance: float) -> np.ndarray:
        far = float(np.sqrt(offset @ offset))
        return (distance - far) * offset / max(far, 1e-12) if distance - far > 1e-9 else np.zeros(2)

    def render(self, size: int) -> np.ndarray:
        floor, zone, pusher, *discs = self.colors
        picture = Image.new("RGB", (size, size), floor)
        pen = ImageDraw.Draw(picture)
        for x, y in CENTERS:
            pen.rectangle(self.box(x, y, ZONE_HALF, size), fill=zone)
        for (x, y), color in zip(self.discs, discs, strict=True):
            pen.ellipse(self.box(x, y, DISC, size), fill=color)
        pen.ellipse(self.box(*self.pusher, PUSHER, size), fill=pusher)
        return np.asarray(picture)

    @staticmethod
    def box(x: float, y: float, half: float, size: int) -> tuple[float, float, float, float]:
        return ((x - half) * size, (1 - y - half) * size, (x + half) * size, (1 - y + half) * size)


def run(quick: bool = False) -> list[dict]:
    """Rows {name, ours, peer, unit, ratio, note}; the median of 3 rounds (1 when quick), each at least 1 s (0.1 s)."""
    with one_thread():
        rounds, seconds = (1, 0.1) if quick else (3, 1.0)
        rows = []
        for size in (32, 64):
            ours, peer = race(push_ours(size), push_loop(size), rounds, seconds)
            name = f"push2d frames/s with {size} px pictures"
            note = f"batch {BATCH}, expert + step + picture, one thread; peer: numpy + PIL, random actions, no expert"
            rows.append(row(name, ours, peer, "frames/s", note))
        ours, peer = race(push_steps(), push_loop(None), rounds, seconds)
        rows.append(row("push2d steps/s without pictures", ours, peer, "steps/s", "as above, no pictures"))
        ours, peer = race(pendulum_ours(), pendulum_gymnasium(), rounds, seconds)
        note = "batch 4096, random torques, one thread; peer: gymnasium's Pendulum-v1, unwrapped, in a loop"
        rows.append(row("pendulum steps/s", ours, peer, "steps/s", note))
        rows += simulators(rounds, seconds, quick)
    return rows


def simulators(rounds: int, seconds: float, quick: bool) -> list[dict]:
    """Steps and pictures of the MuJoCo and Chipmunk worlds; when quick, one of each."""
    rows = []
    for name in ("metaworld/pick-place-v3", "adroit/door", "pusht")[: 1 if quick else None]:
        for batch in (1,) if quick else (1, 16):
            ours, peer = race(world_steps(name, batch), bare_steps(name), rounds, seconds)
            note = f"random causes, {batch} copies in one process, one after the other; peer: the bare environment"
            rows.append(row(f"{name} steps/s, batch {batch}", ours, peer, "steps/s", note))
    for name, batch in (("push2d", BATCH), ("metaworld/pick-place-v3", 16))[: 1 if quick else None]:
        one, two = (sum(in_processes(name, batch, count, max(seconds, 1.0))) for count in (1, 2))
        note = f"random causes, batch {batch} in each process, after they started; peer: one process"
        rows.append(row(f"{name} steps/s, 2 processes", two, one, "steps/s", note))
    os.environ.setdefault("MUJOCO_GL", "egl")  # gymnasium's renderer would look for a window first
    for name in ("metaworld/pick-place-v3", "adroit/door")[: 1 if quick else None]:
        for size in (96,) if quick else (96, 480):
            ours, peer = race(fast_pictures(name, size), default_pictures(name, size), rounds, seconds)
            note = f"{size} x {size} px without stepping, one view; peer: gymnasium's MujocoRenderer, default settings"
            rows.append(row(f"{name} pictures/s at {size} px", ours, peer, "frames/s", note))
    return rows


@contextmanager
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def race(ours: Callable[[], int], peer: Callable[[], int], rounds: int, seconds: float) -> tuple[float, float]:
    """Rates of both, measured alternately so that a busy machine slows both."""
    rates: tuple[list[float], list[float]] = ([], [])
    for work in (ours, peer):
        work()  # warm up
    for _ in range(rounds):
        for kept, work in zip(rates, (ours, peer), strict=True):
            count, start = 0, time.perf_counter()
            while time.perf_counter() - start < seconds:
                count += work()
            kept.append(count / (time.perf_counter() - start))
    return float(np.median(rates[0])), float(np.median(rates[1]))


def row(name: str, ours: float, peer: float, unit: str, note: str) -> dict:
    return {"name": name, "ours": ours, "peer": peer, "unit": unit, "ratio": ours / peer, "note": note}


def push_ours(size: int) -> Callable[[], int]:
    world = Push2D(BATCH)
    expert = world.expert()

    def work() -> int:
        if world.step(expert.act()).truncated.any():
            world.reset(range(BATCH))
        world.render(size, size)
        return BATCH

    return work


def push_steps() -> Callable[[], int]:
    world = Push2D(BATCH)
    expert = world.expert()

    def work() -> int:
        if world.step(expert.act()).truncated.any():
            world.reset(range(BATCH))
        return BATCH

    return work


def push_loop(size: int | None) -> Callable[[], int]:
    env = LoopPush(Push2D(1).state()[0].numpy())
    generator = np.random.default_rng(0)

    def work() -> int:
        for _ in range(16):
            env.step(generator.uniform(-1, 1, 2))
            if size is not None:
                env.render(size)
        return 16

    return work


def pendulum_ours() -> Callable[[], int]:
    world = Pendulum(4096)
    torques = 4 * torch.rand(4096, 1) - 2

    def work() -> int:
        world.step(torques)
        return 4096

    return work


def pendulum_gymnasium() -> Callable[[], int]:
    env = gymnasium.make("Pendulum-v1").unwrapped
    env.reset(seed=0)
    torque = np.array([0.7], np.float32)

    def work() -> int:
        for _ in range(200):
            env.step(torque)
        return 200

    return work


def world_steps(name: str, batch: int) -> Callable[[], int]:
    world = make_world(name, batch=batch)
    causes = random_causes(world)

    def work() -> int:
        for cause in causes:
            world.step(cause)
        return len(causes) * batch

    return work


def random_causes(world: World) -> torch.Tensor:
    """[64, batch, cause] within the bounds; the same in every run."""
    low, high = (torch.tensor(bound) for bound in (world.action.low, world.action.high))
    draw = torch.rand(64, world.batch, world.action.size, generator=torch.Generator().manual_seed(0))
    return low + (high - low) * draw


def bare_steps(name: str) -> Callable[[], int]:
    """The environment alone, as its package makes it."""
    world = make_world(name)
    actions = random_causes(world)[:, 0].double().numpy()
    env = bare(name)

    def work() -> int:
        for action in actions:
            env.step(action)
        return len(actions)

    return work


def bare(name: str) -> Any:
    if name.startswith("metaworld/"):
        from metaworld.env_dict import ALL_V3_ENVIRONMENTS

        env = ALL_V3_ENVIRONMENTS[name.partition("/")[2]]()
        env._set_task_called, env.max_path_length = True, 2**31  # else it refuses to step, or to go on
        env._freeze_rand_vec, env.seeded_rand_vec = False, True
    elif name == "pusht":
        from gym_pusht.envs.pusht import PushTEnv

        env = PushTEnv(obs_type="state")
    else:
        from gymnasium_robotics.envs.adroit_hand.adroit_door import AdroitHandDoorEnv

        env = AdroitHandDoorEnv()
    env.reset(seed=0)
    return env


PROCESS = """
import sys, time, torch
torch.set_num_threads(1)
from invdyn.worlds import make_world
name, batch, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
world = make_world(name, batch=batch)
low, high = (torch.tensor(bound) for bound in (world.action.low, world.action.high))
causes = low + (high - low) * torch.rand(64, batch, world.action.size, generator=torch.Generator().manual_seed(0))
world.step(causes[0])
print("ready", flush=True)
sys.stdin.readline()
count, start = 0, time.perf_counter()
while time.perf_counter() - start < seconds:
    for cause in causes[:16]:
        world.step(cause)
    count += 16 * batch
print(count / (time.perf_counter() - start), flush=True)
"""


def in_processes(name: str, batch: int, count: int, seconds: float) -> list[float]:
    """Steps a second of each of so many processes that run at the same time."""
    command = [sys.executable, "-c", PROCESS, name, str(batch), str(seconds)]
    runs = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        for _ in range(count)
    ]
    for run in runs:
        assert run.stdout is not None
        while run.stdout.readline() not in ("ready\n", ""):  # packages greet on stdout
            pass
    answers = []
    for run in runs:
        assert run.stdin is not None
        run.stdin.write("go\n")
        run.stdin.flush()
    for run in runs:
        answers.append(float(run.communicate()[0]))
    return answers


def fast_pictures(name: str, size: int) -> Callable[[], int]:
    world = make_world(name)

    def work() -> int:
        world.render(size, size)
        return 1

    return work


def default_pictures(name: str, size: int) -> Callable[[], int]:
    from gymnasium.envs.mujoco.mujoco_rendering import MujocoRenderer

    world = make_world(name)
    assert isinstance(world, MujocoWorld)
    env = world.envs[0]
    look = {key: np.asarray(value) if key == "lookat" else value for key, value in world.look.items()}
    renderer = MujocoRenderer(env.model, env.data, look, size, size, max_geom=5000)
    viewer = renderer._get_viewer("rgb_array")

    def work() -> int:
        viewer.make_context_current()  # ours has one of its own
        assert renderer.render("rgb_array").shape == (size, size, 3)
        return 1

    return work
