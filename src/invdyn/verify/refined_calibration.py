"""Intervals of causes that were corrected by replay: the correction is done on the episodes left out too.

A corrected answer errs far less than the model's, so the model's intervals say too much about it; widened to hold it,
they cover more than they state. What is exchangeable is the whole procedure, model and correction: carried out on
labelled episodes by a model that has not seen them, its errors calibrate its intervals like those of any other answer.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from invdyn.episodes.dataset import Dataset
from invdyn.errors import SignalError
from invdyn.verify.conformal import Calibration
from invdyn.verify.correction import RefineConfig
from invdyn.verify.cross_conformal import CrossPredictions, calibrate_crossed
from invdyn.verify.onestep import OneStep
from invdyn.verify.predictions import Predictions
from invdyn.verify.refine import refine

__all__ = ["calibrate_refined", "refine_predictions"]


def refine_predictions(
    said: Predictions,
    recordings: Dataset,
    tool: OneStep,
    *,
    threshold: float,
    config: RefineConfig | None = None,
) -> Predictions:
    """A model's answers after `refine`, episode by episode; the spread stays the model's.

    Args:
        said: answers; `said.episode` numbers the episodes of `recordings`.
        recordings: with the states the world can be put into.
        tool: world and scale of the residual, see `OneStep.over`.
        threshold, config: as in `refine`.

    Raises:
        SignalError: answers about an episode or step that the recordings do not have.
    """
    points = said.point.copy()
    for index in np.unique(said.episode):
        rows = said.episode == index
        steps = said.step[rows]
        if not 0 <= index < len(recordings) or steps.max() >= recordings.lengths[index]:
            raise SignalError(
                f"{recordings.source.origin}: predictions are about step {steps.max()} of episode {index}, which the "
                "recordings do not have. Give the recordings they were made on."
            )
        episode = recordings[int(index)]
        values = np.full((episode.length, points.shape[1]), np.nan)
        spread = np.zeros_like(values)
        values[steps], spread[steps] = said.point[rows], said.spread[rows]
        found = refine(
            tool.world, episode, values, threshold=threshold, config=config, tool=tool, spread=spread, seed=int(index)
        )
        points[rows] = found.values[steps]
    return replace(said, point=points)


def calibrate_refined(
    crossed: CrossPredictions,
    recordings: Dataset,
    tool: OneStep,
    *,
    threshold: float,
    config: RefineConfig | None = None,
    level: float = 0.9,
) -> Calibration:
    """`calibrate_crossed` of answers corrected by replay, for intervals around corrected causes.

    Args:
        crossed: answers on episodes left out; their episode numbers are those of `recordings`.
        recordings, tool, threshold, config: as in `refine_predictions`, the same that correct the labels.
        level: coverage of the intervals.

    Raises:
        ConfigError: a level that so few episodes cannot support.
        SignalError: as `refine_predictions`.
    """
    refined = refine_predictions(crossed.predictions, recordings, tool, threshold=threshold, config=config)
    calibration = calibrate_crossed(replace(crossed, predictions=refined), level=level)
    return replace(calibration, guarantee="Of causes after correction by replay. " + calibration.guarantee)
