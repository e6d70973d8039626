"""Points on a circle: equal radii and even gaps in a plane that holds much of the variance."""

from __future__ import annotations

from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from interpsweep.compiled import compiled

AXES = 3  # planes are searched among this many leading components
Points = NDArray[np.float64]


def statistic(points: Points) -> NDArray[np.float64]:
    """max over planes of share * exp(-CV(radius) - CV(gaps) / 2), (B, k, r) -> (B,).

    Coordinates of a plane are scaled to equal variance; `share` is the plane's part of all
    variance; gaps are between neighbouring angles. 1 for a regular polygon alone in its plane.
    """
    return scores(points).max(axis=0)


def scores(points: Points) -> NDArray[np.float64]:
    """The statistic of every plane, (planes, B)."""
    pairs = np.array(planes(points.shape[2]), np.int64).reshape(-1, 2)
    made = np.empty((len(pairs), len(points)))
    _scores(np.ascontiguousarray(points, np.float64), pairs, made)
    return made


@compiled
def _scores(points: Points, pairs: NDArray[np.int64], made: Points) -> None:
    batch, k, r = points.shape
    variance, angle = np.empty(r), np.empty(k)
    for b in range(batch):
        for c in range(r):
            variance[c] = 0.0
            for i in range(k):
                variance[c] += points[b, i, c] ** 2
        total = max(variance.sum(), 1e-300)
        for p in range(len(pairs)):
            first, second = pairs[p]
            wide = np.sqrt(max(variance[first], 1e-300))
            high = np.sqrt(max(variance[second], 1e-300))
            mean = square = 0.0
            for i in range(k):
                x, y = points[b, i, first] / wide, points[b, i, second] / high
                far = x * x + y * y
                square += far
                mean += np.sqrt(far)
                place = i  # angles are kept in order
                here = np.arctan2(y, x)
                while place > 0 and angle[place - 1] > here:
                    angle[place] = angle[place - 1]
                    place -= 1
                angle[place] = here
            mean /= k
            uneven = np.sqrt(max(square / k - mean * mean, 0.0)) / max(mean, 1e-300)
            even, spread = 2 * np.pi / k, 0.0
            for i in range(k):
                gap = angle[i + 1] - angle[i] if i + 1 < k else angle[0] + 2 * np.pi - angle[i]
                spread += (gap - even) ** 2
            gaps = np.sqrt(spread / k) / even
            share = (variance[first] + variance[second]) / total
            made[p, b] = share * np.exp(-uneven - 0.5 * gaps)


def planes(components: int) -> list[tuple[int, int]]:
    """Pairs of leading components that are searched."""
    return list(combinations(range(min(AXES, components)), 2))


def best_plane(points: NDArray[np.float64]) -> tuple[int, int]:
    """The plane of one cluster (k, r) with the largest statistic."""
    return planes(points.shape[1])[int(np.argmax(scores(points[None])[:, 0]))]


def order(points: NDArray[np.float64]) -> NDArray[np.intp]:
    """Points in the order of their angles, beginning after the widest gap."""
    i, j = best_plane(points)
    plane = points[:, [i, j]] / np.maximum(np.linalg.norm(points[:, [i, j]], axis=0), 1e-300)
    angle = np.arctan2(plane[:, 1], plane[:, 0])
    around = np.argsort(angle, kind="stable")
    gaps = np.diff(np.append(angle[around], angle[around[0]] + 2 * np.pi))
    return np.roll(around, -int(np.argmax(gaps)) - 1)
