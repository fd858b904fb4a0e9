"""`evaluate`: a policy in closed loop, on many copies of a world at once, with the same seeds for every policy."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Float64, Int64, UInt8
from torch import Tensor

from invdyn.errors import ConfigError
from invdyn.verify.cost import Cost, CostMeter
from invdyn.verify.metrics.outcome import Rate, success_rate
from invdyn.worlds.base import World
from invdyn.worlds.registry import maker

__all__ = ["Evaluation", "Policy", "evaluate", "write_video"]


@runtime_checkable
class Policy(Protocol):
    """Anything that acts. After `reset` it must act alike for alike observations: own randomness is reseeded there."""

    def reset(self, batch: int) -> None: ...

    def act(self, observation: Mapping[str, Tensor]) -> Tensor: ...


@dataclass(frozen=True)
class Evaluation:
    """Closed-loop outcomes, one per seed, in the order of the seeds.

    Args:
        world: its id.
        seeds: start states; the same seeds give every policy the same starts (common random numbers).
        success: [episodes] solved at *any* step before the end.
        returns: [episodes] sum of rewards up to the end.
        lengths: [episodes] steps up to the end: termination, truncation, `max_steps`, or success if stopped there.
        success_rate: with Wilson interval.
        cost: of the policy's calls (each for a batch of copies).
        videos: seed -> file.
    """

    world: str
    seeds: tuple[int, ...]
    success: Bool[np.ndarray, " episodes"]
    returns: Float64[np.ndarray, " episodes"]
    lengths: Int64[np.ndarray, " episodes"]
    success_rate: Rate
    cost: Cost
    videos: Mapping[int, Path] = field(default_factory=dict)

    def summary(self) -> dict[str, Any]:
        """JSON-able key figures."""
        return {
            "world": self.world,
            "episodes": len(self.seeds),
            "success_rate": self.success_rate.rate,
            "success_interval": [self.success_rate.lower, self.success_rate.upper],
            "return_mean": float(self.returns.mean()),
            "return_std": float(self.returns.std()),
            "length_mean": float(self.lengths.mean()),
            "latency_median_ms": self.cost.median_ms,
            "latency_p95_ms": self.cost.p95_ms,
        }


def evaluate(
    policy: Policy | None,
    world: World | Callable[[], World],
    seeds: Sequence[int],
    *,
    max_steps: int | None = None,
    stop_on_success: bool = False,
    videos: Path | None = None,
    film: Sequence[int] | None = None,
    size: tuple[int, int] = (240, 240),
    workers: int = 1,
) -> Evaluation:
    """Run a policy once from every seed.

    Seeds are taken `world.batch` at a time; the policy is reset before each group, so results do not depend on
    `workers`. An episode ends when its copy terminates or truncates; what happens to the copy afterwards is ignored.

    Args:
        policy: None for the world's own expert.
        world: a world, or a function that makes one, e.g. `functools.partial(make_world, "pendulum", batch=8)`. Several
            workers make their own: the function must be picklable, the world one that `make_world` made.
        seeds: one per episode.
        max_steps: at most so many steps; None for the world's horizon.
        stop_on_success: end an episode once it is solved: faster, but returns then stop there too.
        videos: folder for MP4 files `seed-<n>.mp4`.
        film: which seeds to film; None for the first four.
        size: height and width of the pictures in pixels, even numbers.
        workers: processes.

    Raises:
        ConfigError: no seeds, repeated seeds, max_steps below 1.
        WorldError: no expert where one is needed, no pictures where videos are wanted, a world that other processes
            cannot make.
    """
    seeds = [int(s) for s in seeds]
    if not seeds:
        raise ConfigError("evaluate: no seeds were given; give one seed per episode.")
    if len(set(seeds)) != len(seeds):
        raise ConfigError(
            "evaluate: a seed stands twice; repeated episodes would narrow the interval without new evidence."
        )
    if workers < 1 or (max_steps is not None and max_steps < 1):
        raise ConfigError(f"evaluate: workers={workers} and max_steps={max_steps} must be at least 1.")
    make = None if workers == 1 else maker(world) if isinstance(world, World) else world
    filmed = set((seeds[:4] if film is None else film) if videos is not None else ())
    unknown = sorted(filmed - set(seeds))
    if unknown:
        raise ConfigError(f"evaluate: seed {unknown[0]} is to be filmed but is not among the seeds evaluated.")
    setting = _Setting(max_steps, stop_on_success, videos, frozenset(filmed), size)
    own = world if isinstance(world, World) else world()
    try:
        groups = [seeds[i : i + own.batch] for i in range(0, len(seeds), own.batch)]
        if make is None or len(groups) == 1:
            meter = CostMeter(warmup=1)
            parts = [_run(policy, own, group, setting, meter) for group in groups]
            cost = meter.cost()
        else:
            parts, cost = _run_in_processes(policy, make, groups, setting, workers)
    finally:
        if own is not world:
            own.close()
    success = np.concatenate([p.success for p in parts])
    return Evaluation(
        world=own.name,
        seeds=tuple(seeds),
        success=success,
        returns=np.concatenate([p.returns for p in parts]),
        lengths=np.concatenate([p.lengths for p in parts]),
        success_rate=success_rate(success),
        cost=cost,
        videos={seed: path for p in parts for seed, path in p.videos.items()},
    )


@dataclass(frozen=True)
class _Setting:
    max_steps: int | None
    stop_on_success: bool
    videos: Path | None
    film: frozenset[int]
    size: tuple[int, int]


@dataclass(frozen=True)
class _Part:
    """Outcomes of one group of seeds."""

    success: np.ndarray
    returns: np.ndarray
    lengths: np.ndarray
    videos: dict[int, Path]


def _run(policy: Policy | None, world: World, seeds: Sequence[int], setting: _Setting, meter: CostMeter) -> _Part:
    """One group, at most `world.batch` seeds; surplus copies repeat the last seed and are ignored."""
    used = len(seeds)
    observation = world.reset([*seeds, *[seeds[-1]] * (world.batch - used)])
    expert = world.expert() if policy is None else None
    if policy is not None:
        policy.reset(world.batch)
    active, success = np.ones(used, bool), np.zeros(used, bool)
    _rest(world, active)
    returns, lengths = np.zeros(used), np.zeros(used, np.int64)
    film: dict[int, list[np.ndarray]] = {i: [] for i, seed in enumerate(seeds) if seed in setting.film}
    _shoot(world, film, active, setting.size)
    for _ in range(world.horizon if setting.max_steps is None else setting.max_steps):
        with meter.call(), torch.no_grad():
            action = expert.act() if expert is not None else policy.act(observation)  # type: ignore[union-attr]
        result = world.step(action.detach().cpu())
        observation = result.observation
        solved = result.success[:used].cpu().numpy()
        success |= active & solved
        returns += np.where(active, result.reward[:used].double().cpu().numpy(), 0.0)
        lengths += active
        _shoot(world, film, active, setting.size)
        active &= ~(result.terminated | result.truncated)[:used].cpu().numpy()
        if setting.stop_on_success:
            active &= ~success
        if not active.any():
            break
        _rest(world, active)
    written = {}
    for i, frames in film.items():
        assert setting.videos is not None
        written[seeds[i]] = write_video(setting.videos / f"seed-{seeds[i]}.mp4", np.stack(frames), fps=1.0 / world.dt)
    return _Part(success, returns, lengths, written)


def _rest(world: World, active: np.ndarray) -> None:
    """Spare the world the copies whose episode has ended, and the surplus ones."""
    idle = np.ones(world.batch, bool)
    idle[: len(active)] = ~active
    world.rest(torch.from_numpy(idle))


def _shoot(world: World, film: dict[int, list[np.ndarray]], active: np.ndarray, size: tuple[int, int]) -> None:
    if any(active[i] for i in film):
        pictures = world.render(*size).cpu().numpy()
        for i, frames in film.items():
            if active[i]:
                frames.append(pictures[i])


def _run_in_processes(
    policy: Policy | None, make: Callable[[], World], groups: list[list[int]], setting: _Setting, workers: int
) -> tuple[list[_Part], Cost]:
    # Fresh interpreters: forking a process that holds simulators, threads or a GPU is not safe.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(workers, len(groups)), context, _start_worker, (policy, make, setting)) as pool:
        answers = list(pool.map(_work, groups))
    parts = [part for part, _ in answers]
    calls = np.array([ms for _, times in answers for ms in times])
    own = CostMeter().cost()
    median, p95 = np.quantile(calls, [0.5, 0.95]) if len(calls) else (np.nan, np.nan)
    return parts, Cost(
        len(calls), float(median), float(p95), float(calls.sum() / 1e3), own.peak_memory_mb, None, own.threads
    )


_worker: dict[str, Any] = {}


def _start_worker(policy: Policy | None, make: Callable[[], World], setting: _Setting) -> None:
    _worker.update(policy=policy, world=make(), setting=setting)


def _work(seeds: list[int]) -> tuple[_Part, list[float]]:
    meter = CostMeter(warmup=1)
    part = _run(_worker["policy"], _worker["world"], seeds, _worker["setting"], meter)
    return part, [1e3 * s for s in meter.seconds]


def write_video(path: Path, frames: UInt8[np.ndarray, "time height width 3"], fps: float) -> Path:
    """An MP4 (H.264, every player reads it) of RGB frames; the folder is made.

    Raises:
        ConfigError: an odd height or width, which H.264 cannot store.
    """
    from fractions import Fraction

    import av

    if frames.shape[1] % 2 or frames.shape[2] % 2:
        raise ConfigError(
            f"{path.name}: frames of {frames.shape[1]} x {frames.shape[2]} px; height and width must be even."
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(fps).limit_denominator(1000))
        stream.height, stream.width, stream.pix_fmt = frames.shape[1], frames.shape[2], "yuv420p"
        for frame in frames:
            for packet in stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    return path
