"""How points are spread over their leading components, and how equal their radii are."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]


def share(points: Points, component: int) -> Points:
    """Variance (B,) of a component of points (B, k, r) in that of the first; 0: there is none."""
    if component >= points.shape[2]:
        return np.zeros(len(points))
    variance = np.sum(points**2, axis=1)
    return np.asarray(variance[:, component] / np.maximum(variance[:, 0], 1e-300))


def scaled(points: Points, axes: int) -> Points:
    """The leading components of points (B, k, r) with variance one each, (B, k, axes)."""
    some = points[:, :, :axes]
    return some / np.sqrt(np.maximum(np.mean(some**2, axis=1, keepdims=True), 1e-300))


def variation(radius: Points) -> Points:
    """Coefficient of variation of radii along the last axis."""
    return radius.std(axis=-1) / np.maximum(radius.mean(axis=-1), 1e-300)
