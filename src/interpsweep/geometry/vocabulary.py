"""Kinds of tokens as the codes see them: where they stand, which latents hold them, their means.

Several latents often share one value (one per construction it occurs in), and a narrow dictionary
may have fewer latents than a concept has values. Both hide an arrangement from tests on latents.
Kinds of tokens (distinct token ids) are free of that, and they are given with the text: no label is
used. They are gathered by firing profiles, that is by what the dictionary's latents do on the
neighbouring tokens, so the choice sees neither directions nor the activations that are tested.
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from interpsweep.geometry.firing_profiles import one_hot, type_profiles
from interpsweep.saes.firing import Firing, exceeding, firings

Array = NDArray[np.float64]
Ints = NDArray[np.int64]
HELD = 0.5  # F1 from which a latent holds a kind of token


class Kinds(NamedTuple):
    """The frequent kinds of tokens, ascending by id."""

    ids: Ints  # (t,) token ids
    tokens: Ints  # (t,) occurrences among the encoded rows
    codes: sp.csr_matrix  # (t, a) mean activation of every living latent on the kind's tokens
    latent: Ints  # (t,) the living latent with the best F1 for the kind, as row of the directions
    f1: Array  # (t,)
    profiles: NDArray[np.float32]  # (t, 2 c) unit rows

    def means(self, rows: Ints, unit: NDArray[np.float32]) -> Array:
        """Mean reconstruction, without bias, of the given kinds, (k, d)."""
        made: Array = np.asarray(self.codes[rows] @ unit.astype(np.float64))
        return made

    def centre(self, unit: NDArray[np.float32]) -> Array:
        """The mean of all kinds' means, (d,)."""
        made: Array = np.asarray(self.codes.mean(axis=0)).ravel() @ unit.astype(np.float64)
        return made

    def holders(self, rows: Ints) -> tuple[Ints, Ints]:
        """The kinds that have a latent of their own (F1 at least `HELD`; of several kinds with one
        latent the best), and these latents.
        """
        held = rows[self.f1[rows] >= HELD]
        held = held[np.argsort(-self.f1[held], kind="stable")]
        _, first = np.unique(self.latent[held], return_index=True)
        kept = np.sort(held[first])
        return kept, self.latent[kept]


def kinds(
    codes: Any,
    context: NDArray[np.integer],
    ids: NDArray[np.integer],
    alive: Ints,
    surroundings: Ints,
    level: float,
    least: int,
    most: int,
    ctx: Any,
) -> Kinds:
    """The `most` most frequent kinds of tokens with at least `least` occurrences.

    `ids` and `context` (rows,) are the token and context of every encoded row; firing is an
    activation above `level` times the latent's largest.
    """
    seen, place, count = np.unique(ids, return_inverse=True, return_counts=True)
    kept = np.flatnonzero(count >= least)
    kept = np.sort(kept[np.argsort(-count[kept], kind="stable")[:most]])
    where = np.full(len(seen), -1)
    where[kept] = np.arange(len(kept))
    place = where[place]
    above = Firing.above(codes, level)
    work = partial(_sums, codes=codes, floor=above.floor, alive=alive, place=place, size=len(kept))
    sums, hits, fired = None, None, np.zeros(len(alive))
    for mine, theirs, on in ctx.block_map(work, list(codes.chunks()), "kinds of tokens"):
        sums = mine if sums is None else sums + mine
        hits = theirs if hits is None else hits + theirs
        fired = fired + on
    if sums is None:
        sums = hits = sp.csr_matrix((0, len(alive)))
    n = count[kept]
    latent, f1 = _best(sp.csr_matrix(hits), n, fired)
    return Kinds(
        seen[kept].astype(np.int64),
        n.astype(np.int64),
        sp.csr_matrix(sp.diags(1 / np.maximum(n, 1)) @ sums),
        latent,
        f1,
        type_profiles(codes, context, place, len(kept), surroundings, level, ctx),
    )


def _sums(
    chunk: tuple[int, int], codes: Any, floor: Array, alive: Ints, place: Ints, size: int
) -> tuple[sp.csr_matrix, sp.csr_matrix, Array]:
    block = sp.csr_matrix(codes.read(*chunk))[:, alive].astype(np.float64)
    kind = one_hot(place[chunk[0] : chunk[1]], size).T
    on = firings(exceeding(block, floor[alive])).astype(np.float64)
    fired = np.asarray(on.sum(axis=0)).ravel()
    return sp.csr_matrix(kind @ block), sp.csr_matrix(kind @ on), fired


def _best(hits: sp.csr_matrix, count: Ints, fired: Array) -> tuple[Ints, Array]:
    """Latent with the largest F1 = 2 hits / (count + fired) for every kind, and that F1."""
    latent, f1 = np.zeros(len(count), np.int64), np.zeros(len(count))
    for row in range(len(count)):
        mine = slice(hits.indptr[row], hits.indptr[row + 1])
        which = hits.indices[mine]
        if len(which):
            score = 2 * hits.data[mine] / (count[row] + fired[which])
            best = np.lexsort((which, -score))[0]
            latent[row], f1[row] = which[best], score[best]
    return latent, f1
