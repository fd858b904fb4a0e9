"""Where did the human point the mouse? Targets of human Push-T, inferred from a few episodes, checked in gym-pusht.

    python examples/pusht_human.py --data recordings/pusht_human --out runs/pusht_human

20 of 180 episodes keep their recorded targets. A model learns from those, labels the other 160, and every answer is
replayed from the recorded start; then the answers are corrected by replay and compared again.
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
from invdyn.actions.scoring import score_labels
from invdyn.cli.output import note, table
from invdyn.cli.script import script
from invdyn.episodes import Dataset, Label, open_dataset
from invdyn.episodes.views import hide, select_signals
from invdyn.verify import OneStep, RefineConfig, ReplayResult, calibrate_refined, replay
from invdyn.worlds import make_world, maker

SHARE_OF_GOAL = 0.95
"""The world's reward is the covered share of the goal, divided by this."""
ABOVE = 1e-4
"""Steps with a larger one-step residual are corrected."""


@dataclass(frozen=True)
class Args:
    data: Path
    """Folder with pusht_lowdim*.npz."""
    out: Path = Path("runs/pusht_human")
    """Folder for the model, the labelled recordings, result.json and replay.png."""
    labelled: int = 20
    """Episodes that keep their recorded targets, drawn at random."""
    level: float = 0.9
    """Coverage of the intervals; few episodes support lower levels only."""
    workers: int = 2
    """Processes for labelling."""
    seed: int = 0
    """Of the draw, the model and its folds."""
    quick: bool = False
    """16 episodes and little training."""


def main(args: Args) -> dict[str, Any]:
    truth = select_signals(open_dataset(args.data), ["observation.state", "action"])
    order = np.random.default_rng(args.seed).permutation(len(truth))
    truth = truth[order[:16] if args.quick else order]
    labelled = min(args.labelled, 10) if args.quick else args.labelled
    rest = range(labelled, len(truth))
    given = hide(truth, ["action"], rest)

    note(f"fitting on {labelled} episodes")
    # The disc's velocity was not recorded: it follows from the positions of the last steps (its trace of the unknown
    # start shrinks to 0.4 each step, so 4 steps leave 2 %).
    config = InverseConfig(before=4, after=4)
    trainer = default_trainer(300 if args.quick else 3000)
    model = fit_calibrated(given, config, trainer=trainer, level=args.level, folder=args.out / "model", seed=args.seed)

    world = make_world("pusht")
    # From the recorded start along the episode: the world itself then knows the velocities. Contact bends the effect
    # of a target, so derivatives are taken over 0.5 % of the range, and updated more often than usual.
    along = RefineConfig(along=True, method="gauss-newton", iterations=6, perturbation=0.005)
    sets: dict[str, Dataset] = {"recorded": truth}
    note("correcting what was said about episodes left out, for the intervals of corrected targets")
    tool = OneStep.over(world, given)
    corrected = calibrate_refined(model.crossed, given, tool, threshold=ABOVE, config=along, level=args.level)
    for name, above, intervals in (("inferred", None, None), ("refined", ABOVE, corrected)):
        note(f"labelling {len(rest)} episodes, {name}")
        report = label_dataset(
            given,
            model.model,
            args.out / name,
            calibration=model.calibration,
            refined_calibration=intervals,
            world=maker(world),
            refine_above=above,
            refinement=along,
            workers=args.workers,
        )
        sets[name] = open_dataset(report.out)

    note("replaying")
    rows, replays = [], {}
    for name, data in sets.items():
        episodes = list(data[rest])
        open_loop, anchored = (replay(world, episodes, "action", every=k) for k in (None, 10))
        replays[name] = open_loop
        row: dict[str, Any] = {"targets": name}
        if name != "recorded":
            score = score_labels(data, truth)
            residual = np.concatenate([Label.of(e, "action").residual for e in episodes])
            row |= {
                "R2": float(score.r2.mean()),
                "1 - R2": float(1 - score.r2.mean()),
                "MAE [px]": float(score.mae.mean()),
                f"coverage at {args.level:g}": None if score.coverage is None else score.coverage.overall,
                "one-step residual": float(np.nanmedian(residual)),
            }
        final = open_loop.final_error()
        row |= {
            "open loop, median [px]": open_loop.median_error(),
            "every 10 steps [px]": anchored.median_error(),
            "final error [px]": float(np.median(final)),
            "ends within 1 px": float((final < 1).mean()),
            "goal covered, mean": float((SHARE_OF_GOAL * open_loop.best_reward).mean()),
            "success": float(open_loop.success.mean()),
        }
        rows.append(row)
    world.close()

    columns = list(dict.fromkeys(key for row in rows[::-1] for key in row))
    table({"targets": c, **{r["targets"]: r.get(c) for r in rows}} for c in columns[1:])
    figure(replays, truth.fps).savefig(args.out / "replay.png", dpi=120)
    result = {"labelled": labelled, "inferred": len(rest), "seed": args.seed, "rows": rows}
    (args.out / "result.json").write_text(json.dumps(result, indent=2))
    return result


def figure(replays: dict[str, ReplayResult], fps: float) -> Figure:
    """Divergence of the replays over time: median and quartiles over episodes."""
    made = Figure(figsize=(8, 3.5), layout="constrained")
    FigureCanvasAgg(made)
    axis = made.subplots()
    for (name, result), colour in zip(replays.items(), ("#222222", "#D55E00", "#0072B2"), strict=True):
        curve = result.curve()
        axis.fill_between(curve.step / fps, curve.q25, curve.q75, color=colour, alpha=0.15, linewidth=0)
        axis.plot(curve.step / fps, curve.median, color=colour, label=name)
    axis.set(xlabel="time since the recorded start [s]", ylabel="divergence, open loop [px]", yscale="log")
    axis.legend(frameon=False)
    return made


if __name__ == "__main__":
    script(main, Args)
