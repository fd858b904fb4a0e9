"""`World`: what can be put into a state, pushed by a cause, observed, and put back exactly."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Float64, Shaped, UInt8
from torch import Tensor

from invdyn.episodes.episode import Episode
from invdyn.episodes.signal import SignalSpec
from invdyn.errors import WorldError

__all__ = ["INVERSE", "WORLD_STATE", "Expert", "Snapshot", "StepResult", "World"]

INVERSE = "world.inverse"
"""Given where causes are asked for (`replay`, `one_step_residual`, `invdyn verify --target`): those that the world's
own exact inverse finds in the recorded states."""

WORLD_STATE = "world.state"
"""Signal under which a recording keeps the full simulator state of every step (float64, flat), so that
replay can start and re-anchor anywhere. Not an `observation.*`, so no policy learns from it."""

Observation = Mapping[str, Shaped[Tensor, "batch ..."]]


@dataclass(frozen=True)
class Snapshot:
    """Everything a world needs to go on bit-identically: state, RNG, counters. Opaque; valid for its own world only."""

    world: str
    content: Any


@dataclass(frozen=True)
class StepResult:
    """What follows a step, batch first.

    Args:
        observation: signal name -> [batch, ...].
        reward: [batch]; zeros where the world has none.
        terminated, truncated: [batch].
        success: [batch] whether the task is solved at this step.
    """

    observation: Observation
    reward: Float[Tensor, " batch"]
    terminated: Bool[Tensor, " batch"]
    truncated: Bool[Tensor, " batch"]
    success: Bool[Tensor, " batch"]


class World(ABC):
    """A batch of independent copies of one system.

    Attributes:
        name: its id in `invdyn.worlds.WORLDS`.
        batch: number of copies.
        dt: seconds per step.
        observations: specs of what `observe` returns.
        action: spec of the cause; its bounds are what `step` accepts (clipped where the system itself clips).
        horizon: steps after which an episode is truncated.
        recipe: id and options it was made with by `make_world` (so that another process can make it), else None.
        has_state: whether `state` exists; without, there are only snapshots, and recordings cannot be replayed.
        inverse_inputs: signals that `inverse` reads; None for the world's observations.
    """

    name: str
    batch: int
    dt: float
    observations: Sequence[SignalSpec]
    action: SignalSpec
    horizon: int
    recipe: tuple[str, dict[str, Any]] | None = None
    has_state: bool = True
    inverse_inputs: Sequence[str] | None = None

    @abstractmethod
    def reset(self, seeds: Sequence[int]) -> Observation:
        """Start every copy anew, copy i from seeds[i]; len(seeds) == batch."""

    @abstractmethod
    def step(self, cause: Float[Tensor, "batch cause"]) -> StepResult:
        """Apply the cause for one step. Copies that ended go on being simulated: the caller masks them."""

    def rest(self, done: Bool[Tensor, " batch"]) -> None:  # noqa: B027
        """A hint: these copies' results are not needed until the next `reset`, so a world may leave them standing.

        Worlds that step copy after copy save the time; batched ones ignore it.
        """

    @abstractmethod
    def observe(self) -> Observation:
        """The present observation, without stepping; the same values `step` returned."""

    @abstractmethod
    def snapshot(self) -> Snapshot:
        """Everything needed to go on bit-identically, RNG included."""

    @abstractmethod
    def restore(self, snapshot: Snapshot) -> None:
        """Go back to a snapshot of this world (same name and batch). Raises `WorldError` for another world's."""

    @abstractmethod
    def state(self) -> Float64[Tensor, "batch state"]:
        """The simulator state as numbers (recorded as the signal `world.state`)."""

    @abstractmethod
    def set_state(self, state: Float64[Tensor, "batch state"]) -> None:
        """Set the simulator state; observations, rewards and later steps follow from it alone (within one task)."""

    def context(self) -> list[Mapping[str, Any]]:
        """Per copy: JSON-able facts that are constant in an episode and not in `state` (goal, task variant).

        Recorded as the episode metadata `world`, together with the world's id.
        """
        return [{} for _ in range(self.batch)]

    def set_context(self, context: Sequence[Mapping[str, Any]]) -> None:  # noqa: B027
        """Take over the constants of recorded episodes. Worlds without any ignore it."""

    def anchor(self, episodes: Sequence[Episode], steps: Sequence[int]) -> None:
        """Put copy i into the state recorded at steps[i] of episodes[i] (len == batch).

        The default reads `world.state` and the metadata `world`. Worlds with foreign recordings override it
        with what those recordings have.

        Raises:
            WorldError: the recording does not tell the state at that step.
        """
        rows = []
        for episode, step in zip(episodes, steps, strict=True):
            if WORLD_STATE not in episode:
                raise WorldError(
                    f"episode {episode.index} has no {WORLD_STATE!r} and {self.name} cannot be put into its state. "
                    "Record with worlds.record, or verify without replay."
                )
            rows.append(torch.from_numpy(episode.read(WORLD_STATE, step, step + 1).values[0]))
        self.set_context([e.metadata.get("world", {}) for e in episodes])
        self.set_state(torch.stack(rows).double())

    def expert(self) -> Expert:
        """A scripted policy that solves the task. Raises `WorldError` where there is none."""
        raise WorldError(f"{self.name} has no scripted expert.")

    def inverse(self, before: Observation, after: Observation) -> Float[Tensor, "batch cause"]:
        """The exact cause between two observations, NaN where not unique. Raises `WorldError` where none is known."""
        raise WorldError(f"{self.name} has no closed-form inverse.")

    def invertible(self) -> World:
        """The same copies under the cause that can be told exactly: this world, or MuJoCo's driven by torques."""
        return self

    def render(self, height: int = 96, width: int = 96) -> UInt8[Tensor, "batch height width 3"]:
        """RGB pictures. Raises `WorldError` where the world has no picture."""
        raise WorldError(f"{self.name} cannot be rendered.")

    def close(self) -> None:  # noqa: B027
        """Free simulators and renderers."""


class Expert(ABC):
    """A scripted policy with the privileged state of its world."""

    @abstractmethod
    def act(self) -> Float[Tensor, "batch cause"]:
        """The action in the world's present state."""
