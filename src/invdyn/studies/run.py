"""`run_study`: one system at one scale over seeds; judges every claim, writes results and figure, survives a kill."""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from invdyn.errors import ConfigError, unknown_name
from invdyn.studies.claim import Claim, Verdict
from invdyn.studies.provenance import commit, host, source_hash, versions
from invdyn.studies.registry import load_study
from invdyn.studies.study import SCALES, Context, Outcome
from invdyn.training.config import to_json
from invdyn.training.progress import progress as progress_bar

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["StudyResult", "parse_seeds", "run_study"]


@dataclass(frozen=True)
class StudyResult:
    """What a run of a study found."""

    slug: str
    scale: str
    seeds: tuple[int, ...]
    config: dict[str, Any]
    metrics: dict[int, dict[str, Any]]
    """Per seed."""
    claims: tuple[Verdict, ...]
    seconds: float
    """Computing time, parts of an earlier killed run included."""
    peak_memory_mb: float
    peak_accelerator_memory_mb: float | None
    versions: dict[str, str]
    commit: str | None
    host: dict[str, Any]
    folder: Path | None = None
    """Where the results were written."""
    skipped: tuple[tuple[Claim, str], ...] = ()
    """Claims on real data that was not given, each with the reason."""

    @property
    def passed(self) -> bool:
        """Whether every claim held."""
        return all(claim.passed for claim in self.claims)

    def summary(self) -> dict[str, Any]:
        """What `invdyn study --json` prints."""
        return {
            "slug": self.slug,
            "scale": self.scale,
            "seeds": list(self.seeds),
            "claims": [claim.to_json() for claim in self.claims],
            **self._skipped(),
            "seconds": round(self.seconds, 3),
            "peak_memory_mb": round(self.peak_memory_mb, 1),
        }

    def _skipped(self) -> dict[str, Any]:
        rows = [{"id": claim.id, "statement": claim.statement, "reason": why} for claim, why in self.skipped]
        return {"skipped": rows} if rows else {}

    def record(self) -> dict[str, Any]:
        """What stands in results/<slug>/<scale>.json."""
        record = {
            "slug": self.slug,
            "scale": self.scale,
            "seeds": list(self.seeds),
            "config": self.config,
            "claims": [claim.to_json() for claim in self.claims],
            **self._skipped(),
            "metrics": {str(seed): _finite(values) for seed, values in self.metrics.items()},
            "seconds": round(self.seconds, 3),
            "peak_memory_mb": round(self.peak_memory_mb, 1),
            "versions": self.versions,
            "commit": self.commit,
            "host": self.host,
        }
        if self.peak_accelerator_memory_mb is not None:
            record["peak_accelerator_memory_mb"] = round(self.peak_accelerator_memory_mb, 1)
        return record


def parse_seeds(text: str) -> tuple[int, ...]:
    """`3` means the seeds 0, 1, 2; `7,8,9` means exactly these; `7,` is the one seed 7.

    >>> parse_seeds("3"), parse_seeds("7,8,9"), parse_seeds("7,")
    ((0, 1, 2), (7, 8, 9), (7,))

    Raises:
        ConfigError: text of another form, none, or the same seed twice.
    """
    if not re.fullmatch(r"\s*\d{1,9}\s*(,\s*\d{1,9}\s*)*,?\s*", text, re.ASCII):
        raise ConfigError(f"seeds {text!r}: expected a count like 3 (seeds 0, 1, 2) or a list like 7,8,9.")
    seeds = tuple(int(part) for part in text.split(",") if part.strip())
    if "," not in text:
        seeds = tuple(range(_checked_count(seeds[0])))
    if len(set(seeds)) != len(seeds):
        raise ConfigError(f"seeds {text!r}: the same seed twice. Claims are judged on distinct seeds.")
    return seeds


def _checked_count(count: int) -> int:
    if not 1 <= count <= 1000:
        raise ConfigError(
            f"seeds '{count}': a count from 1 to 1000 is expected; one seed named {count} is written '{count},'."
        )
    return count


