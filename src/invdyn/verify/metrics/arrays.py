"""What every metric does first: take numpy arrays or tensors, check shapes and finiteness, apply the mask."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float64
from torch import Tensor

from invdyn.errors import SignalError

__all__ = ["Array", "as_array", "columns"]

Array = np.ndarray | Tensor
"""A numpy array or a tensor of any device and dtype; metrics compute in float64 numpy."""


def as_array(values: Array) -> np.ndarray:
    """The values as numpy on the CPU, dtype kept."""
    return values.detach().cpu().numpy() if isinstance(values, Tensor) else np.asarray(values)


def columns(
    metric: str, first: Array, *others: Array, mask: Array | None = None
) -> tuple[list[Float64[np.ndarray, "frames dim"]], Bool[np.ndarray, "frames dim"]]:
    """Arrays of one shape as [frames, dim] float64 (one dim for [frames]) with their mask [frames, dim].

    Args:
        metric: its name, for messages.
        first, others: [frames] or [frames, dim], all of one shape.
        mask: [frames] or the shape of the arrays; False leaves an entry out.

    Raises:
        SignalError: different shapes, a mask of another shape, NaN or infinity where the mask lets it through.
    """
    arrays = [as_array(a) for a in (first, *others)]
    shape = arrays[0].shape
    if len(shape) not in (1, 2) or any(a.shape != shape for a in arrays):
        told = ", ".join(str(a.shape) for a in arrays)
        raise SignalError(f"{metric}: arrays of one shape [frames] or [frames, dim] are needed, got {told}.")
    flat = [a.reshape(len(a), -1).astype(np.float64) for a in arrays]
    if mask is None:
        keep = np.ones(flat[0].shape, bool)
    else:
        keep = as_array(mask).astype(bool)
        if keep.shape not in (shape, shape[:1]):
            raise SignalError(f"{metric}: the mask has shape {keep.shape} for values of shape {shape}.")
        keep = np.broadcast_to(keep.reshape(len(keep), -1), flat[0].shape)
    for values in flat:
        bad = np.argwhere(keep & ~np.isfinite(values))
        if len(bad):
            frame, dim = map(int, bad[0])
            raise SignalError(
                f"{metric}: value {values[frame, dim]} at frame {frame}, dimension {dim}. "
                "Leave missing frames out with `mask`."
            )
    return flat, keep
