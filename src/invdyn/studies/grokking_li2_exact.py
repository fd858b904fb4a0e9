"""Experiments of the grokking-li2 study that need no training: the lazy stage's identities and the energy's maxima."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from invdyn.learning import (
    GroupTask,
    ascend,
    closed_feature_gradient,
    critical_share,
    cyclic,
    feature_energy,
    feature_energy_gradient,
    feature_gradient,
    lemma_direction,
    product,
    ridge_readout,
    shares_of_nodes,
    symmetric,
)
from invdyn.studies.grokking_li2_config import GrokkingConfig
from invdyn.studies.part import Part, generators

__all__ = ["energy", "identities", "maxima"]

ETA = 2e-4


def _features(task: GroupTask, pairs: Tensor, hidden: int, g: torch.Generator) -> Tensor:
    """Square features of a layer at PyTorch's start, float64."""
    bound = (2 * task.order) ** -0.5
    w = (torch.rand(2 * task.order, hidden, generator=g, dtype=torch.float64) * 2 - 1) * bound
    return (w[pairs[:, 0]] + w[task.order + pairs[:, 1]]).square()


def _one_hot(task: GroupTask, pairs: Tensor) -> Tensor:
    return torch.nn.functional.one_hot(pairs[:, 2], task.order).double()


def identities(seed: int, config: GrokkingConfig) -> Part:
    """Claims 1 and 2: what ridge leaves of the gradient on the features, and where it points (M = 23, n = 317)."""
    g, _ = generators(seed, "identities")
    task = cyclic(23)
    train, _ = task.split(0.6, g)
    y, n = _one_hot(task, train), len(train)
    errors = []
    for hidden in (n // 2, n, 3 * n):
        f = _features(task, train, hidden, g)
        direct = feature_gradient(f, y, ridge_readout(f, y, ETA))
        errors.append(float((direct - closed_feature_gradient(f, y, ETA)).norm() / direct.norm()))
    still = float(feature_gradient(f, y, ridge_readout(f, y, 0.0)).norm())
    multiples = (0.25, 0.5, 1, 2, 4, 10, 20)
    cosines = []
    for multiple in multiples:
        f = _features(task, train, round(multiple * n), g)
        found = feature_gradient(f, y, ridge_readout(f, y, ETA))
        cosines.append(float(torch.cosine_similarity(found.flatten(), lemma_direction(f, y).flatten(), dim=0)))
    rising = cosines[2:]  # from K = n
    return Part(
        {
            "lazy.error": float(np.max(errors)),
            "lazy.without_decay": still,
            "lazy.cosine_20n": cosines[-1],
            "lazy.rise": float(np.min(np.diff(rising))),
            "lazy.cosines": cosines,
        },
        {"multiples": list(multiples), "cosines": cosines},
    )


def energy(seed: int, config: GrokkingConfig) -> Part:
    """Claim 3: the gradient of E, and where random starts end on all pairs."""
    g, _ = generators(seed, "energy")
    worst: dict[str, list[float]] = {"energy": [], "leak": [], "half": [], "gradient": []}
    found = []
    for order in (5, 7, 11):
        task = cyclic(order)
        end = ascend(torch.randn(config.starts, 2 * order, generator=g, dtype=torch.float64), task.pairs)
        share = shares_of_nodes(end.w.mT, task.components)
        worst["energy"].append(float((end.energy - order / 4).abs().max()))
        worst["leak"].append(float(1 - share.max(-1).values.min()))
        worst["half"].append(float((end.w[:, :order].square().sum(1) - 0.5).abs().max()))
        found.append(share.argmax(-1).unique().numel() / ((order - 1) // 2))
        train, _ = task.split(0.7, g)
        w = torch.randn(8, 2 * order, generator=g, dtype=torch.float64, requires_grad=True)
        (expected,) = torch.autograd.grad(feature_energy(w, train).sum(), w)
        gap = feature_energy_gradient(w.detach(), train) - expected
        worst["gradient"].append(float(gap.norm() / expected.norm()))
    metrics: dict[str, Any] = {f"energy.{name}": float(np.max(values)) for name, values in worst.items()}
    pure = []
    for name, task in (("z2z3z4", product([2, 3, 4])), ("s4", symmetric(4))):
        end = ascend(torch.randn(config.starts, 2 * task.order, generator=g, dtype=torch.float64), task.pairs)
        share = shares_of_nodes(end.w.mT, task.components).max(-1).values
        pure.append(float((share > 0.999).double().mean()))
        metrics[f"energy.{name}_energies"] = sorted({round(float(e), 3) for e in end.energy})
    metrics["energy.groups_pure"] = min(pure)
    return Part(metrics | {"energy.frequencies": float(np.min(found))}, {})


def maxima(seed: int, config: GrokkingConfig) -> Part:
    """Theorem 4: which maxima of E are left on a share of the pairs; and what is left to climb once some are learnt."""
    g, _ = generators(seed, "maxima")
    task = cyclic(23)
    factors = (0.5, 1.0, 1.5, 2.0, 2.7482, 3.5, 5.0)
    pure: dict[str, list[float]] = {"random": [], "frequency": []}
    whole = ascend(torch.randn(24, 2 * task.order, generator=g, dtype=torch.float64), task.pairs).w
    for factor in factors:
        train, _ = task.split(min(0.95, factor * np.log(task.order) / task.order), g)
        for name, start in (("frequency", whole), ("random", torch.randn(whole.shape, generator=g, dtype=whole.dtype))):
            end = ascend(start, train, tolerance=1e-4, max_steps=300)
            share = shares_of_nodes(end.w.mT, task.components).max(-1).values
            pure[name].append(float((share > 0.9).double().mean()))
    # Top-down: features of half of the frequencies, ridge readout; the residual's energy has maxima elsewhere only.
    learnt = list(range(1, 1 + (task.order - 1) // 4))
    nodes = []
    element = torch.arange(task.order, dtype=torch.float64)
    for k in learnt:
        for _ in range(8):
            phase = 2 * torch.pi * torch.rand(2, generator=g, dtype=torch.float64)
            nodes.append(torch.cat([torch.cos(2 * torch.pi * k * element / task.order + p) for p in phase]))
    w = torch.stack(nodes, 1)
    f = (w[task.pairs[:, 0]] + w[task.order + task.pairs[:, 1]]).square()
    y = _one_hot(task, task.pairs)
    centred = f - f.mean(0)
    residual = (y - y.mean(0)) - centred @ ridge_readout(f, y, ETA)
    end = ascend(torch.randn(24, 2 * task.order, generator=g, dtype=torch.float64), task.pairs, targets=residual)
    share = shares_of_nodes(end.w.mT, task.components)
    # Which component is which frequency: the one its cosine lies on.
    known = [
        int(
            torch.stack(
                [(torch.cos(2 * torch.pi * k * element / task.order) @ b).norm() for b in task.components]
            ).argmax()
        )
        for k in learnt
    ]
    elsewhere = torch.tensor([int(c) not in known for c in share.argmax(-1)])
    return Part(
        {
            "maxima.top_down": float((elsewhere & (share.max(-1).values > 0.99)).double().mean()),
            "maxima.kept_at_5": pure["frequency"][-1],
            "maxima.kept_at_half": pure["frequency"][0],
            "maxima.critical": critical_share(task.order),
            "maxima.random": pure["random"],
            "maxima.frequency": pure["frequency"],
        },
        {"factors": list(factors), **pure},
    )
