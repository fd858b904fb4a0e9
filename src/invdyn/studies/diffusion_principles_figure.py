"""The figure of the diffusion-principles study: orders, guidance, samples, transport distance, digits."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from invdyn.studies.diffusion_principles_config import DiffusionPrinciplesConfig
from invdyn.studies.drawing import BLUE, GREEN, GREY, INK, ORANGE, PURPLE, digit_sheet, painted
from invdyn.studies.renders_figure import frame_sheet
from invdyn.studies.study import Outcome

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw"]

CALLS = {"flow matching, Euler": ("euler", (1, 2, 4, 64), BLUE), "MeanFlow": ("mean_flow", (1, 2, 4), ORANGE)}
CALLS |= {"shortcut": ("shortcut", (1, 2, 4), GREEN)}


def _orders(axis: Axes, c: Mapping[str, Any]) -> None:
    n = np.array(c["steps"], float)
    for name, label, colour in (
        ("euler", "Euler", BLUE),
        ("ddim", "DDIM (the same here)", GREY),
        ("heun", "Heun", ORANGE),
        ("dpmpp_2m", "DPM-Solver++(2M)", GREEN),
    ):
        style = "--" if name == "ddim" else "o-"
        axis.loglog(n, c[name], style, color=colour, markersize=4, linewidth=1.3, label=label)
    for power, start in ((1, c["euler"][0]), (2, c["heun"][0])):
        axis.loglog(n, 0.5 * start * (n[0] / n) ** power, ":", color=INK, linewidth=0.9)
    axis.set(title="Error of samplers with the exact D\n(dotted: slopes 1 and 2)", xlabel="steps", ylabel="mean error")
    axis.set_xticks(n, [f"{v:g}" for v in n], minor=False)
    axis.minorticks_off()
    axis.legend(frameon=False, fontsize=8)


def _guidance(axis: Axes, c: Mapping[str, Any]) -> None:
    for name, label, colour in (("w1", "w = 1: the class", BLUE), ("w3", "w = 3", ORANGE)):
        axis.stairs(c[name], c["edges"], color=colour, linewidth=1.3, label=label)
    axis.plot(c["line"], c["tilted"], color=INK, linewidth=1.1, linestyle="--", label="p(x) p(c|x)^3")
    axis.set(title="Guidance goes beyond the tilted density\n(two classes at -1 and 1)", xlabel="x", ylabel="density")
    axis.set_xlim(-3, 7)
    axis.legend(frameon=False, fontsize=8)


def _cloud(axis: Axes, data: Any, made: Any, title: str) -> None:
    points, given = np.array(made)[:800], np.array(data)[:800]
    axis.plot(given[:, 0], given[:, 1], ".", color=GREY, markersize=2, alpha=0.5)
    axis.plot(points[:, 0], points[:, 1], ".", color=ORANGE, markersize=2, alpha=0.7)
    axis.set(title=title, xlim=(-3, 3.6), ylim=(-3.2, 3.2), xticks=[], yticks=[], aspect="equal")


def _distances(axis: Axes, all_seeds: Sequence[Mapping[str, Any]], metric: str, floor: str, title: str) -> None:
    for label, (name, calls, colour) in CALLS.items():
        y = np.array([[m[f"{metric}{name}_{n}"] for n in calls] for m in all_seeds])
        axis.loglog(calls, y.mean(0), "o-", color=colour, markersize=4, linewidth=1.3, label=label)
        axis.fill_between(calls, y.min(0), y.max(0), color=colour, alpha=0.2, linewidth=0)
    y = np.array([m[f"{metric}edm_heun_35"] for m in all_seeds])
    axis.plot(np.full(len(y), 35), y, "s", color=PURPLE, markersize=4, label="EDM, Heun")
    y = np.array([m[f"{metric}edm_dpmpp_10"] for m in all_seeds])
    axis.plot(np.full(len(y), 10), y, "^", color=PURPLE, markersize=4, label="EDM, DPM-Solver++(2M)")
    axis.axhline(np.mean([m[floor] for m in all_seeds]), color=INK, linestyle=":", linewidth=1)
    axis.set(title=title, xlabel="calls of the net", ylabel="W2" if metric == "w2." else "Fréchet distance")
    axis.set_xticks([1, 2, 4, 10, 35, 64], ["1", "2", "4", "10", "35", "64"], minor=False)
    axis.minorticks_off()
    axis.legend(frameon=False, fontsize=8)


def _digits(axis: Axes, samples: Mapping[str, Any]) -> None:
    rows = {"data": "data", "edm_heun_35": "EDM, 35", "euler_64": "flow, 64", "mean_flow_1": "MeanFlow, 1"}
    rows["euler_1"] = "flow, 1"
    digit_sheet(axis, {label: samples[name] for name, label in rows.items()}, 10, "Digits 8 x 8 (calls of the net)")


def _renders(axis: Axes, all_seeds: Sequence[Mapping[str, Any]], samples: Mapping[str, Any]) -> None:
    rows = {"edm_heun_35": "EDM, 35", "edm_dpmpp_10": "DPM++, 10", "mean_flow_1": "MeanFlow, 1", "euler_1": "flow, 1"}
    shown = {"held out": samples["data"]}
    for name, label in rows.items():
        shown[f"{label}: {np.mean([m[f'renders.frechet_{name}'] for m in all_seeds]):.2g}"] = samples[name]
    frame_sheet(axis, shown, 8, "Rendered frames (calls of the net:\nFréchet distance in features)")


def draw(config: DiffusionPrinciplesConfig, outcomes: Mapping[int, Outcome]) -> Figure:
    """Panels of the experiments that ran: the first seed's curves, distances of all seeds."""
    first = next(iter(outcomes.values())).curves
    metrics = [outcome.metrics for outcome in outcomes.values()]
    shown: list[Callable[[Axes], None]] = []
    if "order" in first:
        shown.append(lambda a: _orders(a, first["order"]))
    if "guidance" in first:
        shown.append(lambda a: _guidance(a, first["guidance"]))
    if "mixture" in first:
        s = first["mixture"]["samples"]
        shown.append(lambda a: _distances(a, metrics, "w2.", "w2.two_fresh_sets", "2-D mixture (dotted: fresh data)"))
        shown.append(lambda a: _cloud(a, s["data"], s["euler_1"], "Flow matching, 1 Euler step\n(grey: data)"))
        shown.append(lambda a: _cloud(a, s["data"], s["mean_flow_1"], "MeanFlow, 1 step\n(grey: data)"))
        shown.append(lambda a: _cloud(a, s["data"], s["edm_heun_35"], "EDM, Heun, 35 calls\n(grey: data)"))
    if "digits" in first:
        title = "Digits, 20 components\n(dotted: training set)"
        shown.append(lambda a: _distances(a, metrics, "digits.frechet_", "digits.frechet_seen", title))
        shown.append(lambda a: _digits(a, first["digits"]["samples"]))
    if "renders" in first:
        shown.append(lambda a: _renders(a, metrics, first["renders"]["samples"]))
    return painted(shown, 4.0, 3.6, 4)
