"""Nulls of the census: what the same statistic gives without the structure."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]


def principal(directions: NDArray[np.floating], components: int) -> Points:
    """Principal coordinates (k, r) of the rows, centred, r = min(components, k - 1, d)."""
    centred = directions - directions.mean(axis=0)
    u, s, _ = np.linalg.svd(centred.astype(np.float64), full_matrices=False)
    r = max(1, min(components, len(directions) - 1, directions.shape[1]))
    return u[:, :r] * s[:r]


def haar(points: Points, draws: int, rng: np.random.Generator) -> Points:
    """Null N1: Haar-random arrangements with the same centre and spectrum, (draws, k, r).

    U of the singular value decomposition is replaced by a random orthonormal frame orthogonal to
    the constant vector: the subspace and its singular values stay, the arrangement is lost.
    """
    normal = rng.standard_normal((draws, *points.shape))
    frames, _ = np.linalg.qr(normal - normal.mean(axis=1, keepdims=True))
    return frames * np.linalg.norm(points, axis=0)


def random_directions(k: int, dim: int, draws: int, rng: np.random.Generator) -> Points:
    """Null N0: k random unit directions in R^dim, (draws, k, dim)."""
    normal = rng.standard_normal((draws, k, dim))
    return normal / np.linalg.norm(normal, axis=2, keepdims=True)


def upper_p(observed: float, null: NDArray[np.floating]) -> float:
    """(1 + #{null >= observed}) / (1 + #null)."""
    return float((1 + np.sum(null >= observed)) / (1 + len(null)))


SIZE_EDGES = (6, 9, 14, 22)  # clusters are compared with null clusters of their own size bin


def selected_p(
    size: int, z: float, null_sizes: NDArray[np.integer], null_z: NDArray[np.floating]
) -> tuple[float, int]:
    """p of `z` among clusters that the same algorithm found in null dictionaries, and their number.

    A cluster is compared with null clusters of its size bin; with none in it, with all of them.
    """
    same = np.digitize(null_sizes, SIZE_EDGES) == np.digitize(size, SIZE_EDGES)
    pool = null_z[same] if same.any() else null_z
    return upper_p(z, pool), len(pool)
