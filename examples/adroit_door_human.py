"""What did the glove command? 28 actuator targets of human door openings, inferred, and the door opened again by them.

    python examples/adroit_door_human.py --data recordings/adroit_door_human --out runs/adroit_door_human

First the recorded actions are replayed: how exactly does the simulator repeat the recording? Then half of the episodes
keep their actions, a model infers the others', and those are replayed as inferred and after correction by replay.
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
from invdyn.episodes import open_dataset
from invdyn.episodes.views import hide
from invdyn.verify import OneStep, RefineConfig, ReplayResult, calibrate_refined, replay
from invdyn.verify.metrics import coverage, mae, r2
from invdyn.worlds import make_world, maker

STATE = "observation.state"
JOINTS, HINGE, PALM, OPEN = slice(0, 27), 28, slice(29, 32), 38
"""In the observation: joints and hinge (rad), palm (m), a flag that the world sets beyond 1 rad."""
ABOVE = 0.01
"""Steps with a larger one-step residual are corrected."""


@dataclass(frozen=True)
class Args:
    data: Path
    """Folder with demos.npz."""
    out: Path = Path("runs/adroit_door_human")
    """Folder for the model, the labelled recordings, result.json and replay.png."""
    labelled: int = 10
    """Episodes that keep their recorded actions, drawn at random; 0.9 needs 9 of them."""
    workers: int = 2
    """Processes."""
    seed: int = 0
    """Of the draw, the model and its folds."""
    quick: bool = False
    """Two inferred episodes and little training."""


def main(args: Args) -> dict[str, Any]:
    truth = open_dataset(args.data)
    order = np.random.default_rng(args.seed).permutation(len(truth))
    truth = truth[order[: args.labelled + 2] if args.quick else order]
    rest = range(args.labelled, len(truth))
    given = hide(truth, ["action"], rest)
    world = make_world("adroit/door")

    note("replaying the recorded actions")
    recorded = list(truth[rest])
    replays = {
        "recorded, start at rest": replay(world, recorded, "action"),
        "recorded, start velocity fitted": replay(make_world("adroit/door", start="fitted"), recorded, "action"),
    }

    note(f"fitting on {args.labelled} episodes")
    config, trainer = InverseConfig(width=256, dropout=0.1), default_trainer(300 if args.quick else 3000)
    model = fit_calibrated(given, config, trainer=trainer, folder=args.out / "model", seed=args.seed)
    scores = {}
    # Velocities are not recorded: along the episode the world knows them. A step of 10 ms tells the pull on a joint
    # with a mass only weakly, so the model keeps a say (`noise`, chosen on the labelled episodes).
    along = RefineConfig(along=True, method="gauss-newton", noise=0.1)
    tool = OneStep.over(world, given)
    corrected = calibrate_refined(model.crossed, given, tool, threshold=ABOVE, config=along)
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
        labelled = open_dataset(report.out)
        score = score_labels(labelled, truth)
        # Recorded commands reach 1.37; what lies beyond the actuators' range is clipped and leaves no trace.
        done = np.clip(score.truth, -1, 1)
        per_dim = r2(done, score.value)
        unexplained = ((done - score.value) ** 2).sum() / ((done - done.mean(0)) ** 2).sum()
        scores[name] = {
            "R2, all together": float(1 - unexplained),
            "R2, mean of 28": float(per_dim.mean()),
            "R2, median of 28": float(np.median(per_dim)),
            "MAE": float(mae(done, score.value).mean()),
            "coverage at 0.9": coverage(done, score.lower, score.upper, episode=score.episode).overall,
            "R2 per actuator": dict(zip(truth.schema["action"].names or (), map(float, per_dim), strict=True)),
        }
        replays[name] = replay(world, list(labelled[rest]), "action")

    opened = np.array([e[STATE].values[:, HINGE].max() for e in recorded])
    rows = [row(name, result, opened, scores.get(name, {})) for name, result in replays.items()]
    table(({k: v for k, v in r.items() if k != "R2 per actuator"} for r in rows), list(rows[-1])[:-1])
    figure(replays, truth.fps).savefig(args.out / "replay.png", dpi=120)
    result = {"labelled": args.labelled, "inferred": len(rest), "seed": args.seed, "rows": rows}
    (args.out / "result.json").write_text(json.dumps(result, indent=2))
    return result


def row(name: str, result: ReplayResult, opened: np.ndarray, scores: dict[str, Any]) -> dict[str, Any]:
    """Divergence of an open-loop replay, and whether the door opened as it did for the human."""
    gaps = np.concatenate([e[1:] for e in result.errors[STATE]])
    seen = [np.nanmax(s, axis=0) for s in result.seen[STATE]]
    hinge = np.array([s[HINGE] for s in seen])
    return {
        "actions": name,
        "joints, median [rad]": float(np.nanmedian(gaps[:, JOINTS])),
        "joints, 95 % [rad]": float(np.nanquantile(gaps[:, JOINTS], 0.95)),
        "palm, median [m]": float(np.nanmedian(gaps[:, PALM])),
        "hinge, median [rad]": float(np.nanmedian(gaps[:, HINGE])),
        "opened beyond 1 rad": float(np.mean([s[OPEN] > 0 for s in seen])),
        "as far as the human, to 0.1 rad": float((np.abs(hinge - opened) < 0.1).mean()),
        **scores,
    }


def figure(replays: dict[str, ReplayResult], fps: float) -> Figure:
    """Divergence of the replays over time: median over episodes and joints."""
    made = Figure(figsize=(8, 3.5), layout="constrained")
    FigureCanvasAgg(made)
    axis = made.subplots()
    for name, result in replays.items():
        joints = [e[:, JOINTS] for e in result.errors[STATE]]
        steps = np.arange(max(map(len, joints)))
        axis.plot(steps / fps, [np.nanmedian([e[t] for e in joints if t < len(e)]) for t in steps], label=name)
    axis.set(xlabel="time since the recorded start [s]", ylabel="joints, open loop [rad]", yscale="log")
    axis.legend(frameon=False)
    return made


if __name__ == "__main__":
    script(main, Args)
