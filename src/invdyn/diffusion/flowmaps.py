"""Flow maps: one net that jumps along the probability flow, Phi_{t -> r}(x), and the losses that teach it.

| map | form | loss |
|---|---|---|
| mean velocity | Phi = x - (t - r) u(x, t, r) | `MeanFlowLoss` (Geng et al. 2025, 2505.13447) |
| the same | | `ShortcutLoss` (Frans et al. 2025, 2410.12557) |
| consistency | r = 0: f(x, t) = D of an `edm` net, f(x, 0) = x | `ConsistencyLoss` (Song et al. 2023, 2303.01469) |
| trajectory | G = s/t x + (1 - s/t) g(x, t, s), EDM time | `TrajectoryLoss`, CTM (Kim et al. 2024, 2310.02279) |

A flow-map net is any `net(x, t, h, condition)` with h = t - r. Losses have the form the Trainer calls; a batch is x0 or
(x0, condition).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from invdyn.diffusion.grids import edm_grid
from invdyn.diffusion.losses import Times, target
from invdyn.diffusion.parameterize import Denoise, Denoiser, Net, to_denoised
from invdyn.diffusion.path import EDMPath, LinearPath, Path, along
from invdyn.errors import ConfigError
from invdyn.nn.gaussians import standard_normal

__all__ = [
    "ConsistencyLoss",
    "FlowMap",
    "MeanFlowLoss",
    "ShortcutLoss",
    "TrajectoryLoss",
    "jump",
    "mean_flow_residual",
    "mean_velocity_map",
    "trajectory_map",
]

LINEAR = LinearPath()
FlowNet = Callable[[Tensor, Tensor, Tensor, Any], Tensor]
"""(x [batch, ...], t [batch], h = t - r [batch], condition) -> mean velocity, of the shape of x."""
FlowMap = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(x [batch, ...], t [batch], r [batch]) -> x at r."""


def mean_velocity_map(net: FlowNet, condition: Any = None) -> FlowMap:
    """Phi_{t -> r}(x) = x - (t - r) u(x, t, r)."""

    def phi(x: Tensor, t: Tensor, r: Tensor) -> Tensor:
        return x - along(t - r, x) * net(x, t, t - r, condition)

    return phi


@torch.no_grad()
def jump(phi: FlowMap, x: Float[Tensor, "batch *event"], times: Sequence[float]) -> Float[Tensor, "batch *event"]:
    """x taken along a list of times by a flow map: [1, 0] is one step.

    Raises:
        ConfigError: times that do not fall.
    """
    if len(times) < 2 or any(not s < t for t, s in pairwise(times)):
        raise ConfigError(f"flow map: times {list(times)}; expected at least two, falling from noise to data.")
    for t, r in pairwise(times):
        x = phi(x, x.new_full((len(x),), t), x.new_full((len(x),), r))
    return x


def mean_flow_residual(
    u: Callable[[Tensor, Tensor, Tensor], Tensor], x: Tensor, t: Tensor, r: Tensor, velocity: Tensor
) -> tuple[Tensor, Tensor]:
    """u(x, t, r) and its target v - (t - r) du/dt, du/dt along (v, 1, 0) by one JVP; the true mean velocity hits it."""
    way = (velocity, torch.ones_like(t), torch.zeros_like(r))
    value, rate = torch.func.jvp(u, (x, t, r), way)  # type: ignore[misc]
    return value, (velocity - along(t - r, x) * rate).detach()


