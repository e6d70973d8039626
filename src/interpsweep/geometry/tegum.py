"""Statistics of a dictionary that splits into factors in orthogonal subspaces (tegum products).

A factor is a group of directions that share a subspace which no other direction enters. Sources:
Elhage et al. 2022, "Toy Models of Superposition" (polytopes, features per dimension).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import connected_components

from interpsweep.geometry.nulls import random_directions

Array = NDArray[np.float64]
RANK_SHARE = 0.05  # a factor's dimension counts from this share of its largest eigenvalue on
# D of a vertex of the heptagon, square antiprism, pentagon, digon, triangle and tetrahedron
POLYTOPE_FRACTIONS = (2 / 7, 3 / 8, 2 / 5, 1 / 2, 2 / 3, 3 / 4)
NEAR = 0.005
FACTOR_QUANTILE = 0.999  # of |cosine| of random directions, above which two share a factor


class TegumShape(NamedTuple):
    """How far a dictionary is a tegum product of given factors."""

    block_share: float  # off-diagonal squared cosines within factors / all of them; 1: a product
    filled_rank: float  # sum of D_i / rank; 1 if every factor is a tight frame of its own subspace
    rank: int  # dimensions of the span of all rows
    largest_cosine: float  # of the first principal angle between two factors' subspaces; 0: product
    mean_cosine: float  # mean over pairs of factors of that cosine


def dimensionality(rows: NDArray[np.floating]) -> Array:
    """Features per dimension of rows (n, d): D_i = |w_i|^2 / sum_j (w_i/|w_i| . w_j)^2, (n,).

    Their sum is at most the rank, and equals it iff the rows are a tight frame of each of their
    orthogonal blocks (Elhage et al. 2022, "Geometry of superposition"). A row of zeros has none.
    """
    rows = rows.astype(np.float64)
    norms = np.einsum("ij,ij->i", rows, rows)
    shared = np.einsum("ij,jk,ik->i", rows, rows.T @ rows, rows, optimize=True)
    return np.divide(norms**2, shared, out=np.zeros(len(rows)), where=shared > 0)


def filled(unit: NDArray[np.floating]) -> float:
    """Sum of D_i over the dimensions there are: 1 if every dimension is used up; unit (n, d)."""
    return float(dimensionality(unit).sum() / min(unit.shape))


def polytope_excess(unit: NDArray[np.floating]) -> float:
    """Share of rows whose D_i is at the fraction of a small polytope, minus that right beside it.

    At: within NEAR of one of `POLYTOPE_FRACTIONS`. Beside: at NEAR to 2 NEAR, which is as wide. A
    smooth distribution of D gives 0 wherever its bulk lies.
    """
    found = dimensionality(unit)[:, None]
    apart = np.abs(found - np.array(POLYTOPE_FRACTIONS)).min(axis=1)
    return float(np.mean(apart < NEAR) - np.mean((apart >= NEAR) & (apart < 2 * NEAR)))


def factors(unit: NDArray[np.floating], threshold: float) -> NDArray[np.int64]:
    """Connected components (n,) of the graph of pairs with |cosine| above `threshold`.

    A direction alone in its component belongs to no factor: -1. A polytope that is itself a tegum
    product, like the triangular bipyramid, comes back as its factors.
    """
    linked = np.abs(unit @ unit.T) > threshold
    _, label = connected_components(csr_matrix(linked), directed=False)
    label[np.bincount(label)[label] < 2] = -1
    return label.astype(np.int64)


def null_threshold(n: int, dim: int, quantile: float, rng: np.random.Generator) -> float:
    """That quantile of |cosine| among `n` (at most 2,048) random directions in R^dim."""
    n = min(n, 2048)
    rows = random_directions(n, dim, 1, rng)[0]
    return float(np.quantile(np.abs((rows @ rows.T)[np.triu_indices(n, 1)]), quantile))


def span(rows: NDArray[np.floating]) -> Array:
    """Orthonormal basis (r, d) of the dimensions that rows (n, d) fill."""
    _, s, axes = np.linalg.svd(rows.astype(np.float64), full_matrices=False)
    return axes[s**2 > RANK_SHARE * s[0] ** 2]


def measure(unit: NDArray[np.floating], factor: NDArray[np.integer]) -> TegumShape:
    """Statistics of unit rows (n, d) with the factor of each row (n,); -1 belongs to none."""
    gram = (unit.astype(np.float64) @ unit.T.astype(np.float64)) ** 2
    np.fill_diagonal(gram, 0.0)
    same = (factor[:, None] == factor) & (factor >= 0)[:, None]
    bases = [span(unit[factor == f]) for f in np.unique(factor[factor >= 0])]
    cosines = [
        float(np.linalg.norm(a @ b.T, 2)) for i, a in enumerate(bases) for b in bases[i + 1 :]
    ]
    rank = len(span(unit))
    return TegumShape(
        float(gram[same].sum() / max(gram.sum(), 1e-300)),
        float(dimensionality(unit).sum() / rank),
        rank,
        max(cosines, default=0.0),
        float(np.mean(cosines)) if cosines else 0.0,
    )
