"""The comparison of arms: it runs with --quick, and what is committed of it is what it found."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "examples" / "arm_inverse_dynamics.py"
COMMITTED = ROOT / "results" / "arms"


def run(data: Path, out: Path, *options: str) -> tuple[str, dict[str, Any]]:
    command = [sys.executable, str(SCRIPT), "--data", str(data), "--out", str(out), "--quick", *options]
    environment = {**os.environ, "COLUMNS": "200"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=500, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stderr, json.loads((out / "comparison.json").read_text())


def tables() -> ModuleType:
    spec = importlib.util.spec_from_file_location("arm_tables", ROOT / "examples" / "arm_tables.py")
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


def test_double_pendulum(shared_data: Path, tmp_path: Path) -> None:
    _, result = run(shared_data, tmp_path, "--seeds", "1")
    models = result["arms"]["double_pendulum_dfki"]["models"]
    error = {name: np.mean(row["nMSE"]) for name, row in models.items()}
    assert error["rigid body"] < 0.05  # measured 0.035
    assert error["rigid body + network"] < error["rigid body"]  # 0.033
    assert error["network"] < 0.3 * error["linear"]
    assert error["Lagrangian network"] < 0.1  # 0.044
    assert error["GP, arm kernel"] < error["GP, plain kernel"] < 0.5 * error["kernel ridge"]
    assert error["stack"] < error["rigid body"]
    for name in ("rigid body + network", "stack"):
        assert np.mean(models[name]["coverage"]) == pytest.approx(0.9, abs=0.07)
    assert (tmp_path / "comparison.png").stat().st_size > 10_000
    # What is there is not computed again.
    told, again = run(shared_data, tmp_path, "--seeds", "1")
    assert "double_pendulum_dfki: kept from" in told
    assert again == result


def test_committed_tables_are_the_numbers() -> None:
    result = json.loads((COMMITTED / "comparison.json").read_text())
    assert (COMMITTED / "comparison.md").read_text() == tables().markdown(result), "run examples/arm_tables.py"
    assert not result["quick"]
    assert result["seeds"] >= 3


def test_sarcos_is_below_every_baseline_in_the_committed_numbers() -> None:
    """Kernel ridge and linear regression as the recordings' README measured them on the same rows."""
    sarcos = json.loads((COMMITTED / "comparison.json").read_text())["arms"]["sarcos"]
    others = np.array(list(sarcos["others"].values()))
    assert others.shape == (2, 7)
    assert (np.array(sarcos["models"]["stack"]["nMSE"]) < others.min(0)).all()
