"""Does r_D tell good candidates from bad ones, and do rollouts that it filters stay near the truth? Claims 3 and 5."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from invdyn.decisions.dynamics_readout import CUT
from invdyn.decisions.rollout_loop import RolloutLoop
from invdyn.decisions.transition_filter import RewardFilter, UncertaintyFilter
from invdyn.nn.streams import Streams
from invdyn.studies.morec_config import MorecConfig
from invdyn.studies.morec_worlds import Case, Unseen, outside
from invdyn.training.seeding import mixed_seed
from invdyn.verify.metrics.rank import spearman

__all__ = ["limit", "models"]

BAD = 0.1
"""Of the range of the states: a rollout is usable up to here (card)."""


def models(name: str, case: Case, seeds: Sequence[int], config: MorecConfig) -> dict[str, dict[str, Any]]:
    """Metrics of one world, per seed."""
    found: dict[str, dict[str, Any]] = {}
    for run, seed in enumerate(seeds):
        metrics: dict[str, float] = {f"{name}.snapshots": float(len(case.rewards[run].expert))}
        for place in ("in", "out"):
            told = _candidates(name, case, run, seed, place, config)
            metrics |= {f"{name}.{place}.{key}": value for key, value in told.items()}
        found[str(seed)] = {"metrics": metrics, "curves": {}}
    for method, lengths, one_step in _rollouts(name, case, seeds, config):
        for run, seed in enumerate(seeds):
            here = found[str(seed)]
            here["metrics"][f"{name}.rolled.{method}"] = float(lengths[run].median())
            here["curves"][f"{name}.{method}"] = sorted(lengths[run].tolist())
            if one_step is not None:
                here["metrics"] |= {f"{name}.rolled.{key}": float(v[run]) for key, v in one_step.items()}
    for seed in seeds:
        m = found[str(seed)]["metrics"]
        for key, method in (("gain", "morec"), ("uncut_gain", "uncut")):
            m[f"{name}.rolled.{key}"] = m[f"{name}.rolled.{method}"] / max(m[f"{name}.rolled.random"], 1.0)
    return found


def limit(case: Case, run: int) -> float:
    """95 % of recorded transitions have less spread (ours)."""
    rows = slice(0, 2000)
    spread = case.models[run].step(case.data.observation[run, rows], case.cause(case.data.cause[run, rows])).spread
    return float(spread.quantile(0.95))


def _candidates(name: str, case: Case, run: int, seed: int, place: str, config: MorecConfig) -> dict[str, float]:
    """Mean true errors of the chosen candidate over that of a random one."""
    g = torch.Generator().manual_seed(mixed_seed(seed, 77, place == "in"))
    if place == "in":
        rows = torch.randint(case.data.rows, (config.pairs,), generator=g)
        seen, unit = case.data.observation[run, rows], case.data.cause[run, rows]
    else:
        seen, unit = outside(name, config.pairs, g)
    offered = case.models[run].candidates(seen, case.cause(unit), g)
    error = case.error(offered.state, case.truth(seen, unit))
    random = float(error.mean())
    told = {"random": random, "best": float(error.amin(0).mean()) / random}
    for key, reward, select in (
        ("chosen", case.rewards[run], "argmax"),
        ("worst", case.rewards[run], "argmin"),
        ("last", case.rewards[run].only([-1]), "argmax"),
    ):
        judge = RewardFilter(reward, select)
        which = judge(seen, unit, offered, g).which
        told[key] = float(error.gather(0, which[None]).mean()) / random
        if select == "argmax":
            score = judge.score(seen, unit, offered)
            told[f"{key}.rank"] = spearman(score.flatten().numpy(), -error.flatten().numpy())
    mean = case.models[run]._predict(seen, case.cause(unit))[0].mean(0)[:, :-1]
    told["mean"] = float(case.error(seen + mean, case.truth(seen, unit)).mean()) / random
    # How often the filter would end a rollout that follows the truth.
    told["true_cut"] = float((case.rewards[run](seen, unit, case.truth(seen, unit)) < CUT).float().mean())
    return told


def _rollouts(
    name: str, case: Case, seeds: Sequence[int], config: MorecConfig
) -> list[tuple[str, Tensor, dict[str, Tensor] | None]]:
    """Usable steps, [seed, rollout], per method; for MOREC the one-step errors of kept and cut transitions too."""
    starts = Streams([mixed_seed(seed, 78) for seed in seeds]).index(case.data.rows, config.rolled)
    first = case.data.take(starts).observation
    methods: dict[str, list[Any]] = {
        "morec": [RewardFilter(r) for r in case.rewards],
        "uncut": [RewardFilter(r, cut=None) for r in case.rewards],
        "random": [UncertaintyFilter(torch.inf)] * len(seeds),
        "last": [RewardFilter(r.only([-1])) for r in case.rewards],
        "uncertainty": [UncertaintyFilter(limit(case, run)) for run in range(len(seeds))],
    }
    found: list[tuple[str, Tensor, dict[str, Tensor] | None]] = []
    for method, filters in methods.items():
        policy = Unseen(name)
        policy.reset(len(seeds), config.rolled)
        loop = RolloutLoop(case.models, config.steps, case.low, case.high, choose=filters)
        rolled = loop.roll(policy, first, Streams([mixed_seed(seed, 79) for seed in seeds]))
        shape = (len(seeds), config.steps, config.rolled)
        kept = rolled.kept.reshape(shape)
        after = rolled.rows.next_observation.reshape(*shape, -1)
        cause = rolled.rows.cause.reshape(*shape, -1)
        good, true = kept.clone(), first.flatten(0, 1)
        for step in range(config.steps):
            true = case.truth(true, cause[:, step].flatten(0, 1))
            good[:, step] &= case.error(after[:, step].flatten(0, 1), true).reshape(len(seeds), -1) < BAD
        lengths = good.cumprod(1).sum(1).float()
        one_step = None
        if method == "morec":
            rows = rolled.rows
            error = case.error(
                rows.next_observation.flatten(0, 1),
                case.truth(rows.observation.flatten(0, 1), rows.cause.flatten(0, 1)),
            ).reshape(shape)
            before = torch.cat([torch.ones_like(kept[:, :1]), kept[:, :-1]], 1)
            cut = before & ~kept
            kept_error, cut_error = (
                (error * m).sum((1, 2)) / m.sum((1, 2)) for m in (kept, cut)
            )  # NaN where nothing was cut
            one_step = {
                "kept_error": kept_error,
                "cut_error": cut_error,
                "cut_ratio": cut_error / kept_error,
                "length": rolled.lengths,
                "cuts": cut.sum((1, 2)) / config.rolled,
            }
        found.append((method, lengths, one_step))
    return found


def merge(found: Mapping[str, Any], more: Mapping[str, Any]) -> None:
    """Metrics and curves of a second experiment into those of a first, per seed."""
    for seed, part in more.items():
        found[seed]["metrics"].update(part["metrics"])
        found[seed]["curves"].update(part["curves"])
