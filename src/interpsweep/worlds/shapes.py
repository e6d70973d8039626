"""Arrangements of points with a known shape, and how they are planted among decoder directions.

Every arrangement is centred or a polytope around the origin, float64, one row per point, in as few
dimensions as the shape needs; rows stand in the shape's own order. Random ones draw from the `rng`
they are given, so a seed determines a world.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from interpsweep.vectors import unit_length
from interpsweep.worlds.structureless import isotropic

Array = NDArray[np.float64]


class Planted(NamedTuple):
    """A dictionary with known structure: unit rows (n, d) and the group of each row, (n,).

    Group -1 is background: directions that belong to no shape. `names` has one name per group.
    """

    unit: Array
    group: NDArray[np.int64]
    names: tuple[str, ...]


# ---------------------------------------------------------------------------- arrangements


def polygon(k: int) -> Array:
    """A regular polygon: `k` equal steps round the unit circle, (k, 2)."""
    angle = 2 * np.pi * np.arange(k) / k
    return np.column_stack([np.cos(angle), np.sin(angle)])


def circle(k: int, rng: np.random.Generator) -> Array:
    """`k` uniformly drawn points of the unit circle in their circular order, (k, 2)."""
    angle = np.sort(rng.uniform(0, 2 * np.pi, k))
    return np.column_stack([np.cos(angle), np.sin(angle)])


def line(k: int) -> Array:
    """`k` equal steps on a straight line from -1 to 1, (k, 1)."""
    return np.linspace(-1, 1, k)[:, None]


def arc(k: int, degrees: float = 180.0) -> Array:
    """`k` equal steps along an arc of the unit circle, centred, (k, 2): an ordered curve."""
    angle = np.radians(np.linspace(-degrees / 2, degrees / 2, k))
    points = np.column_stack([np.cos(angle), np.sin(angle)])
    return points - points.mean(axis=0)


def helix(k: int, turns: float = 2.0, pitch: float = 1.0) -> Array:
    """`k` equal steps along a helix of radius 1 that rises by 2 `pitch` in all, (k, 3)."""
    t = np.linspace(-1, 1, k)
    angle = np.pi * turns * t
    return np.column_stack([np.cos(angle), np.sin(angle), pitch * t])


def tree(branching: Sequence[int], decay: float, rng: np.random.Generator) -> Array:
    """Leaves of a tree whose levels branch as given, centred, (prod(branching), inner nodes).

    Every node below the root adds a direction of its own, orthogonal in expectation to all others
    (here: exactly), of length `decay` to the power of its level; leaves are sums along their path.
    """
    sizes = np.cumprod(branching)
    leaves = int(sizes[-1])
    basis = np.linalg.qr(rng.standard_normal((int(sizes.sum()), int(sizes.sum()))))[0]
    made, first = np.zeros((leaves, len(basis))), 0
    for level, size in enumerate(sizes):
        made += decay**level * basis[first + np.arange(leaves) * size // leaves]
        first += int(size)
    return made - made.mean(axis=0)


def simplex(k: int) -> Array:
    """The regular simplex: `k` unit vectors with pairwise cosine -1 / (k - 1), (k, k - 1)."""
    centred = np.eye(k) - 1 / k
    u, s, _ = np.linalg.svd(centred)
    points = u[:, : k - 1] * s[: k - 1]
    return unit_length(points)


def torus(m: int, n: int, ratio: float = 1.0) -> Array:
    """The m x n grid of a flat torus: an m-gon times an n-gon of radius `ratio`, (m n, 4)."""
    return np.hstack([np.repeat(polygon(m), n, axis=0), ratio * np.tile(polygon(n), (m, 1))])


def grid(m: int, n: int) -> Array:
    """An m x n grid of unit steps scaled to [-1, 1] on both sides, (m n, 2)."""
    return np.hstack([np.repeat(line(m), n, axis=0), np.tile(line(n), (m, 1))])


def sphere(k: int, rng: np.random.Generator) -> Array:
    """`k` uniformly drawn points of the unit sphere, (k, 3)."""
    return isotropic(k, 3, rng)


def fibonacci(k: int) -> Array:
    """`k` evenly spread points of the unit sphere: the Fibonacci lattice, (k, 3)."""
    height = 1 - (2 * np.arange(k) + 1) / k
    angle = np.pi * (1 + np.sqrt(5)) * np.arange(k)
    width = np.sqrt(1 - height**2)
    return np.column_stack([width * np.cos(angle), width * np.sin(angle), height])


# ---------------------------------------------------------------------------- planting


def frame(dim: int, count: int, rng: np.random.Generator) -> Array:
    """`count` random orthonormal rows in R^dim."""
    return np.linalg.qr(rng.standard_normal((dim, count)))[0].T


def embed(
    points: Array, dim: int, rng: np.random.Generator, centre: float = 1.0, noise: float = 0.0
) -> Array:
    """Unit rows (k, dim): the points in a random subspace, moved off the origin, with noise.

    Points are scaled to root mean square norm 1. `centre` is the distance of their common centre
    from the origin, orthogonal to their subspace: with it the rows have a mean cosine of about
    centre^2 / (1 + centre^2 + noise^2) and stand together in a dictionary. `noise` is the expected
    norm of the isotropic Gaussian vector that is added to every row.
    """
    k, r = points.shape
    if r + 1 > dim:
        raise ValueError(f"{r} dimensions and a centre do not fit into R^{dim}")
    basis = frame(dim, r + 1, rng)
    scaled = points / np.sqrt(np.mean(np.sum(points**2, axis=1)))
    rows = scaled @ basis[:r] + centre * basis[r]
    rows += noise / np.sqrt(dim) * rng.standard_normal((k, dim))
    return unit_length(rows)


def plant(
    arrangements: dict[str, Array],
    background: int,
    dim: int,
    rng: np.random.Generator,
    centre: float = 1.0,
    noise: float = 0.3,
) -> Planted:
    """A dictionary of the arrangements (see `embed`) and `background` isotropic directions.

    Rows are in random order, so that nothing can be read from their numbers.
    """
    parts = [embed(points, dim, rng, centre, noise) for points in arrangements.values()]
    parts.append(isotropic(background, dim, rng))
    group = np.repeat([*range(len(arrangements)), -1], [len(part) for part in parts])
    order = rng.permutation(len(group))
    return Planted(np.concatenate(parts)[order], group[order], tuple(arrangements))
