"""Which latents of two dictionaries fire together: exact counts without a table of all pairs.

For one latent b at a time, the latents of a are counted over the rows on which b fires. The counts
of one b are a vector as long as a is wide, so the time is the number of joint firings and memory
does not know the product of the widths.
"""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.typing import NDArray

from interpsweep.compiled import compiled
from interpsweep.errors import UserError
from interpsweep.saes.firing import BlockMap, CodeReader
from interpsweep.saes.postings import Postings, blocks_of, fired_with, with_room

Ints = NDArray[np.int64]


def require_same_rows(a: CodeReader, b: CodeReader) -> None:
    """Co-firing needs the same tokens on both sides."""
    if a.n_rows != b.n_rows or tuple(getattr(a, "rows", ())) != tuple(getattr(b, "rows", ())):
        raise UserError(
            f"the two SAEs were encoded on different tokens ({a.n_rows} and {b.n_rows} rows); "
            "match SAEs of one corpus and one analysis split"
        )


def candidates(
    a: Postings, b: Postings, top_k: int, overlap: float, block_map: BlockMap
) -> tuple[Ints, Ints]:
    """Pairs worth measuring by co-firing.

    For each b its `top_k` latents a by P(a|b), and every pair with P(a|b) or P(b|a) of at least
    `overlap`: at most top_k + 2 L0 / overlap of them per latent.
    """
    work = partial(_candidates, a=a, b=b, top_k=top_k, overlap=overlap)
    parts = list(block_map(work, blocks_of(b.counts), "co-firing"))
    if not parts:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    pair_a, pair_b = (np.concatenate(part) for part in zip(*parts, strict=True))
    return pair_a, pair_b


def _candidates(
    block: tuple[int, int], a: Postings, b: Postings, top_k: int, overlap: float
) -> tuple[Ints, Ints]:
    counts_a = a.counts
    k = min(top_k, len(counts_a))
    pair_a, pair_b = _count_together(
        *block, b.by_latent, b.rows, a.by_row, a.latents, counts_a, k, overlap
    )
    return pair_a, pair_b


@compiled
def _count_together(
    first: int,
    last: int,
    by_latent: Ints,
    rows: NDArray[np.uint32],
    by_row: Ints,
    latents: NDArray[np.uint32],
    counts_a: Ints,
    k: int,
    overlap: float,
) -> tuple[Ints, Ints]:
    """The kept pairs (a, b) of latents b in [first, last)."""
    together = np.zeros(len(counts_a), np.int32)
    touched = np.empty(len(counts_a), np.int64)
    out = np.empty((2, 1 << 12), np.int64)
    made = 0
    best = np.empty(k, np.int32)
    for b in range(first, last):
        own = rows[by_latent[b] : by_latent[b + 1]]
        fired = len(own)
        seen = fired_with(own, by_row, latents, len(counts_a), together, touched)
        best[:] = 0  # the k largest counts, descending
        for s in range(seen):
            value = together[touched[s]]
            if value > best[k - 1]:
                at = k - 1
                while at > 0 and best[at - 1] < value:
                    best[at] = best[at - 1]
                    at -= 1
                best[at] = value
        out = with_room(out, made, seen)
        ties = k  # places of the top k left for counts equal to the k-th
        for i in range(k):
            ties -= best[i] > best[k - 1]
        order = np.sort(touched[:seen])
        for a in order:
            value = together[a]
            keep = value > best[k - 1] or value >= overlap * fired or value >= overlap * counts_a[a]
            if not keep and value == best[k - 1] and ties > 0:
                keep = True
            if value == best[k - 1]:
                ties -= 1
            if keep:
                out[0, made], out[1, made] = a, b
                made += 1
            together[a] = 0
    return out[0, :made].copy(), out[1, :made].copy()
