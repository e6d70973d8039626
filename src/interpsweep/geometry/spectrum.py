"""Spectra of dictionary and activations, features per dimension, and the 2-D map."""

from __future__ import annotations

from typing import Any, Literal
from warnings import catch_warnings, simplefilter

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.manifold import SpectralEmbedding

from interpsweep.errors import UserError
from interpsweep.geometry.nulls import random_directions

Array = NDArray[np.float64]


def gram_eigenvalues(unit: NDArray[np.floating]) -> Array:
    """Eigenvalues of the Gram matrix of n unit rows, divided by n, descending; they sum to 1."""
    values = np.linalg.eigvalsh(unit.T.astype(np.float64) @ unit.astype(np.float64) / len(unit))
    return np.maximum(values[::-1], 0.0)[: min(unit.shape)]


def table(unit: NDArray[np.float32], covariance: Array, seed: int) -> pd.DataFrame:
    """`spectrum.parquet`: dictionary, random directions of the same number, and activations."""
    rng = np.random.default_rng([seed, 6])
    random = random_directions(len(unit), unit.shape[1], 1, rng)[0]
    values = gram_eigenvalues(unit)
    activations = np.maximum(np.linalg.eigvalsh(covariance)[::-1], 0.0)
    activations = (activations / max(activations.sum(), 1e-300))[: len(values)]
    return pd.DataFrame(
        {
            "rank": np.arange(1, len(values) + 1, dtype=np.int32),
            "eigenvalue": values,
            "null_eigenvalue": gram_eigenvalues(random),
            "activation_eigenvalue": activations,
        }
    )


def summary(values: Array, dimensions: Array) -> dict[str, Any]:
    """Participation ratio, log-log slope over ranks 10 to 150, mean and sum of D_i."""
    ranks = np.arange(1, len(values) + 1)
    window = (ranks >= 10) & (ranks <= 150) & (values > 0)
    slope = None
    if window.sum() >= 10:
        slope = float(np.polyfit(np.log10(ranks[window]), np.log10(values[window]), 1)[0])
    return {
        "participation_ratio": float(values.sum() ** 2 / np.sum(values**2)),
        "slope": slope,
        "mean_dimensionality": float(dimensions.mean()),
        "sum_dimensionality": float(dimensions.sum()),
    }


def _umap(unit: NDArray[np.float32], seed: int) -> Array:
    try:
        with catch_warnings():  # about a part of the package that needs TensorFlow
            simplefilter("ignore", ImportWarning)
            from umap import UMAP
    except ImportError:
        raise UserError(
            'geometry.embedding: umap needs a package that is not installed: pip install ".[maps]" '
            "in the clone, or use pca or spectral"
        ) from None
    model = UMAP(n_neighbors=15, min_dist=0.1, metric="cosine", random_state=seed, n_jobs=1)
    return np.asarray(model.fit_transform(unit), np.float64)


def embed(unit: NDArray[np.float32], how: Literal["pca", "spectral", "umap"], seed: int) -> Array:
    """2-D map of unit rows, (n, 2): principal components, Laplacian eigenmaps of neighbours, or
    UMAP of cosines (McInnes et al. 2018), which draws clusters among random directions too.

    Each axis gets the sign that makes its largest coordinate positive. Raises UserError if UMAP is
    asked for and not installed.
    """
    if how == "spectral" and len(unit) > 12:
        made = SpectralEmbedding(
            2,
            affinity="nearest_neighbors",
            n_neighbors=10,
            random_state=seed,
            eigen_solver="arpack",
        ).fit_transform(unit.astype(np.float64))
    elif how == "umap" and len(unit) > 12:
        made = _umap(unit, seed)
    else:
        centred = unit.astype(np.float64) - unit.mean(axis=0)
        _, vectors = np.linalg.eigh(centred.T @ centred)
        made = centred @ vectors[:, :-3:-1]
    largest = made[np.abs(made).argmax(axis=0), np.arange(made.shape[1])]
    return made * np.where(largest < 0, -1, 1)
