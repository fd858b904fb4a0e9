"""`invdyn studies` and `invdyn study SLUG`: the systems of the literature, and one of them re-tested."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import tyro

from invdyn.cli.options import Flag
from invdyn.cli.output import note, number, table
from invdyn.errors import ConfigError, InvdynError

__all__ = ["Studies", "StudyCommand"]


@dataclass(frozen=True)
class Studies:
    """The 58 systems: family, title, and what the last committed run found. `open` ones are not built yet."""

    family: str = ""
    """Only this family."""
    json: Flag = False
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
        def short(commit: str | None) -> str | None:
            return commit and commit[:10] + ("+changes" if commit.endswith("+changes") else "")

        columns = ["slug", "family", "title", "status", "scale", "passed", "failed", "commit"]
        table([{**row, "commit": short(row["commit"])} for row in result], columns)
        print(", ".join(f"{count} {status}" for status, count in Counter(r["status"] for r in result).items()))

    def exit_code(self, result: Any) -> int:
        return 0


@dataclass(frozen=True)
class StudyCommand:
    """Train one system's method and its controls, evaluate every claim of its paper on the seeds given.

    Exit code 0 when it ran, whatever it found; with `--check` 1 when a claim failed.
    """

    slug: tyro.conf.Positional[str]
    """Which system (`invdyn studies` lists them), or `all` for every one that is built."""
    scale: Literal["smoke", "laptop", "gpu", "paper"] = "smoke"
    """smoke: seconds, exactness only; laptop: at most 30 minutes on two cores; gpu and paper need more."""
    seeds: str = "3"
    """How many (0, 1, ...), or which: `7,8,9`."""
    out: Path | None = None
    """Folder for results and figure, `results` in a checkout; a run that was killed continues there. Nothing is written
    when not given, so that committed results are not replaced by a trial."""
    data: Path | None = None
    """Folder with data the scale needs."""
    weights: tuple[str, ...] = ()
    """Weight files, each as NAME=PATH."""
    check: Flag = False
    """Exit with 1 when a claim fails."""
    json: Flag = False
    """One JSON object on stdout (an array for `all`)."""

    @property
    def resumes(self) -> bool:
        """Whether an interrupted run continues."""
        return self.out is not None

    def run(self) -> Any:
        from invdyn.studies import STUDIES, load_study, parse_seeds

        weights = dict(self._weight(w) for w in self.weights)
        seeds = parse_seeds(self.seeds)
        if self.slug != "all":
            load_study(self.slug)  # raises for an unknown or open one, before anything is said
            return self._one(self.slug, seeds, weights)
        results = []
        for slug in STUDIES:
            try:
                results.append(self._one(slug, seeds, weights))
            except InvdynError as error:  # one that cannot run here (data, accelerator) does not stop the others
                note(f"study {slug}: {error}")
                results.append({"slug": slug, "scale": self.scale, "error": str(error)})
        return results

    def _one(self, slug: str, seeds: tuple[int, ...], weights: dict[str, Path]) -> dict[str, Any]:
        from invdyn.studies import run_study

        note(f"study {slug}, scale {self.scale}, seeds {number(seeds)}")
        done = run_study(slug, self.scale, seeds, out=self.out, data=self.data, weights=weights or None, progress=True)
        return done.summary()

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
            if "error" in study:
                continue  # told on stderr
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
            for c in study["claims"]:
                if c.get("reason"):
                    print(f"claim {c['id']} fails: {c['reason']}")
            for c in study.get("skipped", ()):
                print(f"claim {c['id']} skipped: {c['reason']}")
            held = sum(c["passed"] for c in study["claims"])
            print(f"{held} of {len(rows)} claims hold; {study['seconds']:.0f} s, {study['peak_memory_mb']:.0f} MB")
        if self.out is not None:
            print(f"results: {self.out}/")

    def exit_code(self, result: Any) -> int:
        studies = result if isinstance(result, list) else [result]
        if any("error" in s for s in studies):
            return 2
        failed = any(not c["passed"] for s in studies for c in s["claims"])
        return int(self.check and failed)
