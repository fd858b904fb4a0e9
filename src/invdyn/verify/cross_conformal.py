"""Calibration that gives no labelled episodes away: leave some out in turn, train on the rest, score those left out.

`cross_calibrate` keeps the scores and puts them around the *final* model, trained on all labelled episodes;
`cv_plus` keeps the fold models too and has the worst-case guarantee of CV+ / jackknife+.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float, Float64, Int64

from invdyn.episodes.dataset import Dataset
from invdyn.errors import ConfigError, SignalError
from invdyn.verify.conformal import GUARANTEES, Calibration, Method, PointScore, check_level, from_scores
from invdyn.verify.metrics.arrays import as_array
from invdyn.verify.predictions import Infers, Predict, Predictions, predict

__all__ = ["CrossPredictions", "CvPlus", "cross_calibrate", "cross_predict", "cv_plus", "folds_of"]

Fit = Callable[[Dataset], Infers]


@dataclass(frozen=True)
class CrossPredictions:
    """Answers at every labelled frame by the fold model that has not seen its episode.

    Args:
        predictions: all frames, by episode and step.
        fold: [frames] which fold model answered.
        models: the fold models.
    """

    predictions: Predictions
    fold: Int64[np.ndarray, " frames"]
    models: Sequence[Infers] = field(repr=False)


def folds_of(episodes: int, folds: int | None, seed: int = 0) -> Int64[np.ndarray, " episodes"]:
    """[episodes] the fold of each episode: shuffled, sizes differing by at most one; None leaves one out at a time.

    Raises:
        ConfigError: fewer than 2 folds or more folds than episodes.
    """
    folds = episodes if folds is None else folds
    if not 2 <= folds <= episodes:
        raise ConfigError(
            f"{folds} folds of {episodes} labelled episodes; between 2 and {max(episodes, 2)} folds are possible."
        )
    of = np.empty(episodes, np.int64)
    of[np.random.default_rng(seed).permutation(episodes)] = np.arange(episodes) % folds
    return of


def cross_predict(
    fit: Fit, dataset: Dataset, *, folds: int | None = None, seed: int = 0, predict: Predict = predict
) -> CrossPredictions:
    """Train once per fold on the other folds' episodes, and answer on the fold's own.

    Args:
        fit: trains a model on a dataset from scratch; called `folds` times. Must not look at anything else.
        dataset: labelled episodes.
        folds: how many; None for as many as episodes (closest to the final model, most training).
        predict: asks a model about a dataset.
    """
    of = folds_of(len(dataset), folds, seed)
    models, parts, numbers = [], [], []
    for fold in range(int(of.max()) + 1):
        out = np.flatnonzero(of == fold)
        models.append(fit(dataset[np.flatnonzero(of != fold)]))
        part = predict(models[-1], dataset[out])
        parts.append(Predictions(part.truth, part.point, part.spread, out[part.episode], part.step))
        numbers.append(np.full(len(part), fold))
    joined = Predictions.join(parts)
    return CrossPredictions(joined, of[joined.episode], models)


CROSS_GUARANTEE = (
    "About the stated level as long as the final model errs like the fold models that were trained without some of the "
    "episodes (stability); it errs less when more episodes help, and the intervals are then wide. No worst-case "
    "guarantee for this form; cv_plus has one of 1 - 2 (1 - level). Scores are of {n} episodes in {folds} folds. "
)


def cross_calibrate(
    fit: Fit,
    dataset: Dataset,
    folds: int | None = None,
    level: float = 0.9,
    *,
    method: Method = "pooled",
    score: PointScore = "normalised",
    seed: int = 0,
    predict: Predict = predict,
) -> Calibration:
    """Calibrate the model that is trained on all labelled episodes, by the scores of models that left some out.

    Vovk's cross-conformal scores (2015) with episodes as units, put around the final model's answer (the plain CV
    interval of Barber et al. 2021, section 1).

    Args:
        fit, folds, seed, predict: see `cross_predict`.
        dataset: labelled episodes, all of which the final model may be trained on.
        level, method, score: as in `calibrate`.

    Raises:
        ConfigError: a level that so few episodes cannot support (before anything is trained), a bad number of folds.
    """
    check_level(level, len(dataset))
    crossed = cross_predict(fit, dataset, folds=folds, seed=seed, predict=predict)
    return calibrate_crossed(crossed, level=level, method=method, score=score)


def calibrate_crossed(
    crossed: CrossPredictions, *, level: float = 0.9, method: Method = "pooled", score: PointScore = "normalised"
) -> Calibration:
    """`cross_calibrate` for predictions already made; the guarantee says that it is a cross-validated one."""
    scores, floor = _scores(crossed.predictions, score)
    told = CROSS_GUARANTEE.format(n=len(np.unique(crossed.predictions.episode)), folds=len(crossed.models))
    told += "Beyond that: " + GUARANTEES[method]
    return from_scores(
        scores, crossed.predictions.episode, level=level, method=method, score=score, floor=floor, guarantee=told
    )


@dataclass(frozen=True)
class CvPlus:
    """CV+ intervals (jackknife+ when one episode is left out at a time), weighted so that episodes are the units.

    Args:
        level: coverage asked for; the guarantee is 1 - 2 (1 - level), less with fewer folds than episodes.
        guarantee: in words.
        crossed: out-of-fold predictions and fold models.
        scores: [frames, cause] out-of-fold scores.
        score, floor: as in `Calibration`.
    """

    level: float
    guarantee: str
    crossed: CrossPredictions = field(repr=False)
    scores: Float64[np.ndarray, "frames cause"] = field(repr=False)
    score: PointScore
    floor: Float64[np.ndarray, " cause"]

    def interval(
        self,
        points: Float[np.ndarray, "fold new cause"],
        spreads: Float[np.ndarray, "fold new cause"],
        *,
        chunk: int = 1024,
    ) -> tuple[Float64[np.ndarray, "new cause"], Float64[np.ndarray, "new cause"]]:
        """Intervals from every fold model's answer at the new frames (`crossed.models`, in order).

        Lower end: quantile at 1 - level of { point_k(i)(x) - score_i spread_k(i)(x) } with 1 / (n + 1) of the mass at
        -infinity; upper end likewise (hierarchical jackknife+ of Lee, Barber and Willett 2023).
        """
        fold, episode = self.crossed.fold, self.crossed.predictions.episode
        if points.shape != spreads.shape or len(points) != len(self.crossed.models):
            raise SignalError(
                f"cv_plus: answers of shape {points.shape} and {spreads.shape}; one per fold model is needed, "
                f"[{len(self.crossed.models)}, frames, cause]."
            )
        _, unit, lengths = np.unique(episode, return_inverse=True, return_counts=True)
        weight = 1.0 / ((len(lengths) + 1) * lengths[unit])
        scale = np.maximum(spreads, self.floor) if self.score == "normalised" else np.ones_like(spreads)
        lower, upper = np.empty(points.shape[1:]), np.empty(points.shape[1:])
        for first in range(0, points.shape[1], chunk):
            part = slice(first, first + chunk)
            for dim in range(points.shape[2]):
                centre = points[fold, part, dim]
                reach = self.scores[:, dim, None] * scale[fold, part, dim]
                lower[part, dim] = -_upper_quantile(reach - centre, weight, self.level)
                upper[part, dim] = _upper_quantile(centre + reach, weight, self.level)
        return lower, upper


def cv_plus(
    fit: Fit,
    dataset: Dataset,
    folds: int | None = None,
    level: float = 0.9,
    *,
    score: PointScore = "normalised",
    seed: int = 0,
    predict: Predict = predict,
) -> CvPlus:
    """CV+ (Barber, Candès, Ramdas and Tibshirani 2021) with episodes as the exchangeable units.

    Raises:
        ConfigError: as `cross_calibrate`.
    """
    check_level(level, len(dataset))
    crossed = cross_predict(fit, dataset, folds=folds, seed=seed, predict=predict)
    scores, floor = _scores(crossed.predictions, score)
    # Barber et al. 2021, theorem 4: K folds of n units lose up to this; leaving one out at a time loses nothing.
    n, k = len(dataset), len(crossed.models)
    loss = min(2 * (1 - 1 / k) / (n / k + 1), (1 - k / n) / (k + 1))
    promised = (
        f"At least {max(2 * level - 1 - loss, 0):.3g} in finite samples for a random frame of a new episode; in "
        f"practice about {level:g} or more."
    )
    return CvPlus(level, promised, crossed, scores, score, floor)


def _scores(found: Predictions, score: PointScore) -> tuple[np.ndarray, np.ndarray]:
    floor = np.maximum(1e-3 * as_array(found.truth).std(0), 1e-12)
    error = np.abs(found.truth - found.point)
    return (error / np.maximum(found.spread, floor) if score == "normalised" else error), floor


def _upper_quantile(
    values: Float64[np.ndarray, "frames new"], weight: Float64[np.ndarray, " frames"], level: float
) -> Float64[np.ndarray, " new"]:
    """[new] weighted quantile at `level`, the mass that `weight` lacks to 1 standing at infinity."""
    order = np.argsort(values, axis=0, kind="stable")
    mass = np.cumsum(weight[order], axis=0)
    reached = mass >= level - 1e-12
    at = reached.argmax(0)
    found = np.take_along_axis(values, np.take_along_axis(order, at[None], 0), 0)[0]
    return np.where(reached.any(0), found, np.inf)
