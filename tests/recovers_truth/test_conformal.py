"""Conformal intervals: those of MAPIE and crepes where every episode is one frame, right where frames are dependent."""

import crepes
import numpy as np
import pytest
import torch
from mapie.regression import ConformalizedQuantileRegressor, CrossConformalRegressor, SplitConformalRegressor
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import PredefinedSplit

from invdyn.episodes.dataset import Dataset
from invdyn.episodes.episode import Episode
from invdyn.episodes.signal import Signal, SignalSpec
from invdyn.episodes.windows import Window
from invdyn.errors import ConfigError, SignalError
from invdyn.nn.distributions import CauseDistribution
from invdyn.verify import (
    AdaptiveConformal,
    Calibration,
    calibrate,
    calibrate_quantiles,
    cross_calibrate,
    cross_predict,
    cv_plus,
    episodes_needed,
    predict,
)
from invdyn.verify.cross_conformal import folds_of
from invdyn.verify.metrics import coverage


class Identity(RegressorMixin, BaseEstimator):
    """Predicts its input: with it the scores of MAPIE are those of y - x."""

    def fit(self, X, y=None):
        self.fitted_ = True
        return self

    def predict(self, X):
        return X[:, 0]


@pytest.fixture
def independent():
    rng = np.random.default_rng(0)
    point, spread = rng.normal(size=(57, 1)), rng.uniform(0.5, 2, (57, 1))
    return point + spread * rng.standard_t(4, (57, 1)), point, spread


@pytest.mark.parametrize("method", ["pooled", "hcp"])
@pytest.mark.parametrize("level", [0.5, 0.8, 0.9, 0.95])
def test_split_conformal_is_that_of_mapie_and_crepes(independent, method, level):
    truth, point, spread = independent
    frames = np.arange(len(truth))
    new = np.linspace(-2, 2, 9)[:, None]
    ours = calibrate(truth, point, spread, frames, level=level, method=method, score="absolute")
    lower, upper = ours.interval(new, np.ones_like(new))
    mapie = SplitConformalRegressor(Identity().fit(None), confidence_level=level, prefit=True)
    theirs = mapie.conformalize(point, truth[:, 0]).predict_interval(new)[1][:, :, 0]
    np.testing.assert_allclose(np.hstack([lower, upper]), theirs, rtol=1e-12)

    scaled = calibrate(truth, point, spread, frames, level=level, method=method)
    wide = np.linspace(0.5, 3, 9)[:, None]
    lower, upper = scaled.interval(new, wide)
    crepe = crepes.ConformalRegressor().fit((truth - point)[:, 0], sigmas=spread[:, 0])
    theirs = crepe.predict_int(new[:, 0], sigmas=wide[:, 0], confidence=level)
    np.testing.assert_allclose(np.hstack([lower, upper]), theirs, rtol=1e-12)
    assert scaled.n_effective == (57.0,)


def test_cqr_is_that_of_mapie(independent):
    truth, point, spread = independent
    lower, upper = point - spread, point + 0.5 * spread

    class Column(Identity):
        def __init__(self, column=0):
            self.column = column

        def predict(self, X):
            return X[:, self.column]

    table = np.hstack([lower, upper, point])
    fitted = [Column(i).fit(None) for i in range(3)]
    mapie = ConformalizedQuantileRegressor(fitted, confidence_level=0.9, prefit=True).conformalize(table, truth[:, 0])
    theirs = mapie.predict_interval(table, symmetric_correction=True)[1][:, :, 0]
    ours = calibrate_quantiles(truth, lower, upper, np.arange(57), level=0.9)
    np.testing.assert_allclose(np.hstack(ours.widen(lower, upper)), theirs, rtol=1e-12)
    with pytest.raises(ConfigError, match=r"quantile pairs \(cqr\): use widen\(lower, upper\)"):
        ours.interval(point, spread)
    with pytest.raises(ConfigError, match=r"of normalised scores: use interval\(point, spread\)"):
        calibrate(truth, point, spread, np.arange(57)).widen(lower, upper)
    # Intervals far too wide shrink, but never turn inside out.
    tight = calibrate_quantiles(truth, truth - 9, truth + 9, np.arange(57), level=0.5)
    low, high = tight.widen(point, point + 1)
    assert (low <= high).all()


