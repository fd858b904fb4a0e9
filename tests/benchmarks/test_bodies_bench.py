"""The benchmark of bodies runs and its rows are complete; the figures are read from `invdyn bench bodies`."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

pytest.importorskip("pinocchio")


def test_quick_run() -> None:
    path = Path(__file__).parents[2] / "benchmarks" / "bodies.py"
    spec = importlib.util.spec_from_file_location("bench_bodies", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    rows = module.run(quick=True)
    names = " | ".join(r["name"] for r in rows)
    for algorithm in ("compile", "rnea", "aba", "crba", "jacobian", "regressor", "gradient", "derivatives", "roofline"):
        assert algorithm in names
    for row in rows:
        assert set(row) == {"name", "ours", "peer", "unit", "ratio", "note"}
        assert row["ours"] > 0
        assert row["peer"] > 0
