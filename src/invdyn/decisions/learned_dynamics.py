"""`fit_dynamics`: an ensemble of dynamics from recorded transitions, as MBPO trains it.

Every member has its own bootstrap; training stops after five epochs without 1 % improvement on the hold-out, then goes
on once at 0.3 of the rate; the elites are the members of least error there (card ravl).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from invdyn.decisions.transitions import Transitions
from invdyn.errors import ConfigError
from invdyn.nn.probabilistic_ensemble import Ends, EnsembleDynamics, ProbabilisticEnsemble
from invdyn.training.seeding import mixed_seed
from invdyn.training.trainer import Trainer, TrainerConfig

__all__ = ["DynamicsConfig", "FittedDynamics", "fit_dynamics"]


@dataclass(frozen=True)
class DynamicsConfig:
    """Settings; defaults are MBPO's and RAVL's.

    Args:
        members, elites: nets trained, and those that predict.
        width, depth: units of each hidden layer, and their number.
        lr: rate of Adam; later once times `lr_factor`.
        lr_factor: 1 leaves the second stage out.
        batch: transitions per member and update.
        epochs: at most, per stage.
        patience: epochs without 1 % improvement.
        holdout: share of the transitions held out, at most 1,000 of them.
    """

    members: int = 7
    elites: int = 5
    width: int = 200
    depth: int = 4
    lr: float = 1e-3
    lr_factor: float = 0.3
    batch: int = 256
    epochs: int = 350
    patience: int = 5
    holdout: float = 0.2

    def __post_init__(self) -> None:
        if not 1 <= self.elites <= self.members:
            raise ConfigError(f"dynamics: {self.elites} elites of {self.members} members; expected 1 to all.")
        if not 0 < self.holdout < 1:
            raise ConfigError(f"dynamics: holdout is {self.holdout}, expected a share between 0 and 1.")


@dataclass(frozen=True)
class FittedDynamics:
    """A model and how well it does on transitions held out.

    Args:
        model: the ensemble as a model.
        errors: [member] mean squared error there.
        epochs: made, over both stages.
    """

    model: EnsembleDynamics
    errors: Float[Tensor, " member"]
    epochs: int


def fit_dynamics(
    data: Transitions,
    low: Float[Tensor, " cause"],
    high: Float[Tensor, " cause"],
    config: DynamicsConfig,
    *,
    seed: int = 0,
    ends: Ends | None = None,
) -> FittedDynamics:
    """Fit an ensemble to the transitions of one run, where these are.

    Raises:
        ConfigError: transitions of several runs, or too few to hold any out.
    """
    if len(data.reward) != 1 or data.rows < 10:
        raise ConfigError(
            f"dynamics: {len(data.reward)} runs of {data.rows} transitions; expected one run of 10 at least."
        )
    inputs = torch.cat([data.observation[0], data.cause[0]], -1)
    wanted = torch.cat([data.next_observation[0] - data.observation[0], data.reward[0][:, None]], -1)
    g = torch.Generator().manual_seed(mixed_seed(seed, 51))
    order = torch.randperm(data.rows, generator=g)
    held = order[: min(1000, max(1, int(config.holdout * data.rows)))]
    rest = order[len(held) :]
    own = rest[torch.randint(len(rest), (config.members, len(rest)), generator=g)]  # each member's bootstrap
    net = ProbabilisticEnsemble(
        inputs.shape[1], wanted.shape[1],
        members=config.members, width=config.width, depth=config.depth, generator=g,
    )  # fmt: skip
    net.to(inputs.device).standardise(inputs[rest])

    def draw(generator: torch.Generator, size: int) -> tuple[Tensor, Tensor]:
        chosen = own.gather(1, torch.randint(own.shape[1], (config.members, size), generator=generator))
        return inputs[chosen], wanted[chosen]

    def loss(model: Any, batch: tuple[Tensor, Tensor], noise: torch.Generator) -> dict[str, Tensor]:
        return {"loss": model.loss(*batch)}

    def validate(model: Any) -> float:
        return float(model.errors(inputs[held], wanted[held]).clamp(min=1e-30).log().mean())

    every = max(1, math.ceil(len(rest) / config.batch))
    updates = 0
    for stage, rate in enumerate((config.lr, config.lr * config.lr_factor)[: 1 if config.lr_factor == 1 else 2]):
        trainer = TrainerConfig(
            steps=config.epochs * every,
            batch_size=config.batch,
            optimizer="adam",
            lr=rate,
            weight_decay=0.0,
            schedule="constant",
            clip=None,
            validate_every=every,
            patience=config.patience,
            min_delta=-math.log(0.99),  # of a logarithm: 1 % of the error
            seed=mixed_seed(seed, 52, stage),
            device=str(inputs.device),
        )
        updates += Trainer(trainer).fit(net, loss, draw, validate).steps
    errors = net.errors(inputs[held], wanted[held])
    net.choose(errors.argsort()[: config.elites].tolist())
    return FittedDynamics(EnsembleDynamics(net, low, high, ends=ends), errors, updates // every)
