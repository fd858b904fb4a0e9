"""The principles of diffusion models (Lai, Song, Kim, Mitsufuji, Ermon, arXiv 2510.21890): scales, run, figure.

The core stands in diffusion/, the experiments in diffusion_principles_exact.py, diffusion_principles_nets.py and
diffusion_principles_renders.py, the claims in diffusion_principles_claims.py. Deviations and what did not reproduce:
docs/studies/diffusion-principles.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from invdyn.studies import diffusion_principles_exact as exact
from invdyn.studies import diffusion_principles_nets as nets
from invdyn.studies.diffusion_principles_claims import CLAIMS
from invdyn.studies.diffusion_principles_config import DiffusionPrinciplesConfig
from invdyn.studies.diffusion_principles_figure import draw
from invdyn.studies.diffusion_principles_renders import on_renders
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
    "gpu": DiffusionPrinciplesConfig(parts=(*DiffusionPrinciplesConfig.parts, "renders")),
}


class DiffusionPrinciples(Study[DiffusionPrinciplesConfig]):
    """Score, flow and flow map are one thing: one path, one regression, one loop; and a flow map pays."""

    slug = "diffusion-principles"
    scales = SCALES
    claims = CLAIMS

    def run(self, config: DiffusionPrinciplesConfig, seeds: Sequence[int], context: Context) -> dict[int, Outcome]:
        """Every experiment for every seed."""
        experiments = EXPERIMENTS | {"renders": partial(on_renders, device=context.device)}
        return run_parts(experiments, config.parts, config, seeds, context)

    def figure(self, config: DiffusionPrinciplesConfig, outcomes: Mapping[int, Outcome]) -> Figure:
        """Orders, guidance, samples by calls of the net, digits, rendered frames."""
        return draw(config, outcomes)

    def parts(self, config: DiffusionPrinciplesConfig, seeds: Sequence[int]) -> int:
        """Experiments times seeds."""
        return len(config.parts) * len(seeds)


STUDY = DiffusionPrinciples()
