"""What did the operator command? Teleoperated Sawyer and Panda arms: a recording cut in pieces, half of them labelled.

    python examples/robosuite_human.py --data recordings/robosuite_human --out runs/robosuite_human

Each task has one or two long recordings only, so pieces of them stand for episodes. Intervals then count pieces of the
same recordings: they hold for more of the same operator and task, not for others. No replay: the simulator version of
these recordings is not at hand.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from invdyn.actions import InverseConfig, label_dataset
from invdyn.actions.calibrated import fit_calibrated
from invdyn.actions.fit import default_trainer
from invdyn.actions.scoring import LabelScore, score_labels
from invdyn.cli.output import note, table
from invdyn.cli.script import script
from invdyn.episodes import Dataset, Episode, Signal, open_dataset
from invdyn.episodes.views import hide

TASKS = (
    "v0.3_SawyerLift",
    "v0.3_SawyerStack",
    "v1.0_lift_panda",
    "v1.0_stack_panda",
    "v1.0_pick-place_panda",
    "v1.0_door_panda",
    "v1.0_wipe_panda",
)
"""Those with recorded actions. v0.3: joint velocity commands, 100 Hz; v1.0: steps of the hand's pose, 20 Hz."""


@dataclass(frozen=True)
class Args:
    data: Path
    """Folder with the folders of the tasks."""
    out: Path = Path("runs/robosuite_human")
    """Folder for models, labelled pieces, result.json and actions.png."""
    pieces: int = 24
    """Pieces per task; half of them keep their actions, and 0.9 needs 9 of those."""
    seed: int = 0
    """Of the draw, the model and its folds."""
    quick: bool = False
    """Two tasks and little training."""


def main(args: Args) -> dict[str, Any]:
    rows, shown = [], {}
    for task in (TASKS[0], TASKS[2]) if args.quick else TASKS:
        note(f"{task}: fitting on {args.pieces // 2} pieces, labelling the rest")
        truth = cut(open_dataset(args.data / task), args.pieces, args.seed)
        given = hide(truth, ["action"], range(args.pieces // 2, len(truth)))
        folder = args.out / task
        trainer = default_trainer(300 if args.quick else 3000)
        model = fit_calibrated(given, InverseConfig(), trainer=trainer, folder=folder / "model", seed=args.seed)
        report = label_dataset(given, model.model, folder / "labelled", calibration=model.calibration)
        score = score_labels(open_dataset(report.out), truth)
        shown[task] = score
        error, spread = score.value - score.truth, score.truth - score.truth.mean(0)
        rows.append(
            {
                "task": task,
                "steps": score.steps,
                # Actions share one unit (shares of the range), so their variances may be added.
                "R2, all": float(1 - (error**2).sum() / (spread**2).sum()),
                "R2, median": float(np.nanmedian(score.r2)),
                "MAE": float(score.mae.mean()),
                "coverage at 0.9": None if score.coverage is None else score.coverage.overall,
                "R2 per action": [float(v) for v in score.r2],
                "std per action": [float(v) for v in score.truth.std(0)],
            }
        )
    table(rows, list(rows[0])[:-2])
    figure(shown).savefig(args.out / "actions.png", dpi=120)
    result = {"pieces": args.pieces, "seed": args.seed, "rows": rows}
    (args.out / "result.json").write_text(json.dumps(result, indent=2))
    note(f"everything is in {args.out}")
    return result


def cut(data: Dataset, pieces: int, seed: int) -> Dataset:
    """The recordings of a task in pieces of about equal length, shuffled; states and actions only."""
    names, made = ("observation.state", "action"), []
    length = -(-data.frames // pieces)
    for episode in data:
        count = max(1, round(episode.length / length))
        for rows in np.array_split(np.arange(episode.length), count):
            part = slice(int(rows[0]), int(rows[-1]) + 1)
            signals = [Signal(episode[name].spec, episode[name].values[part]) for name in names]
            made.append(Episode.from_signals(signals, fps=data.fps))
    return Dataset.from_episodes(made)[np.random.default_rng(seed).permutation(len(made))]


def figure(scores: dict[str, LabelScore]) -> Figure:
    """Recorded against inferred actions, one panel per task."""
    made = Figure(figsize=(2.2 * len(scores), 2.6), layout="constrained")
    FigureCanvasAgg(made)
    for axis, (task, score) in zip(made.subplots(1, len(scores), squeeze=False)[0], scores.items(), strict=True):
        axis.plot([-1, 1], [-1, 1], color="#999999", linewidth=0.8)
        axis.plot(score.truth, score.value, ".", markersize=1.5, alpha=0.4)
        axis.set_title(task, fontsize=8)
        axis.set(xlabel="recorded", ylabel="inferred", aspect="equal")
    return made


if __name__ == "__main__":
    script(main, Args)
