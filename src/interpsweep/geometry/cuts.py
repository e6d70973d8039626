"""What takes a connected graph apart: single vertices that do, and the fewest that do.

Articulation vertices: Hopcroft and Tarjan, CACM 16 (1973). Vertex connectivity by flows between
vertices: Esfahanian and Hakimi, Networks 14 (1984).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from interpsweep.compiled import compiled

Ints = NDArray[np.int64]
FLOW_VERTICES = 1024  # most vertices of a graph in which flows are sought


def cuts(edges: Ints, n: int) -> tuple[int, float]:
    """Articulation vertices of a connected graph, and vertices of its smallest cut.

    `edges` (e, 2) without loops or repeats join vertices 0 ... n - 1. A complete graph has no cut:
    n - 1, as is usual. The second is NaN above `FLOW_VERTICES` vertices unless it is 2 at most.
    """
    if n < 3:
        return 0, float(max(n - 1, 0))
    both = np.concatenate([edges, edges[:, ::-1]])
    graph = csr_matrix((np.arange(1, len(both) + 1), both.T), (n, n))
    begin, end = graph.indptr.astype(np.int64), graph.indices.astype(np.int64)
    alone = int(_articulations(begin, end).sum())
    degree = np.diff(begin)
    if alone:
        return alone, 1.0
    if degree.min() <= 2:
        return alone, 2.0
    if n > FLOW_VERTICES:
        return alone, float("nan")
    arc = graph.data - 1  # the arc of an edge and the arc back are len(edges) apart
    place = np.empty(len(both), np.int64)
    place[arc] = np.arange(len(both))
    back = place[(arc + len(edges)) % len(both)]
    return alone, float(_connectivity(begin, end, back, int(np.argmin(degree))))


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


@compiled
def _connectivity(begin: Ints, end: Ints, back: Ints, first: int) -> int:
    """Vertex connectivity of a graph, given a vertex `first` of least degree and the place of every
    arc's reverse: from it to all that are no neighbours, and between its neighbours.
    """
    n = len(begin) - 1
    least = begin[first + 1] - begin[first]
    flow, through = np.zeros(len(end), np.bool_), np.zeros(n, np.bool_)
    came, queue = np.empty(2 * n, np.int64), np.empty(2 * n, np.int64)
    near = np.zeros(n, np.bool_)
    near[first] = True
    for e in range(begin[first], begin[first + 1]):
        near[end[e]] = True
    for t in range(n):
        if not near[t]:
            least = _paths(begin, end, back, first, t, least, flow, through, came, queue)
    for e in range(begin[first], begin[first + 1]):
        s = end[e]
        joined = np.zeros(n, np.bool_)
        for f in range(begin[s], begin[s + 1]):
            joined[end[f]] = True
        for f in range(e + 1, begin[first + 1]):
            if not joined[end[f]]:
                least = _paths(begin, end, back, s, end[f], least, flow, through, came, queue)
    return least


@compiled
def _paths(
    begin: Ints, end: Ints, back: Ints, s: int, t: int, most: int,
    flow: NDArray[np.bool_], through: NDArray[np.bool_], came: Ints, queue: Ints,
) -> int:  # fmt: skip
    """Paths from s to t that share no vertex, up to `most`; the last four arrays are scratch.

    Vertex v is two nodes, 2 v where arcs enter and 2 v + 1 where they leave, with room for one path
    in between. `came` has the arc by which a node was reached: the place of an edge or -2.
    """
    flow[:], through[:] = False, False
    for paths in range(most):
        came[:] = -1
        queue[0] = 2 * s + 1
        came[2 * s + 1] = -3
        head, tail = 0, 1
        while head < tail and came[2 * t] == -1:
            node = queue[head]
            head += 1
            v = node // 2
            leaves = node % 2
            # between the two nodes of a vertex: along where it is free, back where it is not
            if v != s and through[v] == (leaves == 1) and came[node ^ 1] == -1:
                came[node ^ 1] = -2
                queue[tail] = node ^ 1
                tail += 1
            for e in range(begin[v], begin[v + 1]):
                other = 2 * end[e] + (1 - leaves)
                free = not flow[e] if leaves else flow[back[e]]
                if free and end[e] != s and came[other] == -1:
                    came[other] = e
                    queue[tail] = other
                    tail += 1
        if came[2 * t] == -1:
            return paths
        node = 2 * t
        while node != 2 * s + 1:
            e = came[node]
            if e == -2:
                through[node // 2] = node % 2 == 1
                node ^= 1
            elif node % 2 == 0:  # along an edge, from where its start is left
                flow[e] = True
                node = 2 * end[back[e]] + 1
            else:  # back along an edge that carried a path
                flow[back[e]] = False
                node = 2 * end[back[e]]
    return most
