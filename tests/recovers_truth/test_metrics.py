"""Every metric against another library or a closed form, and its errors."""

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn import metrics as sk

from invdyn.errors import ConfigError, SignalError
from invdyn.nn.distributions import CauseDistribution, Delta
from invdyn.verify import metrics


@pytest.fixture
def pair():
    rng = np.random.default_rng(0)
    truth = rng.normal(size=(200, 3)) * [1, 5, 0.1] + [0, 100, -3]
    return truth, truth + rng.normal(size=(200, 3)) * [0.5, 1, 0.2]


def test_regression_agrees_with_sklearn(pair):
    truth, guess = pair
    np.testing.assert_allclose(
        metrics.r2(truth, guess), sk.r2_score(truth, guess, multioutput="raw_values"), rtol=1e-10
    )
    np.testing.assert_allclose(metrics.mae(truth, guess), np.abs(truth - guess).mean(0), rtol=1e-12)
    np.testing.assert_allclose(
        metrics.rmse(truth, guess), sk.root_mean_squared_error(truth, guess, multioutput="raw_values"), rtol=1e-12
    )
    np.testing.assert_allclose(metrics.fvu(truth, guess) + metrics.r2(truth, guess), 1)


def test_masks_leave_out_frames_or_single_entries(pair):
    truth, guess = (a.copy() for a in pair)
    mask = np.random.default_rng(1).random(200) < 0.5
    expected = metrics.r2(truth[mask], guess[mask])
    guess[~mask] = np.nan
    np.testing.assert_array_equal(metrics.r2(truth, guess, mask), expected)
    np.testing.assert_array_equal(metrics.r2(torch.tensor(truth), torch.tensor(guess), torch.tensor(mask)), expected)
    entries = np.isfinite(guess) & (truth > np.median(truth, 0))
    for dim in range(3):
        own = entries[:, dim]
        assert metrics.rmse(truth, guess, entries)[dim] == pytest.approx(
            metrics.rmse(truth[own, dim], guess[own, dim])[0]
        )


def test_undefined_is_nan_and_missed_events_count():
    truth = np.array([[1.0, 3.0], [2.0, 3.0]])
    assert np.isnan(metrics.r2(truth, truth)).tolist() == [False, True]
    assert np.isnan(metrics.mae(truth, truth, np.zeros(2, bool))).all()
    # Half the signal missed and counted as 0: sum of squares 4 against variance 8 (values 0, 4, 0, 4 around 2 -> 16).
    assert metrics.fvu(np.array([0.0, 4, 0, 4]), np.array([0, 4, 0, np.nan]), missed=0.0)[0] == pytest.approx(16 / 16)


def test_classification():
    rng = np.random.default_rng(2)
    truth, answer = rng.integers(0, 3, 100), rng.integers(0, 3, 100)
    assert metrics.accuracy(truth, answer) == sk.accuracy_score(truth, answer)
    assert metrics.accuracy(truth, answer, truth == answer) == 1.0
    assert np.isnan(metrics.accuracy(truth, answer, np.zeros(100, bool)))
    score = rng.integers(0, 5, 100).astype(float)  # many ties
    assert metrics.auc(truth > 0, score) == pytest.approx(sk.roc_auc_score(truth > 0, score), abs=1e-12)
    with pytest.raises(SignalError, match=r"auc: 100 positive and 0 negative frames; at least one of each"):
        metrics.auc(np.ones(100, bool), score)


def test_rank_agreement_with_ties():
    rng = np.random.default_rng(3)
    a, b = rng.integers(0, 6, 50), rng.integers(0, 6, 50)
    assert metrics.spearman(a, b) == pytest.approx(stats.spearmanr(a, b).statistic, abs=1e-12)
    concordant = sum(np.sign(a[i] - a[j]) * np.sign(b[i] - b[j]) for i in range(50) for j in range(i))
    untied = [sum(x[i] != x[j] for i in range(50) for j in range(i)) for x in (a, b)]
    assert metrics.kendall(a, b) == pytest.approx(concordant / np.sqrt(untied[0] * untied[1]), abs=1e-12)
    assert np.isnan(metrics.spearman(np.ones(4), np.arange(4)))
    with pytest.raises(SignalError, match=r"spearman: two arrays"):
        metrics.spearman(np.ones((4, 2)), np.ones((4, 2)))
    with pytest.raises(SignalError, match=r"kendall: 1 frames kept; ranks need at least two"):
        metrics.kendall(np.ones(1), np.ones(1))


