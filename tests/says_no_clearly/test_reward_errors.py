"""Reward equivalence refuses what it cannot compare, in sentences that say what to do."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from invdyn.decisions.adversarial import adversarial_pair, step_length
from invdyn.decisions.batched_projection import ShapingProjection
from invdyn.decisions.behaviour import Behaviour
from invdyn.decisions.identified_set import IdentifiedSet
from invdyn.decisions.sensitivity import count_policy
from invdyn.decisions.tabular_mdp import TabularMDP, chain_mdp, grid_mdp, random_mdp
from invdyn.errors import InvdynError
from invdyn.verify.metrics import RewardSpace, feature_starc, regret

G = torch.Generator().manual_seed(0)
MDP = random_mdp(4, 2, 0.9, G)
CERTAIN = chain_mdp(4, 0.9, slip=0.0)
MADE: dict[str, tuple[Callable[[], Any], str]] = {
    "discount": (lambda: replace(MDP, discount=1.5), "discount 1.5; it must lie between 0 and 1"),
    "probabilities": (lambda: replace(MDP, transition=2 * MDP.transition), "sum to 1; normalise them"),
    "no action": (
        lambda: replace(MDP, available=torch.tensor([[True, True]] * 3 + [[False, False]])),
        "state 3 has no available action; give it one or mark it as terminal",
    ),
    "temperature": (lambda: MDP.soft(0.0), "alpha 0.0; the temperature must be above 0"),
    "beta": (lambda: MDP.boltzmann(-1.0), "beta -1.0; it must be above 0"),
    "kind": (lambda: Behaviour("boltzman"), "unknown behaviour model 'boltzman'. Did you mean 'boltzmann'"),
    "parameter": (lambda: Behaviour("mce", 0.0), "parameter 0.0; it must be above 0"),
    "never taken": (
        lambda: IdentifiedSet(torch.tensor([[1.0, 0.0]] * 4, dtype=torch.float64), MDP, Behaviour()),
        "action 1 is never taken in state 0, which no finite reward explains under 'mce'; smooth the counts",
    ),
    "rule": (
        lambda: IdentifiedSet(MDP.uniform(), MDP, Behaviour()).pick("max_margin"),
        "rule 'max_margin' with behaviour 'mce'; 'max_margin' belongs to 'optimal'",
    ),
    "change": (lambda: adversarial_pair(MDP, "dynamic", 1.0, G), "Did you mean 'dynamics'?"),
    "certain": (
        lambda: adversarial_pair(CERTAIN, "dynamics", 1.0, G),
        "every action leads to one certain state, so no reward can be redistributed",
    ),
    "too far": (lambda: step_length(1.5), "distance 1.5; the formula holds from 0 to sqrt(2)"),
    "counted": (
        lambda: count_policy(torch.ones(4, 2), replace(MDP, terminal=torch.arange(4) == 2)),
        "action 0 was counted in state 2, where it is not available",
    ),
    "endless": (lambda: ShapingProjection(replace(MDP, discount=1.0)), "needs a discount below 1"),
    "sparse": (
        lambda: RewardSpace.of(grid_mdp(12, 12, 1.0, torch.zeros(144, dtype=torch.float64)).transition, 1.0).distance(
            np.ones((144, 4)), np.ones((144, 4))
        ),
        "above 1000 it must be below 1",
    ),
    "shape": (
        lambda: RewardSpace.of(MDP.transition, 0.9).distance(np.ones((3, 2)), np.ones((3, 2))),
        "a reward of shape (3, 2); expected (4, 2, 4), (4, 2) or one number for each of the 32 supported transitions",
    ),
    "nan": (
        lambda: RewardSpace.of(MDP.transition, 0.9).canonical(np.full((4, 2), np.nan)),
        "the reward is NaN or infinite on a transition that can happen",
    ),
    "transitions": (lambda: RewardSpace.of(np.ones((2, 2)), 0.9), "transitions have shape (2, 2); expected"),
    "unnormalised": (lambda: RewardSpace.of(np.ones((2, 2, 2)), 0.9), "sum to 1 only within 1; normalise them"),
    "all terminal": (
        lambda: RewardSpace.of(MDP.transition, 0.9, terminal=np.ones(4, bool)),
        "no transition is supported; give at least one state that is not terminal",
    ),
    "few samples": (
        lambda: feature_starc(np.ones(1), np.ones(1), np.ones((2, 1)), np.eye(2)),
        "2 samples and shaping of rank 2 leave nothing to compare; sample more transitions",
    ),
    "rows": (lambda: feature_starc(np.ones(1), np.ones(1), np.ones((2, 1)), np.eye(3)), "need one row per sample"),
    "nothing at stake": (lambda: regret(1.0, 1.0, worst=1.0), "with nothing at stake there is no share"),
}


@pytest.mark.parametrize("case", MADE)
def test_refusal_says_what_where_and_what_to_do(case: str) -> None:
    make, told = MADE[case]
    with pytest.raises(InvdynError, match=re.escape(told)):
        make()


def test_an_inconsistent_policy_has_no_maximum_margin() -> None:
    """Two actions that do the same cannot be optimal and not optimal."""
    twin = MDP.transition.clone()
    twin[:, 1] = twin[:, 0]
    mdp = TabularMDP(twin, MDP.reward, 0.9, MDP.start)
    policy = torch.tensor([[1.0, 0.0]] * 4, dtype=torch.float64)
    found = IdentifiedSet(policy, mdp, Behaviour("optimal"))
    assert not found.contains(found.pick("max_margin"))  # margins of zero: ties, which the set excludes
