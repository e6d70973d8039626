"""Tokens of one document are not independent: what that does to counts of joint firings.

If two latents are unrelated but both fire in runs, or each in a few documents only, the number of
their joint firings varies more than that of independent draws. Its variance is larger by the
*design effect*

    D = 1 + sum over lags l of (pairs of tokens l apart) / (tokens / 2) * r_a(l) * r_b(l)

with r(l) the autocorrelation of a latent's firing within documents (Clifford, Richardson & Hemon
1989, Biometrics 45, eq. 2.3, for two autocorrelated fields). D is 1 as soon as one of the two is
scattered at random. `tokens / D` is the effective number of tokens; counts are scaled by it before
they are tested, as Rao & Scott (1981) scale those of clustered surveys.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from interpsweep.compiled import compiled
from interpsweep.saes.firing import BlockMap
from interpsweep.saes.postings import Postings, blocks_of

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

# largest lag of every stratum, in tokens; the last one holds the rest of the document
LAGS = np.array([1, 2, 4, 8, 16, 32, 64, 1 << 40], np.int64)


class Dependence(NamedTuple):
    """How a dictionary's latents fire along documents."""

    correlation: Floats  # (d_sae, len(LAGS)) mean autocorrelation at the lags of each stratum
    documents: Ints  # (d_sae,) documents in which a latent fires


def measure(codes: Postings, documents: NDArray[np.int32], block_map: BlockMap) -> Dependence:
    """Autocorrelations of all latents; `documents` (n_rows,) has each row's document."""
    work = partial(_pairs_of_block, codes=codes, documents=documents)
    parts = list(block_map(work, blocks_of(codes.counts), "autocorrelation"))
    pairs = np.concatenate([part[0] for part in parts]).astype(np.float64)
    possible = pairs_of_tokens(documents).astype(np.float64)
    p = codes.counts[:, None] / len(documents)
    variance = p * (1 - p)
    with np.errstate(divide="ignore", invalid="ignore"):
        correlation = (pairs / possible - p**2) / variance
    known = (possible > 0) & (variance > 0)
    return Dependence(
        np.where(known, correlation, 0.0), np.concatenate([part[1] for part in parts])
    )


def pairs_of_tokens(documents: NDArray[np.int32]) -> Ints:
    """Pairs of tokens of one document whose distance lies in each stratum of `LAGS`."""
    starts = np.flatnonzero(np.r_[True, np.diff(documents) != 0])
    lengths, of = np.unique(np.diff(np.r_[starts, len(documents)]), return_counts=True)
    # a document of length n has n - l pairs at lag l
    reach = np.minimum(LAGS[None, :], lengths[:, None] - 1)
    within = reach * lengths[:, None] - reach * (reach + 1) // 2
    return np.diff((within * of[:, None]).sum(axis=0), prepend=0)


def design_effects(
    a: Dependence, b: Dependence, pair_a: Ints, pair_b: Ints, documents: NDArray[np.int32]
) -> Floats:
    """D of each pair (p,), at least 1."""
    weight = 2 * pairs_of_tokens(documents) / len(documents)
    effect = np.empty(len(pair_a))
    for s in range(0, len(pair_a), 1 << 18):
        piece = slice(s, s + (1 << 18))
        products = a.correlation[pair_a[piece]] * b.correlation[pair_b[piece]]
        effect[piece] = 1 + products @ weight
    return np.maximum(effect, 1.0)


def _pairs_of_block(
    block: tuple[int, int], codes: Postings, documents: NDArray[np.int32]
) -> tuple[Ints, Ints]:
    return _count_pairs(*block, codes.by_latent, codes.rows, documents, LAGS)


@compiled
def _count_pairs(
    first: int,
    last: int,
    by_latent: Ints,
    rows: NDArray[np.uint32],
    documents: NDArray[np.int32],
    lags: Ints,
) -> tuple[Ints, Ints]:
    """Pairs of a latent's firings within each stratum of lags and one document; documents."""
    pairs = np.zeros((last - first, len(lags)), np.int64)
    seen = np.zeros(last - first, np.int64)
    for latent in range(first, last):
        start, stop = by_latent[latent], by_latent[latent + 1]
        for e in range(start, stop):
            seen[latent - first] += e == start or documents[rows[e]] != documents[rows[e - 1]]
        before = 0
        for s in range(len(lags)):
            behind, within = start, 0
            for e in range(start, stop):
                row = np.int64(rows[e])
                while documents[rows[behind]] != documents[row] or row - rows[behind] > lags[s]:
                    behind += 1
                within += e - behind
            pairs[latent - first, s] = within - before
            before = within
    return pairs, seen
