"""Directions at the vertices of a small polytope round the origin: its signature of cosines."""

from __future__ import annotations

from functools import lru_cache
from itertools import permutations

import numpy as np
from numpy.typing import NDArray

from interpsweep.worlds.polytopes import POLYTOPES

Points = NDArray[np.float64]
# by number of vertices; a digon is any two opposite directions, an octahedron three of them
NAMES = {
    3: "triangle",
    4: "tetrahedron",
    5: "pentagon",
    6: "5-simplex",
    7: "heptagon",
    8: "square antiprism",
}


def statistic(unit: Points) -> Points:
    """Minus the root mean square difference of the sorted cosines of unit directions (B, k, d) and
    those of the tight polytope with k vertices, (B,).

    Source: Elhage et al. 2022, "Toy Models of Superposition".
    """
    k = unit.shape[1]
    first, second = np.triu_indices(k, 1)
    cosines = np.sort((unit @ unit.transpose(0, 2, 1))[:, first, second], axis=1)
    return -np.sqrt(np.mean((cosines - signature(k)) ** 2, axis=1))


def applies(points: Points) -> NDArray[np.bool_]:
    """Whether there is a polytope with as many vertices as points (B, k, r)."""
    return np.full(len(points), points.shape[1] in NAMES)


@lru_cache(maxsize=8)
def signature(k: int) -> Points:
    """Sorted cosines of all pairs of vertices, (k (k - 1) / 2,)."""
    first, second = np.triu_indices(k, 1)
    return np.sort(vertex_cosines(k)[first, second])


def vertex_cosines(k: int) -> Points:
    """Cosines (k, k) of the vertices."""
    points = POLYTOPES[NAMES[k]]
    return points @ points.T


@lru_cache(maxsize=8)
def labellings(k: int) -> Points:
    """Squared distances of all pairs under every different way to number the vertices,
    (ways, k (k - 1) / 2).
    """
    first, second = np.triu_indices(k, 1)
    order = np.array(list(permutations(range(k))))
    squared = np.round(2 - 2 * vertex_cosines(k), 9)
    return np.unique(squared[order[:, first], order[:, second]], axis=0)


def nearest(squared: Points) -> Points:
    """The vertices' squared distances (k, k), numbered as fits squared distances (k, k) best."""
    k = len(squared)
    first, second = np.triu_indices(k, 1)
    ways = labellings(k)
    centred = ways - ways.mean(axis=1, keepdims=True)
    made = np.zeros((k, k))
    made[first, second] = ways[int(np.argmax(centred @ squared[first, second]))]
    return made + made.T
