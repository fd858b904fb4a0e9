"""Every example runs with --quick, writes what it says, and its figures are those of a method that works."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


def run(script: str, data: Path, out: Path, *options: str) -> dict[str, dict[str, Any]]:
    """The rows of result.json, by their first column."""
    command = [sys.executable, str(EXAMPLES / script), "--data", str(data), "--out", str(out), "--quick", *options]
    environment = {**os.environ, "COLUMNS": "200"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=500, env=environment)
    assert done.returncode == 0, done.stderr
    assert "R2" in done.stdout
    assert [f.suffix for f in sorted(out.glob("*.png"))] == [".png"]
    rows = json.loads((out / "result.json").read_text())["rows"]
    return {next(iter(row.values())): row for row in rows}


@pytest.mark.parametrize("script", ["torques_real.py", "identify_arms.py", "pusht_human.py", "reward_sensitivity.py"])
def test_missing_recordings_are_told_in_one_sentence(script: str, tmp_path: Path) -> None:
    command = [sys.executable, str(EXAMPLES / script), "--data", str(tmp_path / "none"), "--out", str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    *_, line = done.stderr.strip().splitlines()
    assert line.startswith(f"{script}: ")
    assert str(tmp_path / "none") in line
    assert "Traceback" not in done.stderr


def test_push_t(shared_data: Path, tmp_path: Path) -> None:
    pytest.importorskip("gym_pusht", reason="needs the extra 'worlds'")
    rows = run("pusht_human.py", shared_data / "pusht_human", tmp_path / "out")
    assert rows["inferred"]["R2"] > 0.999  # measured: 1 - 2e-7
    assert rows["inferred"]["MAE [px]"] < 0.2  # 0.02
    assert 0.6 < rows["inferred"]["coverage at 0.9"] <= 1  # six episodes only
    # Corrected along the episode, the world is steered back onto the recording: 2e-5 px against 6e-3 px.
    drift = "open loop, median [px]"
    assert rows["refined"][drift] < 0.1 * rows["inferred"][drift]
    assert rows["refined"]["MAE [px]"] < 0.6 * rows["inferred"]["MAE [px]"]
    covered = "goal covered, mean"
    assert rows["refined"][covered] == pytest.approx(rows["recorded"][covered], abs=0.02)
    assert rows["recorded"][covered] > 0.7


def test_adroit_door(shared_data: Path, tmp_path: Path) -> None:
    pytest.importorskip("gymnasium_robotics", reason="needs the extra 'worlds'")
    rows = run("adroit_door_human.py", shared_data / "adroit_door_human", tmp_path / "out")
    joints = "joints, median [rad]"
    assert rows["recorded, start at rest"][joints] < 2e-3  # measured 3e-4
    assert rows["recorded, start velocity fitted"][joints] < rows["recorded, start at rest"][joints]
    assert rows["inferred"]["R2, median of 28"] > 0.8  # 0.91
    assert rows["inferred"]["MAE"] < 0.12  # 0.08 of the half range
    assert rows["refined"]["MAE"] < 0.9 * rows["inferred"]["MAE"]
    assert rows["refined"][joints] < 0.2 * rows["inferred"][joints]  # 7e-4 against 2.5e-2
    assert all(row["opened beyond 1 rad"] == 1.0 for name, row in rows.items() if name != "inferred")


def test_robosuite(shared_data: Path, tmp_path: Path) -> None:
    rows = run("robosuite_human.py", shared_data / "robosuite_human", tmp_path / "out")
    assert set(rows) == {"v0.3_SawyerLift", "v1.0_lift_panda"}
    for row in rows.values():
        assert row["R2, median"] > 0.5  # measured 0.88 and 0.73
        assert row["R2, all"] > 0.5
        assert 0.6 < row["coverage at 0.9"] <= 1


def test_readme_names_every_example() -> None:
    told = (EXAMPLES / "README.md").read_text()
    scripts = sorted(p.name for p in EXAMPLES.glob("*.py"))
    assert "pusht_human.py" in scripts
    assert [name for name in scripts if name not in told] == []
