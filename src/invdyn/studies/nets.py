"""Nets of the diffusion studies, all trained alike: what differs is the net, the objective, the data and the sizes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from invdyn.nn import EMAConfig
from invdyn.training import Trainer, TrainerConfig

__all__ = ["Draw", "fit_net"]

Draw = Callable[[torch.Generator, int], Tensor]
"""Generator and size to a batch of data."""
N = TypeVar("N", bound=nn.Module)


def fit_net(
    make: Callable[[], N],
    loss: Any,
    draw: Callable[[torch.Generator, int], Any],
    *,
    steps: int,
    batch: int,
    lr: float,
    seed: int,
    logs: int = 20,
    warmup: int = 0,
    observe: Any = None,
    device: str = "cpu",
) -> tuple[N, list[float]]:
    """A net by Adam on a cosine with the power average of its weights, and its logged losses.

    Args:
        make: the net; its weights are drawn from `seed`.
        loss, draw: objective and data (a batch, or a tuple of what the objective takes).
        steps, batch, lr: updates, samples an update, rate.
        logs: losses that are kept.
        warmup: updates over which the rate rises.
        observe: see `Trainer.fit`.
        device: where it is trained, and stays.
    """
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        net = make()
    config = TrainerConfig(
        steps=steps,
        batch_size=batch,
        optimizer="adam",
        lr=lr,
        weight_decay=0.0,
        clip=None,
        ema=EMAConfig("power", 0.9999, 0.75),
        seed=seed,
        warmup=warmup,
        device=device,
        log_every=max(1, steps // logs),
        tensorboard=False,
    )
    result = Trainer(config).fit(net, loss, draw, observe=observe)
    return net, [float(entry["loss"]) for entry in result.history]
