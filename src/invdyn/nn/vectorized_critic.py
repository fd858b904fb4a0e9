"""`VectorizedCritic`: N state-action values for each of several runs, with their slopes in the action.

EDAC (An, Moon, Kim, Song, NeurIPS 2021, arXiv 2110.01548) keeps critics apart by punishing parallel action gradients.
For ReLU nets that gradient is a product of weights and masks, so it is written out here as one more forward pass: its
own gradient, which the training needs, is then first-order autograd. Tests hold it against second-order autograd.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from invdyn.nn.stacked_mlp import StackedMLP
from invdyn.nn.streams import Streams

__all__ = ["VectorizedCritic", "diversity", "redraw"]

BIAS, LAST = 0.1, 3e-3
"""Start of hidden biases, and half-width of the last layer's weights (EDAC's released code)."""


class VectorizedCritic(nn.Module):
    """Q_n(s, a), [run, critic, batch], of nets that share nothing but their shape.

    Args:
        runs: independent trainings side by side.
        critics: values per run.
        observations, causes: components of s and a.
        width, depth: units of each hidden layer, and their number.
        streams: random numbers of the start, per run.
    """

    def __init__(
        self, runs: int, critics: int, observations: int, causes: int, *, width: int, depth: int, streams: Streams
    ) -> None:
        super().__init__()
        self.runs, self.critics, self.causes = runs, critics, causes
        self.nets = StackedMLP(runs * critics, observations + causes, 1, width=width, depth=depth)
        redraw(self.nets, runs, streams)

    def _inputs(self, observation: Tensor, cause: Tensor) -> Tensor:
        both = torch.cat([observation, cause], -1)
        run, batch, size = both.shape
        return both[:, None].expand(run, self.critics, batch, size).reshape(run * self.critics, batch, size)

    def forward(
        self, observation: Float[Tensor, "run batch obs"], cause: Float[Tensor, "run batch cause"]
    ) -> Float[Tensor, "run critic batch"]:
        values = self.nets(self._inputs(observation, cause))
        return values.reshape(self.runs, self.critics, -1)

    def with_slopes(
        self, observation: Float[Tensor, "run batch obs"], cause: Float[Tensor, "run batch cause"]
    ) -> tuple[Float[Tensor, "run critic batch"], Float[Tensor, "run critic batch cause"]]:
        """Values and dQ/da, both differentiable in the weights."""
        x, masks = self._inputs(observation, cause), []
        *hidden, (last, bias) = zip(self.nets.weights, self.nets.biases)
        for weight, offset in hidden:
            x = torch.baddbmm(offset, x, weight)
            masks.append((x > 0).to(x.dtype))
            x = x.relu()
        values = torch.baddbmm(bias, x, last)
        slope = last.mT * masks[-1]
        for weight, mask in zip(reversed(self.nets.weights[1:-1]), reversed(masks[:-1])):
            slope = (slope @ weight.mT) * mask
        slope = slope @ self.nets.weights[0][:, -self.causes :].mT
        return values.reshape(self.runs, self.critics, -1), slope.reshape(self.runs, self.critics, -1, self.causes)


def diversity(slopes: Float[Tensor, "run critic batch cause"]) -> Float[Tensor, " run"]:
    """Mean over the batch of sum_{i != j} cos(dQ_i/da, dQ_j/da) / (N - 1): EDAC, eq. 7, as released; 0 for one critic.

    The sum over pairs is |sum_i u_i|^2 - sum_i |u_i|^2 with unit slopes u_i, which needs no N x N matrix.
    """
    critics = slopes.shape[1]
    if critics == 1:
        return slopes.new_zeros(slopes.shape[0])
    unit = slopes / (slopes.norm(dim=-1, keepdim=True) + 1e-10)
    pairs = unit.sum(1).square().sum(-1) - unit.square().sum(-1).sum(1)
    return pairs.mean(-1) / (critics - 1)


@torch.no_grad()
def redraw(nets: StackedMLP, runs: int, streams: Streams, *, last: float = LAST) -> None:
    """Start weights from the runs' own streams: hidden layers as `nn.Linear` with biases 0.1, a small last layer."""
    each = nets.nets // runs
    for layer, (weight, bias) in enumerate(zip(nets.weights, nets.biases)):
        final = layer == len(nets.weights) - 1
        bound = last if final else weight.shape[1] ** -0.5
        for tensor, fixed in ((weight, None), (bias, None if final else BIAS)):
            if fixed is None:
                drawn = streams.uniform(each, *tensor.shape[1:]).reshape(tensor.shape)
                tensor.copy_(bound * (2 * drawn - 1))
            else:
                tensor.fill_(fixed)
