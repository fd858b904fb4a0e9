"""Speed of the batched torch worlds on one thread, next to what a user would write with one environment at a time.

Peers run in the same process, alternating with ours: gymnasium's own Pendulum-v1 in a loop, and for push2d a plain
numpy environment of the same contact rules that draws with PIL.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import gymnasium
import numpy as np
import torch
from PIL import Image, ImageDraw

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
