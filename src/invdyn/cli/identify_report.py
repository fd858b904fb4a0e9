"""The HTML report of `invdyn identify`: torque errors, predictions, parameters with intervals, the replay forward."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from invdyn.cli.report import Section, write_report
from invdyn.studies.drawing import BLUE, GREY, INK, ORANGE, panels

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from invdyn.forces.identification.identify import Identified

__all__ = ["parameters_figure", "torques_figure", "write_identify_report"]

SHOWN = 3000
"""Samples drawn at most."""


def torques_figure(found: Identified) -> Figure:
    """Measured torque, the identified model's and the given one's, on the longest recording held out (or fitted)."""
    recordings, predictions = (found.test, found.held) if found.test else (found.train, found.fitted)
    at = max(range(len(recordings)), key=lambda i: len(recordings[i].time))
    r = recordings[at]
    rows = slice(None, None, max(1, len(r.time) // SHOWN))
    nv = len(found.moving)
    columns = 1 if nv <= 3 else 2
    figure, axes = panels(10.0, 1.9 * -(-nv // columns) + 0.5, -(-nv // columns), columns)
    for j, axis in enumerate(axes.ravel()):
        if j >= nv:
            axis.set_axis_off()
            continue
        axis.plot(r.time[rows], r.tau[rows, j], color=INK, linewidth=0.9, label="measured")
        for name, colour in (("given", GREY), ("identified", ORANGE)):
            if name in predictions:
                axis.plot(r.time[rows], predictions[name].torque[at][rows, j], color=colour, linewidth=0.9, label=name)
        axis.set_title(f"{found.estimate.joints[j]} [{found.units[j]}]", fontsize=8)
        axis.tick_params(labelsize=7)
    axes.ravel()[0].legend(frameon=False, ncols=3, fontsize=7)
    figure.supxlabel("time [s]", fontsize=8)
    return figure


def parameters_figure(result: dict[str, Any]) -> Figure:
    """Standard deviation of every base parameter as a part of its value."""
    rows = [r for r in result["base_parameters"] if r["relative_std"]]
    parts = np.sort([r["relative_std"] for r in rows])
    figure, axes = panels(6.4, 3.0)
    axis = axes[0, 0]
    axis.semilogy(np.arange(1, len(parts) + 1), parts, "o", color=BLUE, markersize=3)
    axis.axhline(0.1, color=GREY, linewidth=0.8, linestyle=":", label="a tenth: poorly told")
    axis.set(xlabel="base parameters, best told first", ylabel="standard deviation / value")
    axis.legend(frameon=False, fontsize=8)
    return figure


def write_identify_report(path: Path, result: dict[str, Any], found: Identified) -> None:
    """Args:
    result: what the command prints. found: what it is made of.
    """
    errors = (
        f"{result['samples']['fitted']} samples were fitted, {result['samples']['held out']} held out. RMS in N m, N; "
        "nMSE over the variance of the measured torque. Given: the model file as it is; given, friction fitted: its "
        "bodies, and friction fitted on the same samples."
    )
    told = (
        f"Torque tells {result['rank']} combinations of the parameters (condition {result['condition']:.3g}). "
        f"Intervals hold {100 * result['level']:g} %, by the scatter of {found.base.blocks} blocks of time."
    )
    names = ("parameter", "value", "least_squares", "std", "lower", "upper", "relative_std")
    base = [{k: r[k] for k in names} for r in result["base_parameters"]]
    sections = [
        Section("Torque error", [errors], result["errors"], [torques_figure(found)]),
        Section("Base parameters", [told], base, [parameters_figure(result)]),
        Section("Bodies", [_bodies_text(found)], _bodies(found)),
    ]
    friction = found.estimate.friction
    if friction.names:
        rows = [
            {"joint": name} | {n: float(v) for n, v in zip(friction.names, row)}
            for name, row in zip(found.estimate.joints, found.estimate.coefficients)
        ]
        tried = [{"setting": n, "nMSE of blocks left out, mean": s} for n, s in found.scores.items()]
        sections.append(Section("Friction and rotors", ["N m, N m s, kg m^2 (N, N s, kg)."], rows))
        if tried:
            sections.append(Section("Friction settings tried", ["On blocks left out of the fitted part."], tried))
    smoothed = [{"setting": n, "nMSE of blocks left out": e} for n, e in result["smoothing"]["scores"].items()]
    if smoothed:
        text = "Too high a cut-off keeps noise in the acceleration, and inertias come out too small; torque tells."
        sections.append(Section("Smoothing tried", [text], smoothed))
    replay = result["replay"]
    rows = [
        {"joint": name, "the recording moves by": replay["still"][j] if replay["still"] else None}
        | {f"{model} lands off by": off[j] for model, off in replay["rmse"].items()}
        for j, name in enumerate(found.estimate.joints)
    ]
    told_replay = [
        f"The motion is integrated for {replay['horizon']:g} s from recorded states under the recorded torques.",
        "Open loop; RMS over the way, rad or m.",
        *(f"{name}: not replayed. {why}" for name, why in replay["failed"].items()),
    ]
    sections.append(Section("Replayed forward", told_replay, rows))
    lead = f"{', '.join(result['motion'])} through {result['model']}, by {result['method']}."
    foot = "Intervals hold noise of the torque, not errors of the model's lengths, axes or of the friction's form."
    write_report(path, "Parameters behind motion and torque", lead, sections, foot)


def _bodies_text(found: Identified) -> str:
    if found.settings.method in ("ols", "wls"):
        return (
            "One point among those that explain torque equally well; least squares does not ask whether it can exist."
        )
    told = "Every body can exist. What torque does not tell "
    return told + ("stays near the given model." if found.given is not None else "is the fit's own choice.")


def _bodies(found: Identified) -> list[dict[str, Any]]:
    """Mass and centre of mass, before and after."""
    from invdyn.bodies.model import Inertia

    rows = []
    for body, ten, fine in zip(found.model.bodies, found.estimate.inertial.reshape(-1, 10), found.real):
        new = Inertia.from_parameters(ten)
        rows.append(
            {
                "body": body.name,
                "mass given [kg]": body.inertia.mass,
                "found [kg]": new.mass,
                "centre given [m]": list(body.inertia.com),
                "centre found [m]": list(new.com),
                "can exist": bool(fine),
            }
        )
    return rows
