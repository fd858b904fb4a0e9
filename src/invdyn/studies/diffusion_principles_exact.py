"""Exactness of the core, measured: conversions, oracles, orders, equal views, guidance, diffusers' schedulers."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from scipy.integrate import solve_ivp
from torch import Tensor

from invdyn.diffusion import (
    DDIM,
    PATHS,
    ClassifierFree,
    Denoiser,
    DiscretePath,
    DPMpp2M,
    EDMPath,
    Euler,
    GaussianMixturePrior,
    GaussianPrior,
    Heun,
    Path,
    ReverseSDE,
    Sampler,
    denoised_to,
    edm_grid,
    level_grid,
    levels,
    log_ratio_grid,
    loss_weight,
    make_path,
    to_denoised,
    uniform_grid,
)
from invdyn.diffusion.flowmaps import mean_flow_residual
from invdyn.diffusion.losses import target
from invdyn.diffusion.parameterize import KINDS
from invdyn.diffusion.steps import Rule
from invdyn.errors import require
from invdyn.studies.diffusion_principles_config import DiffusionPrinciplesConfig, digits_gaussian, mixture
from invdyn.studies.part import Part, generators

__all__ = ["exact", "guidance", "order", "schedulers", "views"]

D64 = torch.float64
LINEAR = make_path("linear")


def _normal(g: torch.Generator, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=g, dtype=D64)


def _times(path: Path, size: int, g: torch.Generator) -> Tensor:
    """Where alpha and sigma are both positive; on EDM's axis evenly in log sigma."""
    u = torch.rand(size, generator=g, dtype=D64)
    if isinstance(path, EDMPath):
        return path.t_min * (path.t_max / path.t_min) ** u
    return 0.001 + 0.998 * u


def exact(seed: int, config: DiffusionPrinciplesConfig) -> Part:
    """Points 1, 2 and 5: the hub, the loss identities, score, continuity, flow maps."""
    g, _ = generators(seed, "exact")
    trip = identity = score = continuity = compose = residual = 0.0
    prior, gauss = mixture(), GaussianPrior(_normal(g, 3), torch.diag(0.2 + torch.rand(3, generator=g, dtype=D64)))
    for name in PATHS:
        path = make_path(name)
        t = _times(path, config.points, g)
        x0, noise, denoised = (_normal(g, config.points, 2) for _ in range(3))
        x = path.corrupt(x0, noise, t)
        for kind in KINDS:
            back = to_denoised(kind, denoised_to(kind, denoised, x, t, path), x, t, path)
            # Errors in units of what is representable: where noise outweighs data, x / alpha - D cancels.
            unit = 1 + (path.sigma(t) / path.alpha(t)).clamp_min(1.0)[:, None]
            trip = max(trip, float(((back - denoised).abs() / unit).max()))
        for kind in ("x0", "eps", "score", "velocity", "salimans_v"):
            own = (denoised_to(kind, denoised, x, t, path) - target(kind, x0, noise, t, path)).square().sum(1)
            hub = loss_weight(kind, t, path) * (denoised - x0).square().sum(1)
            identity = max(identity, float(((own - hub).abs() / (own + 1)).max()))
        x = path.corrupt(prior.sample(config.points, g), noise, t).requires_grad_(True)
        (slope,) = torch.autograd.grad(prior.log_prob(x, t, path).sum(), x)
        x = x.detach()
        found = prior.score(x, t, path)
        score = max(score, float(((found - slope).norm(dim=1) / found.norm(dim=1).clamp_min(1.0)).max()))
        if not isinstance(path, DiscretePath):
            continuity = max(continuity, _continuity(prior, path, g))
            a, b, c = (torch.full((200,), share * path.t_max, dtype=D64) for share in (0.9, 0.5, 0.1))
            z = path.sigma(a)[:, None] * _normal(g, 200, 3)
            whole = gauss.flow_map(z, a, c, path)
            two = gauss.flow_map(gauss.flow_map(z, a, b, path), b, c, path)
            compose = max(compose, float((two - whole).abs().max()))
            u, aim = mean_flow_residual(_mean_velocity(gauss, path), z, a, c, gauss.velocity(z, a, path))
            residual = max(residual, float((u - aim).abs().max()))
    metrics: dict[str, Any] = {"conversion.error": trip, "loss_identity.error": identity, "score.error": score}
    metrics |= {"continuity.residual": continuity, "flow_map.composition": compose, "mean_flow.residual": residual}
    return Part(metrics | {"flow_map.heun_error": _heun_error(g)}, {})


