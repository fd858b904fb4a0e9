"""The example on real arms: what is identified is better than what was published, on the part held out."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from sysconfig import get_path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
ROBOTS = Path(get_path("purelib")) / "cmeel.prefix/share/example-robot-data/robots"


def run(data: Path, out: Path, *options: str) -> dict[str, Any]:
    script = ROOT / "examples" / "identify_arms.py"
    command = [sys.executable, str(script), "--data", str(data), "--out", str(out), *options]
    environment = {**os.environ, "COLUMNS": "200", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=550, env=environment)
    assert done.returncode == 0, done.stderr
    assert "nMSE per joint, held out" in done.stdout
    assert (out / "comparison.png").stat().st_size > 5000
    return dict(json.loads((out / "comparison.json").read_text()))


def test_the_manipulator_of_ur(shared_data: Path, tmp_path: Path) -> None:
    if not ROBOTS.is_dir():
        pytest.skip("needs the package example-robot-data")
    found = run(shared_data, tmp_path, "--models", str(ROBOTS), "--arms", "ur10_unisa")["arms"]["ur10_unisa"]
    mean = {name: row["mean"] for name, row in found["models"].items()}
    assert mean["identified, feasible"] < 0.035  # measured 0.0263
    assert mean["identified, feasible"] < mean["Petrone et al. 2025"]  # 0.0355, though it saw the part held out
    assert mean["identified, feasible"] < 0.7 * mean["manufacturer's URDF, friction fitted"]  # 0.0523
    assert mean["manufacturer's URDF"] > 0.5  # it has no friction
    baseline = (0.033, 0.015, 0.005, 0.015, 0.115, 0.071)  # least squares of the data's README, same thirds
    assert mean["identified, feasible"] < sum(baseline) / 6
    assert found["every body can exist"]
    assert found["rank"] == 36 + 4 * 6 - 2  # the rotors of two joints show only together with their links' inertias


def test_quick(shared_data: Path, tmp_path: Path) -> None:
    found = run(shared_data, tmp_path, "--quick")["arms"]
    assert list(found) == ["simple_pendulum_dfki"]
    assert found["simple_pendulum_dfki"]["models"]["identified, feasible"]["mean"] < 0.3


def test_the_guide_tells_what_was_measured() -> None:
    """Means of the committed comparison stand in the guide's table, digit for digit."""
    kept = json.loads((ROOT / "results" / "identification" / "comparison.json").read_text())["arms"]
    page = (ROOT / "docs" / "guide" / "identify.md").read_text()
    for name, found in kept.items():
        (row,) = re.findall(rf"^\| `{name}` \|(.*)\|$", page, re.MULTILINE)
        told = [cell.strip() for cell in row.split("|")]
        means = [f"{r['mean']:.3f}" for n, r in found["models"].items() if n in told_models(found)]
        assert [t for t in told if re.fullmatch(r"[\d.]+", t)] == means


def told_models(found: dict[str, Any]) -> list[str]:
    """Of the guide's columns: identified, given, given with friction fitted, published."""
    return [n for n in found["models"] if n == "identified, feasible" or not n.startswith("identified")]
