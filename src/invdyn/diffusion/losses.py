"""One loss with a weight: every objective of the family is w(t) |D(x_t, t) - x0|^2, and `weight` names the w.

|eps^ - eps|^2 = (alpha/sigma)^2 |D - x0|^2; |s - s*|^2 = alpha^2/sigma^4 |D - x0|^2;
|v^ - v|^2 = (alpha' - sigma' alpha/sigma)^2 |D - x0|^2; the ELBO costs -SNR'/2 |D - x0|^2 a unit of time
(Kingma et al. 2021, arXiv 2107.00630), (SNR(s) - SNR(t))/2 |D - x0|^2 a step.
Times are drawn stratified: one in each of `batch` equal shares of the distribution, in random order.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from invdyn.diffusion.parameterize import Denoiser, Kind, Net
from invdyn.diffusion.path import Path, along
from invdyn.errors import ConfigError, unknown_name
from invdyn.nn.gaussians import standard_normal

__all__ = ["WEIGHTS", "DenoisingLoss", "Times", "WeightName", "drop_condition", "elbo_step", "loss_weight", "target"]

WeightName = Literal["x0", "eps", "score", "velocity", "salimans_v", "edm", "elbo", "min_snr"]
WEIGHTS: tuple[str, ...] = get_args(WeightName)
MIN_SNR = 5.0  # Hang et al. 2023, arXiv 2303.09556


def loss_weight(name: str, t: Float[Tensor, " batch"], path: Path, sigma_data: float = 0.5) -> Float[Tensor, " batch"]:
    """w(t) on |D - x0|^2: the name of an output kind makes it that output's own squared error.

    Raises:
        UnknownNameError: no such weight.
    """
    if name == "x0":
        return torch.ones_like(t)
    alpha, sigma = path.alpha(t), path.sigma(t)
    snr = (alpha / sigma).square()
    if name == "eps":
        return snr
    if name == "score":
        return snr / sigma.square()
    if name == "velocity":
        return (path.d_alpha(t) - path.d_sigma(t) * alpha / sigma).square()
    if name == "salimans_v":
        return (alpha.square() / sigma + sigma).square()
    if name == "edm":  # (s^2 + sd^2) / (s sd)^2 with s = sigma / alpha
        return snr + 1 / sigma_data**2
    if name == "elbo":
        return -path.d_log_ratio(t) * snr
    if name == "min_snr":
        return snr.clamp(max=MIN_SNR)
    raise unknown_name("loss weight", name, WEIGHTS)


def elbo_step(t: Float[Tensor, " batch"], s: Float[Tensor, " batch"], path: Path) -> Float[Tensor, " batch"]:
    """What one step t -> s < t of the discrete ELBO costs per |x0 - D|^2 (nats): (SNR(s) - SNR(t)) / 2."""
    return (path.snr(s) - path.snr(t)) / 2


def target(
    kind: str,
    x0: Float[Tensor, "batch *event"],
    noise: Float[Tensor, "batch *event"],
    t: Float[Tensor, " batch"],
    path: Path,
) -> Float[Tensor, "batch *event"]:
    """What an output of this kind is regressed onto, given the data and the noise that were mixed.

    Raises:
        UnknownNameError: no such kind, or `edm`, which is trained through D.
    """
    if kind == "x0":
        return x0
    if kind == "eps":
        return noise
    if kind == "score":
        return -noise / along(path.sigma(t), x0)
    if kind == "velocity":
        return along(path.d_alpha(t), x0) * x0 + along(path.d_sigma(t), x0) * noise
    if kind == "salimans_v":
        return along(path.alpha(t), x0) * noise - along(path.sigma(t), x0) * x0
    raise unknown_name("kind of regression target", kind, ("x0", "eps", "score", "velocity", "salimans_v"))


@dataclass(frozen=True)
class Times:
    """Where in time a network is trained.

    Args:
        kind: `uniform` between t_min and t_max of the path, `logit_normal`: sigmoid of N(mean, std^2), or `log_normal`:
            ln(sigma / alpha) ~ N(mean, std^2), EDM's.
        mean, std: of the normal.
    """

    kind: Literal["uniform", "logit_normal", "log_normal"] = "uniform"
    mean: float = 0.0
    std: float = 1.0

    def __post_init__(self) -> None:
        if self.kind not in ("uniform", "logit_normal", "log_normal"):
            raise unknown_name("distribution of times", self.kind, ("uniform", "logit_normal", "log_normal"))
        if not self.std > 0:
            raise ConfigError(f"times: std is {self.std}, expected a positive number.")

    def draw(self, size: int, path: Path, generator: torch.Generator, like: Tensor) -> Float[Tensor, " batch"]:
        """So many times in random order, stratified, with the type and device of `like`."""
        device = generator.device
        strata = torch.arange(size, device=device, dtype=torch.float64)
        share = (strata + torch.rand(size, generator=generator, device=device, dtype=torch.float64)) / size
        share = share[torch.randperm(size, generator=generator, device=device)]
        if self.kind == "uniform":
            t = path.t_min + (path.t_max - path.t_min) * share
        else:
            normal = self.mean + self.std * torch.special.ndtri(share.clamp(1e-12, 1 - 1e-12))
            if self.kind == "logit_normal":
                t = path.t_min + (path.t_max - path.t_min) * torch.sigmoid(normal)
            else:
                t = path.time(-normal)
        return t.to(device=like.device, dtype=like.dtype)


@dataclass(frozen=True)
class DenoisingLoss:
    """Regression onto the data through D, in the form the Trainer calls.

    A batch is x0, or (x0, condition). Errors are averaged over the components of a sample, then over samples.

    Args:
        path: how the data become noise.
        kind: what the net puts out.
        weight: on |D - x0|^2; the kind's own name is plain regression onto that output.
        times: where it is trained.
        sigma_data: of `edm`.
    """

    path: Path
    kind: Kind = "velocity"
    weight: WeightName = "velocity"
    times: Times = Times()
    sigma_data: float = 0.5

    def per_sample(
        self, net: Net, x0: Tensor, noise: Tensor, t: Float[Tensor, " batch"], condition: Any = None
    ) -> Float[Tensor, " batch"]:
        """w(t) mean |D - x0|^2 of every sample."""
        x = self.path.corrupt(x0, noise, t)
        model = Denoiser(net, self.path, self.kind, self.sigma_data, condition)
        if self.weight == self.kind and self.kind != "edm":
            # The same number without dividing by what may be 0 at either end.
            return (model.output(x, t) - target(self.kind, x0, noise, t, self.path)).square().flatten(1).mean(1)
        denoised = model(x, t)
        error = (denoised - x0).square().flatten(1).mean(1)
        return loss_weight(self.weight, t, self.path, self.sigma_data) * error

    def __call__(self, net: Net, batch: Any, generator: torch.Generator) -> Mapping[str, Tensor]:
        x0, condition = batch if isinstance(batch, tuple) else (batch, None)
        t = self.times.draw(len(x0), self.path, generator, x0)
        noise = standard_normal(x0, generator)
        return {"loss": self.per_sample(net, x0, noise, t, condition).mean()}


def drop_condition(
    condition: Float[Tensor, "batch *event"], null: Tensor, generator: torch.Generator, share: float = 0.1
) -> Float[Tensor, "batch *event"]:
    """The condition with a share of its samples replaced by `null`, so that one net learns both (Ho, Salimans 2022)."""
    drop: Bool[Tensor, " batch"] = torch.rand(len(condition), generator=generator, device=generator.device) < share
    drop = drop.to(condition.device)
    return torch.where(drop.reshape(-1, *(1,) * (condition.ndim - 1)), null, condition)
