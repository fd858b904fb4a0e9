"""Optimisers by name, parameter groups, and learning-rate schedules with warm-up."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import nn

from invdyn.errors import ConfigError, unknown_name
from invdyn.training.muon import Muon

__all__ = ["OptimizerName", "ParameterGroup", "ScheduleName", "make_optimizer", "schedule_factor"]

OptimizerName = Literal["adamw", "adam", "sgd", "muon"]
ScheduleName = Literal["constant", "cosine", "linear"]


@dataclass(frozen=True)
class ParameterGroup:
    """Parameters that are treated differently.

    Args:
        prefix: beginning of their names in the model (`encoder.`).
        lr: factor on the learning rate.
        weight_decay: their own weight decay; None for the common one.
        frozen: they take no gradient.
        plain: under `muon` they take Adam's step instead of the polar one.
    """

    prefix: str
    lr: float = 1.0
    weight_decay: float | None = None
    frozen: bool = False
    plain: bool = False


def schedule_factor(name: ScheduleName, step: int, steps: int, warmup: int = 0, final: float = 0.0) -> float:
    """Factor on the learning rate at a step (0-based).

    Rises linearly over `warmup` steps to 1, then stays (`constant`) or falls to `final` at the last step as half a
    cosine or a line.
    """
    if step < warmup:
        return (step + 1) / warmup
    if name == "constant":
        return 1.0
    part = min(1.0, (step - warmup) / max(1, steps - 1 - warmup))
    if name == "cosine":
        return final + (1.0 - final) * 0.5 * (1.0 + math.cos(math.pi * part))
    if name == "linear":
        return final + (1.0 - final) * (1.0 - part)
    raise unknown_name("schedule", name, ("constant", "cosine", "linear"))


def make_optimizer(
    model: nn.Module,
    name: OptimizerName,
    *,
    lr: float,
    weight_decay: float,
    betas: tuple[float, float] = (0.9, 0.999),
    momentum: float = 0.9,
    groups: Sequence[ParameterGroup] = (),
) -> torch.optim.Optimizer:
    """The optimiser over a model's trainable parameters; freezes those of frozen groups.

    Biases and parameters of one axis (norms, scales) are not decayed. Every torch group carries `factor`, the
    group's factor on the learning rate.

    Raises:
        ConfigError: a group that matches no parameter, nothing left to train.
        UnknownNameError: no such optimiser.
    """
    named = dict(model.named_parameters())
    for group in groups:
        if not any(n.startswith(group.prefix) for n in named):
            tops = {".".join(n.split(".")[:depth]) for n in named for depth in (1, 2)}
            raise ConfigError(f"parameter group: {unknown_name('prefix', group.prefix, tops)}")
    buckets: dict[tuple[float, float, bool], list[nn.Parameter]] = {}
    for parameter_name, parameter in named.items():
        matching = [g for g in groups if parameter_name.startswith(g.prefix)]
        # The longest prefix wins, so that a part of a group can be treated in its own way.
        own = max(matching, key=lambda g: len(g.prefix)) if matching else ParameterGroup("")
        if own.frozen:
            parameter.requires_grad_(False)
        if not parameter.requires_grad:
            continue
        decay = weight_decay if own.weight_decay is None else own.weight_decay
        if parameter.ndim <= 1 or parameter_name.endswith("bias"):
            decay = 0.0
        buckets.setdefault((own.lr, decay, own.plain), []).append(parameter)
    if not buckets:
        raise ConfigError("the model has no parameter to train. Unfreeze a group.")
    parts: list[dict[str, Any]] = [
        {"params": params, "weight_decay": decay, "factor": factor, "lr": lr * factor, "plain": plain}
        for (factor, decay, plain), params in buckets.items()
    ]
    fused = all(p.device.type in ("cpu", "cuda") and p.is_floating_point() for part in parts for p in part["params"])
    if name == "adamw":
        return torch.optim.AdamW(parts, lr=lr, betas=betas, fused=fused)
    if name == "adam":
        return torch.optim.Adam(parts, lr=lr, betas=betas, fused=fused)
    if name == "sgd":
        return torch.optim.SGD(parts, lr=lr, momentum=momentum, fused=fused)
    if name == "muon":
        return Muon(parts, lr=lr, betas=betas)
    raise unknown_name("optimizer", name, ("adamw", "adam", "sgd", "muon"))
