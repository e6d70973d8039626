"""One-hot and Gaussian clouds are told from others, as often as the level allows."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

from interpsweep.geometry import cloud, exclusive, gaussian


def firings(firing: np.ndarray) -> exclusive.Firings:
    return exclusive.firings(sp.csr_matrix(firing))


def in_runs(rng: np.random.Generator, stay: float, rows: int = 2000, k: int = 8) -> np.ndarray:
    """Independent latents that fire on with probability `stay` once they do."""
    rate = rng.uniform(0.02, 0.2, k)
    begin, on = rate * (1 - stay) / (1 - rate), rng.random(k) < rate
    made = np.empty((rows, k), bool)
    for row, draw in zip(made, rng.random((rows, k)), strict=True):
        row[:] = on = np.where(on, draw < stay, draw < begin)
    return made


def test_shifted_latents_share_rows_as_rolled_columns_do() -> None:
    rng = np.random.default_rng(0)
    firing = in_runs(rng, 0.5, 300)
    shifts = np.vstack([np.zeros((1, 8), np.int64), rng.integers(300, size=(20, 8))])
    rolled = []
    for shift in shifts:
        columns = [np.roll(column, by) for column, by in zip(firing.T, shift, strict=True)]
        on = np.sum(columns, axis=0)
        rolled.append(np.mean(on[on > 0] == 1))
    np.testing.assert_allclose(exclusive.shares(firings(firing), shifts), rolled)


def test_the_mean_under_independence_is_the_product_of_rates() -> None:
    rates = np.array([0.3, 0.1, 0.02])
    rng = np.random.default_rng(0)
    found = exclusive.test(firings(rng.random((50_000, 3)) < rates), rng)
    none = np.prod(1 - rates)
    assert found.null == pytest.approx(none * np.sum(rates / (1 - rates)) / (1 - none), abs=0.005)


@pytest.mark.parametrize("stay", [0.0, 0.8])
def test_independent_latents_pass_as_exclusive_at_the_level(stay: float) -> None:
    """Also if they fire in runs, as latents of phrases do."""
    p = []
    for seed in range(200):
        rng = np.random.default_rng(seed)
        p.append(exclusive.test(firings(in_runs(rng, stay)), rng).p)
    assert np.mean(np.array(p) <= 0.05) < 0.05 + 3 * np.sqrt(0.05 * 0.95 / 200)
    assert 0.35 < np.mean(np.array(p) <= 0.5) < 0.65


def test_latents_that_exclude_each_other_pass_and_those_that_fire_together_do_not() -> None:
    rng = np.random.default_rng(0)
    one = np.eye(8, dtype=bool)[rng.integers(8, size=3000)] & (rng.random((3000, 1)) < 0.4)
    alone = exclusive.test(firings(one), rng)
    assert alone.share == 1 and alone.null < 0.9 and alone.p == 1 / (1 + exclusive.DRAWS)
    assert exclusive.test(firings(np.repeat(one[:, :1], 3, axis=1)), rng).p == 1
    assert np.isnan(exclusive.test(firings(np.zeros((50, 3), bool)), rng).p)


@pytest.mark.parametrize("d", [1, 2, 4])
def test_the_statistic_has_its_published_mean_on_gaussians(d: int) -> None:
    """Henze and Zirkler 1990: the limit's mean, here 1 - a^(-d/2) (1 + d b / a + ...)."""
    square = ((2 * d + 1) * 400 / 4) ** (2 / (d + 4)) / 2
    a = 1 + 2 * square
    tail = 1 + d * square / a + d * (d + 2) * square**2 / (2 * a**2)
    found = gaussian.samples(400, d)
    error = found.std() / np.sqrt(len(found))
    assert found.mean() == pytest.approx(1 - a ** (-d / 2) * tail, abs=4 * error)


