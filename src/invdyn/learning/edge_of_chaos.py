"""Deep tanh networks W = g O: activity from layer to layer, and what reaches the first layer of a gradient.

Source: Saxe, McClelland, Ganguli, arXiv 1312.6120, section 4. The critical gain is 1; slightly above it a depth of
100 still passes gradients with all directions alive.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from invdyn.errors import SignalError

__all__ = ["Backward", "activity_map", "activity_path", "backward", "fixed_activity", "jacobian_spectrum"]


def activity_map(q: Float[np.ndarray, " *q"], gain: float, nodes: int = 101) -> Float[np.ndarray, " *q"]:
    """Mean squared activity of the next layer: q' = integral of tanh^2(g sqrt(q) z) over a unit Gaussian z."""
    z, weights = np.polynomial.hermite_e.hermegauss(nodes)
    return np.asarray(np.tanh(gain * np.sqrt(q)[..., None] * z) ** 2 @ weights / weights.sum())


def activity_path(start: float, gain: float, depth: int) -> Float[np.ndarray, " depth_1"]:
    """Mean squared activity at the input and after each layer, by the map."""
    path = [np.asarray(start, float)]
    for _ in range(depth):
        path.append(activity_map(path[-1], gain))
    return np.array(path)


def fixed_activity(gain: float) -> float:
    """The activity a deep network settles at: 0 up to gain 1, else the root of q = map(q)."""
    from scipy.optimize import brentq

    if gain <= 1:
        return 0.0
    return float(brentq(lambda q: float(activity_map(np.asarray(q), gain)) - q, 1e-9, 1.0, xtol=1e-14))


@dataclass(frozen=True)
class Backward:
    """What a unit error at the output becomes on its way back, averaged over inputs."""

    error_norms: Float[Tensor, " layer"]
    """Norm of the back-propagated error at each layer's pre-activation, first layer first."""
    weight_norms: Float[Tensor, " layer"]
    """Norm of the gradient of each layer's weights."""
    activity: Float[Tensor, " layer"]
    """Mean squared activity after each layer."""

    @property
    def error_ratio(self) -> float:
        """First layer over last: 1 is a faithful gradient."""
        return float(self.error_norms[0] / self.error_norms[-1])

    @property
    def weight_ratio(self) -> float:
        """First layer over last, of the weight gradients."""
        return float(self.weight_norms[0] / self.weight_norms[-1])


def backward(
    weights: Sequence[Float[Tensor, "n n"]], inputs: Float[Tensor, "n sample"], errors: Float[Tensor, "out error"]
) -> Backward:
    """Pass inputs through h = tanh(W h) and errors at the output back.

    Raises:
        SignalError: inputs and errors of different shapes.
    """
    if inputs.shape != errors.shape:
        raise SignalError(f"backward: inputs {tuple(inputs.shape)} and errors {tuple(errors.shape)} differ in shape.")
    hidden = [inputs]
    for layer in weights:
        hidden.append(torch.tanh(layer @ hidden[-1]))
    error, error_norms, weight_norms = errors, [], []
    for layer, before, after in zip(reversed(weights), reversed(hidden[:-1]), reversed(hidden[1:]), strict=True):
        error = error * (1 - after.square())
        error_norms.append(error.norm(dim=0).mean())
        weight_norms.append((error.norm(dim=0) * before.norm(dim=0)).mean())
        error = layer.mT @ error
    return Backward(
        torch.stack(error_norms[::-1]),
        torch.stack(weight_norms[::-1]),
        torch.stack([h.square().mean() for h in hidden[1:]]),
    )


def jacobian_spectrum(weights: Sequence[Float[Tensor, "n n"]], point: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
    """Singular values of d output / d input at one input, largest first."""
    hidden, jacobian = point, torch.eye(len(point), dtype=point.dtype)
    for layer in weights:
        hidden = torch.tanh(layer @ hidden)
        jacobian = (1 - hidden.square())[:, None] * (layer @ jacobian)
    return torch.linalg.svdvals(jacobian)
