"""`StackedMLP`: many MLPs of one shape as batched matrix products."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Sequence
from typing import Literal, get_args

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn import functional

from invdyn.errors import unknown_name

__all__ = ["Activation", "StackedMLP"]

Activation = Literal["relu", "silu"]


class StackedMLP(nn.Module):
    """Independent MLPs, [net, batch, in] -> [net, batch, out], one `baddbmm` per layer.

    The same as `SeedAxis` over `MLP`, written out: without vmap the step of 2 nets takes 0.4, that of 18 half and that
    of 90 three quarters of the time (64 units, batch 128, one thread), and small nets are all off-policy learning has.
    Weights start as `nn.Linear`'s do (uniform, +-1/sqrt(in)).

    Args:
        nets: how many.
        inputs, outputs: features in and out.
        width, depth: units of each hidden layer, and their number; or the units of every hidden layer in turn.
        activation: between layers.
    """

    def __init__(
        self,
        nets: int,
        inputs: int,
        outputs: int,
        *,
        width: int | Sequence[int] = 256,
        depth: int = 2,
        activation: Activation = "relu",
    ) -> None:
        super().__init__()
        if activation not in get_args(Activation):
            raise unknown_name("activation", activation, get_args(Activation))
        self.nets, self.activation = nets, activation
        hidden = [width] * depth if isinstance(width, int) else list(width)
        sizes = [inputs, *hidden, outputs]
        self.weights, self.biases = nn.ParameterList(), nn.ParameterList()
        for size, after in itertools.pairwise(sizes):
            bound = size**-0.5
            self.weights.append(nn.Parameter(torch.empty(nets, size, after).uniform_(-bound, bound)))
            self.biases.append(nn.Parameter(torch.empty(nets, 1, after).uniform_(-bound, bound)))

    def act(self, x: Tensor) -> Tensor:
        """The activation."""
        return functional.relu(x) if self.activation == "relu" else functional.silu(x)

    def forward(self, x: Float[Tensor, "net batch in"]) -> Float[Tensor, "net batch out"]:
        last = len(self.weights) - 1
        for layer, (weight, bias) in enumerate(zip(self.weights, self.biases)):
            x = torch.baddbmm(bias, x, weight)
            if layer < last:
                x = self.act(x)
        return x

    def some(self, which: Int64[Tensor, " chosen"]) -> StackedMLP:
        """A copy of some of the nets."""
        part = copy.deepcopy(self)
        part.nets = len(which)
        for own, all_ in ((part.weights, self.weights), (part.biases, self.biases)):
            for layer, tensor in enumerate(all_):
                own[layer] = nn.Parameter(tensor.detach()[which])
        return part

    def member(self, index: int) -> nn.Sequential:
        """A copy of one net as ordinary layers."""
        layers: list[nn.Module] = []
        for weight, bias in zip(self.weights, self.biases):
            layer = nn.Linear(weight.shape[1], weight.shape[2]).to(weight)
            with torch.no_grad():
                layer.weight.copy_(weight[index].T)
                layer.bias.copy_(bias[index, 0])
            layers += [layer, nn.ReLU() if self.activation == "relu" else nn.SiLU()]
        return nn.Sequential(*layers[:-1])
