"""Joint firings of chosen events: on how many rows two of them occur together. No torch.

Events are columns of 0 and 1: latents above a level, kinds of tokens, features of a world. Counts
are tables of all pairs. For two whole dictionaries see `saes.postings`: pairs as they occur, in
memory that does not know the product of the widths.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from interpsweep.saes.firing import BlockMap, firings

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
# piece [start, stop) of the rows -> pairs of tables of 0 and 1, (n, a) and (n, b), of like rows
Events = Callable[[tuple[int, int]], list[tuple[sp.csr_matrix, sp.csr_matrix]]]


class Joint(NamedTuple):
    """Rows on which two events occur together, and each of them at all."""

    both: Floats  # (a, b)
    first: Floats  # (a,)
    second: Floats  # (b,)
    rows: int

    def plus(self, other: Joint) -> Joint:
        """Counts of further rows added."""
        return Joint(
            self.both + other.both,
            self.first + other.first,
            self.second + other.second,
            self.rows + other.rows,
        )

    def phi(self) -> Floats:
        """Phi coefficients (a, b)."""
        return phi(self.both, self.first[:, None], self.second, self.rows)

    def jaccard(self) -> Floats:
        """n_ab / (n_a + n_b - n_ab), (a, b)."""
        return jaccard(self.both, self.first[:, None], self.second)


def count(
    events: Events, pieces: Iterable[tuple[int, int]], block_map: BlockMap, what: str
) -> list[Joint]:
    """Joint counts of every pair of tables that `events` gives for each piece of the rows.

    Counts are whole numbers, so they do not depend on how the rows are cut into pieces.
    """
    total: list[Joint] = []
    for part in block_map(partial(_of_piece, events=events), list(pieces), what):
        total = [a.plus(b) for a, b in zip(total, part, strict=True)] if total else part
    return total


def _of_piece(piece: tuple[int, int], events: Events) -> list[Joint]:
    made = []
    for a, b in events(piece):
        # float32 of a piece is exact up to 2**24 rows
        both = sp.csr_matrix(a.T @ b).toarray().astype(np.float64)
        made.append(Joint(both, _total(a), _total(b), a.shape[0]))
    return made


def _total(events: sp.csr_matrix) -> Floats:
    return np.asarray(events.sum(axis=0), np.float64).ravel()


def among(codes: Any, latents: Ints, ctx: Any, block: int = 1) -> Joint:
    """Joint firings of `latents` (n,) of one SAE: on one token, or in blocks of `block` neighbours.

    What is left over of a block at the end of a piece is dropped.
    """
    work = partial(_among, codes=codes, latents=latents, block=block)
    (found,) = count(work, codes.chunks(), ctx.block_map, "co-firing")
    return found


def _among(
    piece: tuple[int, int], codes: Any, latents: Ints, block: int
) -> list[tuple[sp.csr_matrix, sp.csr_matrix]]:
    on = firings(codes.read(*piece)[:, latents])
    if block > 1:
        rows = on.shape[0] // block * block
        group = np.arange(rows) // block
        sums = sp.csr_matrix((np.ones(rows, np.float32), (group, np.arange(rows))))
        on = firings(sums @ on[:rows])
    return [(on, on)]


def without_itself(table: Floats) -> Floats:
    """A table (n, n) with a diagonal of 0: what an event has in common with itself says nothing."""
    made = table.copy()
    np.fill_diagonal(made, 0.0)
    return made


def jaccard(joint: Floats, a: Floats, b: Floats) -> Floats:
    """Overlap n_ab / (n_a + n_b - n_ab) of events, broadcast like `phi`; 0 where neither occurs."""
    either = a + b - joint
    return joint / np.where(either > 0, either, np.inf)


def phi(joint: Floats, a: Floats, b: Floats, n: float) -> Floats:
    """Phi coefficients of events that occur `a` and `b` times in `n`, together `joint` times.

    Arrays are broadcast: ``phi(joint, a[:, None], b, n)`` is a table. 0 where one of the two never
    or always occurs.
    """
    variance = (a * (n - a)) * (b * (n - b))
    return (n * joint - a * b) / np.sqrt(np.where(variance > 0, variance, np.inf))