def run_study(
    slug: str,
    scale: str = "laptop",
    seeds: Sequence[int] = (0, 1, 2),
    *,
    out: Path | None = None,
    data: Path | None = None,
    weights: Mapping[str, Path] | None = None,
    progress: bool = False,
) -> StudyResult:
    """Run a study and judge its claims on the given seeds.

    Args:
        slug: a system of the list.
        scale: `smoke`, `laptop`, `gpu` or `paper`.
        seeds: random seeds; every metric is measured for each.
        out: folder of results; `<out>/<slug>/<scale>.json` and `.svg` are written there (atomically), and finished
            parts are kept beside them until the run is complete, so that a killed run continues. None writes nothing.
        data: folder of data the user brings.
        weights: weights the user brings, name -> path.
        progress: show a bar on stderr.

    Returns:
        metrics per seed, a verdict per claim, time, memory and provenance.

    Raises:
        UnknownNameError: unknown study or scale.
        ConfigError: an open study, no seeds, a missing accelerator, folder or file.
    """
    study = load_study(slug)
    if scale not in SCALES:
        raise unknown_name("scale", scale, SCALES)
    if scale not in study.scales:
        raise ConfigError(f"study {slug!r} has no scale {scale!r}. It has: {', '.join(study.scales)}.")
    seeds = tuple(seeds)
    if not seeds or len(set(seeds)) != len(seeds):
        raise ConfigError(f"study {slug!r}: seeds {seeds} are not distinct, or none. Give for example 0, 1, 2.")
    device = _device(scale)
    weights = dict(weights or {})
    for name, path in weights.items():
        if not Path(path).exists():
            raise ConfigError(f"--weights {name}={path}: no such file. Check the path.")
    if data is not None and not Path(data).is_dir():
        raise ConfigError(f"--data {data}: no such folder. Pass the folder that holds the data.")
    config = study.scales[scale]
    claims = [claim for claim in study.claims if claim.smoke or scale != "smoke"]
    skipped = tuple((claim, why) for claim in claims if (why := claim.skipped(data)))
    claims = [claim for claim in claims if not claim.skipped(data)]

    work = None if out is None else _work_folder(Path(out) / slug, scale, config, data, weights, device)
    provenance = commit()
    with progress_bar(study.parts(config, seeds), f"{slug} ({scale})", enabled=progress, unit="parts") as bar:
        context = Context(device, data, weights, work, advance=lambda note: bar.advance(1, note))
        start = time.perf_counter()
        outcomes = study.run(config, seeds, context)
        seconds = max(context.seconds, time.perf_counter() - start)
    metrics = {seed: outcomes[seed].metrics for seed in seeds}
    result = StudyResult(
        slug=slug,
        scale=scale,
        seeds=seeds,
        config=to_json(config),
        metrics=metrics,
        claims=tuple(claim.judge(metrics) for claim in claims),
        seconds=seconds,
        peak_memory_mb=context.peak_memory_mb,
        peak_accelerator_memory_mb=_accelerator_mb(device),
        versions=versions(),
        commit=provenance,
        host=host(device),
        folder=None if out is None else Path(out) / slug,
        skipped=skipped,
    )
    if out is not None:
        _write(Path(out) / slug, scale, result, study.figure(config, _ordered(outcomes, seeds)))
        assert work is not None
        shutil.rmtree(work, ignore_errors=True)
    return result


def _ordered(outcomes: Mapping[int, Outcome], seeds: Sequence[int]) -> dict[int, Outcome]:
    return {seed: outcomes[seed] for seed in seeds}


def _device(scale: str) -> str:
    import torch

    if torch.cuda.is_available() and scale in ("gpu", "paper"):
        return "cuda"
    if scale == "gpu":
        raise ConfigError(
            "scale 'gpu' needs an accelerator, and torch finds none here. "
            "Use --scale laptop, or run it where there is one."
        )
    return "cpu"


def _accelerator_mb(device: str) -> float | None:
    import torch

    return torch.cuda.max_memory_allocated() / 1e6 if device == "cuda" else None


def _work_folder(
    folder: Path, scale: str, config: Any, data: Path | None, weights: Mapping[str, Path], device: str
) -> Path:
    """Where finished parts wait: another config, data, device or source never finds them."""
    fact = [
        to_json(config),
        str(data and Path(data).resolve()),
        {k: str(Path(v).resolve()) for k, v in weights.items()},
        device,
        versions(),
        source_hash(),
    ]
    mark = hashlib.sha256(json.dumps(fact, sort_keys=True).encode()).hexdigest()[:12]
    work = folder / f".{scale}.parts-{mark}"
    work.mkdir(parents=True, exist_ok=True)
    (work / ".gitignore").write_text("*\n")
    return work


def _write(folder: Path, scale: str, result: StudyResult, figure: Figure) -> None:
    """Figure first, results last: results stand for a finished run."""
    import matplotlib

    folder.mkdir(parents=True, exist_ok=True)
    picture, text = folder / f"{scale}.svg", folder / f"{scale}.json"
    partial = folder / f".{scale}.svg.partial"
    with matplotlib.rc_context({"svg.hashsalt": result.slug, "svg.fonttype": "none"}):  # same run, same bytes
        figure.savefig(partial, format="svg", metadata={"Date": None})
    os.replace(partial, picture)
    partial = folder / f".{scale}.json.partial"
    partial.write_text(json.dumps(result.record(), indent=1, allow_nan=False) + "\n")
    os.replace(partial, text)


def _finite(value: Any) -> Any:
    """JSON has no NaN: a number that could not be measured becomes null."""
    if isinstance(value, Mapping):
        return {k: _finite(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
