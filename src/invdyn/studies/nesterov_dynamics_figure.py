"""The figure of the nesterov-dynamics study: one panel per experiment."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from invdyn.studies.drawing import BLUE, GREEN, GREY, INK, ORANGE, PURPLE, SKY, panels
from invdyn.studies.nesterov_dynamics_config import NesterovConfig
from invdyn.studies.study import Outcome

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw"]

COLOURS = {"gradient_descent": GREY, "heavy_ball": ORANGE, "nesterov": BLUE, "triple_momentum": GREEN}
LABELS = {
    "gradient_descent": "gradient descent",
    "heavy_ball": "heavy ball",
    "nesterov": "Nesterov",
    "triple_momentum": "triple momentum",
}


def _manifold(axis: Axes, c: Mapping[str, Any]) -> None:
    t = np.array(c["times"])
    axis.semilogy(t, np.exp(-t), color=INK, linewidth=3, alpha=0.25, label="exp(-lam t)")
    for i, ((name, y), colour) in enumerate(zip(c["curves"].items(), (BLUE, GREEN, ORANGE))):
        axis.semilogy(t[2 * i :: 6], y[2 * i :: 6], "o", color=colour, markersize=4, label=name)
    axis.set(title="Distance to the slow manifold\n(passivity flow)", xlabel="lam t", ylabel="|z(t)| / |z(0)|")
    axis.legend(frameon=False, fontsize=8)


def _slow(axis: Axes, c: Mapping[str, Any]) -> None:
    factors = np.array(c["factors"], float)
    for name, y in c["curves"].items():
        friction = name.endswith("friction")
        colour = BLUE if name.startswith("quadratic") else GREEN
        label = name.replace("friction", "no tangent term: |z|").replace("passivity", "with it: gap in x")
        axis.loglog(factors, y, "o--" if friction else "o-", color=colour, markersize=4, linewidth=1, label=label)
    axis.loglog(factors, 1.2 / factors, color=GREY, linewidth=1)
    axis.text(factors[2], 1.5 / factors[2], "slope -1", color=GREY, fontsize=8)
    axis.set_xticks(factors, [f"{f:g}" for f in factors])
    axis.minorticks_off()
    axis.set(title="After the transient", xlabel="lam / (k L)", ylabel="distance")
    axis.legend(frameon=False, fontsize=7)


def _limit(axis: Axes, c: Mapping[str, Any]) -> None:
    for (divisor, curve), colour in zip(c.items(), (ORANGE, PURPLE, BLUE, SKY)):
        label = "s = 1/L" if divisor == "1" else f"s = 1/({divisor} L)"
        axis.plot(curve["times"], curve["low"], color=colour, linestyle="--", linewidth=1)
        axis.plot(curve["times"], curve["high"], color=colour, linewidth=1.4, label=label)
    axis.set(title="NAG's distance from two equations\n(dashed: low, solid: high resolution)", xlabel="time k sqrt(s)")
    axis.set(ylabel="distance", ylim=(0, None))
    axis.legend(frameon=False, fontsize=8)


def _certificate(axis: Axes, c: Mapping[str, Any]) -> None:
    for (name, curve), colour in zip(c.items(), (SKY, BLUE, GREEN, ORANGE, PURPLE, INK)):
        v = np.array(curve["values"])
        told = v > 1e-12
        axis.semilogy(np.arange(len(v))[told], v[told], color=colour, linewidth=1.3, label=name)
        bound = np.exp(-curve["log_rate"] * np.arange(len(v)))
        axis.semilogy(np.arange(len(v))[bound > 1e-12], bound[bound > 1e-12], color=colour, linestyle=":", linewidth=1)
    axis.set(title="Certificate of NAG\n(dotted: what it promises)", xlabel="step", ylabel="V / V(0)", ylim=(1e-12, 2))
    axis.legend(frameon=False, fontsize=7)


def _cycle(axis: Axes, c: Mapping[str, Any]) -> None:
    for name in ("heavy_ball", "nesterov", "triple_momentum"):
        y = np.array(c[name])[:45]
        axis.plot(y, "o-", color=COLOURS[name], markersize=2.5, linewidth=0.8, label=LABELS[name])
    for level in (792 / 1225, -2208 / 1225, 2592 / 1225):
        axis.axhline(level, color=GREY, linewidth=0.7, linestyle="--")
    axis.set(title="Kinked function, kappa = 25\n(dashed: the 3-cycle)", xlabel="step", ylabel="x")
    axis.legend(frameon=False, fontsize=8)


def _rates(axis: Axes, c: Mapping[str, Any]) -> None:
    for name, colour in COLOURS.items():
        axis.loglog(c["kappas"], c[name], "o-", color=colour, markersize=4, linewidth=1.2, label=LABELS[name])
    axis.set(title="Iterations to 1e-8\n(quadratics, 100 unknowns)", xlabel="condition number", ylabel="iterations")
    axis.legend(frameon=False, fontsize=8)


def _identify(axis: Axes, c: Mapping[str, Any]) -> None:
    points = np.array(c["points"])
    axis.plot([-0.02, 1], [-0.02, 1], color=GREY, linewidth=1)
    for index, (name, colour) in enumerate(COLOURS.items()):
        own = points[points[:, 0] == index]
        axis.plot(own[:, 1], own[:, 2], "o", color=colour, markersize=4, alpha=0.6, label=LABELS[name])
    axis.set(title="Laws named from 60 iterates\n(1 % gradient noise)", xlabel="true momentum", ylabel="recovered")
    axis.legend(frameon=False, fontsize=8)


def _performance(axis: Axes, c: Mapping[str, Any]) -> None:
    for name, colour in COLOURS.items():
        axis.semilogy(c["counts"], c[name], "o-", color=colour, markersize=4, linewidth=1.2, label=LABELS[name])
    axis.axhline(1, color=GREY, linewidth=0.8)
    axis.set(title="Exact worst case, kappa = 10\n(semidefinite program)", xlabel="steps")
    axis.set(ylabel="|output - x*|^2 / |x0 - x*|^2", xticks=c["counts"])
    axis.legend(frameon=False, fontsize=8)


PANELS: dict[str, Callable[[Any, Any], None]] = {
    "manifold": _manifold,
    "slow": _slow,
    "limit": _limit,
    "certificate": _certificate,
    "cycle": _cycle,
    "rates": _rates,
    "performance": _performance,
    "identify": _identify,
}


def draw(config: NesterovConfig, outcomes: Mapping[int, Outcome]) -> Figure:
    """Panels of the experiments that ran, the first seed's curves."""
    shown = [name for name in PANELS if name in config.parts]
    columns = min(4, len(shown))
    rows = -(-len(shown) // columns)
    figure, axes = panels(4.1 * columns, 3.7 * rows, rows, columns)
    first = next(iter(outcomes.values()))
    for name, axis in zip(shown, axes.ravel()):
        PANELS[name](axis, first.curves[name])
        axis.title.set_fontsize(10)
    for axis in axes.ravel()[len(shown) :]:
        axis.set_visible(False)
    return figure