def _mean_velocity(prior: GaussianPrior, path: Path) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    return lambda x, t, r: prior.mean_velocity(x, t, r, path)


def _continuity(prior: GaussianMixturePrior, path: Path, g: torch.Generator) -> float:
    """Largest |d log p/dt + v . score + div v| / (1 + |d log p/dt|), the divergence exact."""
    t = _times(path, 200, g) if isinstance(path, EDMPath) else 0.02 + 0.96 * torch.rand(200, generator=g, dtype=D64)
    x = path.corrupt(prior.sample(200, g), _normal(g, 200, 2), t)
    leaf = t.clone().requires_grad_(True)
    (rate,) = torch.autograd.grad(prior.log_prob(x, leaf, path).sum(), leaf)
    jacobian = torch.func.vmap(torch.func.jacrev(lambda a, b: prior.velocity(a[None], b[None], path)[0]))(x, t)
    flux = (prior.velocity(x, t, path) * prior.score(x, t, path)).sum(1) + jacobian.diagonal(dim1=1, dim2=2).sum(1)
    return float(((rate + flux).abs() / (1 + rate.abs())).max())


def _heun_error(g: torch.Generator) -> float:
    """400 EDM steps of Heun against the closed flow map, 64-D digits statistics."""
    path, prior = EDMPath(), digits_gaussian()
    x = path.t_max * _normal(g, 32, 64)
    grid = edm_grid(401, zero=False)
    top, bottom = (torch.full((32,), t, dtype=D64) for t in (grid[0], grid[-1]))
    found = Sampler(path, grid, Heun(variable="sigma"))(prior.denoiser(path), x)
    return float((found - prior.flow_map(x, top, bottom, path)).abs().max())


RULES: dict[str, Rule] = {"euler": Euler(), "heun": Heun(), "ddim": DDIM(), "dpmpp_2m": DPMpp2M()}


def order(seed: int, config: DiffusionPrinciplesConfig) -> Part:
    """Point 3: error against a DOP853 reference as the step halves, linear path, t from 1 to 0.02."""
    g, _ = generators(seed, "order")
    prior, x = mixture(), _normal(g, config.order_starts, 2)

    def rate(t: float, flat: np.ndarray) -> np.ndarray:
        state = torch.from_numpy(flat).reshape(x.shape)
        return prior.velocity(state, torch.full((len(x),), t, dtype=D64), LINEAR).numpy().ravel()

    solved = solve_ivp(rate, (1.0, 0.02), x.numpy().ravel(), method="DOP853", rtol=1e-10, atol=1e-10)
    truth = torch.from_numpy(solved.y[:, -1]).reshape(x.shape)
    metrics: dict[str, Any] = {}
    curves: dict[str, Any] = {"steps": list(config.order_steps)}
    for name, rule in RULES.items():
        errors = []
        for n in config.order_steps:
            end = Sampler(LINEAR, uniform_grid(LINEAR, n, end=0.02), rule)(prior.denoiser(LINEAR), x)
            errors.append(float((end - truth).norm(dim=1).mean()))
        curves[name] = errors
        ratios = [math.log2(a / b) for a, b in itertools.pairwise(errors)]
        metrics[f"order.{name}"] = ratios[-1]
        metrics[f"order.{name}_ratios"] = ratios
    metrics["order.heun_last_two"] = min(metrics["order.heun_ratios"][-2:])
    return Part(metrics, curves)


