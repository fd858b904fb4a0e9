"""`fit_calibrated`: an inverse model with intervals and a score, giving no labelled episode away."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float64

from invdyn.actions.base import InverseModel
from invdyn.actions.fit import default_trainer, fit_inverse, labelled_windows
from invdyn.actions.inverse import InverseConfig
from invdyn.episodes.dataset import Dataset
from invdyn.episodes.formats.atomic import replacing
from invdyn.errors import FormatError
from invdyn.training.saving import load_model
from invdyn.training.trainer import TrainerConfig
from invdyn.verify.conformal import Calibration, check_level
from invdyn.verify.cross_conformal import CrossPredictions, calibrate_crossed, cross_predict
from invdyn.verify.metrics.calibration import Coverage, coverage
from invdyn.verify.metrics.regression import r2

__all__ = ["CALIBRATION", "CalibratedInverse", "fit_calibrated", "load_calibrated"]

CALIBRATION = "calibration.json"
"""Stands beside `model.safetensors` and `config.json`."""


@dataclass(frozen=True)
class CalibratedInverse:
    """A model trained on all labelled episodes, and what cross-validation told of it.

    Args:
        model: in evaluation mode.
        calibration: of its intervals, from episodes left out in turn.
        crossed: the answers on episodes left out.
        r2: [cause] of those answers.
        coverage: of intervals around those answers; near the level by construction, so a check and no proof.
    """

    model: InverseModel
    calibration: Calibration
    crossed: CrossPredictions
    r2: Float64[np.ndarray, " cause"]
    coverage: Coverage


def fit_calibrated(
    dataset: Dataset,
    config: InverseConfig,
    *,
    trainer: TrainerConfig | None = None,
    level: float = 0.9,
    folds: int = 5,
    folder: Path | None = None,
    progress: bool = False,
    seed: int = 0,
) -> CalibratedInverse:
    """Leave the labelled episodes out in `folds` groups, score and calibrate on them, then train on all of them.

    The number of updates of the final training is the median of what early stopping chose in the folds, so no episode is
    kept from it to decide when to stop. (Each fold's group decides when its own training stops, which flatters its
    score by the choice among a few stopping times.)

    Args:
        dataset: recordings, some with the target.
        config, trainer, seed: as in `fit_inverse`.
        level: coverage of the intervals.
        folds: groups; at most the number of labelled episodes.
        folder: where the model and `calibration.json` go.

    Raises:
        ConfigError: a level that so few labelled episodes cannot support; otherwise as `fit_inverse`.
    """
    owner = np.searchsorted(dataset.starts, labelled_windows(dataset, config).centres.numpy(), side="right") - 1
    labelled = dataset[np.unique(owner)]
    check_level(level, len(labelled))
    folds = min(folds, len(labelled))
    settings = trainer or default_trainer()
    chosen: list[int] = []

    def fit_fold(part: Dataset) -> InverseModel:
        fitted = fit_inverse(part, config, trainer=settings, holdout=1 / folds, seed=seed, progress=progress)
        chosen.append(fitted.result.best_step)
        return fitted.model

    crossed = cross_predict(fit_fold, labelled, folds=folds, seed=seed)
    calibration = calibrate_crossed(crossed, level=level)
    # The schedule ends where the folds stopped: the rate has then fallen to its last value, as it should.
    final = dataclasses.replace(settings, steps=max(1, int(np.median(chosen))), patience=None)
    final = dataclasses.replace(final, warmup=min(final.warmup, final.steps))
    fitted = fit_inverse(dataset, config, trainer=final, holdout=0.0, seed=seed, folder=folder, progress=progress)
    if folder is not None:
        with replacing(folder / CALIBRATION) as temporary:
            temporary.write_text(calibration.to_json())
    found = crossed.predictions
    lower, upper = calibration.interval(found.point, found.spread)
    return CalibratedInverse(
        fitted.model,
        calibration,
        crossed,
        r2(found.truth, found.point),
        coverage(found.truth, lower, upper, episode=found.episode),
    )


def load_calibrated(folder: Path) -> tuple[InverseModel, Calibration | None]:
    """A saved inverse model and its calibration (None when it was saved without).

    Raises:
        FormatError: a folder that holds no inverse model.
    """
    model = load_model(folder)
    if not isinstance(model, InverseModel):
        raise FormatError(
            f"{folder} holds a {type(model).__name__}, expected an inverse model. Fit one with `invdyn fit`."
        )
    path = folder / CALIBRATION
    return model, Calibration.from_json(path.read_text()) if path.is_file() else None
