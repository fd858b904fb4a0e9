"""`invdyn demo`: the main job on an embedded default, from recording to a report."""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from invdyn.cli.options import Flag, settle_threads
from invdyn.cli.output import component_names, note, number, table
from invdyn.errors import ConfigError

if TYPE_CHECKING:
    from invdyn.episodes import Dataset
    from invdyn.verify import Evaluation, OneStep, Predictions

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
    episodes: int = 200
    """Recordings."""
    labelled: int = 10
    """How many of them keep their actions (5 %)."""
    noise: float = 0.05
    """Standard deviation of noise on the expert's actions, as a share of half their range: people are not exact."""
    refine_above: float | None = 0.003
    """Correct inferred actions by replay where the one-step residual is above this; None leaves them as inferred."""
    replayed: int = 40
    """Inferred episodes that are replayed open loop."""
    trials: int = 100
    """Evaluation episodes of each policy, the same starts for all."""
    max_steps: int = 200
    """Steps an evaluation episode may take; the expert needs about 60."""
    fit_updates: int = 3000
    """Training updates of each fold of the inverse model, at most: it stops when episodes left out get no better."""
    updates: int = 4000
    """Training updates of each policy."""
    workers: int = 2
    """Processes for recording and evaluation."""
    seed: int = 0
    """Of everything."""
    out: Path = Path("runs/demo")
    """Folder for all results; replaced when an earlier demo made it."""
    json: Flag = False
    """One JSON object on stdout."""

    def run(self) -> dict[str, Any]:
        from invdyn.actions import InverseConfig
        from invdyn.actions.calibrated import fit_calibrated
        from invdyn.actions.fit import default_trainer
        from invdyn.actions.labeller import label_dataset
        from invdyn.actions.scoring import score_labels
        from invdyn.cli.demo_report import write_demo_report
        from invdyn.decisions import compare_policies
        from invdyn.episodes import open_dataset, write_dataset
        from invdyn.episodes.views import hide
        from invdyn.training import TrainerConfig, save_model
        from invdyn.verify import OneStep, RefineConfig, calibrate_refined, evaluate, predict, replay, resolvable
        from invdyn.verify.metrics import coverage, r2
        from invdyn.worlds import make_world, record

        began = time.monotonic()
        self._claim()
        one, many = make_world(self.task), make_world(self.task, batch=10)

        self._say(began, f"recording {self.episodes} expert episodes of {self.task}")
        seeds = range(self.seed, self.seed + self.episodes)
        recorded = record(many, seeds=seeds, noise=self.noise, workers=self.workers)
        truth = open_dataset(write_dataset(recorded, self.out / "recordings"))
        hidden = range(self.labelled, self.episodes)
        given = open_dataset(write_dataset(hide(truth, ["action"], hidden), self.out / "without-actions"))

        self._say(began, f"fitting the inverse model on the {self.labelled} episodes that keep their actions")
        config = InverseConfig(before=3, after=3)
        settle_threads(given.schema, config.inputs)
        fitted = fit_calibrated(
            given,
            config,
            trainer=default_trainer(self.fit_updates),
            folder=self.out / "inverse-model",
            seed=self.seed,
        )

        self._say(began, f"labelling the other {len(hidden)} episodes, checking each step in the simulator")
        can = resolvable(one, list(given[range(self.labelled)]), horizon=config.after)
        answers = predict(fitted.model, truth[hidden])  # what the model says, before any correction
        tool = OneStep.over(one, given)
        refinement = RefineConfig(goal=1e-4)  # a residual of 1e-4 is a few thousandths of a cause's range here
        refined = None
        if self.refine_above is not None:
            refined = calibrate_refined(fitted.crossed, given, tool, threshold=self.refine_above, config=refinement)
        report = label_dataset(
            given,
            fitted.model,
            self.out / "labelled",
            calibration=fitted.calibration,
            refined_calibration=refined,
            world=one,
            refine_above=self.refine_above,
            refinement=refinement,
            workers=self.workers,
        )
        labelled = open_dataset(report.out)
        score = score_labels(labelled, truth)

        residuals = _residuals(tool, answers, labelled, hidden[: self.replayed])

        self._say(began, f"replaying {self.replayed} inferred episodes from their recorded starts")
        chosen = range(self.labelled, min(self.labelled + self.replayed, self.episodes))
        replays = {
            "inferred, open loop": replay(one, list(labelled[chosen]), "action"),
            "inferred, re-anchored every 10 steps": replay(one, list(labelled[chosen]), "action", every=10),
            "recorded actions (ceiling)": replay(one, list(truth[chosen]), "action"),
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
            tried[name] = evaluate(
                policy, many, starts, max_steps=self.max_steps, stop_on_success=True, workers=self.workers
            )
        one.close()
        many.close()

        kept = can.dims
        rates = {name: e.success_rate.rate for name, e in tried.items()}
        lower, upper = fitted.calibration.interval(answers.point, answers.spread)
        final = fitted.calibration if refined is None else refined
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
            "before_refinement": {
                "action_r2_per_dim": r2(answers.truth, answers.point),
                "interval_coverage": coverage(answers.truth, lower, upper, episode=answers.episode).overall,
                "interval_width_per_dim": (upper - lower).mean(0),
                "residual_median": float(np.median(np.concatenate(residuals["before"]))),
            },
            "interval_width_per_dim": (score.upper - score.lower).mean(0),
            "residual_median": float(np.median(np.concatenate(residuals["after"]))),
            "seed": self.seed,
            "report": str(self.out / "report.html"),
        }
        curve = final.curve(answers.truth, score.value, answers.spread)
        write_demo_report(result, truth, labelled, score, final.guarantee, curve, replays, tried)
        return result

    def _claim(self) -> None:
        """Take the output folder; only one that an earlier demo made is replaced."""
        if not 2 <= self.labelled < self.episodes:
            raise ConfigError(
                f"--labelled is {self.labelled}, expected at least 2 and fewer than --episodes {self.episodes}."
            )
        mark = self.out / ".invdyn-demo"
        if self.out.exists() and any(self.out.iterdir()):
            if not mark.exists():
                raise ConfigError(f"{self.out} is not empty and no demo made it. Choose another --out.")
            shutil.rmtree(self.out)
        self.out.mkdir(parents=True, exist_ok=True)
        mark.touch()

    def _say(self, began: float, what: str) -> None:
        note(f"[{time.monotonic() - began:4.0f} s] {what}")

    def show(self, result: dict[str, Any]) -> None:
        hidden = ("report", "seed", "before_refinement")
        table([{"figure": k, "value": number(_listed(v))} for k, v in result.items() if k not in hidden])
        print("before correction by replay:")
        table([{"figure": k, "value": number(_listed(v))} for k, v in result["before_refinement"].items()])
        print(f"report: {result['report']}    everything else: {self.out}/")

    def exit_code(self, result: Any) -> int:
        return 0


def _listed(value: Any) -> Any:
    return value.tolist() if hasattr(value, "tolist") else value


def _residuals(tool: OneStep, answers: Predictions, labelled: Dataset, episodes: range) -> dict[str, list[np.ndarray]]:
    """Normalised one-step residuals of inferred causes, before and after correction, of some episodes."""
    found: dict[str, list[np.ndarray]] = {"before": [], "after": []}
    for place, index in enumerate(episodes):
        episode, rows = labelled[index], answers.episode == place
        steps = answers.step[rows]
        values = np.full((episode.length, answers.point.shape[1]), np.nan)
        values[steps] = answers.point[rows]
        found["before"].append(tool.residual(episode, values)[steps])
        found["after"].append(np.asarray(episode["label.action.residual"].values, float)[steps])
    return found
