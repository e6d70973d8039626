"""Points along a line or curve: far apart in order means far apart in space."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

AXES = 3  # orders are taken along this many leading components


def statistic(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """max over axes of Spearman(|difference in rank|, distance), (B, k, r) -> (B,)."""
    return scores(points).max(axis=0)


def scores(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """The statistic along every axis, (axes, B)."""
    k, r = points.shape[1:]
    first, second = np.triu_indices(k, 1)
    distance = np.sum((points[:, first] - points[:, second]) ** 2, axis=2)
    places = standardise(distance.argsort(axis=1).argsort(axis=1).astype(float))
    ranked = rank_of_gap(k)
    made = []
    for axis in range(min(AXES, r)):
        rank = points[:, :, axis].argsort(axis=1).argsort(axis=1)
        gap = ranked[np.abs(rank[:, first] - rank[:, second])]
        made.append(np.mean(standardise(gap) * places, axis=1))
    return np.array(made)


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


def order(points: NDArray[np.float64]) -> NDArray[np.intp]:
    """Points in order along the best axis."""
    axis = int(np.argmax(scores(points[None])[:, 0]))
    return np.argsort(points[:, axis], kind="stable")
