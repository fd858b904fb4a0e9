"""Nets trained by flow matching, EDM, MeanFlow and shortcut in one run, on the mixture and on the digits."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from invdyn.diffusion import (
    Denoiser,
    DenoisingLoss,
    DPMpp2M,
    Euler,
    Heun,
    MeanFlowLoss,
    Path,
    Sampler,
    ShortcutLoss,
    Times,
    edm_grid,
    jump,
    make_path,
    mean_velocity_map,
    uniform_grid,
)
from invdyn.nn.time_mlp import TimeMLP
from invdyn.studies.diffusion_principles_config import DiffusionPrinciplesConfig, digits, grey_levels, mixture
from invdyn.studies.nets import Draw, fit_net
from invdyn.studies.part import Part, generators
from invdyn.verify.metrics import frechet_distance, sliced_w2, w2_exact

__all__ = ["MODELS", "losses", "on_digits", "on_mixture", "samples"]

LINEAR, EDM = make_path("linear"), make_path("edm")
MODELS = ("flow", "edm", "mean_flow", "shortcut")


def losses(spread: float) -> dict[str, Any]:
    """The four objectives; MeanFlow's times are the CIFAR-10 recipe v1, EDM's are its own moved by ln(spread / 0.5)."""
    # Plain squares (power 0): with the recipe's weights 1/loss^0.75 two of three nets in the plane stay at transport
    # distances of 1.1 and 1.3 after 2,500 updates, without them all reach 0.2 to 0.3.
    mean_flow = MeanFlowLoss(t=Times("logit_normal", -0.6, 1.6), r=Times("logit_normal", -4.0, 1.6), power=0.0)
    edm = DenoisingLoss(EDM, "edm", "edm", Times("log_normal", -1.2 + math.log(spread / 0.5), 1.2), spread)
    return {"flow": DenoisingLoss(LINEAR), "edm": edm, "mean_flow": mean_flow, "shortcut": ShortcutLoss()}


def train(
    name: str, draw: Draw, dim: int, width: int, steps: int, config: DiffusionPrinciplesConfig, seed: int, spread: float
) -> tuple[TimeMLP, list[float]]:
    """One net by one objective, and its logged losses; every objective has the same net, rate, batch and updates."""
    # Times enter as they are: sines of t - r would dominate du/dt and MeanFlow would learn little from it.
    scalars = 2 if name in ("mean_flow", "shortcut") else 1
    return fit_net(
        lambda: TimeMLP(dim, scalars=scalars, width=width, octaves=0),
        losses(spread)[name],
        draw,
        steps=steps,
        batch=config.batch,
        lr=config.lr,
        seed=seed,
    )


def samples(nets: Mapping[str, nn.Module], spread: float, noise: Tensor) -> dict[str, Tensor]:
    """What every trained net makes of the same noise, by calls of the net; flow maps those that there are."""
    flow, edm = Denoiser(nets["flow"], LINEAR), Denoiser(nets["edm"], EDM, "edm", spread)
    made = {f"euler_{n}": Sampler(LINEAR, uniform_grid(LINEAR, n), Euler())(flow, noise) for n in (1, 2, 4, 64)}
    loud = noise * EDM.t_max
    made["edm_heun_35"] = Sampler(EDM, edm_grid(18), Heun("sigma"), wide=True)(edm, loud)
    made["edm_dpmpp_10"] = Sampler(EDM, edm_grid(10), DPMpp2M(), wide=True)(edm, loud)
    for name in (n for n in ("mean_flow", "shortcut") if n in nets):
        phi = mean_velocity_map(nets[name])
        made |= {f"{name}_{n}": jump(phi, noise, uniform_grid(LINEAR, n)) for n in (1, 2, 4)}
    return made


def on_mixture(seed: int, config: DiffusionPrinciplesConfig) -> Part:
    """Points 6 and 7: learnt D against exact D; transport distance of one and more steps."""
    prior = mixture()
    spread = float(prior.covariance().diagonal().mean().sqrt())

    def draw(g: torch.Generator, size: int) -> Tensor:
        return prior.sample(size, g).float()

    nets, curves = {}, {}
    for name in MODELS:
        nets[name], curves[name] = train(name, draw, 2, config.width, config.steps, config, seed, spread)
    g, _ = generators(seed, "mixture")
    metrics: dict[str, Any] = {
        "learnt_d.flow": _relative_error(Denoiser(nets["flow"], LINEAR), LINEAR, g),
        "learnt_d.edm": _relative_error(Denoiser(nets["edm"], EDM, "edm", spread), EDM, g),
    }
    few, many = config.w2_points, config.sliced_points
    data = prior.sample(many, g)
    metrics["w2.two_fresh_sets"] = w2_exact(data[:few], prior.sample(few, g))
    noise = torch.randn(many, 2, generator=g)
    shown: dict[str, Any] = {"data": data[:few].tolist()}
    for name, made in samples(nets, spread, noise).items():
        metrics[f"w2.{name}"] = w2_exact(data[:few], made[:few])
        metrics[f"sliced_w2.{name}"] = sliced_w2(data, made)
        shown[name] = made[:few].tolist()
    metrics["mean_flow.against_euler_1"] = metrics["w2.mean_flow_1"] / metrics["w2.euler_1"]
    metrics["mean_flow.against_euler_2"] = metrics["w2.mean_flow_1"] / metrics["w2.euler_2"]
    return Part(metrics, {"losses": curves, "samples": shown})


def _relative_error(denoise: Denoiser, path: Path, g: torch.Generator) -> float:
    """sqrt(sum |D - D*|^2 / sum |D*|^2) over t in [0.05, 0.95] of the linear path, the same ratios on EDM."""
    prior, u = mixture(), torch.linspace(0.05, 0.95, 20_000, dtype=torch.float64)
    t = u if path is LINEAR else u / (1 - u)
    x0 = prior.sample(len(t), g)
    x = path.corrupt(x0, torch.randn(x0.shape, generator=g, dtype=x0.dtype), t)
    with torch.no_grad():
        wrong = denoise(x.float(), t.float()).double() - prior.denoised(x, t, path)
    return float((wrong.square().sum() / prior.denoised(x, t, path).square().sum()).sqrt())


def on_digits(seed: int, config: DiffusionPrinciplesConfig) -> Part:
    """The image case: Fréchet distance in 20 principal components to 797 digits that no net has seen."""
    g, _ = generators(seed, "digits")
    images = digits()[torch.randperm(1797, generator=g)].float()
    seen, held = images[:1000], images[1000:]
    spread = float(seen.var(0).mean().sqrt())

    nets, curves = {}, {}
    for name in MODELS:
        nets[name], curves[name] = train(
            name, grey_levels(seen), 64, 2 * config.width, config.digits_steps, config, seed + 1000, spread
        )
    noise = torch.randn(len(held), 64, generator=g)
    metrics: dict[str, Any] = {"digits.frechet_seen": frechet_distance(held, seen, 20)}
    shown: dict[str, Any] = {}
    for name, made in samples(nets, spread, noise).items():
        metrics[f"digits.frechet_{name}"] = frechet_distance(held, made, 20)
        shown[name] = made[:16].tolist()
    return Part(metrics, {"losses": curves, "samples": shown | {"data": held[:16].tolist()}})
