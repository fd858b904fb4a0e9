"""RAVL: the edge-of-reach problem (Sims, Lu, Foerster, Teh, NeurIPS 2024, arXiv 2402.12527): claims, run, figure.

The learner stands in decisions/, the experiments in ravl_exact.py and ravl_worlds.py.
What differs from the paper and what did not hold: docs/studies/ravl.md.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from invdyn.nn.probabilistic_ensemble import EnsembleDynamics
from invdyn.studies.claim import Claim, Threshold
from invdyn.studies.drawing import BLUE, GREEN, GREY, INK, ORANGE, panels
from invdyn.studies.part import run_jobs
from invdyn.studies.ravl_config import GROUPS, RavlConfig
from invdyn.studies.ravl_exact import exact
from invdyn.studies.ravl_walkers import draw_learning, draw_quality, walker
from invdyn.studies.ravl_worlds import pendulum, point
from invdyn.studies.study import Context, Outcome, Study
from invdyn.studies.walkers import WalkerSet, fitted, walker_sets

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["STUDY", "Ravl"]

Case = tuple[WalkerSet, list[EnsembleDynamics]]
"""Recordings of a task, and an ensemble per seed."""
WALKERS = ("hopper", "halfcheetah")
"""Parts of scale gpu."""
SCALES = {
    "smoke": RavlConfig(
        parts=("exact", "base", "mopo"), updates=20, diagnose_at=20, batch=32, pool=100, evaluation=10, replicas=4000
    ),
    "laptop": RavlConfig(),
    "gpu": RavlConfig(parts=(*RavlConfig.parts, *WALKERS)),
}

CLAIMS = (
    Claim(
        "1a",
        "values of edge-of-reach states stay as they started",
        "chain.edge_moved",
        Threshold("<=", 0.0),
        smoke=True,
    ),
    Claim(
        "1b",
        "after j sweeps the state j before the edge holds gamma^j of its error, whatever the others started with",
        "chain.error",
        Threshold("<=", 1e-12),
        smoke=True,
    ),
    Claim(
        "2",
        "with the least of N starts the bias at the edge is E[min of N draws] - E[draw] (in standard errors)",
        "least.standard_errors",
        Threshold("<=", 4.0),
        smoke=True,
    ),
    Claim(
        "3a",
        "k = 1: the base (N = 2) leaves the reach: 50-step return",
        "base.k1.return",
        Threshold("<=", -100.0),
    ),
    Claim("3b", "k = 1: RAVL's 50-step return", "ravl.k1.return", Threshold(">=", -15.0)),
    Claim("4a", "k = 3, the goal within reach: the base's return", "base.k3.return", Threshold(">=", -1.0)),
    Claim("4b", "k = 3: RAVL's return", "ravl.k3.return", Threshold(">=", -6.0)),
    Claim(
        "5",
        "k = 1: OraclePatch restores the base",
        "oracle.k1.return",
        Threshold(">=", -5.0),
        reason="the patch brings the base back from -157 to between -10 and -13, what staying at the edge of "
        "the square gives or less; under the policy's own true value nothing draws it beyond",
    ),
    Claim(
        "6",
        "k = 1, after 2,000 updates: effective penalty at edge-of-reach states over that within reach (medians)",
        "penalty.ratio",
        Threshold(">=", 2.0),
    ),
    Claim(
        "7a",
        "pendulum, k = 5: RAVL's normalised return above the base's",
        "pendulum.gain",
        Threshold(">=", 30.0),
        over="mean",
        reason="the base itself solves the pendulum: five steps from such recordings end among states that others "
        "start from, so there is nothing for pessimism to repair",
    ),
    Claim(
        "7b",
        "pendulum, k = 5: the base's mean Q exceeds the largest possible value, 0, in 2 of 3 seeds",
        "pendulum.base.value",
        Threshold(">=", 0.0),
        over="median",
        reason="1 to 2 % of the rollouts' states are edge-of-reach, and the base's values stay what they should be",
    ),
    Claim(
        "8",
        "MOPO equals the base with the exact model: largest difference of Q at the evaluation's starts",
        "mopo.difference",
        Threshold("<=", 1e-6),
        smoke=True,
    ),
    Claim("9a", "vectorised critics equal separate nets", "critics.error", Threshold("<=", 1e-6), smoke=True),
    Claim("9b", "the diversity equals a double loop", "diversity.error", Threshold("<=", 1e-6), smoke=True),
)


class Ravl(Study[RavlConfig]):
    """Values pulled from states that are never updated, not the model's errors, make short rollouts fail."""

    slug = "ravl"
    scales = SCALES
    claims = CLAIMS

    def run(self, config: RavlConfig, seeds: Sequence[int], context: Context) -> dict[int, Outcome]:
        """Every group of trainings for all seeds side by side; each is a part that survives a kill."""
        jobs: dict[str, Callable[[], Mapping[str, Any]]] = {}
        if "exact" in config.parts:
            jobs["exact"] = lambda: {str(seed): exact(seed, config) for seed in seeds}
        for group in GROUPS:
            if group in config.parts:
                jobs[group] = lambda group=group: point(group, seeds, config)  # type: ignore[misc]
        if "pendulum" in config.parts:
            for method in ("base", "ravl"):
                jobs[f"pendulum {method}"] = lambda method=method: pendulum(method, seeds, config)  # type: ignore[misc]
        jobs |= self._walkers(config, seeds, context)
        outcomes = run_jobs(jobs, seeds, context)
        for outcome in outcomes.values():
            m = outcome.metrics
            if "mopo.start_values" in m:
                pair = zip(m.pop("base.start_values"), m.pop("mopo.start_values"), strict=True)
                m["mopo.difference"] = max(abs(a - b) for a, b in pair)
            if "pendulum.ravl.score" in m:
                m["pendulum.gain"] = m["pendulum.ravl.score"] - m["pendulum.base.score"]
        return outcomes

    def _walkers(
        self, config: RavlConfig, seeds: Sequence[int], context: Context
    ) -> dict[str, Callable[[], Mapping[str, Any]]]:
        """Hopper and HalfCheetah, where the device is."""

        @functools.cache  # anew after a kill, the same bits
        def case(task: str) -> Case:
            given = walker_sets(task, (config.walker_set,), config.walkers, context.device)[config.walker_set]
            return given, fitted(given, seeds, config.walkers)

        return {
            f"{task} {source}": functools.partial(self._walker, case, task, source, seeds, config)
            for task in WALKERS
            if task in config.parts
            for source in config.sources
        }

    @staticmethod
    def _walker(
        case: Callable[[str], Case], task: str, source: str, seeds: Sequence[int], config: RavlConfig
    ) -> Mapping[str, Any]:
        return walker(source, *case(task), seeds, config)

    def parts(self, config: RavlConfig, seeds: Sequence[int]) -> int:
        """Parts of `run`."""
        walkers = len(set(WALKERS) & set(config.parts))
        return len(config.parts) + ("pendulum" in config.parts) + walkers * (len(config.sources) - 1)

    def figure(self, config: RavlConfig, outcomes: Mapping[int, Outcome]) -> Figure:
        """Returns and values over training, every seed a line; below, where they ran, Hopper and HalfCheetah."""
        tasks = [task for task in WALKERS if task in config.parts]
        rows = 2 if tasks else 1
        figure, axes = panels(13.2, 3.8 * rows, rows, 3)
        if tasks:
            for axis, task in zip(axes[1], WALKERS):
                draw_learning(axis, task, outcomes)
            draw_quality(axes[1, 2], tasks, config, outcomes)
            for axis in axes[1]:
                axis.title.set_fontsize(10)
                if axis.get_legend_handles_labels()[0]:
                    axis.legend(frameon=False, fontsize=7)
        point_lines = [
            ("base.k1", ORANGE, "-", "base, k = 1"),
            ("base.k3", ORANGE, ":", "base, k = 3"),
            ("oracle.k1", INK, "-", "OraclePatch, k = 1"),
            ("ravl.k1", BLUE, "-", "RAVL, k = 1"),
            ("ravl.k3", BLUE, ":", "RAVL, k = 3"),
            ("plain.k1", GREEN, "-", "N = 10, eta = 0, k = 1"),
        ]
        rod = [("pendulum.base", ORANGE, "-", "base, k = 5"), ("pendulum.ravl", BLUE, "-", "RAVL, k = 5")]
        for axis, lines, what, title in (
            (axes[0, 0], point_lines, "returns", "point2d, true dynamics:\nreturn of 50 steps"),
            (axes[0, 1], point_lines, "values", "point2d: mean Q of the updates\n(true values are below 0)"),
            (axes[0, 2], rod, "returns", "pendulum, true dynamics:\nreturn of 200 steps"),
        ):
            for name, colour, style, label in lines:
                for number, outcome in enumerate(outcomes.values()):
                    curve = outcome.curves.get(name)
                    if curve is not None:
                        axis.plot(
                            curve["updates"], curve[what], style, color=colour, linewidth=1.2,
                            label=None if number else label,
                        )  # fmt: skip
            axis.set(title=title, xlabel="updates")
            axis.title.set_fontsize(10)
            if what == "values":
                axis.axhline(0, color=GREY, linewidth=0.8)
            if axis.get_legend_handles_labels()[0]:
                axis.legend(frameon=False, fontsize=7)
        axes[0, 0].set_yscale("symlog", linthresh=1.0)
        return figure


STUDY = Ravl()
