"""Points of a sphere: equal radii in the three leading components."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

AXES = 3
FLAT = 0.25  # smallest variance of the third component, in those of the first
Points = NDArray[np.float64]


def statistic(points: Points) -> Points:
    """exp(-CV(radius)) after scaling to equal variance, (B, k, r) -> (B,); 1 on a sphere."""
    radius = np.linalg.norm(scaled(points), axis=2)
    return np.exp(-radius.std(axis=1) / np.maximum(radius.mean(axis=1), 1e-300))


def applies(points: Points) -> NDArray[np.bool_]:
    """Whether points (B, k, r) have a third component with `FLAT` of the variance of the first."""
    return share(points, AXES - 1) >= FLAT


def share(points: Points, component: int) -> Points:
    """Variance (B,) of a component of points (B, k, r) in that of the first; 0: there is none."""
    if component >= points.shape[2]:
        return np.zeros(len(points))
    variance = np.sum(points**2, axis=1)
    return np.asarray(variance[:, component] / np.maximum(variance[:, 0], 1e-300))


def scaled(points: Points) -> Points:
    """The three leading components with variance one each, (B, k, 3)."""
    three = points[:, :, :AXES]
    return three / np.sqrt(np.maximum(np.mean(three**2, axis=1, keepdims=True), 1e-300))
