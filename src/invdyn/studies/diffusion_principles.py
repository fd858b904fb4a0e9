"""The principles of diffusion models (Lai, Song, Kim, Mitsufuji, Ermon, arXiv 2510.21890): scales, run, figure.

The core stands in diffusion/, the experiments in diffusion_principles_exact.py and diffusion_principles_nets.py, the
claims in diffusion_principles_claims.py. Deviations and what did not reproduce: docs/studies/diffusion-principles.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from invdyn.studies import diffusion_principles_exact as exact
from invdyn.studies import diffusion_principles_nets as nets
from invdyn.studies.diffusion_principles_claims import CLAIMS
from invdyn.studies.diffusion_principles_config import DiffusionPrinciplesConfig
from invdyn.studies.diffusion_principles_figure import draw
from invdyn.studies.part import run_parts
from invdyn.studies.study import Context, Outcome, Study

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["STUDY", "DiffusionPrinciples"]

EXPERIMENTS = {
    "exact": exact.exact,
    "order": exact.order,
    "views": exact.views,
    "guidance": exact.guidance,
    "schedulers": exact.schedulers,
    "mixture": nets.on_mixture,
    "digits": nets.on_digits,
}

SCALES = {
    "smoke": DiffusionPrinciplesConfig(parts=("exact", "views", "guidance"), moments=500),
    "laptop": DiffusionPrinciplesConfig(),
}


class DiffusionPrinciples(Study[DiffusionPrinciplesConfig]):
    """Score, flow and flow map are one thing: one path, one regression, one loop; and a flow map pays."""

    slug = "diffusion-principles"
    scales = SCALES
    claims = CLAIMS

    def run(self, config: DiffusionPrinciplesConfig, seeds: Sequence[int], context: Context) -> dict[int, Outcome]:
        """Every experiment for every seed."""
        return run_parts(EXPERIMENTS, config.parts, config, seeds, context)

    def figure(self, config: DiffusionPrinciplesConfig, outcomes: Mapping[int, Outcome]) -> Figure:
        """Orders, guidance, samples by calls of the net, digits."""
        return draw(config, outcomes)

    def parts(self, config: DiffusionPrinciplesConfig, seeds: Sequence[int]) -> int:
        """Experiments times seeds."""
        return len(config.parts) * len(seeds)


STUDY = DiffusionPrinciples()
