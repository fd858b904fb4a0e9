"""Training a grokking net full-batch, with probes; the events of a run and a detector of the change of stage.

The detector looks at the last 20 updates of the features: while one direction rules (lazy stage) their Gram matrix has
one large eigenvalue; when nodes start to climb on their own, several directions become alike in size and
sigma_2/sigma_3 of the updates peaks. Source: arXiv 2509.21519; the detector follows an independent replication.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from invdyn.errors import ConfigError
from invdyn.learning.grok_net import GrokNet, centred_loss
from invdyn.learning.grok_probes import GrokProbes
from invdyn.learning.group_task import GroupTask
from invdyn.training.optim import ParameterGroup
from invdyn.training.trainer import Trainer, TrainerConfig

__all__ = ["GrokConfig", "GrokRun", "UpdateSpectrum", "first_at_least", "train_grokking"]


@dataclass(frozen=True)
class GrokConfig:
    """How a net is trained to grok; defaults of the paper's M = 71 figure but for the sizes."""

    hidden: int = 1024
    """K."""
    share: float = 0.5
    """Pairs trained on."""
    decay: float = 2e-4
    """eta: weight decay of both layers."""
    lr: float = 1e-3
    epochs: int = 400
    """Full-batch updates."""
    optimizer: Literal["adam", "adamw", "muon"] = "adam"
    """adam: decay coupled into the gradient, as published; adamw: decoupled; muon: on W, Adam on V."""
    readout_lr: float | None = None
    """Learning rate of V; None for `lr`."""
    sigma: str = "square"
    ridge: bool = False
    """Hold V at its ridge solution instead of training it."""
    probe_every: int = 5
    full_probes: bool = True
    """Gradient, frequency and energy probes beside accuracy and loss."""
    window: int = 20
    """Updates the stage detector looks back on; 0 leaves it out."""

    def __post_init__(self) -> None:
        if self.hidden < 1 or self.epochs < 1 or self.probe_every < 1 or self.decay < 0:
            raise ConfigError(
                f"grokking: hidden {self.hidden}, epochs {self.epochs}, probe_every {self.probe_every}, decay "
                f"{self.decay:g}; positive numbers are expected (decay may be 0)."
            )


@dataclass
class UpdateSpectrum:
    """Singular values of the last updates of the features, kept as inner products."""

    window: int
    _updates: list[Tensor] = None  # type: ignore[assignment]
    _previous: Tensor | None = None

    def __post_init__(self) -> None:
        self._updates = []
        self.epochs: list[int] = []
        self.ratios: list[list[float]] = []

    def __call__(self, step: int, features: Float[Tensor, "net weight node"]) -> None:
        """Add the change since the last call; every quarter of the window record sigma_2/sigma_3 per net."""
        now = features.detach().flatten(1).clone()
        if self._previous is not None:
            self._updates = [*self._updates[1 - self.window :], now - self._previous]
        self._previous = now
        if len(self._updates) == self.window and step % max(1, self.window // 4) == 0:
            stack = torch.stack(self._updates, 1)
            values = torch.linalg.svdvals(stack @ stack.mT).clamp(min=0).sqrt()
            self.epochs.append(step)
            self.ratios.append((values[:, 1] / values[:, 2].clamp(min=1e-30)).tolist())


@dataclass(frozen=True)
class GrokRun:
    """What was recorded."""

    net: GrokNet
    probes: GrokProbes
    spectrum: UpdateSpectrum | None
    train: Int64[Tensor, "net pair three"]
    test: Int64[Tensor, "net other three"]


class _Observer:
    def __init__(self, probes: GrokProbes, spectrum: UpdateSpectrum | None, last: int) -> None:
        self.probes, self.spectrum, self.last = probes, spectrum, last

    def __call__(self, step: int, model: nn.Module) -> None:
        assert isinstance(model, GrokNet)
        self.probes(step, model)
        if self.spectrum is not None:
            self.spectrum(step, model.features)


def train_grokking(task: GroupTask, config: GrokConfig, seeds: Sequence[int], device: str = "cpu") -> GrokRun:
    """Train one net per seed side by side, each on a split of its own drawn with that seed.

    Raises:
        ConfigError: a share that leaves no pairs to train or to test on.
    """
    splits = [task.split(config.share, torch.Generator().manual_seed(seed)) for seed in seeds]
    train, test = (torch.stack([s[i] for s in splits]).to(device) for i in (0, 1))
    net = GrokNet(task.order, config.hidden, [seed + 1_000_003 for seed in seeds], config.sigma).to(device)
    probes = GrokProbes(task, train, test, config.probe_every, config.full_probes)
    spectrum = UpdateSpectrum(config.window) if config.window else None

    def loss(model: Any, batch: Tensor, generator: torch.Generator) -> Mapping[str, Tensor]:
        if config.ridge:
            model.hold_readout(batch, config.decay)
        # The sum keeps every net's gradient what it would be alone.
        return {"loss": centred_loss(model(batch), batch[..., 2]).sum()}

    factor = 1.0 if config.readout_lr is None else config.readout_lr / config.lr
    how = TrainerConfig(
        steps=config.epochs,
        batch_size=train.shape[1],
        optimizer=config.optimizer,
        lr=config.lr,
        weight_decay=config.decay,
        schedule="constant",
        clip=None,
        groups=(ParameterGroup("readout", lr=factor, plain=True, frozen=config.ridge),),
        log_every=config.epochs,
        device=device,
    )
    Trainer(how).fit(net, loss, lambda generator, size: train, observe=_Observer(probes, spectrum, config.epochs))
    return GrokRun(net, probes, spectrum, train, test)


def first_at_least(epochs: Sequence[int], curve: Float[Tensor, " time"], level: float, start: int = 0) -> float:
    """Epoch of the first record from `start` on with a value of at least `level`; infinite where there is none."""
    for epoch, value in zip(epochs, curve.tolist(), strict=True):
        if epoch >= start and value >= level:
            return float(epoch)
    return math.inf
