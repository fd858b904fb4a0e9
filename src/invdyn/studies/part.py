"""`Part`: what one experiment found; `generators`: its random streams; `run_parts`, `run_jobs`: all, resumable."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch

from invdyn.studies.study import Context, Outcome

__all__ = ["Part", "generators", "run_jobs", "run_parts"]

Config = TypeVar("Config")


@dataclass
class Part:
    """Metrics of one experiment and the curves its panel shows."""

    metrics: dict[str, Any]
    curves: dict[str, Any]

    def to_json(self) -> Mapping[str, Any]:
        return {"metrics": self.metrics, "curves": self.curves}


def generators(seed: int, part: str) -> tuple[torch.Generator, np.random.Generator]:
    """Independent streams per (seed, part), so that a part gives the same alone, resumed or in sequence."""
    number = int(np.random.SeedSequence([seed, *part.encode()]).generate_state(1, np.uint64)[0] >> 1)
    return torch.Generator().manual_seed(number), np.random.default_rng(number)


def run_parts(
    experiments: Mapping[str, Callable[[int, Config], Part]],
    names: Sequence[str],
    config: Config,
    seeds: Sequence[int],
    context: Context,
) -> dict[int, Outcome]:
    """Every named experiment for every seed, each once, each a part that survives a kill.

    Args:
        experiments: name -> (seed, config) -> Part.
        names: which of them run.
        config: of the scale.
        seeds: all of them.
        context: keeps finished parts.
    """
    outcomes = {}
    for seed in seeds:
        outcome = Outcome({}, {})
        for name in names:

            def compute(name: str = name, seed: int = seed) -> Mapping[str, Any]:
                return experiments[name](seed, config).to_json()

            found = context.once(f"{name}, seed {seed}", compute)
            outcome.metrics.update(found["metrics"])
            outcome.curves[name] = found["curves"]
        outcomes[seed] = outcome
    return outcomes


def run_jobs(
    jobs: Mapping[str, Callable[[], Mapping[str, Any]]], seeds: Sequence[int], context: Context
) -> dict[int, Outcome]:
    """Experiments that take all seeds at once, each a part that survives a kill.

    Args:
        jobs: name -> (() -> {str(seed): {"metrics": ..., "curves": name -> curve}}).
        seeds: all of them.
        context: keeps finished parts.
    """
    outcomes = {seed: Outcome({}, {}) for seed in seeds}
    for name, job in jobs.items():
        found = context.once(f"{name}, seeds {list(seeds)}", job)
        for seed in seeds:
            outcomes[seed].metrics.update(found[str(seed)]["metrics"])
            outcomes[seed].curves.update(found[str(seed)]["curves"])
    return outcomes
