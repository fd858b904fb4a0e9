"""Drifts from increments of paths: ridge regression on random features of (x, t), or an exact Gaussian process.

The increments (x' - x)/dt of an SDE with noise sigma have mean b(x, t) and variance sigma^2 / dt. The prior of SB-IRR
(Shen et al., AISTATS 2025, arXiv 2408.06277) is a Gaussian process per dimension with kernel exp(-|z - z'|) / dt on
z = (x, t), so its ridge is sigma^2 whatever dt. Random features of that kernel have Cauchy frequencies (Rahimi and
Recht 2007). Ours: the prior's mean may be a known drift (of the reference), an affine part is nearly free, and outside
of what was seen the answer stays what it is at the edge.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from invdyn.errors import ConfigError, unknown_name
from invdyn.nn.gaussians import standard_normal

__all__ = ["Drift", "RegressionConfig", "fit_drift", "no_drift", "simulate"]

Drift = Callable[[Float[Tensor, "n d"], float], Float[Tensor, "n d"]]
"""b(x, t); x all at one time t."""


def no_drift(x: Float[Tensor, "n d"], t: float) -> Float[Tensor, "n d"]:
    """Brownian motion."""
    return torch.zeros_like(x)


def simulate(
    drift: Drift,
    start: Float[Tensor, "n d"],
    times: Float[Tensor, " time"],
    sigma: float,
    generator: torch.Generator,
) -> Float[Tensor, "time n d"]:
    """Euler-Maruyama along the given times; they may fall, then drift is that of the reversed process per |dt|."""
    path = [start]
    for before, after in zip(times[:-1].tolist(), times[1:].tolist()):
        step = abs(after - before)
        noise = standard_normal(start, generator)
        path.append(path[-1] + step * drift(path[-1], before) + sigma * math.sqrt(step) * noise)
    return torch.stack(path)


@dataclass(frozen=True)
class RegressionConfig:
    """How a drift is regressed.

    Args:
        regressor: `features` (random Fourier features) or `gp` (exact, cubic in the number of points).
        features: how many (ours; the card: 500 to 1,000).
        length: length scale of the kernel in x, in units of the points (paper: 1).
        length_time: in t (paper: 1).
        affine: prior variance of the affine part over that of the kernel (ours); 0 leaves it out.
    """

    regressor: Literal["features", "gp"] = "features"
    features: int = 500
    length: float = 1.0
    length_time: float = 1.0
    affine: float = 100.0

    def __post_init__(self) -> None:
        if self.regressor not in ("features", "gp"):
            raise unknown_name("regressor", self.regressor, ("features", "gp"))
        if self.features < 1 or not self.length > 0 or not self.length_time > 0 or self.affine < 0:
            raise ConfigError("RegressionConfig: features >= 1, lengths > 0 and affine >= 0 are needed.")


def fit_drift(
    times: Float[Tensor, " time"],
    path: Float[Tensor, "time n d"],
    sigma: float,
    config: RegressionConfig,
    generator: torch.Generator,
    mean: Drift = no_drift,
    held: bool = False,
) -> Drift:
    """The drift that explains the increments of paths, per |dt|; times may fall.

    Args:
        times: of the rows.
        path: particles.
        sigma: noise of the process.
        config: regressor.
        generator: draws the features.
        mean: what the drift is believed to be before looking.
        held: outside of what was seen at a time the mean too stays what it is at the edge. Reversed contraction is
            expansion: without this, a path that leaves the others runs away.
    """
    gaps = (times[1:] - times[:-1]).abs().to(path)
    x = path[:-1].reshape(-1, path.shape[-1])
    t = times[:-1].repeat_interleave(path.shape[1]).to(path)
    known = torch.cat([mean(p, float(s)) for p, s in zip(path[:-1], times[:-1])])
    rise = ((path[1:] - path[:-1]) / gaps[:, None, None]).reshape(x.shape) - known
    centre, middle = x.mean(0), float(t.mean())
    low, high = path[:-1].amin(1), path[:-1].amax(1)  # outside of what was seen the answer stays what it is at the edge
    rows = {time: k for k, time in enumerate(times[:-1].tolist())}
    scale = x.new_tensor([1 / config.length] * x.shape[1] + [1 / config.length_time])

    def place(x: Float[Tensor, "n d"], t: Float[Tensor, " n"]) -> Float[Tensor, "n z"]:
        return torch.cat([x - centre, (t - middle)[:, None]], 1) * scale

    z = place(x, t)
    answer = (_features if config.regressor == "features" else _process)(z, rise, sigma**2, config, generator)

    def drift(x: Float[Tensor, "n d"], t: float) -> Float[Tensor, "n d"]:
        row = rows[t] if t in rows else int((times[:-1] - t).abs().argmin())
        inside = x.clamp(low[row], high[row])
        return mean(inside if held else x, t) + answer(place(inside, x.new_full((len(x),), t)))

    return drift


Answer = Callable[[Float[Tensor, "n z"]], Float[Tensor, "n d"]]


def _features(z: Tensor, rise: Tensor, ridge: float, config: RegressionConfig, generator: torch.Generator) -> Answer:
    dimension, count = z.shape[1], config.features
    normal = torch.randn(dimension, count, dtype=torch.float64, generator=generator)
    radius = torch.randn(count, dtype=torch.float64, generator=generator).abs()
    frequency = (normal / radius).to(z)  # multivariate Cauchy: the spectrum of exp(-|z|)
    phase = (2 * math.pi * torch.rand(count, dtype=torch.float64, generator=generator)).to(z)
    root = math.sqrt(config.affine)

    def columns(z: Tensor) -> Tensor:
        waves = torch.cos(z @ frequency + phase) * math.sqrt(2 / count)
        return torch.cat([waves, z.new_full((len(z), 1), root), root * z], 1) if root else waves

    phi = columns(z)
    gram = (phi.T @ phi).double()
    gram.diagonal().add_(ridge)
    weights = torch.linalg.solve(gram, (phi.T @ rise).double()).to(z)
    return lambda z: columns(z) @ weights


def _process(z: Tensor, rise: Tensor, ridge: float, config: RegressionConfig, generator: torch.Generator) -> Answer:
    def kernel(a: Tensor, b: Tensor) -> Tensor:
        return torch.exp(-torch.cdist(a, b)) + config.affine * (1 + a @ b.T)

    gram = kernel(z, z).double()
    gram.diagonal().add_(ridge)
    weights = torch.linalg.solve(gram, rise.double()).to(z)
    return lambda query: kernel(query, z) @ weights
