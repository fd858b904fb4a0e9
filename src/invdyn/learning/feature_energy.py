"""The energy a hidden node climbs on its own, and what its maxima are (independent stage of grokking).

Node w = [u; v] in R^(2M) sees the pair (a, b) as sigma(u_a + v_b). With centred one-hot targets Y~ [pairs, M]:

    E(w) = |Y~^T sigma(X w)|^2 / 2,    grad E = X^T [sigma'(X w) * (Y~ Y~^T sigma(X w))]

On all pairs of a group, |w| = 1, sigma(x) = x^2, every local maximum lives on one irreducible representation; for Z_M
with M odd E = M/4 at each of the (M-1)/2 frequencies and |u|^2 = |v|^2 = 1/2. Source: arXiv 2509.21519, theorems 1, 2.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from invdyn.errors import unknown_name
from invdyn.learning.group_task import GroupTask

__all__ = ["ACTIVATIONS", "Ascent", "activation", "ascend", "energy", "energy_gradient", "node_energy", "shares"]

ACTIVATIONS: dict[str, tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]] = {
    "square": (torch.square, lambda x: 2 * x),
    "relu": (torch.relu, lambda x: (x > 0).to(x)),
    "relu_square": (lambda x: torch.relu(x).square(), lambda x: 2 * torch.relu(x)),
    "silu": (
        torch.nn.functional.silu,
        lambda x: torch.sigmoid(x) * (1 + x * (1 - torch.sigmoid(x))),
    ),
}
"""Name -> sigma and its derivative."""


def activation(name: str) -> tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]:
    """sigma and sigma' by name.

    Raises:
        UnknownNameError: no such activation.
    """
    if name not in ACTIVATIONS:
        raise unknown_name("activation", name, ACTIVATIONS)
    return ACTIVATIONS[name]


def _centred(pairs: Int64[Tensor, "pair three"], order: int) -> Float[Tensor, "pair order"]:
    target = torch.nn.functional.one_hot(pairs[:, 2], order).double()
    return target - target.mean(0)


def _seen(w: Tensor, pairs: Tensor, order: int) -> Float[Tensor, "node pair"]:
    return w[:, pairs[:, 0]] + w[:, order + pairs[:, 1]]


def energy(
    w: Float[Tensor, "node weight"],
    pairs: Int64[Tensor, "pair three"],
    name: str = "square",
    targets: Float[Tensor, "pair order"] | None = None,
) -> Float[Tensor, " node"]:
    """E of every node on the given pairs; `targets` replaces the centred one-hot answers (a residual, say)."""
    order = w.shape[1] // 2
    y = _centred(pairs, order) if targets is None else targets
    return (activation(name)[0](_seen(w, pairs, order)) @ y).square().sum(1) / 2


def energy_gradient(
    w: Float[Tensor, "node weight"],
    pairs: Int64[Tensor, "pair three"],
    name: str = "square",
    targets: Float[Tensor, "pair order"] | None = None,
) -> Float[Tensor, "node weight"]:
    """dE/dw by the theorem's formula."""
    order = w.shape[1] // 2
    y = _centred(pairs, order) if targets is None else targets
    sigma, slope = activation(name)
    z = _seen(w, pairs, order)
    pull = slope(z) * (sigma(z) @ y @ y.mT)
    out = torch.zeros_like(w)
    out.index_add_(1, pairs[:, 0], pull)
    out.index_add_(1, order + pairs[:, 1], pull)
    return out


@dataclass(frozen=True)
class Ascent:
    """Where nodes ended on the unit sphere."""

    w: Float[Tensor, "node weight"]
    energy: Float[Tensor, " node"]
    slope: Float[Tensor, " node"]
    """Size of the gradient along the sphere at the end, relative to E."""
    steps: int


def ascend(
    start: Float[Tensor, "node weight"],
    pairs: Int64[Tensor, "pair three"],
    name: str = "square",
    targets: Float[Tensor, "pair order"] | None = None,
    *,
    tolerance: float = 1e-6,
    max_steps: int = 2000,
) -> Ascent:
    """Gradient ascent of E on the unit sphere, every node with a step of its own that is kept only where E grew.

    Ends when every `slope` is below the tolerance (E is then within about its square), or after `max_steps`.
    """
    w = start / start.norm(dim=1, keepdim=True)
    value = energy(w, pairs, name, targets)
    step = torch.full_like(value, 0.1)
    slope = torch.full_like(value, torch.inf)
    steps = 0
    while steps < max_steps:
        steps += 1
        pull = energy_gradient(w, pairs, name, targets)
        pull = pull - (pull * w).sum(1, keepdim=True) * w
        slope = pull.norm(dim=1) / value.clamp(min=1e-300)
        if bool((slope < tolerance).all()):
            break
        trial = w + step[:, None] * pull / value.clamp(min=1e-300)[:, None]
        trial = trial / trial.norm(dim=1, keepdim=True)
        new = energy(trial, pairs, name, targets)
        better = new >= value
        w, value = torch.where(better[:, None], trial, w), torch.where(better, new, value)
        step = torch.where(better, step * 1.3, step / 3).clamp(1e-8, 10.0)
    return Ascent(w, value, slope, steps)


def shares(w: Float[Tensor, "*net weight node"], components: Sequence[Tensor]) -> Float[Tensor, "*net node component"]:
    """Share of each node's squared weights on each isotypic component (for Z_M: frequency), both halves together.

    `components`: orthonormal bases [order, dim], as `GroupTask.components`.
    """
    order = w.shape[-2] // 2
    halves = w.unflatten(-2, (2, order)).double()
    parts = [torch.einsum("...ham,ad->...hdm", halves, b.to(halves.device)).square().sum((-3, -2)) for b in components]
    found = torch.stack(parts, -1)
    return found / found.sum(-1, keepdim=True).clamp(min=1e-300)


def node_energy(w: Float[Tensor, "weight node"], task: GroupTask) -> Float[Tensor, " node"]:
    """E(w/|w|) on all pairs for sigma(x) = x^2, by the structure of the group: only 2 u_a v_b varies with a b.

    Equal to `energy` on `task.pairs` of nodes of unit norm, M^2 instead of M^3 a node.
    """
    m = task.order
    unit = w / w.norm(dim=0, keepdim=True).clamp(min=1e-30)
    u, v = unit[:m], unit[m:]
    second = torch.empty_like(task.table)
    second.scatter_(1, task.table, torch.arange(m).expand(m, m))  # second[a, y] = b with a b = y
    second = second.to(w.device)
    out = torch.zeros(m, w.shape[1], dtype=w.dtype, device=w.device)
    for a in range(m):
        out += u[a] * v[second[a]]
    out = 2 * out
    return (out - out.mean(0)).square().sum(0) / 2
