"""Is a cloud of points more than a Gaussian? Henze and Zirkler's test on leading components.

Henze and Zirkler 1990, "A class of invariant consistent tests for multivariate normality". The
statistic does not change under affine maps, so its null depends on the counts of points and
dimensions alone and is drawn once for all clouds.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import pdist

from interpsweep.geometry.nulls import upper_p

Array = NDArray[np.float64]
POINTS = 400  # most points of a test, which takes time with their square
LEAST = 50  # points below which nothing is said
LEADING = 4  # principal components that are looked at
FILLED = 1e-6  # of the largest singular value: smaller ones are rounding
DRAWS = 199


class Gaussian(NamedTuple):
    """Henze and Zirkler's statistic, its mean over Gaussian samples, and p of one as large."""

    statistic: float
    null: float
    p: float


def test(points: Array, rng: np.random.Generator) -> Gaussian:
    """The test on whitened leading principal components of points (m, r), evenly thinned.

    NaN with fewer than `LEAST` points or with points that are all the same.
    """
    if len(points) > POINTS:
        points = points[rng.permutation(len(points))[:POINTS]]
    white = whitened(points)
    if len(points) < LEAST or not white.shape[1]:
        return Gaussian(np.nan, np.nan, np.nan)
    own, null = henze_zirkler(white), samples(*white.shape)
    return Gaussian(own, float(null.mean()), upper_p(own, null))


def whitened(points: Array) -> Array:
    """Leading principal components (m, d) of points (m, r): mean 0, covariance the identity.

    Of Gaussian points with any covariance these are distributed as those of standard normal ones.
    """
    u, s, _ = np.linalg.svd(points - points.mean(axis=0), full_matrices=False)
    d = min(LEADING, int(np.sum(s > FILLED * s.max(initial=0.0))))
    return np.asarray(u[:, :d] * np.sqrt(len(points)))


def henze_zirkler(white: Array) -> float:
    """The statistic of whitened points (n, d): n times the weighted squared distance between their
    characteristic function and that of a standard normal (Henze and Zirkler, section 2).
    """
    n, d = white.shape
    square = ((2 * d + 1) * n / 4) ** (2 / (d + 4)) / 2  # beta squared
    pairs = 2 * np.exp(-square / 2 * pdist(white, "sqeuclidean")).sum() + n
    alone = np.exp(-square / (2 * (1 + square)) * np.sum(white**2, axis=1)).sum()
    middle = 2 * (1 + square) ** (-d / 2) * alone
    return float(pairs / n - middle + n * (1 + 2 * square) ** (-d / 2))


@lru_cache(maxsize=64)
def samples(n: int, d: int) -> Array:
    """The statistic of Gaussian samples of n points in d dimensions, (DRAWS,), always the same."""
    rng = np.random.default_rng([n, d])
    return np.array([henze_zirkler(whitened(rng.standard_normal((n, d)))) for _ in range(DRAWS)])
