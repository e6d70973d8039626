"""Codes in which the values of a concept stand in the same surroundings, one at a time.

The days of a week exclude each other on a token, and so do their latents; what they share are the
tokens around them. Here a marker of the concept fires on the token before and another on the token
after every value.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from interpsweep.worlds.shapes import embed
from interpsweep.worlds.structureless import isotropic

Array = NDArray[np.float64]


class Surrounded(NamedTuple):
    """Unit directions (n, d), codes (tokens, n) CSR, context and token id of each token, group.

    The first latents are the values of the concept in their order (group 0), then the markers
    (group 1), then independent latents (group -1).
    """

    unit: Array
    codes: sp.csr_matrix
    context: NDArray[np.int32]
    ids: NDArray[np.int32]
    group: NDArray[np.int64]


def concept(
    points: Array,
    others: int,
    dim: int,
    tokens: int,
    rng: np.random.Generator,
    noise: float = 0.3,
    centre: float = 1.0,
    p: float = 0.02,
    rate: float = 0.03,
    context: int = 32,
    ends: int = 1,
    own: float = 1.0,
) -> Surrounded:
    """A concept with one value per row of `points`, planted as `worlds.shapes.embed` does.

    A token begins the three tokens marker, value, marker with probability `p`; each of `others`
    latents fires by itself with probability `rate`. With several `ends` the concept has as many
    parts, about equal and one after the other: a share `own` of their values is followed by the
    part's own marker, the rest by the first part's. Token ids tell values and markers apart; all
    other tokens share 50 ids.
    """
    k = len(points)
    markers = 1 + ends
    start = np.flatnonzero(rng.random(tokens) < p)
    start = start[(start % context < context - 2) & (start < tokens - 2)]
    start = start[np.diff(start, prepend=-3) > 2]
    value = rng.integers(k, size=len(start))
    part = value * ends // k
    if ends > 1:
        part *= rng.random(len(part)) < own
    end = k + 1 + part
    rows = np.concatenate([start, start + 1, start + 2])
    columns = np.concatenate([np.full(len(start), k), value, end])
    free = rng.random((tokens, others)) < rate
    more_rows, more_columns = np.nonzero(free)
    rows, columns = (
        np.concatenate([rows, more_rows]),
        np.concatenate([columns, more_columns + k + markers]),
    )
    size = rng.uniform(0.5, 1.5, len(rows)).astype(np.float32)
    ids = (k + markers + rng.integers(50, size=tokens)).astype(np.int32)
    ids[start], ids[start + 1], ids[start + 2] = k, value, end
    planted = embed(points, dim, rng, centre, noise)
    unit = np.vstack([planted, isotropic(markers + others, dim, rng)])
    return Surrounded(
        unit,
        sp.coo_matrix((size, (rows, columns)), (tokens, k + markers + others)).tocsr(),
        (np.arange(tokens) // context).astype(np.int32),
        ids,
        np.repeat([0, 1, -1], [k, markers, others]),
    )
