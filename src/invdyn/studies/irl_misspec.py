"""Sensitivity of inverse reinforcement learning to misspecification (Skalse, Abate, ICLR 2024, arXiv 2403.06854).

The metric stands in verify/metrics/starc.py; processes, identified sets, adversarial pairs, the report in decisions/;
the experiments in irl_misspec_exact.py and irl_misspec_typical.py; the claims in irl_misspec_claims.py.
What differs from the card and what real recordings do and do not allow: docs/studies/irl-misspec.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from invdyn.studies import irl_misspec_exact as exact
from invdyn.studies import irl_misspec_typical as typical
from invdyn.studies.irl_misspec_claims import CLAIMS
from invdyn.studies.irl_misspec_config import IrlMisspecConfig
from invdyn.studies.irl_misspec_figure import draw
from invdyn.studies.part import Part, run_parts
from invdyn.studies.study import Context, Outcome, Study

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["STUDY", "IrlMisspec"]

EXPERIMENTS = {
    "invariance": exact.invariance,
    "step": exact.step,
    "parameters": exact.parameters,
    "selection": typical.selection,
    "order": typical.order,
    "samples": typical.samples,
    "sweeps": typical.sweeps,
}

SCALES = {
    "smoke": IrlMisspecConfig(parts=("invariance", "step", "parameters"), steps=500),
    "laptop": IrlMisspecConfig(),
    "gpu": IrlMisspecConfig(parts=(*IrlMisspecConfig.parts, "large")),
}


class IrlMisspec(Study[IrlMisspecConfig]):
    """What a reward recovered under wrong assumptions is worth: in the worst case nothing, typically much."""

    slug = "irl-misspec"
    scales = SCALES
    claims = CLAIMS

    def run(self, config: IrlMisspecConfig, seeds: Sequence[int], context: Context) -> dict[int, Outcome]:
        """Every experiment for every seed."""
        experiments: dict[str, Callable[[int, IrlMisspecConfig], Part]] = {
            **EXPERIMENTS,
            "large": partial(exact.large, device=context.device),
        }
        return run_parts(experiments, config.parts, config, seeds, context)

    def figure(self, config: IrlMisspecConfig, outcomes: Mapping[int, Outcome]) -> Figure:
        """Worst cases above, typical ones below."""
        return draw(config, outcomes)

    def parts(self, config: IrlMisspecConfig, seeds: Sequence[int]) -> int:
        """Experiments times seeds."""
        return len(config.parts) * len(seeds)


STUDY = IrlMisspec()
