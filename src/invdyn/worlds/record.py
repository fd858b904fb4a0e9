"""`record`: episodes of a world under its expert or a policy, as a Dataset that can be replayed exactly.

An episode of T steps has rows 0..T: row t holds the observation before action t, the action, and the reward and success
that followed it; row T holds the last observation, its action, reward and success are missing (masked).
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from invdyn.episodes.dataset import Dataset
from invdyn.episodes.episode import Episode
from invdyn.episodes.signal import Signal, SignalSpec
from invdyn.errors import ConfigError
from invdyn.worlds.base import WORLD_STATE, Expert, World
from invdyn.worlds.registry import maker

__all__ = ["Actor", "record"]

NOISE_STREAM = 0x6E6F697365
"""Sets the generator of action noise apart from the worlds' own generators of the same seed."""


@runtime_checkable
class Actor(Protocol):
    """A policy: told when episodes begin, asked for actions."""

    def reset(self, batch: int) -> None: ...

    def act(self, observation: Mapping[str, Shaped[Tensor, "batch ..."]]) -> Float[Tensor, "batch cause"]: ...


class _Scripted:
    """A world's expert as an actor."""

    def __init__(self, expert: Expert) -> None:
        self.expert = expert

    def reset(self, batch: int) -> None:
        """Experts hold no memory of an episode."""

    def act(self, observation: Mapping[str, Shaped[Tensor, "batch ..."]]) -> Float[Tensor, "batch cause"]:
        return self.expert.act()


@dataclass(frozen=True)
class _Plan:
    """What `record` was asked, without the world."""

    images: tuple[int, int] | None
    camera: str
    encoding: Literal["array", "png", "video"]
    task: str
    noise: float
    hold: int
    ends: bool


@dataclass
class _Tape:
    """The rows of one copy."""

    context: Mapping[str, Any]
    seed: int
    observations: dict[str, list[np.ndarray]] = field(default_factory=dict)
    state: list[np.ndarray] = field(default_factory=list)
    pictures: list[np.ndarray] = field(default_factory=list)
    actions: list[np.ndarray] = field(default_factory=list)
    rewards: list[float] = field(default_factory=list)
    successes: list[bool] = field(default_factory=list)
    terminated: list[bool] = field(default_factory=list)
    since_success: int | None = None


def record(
    world: World,
    *,
    seeds: Sequence[int],
    policy: Actor | None = None,
    images: tuple[int, int] | None = None,
    task: str = "",
    noise: float = 0.0,
    hold: int = 10,
    camera: str = "camera",
    encoding: Literal["array", "png", "video"] = "video",
    workers: int = 1,
    ends: bool = False,
    on_episode: Callable[[int], object] | None = None,
) -> Dataset:
    """Record one episode per seed.

    Episode i depends on seeds[i] alone, not on the batch, its neighbours or the number of workers (a policy whose
    arithmetic depends on the batch size is the one exception).

    Args:
        world: the world; `world.batch` episodes are recorded at a time.
        seeds: one per episode.
        policy: who acts; None for the world's expert.
        images: (height, width) of pictures to record as `observation.images.<camera>`; None for none.
        task: what was asked, in words.
        noise: standard deviation of Gaussian noise added to every action, in half-ranges of the action's bounds (1 on
            bounds -1..1); the noisy action, clipped to the bounds, is applied and recorded.
        hold: steps recorded after the first success, before the episode ends.
        camera: name of the recorded pictures.
        encoding: how pictures are kept on disk.
        workers: processes; more than one needs a world made by `make_world` and a picklable policy.
        ends: record `next.terminated` too, which learning from rewards needs where episodes end before their time.
        on_episode: called with the number of episodes finished since the last call (progress).

    Returns:
        Signals: the world's observations, `action`, `next.reward`, `next.success`, and `world.state` where the world
        has one; metadata `world` (id and constants), `seed`, `success`, `return`.

    Raises:
        ConfigError: no seeds, or a negative noise, hold or number of workers; noise without bounds.
        WorldError: a world without expert when no policy is given; without renderer when images are asked for.
    """
    if not len(seeds):
        raise ConfigError("record: no seeds given; give one per episode.")
    if noise < 0 or hold < 0 or workers < 1:
        raise ConfigError(f"record: noise {noise}, hold {hold} and workers {workers}; expected >= 0, >= 0 and >= 1.")
    if noise and (world.action.low is None or world.action.high is None):
        raise ConfigError(f"record: noise is measured in ranges of the action, and {world.name} bounds none.")
    plan = _Plan(images, camera, encoding, task, noise, hold, ends)
    numbers = [int(s) for s in seeds]
    if workers == 1:
        return Dataset.from_episodes(_record(world, numbers, policy, plan, on_episode), origin=world.name)
    context = multiprocessing.get_context("spawn")
    parts = [numbers[i : i + world.batch] for i in range(0, len(numbers), world.batch)]
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_prepare, initargs=(maker(world),)) as pool:
        episodes: list[Episode] = []
        for done in pool.map(_record_part, parts, [policy] * len(parts), [plan] * len(parts)):
            episodes += done
            if on_episode is not None:
                on_episode(len(done))
    return Dataset.from_episodes(episodes, origin=world.name)


_world: World | None = None
"""The world of a worker process."""


