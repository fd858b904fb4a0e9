"""The figure of the diffusion-painters study: outline first, how linear, what a teleport costs, learning."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from invdyn.studies.diffusion_painters_config import LEVELS, DiffusionPaintersConfig
from invdyn.studies.diffusion_painters_net import WATCHED
from invdyn.studies.drawing import BLUE, GREEN, GREY, INK, ORANGE, PURPLE, SKY, digit_sheet, painted
from invdyn.studies.renders_figure import frame_sheet
from invdyn.studies.study import Outcome

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw"]

WAYS = {
    "skip_0": "full, 35 calls",
    "skip_4": "4 skipped, 27",
    "skip_10": "10 skipped, 15",
    "full_12": "12 points, 23",
    "regrid_12_5": "12 from 5, 23",
    "regrid_12_3": "12 from 3, 23",
    "about_mean_12_3": "rescaled about mean, 23",
    "about_zero_12_3": "rescaled about 0, 23",
    "gaussian": "Gaussian alone, 0",
}


def _emergence(axis: Axes, c: Mapping[str, Any]) -> None:
    top = np.array(c["variances"])
    axis.loglog(top, np.sqrt(3 * top), color=INK, linewidth=1, linestyle=":", label="sqrt(3 l)")
    axis.loglog(top, c["gaussian"], "o", color=BLUE, markersize=4, label="Gaussian")
    axis.loglog(top, c["kernel"], "s", color=ORANGE, markersize=4, label="kernel mixture")
    axis.set(title="Outline first: where each of 20\ncomponents is half there", xlabel="variance l", ylabel="sigma")
    _plain_ticks(axis, (0.2, 0.5, 1, 2), (1, 2, 3))
    axis.legend(frameon=False, fontsize=8)


def _plain_ticks(axis: Axes, x: Sequence[float], y: Sequence[float] = ()) -> None:
    """These ticks and no others: on a short logarithmic axis matplotlib's labels lie on each other."""
    axis.set_xticks(x, [f"{v:g}" for v in x], minor=False)
    if y:
        axis.set_yticks(y, [f"{v:g}" for v in y], minor=False)
    axis.minorticks_off()


def _share(axis: Axes, c: Mapping[str, Any]) -> None:
    for name, label, colour in (
        ("gaussian", "Gaussian", BLUE),
        ("round", "round Gaussian", GREEN),
        ("mean", "mean alone", ORANGE),
    ):
        axis.semilogx(c["sigmas"], c[name], "o-", color=colour, markersize=3, linewidth=1.3, label=label)
    axis.set(title="Share of the kernel mixture's\nscore that is explained", xlabel="sigma", ylabel="share")
    axis.set_ylim(-0.3, 1.03)
    axis.legend(frameon=False, fontsize=8)


def _ways(axis: Axes, seeds: Sequence[Mapping[str, Any]]) -> None:
    places = np.arange(len(WAYS))[::-1]
    for part, label, colour, shift in (("kernel", "kernel mixture", ORANGE, 0.14), ("net", "net", BLUE, -0.14)):
        found = np.array([[m[f"{part}.mse_{name}"] for name in WAYS] for m in seeds if f"{part}.mse_skip_0" in m])
        for row in found:
            axis.semilogx(row, places + shift, "o", color=colour, markersize=4, alpha=0.7)
        if len(found):
            axis.semilogx([], [], "o", color=colour, markersize=4, label=label)
    axis.set_yticks(places, list(WAYS.values()), fontsize=8)
    axis.set(title="MSE to the 256-point reference\nfrom the same noise", xlabel="MSE a pixel")
    axis.legend(frameon=False, fontsize=8)


def _learning(axis: Axes, c: Mapping[str, Any]) -> None:
    share, steps = np.array(c["levels"]), np.array(c["steps"])
    for column, sigma, colour in zip(share.T, WATCHED, (GREY, SKY, GREEN, ORANGE, INK)):
        axis.plot(1 + steps, column, color=colour, linewidth=1.3, label=f"sigma {sigma:g}")
    axis.set_xscale("log")
    axis.set(title="Share of the net's score explained\nby the Gaussian", xlabel="1 + updates", ylabel="share")
    axis.set_ylim(-0.3, 1.03)
    axis.legend(frameon=False, fontsize=8)


def _chunks(axis: Axes, c: Mapping[str, Mapping[str, float]]) -> None:
    colours = dict(zip(("reach", "pick", "door"), (BLUE, ORANGE, PURPLE)))
    for name, found in c.items():
        for which, style in (("gaussian", "o-"), ("mean", "x:")):
            pairs = [(float(k.rsplit("_", 1)[1]), v) for k, v in found.items() if k.startswith(f"share_{which}_")]
            label = f"{name}, {which}"
            axis.semilogx(*zip(*pairs), style, color=colours[name], markersize=4, linewidth=1.2, label=label)
    axis.set(title="Chunks of actions: share of the\nkernel mixture's score", xlabel="sigma", ylabel="share")
    axis.set_ylim(-0.3, 1.03)
    _plain_ticks(axis, LEVELS)
    axis.legend(frameon=False, fontsize=7)


def _sheet(axis: Axes, shown: Mapping[str, Any], title: str) -> None:
    rows = {"reference": "reference", "skip_4": "4 skipped", "skip_10": "10 skipped", "regrid_12_5": "12 from 5"}
    rows |= {"about_mean_12_3": "about mean", "gaussian": "Gaussian"}
    digit_sheet(axis, {label: shown[name] for name, label in rows.items()}, 8, title)


def _renders(axis: Axes, seeds: Sequence[Mapping[str, Any]], c: Mapping[str, Any]) -> None:
    rows = {"reference": c["shown"]["reference"]}
    for k in c["skipped"]:
        distance = np.mean([m[f"renders.frechet_skip_{k}"] for m in seeds])
        rows[f"{k} skipped: {distance:.2g}"] = c["shown"][f"skip_{k}"]
    rows["Gaussian"] = c["shown"]["gaussian"]
    frame_sheet(axis, rows, 8, "Rendered frames, U-Net, same noise\n(Fréchet distance in features)")


def draw(config: DiffusionPaintersConfig, outcomes: Mapping[int, Outcome]) -> Figure:
    """Panels of the experiments that ran: the first seed's curves, errors of all seeds."""
    first = next(iter(outcomes.values())).curves
    metrics = [outcome.metrics for outcome in outcomes.values()]
    shown: list[Callable[[Axes], None]] = []
    if "emergence" in first:
        shown.append(lambda a: _emergence(a, first["emergence"]))
    if "share" in first:
        shown.append(lambda a: _share(a, first["share"]))
    if "kernel" in first or "net" in first:
        shown.append(lambda a: _ways(a, metrics))
    if "chunks" in first:
        shown.append(lambda a: _chunks(a, first["chunks"]))
    if "net" in first:
        shown.append(lambda a: _learning(a, first["net"]))
    for name, title in (("kernel", "Kernel mixture, same noise"), ("net", "Trained net, same noise")):
        if name in first:
            shown.append(partial(_sheet, shown=first[name]["shown"], title=title))
    if "renders" in first:
        shown.append(lambda a: _renders(a, metrics, first["renders"]))
    return painted(shown, 4.2, 3.6, 4)
