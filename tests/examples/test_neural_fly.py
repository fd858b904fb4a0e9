"""The example on a quadrotor in the wind: the recorded force is what Newton says, and models beat their baselines."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
COMMITTED = ROOT / "results" / "neural_fly"


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(EXAMPLES))
    spec = importlib.util.spec_from_file_location("neural_fly_residual", EXAMPLES / "neural_fly_residual.py")
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "neural_fly_residual", made)
    spec.loader.exec_module(made)
    return made


def test_quick(shared_data: Path, tmp_path: Path) -> None:
    data = ["--data", str(shared_data / "neural_fly"), "--out", str(tmp_path), "--quick", "--seeds", "2"]
    environment = {**os.environ, "COLUMNS": "200"}
    command = [sys.executable, str(EXAMPLES / "neural_fly_residual.py"), *data]
    done = subprocess.run(command, capture_output=True, text=True, timeout=500, env=environment)
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "result.json").read_text())
    # Two unknowns explain 75,300 recorded numbers: the recorded force is m a - thrust + m g.
    assert result["force made again, RMS difference"] < 1e-3  # of 1.8 to 3.5 N
    assert result["g"] == pytest.approx(9.81, abs=0.005)
    assert result["unseen wind"] == ["baseline_100wind"]
    error = {(row["given"], row["model"]): row["RMS error [N]"] for row in result["rows"]}
    unseen = {(row["given"], row["model"]): row["unseen wind [N]"] for row in result["rows"]}
    for given, models in (
        ("wind told", ("linear", "ridge on products", "network")),
        ("first 10 s given", ("linear", "learned basis")),
    ):
        for model in models:
            assert error[given, model] < 0.95 * error[given, "constant"]
            assert unseen[given, model] < 0.95 * unseen[given, "constant"]
    assert all(0.85 < row["coverage"] < 0.97 for row in result["rows"])
    assert (tmp_path / "residual.png").stat().st_size > 10_000


def test_quaternions_turn(example: ModuleType) -> None:
    """Against SciPy, scalar last."""
    import neural_fly_flights  # type: ignore[import-not-found]
    from scipy.spatial.transform import Rotation

    turns = Rotation.random(20, random_state=0)
    np.testing.assert_allclose(neural_fly_flights.rotation(turns.as_quat()), turns.as_matrix(), atol=1e-12)


def test_ridge_is_that_of_scikit_learn(example: ModuleType) -> None:
    sklearn = pytest.importorskip("sklearn.linear_model", reason="needs the extra 'studies'")
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(50, 4)), rng.normal(size=(50, 3))
    x = (x - x.mean(0)) / x.std(0)
    theirs = sklearn.Ridge(alpha=0.1 * 50).fit(x, y)
    np.testing.assert_allclose(example.Ridge([x], [y], (0.1,))(x), theirs.predict(x), atol=1e-10)


def test_committed_table_is_the_numbers(example: ModuleType) -> None:
    result = json.loads((COMMITTED / "result.json").read_text())
    assert (COMMITTED / "result.md").read_text() == example.markdown(result)
    assert not result["quick"]
    assert result["seeds"] >= 3