OBS = SignalSpec("observation.state", (2,), "float64", "state")
ACT = SignalSpec("action", (1,), "float64", "action")


class LinearModel:
    """Least squares from the present observation to the cause."""

    inputs, target, window = ("observation.state",), ACT, Window(0, 0)

    def __init__(self, dataset: Dataset) -> None:
        x, y = dataset.column("observation.state").values, dataset.column("action")
        self.episodes = len(dataset)
        self.fitted = LinearRegression().fit(x[y.valid], y.values[y.valid][:, 0])

    def infer(self, batch):
        point = self.fitted.predict(batch.inputs["observation.state"][:, 0].numpy())
        return Point(torch.from_numpy(point)[:, None])


class Point(CauseDistribution):
    def __init__(self, value):
        self.value = value

    def point(self):
        return self.value

    def sample(self, generator=None):
        return self.value

    def log_prob(self, value):
        return torch.zeros(len(value))

    def spread(self):
        return torch.full_like(self.value, 0.7)


def recordings(episodes, frames, effect=0.0, seed=0, slope=(1.0, -2.0)):
    """Episodes of `frames` labelled steps and a last one without; y = x slope + episode effect + noise."""
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(episodes):
        x = rng.normal(size=(frames + 1, 2))
        y = x @ slope + effect * rng.normal() + rng.normal(size=frames + 1)
        valid = np.arange(frames + 1) < frames
        made.append(Episode.from_signals([Signal(OBS, x), Signal(ACT, y[:, None], valid)], fps=10.0))
    return Dataset.from_episodes(made)


@pytest.mark.parametrize("folds", [None, 5])
def test_cv_plus_is_that_of_mapie_and_jackknife_plus(folds):
    data = recordings(23, 1)
    ours = cv_plus(LinearModel, data, folds, 0.9, score="absolute")
    x, y = data.column("observation.state").values[::2], data.column("action").values[::2, 0]
    mapie = CrossConformalRegressor(
        LinearRegression(), confidence_level=0.9, method="plus", cv=PredefinedSplit(folds_of(23, folds))
    )
    new = np.random.default_rng(5).normal(size=(11, 2))
    theirs = mapie.fit_conformalize(x, y).predict_interval(new)[1][:, :, 0]
    points = np.stack([m.fitted.predict(new)[:, None] for m in ours.crossed.models])
    lower, upper = ours.interval(points, np.ones_like(points))
    np.testing.assert_allclose(np.hstack([lower, upper]), theirs, rtol=1e-9)
    assert ("At least 0.8 in finite samples" in ours.guarantee) == (folds is None)


def test_fold_models_never_see_the_episode_they_answer_for():
    data = recordings(12, 5)
    crossed = cross_predict(LinearModel, data, folds=4)
    assert [m.episodes for m in crossed.models] == [9, 9, 9, 9]
    assert len(crossed.predictions) == 60
    for e in range(12):
        rows = crossed.predictions.episode == e
        (fold,) = np.unique(crossed.fold[rows])
        again = predict(crossed.models[fold], data[[e]])
        np.testing.assert_array_equal(crossed.predictions.point[rows], again.point)
        np.testing.assert_array_equal(crossed.predictions.truth[rows], again.truth)


def test_cross_calibrated_final_model_covers_new_episodes():
    rates = []
    for seed in range(12):
        data = recordings(10, 60, effect=0.3, seed=seed)
        calibration = cross_calibrate(LinearModel, data, None, 0.9)
        new = predict(LinearModel(data), recordings(60, 60, effect=0.3, seed=100 + seed))
        lower, upper = calibration.interval(new.point, new.spread)
        rates.append(coverage(new.truth, lower, upper, episode=new.episode).overall)
    # Standard error over 12 calibrations of about 100 effective frames each: 0.03 / sqrt(12) = 0.009.
    assert 0.88 < np.mean(rates) < 0.925
    assert "10 episodes in 10 folds" in calibration.guarantee
    assert "No worst-case" in calibration.guarantee