def _prepare(make: Callable[[], World]) -> None:
    global _world
    torch.set_num_threads(1)  # the process is ours
    _world = make()


def _record_part(seeds: list[int], policy: Actor | None, plan: _Plan) -> list[Episode]:
    assert _world is not None
    return _record(_world, seeds, policy, plan, None)


def _record(
    world: World, seeds: list[int], policy: Actor | None, plan: _Plan, on_episode: Callable[[int], object] | None
) -> list[Episode]:
    actor = _Scripted(world.expert()) if policy is None else policy
    episodes: list[Episode] = []
    for at in range(0, len(seeds), world.batch):
        part = seeds[at : at + world.batch]
        tapes = _run(world, part, actor, plan)
        episodes += [_episode(world, tape, plan) for tape in tapes]
        if on_episode is not None:
            on_episode(len(part))
    return episodes


def _run(world: World, seeds: list[int], actor: Actor, plan: _Plan) -> list[_Tape]:
    """Episodes of up to `world.batch` seeds side by side."""
    padded = seeds + [seeds[-1]] * (world.batch - len(seeds))
    observation = world.reset(padded)
    actor.reset(world.batch)
    done = torch.arange(world.batch) >= len(seeds)
    world.rest(done)
    tapes = [_Tape(context, seed) for context, seed in zip(world.context(), seeds)]
    noises = [np.random.default_rng([NOISE_STREAM, seed]) for seed in padded]
    low, high = (
        None if b is None else np.broadcast_to(b, world.action.size) for b in (world.action.low, world.action.high)
    )
    for _ in range(world.horizon):
        _write_before(world, observation, tapes, done, plan)
        action = actor.act(observation).detach().cpu().numpy().astype(np.float32)
        if plan.noise and low is not None and high is not None:
            scale = plan.noise * (high - low) / 2
            action = action + scale * np.stack([g.standard_normal(world.action.size) for g in noises])
        if low is not None and high is not None:
            action = np.clip(action, low, high)
        action = action.astype(np.float32)
        result = world.step(torch.from_numpy(action))
        observation = result.observation
        for i, tape in enumerate(tapes):
            if done[i]:
                continue
            tape.actions.append(action[i])
            tape.rewards.append(float(result.reward[i]))
            tape.successes.append(bool(result.success[i]))
            tape.terminated.append(bool(result.terminated[i]))
            if tape.since_success is not None:
                tape.since_success += 1
            elif result.success[i]:
                tape.since_success = 0
        held = torch.tensor([t.since_success is not None and t.since_success >= plan.hold for t in tapes])
        ended = result.terminated | result.truncated
        ended[: len(tapes)] |= held
        now = ended.cpu() & ~done
        if now.any():
            _write_before(world, observation, tapes, ~now, plan)
            done = done | now
            world.rest(done)
        if done.all():
            return tapes
    _write_before(world, observation, tapes, done, plan)  # worlds whose `truncated` is never set
    return tapes


def _write_before(
    world: World, observation: Mapping[str, Tensor], tapes: list[_Tape], skip: Tensor, plan: _Plan
) -> None:
    """Write the observation, state and picture of the copies that are not skipped."""
    values = {name: value.detach().cpu().numpy() for name, value in observation.items()}
    state = world.state().cpu().numpy() if world.has_state else None
    pictures = world.render(*plan.images).cpu().numpy() if plan.images else None
    for i, tape in enumerate(tapes):
        if not skip[i]:
            for name, value in values.items():
                tape.observations.setdefault(name, []).append(value[i].copy())
            if state is not None:
                tape.state.append(state[i].copy())
            if pictures is not None:
                tape.pictures.append(pictures[i].copy())


def _episode(world: World, tape: _Tape, plan: _Plan) -> Episode:
    steps = len(tape.actions)
    valid = np.arange(steps + 1) < steps

    def after(spec: SignalSpec, values: Any, missing: Any) -> Signal:
        """A signal that the last row lacks."""
        rows = np.full((steps + 1, *spec.shape), missing, spec.numpy_dtype)
        rows[:steps] = np.asarray(values, spec.numpy_dtype).reshape(steps, *spec.shape)
        return Signal(spec, rows, valid)

    signals = [Signal(s, np.stack(tape.observations[s.name]).astype(s.numpy_dtype)) for s in world.observations]
    if plan.images:
        name = f"observation.images.{plan.camera}"
        spec = SignalSpec(name, (*plan.images, 3), "uint8", "image", encoding=plan.encoding)
        signals.append(Signal(spec, np.stack(tape.pictures)))
    signals += [
        after(world.action, tape.actions, np.nan),
        after(SignalSpec("next.reward", (), "float32", "reward"), tape.rewards, np.nan),
        after(SignalSpec("next.success", (), "bool", "event"), tape.successes, False),
    ]
    if plan.ends:
        signals.append(after(SignalSpec("next.terminated", (), "bool", "event"), tape.terminated, False))
    if tape.state:
        state = np.stack(tape.state)
        signals.append(Signal(SignalSpec(WORLD_STATE, state.shape[1:], "float64", "state"), state))
    metadata = {
        "world": {"id": world.name, **tape.context},
        "seed": tape.seed,
        "success": any(tape.successes),
        "return": float(np.sum(tape.rewards)),
    }
    return Episode.from_signals(signals, fps=1 / world.dt, task=plan.task, metadata=metadata)
