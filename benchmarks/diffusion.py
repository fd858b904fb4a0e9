"""Sampler steps per second with a net that costs next to nothing, so that what is counted is the loop around it.

Peers in the same process, alternating: diffusers' DDPM, DDIM and DPM-Solver++ schedulers in their usual loop, and for
Euler the plain loop of flow-matching packages (x = x + dt v(x, t) over a tensor of times, t spread over the batch). One
row sets one step's overhead beside one call of a small net. The last rows are what a robot waits for: the latency of a
diffusion policy's action without and with real-time iteration, three steps from the last chunk (Duan et al. 2025, arXiv
2508.05396).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from invdyn.decisions.chunk_config import ChunkPolicyConfig
from invdyn.decisions.chunk_policy import ChunkPolicy
from invdyn.decisions.receding_horizon import Plan, RecedingHorizonRunner
from invdyn.diffusion import (
    DDIM,
    Denoiser,
    DiscretePath,
    DPMpp2M,
    Euler,
    Sampler,
    level_grid,
    make_path,
    uniform_grid,
)
from invdyn.episodes import SignalSpec
from invdyn.nn import TimeMLP
from invdyn.verify.cost import Cost, CostMeter

__all__ = ["run"]

STEPS = 50
SHAPE = (64, 16, 2)
"""Chunks of 16 two-dimensional actions for 64 environments: what a diffusion policy samples."""
NETS = {
    "MLP 3 x 512": ChunkPolicyConfig(),
    "U-Net 64-128-256": ChunkPolicyConfig(net="unet", width=64),
}
"""Policies whose latency is measured; weights as they are drawn, since time does not depend on them."""
SHORT = (2, 1, 0)
"""Levels of a tick of real-time iteration (Push-T's of the paper)."""


def run(quick: bool = False) -> list[dict]:
    """Rows {name, ours, peer, unit, ratio, note}; medians of 5 rounds (1 when quick) of 0.5 s (0.05 s)."""
    rounds, seconds = (1, 0.05) if quick else (5, 0.5)
    with one_thread():
        rows = schedulers(rounds, seconds)
        for dtype in (torch.float32, torch.float64):
            ours, peer = race(our_euler(dtype), plain_euler(dtype), rounds, seconds)
            note = f"{str(dtype)[6:]}; peer: plain loop, x + dt v"
            rows.append(row(f"Euler steps/s, flow matching, {str(dtype)[6:]}", ours, peer, "steps/s", note))
        rows.append(overhead(rounds, seconds))
        for name, config in NETS.items():
            rows += latency(name, config, ticks=1 if quick else 30)
    return rows


def schedulers(rounds: int, seconds: float) -> list[dict]:
    """Ours against diffusers: same net, same levels, same batch."""
    import diffusers

    made = {
        "DDPM": (diffusers.DDPMScheduler(clip_sample=False), DDIM(eta=1.0)),
        "DDIM": (diffusers.DDIMScheduler(clip_sample=False), DDIM()),
        "DPM-Solver++(2M)": (diffusers.DPMSolverMultistepScheduler(final_sigmas_type="zero"), DPMpp2M()),
    }
    path, rows = DiscretePath.linear(), []
    x = torch.randn(SHAPE, generator=torch.Generator().manual_seed(0))
    for name, (scheduler, rule) in made.items():
        scheduler.set_timesteps(STEPS)
        sampler = Sampler(path, level_grid(path, STEPS), rule)
        denoise = Denoiser(lambda x, t, c: x * 0.1, path, "eps")

        def ours(sampler: Sampler = sampler, denoise: Denoiser = denoise) -> int:
            sampler(denoise, x)
            return STEPS

        def theirs(scheduler: Any = scheduler, name: str = name) -> int:
            if name == "DPM-Solver++(2M)":
                scheduler.set_timesteps(STEPS)  # it counts its own steps and must be wound back
            state = x
            with torch.no_grad():
                for level in scheduler.timesteps:
                    state = scheduler.step(state * 0.1, level, state).prev_sample
            return STEPS

        first, second = race(ours, theirs, rounds, seconds)
        note = f"{STEPS} steps, eps net x -> 0.1 x, shape {SHAPE}, one thread; peer: diffusers {diffusers.__version__}"
        rows.append(row(f"{name} steps/s", first, second, "steps/s", note))
    return rows


def our_euler(dtype: torch.dtype) -> Callable[[], int]:
    path = make_path("linear")
    sampler = Sampler(path, uniform_grid(path, STEPS), Euler())
    denoise = Denoiser(lambda x, t, c: x * 0.1, path, "velocity")
    x = torch.randn(SHAPE, generator=torch.Generator().manual_seed(0), dtype=dtype)

    def work() -> int:
        sampler(denoise, x)
        return STEPS

    return work


def plain_euler(dtype: torch.dtype) -> Callable[[], int]:
    x = torch.randn(SHAPE, generator=torch.Generator().manual_seed(0), dtype=dtype)
    times = torch.linspace(1, 0, STEPS + 1, dtype=dtype)

    def net(x: Tensor, t: Tensor) -> Tensor:
        return x * 0.1

    def work() -> int:
        state = x
        with torch.no_grad():
            for t, s in pairwise(times):
                state = state + (s - t) * net(state, t.repeat(len(state)))
        return STEPS

    return work


def overhead(rounds: int, seconds: float) -> dict:
    """Microseconds of a step without the net, beside a call of a small net: how little the loop weighs."""
    loop, _ = race(our_euler(torch.float32), lambda: 1, rounds, seconds)
    net, x, t = TimeMLP(32), torch.randn(64, 32), torch.rand(64)

    def call() -> int:
        with torch.no_grad():
            net(x, t, None)
        return 1

    calls, _ = race(call, lambda: 1, rounds, seconds)
    note = (
        "ours: one Euler step, net x -> 0.1 x; peer: a call of a 3 x 128 MLP on [64, 32]; above 1 the loop is cheaper"
    )
    made = row("one step's overhead beside a small net's call", 1e6 / loop, 1e6 / calls, "us", note)
    return made | {"ratio": made["peer"] / made["ours"]}


def latency(name: str, config: ChunkPolicyConfig, ticks: int) -> list[dict]:
    """Milliseconds of one action of one robot (39 observed numbers, chunks of 16 actions of 4), a new chunk every tick.

    With real-time iteration against all 100 levels from noise, and against DDIM with as many steps from noise: the
    second shows what the shift and the relabelled levels cost, which should be nothing.
    """
    inputs = [SignalSpec("observation.state", (39,), "float32", "state")]
    torch.manual_seed(0)
    policy = ChunkPolicy(config, inputs, SignalSpec("action", (4,), "float32", "action"))
    plans = {
        "rti": Plan(execute=1, real_time=SHORT),
        "whole": Plan(execute=1),
        "ddim": Plan(rule="ddim", steps=len(SHORT), execute=1),
    }
    runners = {key: RecedingHorizonRunner(policy, plan) for key, plan in plans.items()}
    meters = {key: CostMeter(warmup=1) for key in plans}  # the first tick of RTI starts from noise
    g = torch.Generator().manual_seed(0)
    for _ in range(ticks + 1):
        seen = {"observation.state": torch.randn(1, 39, generator=g)}
        for key, meter in meters.items():
            with meter.call():
                runners[key].act(seen)
    cost = {key: meter.cost() for key, meter in meters.items()}
    steps = len(SHORT)
    return [
        slower(f"an action's latency, {name}: RTI, against all levels", cost, "whole", f"DDPM, {config.levels} steps"),
        slower(f"an action's latency, {name}: RTI, against as many steps", cost, "ddim", f"DDIM, {steps} from noise"),
    ]


def slower(name: str, cost: dict[str, Cost], peer: str, what: str) -> dict:
    ours, theirs = cost["rti"], cost[peer]
    note = f"medians; ours: {len(SHORT)} steps from the last chunk, 95 % {ours.p95_ms:.3g} ms; peer: {what}, 95 % "
    made = row(name, ours.median_ms, theirs.median_ms, "ms", note + f"{theirs.p95_ms:.3g} ms; one robot, one thread")
    return made | {"ratio": made["peer"] / made["ours"]}


def row(name: str, ours: float, peer: float, unit: str, note: str) -> dict:
    return {"name": name, "ours": ours, "peer": peer, "unit": unit, "ratio": ours / peer, "note": note}


def race(ours: Callable[[], int], peer: Callable[[], int], rounds: int, seconds: float) -> tuple[float, float]:
    """Medians of things done a second, the two alternating."""
    rates: tuple[list[float], list[float]] = ([], [])
    for work in (ours, peer):
        work()
    for _ in range(rounds):
        for work, found in zip((ours, peer), rates):
            count, start = 0, time.perf_counter()
            while (spent := time.perf_counter() - start) < seconds:
                count += work()
            found.append(count / spent)
    return sorted(rates[0])[rounds // 2], sorted(rates[1])[rounds // 2]


@contextmanager
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
