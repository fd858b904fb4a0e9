"""`Normalizer`: values to a common scale and back, per component, fitted where there are values."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, get_args

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor, nn

from invdyn.errors import ConfigError, SignalError

__all__ = ["Normalizer", "Scaling"]

Scaling = Literal["standard", "minmax", "identity"]


class Normalizer(nn.Module):
    """y = (x - shift) / scale per component of the last axes.

    `shift` and `scale` are buffers: they move, are saved and are loaded with the model that owns the normalizer.
    Unfitted, it is the identity.

    Args:
        shape: shape of one step, e.g. `39` or `(39,)`; `()` for a scalar.

    Raises:
        SignalError: values of another shape, no value to fit to, NaN where the mask says there is a value.
    """

    shift: Tensor
    scale: Tensor
    fitted: Tensor

    def __init__(self, shape: int | Sequence[int]) -> None:
        super().__init__()
        self.shape = (shape,) if isinstance(shape, int) else tuple(int(s) for s in shape)
        self.register_buffer("shift", torch.zeros(self.shape, dtype=torch.float64))
        self.register_buffer("scale", torch.ones(self.shape, dtype=torch.float64))
        self.register_buffer("fitted", torch.tensor(False))

    @torch.no_grad()
    def fit(
        self,
        values: Shaped[Tensor, "frames ..."],
        mask: Bool[Tensor, " steps"] | None = None,
        kind: Scaling | Sequence[Scaling] = "standard",
        *,
        floor: float = 1e-6,
    ) -> Normalizer:
        """Take shift and scale from values.

        Args:
            values: [frames, *shape], of the training episodes only.
            mask: [frames], True where there is a value; NaN elsewhere is ignored.
            kind: `standard` (mean 0, standard deviation 1), `minmax` (-1 .. 1), or `identity`; one for all components,
                or one each (flattened): gripper switches and rotation matrices are usually left as they are.
            floor: a component whose spread is at most this share of its greatest magnitude does not move but for
                rounding; it is shifted and not scaled, since dividing by its spread would blow the rounding up.

        Returns:
            itself.
        """
        if values.shape[1:] != self.shape:
            raise SignalError(f"normalizer: values of shape {tuple(values.shape[1:])} a step, expected {self.shape}.")
        if mask is not None and len(mask) != len(values):
            raise SignalError(f"normalizer: a mask of {len(mask)} steps for {len(values)} values.")
        size = math.prod(self.shape)
        kinds = [kind] * size if isinstance(kind, str) else list(kind)
        if len(kinds) != size or any(k not in get_args(Scaling) for k in kinds):
            raise ConfigError(
                f"normalizer: kind={kind!r}; expected one of {', '.join(get_args(Scaling))}, or {size} of them."
            )
        used = (values if mask is None else values[mask]).double().reshape(-1, size)
        if not len(used):
            raise SignalError("normalizer: no value to fit to. Give at least one episode that has the signal.")
        if not torch.isfinite(used).all():
            bad = int((~torch.isfinite(used)).any(0).nonzero()[0])
            raise SignalError(f"normalizer: component {bad} is not finite where the mask says it is. Mask those steps.")
        low, high, mean = used.amin(0), used.amax(0), used.mean(0)
        std = (used - mean).square().mean(0).sqrt()
        centre, half = (low + high) / 2, (high - low) / 2
        standard = torch.tensor([k == "standard" for k in kinds])
        minmax = torch.tensor([k == "minmax" for k in kinds])
        shift = torch.where(standard, mean, torch.where(minmax, centre, torch.zeros_like(mean)))
        spread = torch.where(standard, std, half)
        still = spread <= floor * used.abs().amax(0)
        scale = torch.where((standard | minmax) & ~still, spread, torch.ones_like(spread))
        self.shift.copy_(shift.reshape(self.shape))
        self.scale.copy_(scale.reshape(self.shape))
        self.fitted.fill_(True)
        return self

    def _check(self, x: Tensor) -> None:
        if len(self.shape) and tuple(x.shape[-len(self.shape) :]) != self.shape:
            raise SignalError(f"normalizer: values of shape {tuple(x.shape)} do not end in {self.shape}.")

    def _terms(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """x, shift and scale in the precision of the arithmetic: that of x, float32 at least."""
        precision = x.dtype if x.dtype in (torch.float32, torch.float64) else torch.float32
        return x.to(precision), self.shift.to(precision), self.scale.to(precision)

    def normalize(self, x: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
        """Values on the common scale, in the dtype of `x`."""
        self._check(x)
        values, shift, scale = self._terms(x)
        return ((values - shift) / scale).to(x.dtype)

    def denormalize(self, y: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
        """The inverse of `normalize`: values in their own unit."""
        self._check(y)
        values, shift, scale = self._terms(y)
        return (values * scale + shift).to(y.dtype)

    def scale_back(self, y: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
        """Differences and spreads in their own unit: scaled without the shift."""
        self._check(y)
        values, _, scale = self._terms(y)
        return (values * scale).to(y.dtype)

    def forward(self, x: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
        return self.normalize(x)

    def extra_repr(self) -> str:
        return f"shape={self.shape}, fitted={bool(self.fitted)}"
