"""The figure of the RED-diff study: modes, digits, PSNR of every method, phases, a force history, cost."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from invdyn.studies.drawing import BLUE, GREEN, GREY, INK, ORANGE, PURPLE, SKY, digit_sheet, painted
from invdyn.studies.red_diff_config import RedDiffConfig
from invdyn.studies.renders_figure import frame_sheet
from invdyn.studies.study import Outcome

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw"]

NAMES = {
    "pseudo_inverse": ("pseudo-inverse", GREY),
    "wiener": ("Wiener filter", INK),
    "dps": ("DPS", BLUE),
    "pgdm": ("PGDM", SKY),
    "projection": ("projection", GREEN),
    "red_diff_own_eps": ("RED-diff, own eps", PURPLE),
    "red_diff": ("RED-diff", ORANGE),
}
TASKS = {"inpaint": "half hidden", "left": "right half\nhidden", "super": "x2", "blur": "blur", "hdr": "clipped"}


def _modes(axis: Axes, c: Mapping[str, Any]) -> None:
    for mean in c["means"]:
        axis.plot(*mean, "+", color=GREY, markersize=9, zorder=1)
    for name, marker in (("wiener", "s"), ("dps", "^"), ("red_diff", "o")):
        label, colour = NAMES[name]
        points = np.array(c["points"][name])
        axis.plot(points[:, 0], points[:, 1], marker, color=colour, markersize=3, alpha=0.6, label=label)
    axis.set(title="Modes y cannot tell apart (crosses)", xlabel="a measured component", ylabel="a hidden component")
    axis.legend(frameon=False, fontsize=8)


def _sheet(axis: Axes, pictures: Mapping[str, Any], names: Sequence[str], title: str) -> None:
    digit_sheet(axis, {NAMES[n][0] if n in NAMES else n: pictures[n] for n in names}, 10, title)


def _quality(axis: Axes, metrics: Sequence[Mapping[str, Any]]) -> None:
    wide = 0.8 / len(NAMES)
    for i, (name, (label, colour)) in enumerate(NAMES.items()):
        at, mean, low, high = [], [], [], []
        for k, task in enumerate(TASKS):
            values = [m[f"{task}.psnr.{name}"] for m in metrics if f"{task}.psnr.{name}" in m]
            if values:
                at.append(k + (i - len(NAMES) / 2 + 0.5) * wide)
                mean.append(np.mean(values))
                low.append(np.mean(values) - min(values))
                high.append(max(values) - np.mean(values))
        axis.bar(at, mean, wide, color=colour, label=label, yerr=[low, high], error_kw={"linewidth": 0.8})
    axis.set_xticks(range(len(TASKS)), list(TASKS.values()), fontsize=8)
    axis.set(title="Digits, 100 calls of the net (bars: seeds)", ylabel="PSNR, dB", ylim=(8, None))
    axis.legend(frameon=False, fontsize=7, ncols=2)


def _force(axis: Axes, c: Mapping[str, Any]) -> None:
    h = c["histories"]
    t = np.arange(len(h["truth"])) * 0.05
    axis.step(
        t, np.clip(h["pseudo_inverse"], -1.5, 1.5), color=GREY, where="post", linewidth=0.8, label="pseudo-inverse"
    )
    for name, width in (("wiener", 1.0), ("dps", 1.0), ("red_diff", 1.8)):
        label, colour = NAMES[name]
        axis.step(t, h[name], color=colour, where="post", linewidth=width, label=label)
    axis.step(t, h["truth"], color=INK, where="post", linewidth=1.0, linestyle=":", label="truth")
    axis.set(title="Force behind positions (2 mm noise)", xlabel="s", ylabel="cause", ylim=(-1.5, 1.5))
    axis.legend(frameon=False, fontsize=7, ncols=2)


def _cost(axis: Axes, metrics: Sequence[Mapping[str, Any]]) -> None:
    for k, kind in enumerate(("memory_mb", "step_ms")):
        for i, name in enumerate(("dps", "pgdm", "red_diff")):
            share = [m[f"cost.{kind}.{name}"] / m[f"cost.{kind}.dps"] for m in metrics]
            axis.bar(
                k + (i - 1) * 0.25, np.mean(share), 0.25, color=NAMES[name][1], label=NAMES[name][0] if not k else None
            )
    axis.axhline(0.6, color=INK, linestyle=":", linewidth=1)
    axis.set_xticks((0, 1), ("memory of tensors", "time of a step"))
    axis.set(title="Cost over DPS's (dotted: 0.6)", ylabel="ratio")
    axis.legend(frameon=False, fontsize=8)


def _renders(axis: Axes, metrics: Sequence[Mapping[str, Any]], pictures: Mapping[str, Any]) -> None:
    rows = {"truth": pictures["truth"]}
    for name in ("pseudo_inverse", "wiener", "dps", "red_diff"):
        decibel = np.mean([m[f"renders.super.psnr.{name}"] for m in metrics])
        rows[f"{NAMES[name][0]}, {decibel:.1f} dB"] = pictures[name]
    frame_sheet(axis, rows, 8, "Rendered frames seen x4 coarser")


def draw(config: RedDiffConfig, outcomes: Mapping[int, Outcome]) -> Figure:
    """Panels of the experiments that ran: the first seed's pictures, numbers of all seeds."""
    first = next(iter(outcomes.values())).curves
    metrics = [outcome.metrics for outcome in outcomes.values()]
    shown: list[Callable[[Axes], None]] = []
    if "mixture" in first:
        shown.append(lambda a: _modes(a, first["mixture"]))
    if "digits" in first:
        c = first["digits"]
        rows = ("truth", "pseudo_inverse", "wiener", "dps", "red_diff")
        shown.append(lambda a: _quality(a, metrics))
        shown.append(lambda a: _sheet(a, c["digits"], rows, "Half of the pixels hidden"))
        shown.append(lambda a: _sheet(a, c["phase"], ("truth", "dps", "red_diff"), "From magnitudes of the spectrum"))
        shown.append(lambda a: _cost(a, metrics))
    if "force" in first:
        shown.append(lambda a: _force(a, first["force"]))
    if "renders" in first:
        shown.append(lambda a: _renders(a, metrics, first["renders"]["super"]))
    return painted(shown, 4.6, 3.7, 3)
