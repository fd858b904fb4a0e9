"""The figure of the irl-misspec study: what can go wrong at worst, and what does typically."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from invdyn.studies.drawing import BLUE, GREEN, GREY, ORANGE, PURPLE, panels
from invdyn.studies.irl_misspec_config import IrlMisspecConfig
from invdyn.studies.study import Outcome

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw"]

Outcomes = Mapping[int, Outcome]
WORLDS = {"random": (BLUE, "random process"), "grid": (ORANGE, "5 x 5 grid with slip")}


def _spread(axis: Axes, x: Any, rows: Any, colour: str, label: str, style: str = "o-") -> None:
    """Median over seeds with the range between their 10 % and 90 % quantiles."""
    y = np.array(rows)
    axis.plot(x, np.median(y, 0), style, color=colour, markersize=4, linewidth=1.3, label=label)
    axis.fill_between(x, np.quantile(y, 0.1, 0), np.quantile(y, 0.9, 0), color=colour, alpha=0.15, linewidth=0)


def _metric(outcomes: Outcomes, name: str) -> list[Any]:
    return [outcome.metrics[name] for outcome in outcomes.values()]


def _separation(axis: Axes, outcomes: Outcomes, config: IrlMisspecConfig) -> None:
    curves = [outcome.curves["parameters"] for outcome in outcomes.values()]
    for world, (colour, label) in WORLDS.items():
        _spread(axis, curves[0]["sizes"], [c[world]["discount"] for c in curves], colour, f"discount, {label}")
        _spread(axis, curves[0]["sizes"], [c[world]["dynamics"] for c in curves], colour, f"dynamics, {label}", "s:")
    axis.axhline(2, color=GREY, linewidth=1)
    axis.set(xscale="log", xlabel="size of the hidden part", ylabel="distance d", ylim=(0, 2.1))
    axis.set_title("Two rewards with one policy,\nseen with another discount or dynamics")
    axis.legend(frameon=False, fontsize=7, loc="lower right")


def _meeting(axis: Axes, outcomes: Outcomes, config: IrlMisspecConfig) -> None:
    curves = [outcome.curves["parameters"] for outcome in outcomes.values()]
    for world, (colour, label) in WORLDS.items():
        _spread(axis, curves[0]["scales"], [c[world]["meet"] for c in curves], colour, label)
    axis.set(xscale="log", yscale="log", xlabel="c", ylabel="policy distance (total variation)")
    axis.set_title("Policies of cR and -cR meet,\nwhile d stays 2")
    axis.legend(frameon=False, fontsize=8)


def _discounts(axis: Axes, outcomes: Outcomes, config: IrlMisspecConfig) -> None:
    rules = {"state_only": "o-", "minimal_norm": "s:"}
    for world, (colour, label) in WORLDS.items():
        for rule, style in rules.items():
            rows = _metric(outcomes, f"{world}.{rule}.distances")
            _spread(axis, config.discounts, rows, colour, f"{rule.replace('_', ' ')}, {label}", style)
    axis.axhline(2, color=GREY, linewidth=1)
    axis.text(0.5, 1.93, "worst case", color=GREY, fontsize=8, va="top")
    axis.set(xlabel="assumed discount (truth 0.9)", ylabel="distance d to the truth", ylim=(0, 2.05))
    axis.set_title("What selection rules recover\n(V = 0 recovers the truth at any discount)")
    axis.legend(frameon=False, fontsize=7, loc="center left", bbox_to_anchor=(0.0, 0.62))


def _orders(axis: Axes, outcomes: Outcomes, config: IrlMisspecConfig) -> None:
    curve = next(iter(outcomes.values())).curves["order"]
    for world, (colour, label) in WORLDS.items():
        axis.plot(curve[world]["d"], curve[world]["tau"], ".", color=colour, markersize=3, label=label)
    axis.set(xlabel="distance d", ylabel="Kendall's tau of 200 policies' returns", ylim=(-1.05, 1.05))
    axis.set_title("d tells how alike policies are ordered\n(300 pairs of rewards each)")
    axis.legend(frameon=False, fontsize=8)


def _regrets(axis: Axes, outcomes: Outcomes, config: IrlMisspecConfig) -> None:
    curve = next(iter(outcomes.values())).curves["order"]
    for world, (colour, label) in WORLDS.items():
        axis.plot(curve[world]["d"], curve[world]["regret"], ".", color=colour, markersize=3, label=label)
    k = max(_metric(outcomes, "order.K"))
    axis.plot([0, 2], [0, 2 * k], color=GREY, linewidth=1, label=f"{k:.2f} d, largest of all seeds")
    axis.set(xlabel="distance d", ylabel="regret / (best - worst)", ylim=(-0.03, 1.05))
    axis.set_title("and bounds what acting on the\nother reward can lose")
    axis.legend(frameon=False, fontsize=8, loc="upper left")


def _samples(axis: Axes, outcomes: Outcomes, config: IrlMisspecConfig) -> None:
    for world, (colour, label) in WORLDS.items():
        _spread(axis, config.draws, _metric(outcomes, f"{world}.samples.distances"), colour, label)
    x = np.array(config.draws)
    axis.plot(x, 2 / np.sqrt(x), color=GREY, linewidth=1, linestyle="--", label="slope -1/2")
    for world, colour in (("random", GREEN), ("grid", PURPLE)):
        wrong = float(np.median(_metric(outcomes, f"{world}.kind.wrong")))
        axis.axhline(wrong, color=colour, linewidth=1, label=f"wrong kind of model, {WORLDS[world][1]}")
    axis.set(xscale="log", yscale="log", xlabel="observed actions per state", ylabel="distance d", ylim=(0.01, 5))
    axis.set_title("Error from data falls,\nerror from the wrong model stays")
    axis.legend(frameon=False, fontsize=7, loc="upper right")


PANELS: dict[str, tuple[Callable[[Any, Outcomes, IrlMisspecConfig], None], str]] = {
    "separation": (_separation, "parameters"),
    "meeting": (_meeting, "parameters"),
    "discounts": (_discounts, "selection"),
    "orders": (_orders, "order"),
    "regrets": (_regrets, "order"),
    "samples": (_samples, "samples"),
}


def draw(config: IrlMisspecConfig, outcomes: Outcomes) -> Figure:
    """Panels of the experiments that ran."""
    shown = [panel for panel, part in PANELS.values() if part in config.parts]
    columns = min(3, len(shown))
    figure, axes = panels(4.4 * columns, 3.8 * -(-len(shown) // columns), -(-len(shown) // columns), columns)
    for panel, axis in zip(shown, axes.ravel()):
        panel(axis, outcomes, config)
        axis.title.set_fontsize(10)
    return figure
