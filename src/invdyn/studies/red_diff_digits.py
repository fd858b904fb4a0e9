"""Part (b) of the RED-diff study: digits with a trained prior. In-painting, super-resolution, blur; cost; phases."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from invdyn.diffusion import DDIM, DeltaMixturePrior, Denoiser, GaussianPrior, Imputation, RedDiff, Sampler
from invdyn.diffusion.operators import Operator, block_average, blur, clipped, hide, phase_retrieval
from invdyn.diffusion.posterior import DPS, Projection, pgdm, wiener
from invdyn.nn.time_mlp import TimeMLP
from invdyn.studies.diffusion_principles_config import digits as all_digits
from invdyn.studies.diffusion_principles_config import grey_levels
from invdyn.studies.part import Part, generators
from invdyn.studies.red_diff_config import PATH, RedDiffConfig, Shaped, descending, grid, train
from invdyn.verify.cost import CostMeter, peak_tensor_mb
from invdyn.verify.metrics import psnr, ssim

__all__ = ["RANGE", "Trial", "digits", "methods", "quality", "tasks"]

Answer = Callable[[Operator, Tensor, torch.Generator], Tensor]
SIDE, RANGE = 8, 2.0


def prior(seed: int, config: RedDiffConfig) -> tuple[Denoiser, Tensor, Tensor, list[float]]:
    """The frozen prior, the digits it was trained on, held-out ones [batch, 8, 8], logged losses."""
    g, _ = generators(seed, "prior")
    images = all_digits()[torch.randperm(1797, generator=g)].float()
    seen, held = images[: config.held], images[config.held :]

    spread = float(seen.var(0).mean().sqrt())
    denoise, losses = train(
        lambda: Shaped(TimeMLP(SIDE**2, width=config.width)),
        grey_levels(seen),
        spread,
        steps=config.net_steps,
        batch=config.batch,
        lr=config.lr,
        seed=seed,
    )
    return denoise, seen, held.reshape(-1, SIDE, SIDE), losses


def tasks(g: torch.Generator, side: int = SIDE, factor: int = 2) -> dict[str, Operator]:
    """What is measured of a picture of side x side pixels, super-resolution by a factor."""
    pixels = torch.arange(side**2).reshape(side, side)
    hidden = torch.randperm(side**2, generator=g).reshape(side, side) < side**2 // 2
    bell = torch.exp(-0.5 * torch.minimum(torch.arange(side), side - torch.arange(side)).square())
    return {
        "inpaint": hide(~hidden),
        "left": hide(pixels % side < side // 2),
        "super": block_average(factor),
        "blur": blur(torch.outer(bell, bell) / bell.sum() ** 2, floor=0.1),
        "hdr": clipped(2.0),
    }


def quality(found: Tensor, truth: Tensor) -> float:
    """Mean PSNR, dB; answers are brought into [-1, 1] for every method alike."""
    return float(psnr(found.clamp(-1, 1), truth, RANGE).mean())


def methods(denoise: Denoiser, config: RedDiffConfig, shape: Sequence[int] = (SIDE, SIDE)) -> dict[str, list[Answer]]:
    """Every method that asks the net, four settings each; as many calls of the net for all; answers of that shape."""
    times, levels = grid(config.calls), descending(config.calls)

    def red(**settings: Any) -> Answer:
        return lambda f, y, g: RedDiff(PATH, levels, clip=1.0, **settings)(denoise, f, y, g)

    def sampled(make: Callable[[Operator, Tensor], Mapping[str, Any]]) -> Answer:
        def answer(f: Operator, y: Tensor, g: torch.Generator) -> Tensor:
            start = torch.randn(len(y), *shape, generator=g).to(y)
            return Sampler(PATH, times, clip=1.0, **make(f, y))(denoise, start, g)

        return answer

    def dps(weight: float) -> Answer:
        return sampled(lambda f, y: {"rule": DPS(f, y, weight)})

    def pseudo_inverse_guided(weight: float) -> Answer:
        return sampled(lambda f, y: {"rule": DDIM(1.0), "guide": pgdm(f, y, PATH, config.noise, weight)})

    def projected(eta: float) -> Answer:
        return sampled(lambda f, y: {"rule": DDIM(eta), "guide": Projection(f, y, PATH, config.noise)})

    weights = (0.01, 0.03, 0.1, 0.25)
    return {
        "red_diff": [red(noise="paired", weight=w) for w in weights],
        "red_diff_own_eps": [red(weight=w) for w in weights],
        "dps": [dps(w) for w in (0.5, 1.0, 2.0, 4.0)],
        "pgdm": [pseudo_inverse_guided(w) for w in (0.5, 1.0, 1.5, 2.0)],
        "projection": [projected(e) for e in (0.0, 0.5, 0.85, 1.0)],
    }


@dataclass(frozen=True)
class Trial:
    """What a task is tried on.

    Args:
        asked: the methods and their settings.
        gauss: of the data, float64, for the Wiener filter.
        tuned_on, truth: pictures that settings are chosen on, and that answers are judged on.
        noise: sd of the measurements.
    """

    asked: Mapping[str, Sequence[Answer]]
    gauss: GaussianPrior
    tuned_on: Tensor
    truth: Tensor
    noise: float

    def measured(self, f: Operator, x: Tensor, g: torch.Generator) -> Tensor:
        """f of pictures, with noise."""
        clean = f.forward(x)
        return clean + self.noise * torch.randn(clean.shape, generator=g).to(clean)

    def __call__(self, f: Operator, g: torch.Generator) -> tuple[Tensor, dict[str, Tensor], dict[str, int]]:
        """Measurements of `truth`, every method's answer, and the number of the setting it was given."""
        few, y = self.measured(f, self.tuned_on, g), self.measured(f, self.truth, g)
        answers, chosen = {"pseudo_inverse": f.guess(y)}, {}
        if f.adjoint is not None:
            answers["wiener"] = wiener(self.gauss, f, y.double(), self.noise, self.truth[0].double()).float()
        for name, settings in self.asked.items():
            if f.adjoint is None and name in ("pgdm", "projection"):
                continue
            scores = [quality(answer(f, few, g), self.tuned_on) for answer in settings]
            chosen[name] = scores.index(max(scores))
            answers[name] = settings[chosen[name]](f, y, g)
        return y, answers, chosen


