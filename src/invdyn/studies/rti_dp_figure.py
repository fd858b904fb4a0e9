"""The figure of the rti-dp study: success by plan, what is left of a guess, where a guess fits."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from invdyn.studies.drawing import BLUE, GREEN, GREY, ORANGE, PURPLE, SKY, panels
from invdyn.studies.rti_dp_config import DOOR, MORE, SHORT, TASKS, RtiDpConfig
from invdyn.studies.study import Outcome

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw"]

Outcomes = Mapping[int, Outcome]
BARS = {
    "dp100_8": ("DP-100, 8 executed", GREY),
    "dp100_1": ("DP-100, 1 executed", SKY),
    "ddim10_1": ("DDIM-10", PURPLE),
    "ddim3_1": ("DDIM-3", ORANGE),
    "rti": ("RTI, 3 steps", BLUE),
    "eps.dp100_8": ("eps: DP-100, 8 executed", GREY),
    "eps.ddim3_1": ("eps: DDIM-3", ORANGE),
    "eps.rti": ("eps: RTI, 3 steps", BLUE),
    "cloned": ("cloned MLP", GREEN),
}


def draw(config: RtiDpConfig, outcomes: Outcomes) -> Figure:
    """Bars are means over seeds, dots the seeds."""
    tasks = [name for name in config.parts if name in TASKS | MORE]
    door = all(DOOR in o.curves for o in outcomes.values())
    figure, axes = panels(12.0 + 4.0 * door, 3.6, 1, 3 + door) if tasks else panels(4.4, 3.4)
    _gains(axes[0, 0], outcomes)
    if tasks:
        _success(axes[0, 1], tasks, outcomes)
        _fit(axes[0, 2], tasks, outcomes)
    if tasks and door:
        _offline(axes[0, 3], outcomes)
    return figure


def _success(axis: Axes, tasks: list[str], outcomes: Outcomes) -> None:
    width = 0.8 / len(BARS)
    for i, (plan, (label, colour)) in enumerate(BARS.items()):
        values = np.array([[o.metrics[f"{name}.{plan}"] for name in tasks] for o in outcomes.values()])
        at = np.arange(len(tasks)) + (i - (len(BARS) - 1) / 2) * width
        pale = 0.4 if plan.startswith("eps.") else 1.0
        axis.bar(at, values.mean(0), width, color=colour, alpha=pale, label=label)
        axis.plot(np.broadcast_to(at, values.shape).T, values.T, ".", color="black", markersize=2.5)
    axis.set_xticks(range(len(tasks)), tasks, fontsize=8)
    axis.set(ylabel="success", ylim=(0, 1.5))
    axis.legend(frameon=False, fontsize=6.5, ncols=2, loc="upper left")
    axis.set_title("Closed loop, the same starts for every plan", fontsize=9)


def _gains(axis: Axes, outcomes: Outcomes) -> None:
    curve = next(iter(outcomes.values())).curves["exact"]
    gains = np.array(curve["gains"]).reshape(len(curve["variances"]), -1)
    steps = [len(x) for x in curve["lists"]]
    for variance, row, colour in zip(curve["variances"], gains, (BLUE, GREEN, ORANGE)):
        axis.plot(steps, row, "o-", color=colour, markersize=4, label=f"variance {variance:g}")
    axis.axhline(1, color=GREY, linewidth=1)
    axis.set(xlabel="denoising steps from the guess", ylabel="share of the guess's error left", ylim=(0, None))
    axis.legend(frameon=False, fontsize=7)
    axis.set_title("Gaussian data: contraction in closed form", fontsize=9)


def _fit(axis: Axes, tasks: list[str], outcomes: Outcomes) -> None:
    colours = itertools.cycle((BLUE, SKY, GREEN, ORANGE, PURPLE, GREY))
    for name, colour in zip(tasks, colours):
        rows = np.array([o.curves[name]["distance"] for o in outcomes.values()])
        axis.plot(np.median(rows, 0), color=colour, linewidth=1.2, label=name)
    axis.axvline(SHORT[0], color=GREY, linewidth=1, linestyle=":")
    axis.set(xlabel="noise level", ylabel="guess to mean at the level (RMS)", yscale="log")
    axis.legend(frameon=False, fontsize=7, ncols=2)
    axis.set_title("Where the shifted chunk fits", fontsize=9)


def _offline(axis: Axes, outcomes: Outcomes) -> None:
    curves = [o.curves[DOOR] for o in outcomes.values()]
    for way, label, colour in (("ddim", "DDIM-n from noise", ORANGE), ("rti", "RTI, n steps", BLUE)):
        for number, curve in enumerate(curves):
            axis.plot(
                curve["steps"],
                curve[way],
                "o-",
                color=colour,
                markersize=3,
                label=None if number else label,
                linewidth=1,
            )
    axis.axhline(float(np.mean([c["again"] for c in curves])), color=GREY, linewidth=1, linestyle=":")
    axis.set(xlabel="denoising steps a tick", ylabel="action: RMS from DP-100's (normalised)", ylim=(0, None))
    axis.legend(frameon=False, fontsize=7)
    axis.set_title("Recorded door openings\n(dotted: two draws of DP-100)", fontsize=9)
