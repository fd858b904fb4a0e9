"""The rti-dp study offline, on door openings that people recorded: how far few steps lie from DP-100, tick by tick."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from invdyn.decisions.chunk_policy import ChunkPolicy
from invdyn.decisions.chunk_training import fit_chunk_policy
from invdyn.decisions.receding_horizon import Plan, RecedingHorizonRunner
from invdyn.episodes.dataset import Dataset
from invdyn.episodes.formats import open_dataset
from invdyn.studies.part import Part
from invdyn.studies.rti_dp_config import RtiDpConfig

__all__ = ["STEPS", "on_door"]

STEPS = (1, 2, 3, 5, 10)
"""Denoising steps a tick."""


def on_door(folder: Path, seed: int, config: RtiDpConfig) -> Part:
    """Errors of the action and of its whole chunk against DP-100's, in normalised units, along held-out recordings.

    Every way acts at every tick on the recorded observations, so that all are asked the same. What two draws of DP-100
    differ by is the floor. RTI of n steps takes the levels n-1, ..., 0.
    """
    data = open_dataset(folder)
    learnt, held = data[: len(data) - config.held_out], data[len(data) - config.held_out :]
    policy = fit_chunk_policy(learnt, config.policy, trainer=config.chunk_trainer(seed))[0]
    seen, recorded = _along(held, policy)
    truth = _chunks(policy, Plan(execute=1), seen, seed)
    at = policy.config.history - 1
    found: dict[str, Any] = {}
    curves: dict[str, Any] = {"steps": STEPS}
    ways = {"again": Plan(execute=1)}
    for n in STEPS:
        ways[f"rti_{n}"] = Plan(execute=1, real_time=tuple(range(n - 1, -1, -1)))
        ways[f"ddim_{n}"] = Plan(rule="ddim", steps=n, execute=1)
    for name, plan in ways.items():
        chunks = _chunks(policy, plan, seen, seed + 1)
        found[f"{name}.action"] = _rms(chunks[:, :, at] - truth[:, :, at])
        found[f"{name}.chunk"] = _rms(chunks - truth)
        found[f"{name}.recorded"] = _rms(chunks[:, :, at] - recorded)
    found["dp100.recorded"] = _rms(truth[:, :, at] - recorded)
    found["over_ddim"] = found["rti_3.action"] / found["ddim_3.action"]
    for way in ("rti", "ddim"):
        curves[way] = [found[f"{way}_{n}.action"] for n in STEPS]
    curves["again"] = found["again.action"]
    return Part({f"door.{key}": value for key, value in found.items()}, curves)


def _along(held: Dataset, policy: ChunkPolicy) -> tuple[list[dict[str, Tensor]], Float[Tensor, "tick episode action"]]:
    """Observations tick by tick, episodes side by side up to the shortest's end; recorded actions, normalised."""
    ticks = min(episode[policy.target.name].mask.sum() for episode in held)
    whole = {s.name: torch.stack([torch.as_tensor(e[s.name].values[:ticks]) for e in held], 1) for s in policy.inputs}
    actions = torch.stack([torch.as_tensor(e[policy.target.name].values[:ticks]) for e in held], 1)
    return [{name: value[t] for name, value in whole.items()} for t in range(ticks)], policy.encode(
        actions.to(next(policy.parameters()).device)
    ).cpu()


def _chunks(
    policy: ChunkPolicy, plan: Plan, seen: list[dict[str, Tensor]], seed: int
) -> Float[Tensor, "tick episode horizon action"]:
    runner = RecedingHorizonRunner(policy, plan, seed)
    runner.reset(len(next(iter(seen[0].values()))))
    chunks = []
    for observation in seen:
        runner.act(observation)
        assert runner.chunk is not None
        chunks.append(runner.chunk.cpu())
    return torch.stack(chunks)


def _rms(error: Tensor) -> float:
    return float(error.double().square().mean().sqrt())