def views(seed: int, config: DiffusionPrinciplesConfig) -> Part:
    """Point 4: DDIM = DPM-Solver++(1); DDIM(1) = the DDPM posterior; SDEs keep a Gaussian's moments."""
    g, _ = generators(seed, "views")
    path = DiscretePath.linear()
    x, denoised = _normal(g, 100, 3), _normal(g, 100, 3)
    plain_error = posterior_error = 0.0
    for high, low in itertools.pairwise(levels(path, 50, "leading")):
        pair = [path.level_time(high), path.level_time(low)]
        t = torch.tensor(pair, dtype=D64)
        (at, above), (st, ss) = path.alpha(t).tolist(), path.sigma(t).tolist()
        shrink = math.exp(-(math.log(above / ss) - math.log(at / st)))
        plain = Sampler(path, pair, DDIM())(lambda x, t: denoised, x)
        plain_error = max(plain_error, float((plain - (ss / st * x + above * (1 - shrink) * denoised)).abs().max()))
        beta = 1 - (at / above) ** 2
        mean = above * beta / st**2 * denoised + (at / above) * ss**2 / st**2 * x
        noisy = Sampler(path, pair, DDIM(eta=1.0))(lambda x, t: denoised, x, torch.Generator().manual_seed(low))
        draw = torch.randn(x.shape, generator=torch.Generator().manual_seed(low), dtype=D64)
        expected = mean + math.sqrt(ss**2 / st**2 * beta) * draw
        posterior_error = max(posterior_error, float((noisy - expected).abs().max()))
    worst = max(_moments(rule, g, config.moments) for rule in (DDIM(eta=1.0), ReverseSDE(1.0), ReverseSDE(0.5)))
    metrics = {"views.ddim_error": plain_error, "views.posterior_error": posterior_error, "views.moments": worst}
    return Part(metrics, {})


def _moments(rule: Rule, g: torch.Generator, size: int) -> float:
    """Largest deviation of mean and covariance after 500 steps, in standard errors; the start is the exact marginal."""
    path = make_path("vp_linear")
    prior = GaussianPrior(_normal(g, 2), torch.tensor([[1.0, 0.6], [0.6, 0.8]], dtype=D64))
    top = torch.full((size,), 0.9, dtype=D64)
    x = path.corrupt(prior.sample(size, g), _normal(g, size, 2), top)
    end = path.time(torch.tensor(3.0, dtype=D64))
    out = Sampler(path, log_ratio_grid(path, 500, 0.9, float(end)), rule)(prior.denoiser(path), x, g)
    shrink, noise = path.alpha(end), path.sigma(end)
    covariance = shrink**2 * prior.covariance() + noise**2 * torch.eye(2, dtype=D64)
    scale = covariance.diagonal()
    mean = (out.mean(0) - shrink * prior.mean()).abs() / (scale / size).sqrt()
    spread = ((scale[:, None] * scale + covariance**2) / size).sqrt()
    return float(torch.maximum(mean.max(), ((torch.cov(out.T) - covariance).abs() / spread).max()))


