"""The figure of the grokking-li2 study: one panel per experiment."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from invdyn.studies.drawing import BLUE, GREEN, GREY, INK, ORANGE, PURPLE, SKY, panels
from invdyn.studies.grokking_li2_config import GrokkingConfig
from invdyn.studies.study import Outcome

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw"]


def _accuracy(axis: Axes, c: Mapping[str, Any], config: GrokkingConfig) -> None:
    axis.plot(c["decay"]["epochs"], c["decay"]["train_accuracy"], color=GREY, linewidth=1.2, label="train")
    axis.plot(c["decay"]["epochs"], c["decay"]["test_accuracy"], color=BLUE, linewidth=1.6, label="test, decay 2e-4")
    axis.plot(
        c["control"]["epochs"], c["control"]["test_accuracy"], color=ORANGE, linewidth=1.2, label="test, no decay"
    )
    title = f"Late generalisation\n(M = {config.order}, K = {config.hidden}, half of the pairs)"
    axis.set(title=title, xlabel="epoch", ylabel="accuracy")
    axis.legend(frameon=False, fontsize=8)


def _signals(axis: Axes, c: Mapping[str, Any], config: GrokkingConfig) -> None:
    for name, style in (("decay", "-"), ("control", "--")):
        label = "" if name == "decay" else ", no decay"
        axis.plot(c[name]["epochs"], c[name]["energy"], style, color=GREEN, label=f"median E/E*{label}")
        gradient = np.array(c[name]["feature_gradient"])
        axis.plot(c[name]["epochs"], gradient / 100, style, color=PURPLE, label=f"|G_F| / 100{label}")
    axis.set(title="What reaches the features", xlabel="epoch", ylim=(0, None))
    axis.legend(frameon=False, fontsize=7)


def _detector(axis: Axes, c: Mapping[str, Any], config: GrokkingConfig) -> None:
    d = c["detector"]
    axis.semilogy(d["epochs"], d["decay"], color=BLUE, label="decay 2e-4")
    axis.semilogy(d["epochs"], d["control"], color=ORANGE, label="no decay")
    axis.axhline(10, color=GREY, linewidth=0.8, linestyle="--")
    axis.set(title="Stage detector\n(last 20 updates of W)", xlabel="epoch", ylabel="sigma_2 / sigma_3")
    axis.legend(frameon=False, fontsize=8)


def _lazy(axis: Axes, c: Mapping[str, Any], config: GrokkingConfig) -> None:
    axis.semilogx(c["multiples"], c["cosines"], "o-", color=BLUE, markersize=4)
    axis.axhline(0.85, color=GREY, linewidth=0.8, linestyle="--")
    axis.set(title="Lazy stage: gradient against\nY Y^T F (dip: interpolation threshold)", xlabel="K / n")
    axis.set(ylabel="cosine", ylim=(0, 1))


def _features(axis: Axes, c: Mapping[str, Any], config: GrokkingConfig) -> None:
    axis.plot(c["epochs"], c["pure_nodes"], color=BLUE, label="of the living, on one frequency")
    axis.plot(c["epochs"], c["alive_nodes"], color=GREY, label="living nodes")
    axis.plot(
        c["epochs"], np.array(c["frequencies"]) / ((config.order - 1) / 2), color=GREEN, label="frequencies found"
    )
    axis.set(title=f"Nodes become frequencies\n(M = {config.order}, K = 256)", xlabel="epoch", ylabel="share")
    axis.legend(frameon=False, fontsize=8)


def _shares(axis: Axes, c: Mapping[str, Any], config: GrokkingConfig) -> None:
    for (order, curve), colour in zip(c.items(), (SKY, GREEN, BLUE, INK, PURPLE)):
        m = float(order)
        x = np.array(curve["shares"]) * m / np.log(m)
        axis.plot(x, curve["accuracy"], "o-", color=colour, markersize=4, label=f"M = {order}")
    axis.axvline(2.7482, color=GREY, linewidth=0.8, linestyle="--")
    axis.set(
        title="Pairs needed\n(dashed: published critical share)", xlabel="share x M / ln M", ylabel="test accuracy"
    )
    axis.legend(frameon=False, fontsize=8)


def _degrees(axis: Axes, c: Mapping[str, Any], config: GrokkingConfig) -> None:
    for (name, curve), colour in zip(c.items(), (BLUE, ORANGE, SKY, PURPLE)):
        axis.plot(curve["shares"], curve["accuracy"], "o-", color=colour, markersize=4, label=name)
    axis.set(title="Cyclic and dihedral groups\nof equal order", xlabel="share of pairs", ylabel="test accuracy")
    axis.legend(frameon=False, fontsize=8)


def _muon(axis: Axes, c: Mapping[str, Any], config: GrokkingConfig) -> None:
    x = np.arange(len(c["settings"]))
    for shift, (name, colour) in zip((-0.2, 0.2), (("adam", GREY), ("muon", BLUE))):
        axis.bar(x + shift, c["counts"][name], 0.38, color=colour, label=name.capitalize())
    axis.set(title="Epochs to test accuracy 0.99\n(best rates; top: not reached)", xticks=x, ylabel="epochs")
    axis.set_xticklabels(c["settings"], fontsize=8)
    axis.legend(frameon=False, fontsize=8)


def _maxima(axis: Axes, c: Mapping[str, Any], config: GrokkingConfig) -> None:
    axis.plot(c["factors"], c["frequency"], "o-", color=BLUE, markersize=4, label="started at the full data's maxima")
    axis.plot(c["factors"], c["random"], "o-", color=ORANGE, markersize=4, label="random starts")
    axis.axvline(2.7482, color=GREY, linewidth=0.8, linestyle="--")
    axis.set(
        title="Maxima of E on a share of pairs\n(M = 23)", xlabel="share x M / ln M", ylabel="ends on one frequency"
    )
    axis.legend(frameon=False, fontsize=8)


PANELS: tuple[tuple[str, Callable[[Any, Any, GrokkingConfig], None]], ...] = (
    ("grok", _accuracy),
    ("grok", _signals),
    ("grok", _detector),
    ("identities", _lazy),
    ("features", _features),
    ("shares", _shares),
    ("degrees", _degrees),
    ("muon", _muon),
    ("maxima", _maxima),
)


def draw(config: GrokkingConfig, outcomes: Mapping[int, Outcome]) -> Figure:
    """Panels of the experiments that ran, the first seed's curves."""
    shown = [(name, panel) for name, panel in PANELS if name in config.parts]
    columns = min(3, len(shown))
    rows = -(-len(shown) // columns)
    figure, axes = panels(4.3 * columns, 3.6 * rows, rows, columns)
    first = next(iter(outcomes.values()))
    for (name, panel), axis in zip(shown, axes.ravel()):
        panel(axis, first.curves[name], config)
        axis.title.set_fontsize(10)
    for axis in axes.ravel()[len(shown) :]:
        axis.set_visible(False)
    return figure
