"""Null dictionaries that are alike in centre and spectrum, and in nothing finer."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from interpsweep.vectors import unit_length

Array = NDArray[np.float64]
ROUNDS = 8  # covariance and length are imposed in turn at most so often
AGREED = 0.01  # root mean square deviation of the lengths from one at which they agree


class Twins:
    """Random unit rows with the centre and covariance of the rows of `unit` (n, d).

    Gaussian rows with that covariance would not do: their own spectrum is spread further, by as
    much as that of `unit` is by its finite number of rows, and bringing them to length one changes
    it again. So covariance and length are imposed in turn until they agree. Fewer rows than the
    covariance has dimensions cannot have it; they have its trace. Of rows that are all alike, a
    single one for instance, there is no spectrum to keep: their twins have random directions.
    """

    def __init__(self, unit: NDArray[np.floating]) -> None:
        rows = np.asarray(unit, np.float64)
        self.dim, self.mean = rows.shape[1], rows.mean(axis=0)
        self.alike = bool(np.allclose(rows, rows[0], atol=1e-7))
        values, vectors = np.linalg.eigh((rows - self.mean).T @ (rows - self.mean) / len(rows))
        kept = values > values[-1] * 1e-10
        scale = np.sqrt(values[kept])
        self.axes, self.back = vectors[:, kept] * scale, vectors[:, kept] / scale  # (d, r)
        self.variance = float(values[kept].sum())

    def draw(self, count: int, rng: np.random.Generator) -> Array:
        """One twin of `count` rows, (count, d)."""
        if self.alike:
            return unit_length(rng.standard_normal((count, self.dim)))
        place = _orthonormal(rng.standard_normal((count, self.axes.shape[1])))
        for _ in range(ROUNDS):
            rows = place @ self.axes.T
            rows *= np.sqrt(self.variance * count / max(np.vdot(rows, rows), 1e-300))
            rows += self.mean
            length = np.maximum(np.sqrt(np.einsum("nd,nd->n", rows, rows)), 1e-300)
            rows /= length[:, None]
            if np.mean((length - 1) ** 2) < AGREED**2:
                break
            place = _again_orthonormal((rows - self.mean) @ self.back)
        return rows


def _orthonormal(place: Array) -> Array:
    """Gaussian rows (m, r) centred and brought to covariance one, on as many dimensions as they
    have; by any square root, since their distribution has no preferred axes.
    """
    centred = place - place.mean(axis=0)
    m, r = centred.shape
    # centred rows span m - 1 dimensions
    return np.linalg.qr(centred)[0] * np.sqrt(m) if m > r else _whitened(centred)


def _again_orthonormal(place: Array) -> Array:
    """Rows (m, r) with a covariance near one, centred and moved as little as may be towards it.

    Newton and Schulz's step to the inverse square root of the covariance leaves an error of second
    order, which the next round removes (Higham, "Functions of Matrices", section 6.3). Where the
    covariance is too far from one for it, or has fewer dimensions, the root itself is taken.
    """
    centred = place - place.mean(axis=0)
    m, r = centred.shape
    gram = centred.T @ centred / m
    if m <= r or _largest(gram) > 2:
        return _whitened(centred)
    return np.asarray(centred @ (1.5 * np.eye(r) - 0.5 * gram))


def _largest(gram: Array) -> float:
    """About the largest eigenvalue of a positive matrix (r, r): by a few products with it."""
    vector: Array = np.ones(len(gram))
    for _ in range(8):
        vector = gram @ (vector / max(float(np.linalg.norm(vector)), 1e-300))
    return float(np.linalg.norm(vector))


def _whitened(centred: Array) -> Array:
    """The nearest rows to centred ones (m, r) with covariance one on the dimensions they have."""
    left, size, right = np.linalg.svd(centred, full_matrices=False)
    kept = size > 1e-5 * max(size[0], 1e-300)
    return np.asarray(left[:, kept] @ right[kept] * np.sqrt(len(centred)))
