"""RED-diff (Mardani, Song, Kautz, Vahdat, ICLR 2024, arXiv 2305.04391): scales, run, figure.

The method stands in diffusion/variational.py, its rivals in diffusion/posterior.py, measurements in operators.py and
operators_motion.py, error bars in spread.py; the experiments in red_diff_exact.py, red_diff_digits.py,
red_diff_force.py and red_diff_renders.py, the claims in red_diff_claims.py. What came out: docs/studies/red-diff.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from invdyn.studies import red_diff_exact as exact
from invdyn.studies.part import run_parts
from invdyn.studies.red_diff_claims import CLAIMS
from invdyn.studies.red_diff_config import RedDiffConfig
from invdyn.studies.red_diff_digits import digits
from invdyn.studies.red_diff_figure import draw
from invdyn.studies.red_diff_force import force
from invdyn.studies.red_diff_renders import on_renders
from invdyn.studies.study import Context, Outcome, Study

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["STUDY", "RedDiffStudy"]

EXPERIMENTS = {
    "gaussian": exact.gaussian,
    "field": exact.field,
    "mixture": exact.mixture,
    "digits": digits,
    "force": force,
}

SCALES = {
    "smoke": RedDiffConfig(parts=("field",), field_draws=100),  # of ten draws the standard error itself is a guess
    "laptop": RedDiffConfig(),
    "gpu": RedDiffConfig(parts=(*RedDiffConfig.parts, "renders")),
}


class RedDiffStudy(Study[RedDiffConfig]):
    """Inverse problems under a frozen diffusion prior as optimisation, beside samplers that guide it."""

    slug = "red-diff"
    scales = SCALES
    claims = CLAIMS

    def run(self, config: RedDiffConfig, seeds: Sequence[int], context: Context) -> dict[int, Outcome]:
        """Every experiment for every seed."""
        experiments = EXPERIMENTS | {"renders": partial(on_renders, device=context.device)}
        return run_parts(experiments, config.parts, config, seeds, context)

    def figure(self, config: RedDiffConfig, outcomes: Mapping[int, Outcome]) -> Figure:
        """Mixture, digits, PSNR by method, phases, forces, rendered frames."""
        return draw(config, outcomes)

    def parts(self, config: RedDiffConfig, seeds: Sequence[int]) -> int:
        """Experiments times seeds."""
        return len(config.parts) * len(seeds)


STUDY = RedDiffStudy()
