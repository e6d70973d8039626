"""Points as the leaves of a tree: internal edges in the four-point condition."""

from __future__ import annotations

from functools import lru_cache
from itertools import combinations
from math import comb

import numpy as np
from numpy.typing import NDArray

QUARTETS = 300  # sampled above this many


def statistic(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Treeness (B, k, r) -> (B,): E[(S2 - S3) - (S1 - S2)] / E[S1] over quartets of points.

    S1 >= S2 >= S3 are the three sums of opposite distances. In a tree metric S1 = S2, and S2 - S3
    is twice the internal edge; equidistant points (a star) give 0, not a high value.
    """
    distance = np.sqrt(np.maximum(np.sum((points[:, :, None] - points[:, None]) ** 2, axis=3), 0.0))
    a, b, c, d = quartets(points.shape[1]).T
    sums = np.sort(
        np.stack(
            [
                distance[:, a, b] + distance[:, c, d],
                distance[:, a, c] + distance[:, b, d],
                distance[:, a, d] + distance[:, b, c],
            ]
        ),
        axis=0,
    )
    treeness = (sums[1] - sums[0]) - (sums[2] - sums[1])
    return treeness.mean(axis=1) / np.maximum(sums[2].mean(axis=1), 1e-300)


@lru_cache(maxsize=256)
def quartets(k: int) -> NDArray[np.intp]:
    """Quartets of k points, all or a fixed sample of `QUARTETS`, (q, 4)."""
    if comb(k, 4) <= QUARTETS:
        return np.array(list(combinations(range(k), 4)))
    rng = np.random.default_rng(k)
    return np.array([rng.choice(k, 4, replace=False) for _ in range(QUARTETS)])
