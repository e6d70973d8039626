"""Points of a regular simplex: all distances equal, more so than for random directions."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def statistic(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Minus the coefficient of variation of the pairwise distances, (B, k, d) -> (B,)."""
    gram = points @ points.transpose(0, 2, 1)
    norms = np.einsum("bii->bi", gram)
    first, second = np.triu_indices(points.shape[1], 1)
    squared = norms[:, first] + norms[:, second] - 2 * gram[:, first, second]
    distance = np.sqrt(np.maximum(squared, 0.0))
    return -distance.std(axis=1) / np.maximum(distance.mean(axis=1), 1e-300)
