"""The figure of the sb-irr study: paths, held-out distances, the law and KL(q || p) by iteration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from invdyn.studies.drawing import BLUE, GREEN, GREY, INK, ORANGE, PURPLE, SKY, panels
from invdyn.studies.sb_irr_config import SYSTEMS, SbIrrConfig
from invdyn.studies.study import Outcome

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw"]

POINTS = 120
"""Of a drawn path: more than a picture shows, and files stay small."""
METHODS = {
    "irr": ("SB-IRR", BLUE),
    "vanilla": ("vanilla bridge", ORANGE),
    "sinkhorn": ("vanilla, exact", PURPLE),
    "transport": ("transport line", GREY),
    "flow": ("OT-CFM", SKY),
    "oracle": ("true law as reference", GREEN),
    "fresh": ("fresh draw of the truth", INK),
}


def draw(config: SbIrrConfig, outcomes: Mapping[int, Outcome]) -> Figure:
    """Panels of what ran."""
    first = next(iter(outcomes.values()))
    ran = [name for name, curve in first.curves.items() if "kl" in curve]
    if not ran:
        figure, axes = panels(4.5, 3.5)
        _static(axes[0, 0], outcomes)
        return figure
    figure, axes = panels(14.0, 8.0, 2, 3)
    shown = [name for name in ("lotka_volterra", "repressilator") if name in ran] or ran[:1]
    for name, axis in zip(shown, axes[0]):
        _paths(axis, first, name)
    _distances(axes[0, 2], outcomes, ran)
    for name, axis in zip([n for n in ran if n in SYSTEMS][:2], axes[1]):
        _parameters(axis, outcomes, name)
    _kl(axes[1, 2], outcomes, [n for n in ran if n in SYSTEMS])
    return figure


def _static(axis: Axes, outcomes: Mapping[int, Outcome]) -> None:
    for k, name in enumerate(("static.sinkhorn", "static.ipf")):
        axis.plot([k] * len(outcomes), [o.metrics[name] for o in outcomes.values()], "o", color=BLUE)
    axis.set(yscale="log", ylabel="error of the cross-covariance", xlim=(-0.5, 1.5))
    axis.set_xticks([0, 1], ["entropic transport", "proportional fitting"])


def _paths(axis: Axes, outcome: Outcome, name: str) -> None:
    curve = outcome.curves[name]
    for kind, colour in (("plain", ORANGE), ("paths", BLUE)):
        for k, path in enumerate(curve[kind]):
            x = np.array(path)[:: max(1, len(path) // POINTS)]
            axis.plot(
                x[:, 0],
                x[:, 1],
                color=colour,
                linewidth=0.5,
                alpha=0.6,
                label=None if k else METHODS["vanilla" if kind == "plain" else "irr"][0],
            )
    for k, points in enumerate(curve["snapshots"]):
        x = np.array(points)
        label = {0: "seen", 1: "held out"}.get(k)
        axis.plot(x[:, 0], x[:, 1], ".", color=GREEN if k % 2 else INK, markersize=2.5, label=label, zorder=3)
    every = np.concatenate([np.array(p) for p in curve["snapshots"]])
    low, high = every.min(0), every.max(0)
    pad = 0.25 * (high - low)
    axis.set(
        xlim=(low[0] - pad[0], high[0] + pad[0]),
        ylim=(low[1] - pad[1], high[1] + pad[1]),
        xlabel="$x_1$",
        ylabel="$x_2$",
    )
    axis.set_title(f"{name.replace('_', ' ')}: paths, first seed", fontsize=10)
    axis.legend(frameon=False, fontsize=7)


def _distances(axis: Axes, outcomes: Mapping[int, Outcome], ran: list[str]) -> None:
    for k, name in enumerate(ran):
        for shift, (method, (_, colour)) in zip(np.linspace(-0.3, 0.3, len(METHODS)), METHODS.items()):
            values = [
                o.metrics[f"{name}.emd.{method}"] for o in outcomes.values() if f"{name}.emd.{method}" in o.metrics
            ]
            axis.plot([k + shift] * len(values), values, "o", color=colour, markersize=3)
    for label, colour in METHODS.values():
        axis.plot([], [], "o", color=colour, markersize=4, label=label)
    axis.set(yscale="log", ylabel="mean EMD at held-out snapshots")
    axis.set_xticks(range(len(ran)), [name.replace("_", "\n") for name in ran], fontsize=7, rotation=25)
    axis.set_title("Held-out snapshots, one point a seed", fontsize=10)
    axis.legend(frameon=False, fontsize=6.5, ncol=2)


def _parameters(axis: Axes, outcomes: Mapping[int, Outcome], name: str) -> None:
    system = SYSTEMS[name]
    for k, (parameter, truth) in enumerate(zip(system.family.names, system.parameters)):
        rows = np.array([o.curves[name]["parameters"] for o in outcomes.values()])[:, :, k] / truth
        colour = (BLUE, ORANGE, GREEN, PURPLE)[k]
        for row in rows:
            axis.plot(range(1, len(row) + 1), row, color=colour, linewidth=0.8)
        axis.plot([], [], color=colour, label=f"{parameter} = {truth:g}")
    axis.axhspan(0.85, 1.15, color=GREY, alpha=0.2, linewidth=0)
    axis.set(xlabel="outer iteration", ylabel="estimate / truth", ylim=(0, 2.5))
    axis.set_title(f"{name.replace('_', ' ')}: the law, one line a seed", fontsize=10)
    axis.legend(frameon=False, fontsize=7)


def _kl(axis: Axes, outcomes: Mapping[int, Outcome], names: list[str]) -> None:
    for name, colour in zip(names, (BLUE, ORANGE, GREEN)):
        for k, o in enumerate(outcomes.values()):
            kl = o.curves[name]["kl"]
            axis.plot(
                range(1, len(kl) + 1), kl, color=colour, linewidth=0.9, label=None if k else name.replace("_", " ")
            )
    axis.set(yscale="log", xlabel="outer iteration", ylabel="KL(q || p), nats a path")
    axis.set_title("What the law leaves unexplained", fontsize=10)
    axis.legend(frameon=False, fontsize=7)
