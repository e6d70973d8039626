"""Points along a line or an open curve: far apart in order means far apart in space, and
neighbours in the order are near each other.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

AXES = 3  # orders are taken along this many leading components, and along the Fiedler vector
NEAR = 2  # the scale of the graph is the distance to the second nearest neighbour
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
    first, second = np.triu_indices(k, 1)
    apart = standardise(distance[:, first, second].argsort(axis=1).argsort(axis=1).astype(float))
    typical = np.maximum(distance.sum(axis=(1, 2)) / (k * (k - 1)), 1e-300)
    paths = [points[:, :, axis].argsort(axis=1, kind="stable") for axis in range(min(AXES, r))]
    paths.append(seriation(distance))
    made = []
    for path in paths:
        place = path.argsort(axis=1)
        gap = rank_of_gap(k)[np.abs(place[:, first] - place[:, second])]
        steps = np.take_along_axis(
            np.take_along_axis(distance, path[:, :-1, None], 1), path[:, 1:, None], 2
        )
        spearman = np.mean(standardise(gap) * apart, axis=1)
        made.append(spearman - steps[:, :, 0].mean(axis=1) / typical)
    return np.array(made), np.array(paths)


def distances(points: Points) -> Points:
    """Distances (B, k, k) of points (B, k, r)."""
    gram = points @ points.transpose(0, 2, 1)
    norms = np.einsum("bii->bi", gram)
    return np.sqrt(np.maximum(norms[:, :, None] + norms[:, None] - 2 * gram, 0.0))


def seriation(distance: Points) -> NDArray[np.intp]:
    """Points in the order of the Fiedler vector of a Gaussian graph, (B, k).

    The width of the Gaussian is the median distance to the second nearest neighbour.
    """
    k = distance.shape[1]
    near = np.sort(distance, axis=2)[:, :, min(NEAR, k - 1)]
    width = np.maximum(np.median(near, axis=1), 1e-300)[:, None, None]
    weight = np.exp(-((distance / width) ** 2))
    laplacian = -weight
    laplacian[:, np.arange(k), np.arange(k)] += weight.sum(axis=2)
    return np.argsort(np.linalg.eigh(laplacian)[1][:, :, 1], axis=1, kind="stable")


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
