"""The HTML report of `invdyn torques`: torques with bands, the cut-off's effect, residuals, ground forces, replay."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from invdyn.cli.report import Section, write_report
from invdyn.studies.drawing import BLUE, GREEN, GREY, INK, ORANGE, panels

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from invdyn.forces.torques import Torques

__all__ = ["write_torque_report"]

PANELS = 48
"""Coordinates drawn at most; all are in the table."""

BINS = 1500
"""Stretches of time that a longer recording is divided into where it is drawn."""


def thinned(time: Float[np.ndarray, " time"], *curves: Float[np.ndarray, " time"]) -> list[np.ndarray]:
    """Time and curves as they are drawn: of long recordings the least and the greatest value of each stretch, so that
    no peak is lost and the file does not grow."""
    if len(time) <= 2 * BINS:
        return [time, *curves]
    starts = np.linspace(0, len(time), BINS, endpoint=False).astype(int)
    ends = [np.stack([f.reduceat(c, starts) for f in (np.minimum, np.maximum)], axis=1).ravel() for c in curves]
    return [np.repeat(time[starts], 2), *ends]


def torque_figure(found: Torques) -> Figure:
    """One panel a coordinate: torque, its interval, and the other cut-offs' range is in the next figure."""
    shown = min(len(found.names), PANELS)
    columns = 1 if shown <= 3 else 3
    rows = -(-shown // columns)
    figure, axes = panels(10.0, 1.7 * rows + 0.4, rows, columns)
    for k, axis in enumerate(axes.ravel()):
        if k >= shown:
            axis.set_axis_off()
            continue
        time = found.motion.time
        if found.std is not None:
            band = thinned(time, found.lower[:, k], found.upper[:, k])
            axis.fill_between(*band, color=BLUE, alpha=0.25, linewidth=0)
        axis.plot(*thinned(time, found.torque[:, k]), color=INK, linewidth=1.0)
        axis.set_title(f"{found.names[k]} [{found.units[k]}]", fontsize=8)
        axis.tick_params(labelsize=7)
    figure.supxlabel("time [s]", fontsize=8)
    return figure


def sweep_figure(found: Torques) -> Figure:
    """RMS torque over the cut-off, relative to that of the torques reported."""
    assert found.sweep is not None
    figure, axes = panels(6.4, 3.4)
    axis = axes[0, 0]
    own = np.sqrt((found.torque**2).mean(0))
    for k in np.argsort(-own)[:8]:
        if own[k] > 0:
            axis.plot(
                found.sweep.cutoffs, found.sweep.rms[:, k] / own[k], marker="o", markersize=3, label=found.names[k]
            )
    axis.axhline(1.0, color=GREY, linewidth=0.8, linestyle=":")
    axis.set(xlabel="cut-off [Hz]", ylabel="RMS torque / reported")
    axis.legend(frameon=False, fontsize=7, loc="center left", bbox_to_anchor=(1.01, 0.5))
    return figure


def wrench_figure(time: np.ndarray, wrench: np.ndarray, what: str) -> Figure:
    """Forces above, moments below."""
    figure, axes = panels(9.0, 4.2, 2)
    for axis, part, unit in zip(axes[:, 0], (wrench[:, :3], wrench[:, 3:]), ("N", "N m")):
        for values, name, colour in zip(part.T, "xyz", (BLUE, ORANGE, GREEN)):
            axis.plot(*thinned(time, values), color=colour, linewidth=1.0, label=name)
        axis.set_ylabel(f"{what} [{unit}]")
    axes[0, 0].legend(frameon=False, ncols=3, fontsize=8)
    axes[1, 0].set_xlabel("time [s]")
    return figure


def contact_figure(found: Torques) -> Figure:
    """Size of every found contact force."""
    assert found.contacts is not None
    figure, axes = panels(9.0, 3.2)
    sizes = np.linalg.norm(found.contacts.force, axis=2)
    for k, name in enumerate(found.contacts.names):
        axes[0, 0].plot(*thinned(found.motion.time, sizes[:, k]), linewidth=1.0, label=name)
    axes[0, 0].set(xlabel="time [s]", ylabel="contact force [N]")
    axes[0, 0].legend(frameon=False, fontsize=7, ncols=2)
    return figure


def write_torque_report(path: Path, result: dict[str, Any], found: Sequence[Torques]) -> None:
    """One set of sections per recording.

    Args:
        result: what the command prints. found: the torques, in the same order.
    """
    sections = []
    for k, (told, one) in enumerate(zip(result["recordings"], found)):
        sections += _sections(told, one, f"Recording {k}: " if len(found) > 1 else "")
    if result["markers"]:
        fit = result["markers"]
        text = f"RMS over all markers {1e3 * fit['rms']:.1f} mm; {100 * fit['converged']:.0f} % of the steps converged."
        rows = [{"marker": n, "RMS [mm]": 1e3 * r} for n, r in fit["worst"].items()]
        sections.append(Section("Markers", [text], rows))
    loads = f", pushed by {result['grf']}" if result["grf"] else ""
    lead = f"{result['motion']} through {result['model']} ({result['mass']:.2f} kg){loads}."
    if result["remarks"]:
        sections.insert(0, Section("To know first", result["remarks"]))
    foot = "Intervals hold the noise of the recorded positions, not the uncertainty of the model or of measured loads."
    write_report(path, "Torques behind the motion", lead, sections, foot)


def _sections(told: dict[str, Any], found: Torques, prefix: str) -> list[Section]:
    band = (
        f"The band holds {100 * found.level:g} % of the noise in the positions, propagated through the dynamics."
        if found.std is not None
        else "No intervals: this smoother, or found contact forces, give none."
    )
    rows = [
        {
            "coordinate": r["coordinate"],
            "unit": r["unit"],
            "RMS": r["rms"],
            "peak": r["peak"],
            "std": r["std"],
            "cut-off [Hz]": r["cutoff"],
            "noise found [rad, m]": r["noise_std"],
        }
        for r in told["coordinates"]
    ]
    what = f"{told['frames']} frames, {told['seconds']:.2f} s, smoothed by {told['smoother']}. {band}"
    sections = [Section(f"{prefix}Torques", [what], rows, [torque_figure(found)])]
    if told["cutoffs"]:
        text = (
            "How far the torques depend on the cut-off: RMS difference from the torques reported. A torque that keeps "
            "growing with the cut-off is made of noise."
        )
        shown = [(n, f"{n} [{unit}]") for n, unit in zip(found.names[:8], found.units)]
        peaks = [
            {"cut-off [Hz]": c["cutoff"], **{label: c["change"][n] for n, label in shown}} for c in told["cutoffs"]
        ]
        sections.append(Section(f"{prefix}Effect of the cut-off", [text], peaks, [sweep_figure(found)]))
    time = found.motion.time
    if told["residual"] and found.residual is not None:
        text = (
            "What the root needed and nothing provided, world axes. Rule of thumb for human movement (Hicks et al. "
            "2015): peak forces below 5 % of the external force, moments below 1 % of that times the height of the "
            "centre of mass. Percent are of body weight, those of moments of body weight times 1 m."
        )
        figure = wrench_figure(time, found.residual, "residual")
        sections.append(Section(f"{prefix}Residual at the root", [text], told["residual"], [figure]))
    if found.loads is not None:
        figure = wrench_figure(time, found.loads.total, "load")
        text = "All measured loads together, world axes, moments about the world's origin."
        sections.append(Section(f"{prefix}Measured loads", [text], figures=[figure]))
    if found.contacts is not None:
        text = "No load was measured: contacts were found from height and speed, forces by a friction-cone QP per step."
        sections.append(Section(f"{prefix}Contact forces found", [text], told["contacts"], [contact_figure(found)]))
    replay = told["replay"]
    text = (
        f"Forward dynamics returns the accelerations to {replay['acceleration_error']:.1e} of their peak (of gravity "
        f"where that is greater). Integrated over {replay['horizon']:g} s from {replay['starts']} recorded states "
        "(open loop), the torques land this far from the recording; without them the model goes astray."
    )
    landing = [
        {
            "coordinate": r["coordinate"],
            "unit": "rad" if r["unit"] == "N m" else "m",
            "with torques": r["landing"],
            "without": r["landing_without_torques"],
            "way of the motion": r["travelled"],
        }
        for r in told["coordinates"]
    ]
    sections.append(Section(f"{prefix}Replayed forward", [text], landing))
    return sections
