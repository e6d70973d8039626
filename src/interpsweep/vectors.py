"""Vectors as rows of an array."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def unit_length(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rows (..., d) scaled to length one; rows of zeros stay."""
    return rows / np.maximum(np.linalg.norm(rows, axis=-1, keepdims=True), 1e-300)
