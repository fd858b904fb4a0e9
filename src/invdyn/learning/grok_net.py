"""The two-layer net of grokking: o = sigma(X W) V on two one-hot inputs, several nets side by side.

Source: arXiv 2509.21519; its published code takes squared error on outputs centred over classes.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from invdyn.learning.feature_energy import activation
from invdyn.learning.group_task import GroupTask
from invdyn.learning.lazy_stage import ridge_readout

__all__ = ["GrokNet", "centred_loss"]


class GrokNet(nn.Module):
    """Nets with a leading axis: `features` W [net, 2 M, K], `readout` V [net, K, M], no biases.

    Args:
        order: M.
        hidden: K.
        seeds: one net each, with PyTorch's start of a linear layer (uniform, +-1/sqrt(inputs)).
        sigma: name of the activation.
    """

    def __init__(self, order: int, hidden: int, seeds: Sequence[int], sigma: str = "square") -> None:
        super().__init__()
        self.order, self.sigma = order, activation(sigma)[0]
        first, second = [], []
        for seed in seeds:
            g = torch.Generator().manual_seed(seed)
            first.append((torch.rand(2 * order, hidden, generator=g) * 2 - 1) / (2 * order) ** 0.5)
            second.append((torch.rand(hidden, order, generator=g) * 2 - 1) / hidden**0.5)
        self.features = nn.Parameter(torch.stack(first))
        self.readout = nn.Parameter(torch.stack(second))

    def hidden(self, pairs: Int64[Tensor, "net pair three"]) -> Float[Tensor, "net pair node"]:
        """sigma(X W): the two rows of W that a pair's one-hots pick, added."""
        nets, rows, nodes = self.features.shape
        flat = self.features.reshape(nets * rows, nodes)
        offset = rows * torch.arange(nets, device=pairs.device)[:, None]
        first = flat.index_select(0, (pairs[..., 0] + offset).reshape(-1))
        second = flat.index_select(0, (pairs[..., 1] + self.order + offset).reshape(-1))
        seen: Tensor = self.sigma(first + second).unflatten(0, pairs.shape[:2])
        return seen

    def forward(self, pairs: Int64[Tensor, "net pair three"]) -> Float[Tensor, "net pair order"]:
        """Outputs, one per class."""
        return self.hidden(pairs) @ self.readout

    @torch.no_grad()
    def hold_readout(self, pairs: Int64[Tensor, "net pair three"], eta: float) -> None:
        """Put the readout at its ridge solution on these pairs (float64 inside)."""
        for index, seen in enumerate(self.hidden(pairs)):
            targets = nn.functional.one_hot(pairs[index, :, 2], self.order).double() - 1 / self.order
            self.readout[index] = ridge_readout(seen.double(), targets, eta, centre=False).to(self.readout)

    @torch.no_grad()
    def accuracy(self, task: GroupTask, pairs: Int64[Tensor, "net pair three"]) -> Float[Tensor, " net"]:
        """Share of pairs answered right, per net."""
        if task.order != self.order:
            raise ValueError(f"net of order {self.order} asked about a task of order {task.order}")
        return (self(pairs).argmax(-1) == pairs[..., 2]).float().mean(-1)


def centred_loss(outputs: Float[Tensor, "net pair order"], answers: Int64[Tensor, "net pair"]) -> Float[Tensor, " net"]:
    """mean |o - mean o|^2 - 2 mean (o - mean o)_y + 1 - 1/M: squared error of outputs centred over classes."""
    centred = outputs - outputs.mean(-1, keepdim=True)
    right = centred.gather(-1, answers[..., None])[..., 0]
    return (centred.square().sum(-1) - 2 * right).mean(-1) + 1 - 1 / outputs.shape[-1]
