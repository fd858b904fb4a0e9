"""Agreement with diffusers' schedulers on the same net, grid and noise (card, point 9: to 1e-5; held here to 1e-8)."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from invdyn.diffusion import DDIM, Denoiser, DiscretePath, DPMpp2M, Sampler, level_grid, levels

diffusers = pytest.importorskip("diffusers")
X = torch.randn(5, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
W = torch.randn(4, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64) / 4


def by_level(x: Tensor, level: Tensor | int) -> Tensor:
    return torch.tanh(x @ W) + 0.1 * torch.as_tensor(level) / 1000


OPTIONS = {
    "linear": {"num_train_timesteps": 1000, "beta_schedule": "linear"},
    "cosine": {"num_train_timesteps": 100, "beta_schedule": "squaredcos_cap_v2"},
}
OURS = {"linear": DiscretePath.linear(), "cosine": DiscretePath.cosine()}


def test_betas_are_the_same() -> None:
    for name, options in OPTIONS.items():
        scheduler = diffusers.DDPMScheduler(**options)
        t = torch.arange(1, OURS[name].steps + 1, dtype=torch.float64) / OURS[name].steps
        assert torch.allclose(OURS[name].alpha(t) ** 2, scheduler.alphas_cumprod.double(), rtol=2e-5)  # float32 there


def with_their_betas(scheduler: object) -> DiscretePath:
    """Our path of their betas; their float32 tables are made again in float64."""
    betas = scheduler.betas.double()  # type: ignore[attr-defined]
    scheduler.betas, scheduler.alphas = betas, 1 - betas  # type: ignore[attr-defined]
    scheduler.alphas_cumprod = torch.cumprod(1 - betas, 0)  # type: ignore[attr-defined]
    return DiscretePath(betas)


def ours(path: DiscretePath, times: list[float], rule: object, clip: float | None = None, seed: int = 0) -> Tensor:
    net = Denoiser(lambda x, t, c: by_level(x, path.level(t)[:, None]), path, "eps")
    sampler = Sampler(path, times, rule, clip=clip)  # type: ignore[arg-type]
    return sampler(net, X, torch.Generator().manual_seed(seed))


def theirs(scheduler: object, seed: int = 0, **options: object) -> Tensor:
    x, g = X, torch.Generator().manual_seed(seed)
    for level in scheduler.timesteps:  # type: ignore[attr-defined]
        x = scheduler.step(by_level(x, level), level, x, generator=g, **options).prev_sample  # type: ignore[attr-defined]
    return x


@pytest.mark.parametrize("schedule", ["linear", "cosine"])
@pytest.mark.parametrize("clip", [None, 1.0])
def test_ddpm(schedule: str, clip: float | None) -> None:
    scheduler = diffusers.DDPMScheduler(**OPTIONS[schedule], clip_sample=clip is not None, variance_type="fixed_small")
    path = with_their_betas(scheduler)
    scheduler.set_timesteps(path.steps)
    expected = theirs(scheduler)
    found = ours(path, level_grid(path, path.steps), DDIM(eta=1.0), clip)
    assert float((found - expected).abs().max() / expected.abs().max()) < 1e-8


@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("spacing", ["leading", "trailing"])
@pytest.mark.parametrize("schedule", ["linear", "cosine"])
def test_ddim(schedule: str, spacing: str, eta: float) -> None:
    scheduler = diffusers.DDIMScheduler(
        **OPTIONS[schedule], clip_sample=False, timestep_spacing=spacing, set_alpha_to_one=True
    )
    path = with_their_betas(scheduler)
    scheduler.set_timesteps(10)
    assert scheduler.timesteps.tolist() == levels(path, 10, spacing)  # type: ignore[arg-type]
    expected = theirs(scheduler, eta=eta)
    found = ours(path, level_grid(path, 10, spacing), DDIM(eta=eta))  # type: ignore[arg-type]
    assert float((found - expected).abs().max() / expected.abs().max()) < 1e-8


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("steps", [10, 20])
def test_dpm_solver(order: int, steps: int) -> None:
    scheduler = diffusers.DPMSolverMultistepScheduler(
        **OPTIONS["linear"],
        algorithm_type="dpmsolver++",
        solver_order=order,
        final_sigmas_type="zero",
        solver_type="midpoint",
    )
    path = with_their_betas(scheduler)
    scheduler.set_timesteps(steps)
    times = [*(path.level_time(int(k)) for k in scheduler.timesteps), 0.0]
    found = ours(path, times, DPMpp2M() if order == 2 else DDIM())
    expected = theirs(scheduler)
    assert float((found - expected).abs().max() / expected.abs().max()) < 1e-5  # their sigmas stay in float32
