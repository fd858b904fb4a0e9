"""The figure of the deep-linear study: one panel per experiment."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from invdyn.studies.deep_linear_config import DeepLinearConfig
from invdyn.studies.drawing import BLUE, GREEN, GREY, INK, ORANGE, PURPLE, SKY, panels
from invdyn.studies.study import Outcome

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw"]

MODES = (INK, BLUE, GREEN, ORANGE)


def _order(axis: Axes, c: Mapping[str, Any], config: DeepLinearConfig) -> None:
    for i, (s, colour) in enumerate(zip(config.strengths, MODES)):
        axis.plot(c["times"], c["closed"][i], color=colour, linewidth=1.4, label=f"s = {s:g}")
        axis.plot(c["descent_times"][::4], c["descent"][i][::4], ".", color=colour, markersize=4)
    axis.set(
        title="Modes from a random start\n(lines: closed form, dots: gradient descent)",
        xlabel="t / tau",
        ylabel="mode u",
    )
    axis.legend(frameon=False, fontsize=8, loc="upper right", bbox_to_anchor=(1.0, 0.92))


def _half_times(axis: Axes, c: Mapping[str, Any], config: DeepLinearConfig) -> None:
    axis.axhline(c["infinite"], color=GREY, linestyle="--", linewidth=1)
    axis.text(2, c["infinite"] + 0.15, "infinite depth", color=GREY, fontsize=8, va="bottom")
    axis.semilogx(c["depths"], c["scaled"], "o-", color=BLUE, base=2, markersize=4)
    axis.set(title="Time to half strength\n(s = 1, u0 = 0.1, simulated chains)", xlabel="weight matrices L")
    axis.set(ylabel="L t_half / tau", ylim=(0, 11.5))


def _depth(axis: Axes, curves: list[Mapping[str, Any]], config: DeepLinearConfig) -> None:
    names = {"gaussian": (ORANGE, "Gaussian"), "orthogonal": (BLUE, "orthogonal")}
    names |= {"balanced_small": (SKY, "balanced, u0 = 0.1"), "balanced": (GREEN, "balanced, u0 = 1")}
    for name, (colour, label) in names.items():
        for i, c in enumerate(curves):
            y = np.array(c[name])
            lost = (y >= c["cap"]) & (name == "gaussian")
            axis.loglog(c["depths"], y, "o-", color=colour, markersize=3, linewidth=1, label=label if i == 0 else None)
            axis.loglog(np.array(c["depths"])[lost], y[lost], "^", color=colour, markersize=6)
    axis.set_xticks(curves[0]["depths"], [str(d) for d in curves[0]["depths"]], minor=False)
    axis.minorticks_off()
    axis.set(
        title="Epochs to 1 % loss at the best rate\n(whitened images; triangles: given up)", xlabel="weight matrices L"
    )
    axis.set(ylabel="epochs")
    axis.legend(frameon=False, fontsize=8, loc="lower left", bbox_to_anchor=(0.0, 0.12))


def _spectra(axis: Axes, c: Mapping[str, Any], config: DeepLinearConfig) -> None:
    colours = {"orthogonal 100": BLUE, "gaussian 5": SKY, "gaussian 20": PURPLE, "gaussian 100": ORANGE}
    for name, colour in colours.items():
        label = name.replace("gaussian", "Gaussian, L =").replace("orthogonal", "orthogonal, L =")
        axis.semilogy(np.arange(1, len(c[name]) + 1), c[name], color=colour, label=label)
    axis.set(title="Singular values of products\n(100 x 100, relative to the largest)", xlabel="rank", ylim=(1e-40, 10))
    axis.legend(frameon=False, fontsize=8, loc="lower left")


def _tanh(axis: Axes, c: Mapping[str, Any], config: DeepLinearConfig) -> None:
    axis.axhspan(0.1, 10, color=GREY, alpha=0.15, linewidth=0)
    for (name, y), colour in zip(c.items(), (SKY, BLUE, GREEN, ORANGE)):
        label = name.replace("gaussian", "Gaussian").replace(" ", ", g = ")
        axis.semilogy(np.arange(1, len(y) + 1), y, color=colour, label=label)
    axis.set(
        title="Error on its way back, tanh, depth 100\n(band: within a factor of 10)",
        xlabel="layer",
        ylabel="norm / last layer",
    )
    axis.legend(frameon=False, fontsize=8)


def _tree(axis: Axes, c: Mapping[str, Any], config: DeepLinearConfig) -> None:
    labels = ("shared by all", "first split", "second level", "third level")
    seen: set[int] = set()
    for y, level in zip(c["modes"], c["levels"]):
        axis.plot(c["times"], y, color=MODES[level], linewidth=1.3, label=None if level in seen else labels[level])
        seen.add(level)
    axis.set(title="Tree of 8 items, 15 properties\n(one random start)", xlabel="t / tau", ylabel="mode / strength")
    axis.legend(frameon=False, fontsize=8)


def _inverse(axis: Axes, c: Mapping[str, Any], config: DeepLinearConfig) -> None:
    for (depth, curve), colour in zip(c.items(), (BLUE, GREEN, PURPLE, ORANGE)):
        t = np.array(curve["times"])
        axis.semilogx(t[1:] / t[-1], np.array(curve["loss"])[1:] / curve["loss"][0], color=colour, linewidth=1.2)
        axis.plot([], [], color=colour, label=f"L = {depth}, named {curve['named']}")
    axis.set(
        title="Loss curves whose causes are recovered\n(strengths, starts, rate, depth)", xlabel="epoch / last epoch"
    )
    axis.set(ylabel="loss / first loss")
    axis.legend(frameon=False, fontsize=8)


def _bend(axis: Axes, c: Mapping[str, Any], config: DeepLinearConfig) -> None:
    i = 1  # the second mode: early enough to show, late enough to be disturbed by the first
    axis.plot(c["times"], c["closed"][i], color=INK, linewidth=2.4, alpha=0.35, label="closed form (whitened)")
    for condition, colour in zip(("1", "2", "4", "8"), (BLUE, GREEN, PURPLE, ORANGE)):
        axis.plot(c["times"], c[condition][i], color=colour, linewidth=1.1, label=f"condition {condition}")
    axis.set(
        title="Inputs that are not whitened\n(mode s = 3, simulated)", xlabel="t / tau", ylabel="mode u", xlim=(0, 4)
    )
    axis.legend(frameon=False, fontsize=8)


PANELS: dict[str, Callable[[Any, Any, DeepLinearConfig], None]] = {
    "order": _order,
    "half_times": _half_times,
    "depth": _depth,
    "bend": _bend,
    "spectra": _spectra,
    "tanh": _tanh,
    "tree": _tree,
    "inverse": _inverse,
}


def draw(config: DeepLinearConfig, outcomes: Mapping[int, Outcome]) -> Figure:
    """Panels of the experiments that ran."""
    shown = [name for name in PANELS if name in config.parts]
    columns = min(4, len(shown))
    rows = -(-len(shown) // columns)
    figure, axes = panels(4.1 * columns, 3.7 * rows, rows, columns)
    seeds = list(outcomes)
    for name, axis in zip(shown, axes.ravel()):
        curves = [outcomes[seed].curves[name] for seed in seeds]
        PANELS[name](axis, curves if name == "depth" else curves[0], config)
        axis.title.set_fontsize(10)
    for axis in axes.ravel()[len(shown) :]:
        axis.set_visible(False)
    return figure
