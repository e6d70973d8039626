"""Points of a sphere: equal radii in the three leading components."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from interpsweep.geometry.shapes.spread import scaled, share, variation

AXES = 3
FLAT = 0.25  # smallest variance of the third component, in those of the first
Points = NDArray[np.float64]


def statistic(points: Points) -> Points:
    """exp(-CV(radius)) after scaling to equal variance, (B, k, r) -> (B,); 1 on a sphere."""
    return np.exp(-variation(np.linalg.norm(scaled(points, AXES), axis=2)))


def applies(points: Points) -> NDArray[np.bool_]:
    """Whether points (B, k, r) have a third component with `FLAT` of the variance of the first."""
    return share(points, AXES - 1) >= FLAT
