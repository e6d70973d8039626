"""Null dictionaries that are alike in centre and spectrum, and in nothing finer."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
ROUNDS = 3  # covariance and length are imposed in turn so often


def twin(unit: NDArray[np.floating], count: int, rng: np.random.Generator) -> Array:
    """`count` random unit rows with the centre and covariance of the rows of `unit` (n, d).

    Gaussian rows with that covariance would not do: their own spectrum is spread further, by as
    much as that of `unit` is by its finite number of rows, and bringing them to length one changes
    it again. So covariance and length are imposed in turn until they agree.
    """
    rows = np.asarray(unit, np.float64)
    mean, root = rows.mean(axis=0), _powers(rows)[0]
    rows = rng.standard_normal((count, unit.shape[1]))
    for _ in range(ROUNDS):
        rows = (rows - rows.mean(axis=0)) @ _powers(rows)[1] @ root + mean
        rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-300)
    return rows


def _powers(rows: Array) -> tuple[Array, Array]:
    """Square root of the covariance of the rows, and the inverse of it on its range, (d, d)."""
    centred = rows - rows.mean(axis=0)
    values, vectors = np.linalg.eigh(centred.T @ centred / len(rows))
    kept = values > values[-1] * 1e-10
    root = np.sqrt(values[kept])
    axes = vectors[:, kept]
    return (axes * root) @ axes.T, (axes / root) @ axes.T
