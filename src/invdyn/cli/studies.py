"""`invdyn studies` and `invdyn study SLUG`: the systems of the literature, and one of them re-tested."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import tyro

from invdyn.cli.output import note, number, table
from invdyn.errors import ConfigError

__all__ = ["Studies", "StudyCommand"]


@dataclass(frozen=True)
class Studies:
    """The 58 systems: family, title, and what the last committed run found. `open` ones are not built yet."""

    family: str = ""
    """Only this family."""
    json: bool = False
    """One JSON array on stdout."""

    def run(self) -> list[dict[str, Any]]:
        from invdyn.errors import unknown_name
        from invdyn.studies import studies_table

        rows = studies_table()
        families = {r["family"] for r in rows}
        if self.family and self.family not in families:
            raise unknown_name("family", self.family, families)
        return [r for r in rows if not self.family or r["family"] == self.family]

    def show(self, result: list[dict[str, Any]]) -> None:
        table(result, ["slug", "family", "title", "status", "scale", "passed", "failed", "commit"])
        print(", ".join(f"{count} {status}" for status, count in Counter(r["status"] for r in result).items()))

    def exit_code(self, result: Any) -> int:
        return 0


@dataclass(frozen=True)
class StudyCommand:
    """Train one system's method and its controls, evaluate every claim of its paper on the seeds given."""

    slug: tyro.conf.Positional[str]
    """Which system (`invdyn studies` lists them), or `all` for every one that is built."""
    scale: Literal["smoke", "laptop", "gpu", "paper"] = "smoke"
    """smoke: seconds, exactness only; laptop: at most 30 minutes on two cores; gpu and paper need more."""
    seeds: str = "3"
    """How many (0, 1, ...), or which: `7,8,9`."""
    out: Path | None = None
    """Folder for results and figure; a run that was killed continues. Nothing is written when not given."""
    data: Path | None = None
    """Folder with data the scale needs."""
    weights: tuple[str, ...] = ()
    """Weight files, each as NAME=PATH."""
    check: bool = False
    """Exit with 1 when a claim fails."""
    json: bool = False
    """One JSON object on stdout (an array for `all`)."""

    def run(self) -> Any:
        from invdyn.studies import STUDIES, parse_seeds, run_study

        named = dict(self._weight(w) for w in self.weights)
        results = []
        for slug in STUDIES if self.slug == "all" else [self.slug]:
            note(f"study {slug}, scale {self.scale}")
            outcome = run_study(
                slug,
                self.scale,
                parse_seeds(self.seeds),
                out=self.out,
                data=self.data,
                weights=named or None,
                progress=True,
            )
            results.append(outcome.summary())
        return results if self.slug == "all" else results[0]

    @staticmethod
    def _weight(text: str) -> tuple[str, Path]:
        name, equals, path = text.partition("=")
        if not (name and equals and path):
            raise ConfigError(
                f"--weights {text!r}: expected NAME=PATH, for example --weights vit=/models/vit.safetensors."
            )
        return name, Path(path)

    def show(self, result: Any) -> None:
        for study in result if isinstance(result, list) else [result]:
            rows = [
                {
                    "claim": c["id"],
                    "statement": c["statement"],
                    "value": c["value"],
                    "threshold": f"{c['threshold']['relation']} {number(c['threshold']['value'])}",
                    "holds": c["passed"],
                }
                for c in study["claims"]
            ]
            table(rows, title=f"{study['slug']}, {study['scale']}, seeds {number(study['seeds'])}")
            held = sum(c["passed"] for c in study["claims"])
            print(f"{held} of {len(rows)} claims hold; {study['seconds']:.0f} s, {study['peak_memory_mb']:.0f} MB")

    def exit_code(self, result: Any) -> int:
        studies = result if isinstance(result, list) else [result]
        failed = any(not c["passed"] for s in studies for c in s["claims"])
        return int(self.check and failed)