@dataclass(frozen=True)
class MeanFlowLoss:
    """|u - stop[v - (t - r) du/dt]|^2 summed over components, divided by stop[(itself + 1e-3)^power] per sample.

    Args:
        path: how the data become noise.
        t, r: distributions of the two times; r None draws both from `t` and sorts them.
        ratio: share of samples with r < t; the others are plain flow matching.
        power: 0 is the plain square, 1 treats all samples alike; 0.75 on CIFAR-10.
        floor: added before the power.
    """

    path: Path = LINEAR
    t: Times = field(default_factory=lambda: Times("logit_normal", -2.0, 2.0))
    r: Times | None = None
    ratio: float = 0.75
    power: float = 0.75
    floor: float = 1e-3

    def __post_init__(self) -> None:
        if not 0 <= self.ratio <= 1 or self.power < 0 or not self.floor > 0:
            raise ConfigError(
                f"mean flow: ratio {self.ratio}, power {self.power}, floor {self.floor}; expected 0 to 1, >= 0, > 0."
            )

    def times(self, size: int, generator: torch.Generator, like: Tensor) -> tuple[Tensor, Tensor]:
        """t and r <= t of a batch."""
        first = self.t.draw(size, self.path, generator, like)
        second = (self.r or self.t).draw(size, self.path, generator, like)
        if self.r is None:
            t, r = torch.maximum(first, second), torch.minimum(first, second)
        else:
            t, r = first, torch.minimum(first, second)
        apart = torch.rand(size, generator=generator, device=generator.device).to(like.device) < self.ratio
        return t, torch.where(apart, r, t)

    def __call__(self, net: FlowNet, batch: Any, generator: torch.Generator) -> Mapping[str, Tensor]:
        x0, condition = batch if isinstance(batch, tuple) else (batch, None)
        t, r = self.times(len(x0), generator, x0)
        noise = standard_normal(x0, generator)
        velocity = target("velocity", x0, noise, t, self.path)
        u, aim = mean_flow_residual(
            lambda x, t, r: net(x, t, t - r, condition), self.path.corrupt(x0, noise, t), t, r, velocity
        )
        error = (u - aim).square().flatten(1).sum(1)
        scale = (error.detach() + self.floor) ** self.power
        return {"loss": (error / scale).mean(), "error": error.detach().mean()}


@dataclass(frozen=True)
class ShortcutLoss:
    """Flow matching at h = 0, and on a share of the batch two steps of d as the target of one of 2 d (linear path).

    Args:
        share: of samples that learn from their own two half steps.
        finest: the smallest d is 1 / finest, a power of two.
    """

    share: float = 0.25
    finest: int = 128

    def __post_init__(self) -> None:
        if not 0 < self.share < 1 or self.finest < 2 or self.finest & (self.finest - 1):
            raise ConfigError(
                f"shortcut: share {self.share} and finest {self.finest}; expected 0 to 1 and a power of two from 2 on."
            )

    def __call__(self, net: FlowNet, batch: Any, generator: torch.Generator) -> Mapping[str, Tensor]:
        x0, condition = batch if isinstance(batch, tuple) else (batch, None)
        path, size = LinearPath(), len(x0)
        noise = standard_normal(x0, generator)
        t = Times().draw(size, path, generator, x0)
        own = max(1, round(self.share * size))
        # d = 2^-k, k = 1 .. log2(finest); the double step starts on its own grid.
        draw = torch.rand(2, own, generator=generator, device=generator.device).to(x0)
        k = 1 + (draw[0] * (self.finest.bit_length() - 1)).floor()
        d = 2.0**-k
        count = (1 / (2 * d)).round()
        t = torch.cat([2 * d * (1 + (draw[1] * count).floor().clamp(max=count - 1)), t[own:]])
        h = torch.cat([2 * d, torch.zeros_like(t[own:])])
        x = path.corrupt(x0, noise, t)
        aim = noise - x0
        with torch.no_grad():
            some = None if condition is None else condition[:own]
            first = net(x[:own], t[:own], d, some)
            second = net(x[:own] - along(d, x) * first, t[:own] - d, d, some)
            aim = torch.cat([(first + second) / 2, aim[own:]])
        error = (net(x, t, h, condition) - aim).square().flatten(1).mean(1)
        return {"loss": error.mean()}


@dataclass(frozen=True)
class ConsistencyLoss:
    """|f(x at t_{n+1}, t_{n+1}) - stop f(x at t_n, t_n)|^2, f the D of an `edm` net `net(x, ln(sigma)/4, condition)`.

    Args:
        points: noise levels of the EDM grid, 0 among them.
        sigma_data: spread of the data.
        teacher: D of a trained model, whose DDIM step makes x at t_n (distillation); None uses the same (x0, eps).
        low, high: ends of the grid.
    """

    points: int = 18
    sigma_data: float = 0.5
    teacher: Denoise | None = None
    low: float = 0.002
    high: float = 80.0

    def __call__(self, net: Net, batch: Any, generator: torch.Generator) -> Mapping[str, Tensor]:
        x0, condition = batch if isinstance(batch, tuple) else (batch, None)
        path = EDMPath(self.low, self.high)
        grid = torch.tensor(edm_grid(self.points, self.low, self.high)[::-1]).to(x0)
        n = torch.randint(self.points, (len(x0),), generator=generator, device=generator.device).to(x0.device)
        below, above = grid[n], grid[n + 1]
        noise = standard_normal(x0, generator)
        x = path.corrupt(x0, noise, above)
        f = Denoiser(net, path, "edm", self.sigma_data, condition)
        with torch.no_grad():
            ratio = along(below / above, x)
            closer = (
                path.corrupt(x0, noise, below) if self.teacher is None else torch.lerp(self.teacher(x, above), x, ratio)
            )
            # f(x, 0) = x by construction; the net itself cannot be asked there (ln 0).
            asked = f(closer, torch.where(below > 0, below, self.low))
            aim = torch.where(along(below > 0, x), asked, closer)
        return {"loss": (f(x, above) - aim).square().flatten(1).mean(1).mean()}


