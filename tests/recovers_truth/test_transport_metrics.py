"""Transport distances against closed forms, POT and each other."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import wasserstein_distance

from invdyn.errors import SignalError
from invdyn.verify.metrics import emd, frechet_distance, sliced_w2, w1_marginal, w2_exact

RNG = np.random.default_rng(3)
A, B = RNG.standard_normal((60, 3)), 1 + RNG.standard_normal((60, 3)) * 0.5
C = RNG.standard_normal((45, 3))


def test_a_shift_is_its_length_for_every_distance() -> None:
    shift = np.array([3.0, 0.0, 4.0])
    assert w2_exact(A, A + shift) == pytest.approx(5.0, abs=1e-12)
    assert emd(A, A + shift) == pytest.approx(5.0, abs=1e-12)
    assert frechet_distance(A, A + shift) == pytest.approx(25.0, abs=1e-9)
    # A direction u sees (u . shift)^2, on average |shift|^2 / dim; 20,000 directions leave about 1 %.
    assert sliced_w2(A, A + shift, projections=20_000) == pytest.approx(5 / np.sqrt(3), rel=0.02)
    assert np.allclose(w1_marginal(A, A + shift), [3, 0, 4])


@pytest.mark.parametrize("other", [B, C], ids=["equal sizes", "unequal sizes"])
def test_agreement_with_pot(other: np.ndarray) -> None:
    ot = pytest.importorskip("ot")
    weights = np.full(len(A), 1 / len(A)), np.full(len(other), 1 / len(other))
    assert w2_exact(A, other) ** 2 == pytest.approx(ot.emd2(*weights, ot.dist(A, other)), rel=1e-9)
    assert emd(A, other) == pytest.approx(ot.emd2(*weights, ot.dist(A, other, "euclidean")), rel=1e-9)


@pytest.mark.parametrize("other", [B, C], ids=["equal sizes", "unequal sizes"])
def test_one_dimension_needs_no_solver(other: np.ndarray) -> None:
    expected = [wasserstein_distance(A[:, i], other[:, i]) for i in range(3)]
    assert np.allclose(w1_marginal(A, other), expected, rtol=1e-12)
    if len(other) == len(A):
        assert sliced_w2(A[:, :1], other[:, :1], projections=1) == pytest.approx(w2_exact(A[:, :1], other[:, :1]))


def test_frechet_distance_of_commuting_gaussians() -> None:
    scale = np.array([1.0, 2.0, 5.0])
    x = A - A.mean(0)
    x = x @ np.linalg.inv(np.linalg.cholesky(np.cov(x.T))).T  # covariance exactly the identity
    assert frechet_distance(x, x * scale) == pytest.approx(((scale - 1) ** 2).sum(), rel=1e-9)
    assert frechet_distance(x * scale, x * scale, components=2) == pytest.approx(0.0, abs=1e-9)


def test_refusals_name_the_fault() -> None:
    with pytest.raises(SignalError, match=r"\(60, 3\) and \(60, 2\)"):
        w2_exact(A, B[:, :2])
    with pytest.raises(SignalError, match="NaN or infinite"):
        sliced_w2(A, np.where(B > 1.5, np.nan, B))
    with pytest.raises(SignalError, match="5 components of 3"):
        frechet_distance(A, B, components=5)
    with pytest.raises(SignalError, match="at least 2"):
        frechet_distance(A, B[:1])
