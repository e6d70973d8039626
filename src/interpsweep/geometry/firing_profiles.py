"""Firing profiles: which latents fire on the tokens right before and right after.

Latents for exclusive values (the days of a week) never fire together, so their codes are
anticorrelated token by token; but they stand in the same surroundings. Clusters of profiles gather
them from the codes alone, without a look at the directions (cf. "The Geometry of Concepts",
Li et al. 2024, which counts co-firing in blocks of 256 tokens). The same is done for kinds of
tokens (`vocabulary.py`).
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from interpsweep.saes import joint
from interpsweep.saes.firing import Firing, firings

Ints = NDArray[np.int64]


def profiles(
    codes: Any,
    context: NDArray[np.integer],
    alive: Ints,
    surroundings: Ints,
    level: float,
    ctx: Any,
) -> NDArray[np.float32]:
    """Unit firing profiles (a, 2 c) of the latents `alive` (a,) over the latents `surroundings`.

    An entry is the phi coefficient of "the latent fires" and "the other fires on the next
    (previous) token of the same context"; rows are centred. Firing is an activation above `level`
    times the latent's largest one, because latents of TopK SAEs fire faintly on many tokens.
    `context` (rows,) is the context of every encoded row.
    """
    above = Firing.above(codes, level)
    return _profiles(above, context, surroundings, partial(_latents, alive=alive), ctx)


def type_profiles(
    codes: Any,
    context: NDArray[np.integer],
    place: Ints,
    types: int,
    surroundings: Ints,
    level: float,
    ctx: Any,
) -> NDArray[np.float32]:
    """The same for `types` kinds of tokens: `place` (rows,) is the kind of every row, -1 = none."""
    above = Firing.above(codes, level)
    return _profiles(above, context, surroundings, partial(_types, place=place, types=types), ctx)


def _latents(start: int, stop: int, on: sp.csr_matrix, alive: Ints) -> sp.csr_matrix:
    return on[:, alive]


def _types(start: int, stop: int, on: sp.csr_matrix, place: Ints, types: int) -> sp.csr_matrix:
    return one_hot(place[start:stop], types)


def one_hot(place: Ints, size: int) -> sp.csr_matrix:
    """Rows with a 1 at their place, (n, size); empty where the place is -1."""
    here = np.flatnonzero(place >= 0)
    return sp.csr_matrix((np.ones(len(here)), (here, place[here])), (len(place), size))


def _profiles(
    codes: Firing, context: NDArray[np.integer], surroundings: Ints, events: Any, ctx: Any
) -> NDArray[np.float32]:
    work = partial(_pairs, codes=codes, context=context, surroundings=surroundings, events=events)
    after, before = joint.count(work, codes.chunks(), ctx.block_map, "firing profiles")
    made = np.hstack([after.phi(), before.phi()])
    made -= made.mean(axis=1, keepdims=True)
    made /= np.maximum(np.linalg.norm(made, axis=1, keepdims=True), 1e-12)
    return made.astype(np.float32)


def _pairs(
    chunk: tuple[int, int],
    codes: Firing,
    context: NDArray[np.integer],
    surroundings: Ints,
    events: Any,
) -> list[tuple[sp.csr_matrix, sp.csr_matrix]]:
    """Over pairs of neighbouring tokens of one context: events on the first token and latents on
    the second; events on the second and latents on the first.
    """
    start, stop = chunk[0], min(chunk[1] + 1, codes.n_rows)  # the pair across the chunk's end
    on = firings(codes.read(start, stop)).astype(np.float64)
    event, latent = sp.csr_matrix(events(start, stop, on)), sp.csr_matrix(on[:, surroundings])
    within = np.diff(context[start:stop]) == 0
    return [
        (event[:-1][within], latent[1:][within]),
        (event[1:][within], latent[:-1][within]),
    ]
