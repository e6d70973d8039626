"""Statistics of every latent's activations, block by block, in memory that knows no rows. No torch.

Quantiles come from a sample that every latent has of its own: the `SAMPLE` firings with the
smallest hash of their row. A rare latent keeps all of its firings, a frequent one a random part of
them, so each gets the same precision from the same memory; and since the hash decides, the sample
is the same however rows are cut into blocks (bottom-k sampling, Cohen & Kaplan 2007, PODC).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from interpsweep.compiled import Array, compiled

SAMPLE = 512  # firings kept of every latent


class Activity:
    """Count, sum, maximum and a sample of the activations of `d_sae` latents."""

    def __init__(self, d_sae: int) -> None:
        self.count = np.zeros(d_sae, np.int64)
        self.total = np.zeros(d_sae)
        self.largest = np.zeros(d_sae, np.float32)
        self._order = np.zeros((d_sae, SAMPLE), np.uint64)  # of each latent a heap, largest first
        self._value = np.zeros((d_sae, SAMPLE), np.float32)

    def add(self, first_row: int, indptr: Array, indices: Array, values: Array) -> None:
        """Take in a block of rows of codes (CSR); rows are numbered from `first_row`."""
        _add(
            np.uint64(first_row), indptr, indices, values, self.count, self.total, self.largest,
            self._order, self._value,
        )  # fmt: skip

    def quantiles(self, shares: Sequence[float]) -> Array:
        """Quantiles (lower value, no interpolation), (len(shares), d_sae); NaN without firings."""
        found = np.full((len(shares), len(self.count)), np.nan, np.float32)
        for latent in np.flatnonzero(self.count):
            mine = np.sort(self._value[latent, : min(SAMPLE, self.count[latent])])
            found[:, latent] = mine[np.floor(np.array(shares) * (len(mine) - 1)).astype(np.int64)]
        return found


@compiled
def _hash(row: np.uint64, latent: int) -> np.uint64:
    """A well mixed number of 64 bits (the finaliser of SplitMix64)."""
    x = (row << np.uint64(24)) + np.uint64(latent) + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


@compiled
def _replace_top(order: Array, value: Array, key: np.uint64, new: float) -> None:
    """Put (key, new) in the place of the largest key of a heap."""
    at, size = 0, len(order)
    while True:
        child = 2 * at + 1
        if child >= size:
            break
        if child + 1 < size and order[child + 1] > order[child]:
            child += 1
        if order[child] <= key:
            break
        order[at], value[at] = order[child], value[child]
        at = child
    order[at], value[at] = key, new


@compiled
def _insert(order: Array, value: Array, at: int, key: np.uint64, new: float) -> None:
    """Put (key, new) behind the first `at` entries of a heap."""
    while at > 0:
        above = (at - 1) // 2
        if order[above] >= key:
            break
        order[at], value[at] = order[above], value[above]
        at = above
    order[at], value[at] = key, new


@compiled
def _add(
    first: int,
    indptr: Array,
    indices: Array,
    values: Array,
    count: Array,
    total: Array,
    largest: Array,
    order: Array,
    value: Array,
) -> None:
    for row in range(len(indptr) - 1):
        for e in range(indptr[row], indptr[row + 1]):
            latent = indices[e]
            key = _hash(first + np.uint64(row), latent)
            held = count[latent]
            if held < order.shape[1]:
                _insert(order[latent], value[latent], held, key, values[e])
            elif key < order[latent, 0]:
                _replace_top(order[latent], value[latent], key, values[e])
            count[latent] += 1
            total[latent] += values[e]
            largest[latent] = max(largest[latent], values[e])
