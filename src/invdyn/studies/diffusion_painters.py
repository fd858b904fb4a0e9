"""Diffusion models generate images like painters (Wang, Vastola, arXiv 2303.02490): scales, run, figure.

The method stands in diffusion/teleport.py, outline.py and moments.py, the experiments in diffusion_painters_exact.py,
_kernel.py, _net.py, _chunks.py and _renders.py, the claims in diffusion_painters_claims.py. Deviations and what came
out: docs/studies/diffusion-painters.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from invdyn.studies import diffusion_painters_exact as exact
from invdyn.studies import diffusion_painters_kernel as kernel
from invdyn.studies.diffusion_painters_chunks import on_chunks
from invdyn.studies.diffusion_painters_claims import CLAIMS
from invdyn.studies.diffusion_painters_config import DiffusionPaintersConfig
from invdyn.studies.diffusion_painters_figure import draw
from invdyn.studies.diffusion_painters_net import on_net
from invdyn.studies.diffusion_painters_renders import on_renders
from invdyn.studies.part import Part, run_parts
from invdyn.studies.study import Context, Outcome, Study

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["STUDY", "DiffusionPainters"]

SCALES = {
    "smoke": DiffusionPaintersConfig(parts=("closed",)),
    "laptop": DiffusionPaintersConfig(),
    "gpu": DiffusionPaintersConfig(parts=(*DiffusionPaintersConfig.parts, "renders")),
}


class DiffusionPainters(Study[DiffusionPaintersConfig]):
    """Early sampling is the Gaussian's closed flow, so its first part can be replaced by one linear map."""

    slug = "diffusion-painters"
    scales = SCALES
    claims = CLAIMS

    def run(self, config: DiffusionPaintersConfig, seeds: Sequence[int], context: Context) -> dict[int, Outcome]:
        """Every experiment for every seed; recorded chunks of people where `--data` holds adroit_door_human."""
        experiments: dict[str, Callable[[int, DiffusionPaintersConfig], Part]] = {
            "closed": exact.closed,
            "emergence": exact.emergences,
            "share": exact.shares,
            "kernel": kernel.on_kernel,
            "classes": kernel.classes,
            "net": on_net,
            "chunks": partial(on_chunks, context.data),
            "renders": partial(on_renders, device=context.device),
        }
        return run_parts(experiments, config.parts, config, seeds, context)

    def figure(self, config: DiffusionPaintersConfig, outcomes: Mapping[int, Outcome]) -> Figure:
        """Emergence, explained share, errors of every way, learning, samples, rendered frames."""
        return draw(config, outcomes)

    def parts(self, config: DiffusionPaintersConfig, seeds: Sequence[int]) -> int:
        """Experiments times seeds."""
        return len(config.parts) * len(seeds)


STUDY = DiffusionPainters()