def simulate(method, share, episodes, repeats, level=0.9, seed=0):
    """Mean coverage of new episodes with random episode effects (share of variance) and ragged lengths."""
    rng, rates = np.random.default_rng(seed), []
    for _ in range(repeats):
        lengths = rng.integers(30, 120, episodes + 100)
        unit = np.repeat(np.arange(episodes + 100), lengths)
        y = np.sqrt(share) * rng.normal(size=episodes + 100)[unit] + np.sqrt(1 - share) * rng.normal(size=len(unit))
        old, zero, one = unit < episodes, np.zeros((len(unit), 1)), np.ones((len(unit), 1))
        c = calibrate(y[old, None], zero[old], one[old], unit[old], level=level, method=method)
        low, high = c.interval(zero[~old], one[~old])
        inside = ((low <= y[~old, None]) & (y[~old, None] <= high))[:, 0]
        frames = (
            inside.mean() if method == "pooled" else np.mean([inside[unit[~old] == u].mean() for u in set(unit[~old])])
        )
        rates.append(frames)
    return float(np.mean(rates))


@pytest.mark.parametrize("share", [0.0, 0.2, 0.6])
def test_coverage_with_dependent_frames(share):
    # Spread of one calibration's coverage is at most 0.07 here (10 episodes, share 0.6): 150 repeats give 0.006.
    assert simulate("pooled", share, 10, 150) == pytest.approx(0.9, abs=0.015)
    assert simulate("hcp", share, 10, 60) >= 0.9 - 0.01  # the guarantee, less the error of 60 repeats


def test_naive_frame_counting_would_undercover():
    """What the correction is for: with agreement within episodes the plain frame quantile of 12 episodes is too low."""
    rng, plain, ours = np.random.default_rng(1), [], []
    for _ in range(400):
        y = np.repeat(rng.normal(size=12), 50)[:, None]
        unit = np.repeat(np.arange(12), 50)
        new = np.abs(rng.normal(size=4000))
        plain.append((new <= np.quantile(np.abs(y), 0.9, method="higher")).mean())
        c = calibrate(y, np.zeros_like(y), np.ones_like(y), unit, score="absolute")
        ours.append((new <= c.quantile()[0]).mean())
    assert np.mean(plain) < 0.87
    # Only 12 distinct scores: the 11th covers 11 / 13 = 0.846, the 12th 0.923; there is nothing between.
    assert np.mean(ours) == pytest.approx(12 / 13, abs=0.01)


def test_too_few_episodes_are_refused_before_anything_is_trained():
    assert [episodes_needed(x) for x in (0.5, 0.8, 0.9, 0.95, 0.99)] == [1, 4, 9, 19, 99]
    z, o = np.zeros((80, 1)), np.ones((80, 1))
    message = r"level 0.9 needs at least 9 labelled episodes for calibration, got 8. Label more .* at most 0.888"
    with pytest.raises(ConfigError, match=message):
        calibrate(z, z, o, np.repeat(np.arange(8), 10))

    def never(_):
        raise AssertionError("trained")

    with pytest.raises(ConfigError, match=message):
        cross_calibrate(never, recordings(8, 3), None, 0.9)
    with pytest.raises(ConfigError, match=r"level 0.99 needs at least 99"):
        cv_plus(never, recordings(8, 3), None, 0.99)
    with pytest.raises(ConfigError, match=r"an interval level lies between 0 and 1, got 90"):
        calibrate(z, z, o, np.repeat(np.arange(8), 10), level=90.0)


