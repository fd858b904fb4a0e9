"""`Behaviour`: how actions are assumed to come from rewards: optimal, Boltzmann, maximum causal entropy.

Skalse and Abate, ICLR 2024, arXiv 2403.06854, section 2: o (uniform over optimal actions), b_beta (softmax of beta Q*),
c_alpha (softmax of soft Q / alpha).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float64
from torch import Tensor

from invdyn.decisions.tabular_mdp import TabularMDP
from invdyn.errors import ConfigError, unknown_name

__all__ = ["KINDS", "Behaviour", "policy_distance"]

KINDS = ("optimal", "boltzmann", "mce")


@dataclass(frozen=True)
class Behaviour:
    """A map from rewards to policies.

    Args:
        kind: `optimal`, `boltzmann` or `mce`.
        parameter: beta of Boltzmann (1/units of reward), alpha of maximum causal entropy (units of reward); the
            optimal kind has none and ignores it.
    """

    kind: str = "mce"
    parameter: float = 1.0

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise unknown_name("behaviour model", self.kind, KINDS)
        if not self.parameter > 0:
            raise ConfigError(f"behaviour {self.kind!r}: parameter {self.parameter}; it must be above 0.")

    def policy(self, mdp: TabularMDP) -> Float64[Tensor, "s a"]:
        """pi(a|s) under the reward of the process."""
        if self.kind == "optimal":
            return mdp.optimal().policy
        return (mdp.boltzmann if self.kind == "boltzmann" else mdp.soft)(self.parameter).policy


def policy_distance(first: Float64[Tensor, "s a"], second: Float64[Tensor, "s a"], mdp: TabularMDP) -> float:
    """Largest total variation over states that are not terminal, in [0, 1]."""
    apart = 0.5 * (first - second).abs().sum(1)
    return float(torch.where(mdp.ends, torch.zeros_like(apart), apart).max())
