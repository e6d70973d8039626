"""Points along a line or an open curve: far apart in order means far apart in space, and
neighbours in the order are near each other.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from interpsweep.compiled import compiled
from interpsweep.geometry import fiedler

AXES = 3  # orders are taken along this many leading components, and along the Fiedler vector
Points = NDArray[np.float64]


def statistic(points: Points) -> NDArray[np.float64]:
    """max over orders of Spearman(|difference in rank|, distance) - mean step / mean distance,
    (B, k, r) -> (B,).

    Even places on a straight line show in the first term; a curve that bends back on itself, in
    the second. Orders are those along the leading components and that of the Fiedler vector
    (spectral seriation, Atkins et al. 1998), which follows a horseshoe round its bend where an
    axis mixes its arms.
    """
    return _scores(points)[0].max(axis=0)


def order(points: NDArray[np.float64]) -> NDArray[np.intp]:
    """Points (k, r) in the best order."""
    scores, paths = _scores(points[None])
    return paths[int(np.argmax(scores[:, 0])), 0]


def _scores(points: Points) -> tuple[Points, NDArray[np.intp]]:
    """The statistic in every order (orders, B), and the orders (orders, B, k)."""
    k, r = points.shape[1:]
    distance = distances(points)
    paths = [points[:, :, axis].argsort(axis=1, kind="stable") for axis in range(min(AXES, r))]
    orders = np.array([*paths, seriation(distance)])
    made = np.empty(orders.shape[:2])
    _agreement(distance, orders, rank_of_gap(k), made)
    return made, orders


@compiled
def _agreement(
    distance: Points, orders: NDArray[np.intp], gaps: NDArray[np.float64], made: Points
) -> None:
    """Spearman less mean step / mean distance of every order; `gaps` are ranks by places apart."""
    many, batch, k = orders.shape
    pairs = k * (k - 1) // 2
    first, second = np.empty(pairs, np.int64), np.empty(pairs, np.int64)
    apart, rank, place = np.empty(pairs), np.empty(pairs), np.empty(k, np.int64)
    middle = (pairs - 1) / 2  # mean of the ranks 0 .. pairs - 1
    p = 0
    for i in range(k):
        for j in range(i + 1, k):
            first[p], second[p] = i, j
            p += 1
    spread = mean = 0.0
    for p in range(pairs):
        mean += gaps[second[p] - first[p]] / pairs
    for p in range(pairs):
        spread += (gaps[second[p] - first[p]] - mean) ** 2
    scale = max(np.sqrt(spread * (pairs * (pairs * pairs - 1.0) / 12)), 1e-300)
    for b in range(batch):
        typical = 0.0
        for p in range(pairs):
            apart[p] = distance[b, first[p], second[p]]
            typical += apart[p] / pairs
        sorted_ = np.argsort(apart, kind="mergesort")
        for p in range(pairs):
            rank[sorted_[p]] = p - middle
        for o in range(many):
            steps = together = 0.0
            for i in range(k):
                place[orders[o, b, i]] = i
                if i > 0:
                    steps += distance[b, orders[o, b, i - 1], orders[o, b, i]] / (k - 1)
            for p in range(pairs):
                together += gaps[abs(place[first[p]] - place[second[p]])] * rank[p]
            made[o, b] = together / scale - steps / max(typical, 1e-300)


def distances(points: Points) -> Points:
    """Distances (B, k, k) of points (B, k, r)."""
    gram = points @ points.transpose(0, 2, 1)
    norms = np.einsum("bii->bi", gram)
    return np.sqrt(np.maximum(norms[:, :, None] + norms[:, None] - 2 * gram, 0.0))


def seriation(distance: Points) -> NDArray[np.intp]:
    """Points in the order of the Fiedler vector of a Gaussian graph, (B, k), k >= 3.

    The width of the Gaussian is the median distance to the second nearest neighbour.
    """
    laplacian, place = np.empty(distance.shape), np.empty(distance.shape[:2])
    _laplacian(distance, laplacian)
    fiedler.vectors(laplacian, place)
    return np.argsort(place, axis=1, kind="stable")


@compiled
def _laplacian(distance: Points, made: Points) -> None:
    batch, k = distance.shape[:2]
    reach = np.empty(k)
    for b in range(batch):
        for i in range(k):
            nearest = next_ = np.inf
            for j in range(k):
                here = distance[b, i, j]
                if j != i and here < next_:
                    next_ = max(here, nearest)
                    nearest = min(here, nearest)
            reach[i] = next_
            made[b, i, i] = 0.0
        width = max(np.median(reach), 1e-300)
        for i in range(k):
            for j in range(i):
                weight = np.exp(-((distance[b, i, j] / width) ** 2))
                made[b, i, j] = made[b, j, i] = -weight
                made[b, i, i] += weight
                made[b, j, j] += weight


@lru_cache(maxsize=256)
def rank_of_gap(k: int) -> NDArray[np.float64]:
    """Average rank that a difference of 0..k-1 places has among all pairs of k places."""
    first, second = np.triu_indices(k, 1)
    ranks = rankdata(second - first)
    table = np.zeros(k)
    table[second - first] = ranks
    return table


def standardise(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rows with mean 0 and standard deviation 1."""
    centred = values - values.mean(axis=-1, keepdims=True)
    return centred / np.maximum(centred.std(axis=-1, keepdims=True), 1e-300)
