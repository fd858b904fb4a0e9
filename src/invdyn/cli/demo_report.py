"""The report of `invdyn demo`: inferred actions, how they replay, whether intervals hold, and policies."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from invdyn.cli.figures import causes_figure, coverage_figure, divergence_figure, success_figure
from invdyn.cli.output import component_names, number
from invdyn.cli.report import Section, write_report
from invdyn.episodes.label import Label

if TYPE_CHECKING:
    from invdyn.actions.scoring import LabelScore
    from invdyn.episodes import Dataset
    from invdyn.verify import Evaluation, ReplayResult

__all__ = ["write_demo_report"]


def write_demo_report(
    result: Mapping[str, Any],
    truth: Dataset,
    labelled: Dataset,
    score: LabelScore,
    guarantee: str,
    curve: tuple[np.ndarray, np.ndarray],
    replays: Mapping[str, ReplayResult],
    tried: Mapping[str, Evaluation],
) -> None:
    """Write `result["report"]`.

    Args:
        result: what the command returns.
        truth, labelled: the recordings with all their actions, and as labelled.
        score, guarantee, curve: of the labels; their intervals' promise; (levels, measured coverage per dimension).
        replays, tried: by name.
    """
    spec = truth.schema["action"]
    names = component_names(spec)
    shown = result["episodes_labelled"]
    label = Label.of(labelled[shown], "action")
    rows = slice(0, labelled[shown].length - 1)
    actions = causes_figure(
        truth[shown].timestamp[rows],
        np.asarray(truth[shown]["action"].values, float)[rows],
        label.value[rows],
        label.lower[rows],
        label.upper[rows],
        names=names,
        unit=spec.unit,
    )
    curves = {name: outcome.curve() for name, outcome in replays.items()}
    bands = {name: (c.q25, c.median, c.q75) for name, c in curves.items()}
    levels, measured = curve
    rates = {
        name.replace("_", " "): (e.success_rate.rate, e.success_rate.lower, e.success_rate.upper)
        for name, e in tried.items()
    }
    unit = next(iter(curves.values())).unit
    before = result["before_refinement"]
    trials = next(iter(tried.values())).success_rate.episodes
    sections = [
        Section(
            "Actions nobody recorded",
            [
                (
                    f"Episode {shown}, one of {result['episodes_inferred']} whose actions the model never saw. "
                    f"Mean R² over the resolvable dimensions: {number(result['action_r2'])}."
                )
            ],
            rows=[
                {
                    "dimension": n,
                    "R² inferred": float(b),
                    "R² corrected by replay": float(a),
                    "interval width inferred": float(wide),
                    "interval width corrected": float(narrow),
                    "resolvable": n in result["resolvable_dims"],
                }
                for n, a, b, narrow, wide in zip(
                    names,
                    score.r2,
                    before["action_r2_per_dim"],
                    result["interval_width_per_dim"],
                    before["interval_width_per_dim"],
                    strict=True,
                )
            ],
            figures=[actions],
        ),
        Section(
            "Replayed in the simulator",
            [
                (
                    "The inferred actions, applied from the recorded start. Open loop, errors add up as they would "
                    "on a robot; re-anchored, they show the local error. The recorded actions are the ceiling."
                ),
            ],
            rows=[
                {"replay": n, f"median error [{unit}]": r.median_error(), "task solved": float(r.success.mean())}
                for n, r in replays.items()
            ],
            figures=[divergence_figure(bands, unit, 1 / truth.fps)],
        ),
        Section(
            "Do the intervals hold?",
            [
                (
                    f"At 0.9 they contain {number(result['interval_coverage'])} of the true actions of episodes "
                    f"the model never saw. {guarantee}"
                )
            ],
            figures=[coverage_figure(levels, measured, names)],
        ),
        Section(
            "Three policies",
            [
                (
                    f"Success from {trials} new starts, the same for all. With inferred labels: "
                    f"{number(result['ratio_to_oracle'])} of what all true labels give."
                )
            ],
            rows=[{"policy": n, "success": r, "95 % from": low, "to": high} for n, (r, low, high) in rates.items()],
            figures=[success_figure(rates)],
        ),
    ]
    lead = (
        f"{result['episodes_labelled']} recordings of {result['task']} with actions, {result['episodes_inferred']} "
        f"without. Everything below took {result['seconds']:.0f} s."
    )
    write_report(Path(result["report"]), "Actions from observations", lead, sections, f"Seed {result['seed']}.")