def digits(seed: int, config: RedDiffConfig) -> Part:
    """Points 5, 6 and 8: PSNR of every method at equal calls, settings chosen on other digits; memory and time."""
    denoise, seen, held, losses = prior(seed, config)
    g, _ = generators(seed, "digits")
    tuned_on, truth = held[: config.tuning], held[config.tuning : config.tuning + config.images]
    gauss = GaussianPrior(seen.double().mean(0), torch.cov(seen.double().mT) + 1e-6 * torch.eye(SIDE**2).double())
    kernel = DeltaMixturePrior(seen, 0.25).denoiser(PATH)
    trial = Trial(methods(denoise, config), gauss, tuned_on, truth, config.noise)
    shown = {"truth": truth[:10].tolist()}
    metrics: dict[str, Any] = {}

    for task, f in tasks(g).items():
        y, answers, chosen = trial(f, g)
        metrics |= {f"{task}.setting.{name}": number for name, number in chosen.items()}
        levels = descending(config.calls)
        if task == "inpaint":
            mask = f.guess(torch.ones_like(y[:1])).bool()[0]
            guide, start = Imputation(f.guess(y), mask), torch.randn(truth.shape, generator=g)
            answers["imputation"] = Sampler(PATH, grid(config.calls), DDIM(1.0), guide, clip=1.0)(denoise, start, g)
            answers["sds"] = RedDiff(PATH, levels, data=0.0, clip=1.0)(denoise, f, y, g)
            quiet = [PATH.level_time(99)] * config.calls
            answers["red"] = RedDiff(PATH, quiet, noise="none", clip=1.0)(denoise, f, y, g)
            answers["red_diff_kernel"] = RedDiff(PATH, levels, 0.03, noise="paired", clip=1.0)(kernel, f, y, g)
        for name, x in answers.items():
            metrics[f"{task}.psnr.{name}"] = quality(x, truth)
            metrics[f"{task}.ssim.{name}"] = float(ssim(x.clamp(-1, 1), truth, RANGE).mean())
        if task == "inpaint":
            shown |= {name: answers[name][:10].tolist() for name in ("pseudo_inverse", "wiener", "dps", "red_diff")}
    for name in ("dps", "wiener"):
        metrics[f"inpaint.over_{name}"] = metrics["inpaint.psnr.red_diff"] - metrics[f"inpaint.psnr.{name}"]
        metrics[f"inpaint.own_eps_over_{name}"] = (
            metrics["inpaint.psnr.red_diff_own_eps"] - metrics[f"inpaint.psnr.{name}"]
        )
    others = ("dps", "pgdm", "projection", "wiener", "pseudo_inverse")
    metrics["super.over_best"] = metrics["super.psnr.red_diff"] - max(metrics[f"super.psnr.{o}"] for o in others)
    phases, pictures = phase(denoise, held, seed, config)
    metrics |= phases | {f"small_net.{k}": v for k, v in cost(denoise, truth, config).items()}
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        large = TimeMLP(SIDE**2, width=config.cost_width, depth=config.cost_depth).requires_grad_(False)
    metrics |= cost(Denoiser(Shaped(large), PATH, "edm", 0.5), truth, config)
    return Part(metrics, {"digits": shown, "phase": pictures, "losses": losses})


