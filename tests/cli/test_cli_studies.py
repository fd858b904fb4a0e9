"""`studies`, `study`, `bench`: the systems listed, their claims re-tested on the seeds given, our speed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from conftest import Run

from invdyn.studies import STUDIES, SYSTEMS, load_study


def test_studies_lists_all_58_systems(invdyn: Run) -> None:
    rows = invdyn("studies", "--json").value
    assert len(rows) == 58
    assert {r["slug"] for r in rows} == set(SYSTEMS)
    for row in rows:
        assert list(row) == ["slug", "family", "title", "status", "scale", "passed", "failed", "commit"]
        assert (row["status"] == "open") == (row["slug"] not in STUDIES)
        assert row["status"] in ("open", "built", "verified", "partly")
        assert (row["scale"] is None) == (row["status"] in ("open", "built"))


def test_studies_prints_a_table_and_counts(invdyn: Run) -> None:
    out = invdyn("studies").out
    for slug in SYSTEMS:
        assert slug in out
    assert f"{len(SYSTEMS) - len(STUDIES)} open" in out.splitlines()[-1]
    learning = invdyn("studies", "--family", "learning", "--json").value
    assert {r["family"] for r in learning} == {"learning"}
    invdyn("studies", "--family", "lerning").refused("unknown family 'lerning'. Did you mean 'learning'?")


@pytest.mark.parametrize("slug", STUDIES)
def test_every_study_holds_its_smoke_claims(invdyn: Run, slug: str) -> None:
    """The one smoke run of each study in the suite; a claim that is known to fail says why."""
    told = invdyn("study", slug, "--scale", "smoke", "--seeds", "7,8", "--json").value
    assert list(told) == ["slug", "scale", "seeds", "claims", "seconds", "peak_memory_mb"]
    assert (told["slug"], told["scale"], told["seeds"]) == (slug, "smoke", [7, 8])
    assert [c["id"] for c in told["claims"]] == [c.id for c in load_study(slug).claims if c.smoke]
    for claim in told["claims"]:
        assert {"id", "statement", "value", "threshold", "passed"} <= set(claim)
        assert claim["passed"] or claim["reason"], claim
    assert told["seconds"] > 0
    assert told["peak_memory_mb"] > 0


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> None:
    """A study with a failing claim, and no other."""
    for slug in list(STUDIES):
        monkeypatch.delitem(STUDIES, slug)
    monkeypatch.setitem(STUDIES, "vpt", "toy_study:STUDY")


@pytest.mark.usefixtures("toy")
def test_failed_claims_decide_the_exit_code_only_when_asked(invdyn: Run) -> None:
    plain = invdyn("study", "vpt", "--seeds", "7,8", "--json")
    assert [(c["id"], c["value"], c["passed"]) for c in plain.value["claims"]] == [
        ("1", 16.0, True),
        ("2", 16.0, False),
    ]
    assert plain.value["claims"][1]["threshold"] == {"relation": "<=", "value": 0.0}
    checked = invdyn("study", "vpt", "--seeds", "7,8", "--check", "--json")
    assert checked.code == 1
    assert json.loads(checked.out)["claims"] == plain.value["claims"]
    assert invdyn("study", "vpt", "--seeds", "0,", "--check").code == 0  # with seed 0 both hold


@pytest.mark.usefixtures("toy")
def test_study_prints_verdicts_and_keeps_results_where_told(invdyn: Run, tmp_path: Path) -> None:
    ran = invdyn("study", "vpt", "--seeds", "2", "--out", tmp_path / "results")
    assert ran.code == 0
    assert "vpt, smoke, seeds 0, 1" in ran.out
    assert "1 of 2 claims hold" in ran.out
    assert "claim 2 fails: seeds are positive" in ran.out
    assert json.loads((tmp_path / "results" / "vpt" / "smoke.json").read_text())["seeds"] == [0, 1]
    assert (tmp_path / "results" / "vpt" / "smoke.svg").is_file()


@pytest.mark.usefixtures("toy")
def test_without_out_nothing_is_written(invdyn: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert invdyn("study", "vpt", "--seeds", "1").code == 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("toy")
def test_all_runs_what_can_run(invdyn: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    assert [s["slug"] for s in invdyn("study", "all", "--seeds", "1", "--json").value] == ["vpt"]
    monkeypatch.setitem(STUDIES, "idp", "toy_study:STUDY")
    monkeypatch.setattr("toy_study.Toy.scales", {})
    ran = invdyn("study", "all", "--json")
    assert ran.code == 2  # said for each, and the others are not stopped
    assert [(s["slug"], "has no scale 'smoke'" in s["error"]) for s in json.loads(ran.out)] == [
        ("vpt", True),
        ("idp", True),
    ]
    assert "study idp: study 'idp' has no scale 'smoke'" in ran.err


def test_study_refuses(invdyn: Run, tmp_path: Path) -> None:
    invdyn("study", "deep-liner").refused("unknown study 'deep-liner'. Did you mean 'deep-linear'?")
    invdyn("study", "vpt").refused("study 'vpt' (VPT) is open: it has not been built yet. Built so far:")
    invdyn("study", "deep-linear", "--seeds", "seven").refused("seeds 'seven': expected a count like 3")
    invdyn("study", "deep-linear", "--weights", "vit").refused("--weights 'vit': expected NAME=PATH")
    invdyn("study", "deep-linear", "--data", tmp_path / "none").refused("none: no such folder. Pass the folder")


def test_bench_lists_and_refuses(invdyn: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = invdyn("bench", "list", "--json").value
    assert {"data", "label"} <= {r["name"] for r in rows}
    assert all(set(r) == {"name", "measures"} and r["measures"].endswith(".") for r in rows)
    assert "windows" in invdyn("bench", "list").out
    invdyn("bench", "lable").refused("unknown benchmark 'lable'. Did you mean 'label'")


def test_bench_prints_rows(invdyn: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A benchmark of the test's own: the real ones have theirs in tests/benchmarks."""
    monkeypatch.setattr("invdyn.cli.bench._folder", lambda: tmp_path)
    row = {"name": "sum", "ours": 3.0, "peer": 1.0, "unit": "1/s", "ratio": 3.0, "note": ""}
    (tmp_path / "sums.py").write_text(
        f'"""Speed of sums."""\n\ndef run(quick):\n    return [{row!r}] if quick else []\n'
    )
    assert invdyn("bench", "all", "--quick", "--json").value == [row]
    assert "│ sum " in invdyn("bench", "sums", "--quick").out


def test_bench_keeps_rows_with_where_they_come_from(
    invdyn: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("invdyn.cli.bench._folder", lambda: tmp_path)
    row = {"name": "sum", "ours": 3.0, "peer": 1.0, "unit": "1/s", "ratio": 3.0, "note": ""}
    (tmp_path / "sums.py").write_text(f'"""Speed of sums."""\n\ndef run(quick):\n    return [{row!r}]\n')
    for _ in range(2):  # a second run replaces the first
        invdyn("bench", "sums", "--json", "--out", str(tmp_path / "kept"))
    kept = json.loads((tmp_path / "kept/sums.json").read_text())
    assert set(kept) == {"bench", "quick", "commit", "versions", "host", "rows"}
    assert kept["rows"] == [row]
    assert kept["quick"] is False
    assert [p.name for p in (tmp_path / "kept").iterdir()] == ["sums.json"]
