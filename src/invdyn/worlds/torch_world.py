"""`TorchWorld`: what the batched torch worlds share, so that each of them is a page of physics.

Inside, everything is float64 and features first, batch last (`x, y = self.x`). A world's whole content is its
state `x`, its constants (goal, palette, ...), the seeds and the step counters; a snapshot copies these four.
Random numbers come from `counter_rng`, so copy i depends on its own seed only. Two rules keep that bit-exact:
no sum over the batch axis, and no `atan2`/`hypot`, whose vectorised and scalar loops round differently.
"""

from __future__ import annotations

import dataclasses
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64, Shaped
from torch import Tensor

from invdyn.episodes.signal import SignalSpec
from invdyn.errors import ConfigError, WorldError, unknown_name
from invdyn.worlds.base import Expert, Snapshot, StepResult, World
from invdyn.worlds.counter_rng import normals, uniforms

__all__ = ["QUALITIES", "Outcome", "Quality", "ScriptedExpert", "TorchWorld"]

RESET, PROCESS, EXPERT, CHOICE, MODE = 1, 2, 3, 4, 5
"""Streams of random numbers: start states, process noise, the expert's noise, its lapses, its mode."""


@dataclass(frozen=True)
class Quality:
    """How good a scripted expert is.

    Args:
        gain: factor on its action; below 1 it is sluggish.
        noise: standard deviation of the noise added to its action, as a share of the half action range.
        random: probability that a step's action is drawn uniformly from the action range instead.
    """

    gain: float = 1.0
    noise: float = 0.0
    random: float = 0.0

    def __post_init__(self) -> None:
        if self.noise < 0 or not 0 <= self.random <= 1:
            raise ConfigError(f"{self}: noise is at least 0 and random lies in [0, 1].")


QUALITIES: tuple[Quality, ...] = (
    Quality(),
    Quality(gain=0.8, noise=0.2),
    Quality(gain=0.6, noise=0.4, random=0.1),
    Quality(gain=0.3, noise=0.6, random=0.4),
    Quality(gain=0.0, random=1.0),
)
"""Five levels from expert to uniformly random (our choice; the behaviour mixtures of offline RL use them)."""


@dataclass(frozen=True)
class Outcome:
    """What `TorchWorld.advance` returns: reward, success and failure of each copy after the step."""

    reward: Float64[Tensor, " batch"]
    success: Bool[Tensor, " batch"]
    terminated: Bool[Tensor, " batch"] | None = None


C = TypeVar("C")


