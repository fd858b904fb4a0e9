"""`fit_calibrated`: an inverse model with intervals and a score, giving no labelled episode away."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float64
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from invdyn.actions.base import InverseModel
from invdyn.actions.fit import fit_inverse, labelled_windows
from invdyn.actions.fold_ensemble import FoldEnsemble
from invdyn.actions.inverse import InverseConfig
from invdyn.episodes.dataset import Dataset
from invdyn.episodes.formats.atomic import replacing
from invdyn.errors import FormatError
from invdyn.training.saving import load_model, save_model
from invdyn.training.trainer import TrainerConfig
from invdyn.verify.conformal import Calibration, check_level
from invdyn.verify.cross_conformal import CrossPredictions, calibrate_crossed, folds_of
from invdyn.verify.metrics.calibration import Coverage, coverage
from invdyn.verify.metrics.regression import r2
from invdyn.verify.predictions import Predictions, predict

__all__ = ["CALIBRATION", "LEFT_OUT", "CalibratedInverse", "fit_calibrated", "load_calibrated", "load_left_out"]

CALIBRATION = "calibration.json"
"""Stands beside `model.safetensors` and `config.json`."""
LEFT_OUT = "left_out.safetensors"
"""Beside it: what the fold models said about the episodes left out, to calibrate what is made of such answers."""


@dataclass(frozen=True)
class CalibratedInverse:
    """A model that has learnt from all labelled episodes, and what leaving them out in turn told of it.

    Args:
        model: the fold models together, in evaluation mode.
        calibration: of its intervals, from episodes left out.
        crossed: the single fold models' answers on episodes left out, by the recordings' episode numbers; the ensemble
            errs a little less.
        r2: [cause] of those answers.
        coverage: of intervals around those answers; near the level by construction, so a check and no proof.
    """

    model: FoldEnsemble
    calibration: Calibration
    crossed: CrossPredictions
    r2: Float64[np.ndarray, " cause"]
    coverage: Coverage


FOLD_NOTE = (
    "Each fold's training stopped, and its spread was scaled, on the episodes left out of it, which flatters the "
    "scores slightly; the answer given is the mean of the fold models, which errs less than they do. "
)


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
    """Train one net per group of labelled episodes left out; together they are the model, their errors its intervals.

    Args:
        dataset: recordings, some with the target.
        config, trainer: as in `fit_inverse`, for every fold.
        level: coverage of the intervals.
        folds: groups; at most the number of labelled episodes.
        folder: where the model and `calibration.json` go; an interrupted fit resumes from it.
        seed: of the groups; fold k starts from weights of seed + k.

    Raises:
        ConfigError: a level that so few labelled episodes cannot support; otherwise as `fit_inverse`.
    """
    owner = np.searchsorted(dataset.starts, labelled_windows(dataset, config).centres.numpy(), side="right") - 1
    labelled = np.unique(owner)
    check_level(level, len(labelled))
    group = folds_of(len(labelled), min(folds, len(labelled)), seed)
    fitted, parts, of_fold = [], [], np.full(len(dataset), -1)
    for fold in range(int(group.max()) + 1):
        left_out = labelled[group == fold]
        of_fold[left_out] = fold
        fitted.append(
            fit_inverse(
                dataset,
                config,
                trainer=trainer,
                held_out=left_out.tolist(),
                folder=None if folder is None else folder / "folds" / str(fold),
                progress=progress,
                seed=seed + fold,
            )
        )
        said = predict(fitted[-1].model, dataset[left_out])
        parts.append(Predictions(said.truth, said.point, said.spread, left_out[said.episode], said.step))
    found = Predictions.join(parts)
    crossed = CrossPredictions(found, of_fold[found.episode], [f.model for f in fitted])
    calibration = calibrate_crossed(crossed, level=level)
    calibration = replace(calibration, guarantee=FOLD_NOTE + calibration.guarantee)
    model = FoldEnsemble.of([f.model for f in fitted])
    scores = r2(found.truth, found.point)
    if folder is not None:
        facts = {"left_out_r2": [float(v) for v in scores], "steps": [f.result.best_step for f in fitted]}
        save_model(model, folder, facts=facts, overwrite=True)
        with replacing(folder / CALIBRATION) as temporary:
            temporary.write_text(calibration.to_json())
        with replacing(folder / LEFT_OUT) as temporary:
            save_file({**asdict(found), "fold": crossed.fold}, temporary)
    lower, upper = calibration.interval(found.point, found.spread)
    return CalibratedInverse(
        model, calibration, crossed, scores, coverage(found.truth, lower, upper, episode=found.episode)
    )


def load_calibrated(folder: Path | str) -> tuple[InverseModel, Calibration | None]:
    """A saved inverse model and its calibration (None when it was saved without).

    Raises:
        FormatError: a folder that holds no inverse model.
    """
    folder = Path(folder)
    model = load_model(folder)
    if not isinstance(model, InverseModel):
        raise FormatError(
            f"{folder} holds a {type(model).__name__}, expected an inverse model. Fit one with `invdyn fit`."
        )
    path = folder / CALIBRATION
    return model, Calibration.from_json(path.read_text()) if path.is_file() else None


def load_left_out(folder: Path, model: InverseModel, dataset: Dataset) -> CrossPredictions | None:
    """What the fold models of a saved model said about the episodes of `dataset` that they were not trained on.

    Args:
        folder, model: where the model was saved, and what `load_calibrated` made of it.
        dataset: the recordings it was fitted on.

    Returns:
        None where the model was saved without, or was fitted on other recordings: the true causes tell.

    Raises:
        FormatError: a damaged file.
    """
    path = folder / LEFT_OUT
    if not path.is_file():
        return None
    try:
        arrays = load_file(path)
        fold = arrays.pop("fold")
        found = Predictions(**arrays)
    except (SafetensorError, KeyError, TypeError, OSError) as error:
        raise FormatError(f"{path} is damaged ({error}). Fit the model again.") from error
    if not isinstance(model, FoldEnsemble) or model.target.name not in dataset.schema:
        return None
    for index in np.unique(found.episode):
        rows = found.episode == index
        if index >= len(dataset) or found.step[rows].max() >= dataset.lengths[index]:
            return None
        recorded = np.asarray(dataset[int(index)][model.target.name].values, float)
        if not np.array_equal(recorded.reshape(len(recorded), -1)[found.step[rows]], found.truth[rows]):
            return None
    return CrossPredictions(found, fold, list(model.members))  # type: ignore[arg-type]
