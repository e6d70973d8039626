"""Simplicial complexes given by their largest simplices: faces and Betti numbers over GF(2).

A Vietoris-Rips complex (`geometry.homology`) fills every triangle whose three edges are there. Here
a triangle is filled only if it is part of a given simplex, so a ring of three edges stays a ring.
Betti numbers from the ranks of boundary matrices: Edelsbrunner and Harer, "Computational Topology"
(2010), IV.2. Articulation vertices: Hopcroft and Tarjan, CACM 16 (1973).
"""

from __future__ import annotations

from itertools import combinations
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix, csr_matrix
from scipy.sparse.csgraph import connected_components

from interpsweep.compiled import compiled

Ints = NDArray[np.int64]
MOST = 4  # vertices of a simplex


class Complex(NamedTuple):
    """All faces of a complex by what they are bounded by."""

    vertices: Ints  # (v,) names of the vertices, ascending
    edges: Ints  # (e, 2) places in `vertices`
    triangles: Ints  # (t, 3) places in `edges`
    tetrahedra: Ints  # (s, 4) places in `triangles`

    @property
    def euler(self) -> int:
        """Euler characteristic: vertices - edges + triangles - tetrahedra."""
        return len(self.vertices) - len(self.edges) + len(self.triangles) - len(self.tetrahedra)


def faces(simplices: Ints) -> Complex:
    """The complex of simplices (m, k) of distinct vertices >= 0, k at most 4; -1 where a simplex
    has fewer. Repeated simplices and simplices inside others change nothing.

    Raises ValueError for more than four vertices.
    """
    if simplices.shape[1] > MOST:
        raise ValueError(f"a simplex has {simplices.shape[1]} vertices, at most {MOST} are handled")
    names, place = np.unique(simplices, return_inverse=True)
    vertices = names[names >= 0]
    rows = place.reshape(simplices.shape) - (len(names) - len(vertices))  # -1 stays -1
    rows = np.sort(rows, axis=1)[:, ::-1]  # -1 comes last
    n = max(len(vertices), 1)
    pairs = _subsets(rows, 2)
    edge = np.unique(pairs[:, 0] * n + pairs[:, 1])

    def edge_of(u: Ints, v: Ints) -> Ints:
        return np.searchsorted(edge, u * n + v)

    threes = _subsets(rows, 3)
    triangle = np.unique(edge_of(threes[:, 0], threes[:, 1]) * n + threes[:, 2])

    def triangle_of(u: Ints, v: Ints, w: Ints) -> Ints:
        return np.searchsorted(triangle, edge_of(u, v) * n + w)

    fours = _subsets(rows, 4)
    tetrahedron = np.unique(triangle_of(*fours[:, :3].T) * n + fours[:, 3])
    edges = np.column_stack(np.divmod(edge, n))
    low, w = np.divmod(triangle, n)
    u, v = edges[low].T
    triangles = np.column_stack([low, edge_of(u, w), edge_of(v, w)])
    base, x = np.divmod(tetrahedron, n)
    u, v, w = *edges[low[base]].T, w[base]
    sides = [base, triangle_of(u, v, x), triangle_of(u, w, x), triangle_of(v, w, x)]
    return Complex(vertices, edges, triangles, np.column_stack(sides))


def _subsets(rows: Ints, size: int) -> Ints:
    """Vertices (n, size) of every part of `size` vertices of every row; rows descend."""
    parts = [rows[:, part] for part in combinations(range(rows.shape[1]), size)]
    found = np.concatenate([part[part[:, -1] >= 0] for part in parts] or [rows[:0, :0]])
    return found.reshape(-1, size)


def components(found: Complex) -> tuple[int, NDArray[np.int32]]:
    """Number of connected parts, and the part of every vertex (v,)."""
    v = len(found.vertices)
    if not v:
        return 0, np.zeros(0, np.int32)
    ends = (found.edges[:, 0], found.edges[:, 1])
    graph = coo_matrix((np.ones(len(found.edges), np.int8), ends), (v, v))
    count, labels = connected_components(graph, directed=False)
    return int(count), labels


def betti(found: Complex) -> tuple[int, int, int]:
    """Betti numbers b0, b1, b2 over GF(2): parts, loops and voids.

    Triangles that end the boundaries of tetrahedra are left out of the boundary of triangles, as
    they add nothing to its rank ("clearing": Chen and Kerber 2011).
    """
    parts, _ = components(found)
    lines = len(found.vertices) - parts  # rank of the boundary of edges
    solids, ends = rank(found.tetrahedra, len(found.triangles))
    planes, _ = rank(found.triangles[~ends], len(found.edges))
    loops = len(found.edges) - lines - planes
    return parts, loops, len(found.triangles) - planes - solids


