"""`invdyn fit DATA --out MODEL`: an inverse model from the episodes whose causes are known."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import tyro

from invdyn.actions import InverseConfig
from invdyn.actions.fit import default_trainer
from invdyn.cli.options import Flag, claim_run, open_recordings, run_identity, settle_threads, trainer_of
from invdyn.cli.output import component_names, table
from invdyn.cli.selection import parse_episodes
from invdyn.training import TrainerConfig

if TYPE_CHECKING:
    from invdyn.actions.calibrated import CalibratedInverse
    from invdyn.episodes import Dataset

__all__ = ["Fit"]


@dataclass(frozen=True)
class Fit:
    """Fit an inverse model on the labelled episodes, score it on episodes left out, calibrate its intervals.

    Every labelled episode is left out once (in `--folds` groups): the errors on it give the score and the width of the
    intervals. The models of all folds together are the model that is kept.
    """

    resumes: ClassVar[bool] = True

    data: tyro.conf.Positional[Path]
    """Recordings, some of them with the cause."""
    out: Path
    """Folder for the model; an interrupted run with the same settings continues."""
    episodes: str = "all"
    """Use only these episodes (labelled or not): `all`, `0:20`, ..."""
    model: InverseConfig = field(default_factory=InverseConfig)
    """The model."""
    trainer: TrainerConfig = field(default_factory=default_trainer)
    """The training. Models of images take 600 updates of 64 windows where nothing else is said: theirs cost more."""
    ema: float | None = None
    """Keep the average of the weights with this decay (say 0.999); None keeps the weights themselves."""
    level: float = 0.9
    """Coverage of the intervals."""
    folds: int = 5
    """Groups of labelled episodes left out in turn."""
    seed: int = 0
    """Of weights, batches and folds."""
    format: str | None = None
    """Format of the recordings, where it is not found by itself: `csv`, `parquet`, `npz`, `minari`, ..."""
    read: tuple[str, ...] = ()
    """Options of the format's reader, e.g. `fps=50 nan=mask`."""
    json: Flag = False
    """One JSON object on stdout."""

    def run(self) -> dict[str, Any]:
        from invdyn.training.config import to_json

        data = open_recordings(self.data, self.format, self.read)
        data = data[parse_episodes(self.episodes, len(data))]
        names = [*self.model.inputs, self.model.target]
        data.schema.select(names)  # raises for an unknown one, before anything is made
        settle_threads(data.schema, self.model.inputs)
        trainer = trainer_of(self._training(data), self.ema, self.seed)
        asked = {"command": "fit", "level": self.level, "folds": self.folds, "model": to_json(self.model)}
        with claim_run(self.out, {**asked, **run_identity(data, names, trainer)}):
            fitted = self._fit(data, trainer)
        found = fitted.crossed.predictions
        lower, upper = fitted.calibration.interval(found.point, found.spread)
        spec = data.schema[self.model.target]
        return {
            "model": str(self.out),
            "episodes": fitted.calibration.n_episodes,
            "steps": len(found),
            "names": component_names(spec),
            "unit": spec.unit,
            "r2": float(fitted.r2.mean()),
            "r2_per_dim": fitted.r2,
            "level": self.level,
            "half_width": (upper - lower).mean(0) / 2,
            "coverage": fitted.coverage.per_dim,
            "guarantee": fitted.calibration.guarantee,
            "seed": self.seed,
        }

    def _training(self, data: Dataset) -> TrainerConfig:
        """What was asked for, on top of what suits these inputs."""
        usual = default_trainer()
        names = [f.name for f in dataclasses.fields(usual)]
        asked = {n: getattr(self.trainer, n) for n in names if getattr(self.trainer, n) != getattr(usual, n)}
        images = any(data.schema[name].kind == "image" for name in self.model.inputs)
        return dataclasses.replace(default_trainer(images=images), **asked)

    def _fit(self, data: Dataset, trainer: TrainerConfig) -> CalibratedInverse:
        from invdyn.actions.calibrated import fit_calibrated

        return fit_calibrated(
            data,
            self.model,
            trainer=trainer,
            level=self.level,
            folds=self.folds,
            folder=self.out,
            progress=True,
            seed=self.seed,
        )

    def show(self, result: dict[str, Any]) -> None:
        print(f"{result['model']}: fitted on {result['episodes']} labelled episodes ({result['steps']} steps)")
        names = result["names"]
        rows = [
            {"cause": n, "R2 (left out)": f"{float(r):.4f}", "interval half-width": float(w), "coverage": float(c)}
            for n, r, w, c in zip(names, result["r2_per_dim"], result["half_width"], result["coverage"], strict=True)
        ]
        table(rows)
        print(f"mean R2 on episodes left out: {result['r2']:.4f}")
        print(f"intervals at {result['level']:g}: {result['guarantee']}")

    def exit_code(self, result: Any) -> int:
        return 0
