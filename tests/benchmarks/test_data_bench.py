"""The data benchmark runs, and both sides of every row read the same windows and pictures (asserted inside)."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch


def test_rows() -> None:
    pytest.importorskip("minari", reason="the peer")
    path = Path(__file__).parents[2] / "benchmarks" / "data.py"
    spec = importlib.util.spec_from_file_location("benchmarks_data", path)
    assert spec is not None
    assert spec.loader is not None
    bench = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(bench)
    threads = torch.get_num_threads()
    rows = bench.run(quick=True)
    assert torch.get_num_threads() == threads
    assert len(rows) == 8
    for row in rows:
        assert set(row) == {"name", "ours", "peer", "unit", "ratio", "note"}
        assert row["ratio"] == row["ours"] / row["peer"]
        assert np.isfinite(row["ratio"])
        assert "cold start counted" in row["note"] or "opening counted" in row["note"]