def trajectory_map(net: FlowNet, sigma_data: float = 0.5, condition: Any = None) -> FlowMap:
    """CTM: G(x, t, s) = s/t x + (1 - s/t) g(x, t, s) in EDM time, g = c_skip(t) x + c_out(t) net(c_in x, ln(t)/4, h)"""

    def phi(x: Tensor, t: Tensor, s: Tensor) -> Tensor:
        return torch.lerp(_end_point(net, x, t, s, sigma_data, condition), x, along(s / t, x).expand_as(x))

    return phi


def _end_point(net: FlowNet, x: Tensor, t: Tensor, s: Tensor, sigma_data: float, condition: Any) -> Tensor:
    """g(x, t, s); g(x, t, t) is D. The net is told both ends as ln / 4, s no lower than 1e-4."""
    scale = along((t.square() + sigma_data**2).rsqrt(), x)
    label = t.log() / 4
    output = net(x * scale, label, label - s.clamp_min(1e-4).log() / 4, condition)
    return to_denoised("edm", output, x, t, EDMPath(), sigma_data)


@dataclass(frozen=True)
class TrajectoryLoss:
    """CTM: G(x, t, s) against stop G(solver(x, t -> u), u, s), both mapped on to 0, plus |g(x, t, t) - x0|^2.

    Args:
        points: noise levels t > u >= s are drawn from, the EDM grid with 0 at the end.
        sigma_data: spread of the data.
        teacher: D of a trained model for the solver's step; None uses the net's own g(x, t, t), held fixed.
        target: the net that gives the target (an average of the weights); None is the net itself, held fixed.
        denoising: weight of the second term, divided by the square of c_out as EDM's.
        low, high: ends of the grid.
    """

    points: int = 18
    sigma_data: float = 0.5
    teacher: Denoise | None = None
    target: FlowNet | None = None
    denoising: float = 1.0
    low: float = 0.002
    high: float = 80.0

    def __call__(self, net: FlowNet, batch: Any, generator: torch.Generator) -> Mapping[str, Tensor]:
        x0, condition = batch if isinstance(batch, tuple) else (batch, None)
        path, device = EDMPath(self.low, self.high), generator.device
        grid = torch.tensor(edm_grid(self.points, self.low, self.high)).to(x0)  # falling, 0 last
        draw = torch.rand(3, len(x0), generator=generator, device=device).to(x0.device)
        i = (draw[0] * self.points).long()  # t: any level but 0
        j = i + 1 + (draw[1] * (self.points - i)).long()  # u: below t, perhaps 0
        k = j + (draw[2] * (self.points + 1 - j)).long()  # s: u or below
        t, u, s = grid[i], grid[j], grid[k]
        x = path.corrupt(x0, standard_normal(x0, generator), t)
        fixed = self.target or net
        stop = trajectory_map(fixed, self.sigma_data, condition)
        with torch.no_grad():
            denoised = (
                _end_point(fixed, x, t, t, self.sigma_data, condition) if self.teacher is None else self.teacher(x, t)
            )
            closer = torch.lerp(denoised, x, along(u / t, x).expand_as(x))
            safe_u, zero = u.clamp_min(self.low), torch.zeros_like(s)
            there = torch.where(along(u > 0, x), stop(closer, safe_u, torch.minimum(s, safe_u)), closer)
            aim = torch.where(along(s > 0, x), stop(there, s.clamp_min(self.low), zero), there)
        made = trajectory_map(net, self.sigma_data, condition)(x, t, s)
        ended = torch.where(along(s > 0, x), stop(made, s.clamp_min(self.low), zero), made)
        jumped = (ended - aim).square().flatten(1).mean(1)
        clean = (_end_point(net, x, t, t, self.sigma_data, condition) - x0).square().flatten(1).mean(1)
        weight = 1 / t.square() + 1 / self.sigma_data**2
        return {"loss": jumped.mean() + self.denoising * (weight * clean).mean(), "jump": jumped.detach().mean()}
