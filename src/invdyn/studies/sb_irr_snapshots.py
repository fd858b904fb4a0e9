"""SB-IRR beside its baselines on every other snapshot of a population; what was held out is the judge."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from invdyn.diffusion.bridges_drift import Drift, no_drift, simulate
from invdyn.diffusion.bridges_ipf import time_grid
from invdyn.diffusion.bridges_refined import Refined, refine_reference
from invdyn.studies.part import Part
from invdyn.studies.sb_irr_baselines import flow_matching, middle_of_bridges, transport_line
from invdyn.studies.sb_irr_config import Problem, SbIrrConfig
from invdyn.verify.metrics import emd, w2_exact

__all__ = ["compare"]

FEW = 9
"""Laws of fewer parameters than this are told number by number."""


def compare(name: str, problem: Problem, config: SbIrrConfig, seed: int) -> Part:
    """Metrics `<name>.emd.<method>`, ratios, the law, KL by iteration, replay from the first snapshot.

    Methods: `irr`; `vanilla` (one iteration from zero drift), `sinkhorn` (the same bridge without regression: entropic
    coupling, Brownian bridges), `transport` (optimal coupling, straight lines), `flow` (OT-CFM), `oracle` (the bridge
    under the true law), `fresh` (another draw of the truth).
    """
    seen, at = [x.to(config.device) for x in problem.snapshots[::2]], problem.times[::2]

    def once(reference: Drift) -> Refined:
        settings = replace(config.refine(problem, 1), closed=False)
        return refine_reference(seen, at, problem.family, settings, torch.Generator().manual_seed(seed), reference)

    found = refine_reference(seen, at, problem.family, config.refine(problem), torch.Generator().manual_seed(seed))
    plain = once(no_drift)
    g = torch.Generator().manual_seed(seed + 1)
    hidden = list(range(1, len(problem.times) - 1, 2))
    made: dict[str, list[Tensor]] = {
        "irr": [_at(found, problem.times[k]) for k in hidden],
        "vanilla": [_at(plain, problem.times[k]) for k in hidden],
        "sinkhorn": middle_of_bridges(problem, g),
        "transport": transport_line(problem),
        "flow": flow_matching(problem, config.net_steps, seed),
    }
    if problem.law is not None:
        oracle = once(problem.law)
        made["oracle"] = [_at(oracle, problem.times[k]) for k in hidden]
    if problem.fresh is not None:
        made["fresh"] = [problem.fresh[k] for k in hidden]
    metrics: dict[str, Any] = {}
    for method, sets in made.items():
        rows = [emd(a, problem.snapshots[k]) for a, k in zip(sets, hidden)]
        metrics[f"{name}.emd_rows.{method}"] = rows
        metrics[f"{name}.emd.{method}"] = sum(rows) / len(rows)
        wide = [w2_exact(a, problem.snapshots[k]) for a, k in zip(sets, hidden)]
        metrics[f"{name}.w2.{method}"] = sum(wide) / len(wide)
    for method in made:
        if method != "irr":
            metrics[f"{name}.over.{method}"] = metrics[f"{name}.emd.irr"] / metrics[f"{name}.emd.{method}"]
    metrics |= {f"{name}.{key}": value for key, value in _law(found, plain, problem).items()}
    metrics |= {f"{name}.{key}": value for key, value in _replay(found, problem, g).items()}
    metrics[f"{name}.replay.over_held_out"] = metrics[f"{name}.replay.w2"][-1] / metrics[f"{name}.w2.irr"]
    curves = {
        "kl": list(found.kl),
        "snapshots": [x[:, :2].tolist() for x in problem.snapshots],
        "paths": found.paths[:, :: max(1, found.paths.shape[1] // 20), :2].transpose(0, 1).tolist(),
        "plain": plain.paths[:, :: max(1, found.paths.shape[1] // 20), :2].transpose(0, 1).tolist(),
        "parameters": [f.parameters.tolist() for f in found.fitted if len(f.parameters) < FEW],
    }
    return Part(metrics, curves)


def _at(refined: Refined, time: float) -> Tensor:
    """The population at the grid's nearest time (held-out times need not lie on the grid)."""
    return refined.paths[int((refined.times - time).abs().argmin())].cpu()


def _law(found: Refined, plain: Refined, problem: Problem) -> dict[str, Any]:
    kl = list(found.kl)
    told: dict[str, Any] = {
        "kl": kl,
        "given_up": found.given_up,
        "kl.rise": max((b / a - 1 for a, b in itertools.pairwise(kl)), default=0.0),
    }
    last = found.fitted[-1]
    if len(last.parameters) < FEW:
        told |= {"parameters": last.parameters.tolist(), "standard_errors": last.errors.tolist()}
    if problem.parameters is not None:
        scale = problem.parameters.abs()
        errors = [((f.parameters - problem.parameters).abs() / scale) for f in (plain.fitted[0], last)]
        told["error"] = float(errors[1].max())
        told["error.first"] = errors[0].tolist()
        told["error.last"] = errors[1].tolist()
        told["error.gain"] = float((errors[0] - errors[1]).min())
    return told


def _replay(found: Refined, problem: Problem, g: torch.Generator) -> dict[str, Any]:
    """The learnt law from the first snapshot alone, against every later one."""
    law = problem.family.drift(found.fitted[-1].parameters)
    x, rows = problem.snapshots[0], []
    step = float(found.times[1] - found.times[0])
    for a, b, wanted in zip(problem.times[:-1], problem.times[1:], problem.snapshots[1:]):
        x = simulate(law, x, time_grid(a, b, step), problem.sigma, g)[-1]
        rows.append(w2_exact(x, wanted) if bool(torch.isfinite(x).all()) else float("nan"))
    return {"replay.w2": rows}
