"""Deep linear networks (Saxe, McClelland, Ganguli, ICLR 2014, arXiv 1312.6120): scales, run, figure.

Closed forms and simulators stand in learning/, the experiments in deep_linear_flows.py and deep_linear_nets.py, the
claims in deep_linear_claims.py.
What differs from the paper and what did not reproduce: docs/studies/deep-linear.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from invdyn.learning import Correlations
from invdyn.studies import deep_linear_flows as flows
from invdyn.studies import deep_linear_nets as nets
from invdyn.studies.deep_linear_claims import CLAIMS
from invdyn.studies.deep_linear_config import DeepLinearConfig, Part, load_correlations
from invdyn.studies.deep_linear_figure import draw
from invdyn.studies.study import Context, Outcome, Study

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["STUDY", "DeepLinear"]

EXPERIMENTS = {
    "exact": flows.exact,
    "half_times": flows.half_times,
    "order": flows.order,
    "bend": flows.bend,
    "spectra": nets.spectra,
    "tanh": nets.tanh,
    "tree": nets.tree,
    "inverse": nets.inverse,
}

SCALES = {
    "smoke": DeepLinearConfig(parts=("exact", "order"), flow_end=1.0),
    "laptop": DeepLinearConfig(),
    "gpu": DeepLinearConfig(width=1000, depths=(4, 16, 64, 300), starts=3, curves=8),
    "paper": DeepLinearConfig(data="mnist", width=1000, depths=(4, 10, 30, 100), starts=3, curves=8),
}


class DeepLinear(Study[DeepLinearConfig]):
    """Learning of deep linear networks is solved exactly; depth need not slow it; curves tell their causes."""

    slug = "deep-linear"
    scales = SCALES
    claims = CLAIMS

    def run(self, config: DeepLinearConfig, seeds: Sequence[int], context: Context) -> dict[int, Outcome]:
        """Every experiment for every seed; each is a part that survives a kill."""
        data: Correlations | None = None
        if "depth" in config.parts:
            data = load_correlations(config.data, context)
        outcomes = {}
        for seed in seeds:
            outcome = Outcome({}, {})
            for name in config.parts:

                def compute(name: str = name, seed: int = seed) -> Mapping[str, object]:
                    part: Part
                    if name == "depth":
                        assert data is not None
                        part = nets.depth(seed, config, data, context.device)
                    else:
                        part = EXPERIMENTS[name](seed, config)
                    return part.to_json()

                found = context.once(f"{name}, seed {seed}", compute)
                outcome.metrics.update(found["metrics"])
                outcome.curves[name] = found["curves"]
            outcomes[seed] = outcome
        return outcomes

    def figure(self, config: DeepLinearConfig, outcomes: Mapping[int, Outcome]) -> Figure:
        """One panel per experiment, the first seed's curves; depth for all seeds."""
        return draw(config, outcomes)

    def parts(self, config: DeepLinearConfig, seeds: Sequence[int]) -> int:
        """Experiments times seeds."""
        return len(config.parts) * len(seeds)


STUDY = DeepLinear()
