"""A channel without effect is reported as such in a real simulator: Meta-World's gripper, closed against its stop."""

from __future__ import annotations

import numpy as np
import pytest

from invdyn.verify import resolvable
from invdyn.worlds import make_world, record

pytest.importorskip("metaworld", reason="needs the extra 'worlds'")


def found(task: str, hold: int = 10):
    world = make_world(f"metaworld/{task}", batch=4)
    return resolvable(world, list(record(world, seeds=range(2), noise=0.1, hold=hold)), steps=40)


@pytest.mark.parametrize("task", ["handle-press-v3", "door-close-v3"])
def test_a_gripper_held_closed_cannot_be_told(task):
    """Their experts press with closed fingers. Measured (64 steps): 8 to 28 % of the steps show the gripper."""
    told = found(task)
    assert told.names == ("dx", "dy", "dz", "gripper")
    assert told.dims.tolist() == [True, True, True, False]
    assert told.summary()["resolvable_dims"] == ["dx", "dy", "dz"]
    assert np.median(told.effect[:, 3]) < 0.05 < np.median(told.effect[:, :3], 0).min()


def test_a_gripper_that_grasps_or_floats_can_be_told():
    """On reach nothing is grasped, but the fingers float half open and their opening is part of the observation."""
    assert found("pick-place-v3").dims.tolist() == [True, True, True, True]
    assert found("reach-v3").dims[3]
