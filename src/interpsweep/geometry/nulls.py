"""Nulls of the census: what the same statistic gives without the structure."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from interpsweep.vectors import unit_length

Points = NDArray[np.float64]
# at which a test's own null rejects, and a shape counts as found within one SAE; the claims have
# a level of their own
LEVEL = 0.05
TINY = 1e-9  # two statistics closer than this are equal
HITS = 10  # exceedances after which a Monte Carlo p is settled (Besag and Clifford 1991)
FIRST = 100  # draws of the first batch
AT_ONCE = 600  # draws of one further batch


def principal(directions: NDArray[np.floating], components: int) -> Points:
    """Principal coordinates (k, r) of the rows, centred, r = min(components, k - 1, d)."""
    centred = directions - directions.mean(axis=0)
    u, s, _ = np.linalg.svd(centred.astype(np.float64), full_matrices=False)
    r = max(1, min(components, len(directions) - 1, directions.shape[1]))
    return u[:, :r] * s[:r]


OUTLYING = 6.0  # robust standard deviations from which a point is a stray


def inliers(points: NDArray[np.floating]) -> NDArray[np.intp]:
    """Rows that are not far from all others.

    A stray's distance to the median point exceeds the median of these distances by `OUTLYING`
    times 1.4826 times their median absolute deviation.
    """
    far = np.linalg.norm(points - np.median(points, axis=0), axis=1)
    spread = 1.4826 * np.median(np.abs(far - np.median(far)))
    return np.flatnonzero(far <= np.median(far) + OUTLYING * spread)


def centred(k: int, m: int, draws: int, rng: np.random.Generator) -> Points:
    """Haar-random orthonormal frames orthogonal to the constant vector, (draws, k, m), m < k."""
    normal = rng.standard_normal((draws, k, m))
    return np.linalg.qr(normal - normal.mean(axis=1, keepdims=True))[0]


def free(k: int, m: int, draws: int, rng: np.random.Generator) -> Points:
    """Haar-random orthonormal frames, (draws, k, m), m <= k."""
    return np.linalg.qr(rng.standard_normal((draws, k, m)))[0]


def haar(points: Points, draws: int, rng: np.random.Generator) -> Points:
    """Null N1: Haar-random arrangements with the same centre and spectrum, (draws, k, r).

    U of the singular value decomposition is replaced by a random orthonormal frame orthogonal to
    the constant vector: the subspace and its singular values stay, the arrangement is lost.
    """
    k, r = points.shape
    return centred(k, r, draws, rng) * np.linalg.norm(points, axis=0)


def random_directions(k: int, dim: int, draws: int, rng: np.random.Generator) -> Points:
    """Null N0: k random unit directions in R^dim, (draws, k, dim)."""
    return unit_length(rng.standard_normal((draws, k, dim)))


def scattered(k: int, dim: int, draws: int, rng: np.random.Generator) -> Points:
    """`random_directions` by coordinates in the space that they span, (draws, k, min(k, dim)).

    There Gaussian vectors have a triangular form (Bartlett 1933): chi-distributed on the diagonal,
    normal below it.
    """
    r = min(k, dim)
    rows = np.tril(rng.standard_normal((draws, k, r)), -1)
    here = np.arange(r)
    rows[:, here, here] = np.sqrt(rng.chisquare(dim - here, (draws, r)))
    return unit_length(rows)


def batch_principal(points: Points, components: int) -> Points:
    """`principal` of a batch (B, k, d) -> (B, k, r), by the Gram matrices."""
    centred = points - points.mean(axis=1, keepdims=True)
    values, vectors = np.linalg.eigh(centred @ centred.transpose(0, 2, 1))
    r = max(1, min(components, points.shape[1] - 1, points.shape[2]))
    scale = np.sqrt(np.maximum(values[:, None, : -r - 1 : -1], 0.0))
    return vectors[:, :, : -r - 1 : -1] * scale


def upper_p(observed: float, null: NDArray[np.floating]) -> float:
    """(1 + #{null >= observed}) / (1 + #null)."""
    return float((1 + np.sum(null >= observed)) / (1 + len(null)))


def counted_p(observed: float, null: NDArray[np.floating], exact: bool) -> float:
    """Share of `null` that reaches `observed`: of all there are, the observed one among them, if
    `exact`; else of random ones, with the observed one added.
    """
    reached = int(np.sum(null >= observed - TINY))
    return reached / len(null) if exact else (1 + reached) / (1 + len(null))


def settled_p(observed: float, draw: Callable[[int], Points], most: int) -> tuple[float, int]:
    """p of `observed` and the draws behind it, by sequential Monte Carlo (Besag and Clifford 1991).

    Draws come from `draw(n)` until `HITS` of them reach `observed`, which happens at draw L:
    p = HITS / L. If `most` draws are too few for that, (1 + hits) / (1 + draws).
    """
    reached = [draw(min(FIRST, most)) >= observed]
    while sum(int(part.sum()) for part in reached) < HITS:
        left = most - sum(map(len, reached))
        if left <= 0:
            break
        reached.append(draw(min(AT_ONCE, left)) >= observed)
    return sequential(np.concatenate(reached))


def sequential(reached: NDArray[np.bool_]) -> tuple[float, int]:
    """Besag and Clifford's p of draws in order that reach the observed value or not, and how many
    of them it used.
    """
    hits = np.flatnonzero(reached)
    if len(hits) >= HITS:
        return HITS / float(hits[HITS - 1] + 1), int(hits[HITS - 1] + 1)
    return float((1 + len(hits)) / (1 + len(reached))), len(reached)


SIZE_EDGES = (6, 9, 14, 22)  # clusters are compared with null clusters of their own size bin


def size_bin(size: NDArray[np.integer] | int) -> NDArray[np.intp]:
    """Number of the size bin of clusters."""
    return np.digitize(size, SIZE_EDGES)


def selected_p(
    size: int,
    z: float,
    null_sizes: NDArray[np.integer],
    null_z: NDArray[np.floating],
    needed: float = 1.0,
) -> tuple[float, int]:
    """p of `z` among clusters that the same algorithm found in null dictionaries, and their number.

    A cluster is compared with null clusters of its size bin (NaN: not tested) in the order in
    which they were found. NaN if they are too few for a p of at most `needed`.
    """
    pool = null_z[(size_bin(null_sizes) == size_bin(size)) & ~np.isnan(null_z)]
    reached = pool >= z
    if reached.sum() < HITS and needed * (1 + len(pool)) < 1:
        return float("nan"), len(pool)
    return sequential(reached)[0], len(pool)
