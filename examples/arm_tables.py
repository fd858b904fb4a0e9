"""Tables and figure of `arm_inverse_dynamics.py`, from its comparison.json alone.

python examples/arm_tables.py results/arms
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

__all__ = ["draw", "grid", "markdown"]

ORDER = (
    "linear",
    "kernel ridge",
    "network",
    "GP, plain kernel",
    "GP, arm kernel",
    "Lagrangian network",
    "rigid body",
    "rigid body + network",
    "stack",
)


def spread(values: np.ndarray) -> str:
    """Mean over seeds, with the standard deviation where there are several."""
    return f"{values.mean():.4f}" + (f" ± {values.std(ddof=1):.4f}" if len(values) > 1 else "")


def grid(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def markdown(result: dict[str, Any]) -> str:
    """All tables: means over joints by model and arm, coverage, and the joints of every arm."""
    arms = result["arms"]
    models = [m for m in ORDER if any(m in found["models"] for found in arms.values())]
    best = {a: min(np.mean(row["nMSE"]) for row in found["models"].values()) for a, found in arms.items()}
    means, covered = [], []
    for model in models:
        line, inside = [model], [model]
        for name, found in arms.items():
            row = found["models"].get(model)
            text = "" if row is None else spread(np.array(row["nMSE"]).mean(1))
            line.append(f"**{text}**" if row and np.mean(row["nMSE"]) == best[name] else text)
            inside.append(f"{np.mean(row['coverage']):.3f}" if row and "coverage" in row else "")
        means.append(line)
        if any(inside[1:]):
            covered.append(inside)
    seeds = f"{result['seeds']} seeds" if result["seeds"] > 1 else "one seed"
    text = f"nMSE, mean over joints ± standard deviation over {seeds} where a model draws at random. Best in bold.\n\n"
    text += grid(["model", *arms], means)
    text += f"\nShare of test torques inside intervals of {result['level']}, mean over joints, first seed.\n\n"
    text += grid(["model", *arms], covered)
    for name, found in arms.items():
        joints = len(next(iter(found["models"].values()))["nMSE"][0])
        text += (
            f"\n`{name}`: {found['train rows']} training rows, {found['test rows']} test rows; nMSE of each joint.\n\n"
        )
        own = {m: found["models"][m] for m in models if m in found["models"]}
        rows = [[m, *(f"{e:.4f}" for e in np.mean(row["nMSE"], 0))] for m, row in own.items()]
        rows += [[m, *(f"{e:.3f}" for e in errors)] for m, errors in found["others"].items()]
        text += grid(["model", *(f"joint {j + 1}" for j in range(joints))], rows)
        if "full set, joint 1" in found:
            told = ", ".join(f"{k} {v}" for k, v in found["full set, joint 1"].items())
            text += f"\nTrained on the full set of 44,484 rows, joint 1, not comparable: {told}.\n"
    return text


def draw(arms: dict[str, Any]) -> Figure:
    """nMSE, a panel per arm: dots are means over joints, one per seed, dashes the joints."""
    made = Figure(figsize=(2.5 * len(arms) + 0.5, 4), layout="constrained")
    FigureCanvasAgg(made)
    for axis, (name, found) in zip(made.subplots(1, len(arms), squeeze=False)[0], arms.items(), strict=True):
        own = [m for m in ORDER if m in found["models"]]
        for k, row in enumerate(found["models"][m] for m in own):
            errors = np.array(row["nMSE"])
            axis.semilogy([k] * errors.shape[1], errors.mean(0), "_", color="#999999", markersize=9)
            axis.semilogy([k] * len(errors), errors.mean(1), "o", color="#204080", markersize=4)
        axis.set_xticks(range(len(own)), own, rotation=90, fontsize=8)
        axis.set_title(name, fontsize=9)
        axis.tick_params(axis="y", labelsize=8)
        axis.grid(axis="y", color="#eeeeee")
    made.supylabel("nMSE (dots: mean of joints, per seed; dashes: joints)", fontsize=8)
    return made


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    given = json.loads((folder / "comparison.json").read_text())
    (folder / "comparison.md").write_text(markdown(given))
    draw(given["arms"]).savefig(folder / "comparison.png", dpi=120)
