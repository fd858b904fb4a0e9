"""A cloned policy that is saved and loaded acts bit for bit alike; damaged ones are refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from invdyn.decisions import ClonedPolicy, PolicyConfig
from invdyn.episodes.signal import SignalSpec
from invdyn.errors import ConfigError
from invdyn.training.saving import load_model, save_model

STATE = SignalSpec("observation.state", (3,), "float32", "state", unit="m", names=("x", "y", "z"))
CAMERA = SignalSpec("observation.images.top", (32, 32, 3), "uint8", "image")
ACTION = SignalSpec("action", (2,), "float32", "action", low=(-1.0, -2.0), high=(1.0, 2.0))


def actions(policy: ClonedPolicy) -> torch.Tensor:
    """Three steps of four copies."""
    generator = torch.Generator().manual_seed(0)
    policy.reset(4)
    out = []
    for _ in range(3):
        state = torch.randn(4, 3, generator=generator)
        picture = torch.randint(256, (4, 32, 32, 3), generator=generator, dtype=torch.uint8)
        out.append(policy.act({"observation.state": state, "observation.images.top": picture}))
    return torch.stack(out)


@pytest.mark.parametrize("head", ["regression", "squashed"])
def test_round_trip(tmp_path: Path, head: str) -> None:
    policy = ClonedPolicy(PolicyConfig(history=1, width=16, head=head, image_features=8), (STATE, CAMERA), ACTION)
    save_model(policy, tmp_path / "policy")
    loaded = load_model(tmp_path / "policy")
    assert isinstance(loaded, ClonedPolicy)
    assert loaded.config == policy.config
    assert loaded.inputs == (STATE, CAMERA)
    assert loaded.target == ACTION
    assert torch.equal(actions(policy), actions(loaded))


def test_an_unknown_setting_is_refused(tmp_path: Path) -> None:
    save_model(ClonedPolicy(PolicyConfig(width=8), (STATE,), ACTION), tmp_path / "policy")
    card = json.loads((tmp_path / "policy/config.json").read_text())
    card["config"]["widht"] = card["config"].pop("width")
    (tmp_path / "policy/config.json").write_text(json.dumps(card))
    with pytest.raises(ConfigError, match=r"no field 'widht'. Did you mean 'width'"):
        load_model(tmp_path / "policy")
