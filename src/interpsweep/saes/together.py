"""Which latents of one SAE fire together: exact counts of the pairs that often do. No torch.

For one latent at a time the others are counted over the rows on which it fires, so the time is the
number of joint firings and memory knows neither rows nor pairs of latents: only what is kept.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import NDArray

from interpsweep.compiled import compiled
from interpsweep.saes.firing import BlockMap, Firing, firing_statistics, jaccard, phi
from interpsweep.saes.postings import Postings, blocks_of, fired_with, with_room

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


class Together(NamedTuple):
    """Rows on which pairs of latents of one SAE fire together. Read by `saes.codes.Codes.together`.

    ``joint`` is a symmetric CSR matrix (d_sae, d_sae) of int64: entry (i, j) is the number of rows
    on which i and j both fire, the diagonal that of i alone. Off the diagonal nothing below `least`
    is kept: an absent entry means fewer than `least`, not none. A latent fires where it exceeds
    `level` times its largest activation.
    """

    joint: sp.csr_matrix
    rows: int
    level: float
    least: int

    @property
    def counts(self) -> Ints:
        """Rows on which each latent fires, (d_sae,)."""
        return np.asarray(self.joint.diagonal(), np.int64)

    def jaccard(self) -> sp.csr_matrix:
        """n_ij / (n_i + n_j - n_ij) of the kept pairs, (d_sae, d_sae) float64, no diagonal."""
        pairs, n_i, n_j = self._pairs()
        return _of(pairs, jaccard(pairs.data, n_i, n_j))

    def phi(self) -> sp.csr_matrix:
        """Phi coefficients of the kept pairs, (d_sae, d_sae) float64, no diagonal.

        0 where a latent fires on every row. Pairs that exclude each other are not among those kept.
        """
        pairs, n_i, n_j = self._pairs()
        return _of(pairs, phi(pairs.data, n_i, n_j, self.rows))

    def _pairs(self) -> tuple[sp.coo_matrix, Floats, Floats]:
        """The entries off the diagonal, and how often either latent fires."""
        every = self.joint.tocoo()
        off = every.row != every.col
        entries = (every.data[off].astype(np.float64), (every.row[off], every.col[off]))
        pairs, counts = sp.coo_matrix(entries, every.shape), self.counts.astype(np.float64)
        return pairs, counts[pairs.row], counts[pairs.col]


def _of(pairs: sp.coo_matrix, values: Floats) -> sp.csr_matrix:
    return sp.csr_matrix((values, (pairs.row, pairs.col)), pairs.shape)


def from_table(table: pd.DataFrame, d_sae: int, rows: int, level: float, least: int) -> Together:
    """`Together` of the tables that `counted` makes."""
    a, b, n = (table[name].to_numpy() for name in ("a", "b", "n_ab"))
    half = sp.csr_matrix((n, (a, b)), (d_sae, d_sae), dtype=np.int64)
    joint = sp.csr_matrix(half + half.T - sp.diags(half.diagonal(), dtype=np.int64))
    return Together(joint, rows, level, least)


def counted(
    codes: Any,
    largest: NDArray[np.floating],
    level: float,
    least: int,
    scratch: Path,
    block_map: BlockMap,
) -> Iterator[pd.DataFrame]:
    """Joint firings of all pairs of latents: columns ``a``, ``b`` (int32, a <= b), ``n_ab`` int64.

    Comes in parts, at least one, so that memory does not grow with the pairs. Rows with a == b say
    how often a latent fires; every latent that fires has one. Of the others those with at least
    `least` joint firings are kept. `largest` (d_sae,) are the largest activations; firings above
    `level` times them are laid out under `scratch` (see `Postings`).
    """
    firing = Firing(codes, level * np.asarray(largest, np.float64))
    counts, _ = firing_statistics(firing, block_map)
    postings = Postings.write(firing, counts, scratch)
    work = partial(_block, postings=postings, least=least)
    for a, b, n_ab in block_map(work, blocks_of(counts), "firing together"):
        yield pd.DataFrame({"a": a.astype(np.int32), "b": b.astype(np.int32), "n_ab": n_ab})


def _block(block: tuple[int, int], postings: Postings, least: int) -> Ints:
    """Kept pairs (3, n) of latents b in a block with the latents up to them."""
    p = postings
    return _count(*block, p.by_latent, p.rows, p.by_row, p.latents, least)


@compiled
def _count(
    first: int,
    last: int,
    by_latent: Ints,
    rows: NDArray[np.uint32],
    by_row: Ints,
    latents: NDArray[np.uint32],
    least: int,
) -> Ints:
    together = np.zeros(last, np.int64)
    touched = np.empty(last, np.int64)
    out = np.empty((3, 1 << 12), np.int64)
    made = 0
    for b in range(first, last):
        own = rows[by_latent[b] : by_latent[b + 1]]
        seen = fired_with(own, by_row, latents, b, together, touched)
        out = with_room(out, made, seen)
        for a in np.sort(touched[:seen]):
            if together[a] >= least or a == b:
                out[0, made], out[1, made], out[2, made] = a, b, together[a]
                made += 1
            together[a] = 0
    return out[:, :made].copy()
