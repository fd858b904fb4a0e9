"""Experiments of the rti-dp study: closed forms, and the plans compared in closed loop on every task."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from contextlib import closing
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from invdyn.decisions.chunk_config import ChunkPolicyConfig
from invdyn.decisions.chunk_policy import ChunkPolicy
from invdyn.decisions.chunk_training import fit_chunk_policy
from invdyn.decisions.cloning import fit_policy
from invdyn.decisions.config import PolicyConfig
from invdyn.decisions.receding_horizon import Plan, RecedingHorizonRunner
from invdyn.diffusion.oracles import GaussianMixturePrior
from invdyn.diffusion.path import DiscretePath
from invdyn.diffusion.real_time import (
    gaussian_contraction,
    guess_distance,
    iteration_pairs,
    measured_contraction,
    shifted,
)
from invdyn.diffusion.samplers import Sampler
from invdyn.diffusion.steps import DDIM
from invdyn.episodes.dataset import Dataset
from invdyn.episodes.signal import SignalSpec
from invdyn.studies.part import Part
from invdyn.studies.rti_dp_config import (
    MORE,
    PICTURES,
    PLANS,
    SCALED,
    SHORT,
    TASKS,
    RtiDpConfig,
    Task,
    demonstrations,
    make_task,
)
from invdyn.training.trainer import TrainerConfig
from invdyn.verify.cost import CostMeter
from invdyn.verify.evaluator import Policy, evaluate
from invdyn.worlds.base import World

__all__ = ["exact", "task_part"]

VARIANCES = (0.1, 1.0, 4.0)
LISTS = tuple(tuple(range(k - 1, -1, -1)) for k in (3, 10, 25))


def exact(seed: int, config: RtiDpConfig) -> Part:
    """Points 1 to 3: the multipliers of the mean maps, a certain chunk, all levels from noise."""
    path = DiscretePath.cosine(100)
    g = torch.Generator().manual_seed(seed)
    mean = torch.randn(1, 4, generator=g, dtype=torch.float64)
    guess = torch.randn(2, 4, generator=g, dtype=torch.float64)
    errors, gains = [], []
    for variance in VARIANCES:
        prior = GaussianMixturePrior(torch.ones(1, dtype=torch.float64), mean, variance * torch.eye(4).double()[None])
        for levels in LISTS:
            sampler = Sampler(path, iteration_pairs(path, levels), DDIM(eta=1.0))
            out = [sampler(prior.denoiser(path), x, torch.Generator().manual_seed(seed)) for x in (guess, guess + 1)]
            told = gaussian_contraction(path, levels, torch.tensor(variance, dtype=torch.float64)).item()
            gains.append(told)
            errors.append(float(((out[1] - out[0]) / told - 1).abs().max()))
    certain = GaussianMixturePrior(torch.ones(1, dtype=torch.float64), mean, 1e-14 * torch.eye(4).double()[None])
    returned = [
        Sampler(path, iteration_pairs(path, levels), DDIM(eta=1.0))(certain.denoiser(path), 3 * guess, g)
        for levels in (SHORT, (40, 7, 0))
    ]
    grid = [(path.level_time(k), path.level_time(k - 1)) for k in reversed(range(100))]
    whole, listed = (
        Sampler(path, times, DDIM(eta=1.0))(prior.denoiser(path), guess, torch.Generator().manual_seed(seed))
        for times in ([t for t, _ in grid] + [0.0], iteration_pairs(path, range(99, -1, -1)))
    )
    return Part(
        {
            "exact.multiplier": max(errors),
            "exact.expansion": min(gains[-len(LISTS) :]),
            "exact.certain": max(float((x - mean).abs().max()) for x in returned),
            "exact.degenerate": float((whole - listed).abs().max()),
        },
        {"gains": gains, "variances": VARIANCES, "lists": [list(x) for x in LISTS]},
    )


def task_part(name: str, seed: int, config: RtiDpConfig) -> Part:
    """A task: demonstrations, the diffusion policies and the cloned one, every plan from the same starts."""
    task = (TASKS | MORE)[name]
    data = demonstrations(task, config.episodes, seed)
    discrete = () if task.binary is None else (task.binary,)
    chosen = dataclasses.replace(config.policy, discrete=discrete, inputs=task.inputs)
    policy = _trained(data, dataclasses.replace(chosen, discrete_scale=SCALED), seed, config)
    trainer = TrainerConfig(steps=config.cloning_steps, seed=seed, tensorboard=False, device=config.device)
    imitator = PolicyConfig(history=config.policy.history, inputs=task.inputs)
    cloned = fit_policy(data, imitator, trainer=trainer, holdout=0.1, seed=seed)
    found: dict[str, Any] = {}
    with closing(make_task(task, config.episodes)) as world:  # one for all plans: simulators are slow to build

        def tell(key: str, policy: ChunkPolicy, plan: Plan) -> None:
            runner = _Watched(RecedingHorizonRunner(policy, plan, seed), task, world)
            found[key] = _success(runner, world, task, seed, config)
            if runner.switches is not None:
                found[f"switches.{key}"] = runner.switches

        for plan, how in PLANS.items():
            tell(plan, policy, how)
        found["cloned"] = _success(_Watched(cloned.policy, task, world), world, task, seed, config)
        noise = dataclasses.replace(chosen, kind="eps")
        paper = _trained(data, dataclasses.replace(noise, discrete_scale=SCALED), seed, config)
        for plan in ("dp100_8", "ddim3_1", "rti"):
            tell(f"eps.{plan}", paper, PLANS[plan])
        if task.binary is not None:
            for prefix, kind in (("", chosen), ("eps.", noise)):
                plain = _trained(data, kind, seed, config)
                for treatment in ("as_is", "clip"):
                    how = dataclasses.replace(PLANS["rti"], two_valued=treatment)
                    tell(f"{prefix}gripper.{treatment}", plain, how)
    found |= _latency(policy, seed, config)
    more, curves = _beginning(policy, task, seed)
    found |= more
    found["eps.contraction"] = _beginning(paper, task, seed)[0]["contraction"]
    return Part({f"{name}.{key}": value for key, value in found.items()}, curves)


def _trained(data: Dataset, policy: ChunkPolicyConfig, seed: int, config: RtiDpConfig) -> ChunkPolicy:
    return fit_chunk_policy(data, policy, trainer=config.chunk_trainer(seed))[0]


def _seeds(seed: int, config: RtiDpConfig) -> range:
    first = 1_000_000 + 1000 * seed  # apart from the demonstrations'
    return range(first, first + config.episodes)


def _success(policy: Policy, world: World, task: Task, seed: int, config: RtiDpConfig) -> float:
    out = evaluate(policy, world, _seeds(seed, config), max_steps=task.max_steps, stop_on_success=True)
    return float(out.success_rate.rate)


def _seen(observation: Mapping[str, Tensor], task: Task, world: World) -> Mapping[str, Tensor]:
    """What policies of the task are shown: its pictures too where they act on them."""
    return {**observation, PICTURES: world.render(task.images, task.images)} if task.images else observation


class _Watched:
    """A policy shown what its task shows, its planned side round the obstacle counted: changes between ticks."""

    def __init__(self, policy: Policy, task: Task, world: World) -> None:
        self.policy, self.task, self.world = policy, task, world
        self.changes: Tensor | None = None

    def reset(self, batch: int) -> None:
        self.policy.reset(batch)
        options = self.task.options
        self.side = torch.zeros(batch)
        self.changes = torch.zeros(batch) if "obstacle" in options and not options.get("goal_speed") else None

    def act(self, observation: Mapping[str, Tensor]) -> Float[Tensor, "batch action"]:
        runner = self.policy
        action = runner.act(_seen(observation, self.task, self.world))
        if self.changes is not None and isinstance(runner, RecedingHorizonRunner) and runner.chunk is not None:
            x, y = observation["observation.state"].T
            planned = runner.policy.decode(runner.chunk)[:, runner.policy.config.history - 1 :, 0]
            # Where the plan ends beside the obstacle's middle, while there still is a choice.
            side = (x + self.task.options["gear"] * planned.clamp(-1, 1).sum(1)).sign()
            choice = (y < 0) & (x.abs() < self.task.options["obstacle"])
            self.changes += choice & (side * self.side < 0)
            self.side = torch.where(choice, side, self.side)
        return action

    @property
    def switches(self) -> float | None:
        """Mean over the episodes of the last evaluation; None where there is nothing to pass."""
        return None if self.changes is None else float(self.changes.mean())


def _latency(policy: ChunkPolicy, seed: int, config: RtiDpConfig) -> dict[str, float]:
    """Median and 95 % of a tick for one copy of the world, DP-100 and RTI in turn on the same observations."""
    meters = {plan: CostMeter(warmup=2) for plan in ("dp100_1", "rti")}
    runners = {plan: RecedingHorizonRunner(policy, PLANS[plan], seed) for plan in meters}
    g = torch.Generator().manual_seed(seed)
    for runner in runners.values():
        runner.reset(1)
    for _ in range(config.ticks + 2):
        seen = {s.name: _anything(s, g) for s in policy.inputs}
        for plan, meter in meters.items():
            with meter.call():
                runners[plan].act(seen)
    cost = {plan: meter.cost() for plan, meter in meters.items()}
    return {
        "latency.ratio": cost["rti"].median_ms / cost["dp100_1"].median_ms,
        **{f"latency.{plan}_median_ms": c.median_ms for plan, c in cost.items()},
        **{f"latency.{plan}_p95_ms": c.p95_ms for plan, c in cost.items()},
    }


def _anything(spec: SignalSpec, g: torch.Generator) -> Tensor:
    if spec.kind == "image":
        return torch.randint(256, (1, *spec.shape), generator=g, dtype=torch.uint8)
    return torch.randn(1, *spec.shape, generator=g)


def _beginning(policy: ChunkPolicy, task: Task, seed: int, ticks: int = 12) -> tuple[dict[str, float], dict[str, Any]]:
    """Where a guess fits best (the paper's remark), and how much of its error three steps leave along real states."""
    runner = RecedingHorizonRunner(policy, Plan(execute=1), seed)
    with closing(make_task(task, 4)) as world:
        observation = _seen(world.reset(range(4)), task, world)
        runner.reset(4)
        distance, guess = torch.zeros(policy.path.steps, dtype=torch.float64), None
        for _ in range(ticks):
            action = runner.act(observation)
            assert runner.chunk is not None
            if guess is not None:
                distance += guess_distance(policy.path, guess, runner.chunk) / (ticks - 1)
            guess = shifted(runner.chunk)
            observation = _seen(world.step(action).observation, task, world)
    assert guess is not None
    g = torch.Generator().manual_seed(seed)
    seen = {
        name: value[:, None].expand(-1, policy.config.history, *value.shape[1:]) for name, value in observation.items()
    }
    condition = policy.condition({s.name: seen[s.name].to(runner.device) for s in policy.inputs})
    left = [
        measured_contraction(policy.denoiser(condition[i : i + 1]), policy.path, SHORT, guess[i : i + 1], g, 1e-2)[0]
        for i in range(len(guess))
    ]
    return {"best_level": float(distance.argmin()), "contraction": float(np.median(left))}, {
        "distance": distance.tolist()
    }
