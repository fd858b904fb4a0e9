"""`invdyn demo`: the main job on an embedded default, from recording to a report."""

from __future__ import annotations

import functools
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from invdyn.cli.output import component_names, note, number, table
from invdyn.errors import ConfigError

if TYPE_CHECKING:
    from invdyn.actions.scoring import LabelScore
    from invdyn.episodes import Dataset
    from invdyn.verify import Evaluation, ReplayResult

__all__ = ["Demo"]

EVALUATION_SEED = 1_000_000
"""First seed of the evaluation: far from those of the recordings, so every start is new."""


@dataclass(frozen=True)
class Demo:
    """The main job in a few minutes: record an expert, hide 95 % of its actions, infer them, check, train, compare.

    Everything it makes stays in `--out`: the recordings with and without actions, the model, the labelled dataset, the
    policies, and `report.html`.
    """

    task: str = "metaworld/pick-place-v3"
    """World with a scripted expert."""
    episodes: int = 400
    """Recordings."""
    labelled: int = 20
    """How many of them keep their actions (5 %)."""
    noise: float = 0.05
    """Standard deviation of noise on the expert's actions, as a share of half their range: people are not exact."""
    refine_above: float | None = 0.05
    """Correct inferred actions by replay where the one-step residual is above this; None leaves them as inferred."""
    replayed: int = 40
    """Inferred episodes that are replayed open loop."""
    trials: int = 100
    """Evaluation episodes of each policy, the same starts for all."""
    updates: int = 4000
    """Training updates of each policy."""
    workers: int = 2
    """Processes for recording and evaluation."""
    seed: int = 0
    """Of everything."""
    out: Path = Path("runs/demo")
    """Folder for all results; replaced when an earlier demo made it."""
    json: bool = False
    """One JSON object on stdout."""

    def run(self) -> dict[str, Any]:
        from invdyn.actions import InverseConfig, label_dataset
        from invdyn.actions.calibrated import fit_calibrated
        from invdyn.actions.scoring import score_labels
        from invdyn.decisions import compare_policies
        from invdyn.episodes import open_dataset, write_dataset
        from invdyn.episodes.views import hide
        from invdyn.training import TrainerConfig, save_model
        from invdyn.verify import evaluate, replay, resolvable
        from invdyn.worlds import make_world, record

        began = time.monotonic()
        self._claim()
        one = functools.partial(make_world, self.task)
        many = functools.partial(make_world, self.task, batch=10)

        self._say(began, f"recording {self.episodes} expert episodes of {self.task}")
        seeds = range(self.seed, self.seed + self.episodes)
        recorded = record(many, seeds=seeds, noise=self.noise, workers=self.workers)
        truth = open_dataset(write_dataset(recorded, self.out / "recordings"))
        hidden = range(self.labelled, self.episodes)
        given = open_dataset(write_dataset(hide(truth, ["action"], hidden), self.out / "without-actions"))

        self._say(began, f"fitting the inverse model on the {self.labelled} episodes that keep their actions")
        config = InverseConfig(before=3, after=3, ensemble=5)
        fitted = fit_calibrated(given, config, folder=self.out / "inverse-model", seed=self.seed)

        self._say(began, f"labelling the other {len(hidden)} episodes, checking each step in the simulator")
        world = one()
        can = resolvable(world, given[range(self.labelled)])
        raw = score_labels(
            open_dataset(label_dataset(given, fitted.model, self.out / "labelled-raw", calibration=fitted.calibration).out),
            truth,
        )
        report = label_dataset(
            given,
            fitted.model,
            self.out / "labelled",
            calibration=fitted.calibration,
            world=one,
            refine_above=self.refine_above,
            workers=self.workers,
        )
        labelled = open_dataset(report.out)
        score = score_labels(labelled, truth)

        self._say(began, f"replaying {self.replayed} inferred episodes from their recorded starts")
        chosen = range(self.labelled, min(self.labelled + self.replayed, self.episodes))
        replays = {
            "inferred, open loop": replay(world, list(labelled[chosen]), "action"),
            "inferred, re-anchored every 10 steps": replay(world, list(labelled[chosen]), "action", every=10),
            "recorded actions (ceiling)": replay(world, list(truth[chosen]), "action"),
        }

        self._say(began, "training three policies: labelled only, inferred, all true labels")
        policies = compare_policies(
            labelled, truth, trainer=TrainerConfig(steps=self.updates, patience=None), seed=self.seed
        )
        starts = range(EVALUATION_SEED, EVALUATION_SEED + self.trials)
        tried: dict[str, Evaluation] = {}
        for name in ("labelled_only", "inferred", "oracle"):
            self._say(began, f"evaluating the policy '{name.replace('_', ' ')}' from {self.trials} new starts")
            policy = getattr(policies, name).policy
            save_model(policy, self.out / "policies" / name)
            tried[name] = evaluate(policy, many, starts, stop_on_success=True, workers=self.workers)
        world.close()

        kept = can.dims
        rates = {name: e.success_rate.rate for name, e in tried.items()}
        result = {
            "task": self.task,
            "episodes_labelled": self.labelled,
            "episodes_inferred": len(hidden),
            "action_r2": float(score.r2[kept].mean()) if kept.any() else None,
            "action_r2_per_dim": score.r2,
            "resolvable_dims": [n for n, yes in zip(component_names(truth.schema["action"]), kept, strict=True) if yes],
            "interval_coverage": None if score.coverage is None else score.coverage.overall,
            "replay_error_median": replays["inferred, open loop"].median_error(),
            "success_labelled_only": rates["labelled_only"],
            "success_inferred": rates["inferred"],
            "success_oracle": rates["oracle"],
            "ratio_to_oracle": rates["inferred"] / rates["oracle"] if rates["oracle"] else None,
            "seconds": time.monotonic() - began,
            "action_r2_before_refinement": raw.r2,
            "report": str(self.out / "report.html"),
        }
        self._report(result, truth, labelled, score, fitted.calibration, replays, tried)
        return result
