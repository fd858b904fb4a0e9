"""`bridge`: the Schrödinger bridge between two snapshots under any reference drift, by iterative proportional fitting.

Reverse what was simulated forward, start it at the other population, reverse again (Vargas et al., Entropy 2021; De
Bortoli et al., NeurIPS 2021); each reversal is one regression of increments. Static entropic transport covers only
Brownian references, this covers all.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from invdyn.diffusion.bridges_drift import Drift, RegressionConfig, fit_drift, no_drift, simulate
from invdyn.errors import ConfigError

__all__ = ["Bridge", "BridgeConfig", "bridge", "time_grid"]


@dataclass(frozen=True)
class BridgeConfig:
    """Settings of a bridge.

    Args:
        sigma: known noise of the process, per root of time.
        step: dt of the simulation; the last step of an interval is cut to fit.
        rounds: IPF rounds (paper: 10).
        copies: paths per particle in every simulation (ours).
        anchored: the reference's drift is the prior mean of the regressions; else zero (the paper's choice).
        regression: how drifts are regressed.
    """

    sigma: float = 0.1
    step: float = 0.02
    rounds: int = 10
    copies: int = 1
    anchored: bool = True
    regression: RegressionConfig = field(default_factory=RegressionConfig)

    def __post_init__(self) -> None:
        if not self.sigma > 0 or not self.step > 0 or self.rounds < 1 or self.copies < 1:
            raise ConfigError(
                f"BridgeConfig: sigma {self.sigma}, step {self.step}, rounds {self.rounds}, copies {self.copies}; "
                "all must be above 0."
            )


@dataclass(frozen=True)
class Bridge:
    """Drifts of a bridge, forward and backward in time, on its grid.

    Args:
        times: rising, both snapshots included.
        forward: drift of the process.
        backward: drift of the reversed process, per |dt|.
    """

    times: Float[Tensor, " time"]
    forward: Drift
    backward: Drift


def time_grid(start: float, end: float, step: float) -> Float[Tensor, " time"]:
    """From start to end in equal steps of at most `step`."""
    if not end > start:
        raise ConfigError(f"time_grid: from {start} to {end}; snapshots must follow each other in time.")
    count = max(
        1, int(-(-(end - start) // step)) if (end - start) % step > 1e-9 * step else round((end - start) / step)
    )
    return torch.linspace(start, end, count + 1, dtype=torch.float64)


def bridge(
    first: Float[Tensor, "n d"],
    second: Float[Tensor, "m d"],
    span: tuple[float, float],
    config: BridgeConfig,
    generator: torch.Generator,
    reference: Drift = no_drift,
) -> Bridge:
    """The process nearest to the reference (in KL) that starts as `first` and ends as `second`.

    Args:
        first, second: particles; their numbers may differ.
        span: the two times.
        config: settings.
        generator: of noise and features.
        reference: drift b(x, t).
    """
    rising = time_grid(*span, config.step)
    falling = rising.flip(0)
    begin, end = first.repeat(config.copies, 1), second.repeat(config.copies, 1)
    ahead: Drift = reference if config.anchored else no_drift

    def against(x: Float[Tensor, "n d"], t: float) -> Float[Tensor, "n d"]:
        return -ahead(x, t)

    def regress(times: Tensor, path: Tensor, mean: Drift) -> Drift:
        held = mean is against
        return fit_drift(times, path, config.sigma, config.regression, generator, mean, held)

    path = simulate(reference, begin, rising, config.sigma, generator)
    backward = regress(falling, path.flip(0), against)
    forward = reference
    for _ in range(config.rounds):
        path = simulate(backward, end, falling, config.sigma, generator)
        forward = regress(rising, path.flip(0), ahead)
        path = simulate(forward, begin, rising, config.sigma, generator)
        backward = regress(falling, path.flip(0), against)
    return Bridge(rising, forward, backward)