class TorchWorld(World, Generic[C]):
    """A batch of independent copies in a handful of tensors.

    A subclass sets the class attributes and writes `specs`, `start`, `advance` and `observe_state`.

    Args:
        batch: number of copies.
        config: the world's settings; None for its defaults.
        device: where the tensors live.
        options: single fields of the config, replacing those in `config`.

    Raises:
        UnknownNameError: an option the config does not have.
        ConfigError: a batch below one.
    """

    config_class: type[Any]
    state_names: Sequence[str]
    constant_names: Sequence[str] = ()

    def __init__(
        self, batch: int = 1, config: C | None = None, device: torch.device | str = "cpu", **options: Any
    ) -> None:
        if batch < 1:
            raise ConfigError(f"{self.name}: batch is {batch}; a world has at least one copy.")
        known = [f.name for f in dataclasses.fields(self.config_class)]
        for option in options:
            if option not in known:
                raise unknown_name(f"option of {self.name}", option, known)
        start: Any = self.config_class() if config is None else config
        self.config: C = dataclasses.replace(start, **options)
        self.batch, self.device = batch, torch.device(device)
        self.x: Float64[Tensor, "state batch"]
        self.constants: dict[str, Float64[Tensor, "value batch"]]
        self.specs()
        self.reset(range(batch))

    # ---- what a world writes -------------------------------------------------------------------------------------

    @abstractmethod
    def specs(self) -> None:
        """Set `dt`, `observations`, `action`, `horizon`, `state_names` and `constant_names` from the config."""

    @abstractmethod
    def start(self) -> tuple[Float64[Tensor, "state batch"], dict[str, Float64[Tensor, "value batch"]]]:
        """Start state and constants of every copy, drawn with `self.uniform(RESET, n)`."""

    @abstractmethod
    def advance(self, cause: Float64[Tensor, "cause batch"]) -> Outcome:
        """Move `self.x` one step on under a cause that lies within the bounds."""

    @abstractmethod
    def observe_state(self) -> dict[str, Shaped[Tensor, "batch ..."]]:
        """The present observation from `self.x` and `self.constants`."""

    # ---- World -----------------------------------------------------------------------------------------------------

    def reset(self, seeds: Sequence[int]) -> Mapping[str, Shaped[Tensor, "batch ..."]]:
        if len(seeds) != self.batch:
            raise WorldError(f"{self.name}: {len(seeds)} seeds for {self.batch} copies; give one seed per copy.")
        self.seeds = torch.tensor([int(s) for s in seeds], dtype=torch.int64, device=self.device)
        self.elapsed = torch.zeros_like(self.seeds)
        self.x, self.constants = self.start()
        return self.observe()

    def step(self, cause: Float[Tensor, "batch cause"]) -> StepResult:
        if cause.shape != (self.batch, self.action.size):
            raise WorldError(
                f"{self.name}: the cause has shape {tuple(cause.shape)}, expected {(self.batch, self.action.size)} "
                "(one row per copy)."
            )
        u = cause.to(self.device, torch.float64)
        broken = ~torch.isfinite(u).all(1)
        if broken.any():
            at = int(broken.nonzero()[0])
            raise WorldError(f"{self.name}: the cause of copy {at} is {u[at].tolist()}; expected finite numbers.")
        low, high = self.bounds
        outcome = self.advance(torch.minimum(torch.maximum(u.T, low), high))
        self.elapsed = self.elapsed + 1
        terminated = outcome.terminated
        if terminated is None:
            terminated = torch.zeros(self.batch, dtype=torch.bool, device=self.device)
        return StepResult(self.observe(), outcome.reward, terminated, self.out_of_time(), outcome.success)

    def observe(self) -> Mapping[str, Shaped[Tensor, "batch ..."]]:
        return self.observe_state()

    def out_of_time(self) -> Bool[Tensor, " batch"]:
        """Copies that have used up their steps."""
        return self.elapsed >= self.horizon

    def snapshot(self) -> Snapshot:
        constants = {name: value.clone() for name, value in self.constants.items()}
        return Snapshot(self.name, (self.x.clone(), constants, self.seeds.clone(), self.elapsed.clone()))

    def restore(self, snapshot: Snapshot) -> None:
        if snapshot.world != self.name:
            raise WorldError(f"the snapshot is of {snapshot.world!r}; it cannot be restored into {self.name!r}.")
        x, constants, seeds, elapsed = snapshot.content
        if x.shape != (len(self.state_names), self.batch) or set(constants) != set(self.constant_names):
            raise WorldError(
                f"the snapshot holds {x.shape[1]} copies of {x.shape[0]} state numbers, this {self.name} has "
                f"{self.batch} of {len(self.state_names)}. Make the world with the same batch and options."
            )
        self.x, self.seeds, self.elapsed = x.clone(), seeds.clone(), elapsed.clone()
        self.constants = {name: value.clone() for name, value in constants.items()}

    def state(self) -> Float64[Tensor, "batch state"]:
        return self.x.T.clone()

    def set_state(self, state: Float64[Tensor, "batch state"]) -> None:
        """Set the state; seeds and step counters stay as they are."""
        if state.shape != (self.batch, len(self.state_names)):
            raise WorldError(
                f"{self.name}: the state has shape {tuple(state.shape)}, expected "
                f"{(self.batch, len(self.state_names))}: {', '.join(self.state_names)}."
            )
        if not torch.isfinite(state).all():
            raise WorldError(f"{self.name}: the state to set holds NaN or infinity.")
        self.x = state.to(self.device, torch.float64).T.clone()

    def context(self) -> list[Mapping[str, Any]]:
        columns = {name: value.T.tolist() for name, value in self.constants.items()}
        return [{name: rows[i] for name, rows in columns.items()} for i in range(self.batch)]

    def set_context(self, context: Sequence[Mapping[str, Any]]) -> None:
        """Take over recorded constants.

        Raises:
            WorldError: constants of another world, or constants missing or of another size.
        """
        if len(context) != self.batch:
            raise WorldError(f"{self.name}: {len(context)} contexts for {self.batch} copies; give one per copy.")
        for i, row in enumerate(context):
            if row.get("id", self.name) != self.name:
                raise WorldError(f"copy {i}: recorded in world {row['id']!r}, not in {self.name!r}.")
            for name in self.constant_names:
                have = len(self.constants[name])
                if name not in row:
                    raise WorldError(f"copy {i}: the metadata 'world' of a {self.name} recording needs {name!r}.")
                if np.shape(row[name]) != (have,):
                    raise WorldError(f"copy {i}: {self.name} has {have} numbers {name!r}, got {row[name]!r}.")
        for name in self.constant_names:
            rows = torch.tensor([list(row[name]) for row in context], dtype=torch.float64, device=self.device)
            self.constants[name] = rows.T.contiguous()

    # ---- for the worlds ----------------------------------------------------------------------------------------------

    @property
    def bounds(self) -> tuple[Float64[Tensor, "cause 1"], Float64[Tensor, "cause 1"]]:
        """Lowest and highest cause."""
        size = self.action.size

        def column(bound: tuple[float, ...] | None, default: float) -> Tensor:
            values = torch.tensor(bound or (default,), dtype=torch.float64, device=self.device)
            return values.expand(size)[:, None]

        return column(self.action.low, -torch.inf), column(self.action.high, torch.inf)

    def uniform(self, stream: int, count: int) -> Float64[Tensor, "count batch"]:
        """Uniform numbers in [0, 1) that depend on each copy's seed and step only."""
        return uniforms(self.seeds, self.elapsed, stream, count)

    def normal(self, stream: int, count: int) -> Float64[Tensor, "count batch"]:
        """Standard normal numbers that depend on each copy's seed and step only."""
        return normals(self.seeds, self.elapsed, stream, count)

    def per_episode(self, stream: int, count: int) -> Float64[Tensor, "count batch"]:
        """Uniform numbers that depend on each copy's seed only: choices kept for the whole episode."""
        return uniforms(self.seeds, torch.zeros_like(self.elapsed), stream, count)

    def vector(self, name: str, size: int, *, kind: str = "state", unit: str = "", **more: Any) -> SignalSpec:
        """A float32 vector signal."""
        return SignalSpec(name, (size,), "float32", kind, unit, **more)  # type: ignore[arg-type]

    def picture_size(self, height: int, width: int) -> None:
        """Refuse a picture without pixels."""
        if height < 1 or width < 1:
            raise WorldError(f"{self.name}: a picture of {height} x {width} pixels was asked for; both are at least 1.")


W = TypeVar("W", bound="TorchWorld[Any]")


class ScriptedExpert(Expert, Generic[W]):
    """An expert of a torch world: a control law, made worse by a `Quality`.

    Its randomness is a function of each copy's seed and step, so asking twice gives the same answer.
    """

    def __init__(self, world: W, quality: Quality | None = None) -> None:
        self.world, self.quality = world, quality or Quality()

    @abstractmethod
    def control(self) -> Float64[Tensor, "cause batch"]:
        """The law itself, before gain, noise and clipping."""

    def act(self) -> Float[Tensor, "batch cause"]:
        world, quality = self.world, self.quality
        low, high = world.bounds
        action = quality.gain * self.control()
        count = world.action.size
        if quality.noise:
            action = action + quality.noise * (high - low) / 2 * world.normal(EXPERT, count)
        if quality.random:
            draws = world.uniform(CHOICE, count + 1)
            anything = low + (high - low) * draws[1:]
            action = torch.where(draws[:1] < quality.random, anything, action)
        return torch.minimum(torch.maximum(action, low), high).T.float()
