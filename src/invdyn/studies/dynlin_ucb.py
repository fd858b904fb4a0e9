"""Dynamical linear bandits (Mussi, Metelli, Restelli, ICML 2023, arXiv 2211.08997): scales, run, figure.

System and loop stand in decisions/linear_bandit.py, agents in optimism.py and bandit_baselines.py, identification in
linear_identification.py; experiments in dynlin_ucb_exact.py and dynlin_ucb_plays.py; claims in dynlin_ucb_claims.py.
What differs from the paper: docs/studies/dynlin-ucb.md.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from invdyn.studies import dynlin_ucb_exact as exact
from invdyn.studies import dynlin_ucb_plays as plays
from invdyn.studies.dynlin_ucb_claims import CLAIMS
from invdyn.studies.dynlin_ucb_config import AGENTS, DynlinUcbConfig
from invdyn.studies.dynlin_ucb_figure import draw
from invdyn.studies.part import run_parts
from invdyn.studies.study import Context, Outcome, Study

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["STUDY", "DynlinUcb"]

EXPERIMENTS = {
    "exact": exact.exact,
    "average": exact.average,
    "identify": exact.identify,
    "coverage": exact.coverage,
}
RIVALS = ("DynLin-UCB", "Lin-UCB")

SCALES = {
    "smoke": DynlinUcbConfig(
        parts=("exact",),
        plays=(),
        noises=(),
        radii=(),
        map_radii=(),
        map_sizes=(),
        long=0,
        schedule_rounds=2000,
        cover_rounds=1000,
    ),
    "laptop": DynlinUcbConfig(),
    "paper": DynlinUcbConfig(rounds=1_000_000),
}


class DynlinUcb(Study[DynlinUcbConfig]):
    """Hold every action until its transient has faded, and linear bandits work on hidden linear systems."""

    slug = "dynlin-ucb"
    scales = SCALES
    claims = CLAIMS

    def run(self, config: DynlinUcbConfig, seeds: Sequence[int], context: Context) -> dict[int, Outcome]:
        """Exact parts seed by seed, then every agent on all seeds side by side."""
        outcomes = run_parts(EXPERIMENTS, config.parts, config, seeds, context)
        rounds = config.rounds
        for system in config.plays:
            names = [*AGENTS, *(["expert"] if system == "real" else [])]
            found = {
                name: context.once(
                    f"{system}, {name}, {rounds}, seeds {seeds}",
                    partial(plays.compare, system, name, 0.01, rounds, seeds),
                )
                for name in names
            }
            shared = plays.pooled(found, system)
            for i, seed in enumerate(seeds):
                mine = {f"{system}.regret.{name}": rows["regret"][i][-1] for name, rows in found.items()}
                errors = {f"{system}.h_error.{n}": rows["h_error"][i] for n, rows in found.items() if "h_error" in rows}
                outcomes[seed].metrics.update(shared | mine | errors)
                outcomes[seed].curves[system] = {
                    name: {"rounds": rows["rounds"], "regret": rows["regret"][i]} for name, rows in found.items()
                }
        for seed in seeds if config.plays else ():
            m = outcomes[seed].metrics
            m["h_error.dyn"] = max(m[f"{system}.h_error.DynLin-UCB"] for system in config.plays)
            m["h_error.lin"] = min(m[f"{system}.h_error.Lin-UCB"] for system in config.plays)
        self._others(config, seeds, context, outcomes)
        return outcomes

    def _others(
        self, config: DynlinUcbConfig, seeds: Sequence[int], context: Context, outcomes: dict[int, Outcome]
    ) -> None:
        """Other noises, growth, wrong radii, random systems."""

        def each(values: Sequence[Any], name: str) -> None:
            for seed, value in zip(seeds, values):
                outcomes[seed].metrics[name] = value

        for sigma in config.noises:
            for name in RIVALS:
                job = partial(plays.compare, "synthetic", name, sigma, config.rounds, seeds)
                found = context.once(f"synthetic, {name}, sigma {sigma}, {config.rounds}, seeds {seeds}", job)
                each([r[-1] for r in found["regret"]], f"synthetic.sigma_{sigma:g}.{name}")
        for name, short in zip(RIVALS, ("dyn", "lin")) if config.long else ():
            job = partial(plays.compare, "real", name, 0.01, config.long, seeds)
            found = context.once(f"real, {name}, {config.long}, seeds {seeds}", job)
            early = found["rounds"].index(config.long // 20)
            each([math.log(r[-1] / r[early]) / math.log(20) for r in found["regret"]], f"slope.{short}")
            each([r[-1] for r in found["regret"]], f"real.long.{name}")
            for seed, row in zip(seeds, found["regret"]):
                outcomes[seed].curves.setdefault("long", {})[name] = {"rounds": found["rounds"], "regret": row}
        for radius in config.radii:
            job = partial(plays.assumed_radius, radius, config.rounds, seeds)
            found = context.once(f"radius {radius}, {config.rounds}, seeds {seeds}", job)
            each(found["regret"], f"radius.{radius:g}.regret")
            each(found["h_error"], f"radius.{radius:g}.h_error")
            each([float(c) for c in found["covered"]], f"radius.{radius:g}.covered")
            if radius == max(config.radii):
                each(found["h_error"], "radius.over.h_error")
        systems = [(r, 3) for r in config.map_radii] + [(0.6, d) for d in config.map_sizes]
        for radius, size in systems:
            job = partial(plays.random_system, radius, size, config.map_rounds, seeds)
            found = context.once(f"random system {radius}, {size}, {config.map_rounds}, seeds {seeds}", job)
            for name in RIVALS:
                each(found[name], f"map.{radius:g}.{size}.{name}")

    def figure(self, config: DynlinUcbConfig, outcomes: Mapping[int, Outcome]) -> Figure:
        """Regret over time, growth, transients, wrong radii, random systems."""
        return draw(config, outcomes)

    def parts(self, config: DynlinUcbConfig, seeds: Sequence[int]) -> int:
        """Calls of `context.once`."""
        played = sum(len(AGENTS) + (system == "real") for system in config.plays)
        others = len(RIVALS) * (len(config.noises) + bool(config.long)) + len(config.radii)
        return len(config.parts) * len(seeds) + played + others + len(config.map_radii) + len(config.map_sizes)


STUDY = DynlinUcb()
