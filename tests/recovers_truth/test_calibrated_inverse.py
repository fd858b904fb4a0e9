"""An inverse model with intervals that hold on new episodes: as inferred, and after correction by replay."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from toy_world import CartWorld, episodes

from invdyn.actions import InverseConfig, label_dataset
from invdyn.actions.calibrated import LEFT_OUT, CalibratedInverse, fit_calibrated, load_calibrated, load_left_out
from invdyn.actions.scoring import score_labels
from invdyn.episodes import Dataset, open_dataset
from invdyn.episodes.views import hide
from invdyn.errors import ConfigError, FormatError, SignalError
from invdyn.training import TrainerConfig
from invdyn.verify import OneStep, calibrate_refined, predict
from invdyn.verify.metrics import coverage

LABELLED, LEVEL, ABOVE = 12, 0.9, 1e-3
CONFIG = InverseConfig(before=1, after=1, width=16, depth=1, linear=False)  # with its linear path it would be exact


@pytest.fixture(scope="module")
def recordings() -> Dataset:
    """Random causes, seen in float32: the push is resolvable, the grip where it is not shut, the third never."""
    return Dataset.from_episodes(episodes(lengths=tuple(range(20, 60)) * 2))


@pytest.fixture(scope="module")
def given(recordings: Dataset) -> Dataset:
    return hide(recordings, ["action"], range(LABELLED, len(recordings)))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("inverse") / "model"


@pytest.fixture(scope="module")
def fitted(given: Dataset, folder: Path) -> CalibratedInverse:
    return fit_calibrated(given, CONFIG, trainer=TrainerConfig(steps=150), folds=4, folder=folder)


def test_intervals_hold_on_new_episodes(fitted: CalibratedInverse, recordings: Dataset) -> None:
    said = predict(fitted.model, recordings[LABELLED:])
    found = coverage(said.truth, *fitted.calibration.interval(said.point, said.spread), episode=said.episode)
    # Twelve episodes calibrate: a spread of 0.02 over draws is usual.
    assert np.all(np.abs(found.per_dim - LEVEL) < 0.06), found.per_dim
    assert fitted.calibration.n_episodes == LABELLED


def test_a_saved_model_says_the_same(fitted: CalibratedInverse, given: Dataset, folder: Path) -> None:
    model, calibration = load_calibrated(folder)
    assert calibration == fitted.calibration
    mine, theirs = predict(fitted.model, given), predict(model, given)
    assert np.array_equal(mine.point, theirs.point)
    left = load_left_out(folder, model, given)
    assert left is not None
    assert np.array_equal(left.predictions.point, fitted.crossed.predictions.point)
    assert np.array_equal(left.fold, fitted.crossed.fold)
    # Each answer is that of the fold model that has not seen its episode.
    first = int(left.predictions.episode[0])
    again = predict(left.models[left.fold[0]], given[[first]])
    assert np.array_equal(again.point, left.predictions.point[left.predictions.episode == first])


def test_answers_left_out_belong_to_their_recordings(
    fitted: CalibratedInverse, recordings: Dataset, folder: Path
) -> None:
    assert load_left_out(folder, fitted.model, recordings[LABELLED:]) is None  # other true causes
    assert load_left_out(folder, fitted.model, recordings[:3]) is None  # fewer episodes
    path = folder / LEFT_OUT
    whole = path.read_bytes()
    path.write_bytes(whole[:-9])
    with pytest.raises(FormatError, match=r"left_out.safetensors is damaged .* Fit the model again"):
        load_left_out(folder, fitted.model, recordings)
    path.unlink()
    assert load_left_out(folder, fitted.model, recordings) is None
    path.write_bytes(whole)


def test_corrected_causes_have_intervals_of_their_own(
    fitted: CalibratedInverse, given: Dataset, recordings: Dataset, tmp_path: Path
) -> None:
    world = CartWorld(8)
    calibration = calibrate_refined(fitted.crossed, given, OneStep.over(world, given), threshold=ABOVE)
    assert calibration.guarantee.startswith("Of causes after correction by replay.")
    label = {"calibration": fitted.calibration, "world": world, "refine_above": ABOVE}
    label_dataset(given, fitted.model, tmp_path / "widened", **label)
    label_dataset(given, fitted.model, tmp_path / "own", refined_calibration=calibration, **label)
    widened, own = (open_dataset(tmp_path / name) for name in ("widened", "own"))
    wide, narrow = score_labels(widened, recordings), score_labels(own, recordings)
    assert np.array_equal(wide.r2, narrow.r2)  # the same corrected values
    assert np.all(np.abs(narrow.coverage.per_dim[1:] - LEVEL) < 0.06), narrow.coverage.per_dim
    assert wide.coverage.per_dim[0] > narrow.coverage.per_dim[0]

    def width(data: Dataset) -> np.ndarray:
        rows = [e["label.action.upper"].values - e["label.action.lower"].values for e in data[LABELLED:]]
        return np.nanmean(np.concatenate(rows), 0)

    # The push is known to rounding after the correction; the third component leaves no trace to correct it by.
    assert width(own)[0] < 0.1 * width(widened)[0]
    assert width(own)[2] > 0.8 * width(widened)[2]
    made = json.loads((tmp_path / "own/meta/invdyn_label.json").read_text())
    assert "refined_calibration" in json.dumps(made)


def test_refined_intervals_are_refused_where_they_mean_nothing(
    fitted: CalibratedInverse, given: Dataset, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=r"refined_calibration needs refine_above.*Give both"):
        label_dataset(given, fitted.model, tmp_path / "out", refined_calibration=fitted.calibration)
    tool = OneStep.over(CartWorld(2), given)
    with pytest.raises(SignalError, match=r"step \d+ of episode \d+, which the recordings do not have"):
        calibrate_refined(fitted.crossed, given[:2], tool, threshold=ABOVE)
    with pytest.raises(ConfigError, match=r"level 0.95 needs at least 19 labelled episodes for calibration, got 12"):
        calibrate_refined(fitted.crossed, given, tool, threshold=10.0, level=0.95)