def rank(columns: Ints, rows: int) -> tuple[int, NDArray[np.bool_]]:
    """Rank over GF(2) of a matrix with `rows` rows, given the rows (distinct) of the ones of each
    column, (m, k); and the rows by which columns were taken out, (rows,).

    A row with a single one adds one to the rank and takes its column with it; in complexes of few
    shared faces that is nearly all there is to do. What is left is eliminated in words of 64 rows.
    """
    peeled, left, ends = _peeled(np.ascontiguousarray(columns), rows)
    core = columns[left]
    if not len(core):
        return int(peeled), ends
    used, place = np.unique(core, return_inverse=True)
    place = place.reshape(core.shape)
    table = np.zeros((len(core), -(-len(used) // 64)), np.uint64)
    bits = np.left_shift(np.uint64(1), (place % 64).astype(np.uint64))
    np.bitwise_or.at(table, (np.arange(len(core))[:, None], place // 64), bits)
    return int(peeled + _eliminated(table)), ends


@compiled
def _peeled(columns: Ints, rows: int) -> tuple[int, NDArray[np.bool_], NDArray[np.bool_]]:
    """Rank found by rows with a single one, columns that are left (m,), and these rows (rows,)."""
    m, k = columns.shape
    ones = np.zeros(rows, np.int64)
    which = np.zeros(rows, np.int64)  # exclusive or of a row's columns: of one column, its number
    for c in range(m):
        for i in range(k):
            ones[columns[c, i]] += 1
            which[columns[c, i]] ^= c
    waiting = np.empty(rows, np.int64)
    n, found = 0, 0
    for r in range(rows):
        if ones[r] == 1:
            waiting[n] = r
            n += 1
    left, ends = np.ones(m, np.bool_), np.zeros(rows, np.bool_)
    while n:
        n -= 1
        if ones[waiting[n]] != 1:
            continue
        c = which[waiting[n]]
        left[c], ends[waiting[n]] = False, True
        found += 1
        for i in range(k):
            r = columns[c, i]
            ones[r] -= 1
            which[r] ^= c
            if ones[r] == 1:
                waiting[n] = r
                n += 1
    return found, left, ends


@compiled
def _eliminated(table: NDArray[np.uint64]) -> int:
    """Rank of the rows of bits of `table`, which is overwritten."""
    m, words = table.shape
    pivot = np.full(words * 64, -1, np.int64)
    found = 0
    for c in range(m):
        word = 0
        while word < words:
            if table[c, word] == 0:
                word += 1
                continue
            bit = np.uint64(0)
            while (table[c, word] >> bit) & np.uint64(1) == 0:
                bit += np.uint64(1)
            at = word * 64 + np.int64(bit)
            if pivot[at] < 0:
                pivot[at] = c
                found += 1
                break
            for w in range(word, words):
                table[c, w] ^= table[pivot[at], w]
    return found


def articulations(edges: Ints, n: int) -> int:
    """Vertices without which a connected graph has more parts.

    `edges` (e, 2) without loops or repeats join vertices 0 ... n - 1.
    """
    if n < 3:
        return 0
    both = np.concatenate([edges, edges[:, ::-1]])
    graph = csr_matrix((np.ones(len(both)), both.T), (n, n))
    return int(_articulations(graph.indptr.astype(np.int64), graph.indices.astype(np.int64)).sum())


@compiled
def _articulations(begin: Ints, end: Ints) -> NDArray[np.bool_]:
    """Vertices without which a connected graph has more parts, (n,), by depth-first search."""
    n = len(begin) - 1
    found = np.zeros(n, np.bool_)
    order, low = np.full(n, -1, np.int64), np.zeros(n, np.int64)
    path, above = np.zeros(n + 1, np.int64), np.full(n, -1, np.int64)
    at = begin[:-1].copy()
    order[0] = 0
    seen, depth, children = 1, 0, 0
    while depth >= 0:
        v = path[depth]
        if at[v] < begin[v + 1]:
            w = end[at[v]]
            at[v] += 1
            if order[w] < 0:
                above[w] = v
                children += v == 0
                order[w], low[w] = seen, seen
                seen += 1
                depth += 1
                path[depth] = w
            elif w != above[v]:
                low[v] = min(low[v], order[w])
        else:
            depth -= 1
            u = above[v]
            if u >= 0:
                low[u] = min(low[u], low[v])
                if u > 0 and low[v] >= order[u]:
                    found[u] = True
    found[0] = children > 1
    return found