def guidance(seed: int, config: DiffusionPrinciplesConfig) -> Part:
    """Point 8: w = 0, 1 exactly; at w = 3 two classes move outward, and not on to p(x) p(c|x)^3."""
    g, _ = generators(seed, "guidance")
    ends, wide = torch.tensor([[-1.0], [1.0]], dtype=D64), torch.ones(2, 1, 1, dtype=D64)
    both = GaussianMixturePrior(torch.ones(2, dtype=D64), ends, wide)
    right = GaussianPrior(ends[1], wide[1])
    x, t = _normal(g, config.points, 1), _times(LINEAR, config.points, g)
    without, under = both.denoised(x, t, LINEAR), right.denoised(x, t, LINEAR)
    error = max(
        float((ClassifierFree(right.denoiser(LINEAR), w)(x, t, without) - d).abs().max())
        for w, d in ((0.0, without), (1.0, under))
    )
    start = _normal(g, config.moments, 1)
    grid = uniform_grid(LINEAR, 100)
    outs = {}
    for w in (1.0, 3.0):
        guide = ClassifierFree(right.denoiser(LINEAR), w)
        outs[w] = Sampler(LINEAR, grid, Heun(), guide=guide)(both.denoiser(LINEAR), start)
    line = torch.linspace(-6, 12, 20001, dtype=D64)
    chance = torch.sigmoid(2 * line)  # p(c | x) of two unit Gaussians at -1 and 1
    density = (torch.exp(-((line - 1) ** 2) / 2) + torch.exp(-((line + 1) ** 2) / 2)) * chance**3
    tilted = float((density * line).sum() / density.sum())
    metrics: dict[str, Any] = {"guidance.exact_error": error, "guidance.tilted_mean": tilted}
    metrics["guidance.outward"] = float(outs[3.0].mean() - outs[1.0].mean())
    metrics["guidance.beyond_tilted"] = float(outs[3.0].mean()) - tilted
    edges = np.linspace(-3, 7, 81)
    curves: dict[str, Any] = {"edges": edges.tolist()}
    for w, out in outs.items():
        curves[f"w{w:g}"] = np.histogram(out.numpy(), edges, density=True)[0].tolist()
    curves["line"], curves["tilted"] = line[::50].tolist(), (density / torch.trapezoid(density, line))[::50].tolist()
    return Part(metrics, curves)


def schedulers(seed: int, config: DiffusionPrinciplesConfig) -> Part:
    """Point 9: diffusers' DDPM, DDIM and DPM-Solver++, same net, grid and noise; relative to the largest value."""
    diffusers = require("diffusers", "test")
    g, _ = generators(seed, "schedulers")
    x, weight = _normal(g, 16, 4), _normal(g, 4, 4) / 4
    made: dict[str, tuple[Any, Rule, int, dict[str, float]]] = {
        "ddpm": (diffusers.DDPMScheduler(clip_sample=False), DDIM(eta=1.0), 1000, {}),
        "ddim": (diffusers.DDIMScheduler(clip_sample=False), DDIM(eta=0.5), 50, {"eta": 0.5}),
        "dpmpp": (diffusers.DPMSolverMultistepScheduler(final_sigmas_type="zero"), DPMpp2M(), 20, {}),
    }
    worst = 0.0
    for name, (scheduler, rule, steps, options) in made.items():
        betas = scheduler.betas.double()
        scheduler.betas, scheduler.alphas = betas, 1 - betas  # their float32 tables again in float64
        scheduler.alphas_cumprod = torch.cumprod(1 - betas, 0)
        scheduler.set_timesteps(steps)
        path = DiscretePath(betas)

        def output(x: Tensor, level: Tensor) -> Tensor:
            return torch.tanh(x @ weight) + level.to(D64) / 1e4

        def net(x: Tensor, t: Tensor, condition: Any, path: DiscretePath = path) -> Tensor:
            return output(x, path.level(t)[:, None])

        listed = [*(path.level_time(int(k)) for k in scheduler.timesteps), 0.0]
        times = listed if name == "dpmpp" else level_grid(path, steps)
        ours = Sampler(path, times, rule)(Denoiser(net, path, "eps"), x, torch.Generator().manual_seed(seed))
        theirs, noise = x, torch.Generator().manual_seed(seed)
        for level in scheduler.timesteps:
            theirs = scheduler.step(output(theirs, level), level, theirs, generator=noise, **options).prev_sample
        worst = max(worst, float((ours - theirs).abs().max() / theirs.abs().max()))
    return Part({"schedulers.error": worst}, {})
