"""Exponential moving average of weights, and frozen copies."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, TypeVar

import torch
from torch import Tensor, nn

from invdyn.errors import ConfigError

__all__ = ["EMA", "EMAConfig", "frozen_copy"]

M = TypeVar("M", bound=nn.Module)


@dataclass(frozen=True)
class EMAConfig:
    """How fast the average follows.

    Args:
        kind: `constant` decay, or `power`: decay_t = min(decay, 1 - (1 + t / gamma)^-power), which starts at 0.
        decay: the constant, or the cap.
        power: exponent (3/4 for long training, 2/3 for short).
        gamma: steps until the power law sets in.
    """

    kind: Literal["constant", "power"] = "constant"
    decay: float = 0.999
    power: float = 0.75
    gamma: float = 1.0

    def __post_init__(self) -> None:
        if not 0.0 <= self.decay < 1.0:
            raise ConfigError(f"the EMA decay is {self.decay}, expected 0 <= decay < 1.")

    def at(self, step: int) -> float:
        """Decay of update number `step` (0, 1, ...)."""
        if self.kind == "constant":
            return self.decay
        return min(self.decay, 1.0 - (1.0 + step / self.gamma) ** -self.power)


class EMA:
    """The running average of a model's weights; buffers are taken over as they are."""

    def __init__(self, model: nn.Module, config: EMAConfig) -> None:
        self.config, self.updates = config, 0
        self._names = [name for name, _ in model.named_parameters()]
        self.average = {name: value.detach().clone() for name, value in model.state_dict().items()}

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        decay = self.config.at(self.updates)
        state = model.state_dict()
        learned = set(self._names)
        for name, value in state.items():
            if name in learned and value.is_floating_point():
                self.average[name].lerp_(value, 1.0 - decay)
            else:
                self.average[name].copy_(value)
        self.updates += 1

    def load(self, average: Mapping[str, Tensor], updates: int) -> None:
        """Go on from saved averages."""
        self.average = {name: value.clone() for name, value in average.items()}
        self.updates = updates

    @contextmanager
    def applied(self, model: nn.Module) -> Iterator[None]:
        """The model with the averaged weights inside the block, with its own again after it."""
        own = {name: value.detach().clone() for name, value in model.state_dict().items()}
        model.load_state_dict(self.average)
        try:
            yield
        finally:
            model.load_state_dict(own)

    def copy_of(self, model: M) -> M:
        """A frozen copy of the model with the averaged weights."""
        copied = frozen_copy(model)
        copied.load_state_dict(self.average)
        return copied


def frozen_copy(model: M) -> M:
    """A copy that is in evaluation mode and takes no gradient (a target network, a prior)."""
    copied = copy.deepcopy(model).eval()
    return copied.requires_grad_(False)
