"""`gymnasium/<EnvId>`: any environment of Gymnasium with vector observations and continuous actions.

MuJoCo environments get MuJoCo's exact state. For others the state is the numbers among their attributes that change
while stepping, found by stepping; whether what follows is a function of these alone is tested when the world is made.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import torch
from jaxtyping import Float64, UInt8
from torch import Tensor

from invdyn.episodes.signal import SignalSpec
from invdyn.errors import ConfigError, MissingExtraError, WorldError, require, unknown_name
from invdyn.worlds import env_attributes
from invdyn.worlds.base import World
from invdyn.worlds.gym_adapter import OBSERVATION, GymWorld
from invdyn.worlds.mujoco_state import MujocoWorld

__all__ = ["GymMujoco", "GymPlain", "make"]

PROBE = 12
"""Steps taken to find what changes."""


class GymMujoco(MujocoWorld):
    """An environment that has MuJoCo's `model` and `data`."""

    lagging = ("xpos", "xipos")


class GymPlain(GymWorld):
    """An environment whose state is in its Python attributes."""

    has_state = True

    def __init__(self, name: str, make_env: Any, **more: Any) -> None:
        super().__init__(name, make_env, **more)
        self.per_step, self.late = self._changing()
        self.has_state = self._follows_from_state()
        self.reset(range(self.batch))

    def _probe(self, seed: int) -> Tensor:
        """[steps, batch, cause] random causes."""
        low, high = np.asarray(self.action.low), np.asarray(self.action.high)
        low, high = np.maximum(low, -1e3), np.minimum(high, 1e3)
        draw = np.random.default_rng(seed).uniform(low, high, (PROBE, self.batch, self.action.size))
        return torch.from_numpy(draw)

    def _changing(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Numbers that change while stepping: those there from the start, and those that come later."""
        self.reset(range(self.batch))
        env = self.envs[0]
        before = {name: np.copy(value) for name, value in env_attributes.numbers(env).items()}
        changing, late = [], []
        for cause in self._probe(0):
            self.step(cause)
            for name, value in env_attributes.numbers(env).items():
                if name in before and np.shape(value) == before[name].shape:
                    if not np.array_equal(value, before[name]):
                        changing.append(name)
                elif np.ndim(value) == 0:
                    late.append(name)
        return tuple(dict.fromkeys(changing)), tuple(dict.fromkeys(late))

    def _follows_from_state(self) -> bool:
        """Whether the same causes from the same `state` lead to the same observations in a copy with another past."""
        causes = self._probe(1)
        self.reset(range(self.batch))
        for cause in causes[:3]:
            self.step(cause)
        state = super().state()
        first = [self.step(cause) for cause in causes]
        self.reset(range(self.batch, 2 * self.batch))
        self.set_state(state)
        second = [self.step(cause) for cause in causes]
        return all(
            torch.equal(a.observation[OBSERVATION], b.observation[OBSERVATION]) and torch.equal(a.reward, b.reward)
            for a, b in zip(first, second)
        )

    def state(self) -> Float64[Tensor, "batch state"]:
        if not self.has_state:
            raise WorldError(
                f"{self.name}: what follows is not a function of the numbers it shows (randomness or hidden state). "
                "Use snapshot and restore."
            )
        return super().state()

    def simulator_state(self, copy: int) -> Float64[np.ndarray, " state"]:
        return np.zeros(0)

    def set_simulator_state(self, copy: int, state: Float64[np.ndarray, " state"]) -> None:
        """All of it is in the attributes."""

    def picture(self, copy: int, height: int, width: int) -> UInt8[np.ndarray, "height width 3"]:
        from PIL import Image

        drawn = self.envs[copy].render() if self.envs[copy].render_mode == "rgb_array" else None
        if drawn is None:
            raise WorldError(f"{self.name} cannot be rendered.")
        return np.asarray(Image.fromarray(drawn).resize((width, height), Image.Resampling.BILINEAR))


def make(env_id: str, *, batch: int = 1, horizon: int | None = None, dt: float | None = None, **options: Any) -> World:
    """A world from an id of Gymnasium's registry.

    Args:
        env_id: e.g. `HalfCheetah-v5`.
        batch: number of copies.
        horizon: steps until truncation; None for the registered one.
        dt: seconds per step; None for what the environment says.
        options: passed to the environment.

    Raises:
        UnknownNameError: no such id; lists the nearest.
        MissingExtraError: it needs packages that are not installed.
        WorldError: actions that are not one continuous vector, or observations that are not vectors.
        ConfigError: no horizon or dt registered and none given.
    """
    gym = require("gymnasium", "worlds")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            spec = gym.spec(env_id)
            modes = _modes(gym, env_id, options)
            first = gym.make(env_id, disable_env_checker=True, **modes, **options).unwrapped
    except gym.error.UnregisteredEnv as error:
        raise unknown_name("Gymnasium environment", env_id, gym.registry) from error
    except gym.error.DependencyNotInstalled as error:
        raise MissingExtraError(
            f'gymnasium/{env_id} needs packages that are not installed ({error}). Install "invdyn[worlds]".'
        ) from error
    name = f"gymnasium/{env_id}"
    if spec.additional_wrappers:
        raise WorldError(f"{name} is registered with wrappers of its own; its bare environment is another one.")
    space, seen = first.action_space, first.observation_space
    if not isinstance(space, gym.spaces.Box) or len(space.shape) != 1:
        raise WorldError(f"{name}: its actions are {space}; only one vector of continuous numbers can be inferred.")
    parts = list(seen.spaces.items()) if isinstance(seen, gym.spaces.Dict) else [("", seen)]
    if any(not isinstance(part, gym.spaces.Box) or len(part.shape) != 1 for _, part in parts):
        raise WorldError(f"{name}: its observations are {seen}; only vectors (or a Dict of vectors) are taken.")
    names = tuple(f"{key}.{i}" for key, part in parts for i in range(part.shape[0])) if parts[0][0] else None
    horizon = horizon or spec.max_episode_steps
    rate = first.metadata.get("render_fps")
    dt = dt or float(getattr(first, "dt", 0) or (1 / rate if rate else 0))
    if not horizon or not dt:
        missing = "horizon (steps per episode)" if not horizon else "dt (seconds per step)"
        raise ConfigError(f"{name} does not say its {missing}; give it as an option.")

    def made() -> Any:
        return gym.make(env_id, disable_env_checker=True, **modes, **options)

    size = sum(part.shape[0] for _, part in parts)
    low, high = (tuple(float(v) for v in bound) for bound in (space.low, space.high))
    finite = bool(np.isfinite(space.low).all() and np.isfinite(space.high).all())
    kind = GymMujoco if hasattr(first, "model") and hasattr(first, "data") else GymPlain
    keys = [key for key, _ in parts]
    world = type(kind.__name__, (kind,), {"flat": _flatten(keys)}) if keys[0] else kind
    first.close()
    result: World = world(
        name,
        made,
        batch=batch,
        horizon=horizon,
        dt=dt,
        observation=SignalSpec(OBSERVATION, (size,), "float32", "state", names=names),
        action=SignalSpec(
            "action", space.shape, "float32", "action", low=low if finite else None, high=high if finite else None
        ),
    )
    return result


def _modes(gym: Any, env_id: str, options: dict[str, Any]) -> dict[str, str]:
    """`rgb_array` for environments that draw themselves; MuJoCo ones are drawn by our renderer."""
    entry = str(gym.spec(env_id).entry_point)
    if "render_mode" in options or ".mujoco" in entry or "robotics" in entry:
        return {}
    return {"render_mode": "rgb_array"} if entry.startswith("gymnasium.envs.classic_control") else {}


def _flatten(keys: list[str]) -> Any:
    """How a Dict observation becomes one vector, in the space's order of keys."""

    def flat(self: GymWorld, observation: Any) -> np.ndarray:
        return np.concatenate([np.ravel(observation[key]) for key in keys]).astype(np.float64)

    return flat
