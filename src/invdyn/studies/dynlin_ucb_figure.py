"""The figure of the dynlin-ucb study."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from invdyn.studies.drawing import BLUE, GREEN, GREY, INK, ORANGE, PURPLE, SKY, panels
from invdyn.studies.dynlin_ucb_config import DynlinUcbConfig
from invdyn.studies.study import Outcome

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw"]

COLOURS = {
    "DynLin-UCB": BLUE,
    "Lin-UCB": ORANGE,
    "D-Lin-UCB": PURPLE,
    "AR2": SKY,
    "Exp3": GREEN,
    "batched Exp3": "#66A61E",
    "UCB1": GREY,
    "expert": INK,
}
Outcomes = Mapping[int, Outcome]


def _regret(axis: Axes, outcomes: Outcomes, system: str) -> None:
    first = next(iter(outcomes.values())).curves[system]
    for name, curve in first.items():
        rows = np.array([o.curves[system][name]["regret"] for o in outcomes.values()])
        style = {"Lin-UCB": "-", "D-Lin-UCB": "--", "expert": ":"}.get(name, "-")
        axis.plot(curve["rounds"], rows.mean(0), style, color=COLOURS[name], linewidth=1.4, label=name)
        if name in ("DynLin-UCB", "Lin-UCB"):
            axis.fill_between(curve["rounds"], rows.min(0), rows.max(0), color=COLOURS[name], alpha=0.15, linewidth=0)
    axis.set(xscale="log", yscale="log", xlabel="rounds", ylabel="cumulative expected regret", ylim=(1, None))
    axis.set_title("System identified from advertising" if system == "real" else "Synthetic system\n(band: all seeds)")
    axis.legend(frameon=False, fontsize=7)


def _growth(axis: Axes, outcomes: Outcomes, config: DynlinUcbConfig) -> None:
    first = next(iter(outcomes.values()))
    for name, curve in first.curves["long"].items():
        rows = np.array([o.curves["long"][name]["regret"] for o in outcomes.values()])
        short = {"DynLin-UCB": "dyn", "Lin-UCB": "lin"}[name]
        slope = np.mean([o.metrics[f"slope.{short}"] for o in outcomes.values()])
        axis.loglog(curve["rounds"], rows.mean(0), color=COLOURS[name], label=f"{name}, slope {slope:.2f} at the end")
    axis.axvspan(config.long / 20, config.long, color=GREY, alpha=0.12, linewidth=0)
    axis.set(xlabel="rounds", ylabel="cumulative expected regret")
    axis.set_title("Growth on the advertising system")
    axis.legend(frameon=False, fontsize=8)


def _transient(axis: Axes, outcomes: Outcomes) -> None:
    curve = next(iter(outcomes.values())).curves["identify"]["real"]
    axis.plot(curve["truth"], color=INK, linewidth=2.4, alpha=0.35, label="true mean reward")
    axis.plot(curve["told"], color=BLUE, linewidth=1.1, label="identified (Ho-Kalman)")
    axis.plot(curve["myopic"], color=ORANGE, linewidth=1, linestyle=":", label="immediate part")
    axis.set(xlabel="round", ylabel="reward", title="Transients of a new plan, twelve rounds per action")
    axis.legend(frameon=False, fontsize=7)


def _radii(axis: Axes, outcomes: Outcomes, config: DynlinUcbConfig) -> None:
    rows = np.array([[o.metrics[f"radius.{r:g}.regret"] for r in config.radii] for o in outcomes.values()])
    axis.semilogy(config.radii, rows.T, "o", color=BLUE, markersize=4)
    right = np.mean([o.metrics["real.regret.DynLin-UCB"] for o in outcomes.values()])
    linear = np.mean([o.metrics["real.regret.Lin-UCB"] for o in outcomes.values()])
    axis.semilogy([0.667], [right], "*", color=GREEN, markersize=11, label="true radius")
    axis.axhline(linear, color=ORANGE, linewidth=1, label="Lin-UCB")
    axis.set(xlabel="assumed spectral radius", ylabel="regret", title="Wrong radius (one dot per seed)")
    axis.legend(frameon=False, fontsize=8)


def _map(axis: Axes, outcomes: Outcomes, config: DynlinUcbConfig) -> None:
    for name, colour in (("DynLin-UCB", BLUE), ("Lin-UCB", ORANGE)):
        for systems, style, label in (
            ([(r, 3) for r in config.map_radii], "o-", "three dimensions, radius as shown"),
            ([(0.6, d) for d in config.map_sizes], "s:", "radius 0.6, dimension / 10 as shown"),
        ):
            means = [np.mean([o.metrics[f"map.{r:g}.{d}.{name}"] for o in outcomes.values()]) for r, d in systems]
            x = [r if style == "o-" else d / 10 for r, d in systems]
            axis.plot(x, means, style, color=colour, markersize=4, label=f"{name}: {label}")
    axis.set(xlabel="spectral radius, or dimension / 10", ylabel="regret / worst arm's", ylim=(0, None))
    axis.set_title(f"Random systems, {config.map_rounds:,} rounds")
    axis.legend(frameon=False, fontsize=7)


def draw(config: DynlinUcbConfig, outcomes: Outcomes) -> Figure:
    """Panels of what ran."""
    jobs: list[Callable[[Axes], None]] = [partial(_regret, outcomes=outcomes, system=system) for system in config.plays]
    if config.long:
        jobs.append(partial(_growth, outcomes=outcomes, config=config))
    if "identify" in config.parts:
        jobs.append(partial(_transient, outcomes=outcomes))
    if config.radii:
        jobs.append(partial(_radii, outcomes=outcomes, config=config))
    if config.map_radii:
        jobs.append(partial(_map, outcomes=outcomes, config=config))
    columns = max(1, min(3, len(jobs)))
    rows = max(1, -(-len(jobs) // columns))
    figure, axes = panels(4.4 * columns, 3.8 * rows, rows, columns)
    for job, axis in zip(jobs, axes.ravel()):
        job(axis)
        axis.title.set_fontsize(10)
    return figure
