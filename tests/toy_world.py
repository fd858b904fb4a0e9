"""A small world for tests of verify/: a cart, a gripper that saturates, and a channel without effect.

State (x, v, g), float64: v += 0.5 a0, x += 0.1 v, g = clip(g + 0.3 a1, 0, 1); a2 does nothing. Observed in float32.
"""

from __future__ import annotations

import numpy as np
import torch

from invdyn.episodes.dataset import Dataset
from invdyn.episodes.episode import Episode
from invdyn.episodes.signal import Signal, SignalSpec
from invdyn.worlds.base import WORLD_STATE, Expert, Snapshot, StepResult, World

OBSERVATION = SignalSpec("observation.state", (3,), "float32", "state", unit="m", names=("x", "v", "g"))
ACTION = SignalSpec("action", (3,), "float32", "action", low=(-1.0,), high=(1.0,))


class CartWorld(World):
    """The cart starts at x in [0.5, 1.5] and succeeds where |x| < 0.1; it terminates beyond |x| = 2."""

    def __init__(self, batch: int = 4, horizon: int = 40, kick: float = 0.0) -> None:
        self.name, self.batch, self.dt, self.horizon = "toy/cart", batch, 0.1, horizon
        self.observations, self.action, self.kick = (OBSERVATION,), ACTION, kick
        self.s = torch.zeros(batch, 3, dtype=torch.float64)
        self.calls = 0

    def reset(self, seeds):
        x = [np.random.default_rng(s).uniform(0.5, 1.5) for s in seeds]
        self.s = torch.zeros(self.batch, 3, dtype=torch.float64)
        self.s[:, 0] = torch.tensor(x)
        self.s[:, 2] = 0.5
        self.t = torch.zeros(self.batch, dtype=torch.int64)
        return self.observe()

    def step(self, cause):
        a = cause.double().clamp(-1, 1)
        x, v, g = self.s.unbind(1)
        v = v + 0.5 * a[:, 0] + self.kick
        x = x + 0.1 * v
        self.s = torch.stack([x, v, (g + 0.3 * a[:, 1]).clamp(0, 1)], 1)
        self.t = self.t + 1
        self.calls += self.batch
        return StepResult(self.observe(), -x.abs().float(), x.abs() > 2, self.t >= self.horizon, x.abs() < 0.1)

    def observe(self):
        return {"observation.state": self.s.float()}

    def snapshot(self):
        return Snapshot(self.name, (self.s.clone(), self.t.clone()))

    def restore(self, snapshot):
        self.s, self.t = (c.clone() for c in snapshot.content)

    def state(self):
        return self.s.clone()

    def set_state(self, state):
        self.s, self.t = state.clone(), torch.zeros(len(state), dtype=torch.int64)

    def expert(self):
        return CartExpert(self)

    def render(self, height=96, width=96):
        at = ((self.s[:, 0].clamp(-2, 2) + 2) / 4 * (width - 4)).long()
        picture = torch.zeros(self.batch, height, width, 3, dtype=torch.uint8)
        for i, column in enumerate(at):
            picture[i, :, column : column + 4] = 255
        return picture


class CartExpert(Expert):
    def __init__(self, world):
        self.world = world

    def act(self):
        x, v, g = self.world.s.unbind(1)
        return torch.stack([(-2 * x - 1.5 * v).clamp(-1, 1), (0.5 - g).clamp(-1, 1), torch.zeros_like(x)], 1).float()


class Proportional:
    """A policy with a gain; stateless."""

    def __init__(self, gain: float) -> None:
        self.gain = gain

    def reset(self, batch: int) -> None:
        self.batch = batch

    def act(self, observation):
        s = observation["observation.state"]
        zero = torch.zeros_like(s[:, 0])
        return torch.stack([(-self.gain * (2 * s[:, 0] + 1.5 * s[:, 1])).clamp(-1, 1), zero, zero], 1)


class DelayedCart(CartWorld):
    """The push of a step acts one step later: the next observation does not tell it, the one after does."""

    def reset(self, seeds):
        self.held = torch.zeros(self.batch, dtype=torch.float64)
        return super().reset(seeds)

    def step(self, cause):
        now = cause.double().clone()
        now[:, 0], self.held = self.held, cause[:, 0].double()
        return super().step(now)

    def state(self):
        return torch.cat([self.s, self.held[:, None]], 1)

    def set_state(self, state):
        super().set_state(state[:, :3])
        self.held = state[:, 3].clone()

    def snapshot(self):
        return Snapshot(self.name, (*super().snapshot().content, self.held.clone()))

    def restore(self, snapshot):
        *content, held = snapshot.content
        super().restore(Snapshot(self.name, tuple(content)))
        self.held = held.clone()


class StickyCart(CartWorld):
    """A push below 0.5 does not overcome friction: flat where a derivative is wanted."""

    def step(self, cause):
        moved = cause.double().clone()
        moved[:, 0] = moved[:, 0].sign() * (moved[:, 0].abs() - 0.5).clamp(min=0)
        return super().step(moved)


def episodes(lengths=(20, 12, 17, 9, 25), seed: int = 0, amplitude: float = 0.8, make=CartWorld) -> list[Episode]:
    """Recordings under random actions: rows 0..T, the last row without an action."""
    rng, made = np.random.default_rng(seed), []
    for number, length in enumerate(lengths):
        world = make(batch=1)
        (spec,), size = world.observations, world.action.size
        world.reset([1000 * seed + number])
        states, seen = [world.state()[0].numpy()], [world.observe()[spec.name][0].numpy()]
        actions = np.full((length + 1, size), np.nan, np.float32)
        for t in range(length):
            actions[t] = amplitude * np.asarray(world.action.high) * rng.uniform(-1, 1, size)
            world.step(torch.from_numpy(actions[t : t + 1]))
            states.append(world.state()[0].numpy())
            seen.append(world.observe()[spec.name][0].numpy())
        valid = np.arange(length + 1) < length
        signals = [
            Signal(spec, np.stack(seen)),
            Signal(SignalSpec(WORLD_STATE, states[0].shape, "float64", "state"), np.stack(states)),
            Signal(world.action, actions, valid),
        ]
        made.append(
            Episode.from_signals(signals, fps=10.0, metadata={"world": {"id": world.name, **world.context()[0]}})
        )
    return list(Dataset.from_episodes(made))
