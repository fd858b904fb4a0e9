"""The benchmark of samplers runs and its rows are complete; the figures are read from `invdyn bench diffusion`."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import torch

pytest.importorskip("diffusers", reason="the peer")


def test_quick_run() -> None:
    path = Path(__file__).parents[2] / "benchmarks" / "diffusion.py"
    spec = importlib.util.spec_from_file_location("bench_diffusion", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    threads = torch.get_num_threads()
    rows = module.run(quick=True)
    assert torch.get_num_threads() == threads
    names = " | ".join(r["name"] for r in rows)
    for what in ("DDPM", "DDIM", "DPM-Solver++(2M)", "Euler", "overhead", "MLP", "U-Net"):
        assert what in names
    for row in rows:
        assert set(row) == {"name", "ours", "peer", "unit", "ratio", "note"}
        assert row["ours"] > 0
        assert row["peer"] > 0
    # 3 calls of the net against 100: a ratio near 1 would mean that the iteration is not what is run.
    assert all(r["ratio"] > 3 for r in rows if "U-Net" in r["name"] and "all levels" in r["name"])
