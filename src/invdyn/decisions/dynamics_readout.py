"""`DynamicsReward`: many discriminators of one training, calibrated each and averaged, as a reward of transitions.

The read-out of MOREC (Luo, Xu, Cao, Yu, ICLR 2024, arXiv 2310.05422; released code polixir/morec). A discriminator says
how much more a transition looks recorded than generated *by the model of its moment*. Between the value it gave
generated (l) and recorded transitions (e) it is read linearly, so that early and late ones have the same say:

    z = ((clip(logit, l, e) - l) / (e - l) - 1/2) rge,    rge = 2 max(|e_max|, |l_min|)
    r_D = -log(1 - mean_t min(sigmoid(z_t), clip) + 1e-9)

With the extremes fixed at l_min = 0 and e_max = 1, as released, z lies within +-1 and r_D within 0.3133 .. 1.3133.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from invdyn.errors import ConfigError
from invdyn.nn.probabilistic_ensemble import WIDEST
from invdyn.nn.stacked_mlp import StackedMLP

__all__ = ["CUT", "DynamicsReward", "Snapshots", "calibrated", "probability_of", "reward_of"]

CUT = 0.6
"""Transitions of less reward end a rollout (released code); a mean probability of 0.4512."""
TINY = 1e-9
"""Inside the logarithm (released code)."""

Extremes = tuple[float, float]
"""l_min and e_max."""


def calibrated(
    logits: Float[Tensor, "snap batch"],
    expert: Float[Tensor, " snap"],
    learner: Float[Tensor, " snap"],
    extremes: Extremes | None = (0.0, 1.0),
) -> Float[Tensor, "snap batch"]:
    """Logits on the common scale, within +-rge / 2.

    Args:
        logits: of every snapshot.
        expert, learner: e and l, its mean logits of recorded and of generated transitions; e > l.
        extremes: l_min and e_max; None takes those of the snapshots.
    """
    low, high = (float(learner.min()), float(expert.max())) if extremes is None else extremes
    e, l = expert[:, None], learner[:, None]  # noqa: E741 - the paper's letter
    share = (torch.minimum(torch.maximum(logits, l), e) - l) / (e - l)
    return (share - 0.5) * 2 * max(abs(high), abs(low))


def reward_of(probability: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
    """r_D of a mean probability.

    >>> round(float(reward_of(torch.tensor(0.5))), 4)
    0.6931
    """
    return -torch.log(1 - probability + TINY)


def probability_of(reward: float) -> float:
    """The mean probability of a reward.

    >>> round(probability_of(0.6), 4)
    0.4512
    """
    return 1 - math.exp(-reward) + TINY


class Snapshots(nn.Module):
    """Discriminators of one training, [snapshot, batch] logits; also of several trainings side by side.

    Inputs are (s, a, s' - s), each component standardised by the data.

    Args:
        nets: one per snapshot.
        shift, scale: [in] of the inputs.
    """

    shift: Tensor
    scale: Tensor

    def __init__(self, nets: StackedMLP, shift: Float[Tensor, " in"], scale: Float[Tensor, " in"]) -> None:
        super().__init__()
        self.nets = nets
        self.register_buffer("shift", shift)
        self.register_buffer("scale", scale)

    def forward(
        self,
        observation: Float[Tensor, "batch obs"],
        cause: Float[Tensor, "batch cause"],
        after: Float[Tensor, "batch obs"],
    ) -> Float[Tensor, "snap batch"]:
        x = torch.cat([observation, cause, after - observation], -1)
        x = ((x - self.shift) / self.scale).clamp(-WIDEST, WIDEST)
        return self.nets(x.expand(self.nets.nets, *x.shape))[..., 0]


class DynamicsReward(nn.Module):
    """r_D(s, a, s') of one run: higher where a transition follows the recorded dynamics.

    Args:
        snapshots: the discriminators.
        expert, learner: e and l of each.
        clip: largest probability of a single one.
        extremes: see `calibrated`.

    Raises:
        ConfigError: no snapshot, other numbers of e and l, or one with e <= l.
    """

    expert: Tensor
    learner: Tensor

    def __init__(
        self,
        snapshots: Snapshots,
        expert: Float[Tensor, " snap"],
        learner: Float[Tensor, " snap"],
        *,
        clip: float = 1.0,
        extremes: Extremes | None = (0.0, 1.0),
    ) -> None:
        super().__init__()
        count = snapshots.nets.nets
        if not (len(expert) == len(learner) == count) or not bool((expert > learner).all()):
            raise ConfigError(
                f"dynamics reward: {count} snapshots with {len(expert)} values of recorded and {len(learner)} of "
                "generated transitions; expected one of each, and the first above the second."
            )
        self.snapshots, self.clip, self.extremes = snapshots, clip, extremes
        self.register_buffer("expert", expert)
        self.register_buffer("learner", learner)

    @torch.no_grad()
    def probability(
        self,
        observation: Float[Tensor, "batch obs"],
        cause: Float[Tensor, "batch cause"],
        after: Float[Tensor, "batch obs"],
    ) -> Float[Tensor, " batch"]:
        """Mean over snapshots of min(p_t, clip)."""
        logits = self.snapshots(observation, cause, after)
        return torch.sigmoid(calibrated(logits, self.expert, self.learner, self.extremes)).clamp(max=self.clip).mean(0)

    def forward(
        self,
        observation: Float[Tensor, "batch obs"],
        cause: Float[Tensor, "batch cause"],
        after: Float[Tensor, "batch obs"],
    ) -> Float[Tensor, " batch"]:
        """r_D."""
        return reward_of(self.probability(observation, cause, after))

    def only(self, which: Sequence[int]) -> DynamicsReward:
        """The reward that some of the snapshots give; `[-1]`: the last discriminator alone."""
        rows = torch.as_tensor(list(which))
        part = Snapshots(self.snapshots.nets.some(rows), self.snapshots.shift, self.snapshots.scale)
        return DynamicsReward(part, self.expert[rows], self.learner[rows], clip=self.clip, extremes=self.extremes)
