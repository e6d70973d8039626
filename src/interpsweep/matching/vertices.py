"""Which latents of a layer each latent of the next layer fires with most beyond chance.

They are the vertices of the complex of two layers (docs/methods.md, "Complexes of two layers").
The candidate pairs of a match are not enough for that: they are chosen by cosine and by P(a|b),
which rare latents seldom lead, however large their lift. So all joint firings are counted.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from interpsweep.compiled import compiled
from interpsweep.matching.association import scores
from interpsweep.matching.dependence import Dependence, design_effects, measure
from interpsweep.saes.firing import BlockMap
from interpsweep.saes.postings import Postings, blocks_of, fired_with, with_room
from interpsweep.tables import typed

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
RANKS = 4  # latents kept per latent of the next layer
LEVEL = 0.05  # chance that a latent unrelated to all of the layer below gets any
COLUMNS = {
    **dict.fromkeys(("b", "rank", "a"), "int32"),
    **dict.fromkeys(("n_a", "n_b", "n_ab"), "int64"),
    **dict.fromkeys(("lift", "npmi", "design_effect"), "float32"),
}


class _Pair(NamedTuple):
    """Two dictionaries encoded on the same rows; small and picklable."""

    a: Postings
    b: Postings
    along_a: Dependence
    along_b: Dependence
    documents: NDArray[np.int32]
    least: int  # firings of a latent that counts
    needed: float  # minus the logarithm of the p that a pair must reach


def vertices(
    a: Postings,
    b: Postings,
    documents: NDArray[np.int32],
    min_firings: int,
    block_map: BlockMap,
) -> pd.DataFrame:
    """The latents a of the highest lifts with each latent b, at most `RANKS`; `documents` (n_rows,)
    has the document of each row. Columns as in docs/tables.md, `simplices.parquet`.

    Both fire `min_firings` times or more. A pair counts if unrelated latents would fire together as
    often with a chance of at most `LEVEL` over the number of latents a: by Chernoff's bound
    exp(k - e) (e / k)^k of k joint firings where e are expected, k > e (Hoeffding 1963), which is
    on the safe side of the hypergeometric tail; k and e are divided by the pair's design effect.
    Of equal lifts the one with more joint firings comes first, then the lower latent.
    """
    least = max(min_firings, 1)
    needed = float(np.log(max(int((a.counts >= least).sum()), 1) / LEVEL))
    along_a, along_b = (measure(side, documents, block_map) for side in (a, b))
    pair = _Pair(a, b, along_a, along_b, documents, least, needed)
    parts = list(block_map(partial(_block, pair=pair), blocks_of(b.counts), "vertices"))
    found = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()
    return typed(found, COLUMNS)


def _block(block: tuple[int, int], pair: _Pair) -> pd.DataFrame:
    """Rows of the table of latents b in [first, last)."""
    rows = len(pair.documents)
    a, b, n_ab = _together(
        *block, pair.b.by_latent, pair.b.rows, pair.a.by_row, pair.a.latents, pair.a.counts,
        rows, pair.least, pair.needed,
    )  # fmt: skip
    effect = design_effects(pair.along_a, pair.along_b, a, b, pair.documents)
    n_a, n_b = pair.a.counts[a], pair.b.counts[b]
    k = n_ab.astype(np.float64)
    e = n_a * (n_b / rows)
    beyond = (k * np.log(k / e) - k + e) / effect >= pair.needed
    lift = k / n_a  # times rows / n_b, the same for all a
    order = np.lexsort((a, -n_ab, -lift, b))
    order = order[beyond[order]]
    place = np.arange(len(order)) - np.searchsorted(b[order], b[order])
    kept, rank = order[place < RANKS], place[place < RANKS]
    table = {"b": b, "a": a, "n_a": n_a, "n_b": n_b, "n_ab": n_ab, "design_effect": effect}
    associated = scores(n_ab[kept], n_a[kept], n_b[kept], rows)
    return pd.DataFrame(
        {
            **{name: values[kept] for name, values in table.items()},
            "rank": rank,
            **{name: associated[name] for name in ("lift", "npmi")},
        }
    )


@compiled
def _together(
    first: int,
    last: int,
    by_latent: Ints,
    rows: NDArray[np.uint32],
    by_row: Ints,
    latents: NDArray[np.uint32],
    counts_a: Ints,
    n_rows: int,
    least: int,
    needed: float,
) -> tuple[Ints, Ints, Ints]:
    """Pairs (a, b), and their joint firings, that would count if all rows were independent."""
    together = np.zeros(len(counts_a), np.int64)
    touched = np.empty(len(counts_a), np.int64)
    out = np.empty((3, 1 << 12), np.int64)
    made = 0
    for b in range(first, last):
        own = rows[by_latent[b] : by_latent[b + 1]]
        fired = len(own)
        if fired < least:
            continue
        seen = fired_with(own, by_row, latents, len(counts_a), together, touched)
        out = with_room(out, made, seen)
        for a in touched[:seen]:
            k, e = np.float64(together[a]), fired * (counts_a[a] / n_rows)
            together[a] = 0
            if counts_a[a] >= least and k > e and k * np.log(k / e) - k + e >= needed - 1e-9:
                out[0, made], out[1, made], out[2, made] = a, b, np.int64(k)
                made += 1
    return out[0, :made].copy(), out[1, :made].copy(), out[2, :made].copy()
