"""`ForwardModel`: what comes after a state and a cause; `ExactDynamics`: a world in that role."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from invdyn.errors import WorldError
from invdyn.worlds.base import World

__all__ = ["ExactDynamics", "ForwardModel", "ModelStep"]


class ModelStep(NamedTuple):
    """One step of a model.

    Args:
        state: what the model goes on from (for a learned model the observation itself).
        reward: of this step.
        terminated: whether the episode ends in `state`; the end of a model rollout is none.
        spread: the model's own uncertainty about this step, max_i |std_i| over its members; 0 when it is exact.
    """

    state: Float[Tensor, "*batch state"]
    reward: Float[Tensor, "*batch"]
    terminated: Bool[Tensor, "*batch"]
    spread: Float[Tensor, "*batch"]


class ForwardModel(ABC):
    """State and cause to what follows, in a batch.

    Attributes:
        deterministic: whether a step draws no random numbers; runs may then share one call.
    """

    deterministic: bool = False

    @abstractmethod
    def step(
        self,
        state: Float[Tensor, "batch state"],
        cause: Float[Tensor, "batch cause"],
        generator: torch.Generator | None = None,
    ) -> ModelStep:
        """One draw per row. `cause` in its own unit."""

    def candidates(
        self,
        state: Float[Tensor, "batch state"],
        cause: Float[Tensor, "batch cause"],
        generator: torch.Generator | None = None,
    ) -> ModelStep:
        """Several draws, [candidate, batch, ...], for a filter to choose from. One where the model knows no better."""
        return ModelStep(*(part[None] for part in self.step(state, cause, generator)))

    def observe(self, state: Float[Tensor, "batch state"]) -> Float[Tensor, "batch obs"]:
        """What a policy sees of a state."""
        return state


class ExactDynamics(ForwardModel):
    """A world as its own perfect model: the control that tells errors of a model from errors of the method.

    States are the world's (`World.state`, float64), so a rollout is the simulation itself, bit for bit; the policy sees
    the world's observations, its vectors end to end. The world is ours from then on: its copies are overwritten.

    Args:
        world: steps `world.batch` rows at a time. A world with a context (task variant) keeps the one it has.

    Raises:
        WorldError: a world without a state that can be set.
    """

    deterministic = True

    def __init__(self, world: World) -> None:
        if not world.has_state:
            raise WorldError(
                f"{world.name} has no state that can be set, so it cannot serve as a model. Use a world with states."
            )
        self.world = world

    def _chunks(self, call: Callable[..., Any], *rows: Tensor) -> tuple[Tensor, ...]:
        """`call` on `world.batch` rows at a time; the last chunk is filled up with its first row."""
        size, total = self.world.batch, len(rows[0])
        found = []
        for at in range(0, total, size):
            part = [r[at : at + size] for r in rows]
            missing = size - len(part[0])
            if missing:
                part = [torch.cat([p, p[:1].expand(missing, *p.shape[1:])]) for p in part]
            found.append([value[: size - missing] for value in call(*part)])
        return tuple(torch.cat(values) for values in zip(*found))

    def _seen(self, observation: Mapping[str, Tensor]) -> Tensor:
        vectors = [observation[spec.name] for spec in self.world.observations if spec.kind != "image"]
        return torch.cat([v.reshape(len(v), -1).float() for v in vectors], -1)

    def step(
        self,
        state: Float[Tensor, "batch state"],
        cause: Float[Tensor, "batch cause"],
        generator: torch.Generator | None = None,
    ) -> ModelStep:
        def one(state: Tensor, cause: Tensor) -> tuple[Tensor, ...]:
            self.world.set_state(state.double().cpu())
            result = self.world.step(cause.cpu())
            return self.world.state(), result.reward.float(), result.terminated

        after, reward, terminated = (v.to(state.device) for v in self._chunks(one, state, cause))
        return ModelStep(after, reward, terminated, torch.zeros_like(reward))

    def observe(self, state: Float[Tensor, "batch state"]) -> Float[Tensor, "batch obs"]:
        def one(state: Tensor) -> tuple[Tensor, ...]:
            self.world.set_state(state.double().cpu())
            return (self._seen(self.world.observe()),)

        return self._chunks(one, state)[0].to(state.device)