def test_the_statistic_is_that_of_the_characteristic_functions() -> None:
    """n times the squared distance of |mean exp(i t x) - exp(-t^2 / 2)|, t ~ N(0, beta^2)."""
    x = gaussian.whitened(np.random.default_rng(0).exponential(size=(60, 1)))
    square = (3 * 60 / 4) ** (2 / 5) / 2
    t = np.linspace(-12, 12, 4001) * np.sqrt(square)
    weight = np.exp(-(t**2) / (2 * square)) / np.sqrt(2 * np.pi * square)
    gap = np.abs(np.exp(1j * t[:, None] * x[:, 0]).mean(axis=1) - np.exp(-(t**2) / 2)) ** 2
    assert gaussian.henze_zirkler(x) == pytest.approx(60 * np.trapezoid(gap * weight, t), rel=1e-6)


@pytest.mark.parametrize(("n", "r"), [(60, 3), (400, 8)])
def test_gaussians_of_any_covariance_are_rejected_at_the_level(n: int, r: int) -> None:
    p = []
    for seed in range(300):
        rng = np.random.default_rng(seed)
        mixing = rng.standard_normal((r, r)) * rng.exponential(size=r)
        p.append(gaussian.test(rng.standard_normal((n, r)) @ mixing + 3, rng).p)
    assert abs(np.mean(np.array(p) <= 0.05) - 0.05) < 3 * np.sqrt(0.05 * 0.95 / 300)


def one_hot(rng: np.random.Generator, n: int) -> np.ndarray:
    return rng.uniform(0.5, 1.5, (n, 1)) * np.eye(7)[rng.integers(7, size=n)]


def circle(rng: np.random.Generator, n: int) -> np.ndarray:
    t = rng.random(n) * 2 * np.pi
    return np.c_[np.cos(t), np.sin(t), np.zeros((n, 6))] + 0.2 * rng.standard_normal((n, 8))


@pytest.mark.parametrize("points", [one_hot, circle])
def test_one_hot_clouds_and_circles_are_no_gaussians(points) -> None:
    found = [
        gaussian.test(points(np.random.default_rng(s), 100), np.random.default_rng(s))
        for s in range(40)
    ]
    assert np.mean([f.p <= 0.05 for f in found]) > 0.9
    assert all(f.statistic > f.null for f in found)


def test_too_few_points_or_none_that_differ_say_nothing() -> None:
    rng = np.random.default_rng(0)
    assert np.isnan(gaussian.test(rng.standard_normal((30, 3)), rng).p)
    assert np.isnan(gaussian.test(np.ones((100, 3)), rng).p)


class Codes:
    """Codes of a matrix, read in two blocks."""

    def __init__(self, matrix: np.ndarray) -> None:
        self.matrix, self.n_rows = matrix, len(matrix)

    def chunks(self) -> list[tuple[int, int]]:
        return [(0, self.n_rows // 2), (self.n_rows // 2, self.n_rows)]

    def read(self, first: int, last: int) -> sp.csr_matrix:
        return sp.csr_matrix(self.matrix[first:last])


class Context:
    @staticmethod
    def block_map(work, blocks, name):
        return map(work, blocks)


def test_the_firings_of_a_cloud_are_those_of_all_rows_and_not_of_the_drawn_ones() -> None:
    rng = np.random.default_rng(0)
    matrix = (rng.random((900, 5)) * (rng.random((900, 5)) < 0.1)).astype(np.float32)
    some = np.arange(0, 900, 3)
    wanted = [(np.array([0, 2, 4]), None), (np.array([1, 2]), some)]
    whole, given = cloud.collect(Codes(matrix), wanted, 40, 0, Context())
    assert len(whole.rows) == len(given.rows) == 40
    for found, part in ((whole, matrix[:, [0, 2, 4]]), (given, matrix[some][:, [1, 2]])):
        assert found.firings.rows == len(part)
        for i, column in enumerate(part.T):
            mine = found.firings.where[found.firings.starts[i] : found.firings.starts[i + 1]]
            np.testing.assert_array_equal(np.sort(mine), np.flatnonzero(column))