def cost(denoise: Denoiser, truth: Tensor, config: RedDiffConfig, steps: int = 20) -> dict[str, float]:
    """Memory of tensors and time of a step, RED-diff over DPS and PGDM, one batch, threads and net for all."""
    steps = min(steps, config.calls)
    f = hide(torch.arange(SIDE**2).reshape(SIDE, SIDE) % 2 == 0)
    y, g = f.forward(truth), torch.Generator().manual_seed(0)
    red, dps = RedDiff(PATH, descending(steps), clip=1.0), Sampler(PATH, grid(steps), DPS(f, y))
    guided = Sampler(PATH, grid(steps), DDIM(1.0), pgdm(f, y, PATH, config.noise))
    runs = {"red_diff": lambda: red(denoise, f, y, g), "dps": lambda: dps(denoise, truth, g)}
    runs["pgdm"] = lambda: guided(denoise, truth, g)
    found = {}
    meters = {name: CostMeter(warmup=1) for name in runs}
    for _ in range(6):  # in turns, so that other work on the machine falls on all alike
        for name, run in runs.items():
            with meters[name].call():
                run()
    for name, run in runs.items():
        found[f"cost.memory_mb.{name}"] = peak_tensor_mb(run)
        found[f"cost.step_ms.{name}"] = min(meters[name].seconds) * 1e3 / steps
    for kind in ("memory_mb", "step_ms"):
        found[f"cost.{kind}.ratio"] = found[f"cost.{kind}.red_diff"] / found[f"cost.{kind}.dps"]
    return found


def phase(denoise: Denoiser, held: Tensor, seed: int, config: RedDiffConfig) -> tuple[dict[str, float], dict[str, Any]]:
    """Point 8: digits from the magnitudes of their spectrum; of ten starts the one that fits best, up to a flip."""
    g, _ = generators(seed, "phase")
    truth, starts = held[config.tuning : config.tuning + config.phase_images], config.phase_starts
    f = phase_retrieval((SIDE, SIDE))
    y = f.forward(truth)
    y = (y + config.noise * torch.randn(y.shape, generator=g)).repeat_interleave(starts, 0)
    begin = 0.5 * torch.randn(len(y), SIDE, SIDE, generator=g)
    red = RedDiff(PATH, descending(config.phase_calls), 0.1, clip=1.0, noise="paired")
    dps = Sampler(PATH, grid(config.phase_calls), DPS(f, y, 0.8), clip=1.0)
    metrics, shown = {}, {"truth": truth[:10].tolist()}
    for name, found in (("red_diff", red(denoise, f, y, g, begin)), ("dps", dps(denoise, 2 * begin, g))):
        fit = (y - f.forward(found)).square().flatten(1).mean(1).reshape(-1, starts)
        found = found.clamp(-1, 1)
        many = truth.repeat_interleave(starts, 0)
        scores = torch.maximum(psnr(found, many, RANGE), psnr(found.flip(1, 2), many, RANGE)).reshape(-1, starts)
        best = fit.argmin(1)
        chosen = scores[torch.arange(len(truth)), best]
        metrics[f"phase.share.{name}"] = float((chosen >= 20).double().mean())
        metrics[f"phase.psnr.{name}"] = float(chosen.mean())
        metrics[f"phase.share_of_single.{name}"] = float((scores >= 20).double().mean())
        metrics[f"phase.share_of_best_psnr.{name}"] = float((scores.max(1).values >= 20).double().mean())
        shown[name] = found.reshape(-1, starts, SIDE, SIDE)[torch.arange(len(truth)), best][:10].tolist()
    return metrics, shown
