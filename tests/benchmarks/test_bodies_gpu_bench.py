"""The benchmark of GPUs says in one sentence where there is none, and runs where there is one."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
import torch

from invdyn.cli.main import main


def module() -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        "bench_gpu", Path(__file__).parents[2] / "benchmarks" / "bodies_gpu.py"
    )
    assert spec is not None
    assert spec.loader is not None
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "bodies_gpu", "--json"]) == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert "bench bodies_gpu needs an NVIDIA GPU and a CUDA build of torch; torch" in err
    assert "sees none here. Use bench bodies for the CPU." in err


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_with_a_gpu() -> None:
    rows = module().run(quick=True)
    assert {"rnea", "aba", "crba"} <= {r["name"].split()[0] for r in rows}
    for row in rows:
        assert set(row) == {"name", "ours", "peer", "unit", "ratio", "note"}
        assert 0 < row["ratio"] < 1.5  # the roof is measured, to some per cent


def test_all_goes_on_where_one_cannot_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "first.py").write_text(
        "from invdyn.errors import ConfigError\ndef run(quick): raise ConfigError('no such device.')\n"
    )
    (tmp_path / "second.py").write_text("def run(quick): return [{'name': 'a', 'ours': 1.0}]\n")
    monkeypatch.setattr("invdyn.cli.bench._folder", lambda: tmp_path)
    assert main(["bench", "all", "--json"]) == 0
    out, err = capfd.readouterr()
    assert "left out: no such device." in err
    assert '"name": "a"' in out
    assert main(["bench", "first"]) == 2
