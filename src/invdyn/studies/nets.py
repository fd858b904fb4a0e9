"""Small nets of the diffusion studies, all trained alike: what differs is the objective, the data and the sizes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from invdyn.nn import EMAConfig
from invdyn.nn.time_mlp import TimeMLP
from invdyn.training import Trainer, TrainerConfig

__all__ = ["Draw", "fit_time_mlp"]

Draw = Callable[[torch.Generator, int], Tensor]
"""Generator and size to a batch of data."""


def fit_time_mlp(
    make: Callable[[], TimeMLP],
    loss: Any,
    draw: Draw,
    *,
    steps: int,
    batch: int,
    lr: float,
    seed: int,
    logs: int = 20,
    observe: Any = None,
) -> tuple[TimeMLP, list[float]]:
    """A net by Adam on a cosine with the power average of its weights, and its logged losses.

    Args:
        make: the net; its weights are drawn from `seed`.
        loss, draw: objective and data.
        steps, batch, lr: updates, samples an update, rate.
        logs: losses that are kept.
        observe: see `Trainer.fit`.
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
        log_every=max(1, steps // logs),
        tensorboard=False,
    )
    result = Trainer(config).fit(net, loss, draw, observe=observe)
    return net, [float(entry["loss"]) for entry in result.history]
