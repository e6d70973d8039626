"""Do the latents of a cluster fire one at a time (plain superposition), beside independent firing?

A cloud holds only rows on which some latent fires, and there rare latents are alone however
independent they are. The null therefore keeps how often each latent fires among all rows.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from interpsweep.compiled import compiled
from interpsweep.geometry.nulls import upper_p

DRAWS = 199
Ints = NDArray[np.int64]


class Firings(NamedTuple):
    """Where k latents fire among all `rows` that a cloud could have been taken from, in order.

    Those of latent i are `where[starts[i] : starts[i + 1]]`.
    """

    rows: int
    starts: Ints  # (k + 1,)
    where: Ints


class Exclusive(NamedTuple):
    """How exclusive the latents are."""

    share: float  # of the rows on which a latent fires, those on which exactly one does
    null: float  # its mean if the latents fired independently
    p: float  # of a share at least as large


def firings(codes: Any) -> Firings:
    """From sparse codes (rows, k) without explicit zeros."""
    columns = codes.tocsc()
    return Firings(
        codes.shape[0], columns.indptr.astype(np.int64), columns.indices.astype(np.int64)
    )


def test(found: Firings, rng: np.random.Generator) -> Exclusive:
    """The share of rows with exactly one latent, beside the same latents each shifted by a random
    number of rows, the last row followed by the first.

    A shift keeps how often a latent fires and in which runs, and loses beside whom. NaN where no
    latent ever fires.
    """
    if not len(found.where):
        return Exclusive(np.nan, np.nan, np.nan)
    k = len(found.starts) - 1
    share = float(shares(found, np.zeros((1, k), np.int64))[0])
    null = shares(found, rng.integers(found.rows, size=(DRAWS, k)))
    return Exclusive(share, float(null.mean()), upper_p(share, null))


def shares(found: Firings, shifts: Ints) -> NDArray[np.float64]:
    """Share of rows with exactly one latent, of those with any, (B,), for each of B shifts of the
    latents, (B, k), from 0 to the number of rows.
    """
    alone = np.empty(len(shifts))
    _shares(found.rows, found.starts, found.where, np.ascontiguousarray(shifts), alone)
    return alone


@compiled
def _shares(rows: int, starts: Ints, where: Ints, shifts: Ints, alone: NDArray[np.float64]) -> None:
    seen = np.zeros(rows, np.int64)  # 2 b + 1: one latent in shift b, 2 b + 2: more than one
    for b in range(len(shifts)):
        once, some, one = 2 * b + 1, 0, 0
        for i in range(len(starts) - 1):
            for j in range(starts[i], starts[i + 1]):
                row = where[j] + shifts[b, i]
                if row >= rows:
                    row -= rows
                if seen[row] < once:
                    seen[row] = once
                    some += 1
                    one += 1
                elif seen[row] == once:
                    seen[row] = once + 1
                    one -= 1
        alone[b] = one / some
