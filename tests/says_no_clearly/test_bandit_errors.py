"""Bandits and identification refuse what makes no sense, in sentences that say what to do."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from invdyn.decisions.linear_bandit import Draws, LinearBandit, budget_actions, published
from invdyn.decisions.linear_identification import estimate_markov, hankel, ho_kalman
from invdyn.decisions.optimism import Bound, DiscountedLinUCB
from invdyn.errors import InvdynError
from invdyn.worlds.linear_gaussian import LinearGaussianConfig

REAL = published("real")
MARKOV = REAL.markov(9)[:, None]
CASES: dict[str, tuple[Callable[[], Any], str]] = {
    "name": (lambda: published("reel"), "unknown published bandit 'reel'. Did you mean 'real'?"),
    "unstable": (
        lambda: replace(REAL, A=1.5 * np.eye(3)),
        "A has spectral radius 1.5; below 1 is needed, or transients never fade",
    ),
    "actions": (lambda: replace(REAL, actions=np.ones((2, 4))), "actions of shape (2, 4); B takes 3 inputs per action"),
    "two noises": (
        lambda: LinearBandit.of(LinearGaussianConfig(states=3, causes=3), budget_actions()),
        "process noise 0.2 and output noise 0.0; the bandit has one sigma for both",
    ),
    "budget": (lambda: budget_actions(3, 4.0), "total 4.0 does not fit 3 shares of at most 1.0"),
    "radius": (lambda: Bound.of(REAL, 100, rho=1.0), "a spectral radius of 1.0 is assumed; it must lie in [0, 1)"),
    "gamma": (
        lambda: DiscountedLinUCB(REAL, Bound.of(REAL, 100), Draws([0], 1), gamma=1.0),
        "gamma 1.0; it must lie between 0 and 1",
    ),
    "few rounds": (
        lambda: estimate_markov(np.ones((50, 3)), np.ones((50, 1)), 20, 10),
        "50 inputs and 50 outputs for 83 unknowns; give equally many, and at least 103",
    ),
    "hankel": (lambda: hankel(MARKOV, 5, 5), "5 x 5 blocks need 10 Markov parameters, there are 9"),
    "order": (lambda: ho_kalman(MARKOV, 5), "order 5 from 9 Markov parameters of 1 outputs and 3 inputs; at most 4"),
}


@pytest.mark.parametrize("case", CASES)
def test_refusal_says_what_where_and_what_to_do(case: str) -> None:
    make, told = CASES[case]
    with pytest.raises(InvdynError, match=re.escape(told)):
        make()
