"""Part (c) of the RED-diff study: force histories from noisy positions of a point mass, replayed in its world."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from invdyn.diffusion import DDIM, GaussianPrior, RedDiff, Sampler
from invdyn.diffusion.operators import Operator, as_matrix, matrix
from invdyn.diffusion.operators_motion import replayed
from invdyn.diffusion.posterior import DPS, Projection, pgdm, wiener
from invdyn.diffusion.spread import laplace
from invdyn.nn.time_mlp import TimeMLP
from invdyn.studies.part import Part, generators
from invdyn.studies.red_diff_config import PATH, RedDiffConfig, Shaped, descending, grid, train
from invdyn.worlds.point2d import Point2D
from invdyn.worlds.torch_world import TorchWorld

__all__ = ["force"]

STEPS = 32
NOISE = 0.002
"""Sd of measured positions, m; a force of 1 N for one step moves the point by 0.8 mm in it (dt^2 gear / mass)."""


def histories(size: int, g: torch.Generator) -> Tensor:
    """Causes [batch, time, 2]: levels -0.8, -0.4, 0, 0.4, 0.8 held for 8 steps on average, each axis its own."""
    levels = 0.4 * (torch.randint(0, 5, (size, STEPS, 2), generator=g, dtype=torch.float64) - 2)
    switch = torch.rand(size, STEPS, 2, generator=g) < 1 / 8
    switch[:, 0] = True
    count = torch.arange(STEPS)[None, :, None].expand_as(levels)
    last = torch.where(switch, count, 0).cummax(1).values
    return levels.gather(1, last)


def place(world: TorchWorld[Any]) -> Tensor:
    """Positions [batch, 2], m."""
    return world.x[:2].mT


def force(seed: int, config: RedDiffConfig) -> Part:
    """Point 7: RED-diff with the simulator as f against the pseudo-inverse; every baseline beside it."""
    g, _ = generators(seed, "force")
    count = config.forces
    known = histories(4000, g)
    prior = GaussianPrior(known.flatten(1).mean(0), torch.cov(known.flatten(1).mT))
    spread = float(known.std())

    def draw(g: torch.Generator, size: int) -> Tensor:
        return histories(size, g).flatten(1).float()

    denoise, losses = train(
        lambda: Shaped(TimeMLP(2 * STEPS, width=config.width)),
        draw,
        spread,
        steps=config.force_net_steps,
        batch=config.batch,
        lr=config.lr,
        seed=seed,
    )

    def simulator(batch: int) -> tuple[Operator, Point2D]:
        world = Point2D(batch, reach=np.inf, goal=(0.0, 0.0), horizon=STEPS)
        rest = torch.zeros(batch, len(world.state_names), dtype=torch.float64)
        return replayed(
            world, rest, place, lambda y: (y.flatten(1) @ pinv.mT).reshape(y.shape).clamp(-0.99, 0.99)
        ), world

    # The world is linear: H is what unit causes do in it.
    pinv = torch.eye(2 * STEPS, dtype=torch.float64)
    unit, _ = simulator(2 * STEPS)
    rows = as_matrix(unit, known[0])
    pinv = torch.linalg.pinv(rows)
    linear, (f, world) = matrix(rows), simulator(count)

    truth = histories(count, g)
    clean = f.forward(truth)
    y = clean + NOISE * torch.randn(clean.shape, generator=g, dtype=torch.float64)
    flat = y.flatten(1)

    def asked(x: Tensor, t: Tensor) -> Tensor:
        return denoise(x.float(), t.float()).to(x.dtype)

    levels, times = descending(config.force_calls), grid(config.force_calls)
    tuned_on = histories(config.tuning, g)
    few = linear.forward(tuned_on.flatten(1))
    few = few + NOISE * torch.randn(few.shape, generator=g, dtype=torch.float64)

    def red(weight: float, f: Operator, y: Tensor, start: Tensor) -> Tensor:
        how = RedDiff(PATH, levels, weight, data=1 / NOISE**2, lr=0.1, noise="paired", clip=1.0, sums=True)
        return how(asked, f, y, g, start=start)

    def sampled(name: str, weight: float, y: Tensor) -> Tensor:
        if name == "dps":
            sampler = Sampler(PATH, times, DPS(linear, y, weight), clip=1.0)
        elif name == "pgdm":
            sampler = Sampler(PATH, times, DDIM(1.0), pgdm(linear, y, PATH, NOISE, weight), clip=1.0)
        else:
            sampler = Sampler(PATH, times, DDIM(weight), Projection(linear, y, PATH, NOISE), clip=1.0)
        return sampler(asked, torch.randn(y.shape, generator=g, dtype=torch.float64), g)

    def error(x: Tensor, truth: Tensor) -> float:
        return float((x.reshape(truth.shape) - truth).square().mean().sqrt())

    def best(options: Sequence[float], answer: Callable[[float], Tensor]) -> float:
        return min(options, key=lambda option: error(answer(option), tuned_on))

    begin = linear.guess(few).clamp(-0.99, 0.99)
    chosen = {"red_diff": best((4.0, 12.0, 36.0), lambda w: red(w, linear, few, begin))}
    answers = {"red_diff": red(chosen["red_diff"], f, y, f.guess(y))}

    def on_few(name: str, weight: float) -> Tensor:
        return sampled(name, weight, few)

    for name, options in (("dps", (3.0, 10.0, 30.0)), ("pgdm", (0.5, 1.0, 1.5)), ("projection", (0.0, 0.85, 1.0))):
        chosen[name] = best(options, partial(on_few, name))
        answers[name] = sampled(name, chosen[name], flat).reshape(truth.shape)
    answers["wiener"] = wiener(prior, linear, flat, NOISE, flat[0]).reshape(truth.shape)
    answers["pseudo_inverse"] = (flat @ pinv.mT).reshape(truth.shape)

    def replay(causes: Tensor) -> float:
        """RMS distance of the world's own steps to the measured positions, in noise sds."""
        world.set_state(torch.zeros_like(world.state()))
        seen = []
        for cause in causes.unbind(1):
            world.step(cause)
            seen.append(place(world))
        return float((torch.stack(seen, 1) - y).square().mean().sqrt()) / NOISE

    metrics = {f"force.{name}": error(x, truth) for name, x in answers.items()}
    metrics |= {f"force.setting.{name}": value for name, value in chosen.items()}
    metrics |= {f"force.residual.{name}": replay(x) for name, x in answers.items()}
    metrics["force.against_pseudo_inverse"] = metrics["force.red_diff"] / metrics["force.pseudo_inverse"]
    some = answers["red_diff"][:8].flatten(1)
    bars = laplace(asked, linear, flat[:8], some, PATH, PATH.level_time(99), NOISE).spread
    metrics["force.within_two_sd"] = float(((some - truth[:8].flatten(1)).abs() <= 2 * bars).double().mean())
    shown = {name: x[0, :, 0].tolist() for name, x in answers.items()} | {"truth": truth[0, :, 0].tolist()}
    return Part(metrics, {"histories": shown, "losses": losses})
