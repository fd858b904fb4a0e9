"""`ClosedFormInverse`: the exact inverse of a world, through the same door as learned models."""

from __future__ import annotations

import torch

from invdyn.actions.base import InverseModel
from invdyn.episodes.windows import Window, WindowBatch
from invdyn.errors import SignalError
from invdyn.nn.distributions import Delta
from invdyn.worlds.base import World

__all__ = ["ClosedFormInverse"]


class ClosedFormInverse(InverseModel):
    """The cause between two observations as `world.inverse` computes it; all mass on that value.

    NaN where the cause is not unique, or where one of the two steps is missing.

    Args:
        world: offers `inverse`.
    """

    def __init__(self, world: World) -> None:
        super().__init__()
        self.world = world
        named = world.inverse_inputs
        self.inputs = tuple(spec.name for spec in world.observations) if named is None else tuple(named)
        self.target = world.action
        self.window = Window(0, 1)

    def infer(self, batch: WindowBatch) -> Delta:
        """The cause at the centre of each pair.

        Raises:
            SignalError: a batch without one of the world's observations.
            WorldError: the world has no closed-form inverse.
        """
        for name in self.inputs:
            if name not in batch.inputs:
                raise SignalError(
                    f"the closed-form inverse of {self.world.name} needs {name!r}, and the windows hold "
                    f"{', '.join(map(repr, batch.inputs))}. Use recordings of that world."
                )
        before, after = ({name: batch.inputs[name][:, at] for name in self.inputs} for at in (0, 1))
        value = self.world.inverse(before, after)
        there = batch.mask.all(1).reshape(-1, *[1] * (value.ndim - 1))
        return Delta(torch.where(there, value, torch.nan))

    @property
    def model_id(self) -> str:
        return f"closed-form:{self.world.name}"
