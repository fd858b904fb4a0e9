"""Training of deep linear networks, simulated: gradient flow and gradient descent on y = W_L ... W_1 x, batched.

Everything depends on the data through Sigma_31 = <y x^T> and Sigma_11 = <x x^T> (the identity when whitened).
Source: Saxe, McClelland, Ganguli, arXiv 1312.6120, section 1.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from invdyn.errors import ConfigError, SignalError
from invdyn.learning.trace import TrainingTrace
from invdyn.worlds.solver import RK4, Tsit5, integrate

__all__ = [
    "Correlations",
    "Epochs",
    "correlations",
    "descent_direction",
    "epochs_to_loss",
    "gradient_descent",
    "gradient_flow",
]


@dataclass(frozen=True)
class Correlations:
    """What a linear network sees of a data set."""

    input_output: Float[Tensor, "out in"]
    """Sigma_31 = <y x^T>."""
    inputs: Float[Tensor, "in in"] | None = None
    """Sigma_11 = <x x^T>; None means whitened (the identity)."""

    def best(self) -> Float[Tensor, "out in"]:
        """The linear map of least squared error, Sigma_31 Sigma_11^-1."""
        return self.input_output if self.inputs is None else torch.linalg.solve(self.inputs, self.input_output.mT).mT

    def excess_loss(self, product: Float[Tensor, "*lead out in"]) -> Float[Tensor, "*lead"]:
        """Half the mean squared error above its minimum: |(W - W_best) Sigma_11^(1/2)|^2 / 2."""
        gap = product - self.best()
        power = gap.square() if self.inputs is None else gap * (gap @ self.inputs)
        return power.sum((-2, -1)) / 2


def correlations(
    inputs: Float[Tensor, "sample in"],
    targets: Float[Tensor, "target out"],
    *,
    whiten: bool = True,
    keep: int | None = None,
) -> Correlations:
    """Correlations of centred data; `whiten` passes to the principal components of the inputs, scaled to unit variance.

    Args:
        inputs, targets: any units; both are centred here.
        whiten: use whitened principal components as inputs (directions without variance are dropped).
        keep: how many components, strongest first; None keeps all that vary.

    Raises:
        SignalError: samples that differ in number, or fewer varying components than `keep`.
    """
    if len(inputs) != len(targets):
        raise SignalError(f"correlations: {len(inputs)} inputs and {len(targets)} targets; each input needs one.")
    x, y = inputs - inputs.mean(0), targets - targets.mean(0)
    n = len(x)
    if not whiten:
        return Correlations(y.mT @ x / n, x.mT @ x / n)
    scores, values, _ = torch.linalg.svd(x, full_matrices=False)
    varying = int((values > 1e-9 * values[0]).sum())
    if keep is not None and keep > varying:
        raise SignalError(f"correlations: keep {keep} components, but only {varying} vary. Ask for {varying} or fewer.")
    return Correlations(y.mT @ scores[:, : keep or varying] * n**0.5 / n)


def descent_direction(weights: Sequence[Tensor], data: Correlations) -> list[Tensor]:
    """Minus the gradient of the loss for every layer: (W_L..W_(l+1))^T (Sigma_31 - W Sigma_11) (W_(l-1)..W_1)^T."""
    before = [weights[0]]
    for layer in weights[1:]:
        before.append(layer @ before[-1])
    product = before[-1]
    error = data.input_output - (product if data.inputs is None else product @ data.inputs)
    directions: list[Tensor] = [torch.empty(0)] * len(weights)
    after: Tensor | None = None
    for index in range(len(weights) - 1, -1, -1):
        # The output side is the narrow one in all our nets: E P^T first keeps every product thin.
        inner = error @ before[index - 1].mT if index else error
        directions[index] = inner if after is None else after.mT @ inner
        after = weights[index] if after is None else after @ weights[index]
    return directions


def gradient_flow(
    weights: Sequence[Float[Tensor, "batch _ _"]],
    data: Correlations,
    times: Float[Tensor, " time"],
    method: RK4 | Tsit5,
) -> TrainingTrace:
    """The flow dW/dt = -gradient from the given start, recorded at `times` (in units of tau)."""
    shapes = [w.shape for w in weights]
    ends = list(itertools.accumulate(s[1] * s[2] for s in shapes))
    starts = [0, *ends[:-1]]

    def unpack(flat: Tensor) -> list[Tensor]:
        return [flat[..., a:b].unflatten(-1, s[1:]) for a, b, s in zip(starts, ends, shapes, strict=True)]

    def rhs(t: Tensor, flat: Tensor) -> Tensor:
        return torch.cat([d.flatten(1) for d in descent_direction(unpack(flat), data)], -1)

    path = integrate(rhs, torch.cat([w.flatten(1) for w in weights], -1), times, method)
    return TrainingTrace(times, tuple(unpack(path)))


def gradient_descent(
    weights: Sequence[Float[Tensor, "batch _ _"]], data: Correlations, rate: float, epochs: Sequence[int]
) -> TrainingTrace:
    """Full-batch gradient descent with a fixed rate, recorded at the given (increasing) epochs.

    Raises:
        SignalError: the rate is too large and the weights stop being finite.
    """
    current = [w.clone() for w in weights]
    kept: list[list[Tensor]] = []
    for epoch in range(epochs[-1] + 1):
        if epoch == epochs[len(kept)]:
            kept.append([w.clone() for w in current])
        if epoch < epochs[-1]:
            current = [w + rate * d for w, d in zip(current, descent_direction(current, data), strict=True)]
    if not all(bool(torch.isfinite(w).all()) for w in current):
        raise SignalError(f"gradient_descent: rate {rate:g} diverges on these data. Use a smaller one.")
    layers = tuple(torch.stack([snapshot[i] for snapshot in kept]) for i in range(len(current)))
    return TrainingTrace(torch.tensor(list(epochs), dtype=torch.float64), layers)


@dataclass(frozen=True)
class Epochs:
    """Epochs to the criterion at the best of the rates tried."""

    epochs: float
    """Interpolated between epochs in the logarithm of the loss; the cap where it was not reached."""
    rate: float | None
    """The best fixed rate; None where none reached the criterion."""


def epochs_to_loss(
    weights: Sequence[Float[Tensor, "one _ _"]],
    data: Correlations,
    rates: Float[Tensor, " rate"],
    *,
    fraction: float = 0.01,
    cap: int = 1000,
) -> Epochs:
    """Epochs of gradient descent until the excess loss is `fraction` of the zero map's, at the best fixed rate.

    All rates run side by side on the batch axis, and the first to arrive is the best one, so nothing runs longer
    than the answer needs. Rates that diverge become NaN and never arrive.

    Raises:
        ConfigError: more than one start: each has its own best rate.
    """
    if any(w.shape[0] != 1 for w in weights):
        raise ConfigError("epochs_to_loss: one start at a time; each has a best rate of its own.")
    current = [w.expand(len(rates), -1, -1) for w in weights]
    goal = fraction * float(data.excess_loss(torch.zeros_like(data.input_output)))
    step = rates.to(current[0])[:, None, None]
    previous: Tensor | None = None
    for epoch in range(cap + 1):
        product = current[0]
        for layer in current[1:]:
            product = layer @ product
        loss = data.excess_loss(product)
        arrived = loss <= goal
        if bool(arrived.any()):
            if previous is None:
                return Epochs(0.0, float(rates[0]))
            part = torch.log(previous / goal) / torch.log(previous / loss)
            when = torch.where(arrived, epoch - 1 + part, torch.inf)
            return Epochs(float(when.min()), float(rates[int(when.argmin())]))
        previous = loss
        current = [w + step * d for w, d in zip(current, descent_direction(current, data), strict=True)]
    return Epochs(float(cap), None)
