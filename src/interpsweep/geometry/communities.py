"""Communities of the graph of nearest directions: Leiden with the constant Potts model.

The constant Potts model (Traag et al. 2011) rewards a community for the weight of its edges and
charges the resolution for every pair of its members, so that a community is denser inside than the
resolution, whatever the size of the graph. Optimised by the Leiden algorithm (Traag et al. 2019):
local moves, refinement of each community from single nodes, aggregation, repeated. Own code.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from interpsweep.compiled import compiled
from interpsweep.numerics.cosine import nearest

Array = NDArray[np.float64]
Ints = NDArray[np.int64]
PASSES = 20  # most rounds of moving, refining and aggregating


class Graph(NamedTuple):
    """A symmetric weighted graph without loops in CSR form, and the nodes that each node stands
    for.
    """

    indptr: Ints
    indices: Ints
    weight: Array
    size: Array


def neighbour_graph(unit: NDArray[np.float32], neighbours: int) -> Graph:
    """Unit rows (n, d) joined to their nearest ones by cosine, weights the positive cosines.

    An edge is there if either end counts the other among its `neighbours` nearest.
    """
    n = len(unit)
    found = nearest(unit, unit, min(neighbours + 1, n))
    row = np.repeat(np.arange(n), found.index.shape[1])
    column, weight = found.index.ravel().astype(np.int64), found.cosine.ravel().astype(np.float64)
    kept = (row != column) & (weight > 0)
    half = sp.csr_matrix((weight[kept], (row[kept], column[kept])), (n, n))
    return weighted(half.maximum(half.T), np.ones(n))


def weighted(matrix: sp.spmatrix, size: Array) -> Graph:
    """The graph of a symmetric matrix of weights (n, n), whose diagonal does not count."""
    csr = sp.csr_matrix(matrix)
    csr.setdiag(0)
    csr.eliminate_zeros()
    csr.sort_indices()
    return Graph(
        csr.indptr.astype(np.int64), csr.indices.astype(np.int64), csr.data.astype(np.float64), size
    )


def subgraph(graph: Graph, nodes: Ints) -> Graph:
    """The graph of some of its nodes."""
    n = len(graph.size)
    whole = sp.csr_matrix((graph.weight, graph.indices, graph.indptr), (n, n))
    return weighted(whole[nodes][:, nodes], graph.size[nodes])


def leiden(graph: Graph, resolution: float, rng: np.random.Generator) -> Ints:
    """Community of every node, (n,), numbered from 0."""
    home = np.arange(len(graph.size))  # node of the current graph that every node is in
    now = graph
    label = home.copy()
    for _ in range(PASSES):
        _move(*now, label, resolution, rng.permutation(len(now.size)))
        refined = np.arange(len(now.size))
        _refine(*now, label, refined, resolution, rng.permutation(len(now.size)))
        parts, inverse = np.unique(refined, return_inverse=True)
        if len(parts) == len(now.size):
            break
        # nodes of the next graph are the refined parts; they begin in their communities
        _, first = np.unique(refined, return_index=True)
        _, outer = np.unique(label, return_inverse=True)
        now = _folded(now, inverse, len(parts))
        home = inverse[home]
        label = _as_nodes(outer[first])
    return np.asarray(np.unique(label[home], return_inverse=True)[1], np.int64)


def _folded(graph: Graph, part: Ints, parts: int) -> Graph:
    """The graph of the parts (n,) that nodes are in: sums of the weights between them."""
    row = np.repeat(part, np.diff(graph.indptr))
    column = part[graph.indices]
    between = row != column
    keys, place = np.unique((row * parts + column)[between], return_inverse=True)
    weight = np.bincount(place, graph.weight[between], len(keys))
    return Graph(
        np.searchsorted(keys, np.arange(parts + 1) * parts).astype(np.int64),
        (keys % parts).astype(np.int64),
        weight.astype(np.float64),
        np.bincount(part, graph.size, parts).astype(np.float64),
    )


def _as_nodes(label: Ints) -> Ints:
    """Communities named by one of their nodes, so that every node is a possible community."""
    _, first, inverse = np.unique(label, return_index=True, return_inverse=True)
    return np.asarray(first[inverse], np.int64)


@compiled
def _move(
    indptr: Ints,
    indices: Ints,
    weight: Array,
    size: Array,
    label: Ints,
    resolution: float,
    order: Ints,
) -> None:
    """Move nodes to the neighbouring community that gains most, until none gains; in place."""
    n = len(size)
    total = np.zeros(n)
    for i in range(n):
        total[label[i]] += size[i]
    pull = np.zeros(n)
    waiting = order.copy()
    queued = np.ones(n, np.bool_)
    head = 0
    left = n
    while left > 0:
        i = waiting[head % n]
        head += 1
        left -= 1
        queued[i] = False
        own = label[i]
        total[own] -= size[i]
        for e in range(indptr[i], indptr[i + 1]):
            pull[label[indices[e]]] += weight[e]
        best = own
        most = pull[own] - resolution * size[i] * total[own]
        for e in range(indptr[i], indptr[i + 1]):
            there = label[indices[e]]
            gain = pull[there] - resolution * size[i] * total[there]
            if gain > most + 1e-12:
                best = there
                most = gain
        if most < -1e-12:  # better alone: a community that nobody is in
            if total[i] == 0:
                best = i
            else:
                for j in range(n):
                    if total[j] == 0:
                        best = j
                        break
        for e in range(indptr[i], indptr[i + 1]):
            pull[label[indices[e]]] = 0.0
        label[i] = best
        total[best] += size[i]
        if best != own:
            for e in range(indptr[i], indptr[i + 1]):
                j = indices[e]
                if label[j] != best and not queued[j]:
                    queued[j] = True
                    waiting[(head + left) % n] = j
                    left += 1


@compiled
def _refine(
    indptr: Ints,
    indices: Ints,
    weight: Array,
    size: Array,
    label: Ints,
    refined: Ints,
    resolution: float,
    order: Ints,
) -> None:
    """Rebuild every community from single nodes, which join a part of it if that gains; in place.

    Only nodes that are still alone move, and only if they are well connected to their community.
    """
    n = len(size)
    community = np.zeros(n)
    part = size.copy()
    members = np.ones(n, np.int64)
    for i in range(n):
        community[label[i]] += size[i]
    pull = np.zeros(n)
    for i in order:
        if members[refined[i]] > 1 or refined[i] != i:
            continue
        inside = 0.0
        for e in range(indptr[i], indptr[i + 1]):
            j = indices[e]
            if label[j] == label[i]:
                inside += weight[e]
                pull[refined[j]] += weight[e]
        if inside >= resolution * size[i] * (community[label[i]] - size[i]):
            best = i
            most = 0.0
            for e in range(indptr[i], indptr[i + 1]):
                j = indices[e]
                if label[j] == label[i] and refined[j] != i:
                    gain = pull[refined[j]] - resolution * size[i] * part[refined[j]]
                    if gain > most + 1e-12:
                        best = refined[j]
                        most = gain
            if best != i:
                refined[i] = best
                part[best] += size[i]
                part[i] -= size[i]
                members[best] += 1
                members[i] -= 1
        for e in range(indptr[i], indptr[i + 1]):
            pull[refined[indices[e]]] = 0.0


def communities(
    graph: Graph, resolution: float, smallest: int, largest: int, rng: np.random.Generator
) -> list[Ints]:
    """Communities with `smallest` to `largest` members, ascending rows each, largest first.

    A larger community is split at twice the resolution, until none is left.
    """
    made = []
    waiting = [(np.arange(len(graph.size)), graph, resolution)]
    while waiting:
        nodes, part, level = waiting.pop()
        label = leiden(part, level, rng)
        size = np.bincount(label)
        for number in np.flatnonzero(size >= smallest):
            mine = np.flatnonzero(label == number)
            if len(mine) <= largest:
                made.append(np.sort(nodes[mine]))
            else:
                waiting.append((nodes[mine], subgraph(part, mine), 2 * level))
    made.sort(key=lambda rows: (-len(rows), int(rows[0])))
    return made


RESOLUTIONS = np.geomspace(0.02, 0.9, 12)
SPURIOUS = 0.05  # share of a null dictionary's rows that communities may hold


def null_resolution(
    twin: NDArray[np.float32], neighbours: int, smallest: int, rng: np.random.Generator
) -> float:
    """The smallest resolution at which at most `SPURIOUS` of a null dictionary is in communities.

    The largest tried if there is none.
    """
    graph = neighbour_graph(twin, neighbours)
    for resolution in RESOLUTIONS:
        size = np.bincount(leiden(graph, float(resolution), rng))
        if size[size >= smallest].sum() <= SPURIOUS * len(twin):
            return float(resolution)
    return float(RESOLUTIONS[-1])