def test_json_round_trip_is_exact(independent):
    truth, point, spread = independent
    made = calibrate(truth, point, spread, np.arange(57) // 6, level=0.9, method="hcp")
    assert np.inf in np.array(made.quantiles)  # 0.95 needs 19 episodes, here are 10: infinite ends must survive too
    again = Calibration.from_json(made.to_json())
    assert again == made
    with pytest.raises(ConfigError, match=r"field 'colour' is unknown"):
        Calibration.from_json(made.to_json().replace('"method"', '"colour"'))
    with pytest.raises(ConfigError, match=r"a calibration is one JSON object, got something else"):
        Calibration.from_json("nonsense")
    with pytest.raises(ConfigError, match=r"method 'magic' is none of pooled, hcp"):
        Calibration.from_json(made.to_json().replace('"hcp"', '"magic"'))


def test_bounds_levels_and_curve(independent):
    truth, point, spread = independent
    made = calibrate(truth, point, spread, np.arange(57))
    lower, upper = made.interval(point, spread, bounds=(-1.0, 1.0))
    assert lower.min() >= -1
    assert upper.max() <= 1
    levels, rates = made.curve(truth, point, spread)
    assert levels.tolist() == sorted(levels.tolist())
    assert 0.9 in levels
    assert (np.diff(rates[:, 0]) >= 0).all()
    assert (rates[:, 0] >= levels).all()  # on its own scores a conformal quantile covers at least the level
    narrow, wide = (made.interval(point, spread, level=x) for x in (0.5, 0.9))
    assert (narrow[1] < wide[1]).all()
    with pytest.raises(ConfigError, match=r"no quantile was kept for level 0.33; kept: 0.05, 0.1"):
        made.interval(point, spread, level=0.33)
    with pytest.raises(SignalError, match=r"of \[frames, 1\] causes, got an array of shape \(57, 2\)"):
        made.interval(np.hstack([point, point]), spread)
    with pytest.raises(SignalError, match=r"spread -1 is negative at frame 4; a spread is >= 0"):
        calibrate(truth, point, np.where(np.arange(57)[:, None] == 4, -1.0, spread), np.arange(57))
    with pytest.raises(SignalError, match=r"calibrate: 3 episode numbers for 57 frames"):
        calibrate(truth, point, spread, np.arange(3))


def test_point_masses_get_intervals_too(independent):
    truth, point, _ = independent
    made = calibrate(truth, point, np.zeros_like(point), np.arange(57))
    plain = calibrate(truth, point, np.zeros_like(point), np.arange(57), score="absolute")
    np.testing.assert_allclose(made.interval(point, 0 * point), plain.interval(point, 0 * point), rtol=1e-9)


def test_bad_folds_unlabelled_data_and_wrong_fold_answers():
    data = recordings(12, 2)
    with pytest.raises(ConfigError, match=r"13 folds of 12 labelled episodes; between 2 and 12 folds are possible"):
        cross_predict(LinearModel, data, folds=13)
    bare = Dataset.from_episodes(
        [Episode.from_signals([e["observation.state"]], fps=10.0, schema=data.schema) for e in data]
    )
    with pytest.raises(SignalError, match=r"memory: no frame has a true 'action'. Give labelled episodes"):
        predict(LinearModel(data), bare)
    made = cv_plus(LinearModel, data, 3, 0.9)
    with pytest.raises(SignalError, match=r"one per fold model is needed, \[3, frames, cause\]"):
        made.interval(np.zeros((2, 4, 1)), np.zeros((2, 4, 1)))


def test_adaptive_keeps_its_level_under_drift_and_its_bound_always():
    rng = np.random.default_rng(0)
    scale = np.concatenate([np.full(1500, 1.0), np.full(1500, 4.0), np.linspace(4, 0.5, 1500)])
    truth, zero = (rng.normal(size=4500) * scale)[:, None], np.zeros((4500, 1))
    made = AdaptiveConformal(level=0.9, rate=0.01, memory=300)
    found = made.run(truth, zero, np.ones_like(zero))
    assert found.covered.mean() == pytest.approx(0.9, abs=0.01)
    assert found.covered[1550:3000].mean() == pytest.approx(0.9, abs=0.03)  # 50 steps after the jump it holds again
    fixed = np.abs(truth) <= np.quantile(np.abs(truth[:1500]), 0.9)
    assert fixed[1550:3000].mean() < 0.5  # what a calibration of the past alone would do
    for stream in (truth, np.sign(truth) * np.exp(np.arange(4500) / 300)[:, None]):  # even for an exploding stream
        hits = AdaptiveConformal(level=0.9, rate=0.01, memory=300).run(stream, zero, np.ones_like(zero)).covered
        assert abs((1 - hits.mean()) - 0.1) <= (0.9 + 0.01) / (0.01 * 4500) + 1e-12
    with pytest.raises(ConfigError, match=r"rate > 0 and memory >= 1, got 0.0 and 500"):
        AdaptiveConformal(rate=0.0)
    with pytest.raises(ConfigError, match=r"an interval level lies between 0 and 1, got 1.5"):
        AdaptiveConformal(level=1.5)
