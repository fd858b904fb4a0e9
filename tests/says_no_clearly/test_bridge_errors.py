"""Bridges refuse what makes no sense, in sentences that say what to do."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
import torch

from invdyn.diffusion.bridges import sinkhorn
from invdyn.diffusion.bridges_drift import RegressionConfig
from invdyn.diffusion.bridges_families import NoDrift
from invdyn.diffusion.bridges_fields import second_order
from invdyn.diffusion.bridges_ipf import BridgeConfig, time_grid
from invdyn.diffusion.bridges_refined import RefineReference, refine_reference
from invdyn.errors import InvdynError

X = torch.zeros(3, 2, dtype=torch.float64)
G = torch.Generator().manual_seed(0)
CASES: dict[str, tuple[Callable[[], Any], str]] = {
    "variance": (lambda: sinkhorn(X, X, 0.0), "variance 0.0; the reference needs noise, above 0"),
    "sigma": (lambda: BridgeConfig(sigma=0.0), "sigma 0.0, step 0.02, rounds 10, copies 1; all must be above 0"),
    "features": (lambda: RegressionConfig(features=0), "features >= 1, lengths > 0 and affine >= 0 are needed"),
    "grid": (lambda: time_grid(1.0, 1.0, 0.1), "from 1.0 to 1.0; snapshots must follow each other in time"),
    "one snapshot": (
        lambda: refine_reference([X], [0.0], NoDrift(), RefineReference(), G),
        "1 snapshots and 1 times; two or more of each",
    ),
    "order": (
        lambda: refine_reference([X, X], [1.0, 0.0], NoDrift(), RefineReference(), G),
        "times [1.0, 0.0] do not rise strictly",
    ),
    "nan": (
        lambda: refine_reference([X, X * torch.nan], [0.0, 1.0], NoDrift(), RefineReference(), G),
        "a snapshot holds NaN or infinity; leave such particles out",
    ),
    "iterations": (
        lambda: refine_reference([X, X], [0.0, 1.0], NoDrift(), RefineReference(iterations=0), G),
        "0 iterations, memory 0; at least 1",
    ),
    "memory": (
        lambda: refine_reference([X, X], [0.0, 1.0], NoDrift(), RefineReference(memory=-1), G),
        "10 iterations, memory -1; at least 1, and at least 0",
    ),
    "coordinates": (lambda: second_order(0), "second_order: 0 coordinates; at least 1"),
}


@pytest.mark.parametrize("case", CASES)
def test_refusal_says_what_where_and_what_to_do(case: str) -> None:
    make, told = CASES[case]
    with pytest.raises(InvdynError, match=re.escape(told)):
        make()
