"""Worlds without structure: whatever an instrument claims in them is false.

Each maker returns unit decoder directions (n, d), float64, in which nothing is arranged in a
shape. `phantom` is the one with an order in it: there an ordered line is right and a circle wrong.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from interpsweep.vectors import unit_length

Array = NDArray[np.float64]


class Superposed(NamedTuple):
    """Plain superposition: unit directions (n, d), codes (tokens, n) CSR, context of each token."""

    unit: Array
    codes: sp.csr_matrix
    context: NDArray[np.int32]


def isotropic(n: int, dim: int, rng: np.random.Generator) -> Array:
    """`n` uniformly random directions."""
    return unit_length(rng.standard_normal((n, dim)))


def anisotropic(n: int, dim: int, rng: np.random.Generator, slope: float = -1.0) -> Array:
    """Gaussian directions whose variance falls with the rank of a random axis as rank^slope.

    They share a mean of the size of their spread times a tenth, as trained decoders do.
    """
    spread = np.arange(1, dim + 1) ** (slope / 2)
    turn = np.linalg.qr(rng.standard_normal((dim, dim)))[0]
    mean = 0.1 * np.linalg.norm(spread) * turn[rng.integers(dim)]
    return unit_length((rng.standard_normal((n, dim)) * spread) @ turn + mean)


def matched(rows: Array, n: int, rng: np.random.Generator) -> Array:
    """Gaussian directions with the mean and covariance of given rows (m, d)."""
    mean = rows.mean(axis=0)
    _, s, axes = np.linalg.svd(rows - mean, full_matrices=False)
    draws = rng.standard_normal((n, len(s))) * (s / np.sqrt(len(rows)))
    return unit_length(mean + draws @ axes)


def shuffled(activations: Array, n: int, rng: np.random.Generator) -> Array:
    """Real activations (m, d) with the order of every principal coordinate shuffled, m >= n.

    Keeps mean, covariance and the marginal distribution along each principal axis, heavy tails
    included; which coordinates occur together is lost.
    """
    if n > len(activations):
        raise ValueError(f"{n} directions asked for, {len(activations)} activations given")
    mean = activations.mean(axis=0)
    _, _, axes = np.linalg.svd(activations - mean, full_matrices=False)
    coordinates = (activations - mean) @ axes.T
    return unit_length(rng.permuted(coordinates, axis=0)[:n] @ axes)


def phantom(n: int, dim: int, rng: np.random.Generator, length: float = 0.05) -> Array:
    """Directions that drift: every coordinate is smooth noise along an order of the rows.

    Principal components of such data are sinusoids and their plane shows a horseshoe or a loop
    (Shinn 2023, "Phantom oscillations in principal component analysis"). There is an order, and
    no circle: the two ends never meet. `length` is the range of the smoothing over the whole
    order.
    """
    place = np.arange(n) / n
    weight = np.exp(-0.5 * ((place[:, None] - place[None]) / length) ** 2)
    drift = weight @ rng.standard_normal((n, dim))
    rows = unit_length(drift) + 0.5 * isotropic(n, dim, rng)
    return unit_length(rows)[rng.permutation(n)]


def superposition(
    n: int,
    dim: int,
    tokens: int,
    rng: np.random.Generator,
    mean_active: float = 4.0,
    decay: float = 1.0,
    context: int = 32,
) -> Superposed:
    """Independent features in random directions: frequent and rare ones, none related to another.

    Feature i is active with probability proportional to (i + 1)^-decay (Zipf), `mean_active` of
    them on a token on average, with exponential magnitudes above 0.5. Tokens come in contexts of
    `context` that mean nothing.
    """
    rate = np.arange(1, n + 1, dtype=float) ** -decay
    rate = np.minimum(rate * mean_active / rate.sum(), 0.5)[rng.permutation(n)]
    columns = [np.flatnonzero(rng.random(tokens) < p) for p in rate]
    counts = np.array([len(rows) for rows in columns])
    values = 0.5 + rng.exponential(size=int(counts.sum()))
    codes = sp.csc_matrix(
        (values.astype(np.float32), np.concatenate(columns), np.r_[0, np.cumsum(counts)]),
        (tokens, n),
    ).tocsr()
    return Superposed(
        isotropic(n, dim, rng), codes, (np.arange(tokens) // context).astype(np.int32)
    )
