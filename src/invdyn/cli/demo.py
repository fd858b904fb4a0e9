"""`invdyn demo`: the main job on an embedded default, from recording to a report."""

from __future__ import annotations

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
        from invdyn.actions import InverseConfig
        from invdyn.actions.calibrated import fit_calibrated
        from invdyn.actions.labeller import label_dataset
        from invdyn.actions.scoring import score_labels
        from invdyn.decisions import compare_policies
        from invdyn.episodes import open_dataset, write_dataset
        from invdyn.episodes.views import hide
        from invdyn.training import TrainerConfig, save_model
        from invdyn.verify import evaluate, predict, replay, resolvable
        from invdyn.verify.metrics import r2
        from invdyn.verify.refine import RefineConfig
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
        fitted = fit_calibrated(given, config, folder=self.out / "inverse-model", seed=self.seed)

        self._say(began, f"labelling the other {len(hidden)} episodes, checking each step in the simulator")
        can = resolvable(one, list(given[range(self.labelled)]), horizon=config.after)
        answers = predict(fitted.model, truth[hidden])  # what the model says, before any correction
        report = label_dataset(
            given,
            fitted.model,
            self.out / "labelled",
            calibration=fitted.calibration,
            world=one,
            refine_above=self.refine_above,
            # At most eight simulator steps each; the default would add sampling, which costs eight times that.
            refinement=RefineConfig(method="gauss-newton", goal=1e-4),
            workers=self.workers,
        )
        labelled = open_dataset(report.out)
        score = score_labels(labelled, truth)

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
            "action_r2_before_refinement": r2(answers.truth, answers.point),
            "report": str(self.out / "report.html"),
        }
        curve = fitted.calibration.curve(answers.truth, answers.point, answers.spread)
        self._report(result, truth, labelled, score, (fitted.calibration.guarantee, *curve), replays, tried)
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

    def _report(
        self,
        result: dict[str, Any],
        truth: Dataset,
        labelled: Dataset,
        score: LabelScore,
        coverage: tuple[str, np.ndarray, np.ndarray],
        replays: dict[str, ReplayResult],
        tried: dict[str, Evaluation],
    ) -> None:
        from invdyn.cli.figures import causes_figure, coverage_figure, divergence_figure, success_figure
        from invdyn.cli.report import Section, write_report
        from invdyn.episodes.label import Label

        spec = truth.schema["action"]
        names = component_names(spec)
        shown = self.labelled
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
        curves = {}
        for name, outcome in replays.items():
            curve = outcome.curve()
            curves[name] = (curve.q25, curve.median, curve.q75)
        guarantee, levels, measured = coverage
        rates = {
            name.replace("_", " "): (e.success_rate.rate, e.success_rate.lower, e.success_rate.upper)
            for name, e in tried.items()
        }
        unit = next(iter(replays.values())).curve().unit
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
                        "R² after replay correction": float(a),
                        "resolvable": n in result["resolvable_dims"],
                    }
                    for n, a, b in zip(names, score.r2, result["action_r2_before_refinement"], strict=True)
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
                figures=[divergence_figure(curves, unit, 1 / truth.fps)],
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
                        f"Success from {self.trials} new starts, the same for all. With inferred labels: "
                        f"{number(result['ratio_to_oracle'])} of what all true labels give."
                    )
                ],
                rows=[{"policy": n, "success": r, "95 % from": low, "to": high} for n, (r, low, high) in rates.items()],
                figures=[success_figure(rates)],
            ),
        ]
        lead = (
            f"{result['episodes_labelled']} recordings of {self.task} with actions, {result['episodes_inferred']} "
            f"without. Everything below took {result['seconds']:.0f} s."
        )
        write_report(self.out / "report.html", "Actions from observations", lead, sections, f"Seed {self.seed}.")

    def show(self, result: dict[str, Any]) -> None:
        shown = {k: v for k, v in result.items() if k != "report"}
        table([{"figure": k, "value": number(v if not hasattr(v, "tolist") else v.tolist())} for k, v in shown.items()])
        print(f"report: {result['report']}    everything else: {self.out}/")

    def exit_code(self, result: Any) -> int:
        return 0
