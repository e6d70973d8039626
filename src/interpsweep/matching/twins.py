"""Null dictionaries that are alike in centre and spectrum, and in nothing finer."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from interpsweep.vectors import unit_length

Array = NDArray[np.float64]
ROUNDS = 8  # covariance and length are imposed in turn at most so often
AGREED = 0.01  # root mean square deviation of the lengths from one at which they agree


def twin(unit: NDArray[np.floating], count: int, rng: np.random.Generator) -> Array:
    """`count` random unit rows with the centre and covariance of the rows of `unit` (n, d).

    Gaussian rows with that covariance would not do: their own spectrum is spread further, by as
    much as that of `unit` is by its finite number of rows, and bringing them to length one changes
    it again. So covariance and length are imposed in turn until they agree. Fewer rows than the
    covariance has dimensions cannot have it; they have its trace. Of rows that are all alike, a
    single one for instance, there is no spectrum to keep: their twins have random directions.
    """
    rows = np.asarray(unit, np.float64)
    if np.allclose(rows, rows[0], atol=1e-7):
        drawn = rng.standard_normal((count, rows.shape[1]))
        return unit_length(drawn)
    mean = rows.mean(axis=0)
    values, vectors = np.linalg.eigh((rows - mean).T @ (rows - mean) / len(rows))
    kept = values > values[-1] * 1e-10
    axes = vectors[:, kept] * np.sqrt(values[kept])  # (d, r)
    back = vectors[:, kept] / np.sqrt(values[kept])
    place = rng.standard_normal((count, axes.shape[1]))
    for _ in range(ROUNDS):
        rows = _whitened(place) @ axes.T
        rows *= np.sqrt(values[kept].sum() * count / max(np.sum(rows**2), 1e-300))
        rows += mean
        length = np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-300)
        rows /= length
        if np.mean((length - 1) ** 2) < AGREED**2:
            break
        place = (rows - mean) @ back
    return rows


def _whitened(place: Array) -> Array:
    """Rows (m, r) moved as little as may be so that they are centred and their covariance is the
    identity, on as many dimensions as they have.
    """
    centred = place - place.mean(axis=0)
    wide = len(centred) <= centred.shape[1]
    gram = centred @ centred.T if wide else centred.T @ centred
    values, vectors = np.linalg.eigh(gram / len(centred))
    kept = values > max(values[-1], 1e-300) * 1e-10
    root = (vectors[:, kept] / np.sqrt(values[kept])) @ vectors[:, kept].T
    return np.asarray(root @ centred if wide else centred @ root)
