"""Clusters of directions: average linkage on cosines, cut where the clusters last longest."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.hierarchy import linkage
from sklearn.cluster import KMeans

LASTING = 0.5  # share of a cluster's persistence that its parts need together


class Cluster(NamedTuple):
    """One cluster: member rows in ascending order, and its excess of mass in the dendrogram."""

    members: NDArray[np.int64]
    persistence: float


def find(
    unit: NDArray[np.float32], smallest: int, largest: int, limit: int, seed: int
) -> list[Cluster]:
    """Disjoint clusters of unit rows (n, d) with `smallest` to `largest` members, longest-lived
    first.

    Average linkage on 1 - cosine; among nested candidates those are kept whose persistence, members
    times the height over which the cluster exists, is largest in sum (the excess-of-mass choice of
    HDBSCAN). More than `limit` rows are first halved by 2-means until no part exceeds it.
    """
    found = []
    for part in _halves(unit, np.arange(len(unit)), limit, seed):
        if len(part) >= smallest:
            found += [
                Cluster(part[members], mass)
                for members, mass in _persistent(unit[part], smallest, largest)
            ]
    found.sort(key=lambda cluster: (-cluster.persistence, int(cluster.members[0])))
    return found


def parts(unit: NDArray[np.float32], whole: Cluster, smallest: int) -> list[Cluster]:
    """The clusters that a cluster of `find` falls into, with rows of `unit` (n, d) as members.

    The best choice below the whole, as in `find`: parts of at least `smallest` members. They count
    if they are two or more and together last nearly as long as the whole (`LASTING` of its
    persistence); the splinters that break off every cluster do not.
    """
    if len(whole.members) < 2 * smallest:
        return []
    found = _persistent(unit[whole.members], smallest, len(whole.members) - 1)
    if len(found) < 2 or sum(mass for _, mass in found) < LASTING * whole.persistence:
        return []
    return [Cluster(whole.members[members], mass) for members, mass in found]


def _halves(
    unit: NDArray[np.float32], rows: NDArray[np.int64], limit: int, seed: int
) -> list[NDArray[np.int64]]:
    if len(rows) <= limit:
        return [rows]
    side = KMeans(2, n_init=1, random_state=seed).fit_predict(unit[rows])
    if side.all() or not side.any():  # identical rows: halve them as they come
        side = np.arange(len(rows)) % 2
    return [p for s in (0, 1) for p in _halves(unit, rows[side == s], limit, seed)]


def _persistent(
    unit: NDArray[np.float32], smallest: int, largest: int
) -> list[tuple[NDArray[np.int64], float]]:
    n = len(unit)
    distance = np.clip(1 - unit.astype(np.float64) @ unit.T.astype(np.float64), 0, 2)
    merges = linkage(distance[np.triu_indices(n, 1)], "average")
    height = np.concatenate([np.zeros(n), merges[:, 2]])
    size = np.concatenate([np.ones(n), merges[:, 3]]).astype(int)
    above = height.copy()  # height at which a node is swallowed
    for node, (left, right) in enumerate(merges[:, :2].astype(int), start=n):
        above[left] = above[right] = height[node]
    fits = (size >= smallest) & (size <= largest)
    mass = np.where(fits, (above - height) * size, 0.0)
    best, taken = mass.copy(), fits.copy()
    for node, (left, right) in enumerate(merges[:, :2].astype(int), start=n):
        below = best[left] + best[right]
        taken[node] = fits[node] and mass[node] > 0 and mass[node] >= below
        best[node] = mass[node] if taken[node] else below
    return _collect(merges[:, :2].astype(int), taken & (mass > 0), mass, n)


def _collect(
    merges: NDArray[np.int_], taken: NDArray[np.bool_], mass: NDArray[np.float64], n: int
) -> list[tuple[NDArray[np.int64], float]]:
    """Topmost taken nodes and the leaves under them."""
    found, stack = [], [n + len(merges) - 1]
    while stack:
        node = stack.pop()
        if taken[node]:
            found.append((np.sort(_leaves(merges, node, n)), float(mass[node])))
        elif node >= n:
            stack.extend(merges[node - n])
    return found


def _leaves(merges: NDArray[np.int_], node: int, n: int) -> NDArray[np.int64]:
    leaves, stack = [], [node]
    while stack:
        here = stack.pop()
        if here < n:
            leaves.append(here)
        else:
            stack.extend(merges[here - n])
    return np.array(leaves, np.int64)
