"""Cosines, association scores, stitching and nulls against direct calculation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import logsumexp
from scipy.stats import hypergeom

from interpsweep.matching import association, operators, stitching
from interpsweep.numerics.cosine import compare, cosines, nearest, unit_rows
from interpsweep.numerics.twins import Twins

RNG = np.random.default_rng(0)
A = unit_rows(RNG.standard_normal((150, 12)))
B = unit_rows(RNG.standard_normal((230, 12)))


@pytest.mark.parametrize("block", [16, 64, 1000])
def test_blocked_neighbours_are_exact(block: int) -> None:
    dense = A @ B.T
    found = nearest(A, B, 5, block)
    np.testing.assert_array_equal(found.index, np.argsort(-dense, axis=1)[:, :5])
    np.testing.assert_allclose(found.cosine, -np.sort(-dense, axis=1)[:, :5], rtol=1e-6)


def test_pairs_above_are_all_pairs() -> None:
    dense = A @ B.T
    found = compare(A, B, 1, 0.3, block=40).above
    rows, columns = np.nonzero(dense >= 0.3)
    np.testing.assert_array_equal(np.c_[found.a, found.b], np.c_[rows, columns])
    np.testing.assert_allclose(cosines(A, B, found.a, found.b), found.cosine, atol=1e-6)


@settings(max_examples=60, deadline=None)
@given(st.integers(50, 4000), st.data())
def test_hypergeometric_tail(rows: int, data: st.DataObject) -> None:
    n_a = data.draw(st.integers(0, rows))
    n_b = data.draw(st.integers(0, rows))
    k = data.draw(st.integers(max(0, n_a + n_b - rows), min(n_a, n_b)))
    ours = association.log_upper_tail(np.array([k]), np.array([n_a]), np.array([n_b]), rows)[0]
    exact = logsumexp(hypergeom.logpmf(np.arange(k, min(n_a, n_b) + 1), rows, n_a, n_b))
    assert ours == pytest.approx(exact, rel=1e-7, abs=1e-6)


def test_hypergeometric_tail_does_not_underflow() -> None:
    value = association.log_upper_tail(
        np.array([9000]), np.array([10_000]), np.array([10_000]), 10**6
    )
    assert np.isfinite(value[0]) and value[0] < -20_000


def test_wilson_bounds_of_full_coverage() -> None:
    n = np.array([5, 10, 30, 100, 1000])
    expected = [0.649, 0.787, 0.917, 0.974, 0.997]
    np.testing.assert_allclose(association.wilson_lower(n, n), expected, atol=6e-4)


def test_scores_of_identical_and_independent_firings() -> None:
    same = association.scores(np.array([100]), np.array([100]), np.array([100]), 10_000)
    assert (same["phi"][0], same["jaccard"][0], same["npmi"][0]) == pytest.approx((1, 1, 1))
    apart = association.scores(np.array([1]), np.array([100]), np.array([100]), 10_000)
    assert apart["lift"][0] == pytest.approx(1) and abs(apart["phi"][0]) < 1e-12


def test_assignment_recovers_a_permutation() -> None:
    order = RNG.permutation(len(A))
    found = operators.assignment(A, A[order])
    np.testing.assert_array_equal(order[found.b], found.a)
    mutual = operators.mutual_neighbours(
        nearest(A, A[order], 1).index[:, 0], nearest(A[order], A, 1).index[:, 0]
    )
    np.testing.assert_array_equal(order[mutual], np.arange(len(A)))


def test_isotropic_null_has_its_known_size() -> None:
    rng = np.random.default_rng(1)
    a, b = (unit_rows(rng.standard_normal((768, 64))) for _ in range(2))
    nulls = operators.null_matches(a, b, 3, rng, 768, 768)
    assert nulls.rotated_ab.mean() == pytest.approx(0.38, abs=0.01)
    assert nulls.covariance_ab.mean() == pytest.approx(0.38, abs=0.01)


@pytest.mark.parametrize(("rows", "count"), [(400, 400), (30, 30), (400, 40)])
def test_twins_have_the_length_centre_and_spread_of_their_original(rows: int, count: int) -> None:
    rng = np.random.default_rng(2)
    skewed = unit_rows(rng.standard_normal((rows, 64)) * np.linspace(3, 0.5, 64) + 1.5)
    made = Twins(skewed).draw(count, rng)
    assert np.linalg.norm(made, axis=1) == pytest.approx(1)
    assert np.linalg.norm(made.mean(0) - skewed.mean(0)) < 0.03
    assert np.trace(np.cov(made.T)) == pytest.approx(np.trace(np.cov(skewed.T)), rel=0.05)
    if count == 400:
        own, theirs = (np.linalg.eigvalsh(np.cov(a.T))[-5:] for a in (made, skewed))
        assert own == pytest.approx(theirs, rel=0.02)


def test_p_of_the_null_itself_is_uniform() -> None:
    rng = np.random.default_rng(3)
    a, b = (unit_rows(rng.standard_normal((400, 32))) for _ in range(2))
    nulls = operators.null_matches(a, b, 4, rng, 400, 400)
    p = operators.upper_p(nearest(b, a, 1).cosine[:, 0], nulls.largest_b)
    assert abs(np.mean(p < 0.1) - 0.1) < 0.05
    assert abs(p.mean() - 0.5) < 0.07


def test_stitching_calibration() -> None:
    cosine = np.array([0.1, 0.2, 0.3, 0.8, 0.9, 0.95])
    delta = np.array([-1, -1, -1, 1, 1, 1.0])
    made = stitching.summary(cosine, delta, 2.0)
    assert made["auc"] == 1 and made["threshold"] == pytest.approx(0.55)
    assert stitching.calibrate(cosine, np.zeros(6, bool)) == (None, None)
