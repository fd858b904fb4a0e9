"""The rti-dp study at toy size: tasks whose policies see pictures, a gripper, recordings offline."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from invdyn.decisions.chunk_config import ChunkPolicyConfig
from invdyn.studies import rti_dp_config, rti_dp_door
from invdyn.studies.rti_dp import RtiDp
from invdyn.studies.rti_dp_config import DOOR, MORE, TASKS, RtiDpConfig
from invdyn.studies.study import Context

TOY = RtiDpConfig(
    episodes=2,
    steps=2,
    batch=4,
    cloning_steps=2,
    ticks=3,
    policy=ChunkPolicyConfig(kind="x0", width=16, depth=1, levels=12),
)


def test_policies_that_see_and_grippers(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("metaworld", reason="needs the extra 'worlds'")
    monkeypatch.setitem(MORE, "reach_seen", dataclasses.replace(MORE["reach_seen"], max_steps=3, images=32))
    monkeypatch.setitem(TASKS, "pick", dataclasses.replace(TASKS["pick"], max_steps=3))
    config = dataclasses.replace(TOY, parts=("exact", "reach_seen", "pick"))
    outcomes = RtiDp().run(config, [0], Context())
    m = outcomes[0].metrics
    for name in ("reach_seen", "pick"):
        rates = [m[f"{name}.{plan}"] for plan in (*rti_dp_config.PLANS, "cloned", "eps.rti", "eps.ddim3_1")]
        assert all(0 <= rate <= 1 for rate in rates)
        assert m[f"{name}.behind"] == m[f"{name}.rti"] - m[f"{name}.dp100_8"]
        assert 0 < m[f"{name}.latency.ratio"] < 1  # three calls of the net against twelve
    assert m["pick.gap"] == max(m["pick.scale_clip"], m["pick.clip_none"])
    assert "reach_seen.gripper.clip" not in m
    assert m["tasks.ahead"] in (0, 1, 2)
    assert len(RtiDp().figure(config, outcomes).axes) == 3


def test_recorded_doors_offline(shared_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """More steps come nearer to all of them whatever the net; two draws differ."""
    monkeypatch.setattr(rti_dp_door, "STEPS", (1, 3))
    config = dataclasses.replace(TOY, parts=("exact", DOOR), steps=60, held_out=2)
    outcomes = RtiDp().run(config, [0], Context(data=shared_data))
    m = outcomes[0].metrics
    assert m["door.ddim_3.action"] < m["door.ddim_1.action"]
    assert m["door.again.action"] > 0
    assert m["door.over_ddim"] == m["door.rti_3.action"] / m["door.ddim_3.action"]
    assert DOOR not in RtiDp().run(config, [0], Context())[0].curves
