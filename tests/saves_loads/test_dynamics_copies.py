"""`Dynamics` inside what is copied or sent to another process: a module's deep copy, a loader's worker."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torques_case import ARM, write_robot

from invdyn.bodies.dynamics import Dynamics
from invdyn.bodies.urdf import read_urdf

pytest.importorskip("lxml", reason="needs the extra 'bodies'")


@pytest.mark.parametrize("again", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_a_copy_of_used_dynamics_computes_the_same(tmp_path: Path, again: Callable[[Dynamics], Dynamics]) -> None:
    dynamics = Dynamics(read_urdf(write_robot(tmp_path, ARM)))
    motion = torch.randn(3, 2, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    torque = dynamics.rnea(*motion)
    assert torch.equal(again(dynamics).rnea(*motion), torque)
    assert torch.equal(dynamics.rnea(*motion), torque)
