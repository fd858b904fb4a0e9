"""Studies: what a run writes, that a killed one continues, that a failing one leaves nothing; the table of systems."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

import invdyn.studies.run as run_module
from invdyn.studies import (
    STUDIES,
    SYSTEMS,
    Claim,
    Context,
    Outcome,
    Study,
    Threshold,
    load_study,
    parse_seeds,
    run_study,
    studies_page,
    studies_table,
)
from invdyn.studies.drawing import panels
from invdyn.studies.provenance import PeakMemory

ROOT = Path(__file__).parents[2]


@dataclasses.dataclass(frozen=True)
class ToyConfig:
    fail: bool = False
    """Raise in the second part."""


class Toy(Study[ToyConfig]):
    """Two parts per seed; one claim that holds and one that does not."""

    slug = "deep-linear"
    scales = {"smoke": ToyConfig(), "laptop": ToyConfig(), "gpu": ToyConfig(fail=True)}  # noqa: RUF012
    claims = (
        Claim("1", "seed + 1/3 is at most 9", "x", Threshold("<=", 9.0), smoke=True),
        Claim("2", "it is at most 0", "x", Threshold("<=", 0.0), reason="seeds count from zero"),
        Claim("3", "nan is small", "nan", Threshold("<=", 1.0)),
    )
    computed: list[str] = []  # noqa: RUF012

    def run(self, config: ToyConfig, seeds: Sequence[int], context: Context) -> dict[int, Outcome]:
        def compute(key: str, value: float) -> dict[str, Any]:
            if config.fail and key.startswith("b"):
                raise RuntimeError("a fault of the study")
            self.computed.append(key)
            return {"value": value}

        out = {}
        for seed in seeds:
            first = context.once(f"a{seed}", lambda seed=seed: compute(f"a{seed}", seed + 1 / 3))
            context.once(f"b{seed}", lambda seed=seed: compute(f"b{seed}", 0.0))
            out[seed] = Outcome({"x": first["value"], "nan": math.nan, "list": [1.0, math.inf]})
        return out

    def figure(self, config: ToyConfig, outcomes: Mapping[int, Outcome]) -> Any:
        figure, axes = panels(2.0, 2.0)
        axes[0, 0].plot([outcomes[s].metrics["x"] for s in outcomes])
        return figure


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> Toy:
    study = Toy()
    Toy.computed.clear()
    monkeypatch.setattr(run_module, "load_study", lambda slug: study)
    return study


def test_results_file_says_everything(toy: Toy, tmp_path: Path) -> None:
    result = run_study("deep-linear", "laptop", (2, 5), out=tmp_path)
    record = json.loads((tmp_path / "deep-linear" / "laptop.json").read_text())
    assert record == json.loads(json.dumps(result.record()))
    assert [c["passed"] for c in record["claims"]] == [True, False, False]
    assert record["claims"][0] == {
        "id": "1",
        "statement": "seed + 1/3 is at most 9",
        "value": 5 + 1 / 3,
        "threshold": {"relation": "<=", "value": 9.0},
        "passed": True,
    }
    assert record["claims"][1]["reason"] == "seeds count from zero"
    assert record["claims"][2]["value"] is None  # what could not be measured never passes
    assert record["metrics"]["2"] == {"x": 2 + 1 / 3, "nan": None, "list": [1.0, None]}
    assert record["seeds"] == [2, 5]
    assert record["config"] == {"fail": False}
    assert record["seconds"] > 0
    assert record["peak_memory_mb"] > 10
    assert {"python", "torch", "numpy", "scipy", "invdyn"} <= set(record["versions"])
    assert record["host"]["cores"] >= 1
    assert record["commit"] is None or len(record["commit"].removesuffix("+changes")) == 40
    assert set(result.summary()) == {"slug", "scale", "seeds", "claims", "seconds", "peak_memory_mb"}
    assert sorted(p.name for p in (tmp_path / "deep-linear").iterdir()) == ["laptop.json", "laptop.svg"]
    assert not result.passed


def test_smoke_judges_only_smoke_claims(toy: Toy) -> None:
    assert [c.id for c in run_study("deep-linear", "smoke", (0,)).claims] == ["1"]


def test_claims_on_real_data_are_skipped_with_a_reason_where_it_is_missing(
    toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gulf = dataclasses.replace(Toy.claims[0], id="r", needs="gulf")
    monkeypatch.setattr(Toy, "claims", (*Toy.claims, gulf))
    plain = run_study("deep-linear", "laptop", (0,))
    assert [c.id for c in plain.claims] == ["1", "2", "3"]
    told = {"id": "r", "statement": gulf.statement}
    why = "needs the recordings gulf: pass the folder that holds them as --data DIR"
    assert plain.summary()["skipped"] == plain.record()["skipped"] == [told | {"reason": why}]
    empty = run_study("deep-linear", "laptop", (0,), data=tmp_path)
    assert empty.record()["skipped"][0]["reason"] == f"no folder gulf in {tmp_path.name}"
    (tmp_path / "gulf").mkdir()
    given = run_study("deep-linear", "laptop", (0,), data=tmp_path)
    assert [c.id for c in given.claims] == ["1", "2", "3", "r"]
    assert "skipped" not in given.record()


def test_finished_parts_are_not_computed_again(toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_module, "_write", lambda *a: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        run_study("deep-linear", "laptop", (0, 1), out=tmp_path)
    monkeypatch.undo()
    monkeypatch.setattr(run_module, "load_study", lambda slug: toy)
    assert toy.computed == ["a0", "b0", "a1", "b1"]
    again = run_study("deep-linear", "laptop", (0, 1, 2), out=tmp_path)
    assert toy.computed == ["a0", "b0", "a1", "b1", "a2", "b2"]
    fresh = run_study("deep-linear", "laptop", (0, 1, 2))
    assert again.metrics.keys() == fresh.metrics.keys()
    assert [again.metrics[s]["x"] for s in (0, 1, 2)] == [fresh.metrics[s]["x"] for s in (0, 1, 2)]
    run_study("deep-linear", "laptop", (0,), out=tmp_path)  # complete runs leave no parts: this computes anew
    assert toy.computed[-2:] == ["a0", "b0"]


def test_a_study_that_fails_writes_no_results(toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_module, "_device", lambda scale: "cpu")
    with pytest.raises(RuntimeError, match="a fault of the study"):
        run_study("deep-linear", "gpu", (0,), out=tmp_path)
    assert not list(tmp_path.rglob("gpu.json"))
    assert not list(tmp_path.rglob("*.svg"))


@pytest.mark.slow
def test_killed_at_any_point_a_rerun_gives_the_same_numbers(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from invdyn.studies import run_study; "
        "run_study('deep-linear', 'smoke', (3, 4), out=Path(sys.argv[1]))"
    )
    command = [sys.executable, "-c", code]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run([*command, str(tmp_path / "whole")], check=True, env=environment)
    finished = tmp_path / "killed" / "deep-linear" / "smoke.json"
    for seconds in (3.0, 6.0, 9.0, 12.0, 15.0, 18.0):
        process = subprocess.Popen([*command, str(tmp_path / "killed")], env=environment)
        time.sleep(seconds)
        process.send_signal(signal.SIGKILL)
        process.wait()
        if finished.exists():
            break
    subprocess.run([*command, str(tmp_path / "killed")], check=True, env=environment)
    one, two = (json.loads((tmp_path / k / "deep-linear" / "smoke.json").read_text()) for k in ("whole", "killed"))
    assert one["metrics"] == two["metrics"]
    assert one["claims"] == two["claims"]
    names = {k: sorted(p.name for p in (tmp_path / k / "deep-linear").iterdir()) for k in ("whole", "killed")}
    assert names["killed"] == ["smoke.json", "smoke.svg"] == names["whole"]


def test_thresholds_and_seeds_become_one_value() -> None:
    values = {0: {"x": 1.0}, 1: {"x": 30.0}, 2: {"x": 2.0}}
    worst = Claim("1", "s", "x", Threshold("<=", 5.0)).judge(values)
    assert (worst.value, worst.passed) == (30.0, False)
    assert Claim("1", "s", "x", Threshold(">=", 1.0)).judge(values).value == 1.0
    assert Claim("1", "s", "x", Threshold("within", (0.1, 10.0))).judge(values).value == 30.0
    assert Claim("1", "s", "x", Threshold("<=", 11.0), over="mean").judge(values).value == 11.0
    assert Claim("1", "s", "x", Threshold("<=", 2.0), over="median").judge(values).passed
    values[1]["x"] = math.nan
    for over in ("worst", "mean", "median"):
        assert not Claim("1", "s", "x", Threshold("<=", 1e9), over=over).judge(values).passed
    assert Threshold("<=", 1.0).holds(1.0)
    assert (Threshold(">=", 3.0).text, Threshold("within", (0.1, 10.0)).text) == (">= 3", "in 0.1 .. 10")
    assert parse_seeds(" 7, 8,9 ") == (7, 8, 9)


def test_peak_memory_sees_what_is_freed_again() -> None:
    import numpy as np

    with PeakMemory() as memory:
        before = memory.mb
        block = np.ones(30_000_000)  # 240 MB
        time.sleep(0.1)
        del block
    assert memory.mb - before > 200


def test_all_58_systems_are_listed_and_built_ones_load() -> None:
    assert len(SYSTEMS) == 58
    assert len({s.title for s in SYSTEMS.values()}) == 58
    assert "rigid-body" not in SYSTEMS  # the core under the forces, not one of the papers
    assert set(STUDIES) <= set(SYSTEMS)
    for slug in STUDIES:
        study = load_study(slug)
        assert study.slug == slug
        assert study.__doc__
        assert len({c.id for c in study.claims}) == len(study.claims)
        assert {"smoke", "laptop"} <= set(study.scales)
        assert any(c.smoke for c in study.claims)
        assert (ROOT / "docs" / "studies" / f"{slug}.md").is_file()
        source = ROOT / "src" / "invdyn" / "studies" / f"{slug.replace('-', '_')}.py"
        assert len(source.read_text().splitlines()) <= 250


def test_systems_agree_with_their_cards(shared_data: Path) -> None:
    cards = {p.stem: p.read_text().splitlines()[1] for p in (shared_data.parent / "systems").glob("*.md")}
    if not cards:
        pytest.skip("the cards are not here")
    assert set(cards) - {"rigid-body"} == set(SYSTEMS)
    for slug, system in SYSTEMS.items():
        assert cards[slug].startswith(f"family: {system.family} · slug: {slug} ·")
        assert system.source.rpartition("arXiv ")[2] in cards[slug]


def test_status_is_derived_from_what_is_there(tmp_path: Path) -> None:
    rows = {r["slug"]: r for r in studies_table(tmp_path)}
    assert set(rows["vpt"]) == {"slug", "family", "title", "status", "scale", "passed", "failed", "commit"}
    assert (rows["vpt"]["status"], rows["deep-linear"]["status"]) == ("open", "built")
    (tmp_path / "deep-linear").mkdir()
    for scale, flags in (("smoke", [True]), ("laptop", [True, False])):
        claims = [{"id": f"c{k}", "passed": flag} for k, flag in enumerate(flags)]
        record: dict[str, Any] = {
            "slug": "deep-linear",
            "scale": scale,
            "commit": "abcdefghij",
            "claims": claims,
            "seeds": [0, 4],
        }
        record |= {"seconds": 90.0, "peak_memory_mb": 12.3, "skipped": [{"id": "c9"}] if len(flags) > 1 else []}
        (tmp_path / "deep-linear" / f"{scale}.json").write_text(json.dumps(record))
    row = next(r for r in studies_table(tmp_path) if r["slug"] == "deep-linear")
    keys = ("status", "scale", "passed", "failed", "commit")
    assert [row[k] for k in keys] == ["partly", "laptop", 1, 1, "abcdefghij"]
    lines = [line for line in studies_page(tmp_path).splitlines() if line.startswith("| [deep-linear]")]
    assert lines == [
        "| [deep-linear](deep-linear.md) | smoke | 2 | 1 | - | - | 1.5 | 12 | `abcdefg` |",
        "| [deep-linear](deep-linear.md) | laptop | 2 | 1 | c1 | c9 | 1.5 | 12 | `abcdefg` |",
    ]


def test_the_committed_page_is_up_to_date() -> None:
    page = ROOT / "docs" / "studies" / "index.md"
    assert page.read_text() == studies_page(ROOT / "results"), "run: python -m invdyn.studies.page"
