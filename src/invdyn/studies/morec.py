"""MOREC: a dynamics reward filters model rollouts (Luo, Xu, Cao, Yu, ICLR 2024, arXiv 2310.05422): run and figure.

The method stands in decisions/, the experiments in morec_exact.py, morec_models.py and morec_policies.py.
What differs from the paper and what did not hold: docs/studies/morec.md.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from invdyn.decisions.dynamics_reward import RewardConfig
from invdyn.decisions.learned_dynamics import DynamicsConfig
from invdyn.studies.drawing import BLUE, GREEN, GREY, INK, ORANGE, PURPLE, SKY, panels
from invdyn.studies.morec_claims import CLAIMS
from invdyn.studies.morec_config import GROUPS, WALKER_SETS, WALKERS, MorecConfig
from invdyn.studies.morec_exact import planted, readout
from invdyn.studies.morec_models import models
from invdyn.studies.morec_policies import policies
from invdyn.studies.morec_walkers import draw_lengths, draw_scores, filtered_walker
from invdyn.studies.morec_worlds import CASES, fitted_case
from invdyn.studies.part import run_jobs
from invdyn.studies.study import Context, Outcome, Study
from invdyn.studies.walkers import walker_sets

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["STUDY", "Morec"]

LAPTOP = MorecConfig()
TINY = replace(LAPTOP.reward, iterations=8, every=2, encoder=(8, 8), head=(8,), starts=16, batch=32)
SCALES = {
    "smoke": replace(
        LAPTOP,
        parts=("readout", "planted", "refrigerator", "pendulum"),
        rows=400,
        refrigerator_episodes=4,
        pendulum_episodes=20,
        reward=TINY,
        refrigerator_reward=TINY,
        pendulum_reward=TINY,
        dynamics=replace(LAPTOP.dynamics, width=8, epochs=1),
        refrigerator_dynamics=replace(LAPTOP.dynamics, width=8, epochs=1),
        pairs=50,
        rolled=4,
        steps=3,
        length=3,
        host_length=2,
        epochs=1,
        updates=2,
        starts=8,
        batch=8,
        evaluation=2,
    ),
    "laptop": LAPTOP,
    "gpu": replace(LAPTOP, parts=(*LAPTOP.parts, *WALKERS)),
    "paper": MorecConfig(
        rows=100_000,
        refrigerator_episodes=1000,
        pendulum_episodes=500,
        reward=RewardConfig(),
        refrigerator_reward=RewardConfig(log_std=LAPTOP.refrigerator_reward.log_std),
        pendulum_reward=RewardConfig(log_std=LAPTOP.pendulum_reward.log_std),
        dynamics=DynamicsConfig(),
        refrigerator_dynamics=DynamicsConfig(),
        epochs=300,
        updates=1000,
        starts=2000,
        batch=256,
        evaluation=100,
    ),
}
COLOURS = {"morec": BLUE, "uncut": SKY, "random": ORANGE, "last": GREEN, "uncertainty": PURPLE}


class Morec(Study[MorecConfig]):
    """A reward recovered once from recorded transitions tells which of a model's guesses to believe."""

    slug = "morec"
    scales = SCALES
    claims = CLAIMS

    def run(self, config: MorecConfig, seeds: Sequence[int], context: Context) -> dict[int, Outcome]:
        """Every experiment for all seeds side by side; each is a part that survives a kill."""
        case = functools.cache(lambda name: fitted_case(name, seeds, config))  # anew after a kill, the same bits
        sets = functools.cache(lambda task: walker_sets(task, WALKER_SETS, config.walkers, context.device))
        jobs: dict[str, Callable[[], Mapping[str, Any]]] = {}
        for part in config.parts:
            if part == "readout":
                jobs[part] = lambda: readout(seeds)
            elif part == "planted":
                jobs[part] = lambda: planted(seeds, config)
            elif part in CASES:
                jobs[part] = lambda part=part: models(part, case(part), seeds, config)  # type: ignore[misc]
            elif part in WALKERS:
                for kind in WALKER_SETS:
                    jobs[f"{part} {kind}"] = lambda part=part, kind=kind: filtered_walker(  # type: ignore[misc]
                        kind, sets(part)[kind], seeds, config
                    )
            else:
                jobs[part] = lambda part=part: policies(part, case("pendulum"), seeds, config)  # type: ignore[misc]
        outcomes = run_jobs(jobs, seeds, context)
        for outcome in outcomes.values():
            m = outcome.metrics
            if "morec.score" in m:
                m["policy.gain"] = m["morec.score"] - max(m["mopo.score"], m["mopo5.score"])
            if "exact.score" in m:
                m["policy.exact"] = abs(m["exact+filter.score"] - m["exact.score"])
        return outcomes

    def parts(self, config: MorecConfig, seeds: Sequence[int]) -> int:
        """Parts of `run`."""
        return len(config.parts) + len(set(WALKERS) & set(config.parts)) * (len(WALKER_SETS) - 1)

    def figure(self, config: MorecConfig, outcomes: Mapping[int, Outcome]) -> Figure:
        """Errors of chosen candidates, usable steps of rollouts, returns of policies; walkers, where they ran."""
        rows = 2 if set(WALKERS) & set(config.parts) else 1
        figure, axes = panels(13.2, 3.8 * rows, rows, 3)
        if rows == 2:
            draw_scores(axes[1, 0], outcomes)
            draw_lengths(axes[1, 1], outcomes)
            axes[1, 2].set_axis_off()
        bars = [("chosen", BLUE), ("last", GREEN), ("mean", GREY), ("worst", INK)]
        places = [(world, place) for world in CASES for place in ("in", "out")]
        for number, (key, colour) in enumerate(bars):
            for at, (world, place) in enumerate(places):
                values = [o.metrics.get(f"{world}.{place}.{key}", float("nan")) for o in outcomes.values()]
                axes[0, 0].plot(
                    [at + 0.18 * (number - 1.5)] * len(values), values, "o", color=colour, markersize=4,
                    label={"chosen": "highest r_D", "last": "last discriminator", "mean": "ensemble mean",
                           "worst": "lowest r_D"}[key] if not at else None,
                )  # fmt: skip
        axes[0, 0].axhline(1, color=GREY, linewidth=0.8)
        axes[0, 0].set_xticks(range(len(places)), [f"{w}\n{p}" for w, p in places], fontsize=7)
        axes[0, 0].set(title="true error of the candidate taken,\nover that of a random one", yscale="log")
        for style, world in (("-", "pendulum"), (":", "refrigerator")):
            for method, colour in COLOURS.items():
                for number, outcome in enumerate(outcomes.values()):
                    lengths = outcome.curves.get(f"{world}.{method}")
                    if lengths:
                        share = [1 - i / len(lengths) for i in range(len(lengths))]
                        label = f"{method}, {world}" if not number else None
                        axes[0, 1].step(lengths, share, style, color=colour, linewidth=1, label=label)
        axes[0, 1].set(title="rollouts under an unseen policy:\nshare usable for longer", xlabel="steps")
        names = [variant.name for group in GROUPS.values() for variant in group]
        for at, name in enumerate(names):
            values = [o.metrics.get(f"{name}.score", float("nan")) for o in outcomes.values()]
            axes[0, 2].plot(values, [at] * len(values), "o", color=BLUE if "morec" in name else INK, markersize=4)
        axes[0, 2].set_yticks(range(len(names)), names, fontsize=7)
        axes[0, 2].set(title="pendulum: normalised return", xlabel="0 = random, 100 = scripted expert")
        for axis in axes.ravel():
            axis.title.set_fontsize(10)
            if axis.get_legend_handles_labels()[0]:
                axis.legend(frameon=False, fontsize=6)
        return figure


STUDY = Morec()
