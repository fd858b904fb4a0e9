"""The figures of reports: true against inferred causes, replay divergence, coverage, success."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from invdyn.studies.drawing import BLUE, GREEN, GREY, INK, ORANGE, panels

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["causes_figure", "coverage_figure", "divergence_figure", "success_figure"]


def causes_figure(
    seconds: Float[np.ndarray, " time"],
    truth: Float[np.ndarray, "time cause"],
    inferred: Float[np.ndarray, "time cause"],
    lower: Float[np.ndarray, "time cause"],
    upper: Float[np.ndarray, "time cause"],
    names: Sequence[str],
    unit: str = "",
) -> Figure:
    """One panel per component over one episode: recorded (never shown to the model), inferred, its interval."""
    figure, axes = panels(9.0, 1.7 * len(names) + 0.4, len(names))
    for axis, i in zip(axes[:, 0], range(len(names)), strict=True):
        axis.fill_between(seconds, lower[:, i], upper[:, i], color=BLUE, alpha=0.18, linewidth=0, label="interval")
        axis.plot(seconds, truth[:, i], color=INK, linewidth=1.4, label="true")
        axis.plot(seconds, inferred[:, i], color=ORANGE, linewidth=1.1, linestyle="--", label="inferred")
        axis.set_ylabel(f"{names[i]} [{unit}]" if unit else names[i])
    axes[0, 0].legend(ncols=3, frameon=False, loc="upper right", fontsize=8)
    axes[-1, 0].set_xlabel("time [s]")
    return figure


def divergence_figure(
    curves: Mapping[str, tuple[Float[np.ndarray, " time"], Float[np.ndarray, " time"], Float[np.ndarray, " time"]]],
    unit: str,
    dt: float,
) -> Figure:
    """Distance between replayed and recorded states over time: median line, quartile band, per kind of replay."""
    figure, axes = panels(9.0, 3.4)
    axis = axes[0, 0]
    for (name, (low, middle, high)), colour in zip(curves.items(), (ORANGE, BLUE, GREEN, GREY), strict=False):
        seconds = np.arange(len(middle)) * dt
        axis.fill_between(seconds, low, high, color=colour, alpha=0.15, linewidth=0)
        axis.plot(seconds, middle, color=colour, label=name)
    axis.set(xlabel="time since the recorded start [s]", ylabel=f"divergence [{unit or 'signal unit'}]")
    largest = max((float(np.nanmax(high)) for _, _, high in curves.values() if len(high)), default=0.0)
    if largest > 0:
        axis.set_yscale("symlog", linthresh=max(largest * 1e-4, 1e-12))
        axis.set_ylim(bottom=0)
    axis.legend(frameon=False)
    return figure


def coverage_figure(
    levels: Float[np.ndarray, " level"], measured: Float[np.ndarray, "level cause"], names: Sequence[str]
) -> Figure:
    """Share of true causes inside the interval against the level that was asked for."""
    figure, axes = panels(4.6, 4.2)
    axis = axes[0, 0]
    axis.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle=":", label="as asked")
    for i, name in enumerate(names):
        axis.plot(levels, measured[:, i], linewidth=0.9, alpha=0.6, label=name)
    axis.plot(levels, measured.mean(1), color=INK, linewidth=1.8, label="mean")
    axis.set(xlabel="level asked", ylabel="measured on held-out episodes", xlim=(0, 1), ylim=(0, 1), aspect="equal")
    axis.legend(frameon=False, fontsize=8)
    return figure


def success_figure(rates: Mapping[str, tuple[float, float, float]]) -> Figure:
    """Success rates (rate, lower, upper of the Wilson interval) of several policies."""
    figure, axes = panels(6.0, 0.7 * len(rates) + 0.9)
    axis = axes[0, 0]
    for row, (_name, (rate, low, high)) in enumerate(rates.items()):
        axis.barh(row, rate, color=(GREY, ORANGE, BLUE)[row % 3], height=0.6)
        axis.plot([low, high], [row, row], color=INK, linewidth=1.5)
        axis.text(min(high + 0.02, 1.02), row, f"{100 * rate:.0f} %", va="center", fontsize=9)
    axis.set_yticks(range(len(rates)), list(rates))
    axis.invert_yaxis()
    axis.set(xlim=(0, 1.12), xlabel="success rate (bar: 95 % Wilson interval)")
    return figure
