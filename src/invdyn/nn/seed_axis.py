"""`SeedAxis`: a leading axis of independent nets of one shape, computed together."""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state

__all__ = ["SeedAxis"]


class SeedAxis(nn.Module):
    """Several independently initialised copies of a net, with their parameters stacked on axis 0.

    Equal to calling the copies one by one to float rounding. Buffers are stacked too.

    Args:
        build: makes one copy; called `size` times, so that each draws its own initial weights.
        size: number of copies.
    """

    def __init__(self, build: Callable[[], nn.Module], size: int) -> None:
        super().__init__()
        copies = [build() for _ in range(size)]
        self.size = size
        parameters, buffers = stack_module_state(copies)
        for name, value in parameters.items():
            self.register_parameter(_stored(name), nn.Parameter(value.detach()))
        for name, value in buffers.items():
            self.register_buffer(_stored(name), value)
        # Not a submodule: its own weights are never used, only its computation.
        self._template = (copy.deepcopy(copies[0]).to("meta"),)

    def _weights(self) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        own: dict[str, Tensor] = {_real(n): p for n, p in self.named_parameters()}
        return own, {_real(n): b for n, b in self.named_buffers()}

    def forward(self, x: Float[Tensor, "*shape"], shared: bool = True) -> Float[Tensor, "*out"]:
        """[member, batch, ...] from one input for all (`shared`) or from [member, batch, ...]."""
        template = self._template[0].train(self.training)
        parameters, buffers = self._weights()

        def one(p: dict[str, Tensor], b: dict[str, Tensor], value: Tensor) -> Tensor:
            return functional_call(template, (p, b), (value,))

        return torch.vmap(one, in_dims=(0, 0, None if shared else 0), randomness="different")(parameters, buffers, x)

    def member(self, index: int, into: nn.Module) -> nn.Module:
        """The net `into` with the weights of one copy."""
        parameters, buffers = self._weights()
        into.load_state_dict({n: v[index].detach().clone() for n, v in {**parameters, **buffers}.items()})
        return into


def _stored(name: str) -> str:
    return name.replace(".", "/")


def _real(name: str) -> str:
    return name.replace("/", ".")
