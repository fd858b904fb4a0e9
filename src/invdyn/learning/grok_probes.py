"""What is watched while a net groks: accuracy, gradient on the features, their overlap, frequencies, energy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from invdyn.learning.feature_energy import node_energy, shares
from invdyn.learning.grok_net import GrokNet, centred_loss
from invdyn.learning.group_task import GroupTask
from invdyn.learning.lazy_stage import feature_gradient

__all__ = ["PROBES", "GrokProbes"]

PROBES = (
    "train_accuracy",
    "test_accuracy",
    "train_loss",
    "test_loss",
    "feature_gradient",
    "alive_nodes",
    "pure_nodes",
    "frequencies",
    "energy",
    "node_overlap",
    "sample_overlap",
    "features_cosine",
    "readout_cosine",
)
"""Curves recorded per net; `GrokProbes` says what each is."""


@dataclass
class GrokProbes:
    """Curves of several nets during training, one value per record and net.

    | curve | what |
    |---|---|
    | `train_accuracy`, `test_accuracy`, `train_loss`, `test_loss` | |
    | `feature_gradient` | Frobenius norm of G_F = P (Y - F V) V^T, V centred over classes as the loss does |
    | `alive_nodes` | share of nodes whose weights are above 1 % of the largest node's: decay kills idle ones |
    | `pure_nodes` | share of those with 90 % of their squared weights on one component (frequency) |
    | `frequencies` | how many components at least one such node has |
    | `energy` | median over living nodes of E(w/norm of w) / E*, E* = M/4 |
    | `node_overlap`, `sample_overlap` | mean off-diagonal over mean diagonal of F~^T F~ and of P F F^T |
    | `features_cosine`, `readout_cosine` | cosine of the last two changes of W and of V between records |
    """

    task: GroupTask
    train: Int64[Tensor, "net pair three"]
    test: Int64[Tensor, "net other three"]
    every: int
    """Updates between records."""
    full: bool = True
    """Record all of it; else only accuracies and losses."""
    epochs: list[int] = field(default_factory=list)
    curves: dict[str, list[list[float]]] = field(default_factory=dict)
    _last: list[tuple[Tensor, Tensor]] = field(default_factory=list)

    def __call__(self, step: int, net: GrokNet) -> None:
        """Record, where it is due."""
        if step % self.every == 0:
            with torch.no_grad():
                found = self._basic(net) | (self._full(net) if self.full else {})
            self.epochs.append(step)
            for name, values in found.items():
                self.curves.setdefault(name, []).append([float(v) for v in values])

    def curve(self, name: str) -> Float[Tensor, "time net"]:
        """One recorded curve."""
        return torch.tensor(self.curves[name], dtype=torch.float64)

    def _basic(self, net: GrokNet) -> dict[str, Tensor]:
        out = {}
        for name, pairs in (("train", self.train), ("test", self.test)):
            answers = net(pairs)
            out[f"{name}_accuracy"] = (answers.argmax(-1) == pairs[..., 2]).double().mean(-1)
            out[f"{name}_loss"] = centred_loss(answers, pairs[..., 2])
        return out

    def _full(self, net: GrokNet) -> dict[str, Sequence[float] | Tensor]:
        rows: dict[str, list[float]] = {}
        order = self.task.order
        purity, best = shares(net.features, self.task.components[1:]).max(-1)
        # The loss sees outputs centred over classes: what they share reaches no feature.
        readout = net.readout - net.readout.mean(-1, keepdim=True)
        for index, seen in enumerate(net.hidden(self.train)):
            targets = torch.nn.functional.one_hot(self.train[index, :, 2], order).to(seen)
            size = net.features[index].norm(dim=0)
            alive = size > 0.01 * size.max()
            pure = alive & (purity[index] >= 0.9)
            values = {
                "feature_gradient": feature_gradient(seen, targets, readout[index]).norm(),
                "alive_nodes": alive.double().mean(),
                "pure_nodes": pure.sum() / alive.sum(),
                "frequencies": len(best[index][pure].unique()),
                "energy": node_energy(net.features[index][:, alive], self.task).median() / (order / 4),
            }
            centred = seen - seen.mean(0)
            values["node_overlap"] = _overlap(centred.mT @ centred)
            values["sample_overlap"] = _overlap(centred @ seen.mT)
            for name, value in values.items():
                rows.setdefault(name, []).append(float(value))
        now = (net.features.detach().clone(), net.readout.detach().clone())
        self._last = [*self._last[-2:], now]
        for part, name in enumerate(("features_cosine", "readout_cosine")):
            cosine = torch.full((len(now[0]),), torch.nan)
            if len(self._last) == 3:
                old, new = (
                    (b[part] - a[part]).flatten(1) for a, b in zip(self._last[:-1], self._last[1:], strict=True)
                )
                cosine = torch.cosine_similarity(old, new, dim=1)
            rows[name] = cosine.tolist()
        return dict(rows)


def _overlap(kernel: Float[Tensor, "n n"]) -> Tensor:
    """Mean size off the diagonal over mean size on it."""
    size, diagonal = kernel.abs(), kernel.diagonal().abs().sum()
    n = len(kernel)
    return (size.sum() - diagonal) / (n * (n - 1)) / (diagonal / n)
