"""Complexes of known homology, articulations against networkx, and simplices dealt out anew."""

from __future__ import annotations

from itertools import combinations, pairwise

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interpsweep.geometry import complexes, layer_complex

TORUS = [[i, (i + s) % 7, (i + 3) % 7] for i in range(7) for s in (1, 2)]  # seven vertices
PROJECTIVE_PLANE = [
    *([0, i, i % 5 + 1] for i in range(1, 6)),
    *([i, i % 5 + 1, (i + 2) % 5 + 1] for i in range(1, 6)),
]
SPHERE = [list(face) for face in combinations(range(4), 3)]
CIRCLE = [[0, 1], [1, 2], [2, 3], [3, 0]]


def simplices(rows: list[list[int]]) -> np.ndarray:
    """Rows of unequal length, filled up with -1."""
    most = max(map(len, rows), default=2)
    filled = [[*row, *[-1] * (most - len(row))] for row in rows]
    return np.array(filled, np.int64).reshape(len(rows), most)


def shifted(rows: list[list[int]], by: int) -> list[list[int]]:
    return [[vertex + by for vertex in row] for row in rows]


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([[0, 1, 2, 3]], (1, 0, 0)),
        (CIRCLE, (1, 1, 0)),
        ([[0, 1], [1, 2], [2, 0]], (1, 1, 0)),  # a ring of three is not filled
        ([[0, 1, 2]], (1, 0, 0)),
        (SPHERE, (1, 0, 1)),
        (TORUS, (1, 2, 1)),
        (PROJECTIVE_PLANE, (1, 1, 1)),  # over the rationals (1, 0, 0)
        ([*CIRCLE, [0, 4], [4, 5], [5, 0], [0, 6], [6, 7], [7, 0]], (1, 3, 0)),  # three in a wedge
        (CIRCLE + shifted(SPHERE, 10) + shifted(TORUS, 20), (3, 3, 2)),
        ([*SPHERE, [0, 1, 2, 3]], (1, 0, 0)),  # filled
    ],
)
def test_betti_numbers_of_known_complexes(rows: list[list[int]], expected: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    given_rows = simplices(rows)
    names = rng.permutation(1000)[: given_rows.max() + 1]  # vertices need not be 0, 1, 2, ...
    renamed = np.where(given_rows < 0, -1, names[given_rows])
    for order in (np.arange(len(rows)), rng.permutation(np.repeat(np.arange(len(rows)), 2))):
        mixed = rng.permuted(renamed[order], axis=1)  # -1 may be anywhere
        assert complexes.betti(complexes.faces(mixed)) == expected


def test_an_empty_complex_has_nothing_and_five_vertices_are_refused() -> None:
    assert complexes.betti(complexes.faces(np.zeros((0, 3), np.int64))) == (0, 0, 0)
    with pytest.raises(ValueError, match="5 vertices"):
        complexes.faces(np.arange(5)[None])


some_simplices = st.lists(st.sets(st.integers(0, 9), min_size=1, max_size=4).map(list), max_size=40)


def dense_rank(matrix: np.ndarray) -> int:
    """Rank over GF(2) by Gaussian elimination, one row at a time."""
    rows, rank = [int("".join(map(str, row)) or "0", 2) for row in matrix], 0
    while rows:
        pivot = rows.pop()
        if pivot:
            rank += 1
            low = pivot & -pivot
            rows = [row ^ pivot if row & low else row for row in rows]
    return rank


def boundary(low: list[tuple[int, ...]], high: list[tuple[int, ...]]) -> np.ndarray:
    held = [[int(set(a) < set(b)) for b in high] for a in low]
    return np.array(held, int).reshape(len(low), len(high))


@settings(max_examples=150, deadline=None)
@given(some_simplices)
def test_betti_numbers_are_those_of_plain_boundary_matrices(rows: list[list[int]]) -> None:
    every = [
        sorted({part for row in rows for part in combinations(sorted(row), size)})
        for size in range(1, 5)
    ]
    ranks = [0, *(dense_rank(boundary(a, b)) for a, b in pairwise(every)), 0]
    betti = [len(some) - ranks[i] - ranks[i + 1] for i, some in enumerate(every)]
    found = complexes.faces(simplices(rows))
    assert [len(part) for part in found] == [len(some) for some in every]
    assert complexes.betti(found) == tuple(betti[:3])
    # Euler and Poincare
    assert found.euler == betti[0] - betti[1] + betti[2] - betti[3]


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 200), st.integers(3, 150))
def test_rank_is_that_of_elimination_beyond_one_word(seed: int, m: int, rows: int) -> None:
    rng = np.random.default_rng(seed)
    columns = np.argsort(rng.random((m, rows)), axis=1)[:, :3]
    dense = np.zeros((rows, m), int)
    dense[columns, np.arange(m)[:, None]] = 1
    assert complexes.rank(columns, rows)[0] == dense_rank(dense)


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**31), st.integers(3, 14), st.floats(0.2, 1))
def test_articulations_are_those_of_networkx(seed: int, n: int, p: float) -> None:
    graph = nx.gnp_random_graph(n, p, seed=seed)
    largest = max(nx.connected_components(graph), key=len)
    graph = nx.convert_node_labels_to_integers(graph.subgraph(largest))
    edges = np.array(graph.edges, np.int64).reshape(-1, 2)
    assert complexes.articulations(edges, len(graph)) == len(list(nx.articulation_points(graph)))


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.sets(st.integers(0, 9), max_size=4).map(list), min_size=1, max_size=40),
    st.integers(0, 99),
)
def test_dealing_keeps_sizes_and_memberships(rows: list[list[int]], seed: int) -> None:
    before = simplices(rows)
    for after in layer_complex.rewired(before, 2, np.random.default_rng(seed)):
        np.testing.assert_array_equal((after >= 0).sum(1), (before >= 0).sum(1))
        np.testing.assert_array_equal(
            np.bincount(after[after >= 0], minlength=10),
            np.bincount(before[before >= 0], minlength=10),
        )
        for row in after:
            kept = row[row >= 0]
            assert len(np.unique(kept)) == len(kept)


def test_every_way_to_deal_is_equally_likely() -> None:
    """156 sets of four simplices of sizes 3, 2, 2, 3 have these memberships."""
    rows = simplices([[0, 1, 2], [0, 1], [2, 3], [0, 3, 4]])
    seen: dict[tuple, int] = {}
    draws = 10_000
    for drawn in layer_complex.rewired(rows, draws, np.random.default_rng(0)):
        key = tuple(tuple(sorted(row)) for row in drawn.tolist())
        seen[key] = seen.get(key, 0) + 1
    assert len(seen) == 156
    expected = draws / 156
    chi2 = sum((count - expected) ** 2 / expected for count in seen.values())
    assert chi2 < 155 + 4 * np.sqrt(2 * 155)
