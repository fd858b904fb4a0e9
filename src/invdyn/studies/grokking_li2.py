"""Grokking (Yuandong Tian, 2025, arXiv 2509.21519): scales, run, figure.

Tasks, nets, energy and probes stand in learning/, the experiments in grokking_li2_exact.py and grokking_li2_nets.py,
the claims in grokking_li2_claims.py.
What differs from the paper and what did not reproduce: docs/studies/grokking-li2.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from invdyn.studies import grokking_li2_exact as exact
from invdyn.studies import grokking_li2_nets as nets
from invdyn.studies.grokking_li2_claims import CLAIMS
from invdyn.studies.grokking_li2_config import GrokkingConfig
from invdyn.studies.grokking_li2_figure import draw
from invdyn.studies.part import run_parts
from invdyn.studies.study import Context, Outcome, Study

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["STUDY", "GrokkingLi2"]

EXPERIMENTS = {
    "identities": exact.identities,
    "energy": exact.energy,
    "maxima": exact.maxima,
    "grok": nets.grok,
    "events": nets.events,
    "features": nets.features,
    "shares": nets.shares,
    "muon": nets.muon,
    "degrees": nets.degrees,
}

WIDE = (1.6, 2.0, 2.4, 2.8, 3.2, 3.6, 4.0)
SCALES = {
    "smoke": GrokkingConfig(parts=("identities", "energy", "maxima"), starts=12),
    "laptop": GrokkingConfig(),
    "gpu": GrokkingConfig(
        order=71,
        hidden=2048,
        event_nets=15,
        orders=(23, 31, 47, 71, 97, 127),
        factors=WIDE,
        width=16,
        sweep_epochs=1000,
        degree_orders=(30, 42, 62),
        muon_order=71,
    ),
    "paper": GrokkingConfig(
        order=71,
        hidden=2048,
        event_nets=15,
        orders=(23, 31, 47, 71, 97, 127),
        factors=WIDE,
        width=16,
        sweep_epochs=10_000,
        feature_epochs=10_000,
        degree_orders=(30, 42, 62, 120),
        muon_order=71,
        muon_epochs=10_000,
    ),
}


class GrokkingLi2(Study[GrokkingConfig]):
    """Late generalisation has three stages: lazy, independent, interactive; its features are the group's irreps."""

    slug = "grokking-li2"
    scales = SCALES
    claims = CLAIMS

    def run(self, config: GrokkingConfig, seeds: Sequence[int], context: Context) -> dict[int, Outcome]:
        """Every experiment for every seed; each is a part that survives a kill."""
        return run_parts(EXPERIMENTS, config.parts, replace(config, device=context.device), seeds, context)

    def figure(self, config: GrokkingConfig, outcomes: Mapping[int, Outcome]) -> Figure:
        """One panel per experiment, the first seed's curves."""
        return draw(config, outcomes)

    def parts(self, config: GrokkingConfig, seeds: Sequence[int]) -> int:
        """Experiments times seeds."""
        return len(config.parts) * len(seeds)


STUDY = GrokkingLi2()
