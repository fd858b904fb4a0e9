"""`examples/torques_real.py` runs its smallest row as a user does, and keeps what is there already."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

EXAMPLE = Path(__file__).parents[2] / "examples" / "torques_real.py"


def test_the_smallest_row(shared_data: Path, tmp_path: Path) -> None:
    command = [sys.executable, str(EXAMPLE), "--data", str(shared_data), "--out", str(tmp_path), "--only", "arm26"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr
    assert "FVU, median" in " ".join(done.stdout.split())
    told = json.loads((tmp_path / "result.json").read_text())
    (row,) = told["rows"]
    assert row["recording"] == "arm26"
    assert row["FVU, median"] < 0.01  # measured 0.0017, against OpenSim's own tool and filter
    assert row["frames"] == 121
    assert {"wheelchair_kinetics", "c3d_walking"} <= set(told["not run"])
    assert (tmp_path / "torques.png").stat().st_size > 1000
