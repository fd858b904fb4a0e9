"""The labelling benchmark runs and its rows are complete; the figures are read from `invdyn bench label`."""

from __future__ import annotations

import importlib.util
from pathlib import Path


def test_quick_run() -> None:
    path = Path(__file__).parents[2] / "benchmarks" / "label.py"
    spec = importlib.util.spec_from_file_location("bench_label", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    rows = module.run(quick=True)
    assert [r["name"] for r in rows] == ["state windows, 4 numbers", "state windows, 39 numbers", "image frames"]
    for row in rows:
        assert set(row) == {"name", "ours", "peer", "unit", "ratio", "note"}
        assert row["ours"] > 0
        assert row["peer"] > 0
