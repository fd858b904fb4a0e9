"""Nesterov dynamics (Parimi, Mehra, Wagh, Yerudkar, Singh, 2025, arXiv 2509.18346): scales, run, figure.

Methods, flows, certificates and identification stand in learning/, the experiments in nesterov_dynamics_flows.py and
nesterov_dynamics_steps.py, the claims in nesterov_dynamics_claims.py.
What differs from the paper and what did not reproduce: docs/studies/nesterov-dynamics.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from invdyn.studies import nesterov_dynamics_flows as flows
from invdyn.studies import nesterov_dynamics_steps as steps
from invdyn.studies.nesterov_dynamics_claims import CLAIMS
from invdyn.studies.nesterov_dynamics_config import NesterovConfig
from invdyn.studies.nesterov_dynamics_figure import draw
from invdyn.studies.part import run_parts
from invdyn.studies.study import Context, Outcome, Study

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["STUDY", "NesterovDynamics"]

EXPERIMENTS = {
    "manifold": flows.manifold,
    "slow": flows.slow,
    "limit": flows.limit,
    "splitting": flows.splitting,
    "certificate": steps.certify,
    "cycle": steps.cycle,
    "radii": steps.radii,
    "rates": steps.rates,
    "identify": steps.identify,
    "performance": steps.performance,
}

SCALES = {
    "smoke": NesterovConfig(
        parts=("manifold", "splitting", "certificate", "cycle", "radii"),
        dim=4,
        features=8,
        images=100,
        starts=2,
        steps=60,
        cycle_starts=10,
    ),
    "laptop": NesterovConfig(),
    # The card asks for no accelerator ("a network on a convex head; otherwise not needed"): a wider head.
    "gpu": NesterovConfig(features=1024, images=1797, rate_dim=1000, trials=30),
}


class NesterovDynamics(Study[NesterovConfig]):
    """Acceleration is a designed slow manifold: its flow, its discretisation, its certificates, and who made a path."""

    slug = "nesterov-dynamics"
    scales = SCALES
    claims = CLAIMS

    def run(self, config: NesterovConfig, seeds: Sequence[int], context: Context) -> dict[int, Outcome]:
        """Every experiment for every seed; each is a part that survives a kill."""
        return run_parts(EXPERIMENTS, config.parts, config, seeds, context)

    def figure(self, config: NesterovConfig, outcomes: Mapping[int, Outcome]) -> Figure:
        """One panel per experiment, the first seed's curves."""
        return draw(config, outcomes)

    def parts(self, config: NesterovConfig, seeds: Sequence[int]) -> int:
        """Experiments times seeds."""
        return len(config.parts) * len(seeds)


STUDY = NesterovDynamics()
