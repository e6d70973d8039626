"""Scores, loops and dimensions of clouds have the numbers that are known of simple ones."""

import numpy as np
import pytest

from interpsweep.geometry import cloud, homology
from interpsweep.worlds import polytopes, structureless

ROWS = 20_000


def angles(rng):
    return rng.random(ROWS) * 2 * np.pi


def around(angle):
    return np.column_stack([np.cos(angle), np.sin(angle)])


def square(rng):
    return rng.uniform(-1, 1, (ROWS, 2))


def disc(rng):
    return np.sqrt(rng.random((ROWS, 1))) * around(angles(rng))


def noisy_circle(rng):
    return around(angles(rng)) + 0.1 * rng.standard_normal((ROWS, 2))


def star(rng):
    """Seven arms at the angles of a heptagon, values U(.5, 1.5)."""
    arm = 2 * np.pi * rng.integers(7, size=ROWS) / 7
    return rng.uniform(0.5, 1.5, (ROWS, 1)) * around(arm)


@pytest.mark.parametrize(
    ("points", "separability", "mixture"),
    [
        (square, 0.003, 0.109),
        (disc, 0.117, 0.085),
        (noisy_circle, 0.773, 0.162),
        (star, 1.247, 0.205),
    ],
)
def test_separability_and_mixture_of_known_clouds(points, separability, mixture):
    plane = points(np.random.default_rng(0))
    assert cloud.separability(plane) == pytest.approx(separability, rel=0.02, abs=0.008)
    assert cloud.mixture(plane) == pytest.approx(mixture, abs=0.005)


def test_separability_of_nothing_falls_with_the_number_of_points():
    """The plug-in estimate is too large by 81 / (2 N ln 2) bits; the least angle takes part off."""
    rng = np.random.default_rng(1)
    for n in (200, 1000, 4000):
        found = np.mean([cloud.separability(rng.standard_normal((n, 2))) for _ in range(20)])
        assert 0.5 < found / (81 / (2 * n * np.log(2))) < 0.9


def scores(directions, double, rng):
    """S (1 - M) of codes with one latent on, and with probability `double` another one."""
    k = len(directions)
    codes, row = np.zeros((4000, k), np.float32), np.arange(4000)
    codes[row, rng.integers(k, size=4000)] = rng.uniform(0.5, 1.5, 4000)
    more = rng.random(4000) < double
    codes[row[more], rng.integers(k, size=more.sum())] = rng.uniform(0.5, 1.5, more.sum())
    plane = cloud.first_plane(codes, directions)
    return (1 - cloud.mixture(plane)) * cloud.separability(plane)


def test_the_published_score_measures_exclusiveness_rather_than_circles():
    """Exclusive latents on random directions score high; a heptagon whose latents fire together
    scores no more than random directions do.
    """
    rng = np.random.default_rng(2)
    heptagon = polytopes.POLYTOPES["heptagon"]
    random = [structureless.isotropic(7, 768, rng) for _ in range(12)]
    alone = np.mean([scores(unit, 0.0, rng) for unit in random])
    together = np.mean([scores(unit, 0.3, rng) for unit in random])
    circle = np.mean([scores(heptagon, 0.3, rng) for _ in range(3)])
    assert alone > 0.4 and alone > 2 * together
    assert circle < 1.1 * together


@pytest.mark.parametrize(
    ("noise", "low", "high"), [(0.1, 0.9, 1.0), (0.2, 0.4, 1.0), (0.3, 0, 0.3)]
)
def test_loops_of_noisy_circles_are_found_as_often_as_noise_allows(noise, low, high):
    """100 points in R^8, noise per coordinate."""
    found = []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        points = noise * rng.standard_normal((100, 8))
        points[:, :2] += around(rng.random(100) * 2 * np.pi)
        found.append(homology.loops(points).p <= 0.05)
    assert low <= np.mean(found) <= high


def test_dimension_is_that_of_the_noise_where_points_are_dense():
    rng = np.random.default_rng(3)
    points = 0.01 * rng.standard_normal((2000, 50))
    points[:, :2] += around(rng.random(2000) * 2 * np.pi)
    whole, quarter = homology.two_nn(points), homology.two_nn(points[:500])
    assert whole == pytest.approx(20.3, rel=0.2) and 2 < quarter < 0.9 * whole


def test_dimension_of_many_dimensions_is_limited_by_the_number_of_points():
    found = homology.two_nn(np.random.default_rng(4).standard_normal((2000, 768)))
    assert 140 < found < 190
