"""Matching operators on whole dictionaries and the null dictionaries they are compared with."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse as sp
from scipy.optimize import linear_sum_assignment
from scipy.sparse.csgraph import min_weight_full_bipartite_matching

from interpsweep.numerics.cosine import BLOCK, Comparison, Floats, Ints, compare, nearest, unit_rows
from interpsweep.numerics.twins import Twins

NEAR = 8  # nearest latents among which a wide dictionary is assigned


class Assignment(NamedTuple):
    """One-to-one pairs (a[i], b[i]) that maximise the sum of cosines, and those cosines."""

    a: Ints
    b: Ints
    cosine: Floats


def mutual_neighbours(a_to_b: Ints, b_to_a: Ints) -> Ints:
    """For each a, the b that is its nearest and whose nearest is a, or -1; (n_a,)."""
    here = np.arange(len(a_to_b))
    return np.where(b_to_a[a_to_b] == here, a_to_b, -1)


def assignment(a: Floats, b: Floats) -> Assignment:
    """Hungarian assignment on the dense cosines; memory n_a * n_b, so for moderate widths only."""
    dense = a @ b.T
    rows, columns = linear_sum_assignment(dense, maximize=True)
    return Assignment(rows, columns, dense[rows, columns])


def sparse_assignment(found: Comparison) -> Assignment:
    """The best one-to-one assignment among the nearest latents of both sides.

    Every a may also stay alone, at the price of a cosine below every real one, so an assignment
    always exists. Memory (n_a + n_b) * k; it is the Hungarian one wherever that pairs near latents.
    """
    (n_a, k_a), (n_b, k_b) = found.ab.index.shape, found.ba.index.shape
    rows = np.concatenate([np.repeat(np.arange(n_a), k_a), found.ba.index.ravel()])
    columns = np.concatenate([found.ab.index.ravel(), np.repeat(np.arange(n_b), k_b)])
    values = np.concatenate([found.ab.cosine.ravel(), found.ba.cosine.ravel()])
    keys, first = np.unique(rows * n_b + columns, return_index=True)
    rows, columns, values = keys // n_b, keys % n_b, values[first]
    alone = np.arange(n_a)
    graph = sp.csr_matrix(
        (
            np.concatenate([2.0 - values.astype(np.float64), np.full(n_a, 3.5)]),
            (np.concatenate([rows, alone]), np.concatenate([columns, n_b + alone])),
        ),
        (n_a, n_b + n_a),
    )
    left, right = min_weight_full_bipartite_matching(graph)
    paired = right < n_b
    left, right = left[paired].astype(np.int64), right[paired].astype(np.int64)
    return Assignment(left, right, values[np.searchsorted(keys, left * n_b + right)])


def assign(
    a: Floats, b: Floats, limit: int, block: int = BLOCK, found: Comparison | None = None
) -> Assignment:
    """Dense assignment up to `limit` latents a side, above it the sparse one.

    `found` spares the sparse one the search for near latents.
    """
    if max(len(a), len(b)) <= limit:
        return assignment(a, b)
    return sparse_assignment(found or compare(a, b, NEAR, block=block))


def mcc(pairs: Assignment, n_a: int, n_b: int) -> float:
    """Mean cosine of a one-to-one assignment, over the smaller dictionary."""
    return float(np.sum(pairs.cosine, dtype=np.float64) / max(1, min(n_a, n_b)))


def mmcs(largest: Floats) -> float:
    """Mean over a dictionary of each latent's largest cosine with the other one."""
    return float(np.mean(largest, dtype=np.float64)) if len(largest) else 0.0


def rotated(a: Floats, rng: np.random.Generator) -> Floats:
    """`a` under a Haar-random rotation: keeps every angle within a, breaks all angles to others."""
    normal = rng.standard_normal((a.shape[1], a.shape[1]))
    q, r = np.linalg.qr(normal)
    return unit_rows(a @ (q * np.sign(np.diag(r))).astype(np.float32))


class Nulls(NamedTuple):
    """What matching gives between unrelated dictionaries."""

    rotated_ab: NDArray[np.float64]  # (draws,) MMCS of a rotated a
    rotated_ba: NDArray[np.float64]
    rotated_mcc: NDArray[np.float64]  # few draws: an assignment each
    covariance_ab: NDArray[np.float64]  # (draws,) MMCS with a replaced by its twin
    covariance_ba: NDArray[np.float64]
    largest_b: Floats  # sorted largest cosines of b's twins with dictionary a, pooled
    largest_a: Floats  # the same with the roles exchanged
    typical: float  # mean absolute cosine of one of b's twins with one latent of a


def null_matches(
    a: Floats,
    b: Floats,
    draws: int,
    rng: np.random.Generator,
    latents: int,
    limit: int,
    block: int = BLOCK,
) -> Nulls:
    """Rotated and covariance-matched nulls of all matching statistics.

    At most `latents` latents of each side, chosen at random, look for their nearest one among all
    of the other side. Assignments are drawn rarely: three times, above `limit` latents once. Where
    one side has no latents there is no null: its arrays are empty.
    """
    if not (len(a) and len(b)):
        none, no_cosine = np.zeros(0), np.zeros(0, np.float32)
        return Nulls(none, none, none, none, none, no_cosine, no_cosine, typical=0.0)
    turned, assigned, twins_a, twins_b = [], [], [], []
    some_a, some_b = (rng.permutation(len(side))[:latents] for side in (a, b))
    drawn = 3 if max(len(a), len(b)) <= limit else 1
    like_a, like_b = Twins(a), Twins(b)
    for draw in range(draws):
        spun = rotated(a, rng)
        turned.append(
            (
                mmcs(nearest(spun[some_a], b, 1, block).cosine),
                mmcs(nearest(b[some_b], spun, 1, block).cosine),
            )
        )
        if draw < drawn:
            assigned.append(mcc(assign(spun, b, limit, block), len(a), len(b)))
        twins_a.append(_largest(like_a.draw(len(some_a), rng), b, block))
        twins_b.append(_largest(like_b.draw(len(some_b), rng), a, block))
    both = np.array(turned)
    return Nulls(
        rotated_ab=both[:, 0],
        rotated_ba=both[:, 1],
        rotated_mcc=np.array(assigned),
        covariance_ab=np.array([mmcs(t) for t in twins_a]),
        covariance_ba=np.array([mmcs(t) for t in twins_b]),
        largest_b=np.sort(np.concatenate(twins_b)),
        largest_a=np.sort(np.concatenate(twins_a)),
        typical=float(np.mean(np.abs(like_b.draw(1024, rng) @ a[:4096].T))),
    )


def _largest(rows: NDArray[np.float64], side: Floats, block: int) -> Floats:
    """Largest cosine of each row with a dictionary."""
    return nearest(rows.astype(np.float32), side, 1, block).cosine[:, 0]


def upper_p(observed: NDArray | float, sorted_null: NDArray) -> NDArray[np.float64]:
    """(1 + #{null >= observed}) / (1 + #null) for each observed value."""
    below = np.searchsorted(sorted_null, observed, side="left")
    return (1 + len(sorted_null) - below) / (1 + len(sorted_null))
