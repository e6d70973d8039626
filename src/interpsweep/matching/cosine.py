"""Exact largest cosines between two dictionaries, block by block: memory never grows with n_a *
n_b.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Neighbours:
    """The nearest rows of b for every row of a: `index` and `cosine`, both (n_a, k), best first."""

    index: Ints
    cosine: Floats


class Pairs(NamedTuple):
    """Some pairs of rows: `a`, `b` (p,) and their `cosine` (p,)."""

    a: Ints
    b: Ints
    cosine: Floats


def unit_rows(vectors: NDArray[np.floating]) -> Floats:
    """Rows scaled to length one, float32; zero rows stay zero."""
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors / np.where(norms > 0, norms, 1)).astype(np.float32)


def nearest(a: Floats, b: Floats, k: int, block: int = 2048) -> Neighbours:
    """The `k` rows of `b` (n_b, d) with the largest cosine to each row of `a` (n_a, d).

    Rows are unit vectors. Exact; among equal cosines the lower index comes first.
    """
    k = min(k, len(b))
    index = np.empty((len(a), k), np.int64)
    cosine = np.empty((len(a), k), np.float32)
    for start in range(0, len(a), block):
        rows = slice(start, start + block)
        index[rows], cosine[rows] = _nearest_of_block(a[rows], b, k, block)
    return Neighbours(index, cosine)


def _nearest_of_block(a: Floats, b: Floats, k: int, block: int) -> tuple[Ints, Floats]:
    best = np.full((len(a), 0), -np.inf, np.float32)
    where = np.zeros((len(a), 0), np.int64)
    for start in range(0, len(b), block):
        piece = a @ b[start : start + block].T
        columns = np.broadcast_to(np.arange(start, start + piece.shape[1]), piece.shape)
        best, where = np.hstack([best, piece]), np.hstack([where, columns])
        if best.shape[1] > 4 * k:  # a cheap cut before the exact sort
            kept = np.sort(np.argpartition(-best, k - 1, axis=1)[:, : max(k, 1)], axis=1)
            best, where = np.take_along_axis(best, kept, 1), np.take_along_axis(where, kept, 1)
    order = np.argsort(-best, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(where, order, 1), np.take_along_axis(best, order, 1)


def pairs_above(a: Floats, b: Floats, floor: float, block: int = 2048) -> Pairs:
    """Every pair of unit rows whose cosine is at least `floor`, ordered by a, then b."""
    found: list[tuple[Ints, Ints, Floats]] = []
    for i in range(0, len(a), block):
        for j in range(0, len(b), block):
            piece = a[i : i + block] @ b[j : j + block].T
            rows, columns = np.nonzero(piece >= floor)
            found.append((rows + i, columns + j, piece[rows, columns]))
    if not found:
        return Pairs(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.float32))
    rows, columns, values = (np.concatenate(part) for part in zip(*found, strict=True))
    order = np.lexsort((columns, rows))
    return Pairs(rows[order], columns[order], values[order])


def cosines(a: Floats, b: Floats, rows: Ints, columns: Ints, block: int = 1 << 16) -> Floats:
    """Cosines of the given pairs of unit rows, (p,)."""
    parts = [
        np.einsum("ij,ij->i", a[rows[s : s + block]], b[columns[s : s + block]])
        for s in range(0, len(rows), block)
    ]
    return np.concatenate(parts) if parts else np.zeros(0, np.float32)
