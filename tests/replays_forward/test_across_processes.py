"""A recorded state goes on bit for bit in another process, which shares neither memory nor history."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import torch

from invdyn.worlds import make_world
from invdyn.worlds.gym_adapter import OBSERVATION

pytest.importorskip("mujoco", reason="needs the extra 'worlds'")
pytest.importorskip("gym_pusht", reason="needs the extra 'worlds'")
IDS = ["metaworld/pick-place-v3", "metaworld/hammer-v3", "adroit/door", "pusht", "gymnasium/Ant-v5", "push2d"]
FOLLOW = """
import json, sys
import numpy as np, torch
from invdyn.worlds import make_world
told = json.load(open(sys.argv[1] + "/contexts.json"))
given = np.load(sys.argv[1] + "/given.npz")
found = {}
for k, name in enumerate(told):
    world = make_world(name)
    world.reset([77])
    for cause in given[f"causes{k}"][::-1][:4]:  # another past
        world.step(torch.from_numpy(cause)[None])
    world.set_context(told[name])
    world.set_state(torch.from_numpy(given[f"state{k}"]))
    rows = []
    for cause in given[f"causes{k}"]:
        result = world.step(torch.from_numpy(cause)[None])
        rows.append([*result.observation["observation.state"][0].tolist(), float(result.reward[0])])
    found[f"rows{k}"], found[f"end{k}"] = np.array(rows), world.state().numpy()
np.savez(sys.argv[1] + "/found.npz", **found)
"""


def test_states_go_on_in_another_process(tmp_path):
    contexts, given, expected = {}, {}, {}
    for k, name in enumerate(IDS):
        world = make_world(name)
        world.reset([31 + k])
        contexts[name] = world.context()
        draw = torch.rand(40, world.action.size, generator=torch.Generator().manual_seed(k))
        low, high = (torch.tensor(bound) for bound in (world.action.low, world.action.high))
        causes = low + (high - low) * draw
        for cause in causes[:15]:
            world.step(cause[None])
        given[f"state{k}"], given[f"causes{k}"] = world.state().numpy(), causes[15:].numpy()
        rows = []
        for cause in causes[15:]:
            result = world.step(cause[None])
            rows.append([*result.observation[OBSERVATION][0].tolist(), float(result.reward[0])])
        expected[f"rows{k}"], expected[f"end{k}"] = np.array(rows), world.state().numpy()
    (tmp_path / "contexts.json").write_text(json.dumps(contexts))
    np.savez(tmp_path / "given.npz", **given)
    # Sets and dicts by address or hash come in another order there.
    subprocess.run(
        [sys.executable, "-c", FOLLOW, str(tmp_path)],
        check=True,
        capture_output=True,
        env={**os.environ, "PYTHONHASHSEED": "12345"},
    )
    found = np.load(tmp_path / "found.npz")
    for key, values in expected.items():
        assert np.array_equal(found[key], values), (IDS[int(key[-1])], key)