def test_success_rate_is_the_wilson_interval():
    wins = np.arange(20) < 18
    rate = metrics.success_rate(wins)
    z, p, n = stats.norm.ppf(0.975), 0.9, 20
    middle, half = (
        (p + z * z / 2 / n) / (1 + z * z / n),
        z / (1 + z * z / n) * np.sqrt(p * (1 - p) / n + z * z / 4 / n**2),
    )
    assert (rate.rate, rate.successes, rate.episodes) == (0.9, 18, 20)
    np.testing.assert_allclose([rate.lower, rate.upper], [middle - half, middle + half], rtol=1e-9)
    assert metrics.success_rate(np.ones(5, bool)).lower == pytest.approx(0.5655, abs=1e-4)
    with pytest.raises(SignalError, match=r"success_rate: no episodes were given"):
        metrics.success_rate(np.zeros(0, bool))


def test_normalized_return():
    np.testing.assert_allclose(metrics.normalized_return(np.array([-3.0, 1, 5]), random=-3.0, expert=5.0), [0, 50, 100])
    with pytest.raises(ConfigError, match=r"expert returns 1.0, random returns 2.0; the expert must be better"):
        metrics.normalized_return(np.zeros(1), random=2.0, expert=1.0)


class Normal(CauseDistribution):
    def __init__(self, mean, std):
        self.normal = torch.distributions.Normal(mean, std)

    def point(self):
        return self.normal.mean

    def sample(self, generator=None):
        return self.normal.sample()

    def log_prob(self, value):
        return self.normal.log_prob(value).sum(1)

    def spread(self):
        return self.normal.stddev


def test_nll():
    torch.manual_seed(0)
    mean, truth = torch.randn(30, 2), torch.randn(30, 2)
    mask = torch.arange(30) < 10
    expected = -stats.norm(mean[:10].numpy(), 0.7).logpdf(truth[:10].numpy()).sum(1).mean()
    assert metrics.nll(Normal(mean, 0.7 * torch.ones(30, 2)), truth, mask) == pytest.approx(expected, rel=1e-5)
    assert metrics.nll(Delta(mean), truth) == np.inf
    with pytest.raises(SignalError, match=r"nll: the mask has 3 frames, the distribution 30"):
        metrics.nll(Delta(mean), truth, np.ones(3, bool))


def test_coverage_and_its_bootstrap_over_episodes():
    rng = np.random.default_rng(4)
    episode = np.repeat(np.arange(40), 50)
    # Whole episodes are in or out: the interval must be as wide as 40 coin flips say, not 2000.
    y = np.repeat(rng.random(40) < 0.8, 50).astype(float)[:, None]
    ones = np.ones_like(y)
    by_episode = metrics.coverage(y, 0.5 * ones, 1.5 * ones, episode=episode)
    by_frame = metrics.coverage(y, 0.5 * ones, 1.5 * ones)
    assert by_episode.overall == by_frame.overall == y.mean()
    se = np.sqrt(y.mean() * (1 - y.mean()) / 40)
    assert (by_episode.upper - by_episode.lower) == pytest.approx(2 * 1.96 * se, rel=0.1)  # 2000 resamples of a lattice
    assert (by_frame.upper - by_frame.lower) < 0.25 * (by_episode.upper - by_episode.lower)
    assert (by_episode.episodes, by_episode.frames) == (40, 2000)
    again = metrics.coverage(y, 0.5 * ones, 1.5 * ones, episode=episode)
    assert (again.lower, again.upper) == (by_episode.lower, by_episode.upper)
    everything = metrics.coverage(y, -np.inf * ones, np.inf * ones)
    assert everything.overall == 1
    with pytest.raises(SignalError, match=r"coverage: the mask leaves no frame"):
        metrics.coverage(y, y, y, np.zeros(2000, bool))
    with pytest.raises(SignalError, match=r"coverage: 3 episode numbers for 2000 frames"):
        metrics.coverage(y, y, y, episode=np.zeros(3))


def test_sharpness():
    low = np.array([[0.0, 0], [0, 0]])
    high = np.array([[1.0, np.inf], [3, 1]])
    assert metrics.sharpness(low, high).tolist() == [2, np.inf]
    assert metrics.sharpness(low, high, np.array([False, True])).tolist() == [3, 1]


def test_shapes_and_nan_are_refused():
    with pytest.raises(SignalError, match=r"r2|fvu: arrays of one shape .* got \(3, 2\), \(3, 1\)"):
        metrics.r2(np.zeros((3, 2)), np.zeros((3, 1)))
    with pytest.raises(SignalError, match=r"mae: the mask has shape \(2,\) for values of shape \(3, 2\)"):
        metrics.mae(np.zeros((3, 2)), np.zeros((3, 2)), np.ones(2, bool))
    bad = np.zeros((3, 2))
    bad[1, 1] = np.nan
    with pytest.raises(
        SignalError, match=r"rmse: value nan at frame 1, dimension 1. Leave missing frames out with `mask`"
    ):
        metrics.rmse(np.zeros((3, 2)), bad)
