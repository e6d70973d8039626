"""Nulls of the census: what the same statistic gives without the structure."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]
HITS = 10  # exceedances after which a Monte Carlo p is settled (Besag and Clifford 1991)
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


def settled_p(
    observed: float, drawn: NDArray[np.floating], draw: Callable[[int], Points], most: int
) -> tuple[float, int]:
    """p of `observed` and the draws behind it, by sequential Monte Carlo (Besag and Clifford 1991).

    Draws come from `drawn`, then from `draw(n)`, until `HITS` of them reach `observed`, which
    happens at draw L: p = HITS / L. If `most` draws are too few for that, (1 + hits) / (1 + draws).
    """
    reached = [drawn >= observed]
    while sum(int(part.sum()) for part in reached) < HITS:
        left = most - sum(map(len, reached))
        if left <= 0:
            break
        reached.append(draw(min(AT_ONCE, left)) >= observed)
    every = np.concatenate(reached)
    hits = np.flatnonzero(every)
    if len(hits) >= HITS:
        return HITS / float(hits[HITS - 1] + 1), int(hits[HITS - 1] + 1)
    return float((1 + len(hits)) / (1 + len(every))), len(every)


SIZE_EDGES = (6, 9, 14, 22)  # clusters are compared with null clusters of their own size bin
TAIL = 0.1  # share of the null clusters that its tail is continued from
ENOUGH = 100  # null clusters without which no tail is continued


def selected_p(
    size: int, z: float, null_sizes: NDArray[np.integer], null_z: NDArray[np.floating]
) -> tuple[float, int]:
    """p of `z` among clusters that the same algorithm found in null dictionaries, and their number.

    A cluster is compared with null clusters of its size bin (NaN: not tested); with none in it,
    with all of them. Where fewer than `HITS` of at least `ENOUGH` null clusters reach z, p is read
    off an exponential continued from their upper tenth (the generalised Pareto tail of Knijnenburg
    et al. 2009 with shape 0: too heavy, so p is too large, for tails that fall like a Gaussian's).
    """
    same = np.digitize(null_sizes, SIZE_EDGES) == np.digitize(size, SIZE_EDGES)
    known = ~np.isnan(null_z)
    pool = null_z[same & known] if (same & known).any() else null_z[known]
    plain = upper_p(z, pool)
    if len(pool) < ENOUGH or np.sum(pool >= z) >= HITS:
        return plain, len(pool)
    edge = np.quantile(pool, 1 - TAIL)
    above = pool[pool > edge] - edge
    continued = (1 + len(above)) / (1 + len(pool)) * np.exp(-(z - edge) / above.mean())
    return float(min(plain, continued)), len(pool)
