"""`TrainingTrace`: what training recorded (weights over time) and the probes that read it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

import torch
from jaxtyping import Float
from torch import Tensor

from invdyn.errors import SignalError

__all__ = ["TrainingTrace", "chain_product", "crossing_times", "mode_projection"]


def chain_product(weights: Sequence[Float[Tensor, "*lead _ _"]]) -> Tensor:
    """W_L ... W_1 of a chain, first layer first."""
    return reduce(lambda product, layer: layer @ product, weights[1:], weights[0])


def mode_projection(
    product: Float[Tensor, "*lead out in"], left: Float[Tensor, "out mode"], right: Float[Tensor, "in mode"]
) -> Float[Tensor, "*lead mode"]:
    """Strength of each mode in a linear map: left_i^T W right_i."""
    return torch.einsum("...oi,om,im->...m", product, left, right)


def crossing_times(
    times: Float[Tensor, " time"], curves: Float[Tensor, time * lead], levels: Float[Tensor, "*lead"]
) -> Float[Tensor, "*lead"]:
    """First time at which each rising curve reaches its level, linear between samples; NaN if it never does.

    Raises:
        SignalError: a curve that starts above its level: its crossing is not in the record.
    """
    above = curves >= levels
    if bool(above[0].any()):
        raise SignalError("crossing_times: a curve starts above its level, so its crossing was not recorded.")
    index = above.to(torch.int8).argmax(0).clamp(min=1)
    low, high = curves.gather(0, index[None] - 1)[0], curves.gather(0, index[None])[0]
    begin, end = times[index - 1], times[index]
    crossed = begin + (end - begin) * (levels - low) / (high - low)
    return torch.where(above.any(0), crossed, torch.nan)


@dataclass(frozen=True)
class TrainingTrace:
    """Snapshots of a chain of layers during training."""

    times: Float[Tensor, " time"]
    """Units of tau for flows, epochs for gradient descent."""
    weights: tuple[Tensor, ...]
    """Per layer [time, batch, out, in], first layer first."""

    def products(self) -> Float[Tensor, "time batch out in"]:
        """The end-to-end map at every snapshot."""
        return chain_product(self.weights)

    def modes(
        self, left: Float[Tensor, "out mode"], right: Float[Tensor, "in mode"]
    ) -> Float[Tensor, "time batch mode"]:
        """Mode strengths of the end-to-end map over time."""
        return mode_projection(self.products(), left, right)

    def spectra(self) -> Float[Tensor, "time batch value"]:
        """Singular values of the end-to-end map over time, largest first."""
        return torch.linalg.svdvals(self.products())

    def updates(self) -> tuple[Tensor, ...]:
        """Per layer the change between snapshots [time-1, batch, out, in]."""
        return tuple(w.diff(dim=0) for w in self.weights)

    def imbalance(self) -> Float[Tensor, "time batch"]:
        """Largest change since the start of any entry of W_l W_l^T - W_(l+1)^T W_(l+1), which the flow conserves."""
        drifts = []
        for first, second in zip(self.weights[:-1], self.weights[1:], strict=True):
            gap = first @ first.mT - second.mT @ second
            drifts.append((gap - gap[:1]).abs().amax((-2, -1)))
        return torch.stack(drifts).amax(0)

    def half_times(
        self, left: Float[Tensor, "out mode"], right: Float[Tensor, "in mode"], strengths: Float[Tensor, " mode"]
    ) -> Float[Tensor, "batch mode"]:
        """When each mode reaches half its strength."""
        curves = self.modes(left, right)
        return crossing_times(self.times, curves, (strengths / 2).expand(curves.shape[1:]))
