"""Firing profiles: which latents fire on the tokens right before and right after a latent's own.

Latents for exclusive values (the days of a week) never fire together, so their codes are
anticorrelated token by token; but they stand in the same surroundings. Clusters of profiles gather
them from the codes alone, without a look at the directions (cf. "The Geometry of Concepts",
Li et al. 2024, which counts co-firing in blocks of 256 tokens).
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from interpsweep.saes.firing import Firing, firings

Array = NDArray[np.float64]


class _Counts(NamedTuple):
    """Sums over pairs of neighbouring tokens of one context; (a, c) latents by surroundings."""

    pairs: float
    first: Array  # (a,) latent on the first token of a pair
    second: Array
    after: Array  # (a, c) surroundings fire right after the latent
    before: Array


def profiles(
    codes: Any,
    context: NDArray[np.integer],
    alive: NDArray[np.int64],
    surroundings: NDArray[np.int64],
    level: float,
    ctx: Any,
) -> NDArray[np.float32]:
    """Unit firing profiles (a, 2 c) of the latents `alive` (a,) over the latents `surroundings`.

    An entry is the phi coefficient of "the latent fires" and "the other fires on the next
    (previous) token of the same context"; rows are centred. Firing is an activation above `level`
    times the latent's largest one, because latents of TopK SAEs fire faintly on many tokens.
    `context` (rows,) is the context of every encoded row.
    """
    work = partial(
        _count,
        codes=Firing.above(codes, level, ctx.block_map),
        context=context,
        alive=alive,
        surroundings=surroundings,
    )
    parts = list(ctx.block_map(work, list(codes.chunks()), "firing profiles"))
    n, first, second, after, before = (sum(part[1:], part[0]) for part in zip(*parts, strict=True))
    where = np.searchsorted(alive, surroundings)
    made = np.hstack(
        [
            _phi(after, first, second[where], n),
            _phi(before, second, first[where], n),
        ]
    )
    made -= made.mean(axis=1, keepdims=True)
    made /= np.maximum(np.linalg.norm(made, axis=1, keepdims=True), 1e-12)
    return made.astype(np.float32)


def _count(
    chunk: tuple[int, int],
    codes: Firing,
    context: NDArray[np.integer],
    alive: NDArray[np.int64],
    surroundings: NDArray[np.int64],
) -> _Counts:
    start, stop = chunk[0], min(chunk[1] + 1, codes.n_rows)  # the pair across the chunk's end
    on = firings(codes.read(start, stop)).astype(np.float64)
    within = np.diff(context[start:stop]) == 0
    first, second = on[:-1][within], on[1:][within]
    return _Counts(
        float(within.sum()),
        np.asarray(first.sum(axis=0)).ravel()[alive],
        np.asarray(second.sum(axis=0)).ravel()[alive],
        (first[:, alive].T @ second[:, surroundings]).toarray(),
        (second[:, alive].T @ first[:, surroundings]).toarray(),
    )


def _phi(joint: Array, a: Array, c: Array, n: float) -> Array:
    variance = np.outer(a * (n - a), c * (n - c))
    return (n * joint - np.outer(a, c)) / np.sqrt(np.where(variance > 0, variance, np.inf))
