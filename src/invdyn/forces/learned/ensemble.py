"""Nets from motion to torque, several of one shape trained together: their mean, and how far they differ."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor, nn

from invdyn.errors import ConfigError, SignalError
from invdyn.forces.learned.rows import TorqueEstimate, TorqueModel, TorqueRows, check_joints
from invdyn.nn.seed_axis import SeedAxis
from invdyn.training.seeding import generator_at, seeded
from invdyn.training.trainer import Trainer, TrainerConfig, TrainResult

__all__ = ["EnsembleConfig", "Scales", "TorqueEnsemble", "default_trainer", "fit_ensemble"]

AT_A_TIME = 4096
Batch = tuple[Tensor, Tensor, Tensor]


def default_trainer(lr: float = 2e-3, weight_decay: float = 1e-4) -> TrainerConfig:
    """The training that suits ten thousand rows (our choice): 4000 updates at most, stopped early."""
    return TrainerConfig(
        steps=4000,
        batch_size=256,
        lr=lr,
        weight_decay=weight_decay,
        warmup=100,
        validate_every=200,
        patience=8,
        tensorboard=False,
    )


@dataclass(frozen=True)
class EnsembleConfig:
    """How the nets are trained.

    Args:
        members: how many, each with its own initial weights, on the same batches.
        holdout: share of the blocks held out, for early stopping and for the size of the noise.
        trainer: the training; its seed is replaced by `seed`.
        seed: of initial weights, held-out blocks and batches.
    """

    members: int = 5
    holdout: float = 0.1
    trainer: TrainerConfig = field(default_factory=default_trainer)
    seed: int = 0

    def __post_init__(self) -> None:
        if self.members < 1:
            raise ConfigError(f"torque ensemble: {self.members} members, expected at least 1.")
        if not 0 < self.holdout < 1:
            raise ConfigError(f"torque ensemble: holdout is {self.holdout}, expected a share between 0 and 1.")


@dataclass(frozen=True)
class Scales:
    """Typical sizes, so that nets see and make numbers of order 1.

    Args:
        q_mean, q_std, qd_std, qdd_std: [n] of the motion. tau_mean, tau_std: [n] of the measured torques, N m.
    """

    q_mean: tuple[float, ...]
    q_std: tuple[float, ...]
    qd_std: tuple[float, ...]
    qdd_std: tuple[float, ...]
    tau_mean: tuple[float, ...]
    tau_std: tuple[float, ...]

    @classmethod
    def of(cls, rows: TorqueRows) -> Scales:
        """Raises SignalError for a joint without a measured torque."""
        own = [rows.of_joint(j).tau[:, j] for j in range(rows.joints)]

        def stds(columns: list[np.ndarray]) -> tuple[float, ...]:
            found = [float(c.std()) for c in columns]
            return tuple(s if s > 0 else 1.0 for s in found)

        return cls(
            tuple(float(m) for m in rows.q.mean(0)),
            stds(list(rows.q.T)),
            stds(list(rows.qd.T)),
            stds(list(rows.qdd.T)),
            tuple(float(c.mean()) for c in own),
            stds(own),
        )


@dataclass(frozen=True)
class TorqueEnsemble(TorqueModel):
    """Trained nets.

    Args:
        net: from [N, 3n] (q, qd, qdd) to [member, N, n] N m.
        noise: [n] N m, RMS error of the mean at the held-out blocks.
        joints: n.
        result: of the training.
    """

    net: SeedAxis
    noise: Float64[np.ndarray, " joints"]
    joints: int
    result: TrainResult

    def predict(self, rows: TorqueRows) -> TorqueEstimate:
        """Mean over members; spread sqrt(variance over members + noise^2)."""
        check_joints(self, rows)
        told = _answers(self.net, rows)
        return TorqueEstimate(told.mean(0), np.sqrt(told.var(0) + self.noise**2))


def fit_ensemble(rows: TorqueRows, build: Callable[[Scales], nn.Module], config: EnsembleConfig) -> TorqueEnsemble:
    """Train nets on the measured torques, squared error in units of each joint's spread.

    Args:
        rows: measured torques, NaN where a joint was not measured: such a joint adds nothing to the loss.
        build: one net, module [N, 3n] -> [N, n] N m, for the sizes of the training rows.
        config: how.

    Raises:
        SignalError: fewer than two blocks, or a joint not measured in the blocks that are kept or held out.
    """
    names = np.unique(rows.block)
    if len(names) < 2:
        raise SignalError(
            f"torque ensemble: all {len(rows)} rows are of one block, none can be held out. Cut it with time_blocks."
        )
    order = torch.randperm(len(names), generator=generator_at(config.seed, 0, 7)).numpy()
    held = np.isin(rows.block, names[order[: max(1, round(config.holdout * len(names)))]])
    train, check = rows[~held], rows[held]
    scales = Scales.of(train)
    with seeded(config.seed, 11):
        net = SeedAxis(lambda: build(scales), config.members)
    size = torch.tensor(scales.tau_std)
    x, known = torch.from_numpy(train.motion).float(), torch.from_numpy(train.measured)
    y = torch.from_numpy(np.nan_to_num(train.tau)).float()

    def draw(generator: torch.Generator, count: int) -> Batch:
        which = torch.randint(len(x), (count,), generator=generator)
        return x[which], y[which], known[which]

    def loss(model: nn.Module, batch: Batch, _: torch.Generator) -> Mapping[str, Tensor]:
        motion, torque, measured = batch
        off = torch.where(measured, (model(motion) - torque) / size, 0.0)
        # A sum over members, so that each learns as if alone.
        return {"loss": (off**2).sum() / measured.sum()}

    settings = replace(config.trainer, seed=config.seed)
    result = Trainer(settings).fit(
        net, loss, draw, lambda model: float(np.nanmean((_errors(model, check) / size.numpy()) ** 2))
    )
    noise = np.sqrt(np.nanmean(_errors(net, check) ** 2, 0))
    return TorqueEnsemble(net, noise, rows.joints, result)


def _errors(net: nn.Module, rows: TorqueRows) -> Float64[np.ndarray, "rows joint"]:
    for joint in range(rows.joints):
        rows.of_joint(joint)
    return _answers(net, rows).mean(0) - rows.tau


@torch.no_grad()
def _answers(net: nn.Module, rows: TorqueRows) -> Float64[np.ndarray, "member rows joint"]:
    parts: list[Float[Tensor, "member rows joint"]] = [
        net(x) for x in torch.from_numpy(rows.motion).float().split(AT_A_TIME)
    ]
    return torch.cat(parts, 1).double().numpy()
