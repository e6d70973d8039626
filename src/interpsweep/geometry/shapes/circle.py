"""Points on a circle: equal radii and even gaps in a plane that holds much of the variance."""

from __future__ import annotations

from itertools import combinations

import numpy as np
from numpy.typing import NDArray

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
    variance = np.sum(points**2, axis=1)
    total = np.maximum(variance.sum(axis=1), 1e-300)
    made = []
    for i, j in planes(points.shape[2]):
        share = (variance[:, i] + variance[:, j]) / total
        spread = np.sqrt(np.maximum(variance[:, [i, j]], 1e-300))[:, None, :]
        x, y = np.moveaxis(points[:, :, [i, j]] / spread, 2, 0)
        radius, angle = np.hypot(x, y), np.sort(np.arctan2(y, x), axis=1)
        gaps = np.diff(np.concatenate([angle, angle[:, :1] + 2 * np.pi], axis=1), axis=1)
        made.append(share * np.exp(-_cv(radius) - 0.5 * _cv(gaps)))
    return np.array(made)


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


def _cv(values: Points) -> NDArray[np.float64]:
    return values.std(axis=1) / np.maximum(values.mean(axis=1), 1e-300)
