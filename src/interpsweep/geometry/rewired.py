"""Simplices dealt out anew: every vertex stays in as many simplices, every simplex keeps its size.

Trades of Strona et al. (Nature Communications 5, 2014, "curveball"), whose stationary distribution
is uniform over such sets of simplices (Carstens 2015, Physical Review E 91). Draws are made by the
parallel method of Besag and Clifford (Biometrika 76, 1989): the given simplices are traded up to a
common origin, and every draw starts from there. Under the null all of them are then exchangeable,
however far the trades mix, and a p counted among them is exact.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from interpsweep.compiled import compiled

Ints = NDArray[np.int64]
TRADES = 5  # per simplex and draw; each changes two


def rewired(simplices: Ints, draws: int, rng: np.random.Generator) -> Iterator[Ints]:
    """`draws` random sets in place of simplices (m, k) of distinct vertices, -1 where one has
    fewer; (m, k) each.
    """
    origin = traded(simplices, rng)
    for _ in range(draws):
        yield traded(origin, rng)


def traded(simplices: Ints, rng: np.random.Generator) -> Ints:
    """Simplices (m, k) after `TRADES` m trades between two of them."""
    rows = np.sort(simplices, axis=1)[:, ::-1].copy()  # -1 comes last
    count = TRADES * len(rows)
    partners = rng.integers(max(len(rows), 1), size=(count, 2))
    _trade(rows, partners, rng.random((count, 2 * rows.shape[1])))
    return rows


@compiled
def _trade(rows: Ints, partners: Ints, keys: NDArray[np.float64]) -> None:
    """Deal out, in place, what only one of each two rows has, in the order of random keys."""
    k = rows.shape[1]
    pool, key = np.empty(2 * k, np.int64), np.empty(2 * k, np.float64)
    whose, where = np.empty(2 * k, np.int64), np.empty(2 * k, np.int64)
    for t in range(len(partners)):
        if partners[t, 0] == partners[t, 1]:
            continue
        n = 0
        for side in range(2):
            own, other = partners[t, side], partners[t, 1 - side]
            for i in range(k):
                v = rows[own, i]
                if v < 0:
                    break
                shared = False
                for j in range(k):
                    shared |= rows[other, j] == v
                if not shared:
                    pool[n], key[n], whose[n], where[n] = v, keys[t, n], own, i
                    n += 1
        for i in range(1, n):
            v, value, j = pool[i], key[i], i
            while j > 0 and key[j - 1] > value:
                pool[j], key[j] = pool[j - 1], key[j - 1]
                j -= 1
            pool[j], key[j] = v, value
        for i in range(n):
            rows[whose[i], where[i]] = pool[i]
