"""Policies learnt from filtered rollouts on the pendulum: MOREC, its hosts, its controls, the true dynamics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from invdyn.decisions.bellman_inconsistency import BellmanInconsistency
from invdyn.decisions.offline import model_returns, train_offline
from invdyn.decisions.rollout_loop import RolloutLoop, Rollouts
from invdyn.decisions.sac import SAC
from invdyn.decisions.transition_filter import RewardFilter, UncertaintyFilter
from invdyn.decisions.transitions import Transitions
from invdyn.nn.probabilistic_ensemble import EnsembleDynamics
from invdyn.studies.morec_config import GROUPS, MorecConfig, Variant
from invdyn.studies.morec_models import limit
from invdyn.studies.morec_worlds import Case
from invdyn.verify.metrics import normalized_return
from invdyn.worlds.forward_model import ForwardModel
from invdyn.worlds.pendulum import Pendulum, reference_returns

__all__ = ["policies"]

HORIZON = 200


def policies(group: str, case: Case, seeds: Sequence[int], config: MorecConfig) -> dict[str, dict[str, Any]]:
    """All variants of a group for all seeds side by side."""
    variants = GROUPS[group]
    runs = [(variant, number) for number in range(len(seeds)) for variant in variants]
    agent = SAC(config.agent(), 3, 1, [seeds[number] for _, number in runs])
    models: list[ForwardModel] = [
        case.exact if group == "exact" else _model(case.models[number], variant, case) for variant, number in runs
    ]
    loop = RolloutLoop(
        models,
        [config.host_length if variant.short else config.length for variant, _ in runs],
        case.low,
        case.high,
        penalty={"mopo": config.penalty, "mobile": config.mobile_penalty, "exact": 0.0}[group],
        choose=[_filter(variant, case, number) for variant, number in runs],
        uncertainty=BellmanInconsistency(agent, config.dynamics.elites) if group == "mobile" else None,
    )
    data = Transitions(*(v[torch.tensor([number for _, number in runs])] for v in case.data))
    starts = data.observation
    if group == "exact":
        starts = torch.stack([case.state(o) for o in starts])
    world = Pendulum(config.evaluation)
    world.reset(range(config.evaluation))
    look = world.state()
    truth = RolloutLoop(case.exact, 1, case.low, case.high)
    curves: list[tuple[int, Tensor, Tensor]] = []

    def watch(epoch: int, told: Mapping[str, Tensor], rollouts: Rollouts | None) -> None:
        if rollouts is not None and (epoch % 2 == 0 or epoch == config.epochs):
            curves.append(
                (epoch * config.updates, model_returns(agent, truth, look, HORIZON).mean(1), rollouts.lengths)
            )

    whose = [seeds[number] for _, number in runs]
    train_offline(agent, config.schedule(), whose, data=data, loop=loop, starts=starts, on_epoch=watch)
    reference = reference_returns(world)
    found: dict[str, dict[str, Any]] = {str(seed): {"metrics": {}, "curves": {}} for seed in seeds}
    for run, (variant, number) in enumerate(runs):
        part = found[str(seeds[number])]
        scores = [float(normalized_return(c[1][run : run + 1].double(), **reference)[0]) for c in curves]
        part["metrics"][f"{variant.name}.score"] = scores[-1]
        part["metrics"][f"{variant.name}.length"] = float(curves[-1][2][run])
        part["curves"][f"policy.{variant.name}"] = {"updates": [c[0] for c in curves], "scores": scores}
    return found


def _model(model: EnsembleDynamics, variant: Variant, case: Case) -> ForwardModel:
    if not variant.average:
        return model
    return EnsembleDynamics(model.ensemble, case.low, case.high, limit=25.0, average=True)


def _filter(variant: Variant, case: Case, number: int) -> RewardFilter | UncertaintyFilter | None:
    reward = case.rewards[number]
    if variant.choose == "argmax":
        return RewardFilter(reward)
    if variant.choose == "argmin":  # with the cut nothing would be left to learn from
        return RewardFilter(reward, "argmin", cut=None)
    if variant.choose == "last":
        return RewardFilter(reward.only([-1]))
    # A random candidate is what a model without filter draws, so it needs no scores.
    return UncertaintyFilter(limit(case, number)) if variant.choose == "uncertainty" else None
