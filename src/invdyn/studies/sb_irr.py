"""Schrödinger bridges with reference refinement (Shen, Berlinghieri, Broderick, AISTATS 2025, arXiv 2408.06277).

Bridges, families and the outer loop stand in diffusion/bridges*.py; populations in sb_irr_config.py,
sb_irr_recordings.py and sb_irr_field.py, baselines in sb_irr_baselines.py, experiments in sb_irr_exact.py and
sb_irr_snapshots.py, the claims in sb_irr_claims.py. What differs from the paper and what did not come out:
docs/studies/sb-irr.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from invdyn.studies import sb_irr_exact as exact
from invdyn.studies.part import Part, generators, run_parts
from invdyn.studies.sb_irr_claims import CLAIMS
from invdyn.studies.sb_irr_config import PARTS, SYSTEMS, SbIrrConfig, simulated
from invdyn.studies.sb_irr_field import gradient_field
from invdyn.studies.sb_irr_figure import draw
from invdyn.studies.sb_irr_recordings import FOLDERS, recorded
from invdyn.studies.sb_irr_snapshots import compare
from invdyn.studies.study import Context, Outcome, Study

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["STUDY", "SbIrr"]

SCALES = {
    "smoke": SbIrrConfig(parts=("static", "projection", "zero"), recordings=(), paths=200, rounds=2),
    "laptop": SbIrrConfig(),
    "gpu": SbIrrConfig(parts=(*PARTS, "field"), grid=75, coarse=32, regressor="gp", cells=300),
    "paper": SbIrrConfig(particles=50, grid=100, coarse=100, regressor="gp", cells=300),
}


class SbIrr(Study[SbIrrConfig]):
    """Trajectories and the law behind them, from snapshots in which no particle is seen twice."""

    slug = "sb-irr"
    scales = SCALES
    claims = CLAIMS

    def run(self, config: SbIrrConfig, seeds: Sequence[int], context: Context) -> dict[int, Outcome]:
        """Every experiment for every seed; those on recordings whose folder is there."""
        experiments: dict[str, Callable[[int, SbIrrConfig], Part]] = {
            "static": exact.static,
            "projection": exact.projection,
            "zero": exact.zero,
        }
        for name in SYSTEMS:
            experiments[name] = partial(_simulated, name)
        experiments["field"] = _field
        names = list(config.parts)
        for name in config.recordings:
            folder = context.recordings(FOLDERS[name])
            if folder is not None:
                experiments[name] = partial(_recorded, name, folder)
                names.append(name)
        return run_parts(experiments, names, replace(config, device=context.device), seeds, context)

    def figure(self, config: SbIrrConfig, outcomes: Mapping[int, Outcome]) -> Figure:
        """Paths, held-out distances, parameters and KL by iteration."""
        return draw(config, outcomes)


def _simulated(name: str, seed: int, config: SbIrrConfig) -> Part:
    g, _ = generators(seed, name)
    return compare(name, simulated(name, config.particles, g), config, seed)


def _field(seed: int, config: SbIrrConfig) -> Part:
    g, _ = generators(seed, "field")
    return compare("field", gradient_field(config, g), config, seed)


def _recorded(name: str, folder: Path, seed: int, config: SbIrrConfig) -> Part:
    return compare(name, recorded(name, folder, config, seed), config, seed)


STUDY = SbIrr()
