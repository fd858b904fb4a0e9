"""The example on rewards of mice and people: what it says of the recordings, checked against what is known of them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "examples" / "reward_sensitivity.py"


def test_rewards_of_mice_and_people(shared_data: Path, tmp_path: Path) -> None:
    command = [sys.executable, str(SCRIPT), "--data", str(shared_data), "--out", str(tmp_path), "--quick"]
    environment = {**os.environ, "COLUMNS": "220"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=500, env=environment)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "rewards.png").stat().st_size > 10_000
    assert "worst case d = 2, which no data exclude" in done.stderr
    rows = {row["recording"]: row for row in json.loads((tmp_path / "result.json").read_text())["rows"]}
    for name, moves in (("A1b", 1555), ("D9a", 3469)):
        mouse = rows[name]
        assert mouse["moves"] == moves  # every recorded step is a move of the tree
        # Water is at one node (the recording says so); a memoryless model does not name it.
        first = int(mouse["rank of water"].split("-")[0])
        assert first > 5
        assert mouse["nats, node before too"] < mouse["nats, node"] - 0.05  # because the node alone does not decide
        assert mouse["d, data 95 %"] > 0.2
        assert 0.2 < mouse["d, discount"] < 1
    early, late = rows["selection task, first third"], rows["selection task, last third"]
    # Where pay is known and actions move nothing: after learning the recovered reward is near it, at every discount.
    assert late["d to true pay"] < 0.2 < early["d to true pay"]
    assert abs(late["d to true pay, gamma 0.5"] - late["d to true pay"]) < 1e-12
    assert rows["conflict task, DBS on against off"]["share of exchanges as far"] > 0.05
