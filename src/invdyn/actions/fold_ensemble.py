"""`FoldEnsemble`: the models of a cross-validation, answering together, so that no labelled episode is given away."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor, nn

from invdyn.actions.base import InverseModel
from invdyn.actions.inverse import InverseConfig
from invdyn.actions.inverse_nets import InverseNet
from invdyn.episodes.signal import SignalSpec
from invdyn.episodes.windows import WindowBatch
from invdyn.errors import ConfigError
from invdyn.nn.categoricals import FactoredCategorical, JointCategorical
from invdyn.nn.distributions import CauseDistribution
from invdyn.nn.mixing import mix_members
from invdyn.training.saving import weights_hash

__all__ = ["FoldEnsemble", "FoldEnsembleConfig", "Pooled", "pool"]


@dataclass(frozen=True)
class FoldEnsembleConfig:
    """Settings of a `FoldEnsemble`."""

    member: InverseConfig = field(default_factory=InverseConfig)
    """Settings of every member."""
    folds: int = 5
    """How many members; each was trained without one group of the labelled episodes."""

    def __post_init__(self) -> None:
        if self.folds < 2:
            raise ConfigError(f"fold ensemble: folds is {self.folds}, expected at least 2.")


class FoldEnsemble(InverseModel):
    """The equal mixture of `folds` inverse nets, each trained without one group of the labelled episodes.

    Every labelled episode taught all members but one, whose errors on it are honest: they calibrate the intervals (CV+,
    Barber et al. 2021), while the answer given is the members' mean, as in bagging.
    """

    def __init__(self, config: FoldEnsembleConfig, inputs: Sequence[SignalSpec], target: SignalSpec) -> None:
        super().__init__()
        self.config, self.input_specs, self.target = config, tuple(inputs), target
        self.inputs, self.window = tuple(spec.name for spec in inputs), config.member.window
        self.members = nn.ModuleList(InverseNet(config.member, inputs, target) for _ in range(config.folds))

    @classmethod
    def of(cls, members: Sequence[InverseNet]) -> FoldEnsemble:
        """The ensemble of trained nets with one setting."""
        first = members[0]
        model = cls(FoldEnsembleConfig(first.config, len(members)), first.input_specs, first.target)
        model.members = nn.ModuleList(members)
        return model.eval()

    def infer(self, batch: WindowBatch) -> CauseDistribution:
        """The cause at the centre of each window, in the target's own unit."""
        return pool([member.infer(batch) for member in self.members])  # type: ignore[operator]

    @property
    def model_id(self) -> str:
        """`idm-` and a hash of the weights."""
        return f"idm-{weights_hash(self)[:8]}"


def pool(members: Sequence[CauseDistribution]) -> CauseDistribution:
    """The equal mixture of separate answers to the same windows."""
    first = members[0]
    if isinstance(first, FactoredCategorical):
        together = torch.stack([torch.cat(list(m.log_probs), -1) for m in members])  # type: ignore[attr-defined]
        return mix_members(FactoredCategorical(together, first.sizes))
    if isinstance(first, JointCategorical):
        return mix_members(JointCategorical(torch.stack([m.log_probs for m in members]), first.sizes))  # type: ignore[attr-defined]
    return Pooled(members)


class Pooled(CauseDistribution):
    """The mean of members that were scored on episodes left out of their training.

    A member's spread is its error on such episodes, which already contains what members disagree about. The mean of
    members errs less than they do, by exactly their disagreement (Krogh and Vedelsby 1995, eq. 6):
    error(mean)^2 = mean of error(member)^2 - var(members). `spread` is that, at least half the members' own.
    """

    def __init__(self, members: Sequence[CauseDistribution]) -> None:
        self.members = tuple(members)

    def point(self) -> Float[Tensor, "batch *event"]:
        return torch.stack([m.point() for m in self.members]).mean(0)

    def sample(self, generator: torch.Generator | None = None) -> Float[Tensor, "batch *event"]:
        draws = torch.stack([m.sample(generator) for m in self.members])
        chosen = torch.randint(len(self.members), (draws.shape[1],), generator=generator)
        return draws[chosen, torch.arange(draws.shape[1])]

    def log_prob(self, value: Float[Tensor, "batch *event"]) -> Float[Tensor, " batch"]:
        """Log-density of the equal mixture."""
        each = torch.stack([m.log_prob(value) for m in self.members])
        return torch.logsumexp(each, 0) - math.log(len(self.members))

    def spread(self) -> Float[Tensor, "batch *event"]:
        own = torch.stack([m.spread() for m in self.members]).square().mean(0)
        disagreement = torch.stack([m.point() for m in self.members]).var(0, correction=0)
        return torch.maximum(own - disagreement, own / 4).sqrt()
