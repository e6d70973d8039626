"""Points as the leaves of a tree: internal edges in the four-point condition."""

from __future__ import annotations

from functools import lru_cache
from itertools import combinations
from math import comb

import numpy as np
from numpy.typing import NDArray

from interpsweep.compiled import compiled

QUARTETS = 300  # sampled above this many


def statistic(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Treeness (B, k, r) -> (B,): E[(S2 - S3) - (S1 - S2)] / E[S1] over quartets of points.

    S1 >= S2 >= S3 are the three sums of opposite distances. In a tree metric S1 = S2, and S2 - S3
    is twice the internal edge; equidistant points (a star) give 0, not a high value.
    """
    made = np.empty(len(points))
    _treeness(np.ascontiguousarray(points, np.float64), quartets(points.shape[1]), made)
    return made


@compiled
def _treeness(points: NDArray, chosen: NDArray, made: NDArray) -> None:
    batch, k, r = points.shape
    distance = np.zeros((k, k))
    for m in range(batch):
        for i in range(k):
            for j in range(i):
                square = 0.0
                for c in range(r):
                    square += (points[m, i, c] - points[m, j, c]) ** 2
                distance[i, j] = distance[j, i] = np.sqrt(square)
        inner = largest = 0.0
        for q in range(len(chosen)):
            a, b, c, d = chosen[q]
            one = distance[a, b] + distance[c, d]
            two = distance[a, c] + distance[b, d]
            three = distance[a, d] + distance[b, c]
            high, low = max(one, two, three), min(one, two, three)
            inner += 2 * (one + two + three - high - low) - low - high
            largest += high
        made[m] = inner / max(largest, 1e-300)


@lru_cache(maxsize=256)
def quartets(k: int) -> NDArray[np.intp]:
    """Quartets of k points, all or a fixed sample of `QUARTETS`, (q, 4)."""
    if comb(k, 4) <= QUARTETS:
        return np.array(list(combinations(range(k), 4)))
    rng = np.random.default_rng(k)
    return np.array([rng.choice(k, 4, replace=False) for _ in range(QUARTETS)])
