"""What a typed head returns: a distribution over the cause, in the cause's own unit."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["CauseDistribution", "Delta"]


class CauseDistribution(ABC):
    """A distribution over the cause, [batch, cause] in its own unit (continuous) or class numbers (discrete).

    `event` below is the shape of one cause.
    """

    @abstractmethod
    def point(self) -> Float[Tensor, batch * event]:
        """The answer to write down: mean of the squashed Gaussian's base squashed, most likely class, ..."""

    @abstractmethod
    def sample(self, generator: torch.Generator | None = None) -> Float[Tensor, batch * event]:
        """One draw each."""

    @abstractmethod
    def log_prob(self, value: Float[Tensor, batch * event]) -> Float[Tensor, " batch"]:
        """Log-density (or log-probability) of a cause, summed over its dimensions."""

    @abstractmethod
    def spread(self) -> Float[Tensor, batch * event]:
        """A scale of uncertainty per dimension in the cause's unit (standard deviation; 1 - p for classes):
        what conformal intervals are normalised with and confidence weights come from."""


class Delta(CauseDistribution):
    """All mass on one value: a deterministic or closed-form answer."""

    def __init__(self, value: Float[Tensor, batch * event]) -> None:
        self.value = value

    def point(self) -> Float[Tensor, batch * event]:
        return self.value

    def sample(self, generator: torch.Generator | None = None) -> Float[Tensor, batch * event]:
        return self.value

    def log_prob(self, value: Float[Tensor, batch * event]) -> Float[Tensor, " batch"]:
        same = (value == self.value).reshape(len(value), -1).all(1)
        return torch.where(same, torch.inf, -torch.inf)

    def spread(self) -> Float[Tensor, batch * event]:
        return torch.zeros_like(self.value)
