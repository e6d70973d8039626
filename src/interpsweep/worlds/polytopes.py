"""Polytopes of superposition and their tegum products, with the features per dimension they have.

In a toy model of superposition (Elhage et al. 2022, "Toy Models of Superposition") features settle
on the vertices of small polytopes around the origin, one polytope per orthogonal subspace. A vertex
of a polytope of n vertices in r dimensions that is a tight frame takes D = r / n dimensions.
"""

from __future__ import annotations

from fractions import Fraction
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from interpsweep.vectors import unit_length
from interpsweep.worlds.shapes import frame, polygon, simplex

Array = NDArray[np.float64]
TIGHT_HEIGHT = 1 / np.sqrt(3)  # half height over radius of a square antiprism that is a tight frame
THOMSON_HEIGHT = 0.5605  # that of eight electrons on a sphere, half height for circumradius 1


class Tegum(NamedTuple):
    """Unit rows (n, d) of polytopes in orthogonal subspaces, and the factor of each row, (n,)."""

    unit: Array
    factor: NDArray[np.int64]
    ranks: NDArray[np.int64]  # (factors,)


def square_antiprism(height: float = THOMSON_HEIGHT) -> Array:
    """Eight unit vectors in R^3: two squares at +-`height`, turned by 45 degrees, (8, 3)."""
    angle = np.pi / 4 * np.arange(8)
    level = np.where(np.arange(8) % 2, -height, height)
    width = np.sqrt(1 - height**2)
    return np.column_stack([width * np.cos(angle), width * np.sin(angle), level])


def octahedron() -> Array:
    """Three antipodal pairs, (6, 3): itself a tegum product of three digons."""
    return np.vstack([np.eye(3), -np.eye(3)])


def bipyramid() -> Array:
    """A digon on the axis of a triangle, (5, 3): the tegum product of both."""
    made = np.zeros((5, 3))
    made[:2, 2] = 1, -1
    made[2:, :2] = polygon(3)
    return made


POLYTOPES: dict[str, Array] = {
    "digon": np.array([[1.0], [-1.0]]),
    "triangle": polygon(3),
    "square": polygon(4),
    "tetrahedron": simplex(4),
    "pentagon": polygon(5),
    "heptagon": polygon(7),
    "octahedron": octahedron(),
    "5-simplex": simplex(6),
    "square antiprism": square_antiprism(TIGHT_HEIGHT),
}
# features per dimension: what one vertex takes up
FRACTIONS: dict[str, Fraction] = {
    name: Fraction(points.shape[1], points.shape[0]) for name, points in POLYTOPES.items()
}


def tegum(names: list[str], rng: np.random.Generator, dim: int = 0, noise: float = 0.0) -> Tegum:
    """The tegum product of named polytopes, turned at random in R^dim (as small as fits unless
    given).

    `noise` is the expected norm of the Gaussian vector added to every row before rows are
    normalised again.
    """
    blocks = [POLYTOPES[name] for name in names]
    ranks = np.array([block.shape[1] for block in blocks])
    dim = dim or int(ranks.sum())
    basis, first = frame(dim, int(ranks.sum()), rng), 0
    rows = []
    for block in blocks:
        rows.append(block @ basis[first : first + block.shape[1]])
        first += block.shape[1]
    made = np.concatenate(rows)
    made += noise / np.sqrt(dim) * rng.standard_normal(made.shape)
    return Tegum(
        unit_length(made), np.repeat(np.arange(len(blocks)), [len(b) for b in blocks]), ranks
    )
