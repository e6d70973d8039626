"""Do the means of labelled values have their declared shape? Statistics and permutation tests.

Every test permutes which mean carries which label, so its null keeps the means exactly where they
are; the search over planes is repeated for every permutation.
"""

from __future__ import annotations

from itertools import combinations, permutations
from math import factorial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from interpsweep.geometry.nulls import counted_p
from interpsweep.geometry.shapes.line import rank_of_gap, standardise

Array = NDArray[np.float64]
Ints = NDArray[np.int64]


class Agreement(NamedTuple):
    """Agreement of points with a labelled shape, and its permutation null."""

    statistic: float
    null_mean: float
    null_sd: float
    z: float
    p: float
    p_floor: float
    permutations: int
    exact: bool
    plane: tuple[int, int]


def centred_components(means: Array, most: int) -> Array:
    """Principal coordinates (k, r) of the class means (k, d), r at most `most` and k - 1."""
    u, s, _ = np.linalg.svd(means - means.mean(axis=0), full_matrices=False)
    r = max(1, min(most, len(means) - 1))
    coordinates = u[:, :r] * s[:r]
    return coordinates[:, s[:r] > s[0] * 1e-6] if s[0] > 0 else coordinates


def circle(
    points: Array,
    limit: int,
    draws: int,
    rng: np.random.Generator,
    angles: Array | None = None,
) -> Agreement:
    """Circular order: max over planes of |mean of exp(i(angle_v -+ a_v))|, points (k, r).

    1 if in some plane of two components the values stand at the angles a_v (2 pi v / k unless
    given) of their labels, whatever the rotation or reflection. Given angles are permuted at
    random.
    """
    k = len(points)
    planes = list(combinations(range(points.shape[1]), 2)) or [(0, 0)]
    z = np.array([points[:, i] + 1j * points[:, j] for i, j in planes])
    phases = z / np.maximum(np.abs(z), 1e-300)
    turn = np.exp(-1j * (2 * np.pi * np.arange(k) / k if angles is None else angles))

    def score(orders: Ints) -> Array:  # (P, k) label of every point -> (planes, P)
        wave = turn[orders]
        both = [np.abs(phases @ w.T) for w in (wave, wave.conj())]
        return np.maximum(*both) / k

    orders, exact = _orders(k, 0 if angles is not None else limit, draws, rng, cyclic=True)
    by_plane = score(np.arange(k)[None])[:, 0]
    best = int(np.argmax(by_plane))
    return _agreement(float(by_plane[best]), score(orders).max(axis=0), exact, planes[best])


def line(points: Array, limit: int, draws: int, rng: np.random.Generator) -> Agreement:
    """Order on a line or curve: Spearman(|difference of labels|, distance), points (k, r)."""
    k = len(points)
    first, second = np.triu_indices(k, 1)
    distance = np.sum((points[first] - points[second]) ** 2, axis=1)
    places = standardise(distance.argsort(kind="stable").argsort().astype(float)[None])
    table = rank_of_gap(k)

    def score(orders: Ints) -> Array:
        gap = table[np.abs(orders[:, first] - orders[:, second])]
        return np.mean(standardise(gap) * places, axis=1)

    orders, exact = _orders(k, limit, draws, rng, cyclic=False)
    value = float(score(np.arange(k)[None])[0])
    return _agreement(value, score(orders), exact, (0, min(1, points.shape[1] - 1)))


def tree(points: Array, parent: Ints, draws: int, rng: np.random.Generator) -> Agreement:
    """Nesting: share of the variance of child means that lies between parents, points (k, r)."""
    centred = points - points.mean(axis=0)
    total = max(float(np.sum(centred**2)), 1e-300)
    groups = (parent[:, None] == np.unique(parent)).astype(float)
    sizes = groups.sum(axis=0)

    def score(orders: Ints) -> Array:
        sums = np.einsum("pkg,kr->pgr", groups[orders], centred)
        return np.sum(sums**2 / sizes[:, None], axis=(1, 2)) / total

    null = np.concatenate(
        [score(np.array([rng.permutation(len(parent)) for _ in part])) for part in _split(draws)]
    )
    value = float(score(np.arange(len(parent))[None])[0])
    return _agreement(value, null, False, (0, min(1, points.shape[1] - 1)))


def _split(draws: int, size: int = 1000) -> list[range]:
    return [range(s, min(s + size, draws)) for s in range(0, draws, size)]


def _orders(
    k: int, limit: int, draws: int, rng: np.random.Generator, cyclic: bool
) -> tuple[Ints, bool]:
    """Labels of k points in all different orders, or in `draws` random ones.

    Different means: up to rotation and reflection if `cyclic`, else up to reversal.
    """
    if k > limit:
        return np.array([rng.permutation(k) for _ in range(draws)]), False
    if cyclic:
        rest = [p for p in permutations(range(1, k)) if k < 3 or p[0] < p[-1]]
        return np.array([(0, *p) for p in rest]), True
    return np.array([p for p in permutations(range(k)) if p[0] < p[-1]]), True


def count_orders(k: int, cyclic: bool) -> int:
    """How many different orders of k labels there are."""
    return factorial(k - 1) // 2 if cyclic else factorial(k) // 2


def _agreement(value: float, null: Array, exact: bool, plane: tuple[int, int]) -> Agreement:
    p = counted_p(value, null, exact)
    spread = float(null.std())
    return Agreement(
        statistic=value,
        null_mean=float(null.mean()),
        null_sd=spread,
        z=(value - float(null.mean())) / spread if spread > 1e-12 else 0.0,
        p=p,
        p_floor=1 / len(null) if exact else 1 / (1 + len(null)),
        permutations=len(null),
        exact=exact,
        plane=plane,
    )


def harmonic_share(means: Array) -> float:
    """Share of the means' variance at the fundamental frequency of the label circle, no plane
    chosen.

    1 for a circle alone; 2 / (k - 1) on average for values in random directions.
    """
    centred = means - means.mean(axis=0)
    wave = np.exp(2j * np.pi * np.arange(len(means)) / len(means))
    power = 2 * np.sum(np.abs(wave @ centred) ** 2) / len(means)
    return float(power / max(np.sum(centred**2), 1e-300))


def end_gap(points: Array) -> float:
    """Distance of first and last value / mean distance of neighbours: 1 closed, k - 1 straight."""
    steps = np.linalg.norm(np.diff(points, axis=0), axis=1).mean()
    return float(np.linalg.norm(points[0] - points[-1]) / max(steps, 1e-300))
