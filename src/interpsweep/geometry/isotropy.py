"""Do directions fill their space evenly? Isotropy, mean cosine and hubs of unit rows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
BLOCK = 2048  # rows of one block of cosines


def partition_ratio(unit: Array) -> float:
    """min / max over c of Z(c) = sum_i exp(c . d_i), c the eigenvectors of the Gram and minus them.

    1 for perfectly even directions (Mu and Viswanath 2018, "All-but-the-Top", after Arora et al.
    2016).
    """
    _, vectors = np.linalg.eigh(unit.T @ unit)
    along = unit @ vectors
    z = np.concatenate([np.exp(along).sum(axis=0), np.exp(-along).sum(axis=0)])
    return float(z.min() / z.max())


def mean_cosine(unit: Array) -> float:
    """Mean cosine of two different rows."""
    n, total = len(unit), unit.sum(axis=0)
    return float((total @ total - n) / (n * (n - 1)))


def occurrences(unit: Array, k: int) -> NDArray[np.int64]:
    """How many rows have each row among their `k` nearest by cosine, (n,)."""
    n = len(unit)
    k, counts = min(k, n - 1), np.zeros(n, np.int64)
    for first in range(0, n, BLOCK):
        cosines = unit[first : first + BLOCK] @ unit.T
        rows = np.arange(len(cosines))
        cosines[rows, first + rows] = -np.inf
        near = np.argpartition(-cosines, k - 1, axis=1)[:, :k]
        counts += np.bincount(near.ravel(), minlength=n)
    return counts


def hubness(unit: Array, k: int) -> float:
    """Skewness of the k-occurrences (Radovanovic et al. 2010, "Hubs in Space"); 0: no hubs."""
    counts = occurrences(unit, k).astype(float)
    spread = counts.std()
    return float(np.mean((counts - counts.mean()) ** 3) / spread**3) if spread > 0 else 0.0
