"""What an ensemble says together, and causes whose step is not a vector."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from invdyn.nn.categoricals import FactoredCategorical, JointCategorical
from invdyn.nn.distributions import CauseDistribution
from invdyn.nn.gaussians import standard_normal

__all__ = ["EnsembleMixture", "Reshaped", "mix_members"]


def mix_members(members: CauseDistribution) -> CauseDistribution:
    """The equal mixture over the leading axis of a distribution on [member, batch, ...].

    Classes: probabilities are averaged. Numbers: `EnsembleMixture`.
    """
    if isinstance(members, FactoredCategorical):
        mean = [torch.logsumexp(p, 0) - math.log(len(p)) for p in members.log_probs]
        return FactoredCategorical(torch.cat(mean, -1), members.sizes)
    if isinstance(members, JointCategorical):
        probs = torch.logsumexp(members.log_probs, 0) - math.log(len(members.log_probs))
        return JointCategorical(probs, members.sizes)
    return EnsembleMixture(members)


class EnsembleMixture(CauseDistribution):
    """Equal mixture of members: point = mean of points, variance = E[s^2] + E[m^2] - E[m]^2 (SS-ORL).

    Args:
        members: a distribution on [member, batch, cause].
    """

    def __init__(self, members: CauseDistribution) -> None:
        self.members = members

    def point(self) -> Float[Tensor, "batch cause"]:
        return self.members.point().mean(0)

    def sample(self, generator: torch.Generator | None = None) -> Float[Tensor, "batch cause"]:
        draws = self.members.sample(generator)
        scores = standard_normal(draws[..., 0], generator)  # the member of each sample: the largest of iid scores
        return draws.gather(0, scores.argmax(0)[None, :, None].expand(1, *draws.shape[1:])).squeeze(0)

    def log_prob(self, value: Float[Tensor, "batch cause"]) -> Float[Tensor, " batch"]:
        size = len(self.members.point())
        each = self.members.log_prob(value.expand(size, *value.shape))
        return torch.logsumexp(each, 0) - math.log(size)

    def spread(self) -> Float[Tensor, "batch cause"]:
        within = self.members.spread().square().mean(0)
        return (within + self.members.point().var(0, correction=0)).sqrt()


class Reshaped(CauseDistribution):
    """A distribution over flat causes, answering in the target's own shape.

    Args:
        base: distribution on [batch, cause].
        shape: shape of one cause.
    """

    def __init__(self, base: CauseDistribution, shape: tuple[int, ...]) -> None:
        self.base, self.shape = base, shape

    def _out(self, call: Callable[[], Tensor]) -> Tensor:
        flat = call()
        return flat.reshape(len(flat), *self.shape)

    def point(self) -> Float[Tensor, batch * event]:
        return self._out(self.base.point)

    def sample(self, generator: torch.Generator | None = None) -> Float[Tensor, batch * event]:
        return self._out(lambda: self.base.sample(generator))

    def log_prob(self, value: Float[Tensor, batch * event]) -> Float[Tensor, " batch"]:
        return self.base.log_prob(value.reshape(len(value), -1))

    def spread(self) -> Float[Tensor, batch * event]:
        return self._out(self.base.spread)
