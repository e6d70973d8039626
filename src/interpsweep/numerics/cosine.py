"""Exact cosines between two dictionaries, block by block: memory never grows with n_a * n_b.

One product of blocks serves everything that is asked about two dictionaries: the nearest latents
both ways and all pairs above a floor. Each block is looked through once, and only values above
what a latent has already found are handled one by one, so the product itself takes nearly all the
time (`benchmarks/matching.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from interpsweep.compiled import compiled
from interpsweep.errors import UserError

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]

BLOCK = 512  # rows of one block of the product
COLUMNS = 1024  # of one block of the product: what is looked through is still in cache
SCAN = 64  # values looked at together
PAIRS_PER_LATENT = 512  # more pairs above the floor than this are no candidates but a crowd


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


class Comparison(NamedTuple):
    """Two dictionaries compared: neighbours both ways, and all pairs above a floor."""

    ab: Neighbours
    ba: Neighbours
    above: Pairs


def unit_rows(vectors: NDArray[np.floating]) -> Floats:
    """Rows scaled to length one, float32; zero rows stay zero."""
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors / np.where(norms > 0, norms, 1)).astype(np.float32)


def compare(a: Floats, b: Floats, k: int, floor: float = np.inf, block: int = BLOCK) -> Comparison:
    """The `k` nearest rows both ways of `a` (n_a, d) and `b` (n_b, d), and all pairs >= `floor`.

    Rows are unit vectors. Exact; among equal cosines the lower index comes first. Pairs are
    ordered by a, then b. Raises UserError if there are too many of them to be candidates.
    """
    near_a, near_b = _Best(len(a), min(k, len(b))), _Best(len(b), min(k, len(a)))
    found: list[tuple[Ints, Ints, Floats]] = []
    product = np.empty(min(block, len(a)) * min(COLUMNS, len(b)), np.float32)
    places = np.empty(product.size if np.isfinite(floor) else 1, np.int32)
    below = np.nextafter(np.float32(floor), np.float32(-np.inf))
    most, held = PAIRS_PER_LATENT * (len(a) + len(b)), 0
    for i in range(0, len(a), block):
        rows = a[i : i + block]
        for j in range(0, len(b), COLUMNS):
            columns = b[j : j + COLUMNS]
            here = product[: len(rows) * len(columns)].reshape(len(rows), len(columns))
            np.matmul(rows, columns.T, out=here)
            count = _scan(
                here, i, j, below, near_a.index, near_a.cosine, near_b.index,
                near_b.cosine, places,
            )  # fmt: skip
            if count:
                row, column = np.divmod(places[:count].astype(np.int64), len(columns))
                found.append((row + i, column + j, here[row, column]))
                held += count
            if held > most:
                raise UserError(
                    f"more than {PAIRS_PER_LATENT} pairs per latent have a decoder cosine of at "
                    f"least {floor:g}; raise match.cosine_floor"
                )
    return Comparison(near_a.done(), near_b.done(), _pairs(found))


def nearest(a: Floats, b: Floats, k: int, block: int = BLOCK) -> Neighbours:
    """The `k` rows of `b` (n_b, d) with the largest cosine to each row of `a` (n_a, d).

    Rows are unit vectors. Exact; among equal cosines the lower index comes first.
    """
    return compare(a, b, k, block=block).ab


def cosines(a: Floats, b: Floats, rows: Ints, columns: Ints, block: int = 1 << 16) -> Floats:
    """Cosines of the given pairs of unit rows, (p,)."""
    parts = [
        np.einsum("ij,ij->i", a[rows[s : s + block]], b[columns[s : s + block]])
        for s in range(0, len(rows), block)
    ]
    return np.concatenate(parts) if parts else np.zeros(0, np.float32)


class _Best:
    """The k best of every row so far, in order."""

    def __init__(self, rows: int, k: int) -> None:
        self.index = np.full((rows, k), -1, np.int64)
        self.cosine = np.full((rows, k), -np.inf, np.float32)

    def done(self) -> Neighbours:
        return Neighbours(self.index, self.cosine)


def _pairs(found: list[tuple[Ints, Ints, Floats]]) -> Pairs:
    if not found:
        return Pairs(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.float32))
    rows, columns, values = (np.concatenate(part) for part in zip(*found, strict=True))
    order = np.lexsort((columns, rows))
    return Pairs(rows[order], columns[order], values[order])


@compiled
def _insert(index: Ints, cosine: Floats, place: int, value: float) -> None:
    """Put a value larger than the last one into its place of a descending list."""
    at = len(cosine) - 1
    while at > 0 and cosine[at - 1] < value:
        cosine[at] = cosine[at - 1]
        index[at] = index[at - 1]
        at -= 1
    cosine[at] = value
    index[at] = place


@compiled
def _scan(
    product: Floats,
    first_a: int,
    first_b: int,
    below: float,
    index_a: Ints,
    cosine_a: Floats,
    index_b: Ints,
    cosine_b: Floats,
    places: NDArray[np.int32],
) -> int:
    """Take what a block of the product improves; places and number of values above `below`."""
    rows, columns = product.shape
    last_a, last_b = cosine_a.shape[1] - 1, cosine_b.shape[1] - 1
    bar = np.empty(columns, np.float32)  # what a column has found already
    for j in range(columns):
        bar[j] = cosine_b[first_b + j, last_b]
    count = 0
    for i in range(rows):
        index, best = index_a[first_a + i], cosine_a[first_a + i]
        for start in range(0, columns, SCAN):
            row, over = product[i, start : start + SCAN], bar[start : start + SCAN]
            low = min(best[last_a], below)
            some = np.int32(0)
            for j in range(len(row)):
                some |= np.int32(row[j] > min(over[j], low))
            if not some:
                continue
            for j in range(len(row)):
                value, place = row[j], start + j
                if value > best[last_a]:
                    _insert(index, best, first_b + place, value)
                if value > over[j]:
                    other = first_b + place
                    _insert(index_b[other], cosine_b[other], first_a + i, value)
                    over[j] = cosine_b[other, last_b]
                if value > below:
                    places[count] = i * columns + place
                    count += 1
    return count
