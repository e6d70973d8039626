"""Lobes: do latents that fire together also lie together?

After Li et al. 2024, "The Geometry of Concepts", section 4: latents are clustered once by their
co-firing in blocks of tokens and once by their directions, and the two clusterings are compared.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from scipy.stats import entropy
from sklearn.cluster import SpectralClustering
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import (
    adjusted_mutual_info_score,
    balanced_accuracy_score,
    mutual_info_score,
)
from sklearn.metrics.cluster import contingency_matrix, expected_mutual_information

Array = NDArray[np.float64]
Ints = NDArray[np.int64]


class Lobes(NamedTuple):
    """Agreement of functional and geometric lobes, and how well directions predict the former."""

    agreement: float  # adjusted mutual information
    agreement_null: Array  # labels permuted
    accuracy: float  # balanced, held out
    accuracy_null: Array  # directions replaced by Gaussian ones
    smallest: int  # latents in the smallest functional lobe


def spectral(affinity: Array, k: int, seed: int) -> Ints:
    """Labels (n,) of spectral clustering on an affinity of at least 0, (n, n)."""
    model = SpectralClustering(k, affinity="precomputed", random_state=seed, n_init=3)
    return model.fit_predict(affinity).astype(np.int64)


def angular(unit: Array) -> Array:
    """1 - angle / pi of unit rows, (n, n)."""
    return 1 - np.arccos(np.clip(unit @ unit.T, -1, 1)) / np.pi


def measure(
    unit: Array, phi: Array, k: int, draws: int, refits: int, seed: int, rng: np.random.Generator
) -> Lobes:
    """Compare `k` lobes by block co-firing, phi (n, n), with `k` by the angles of unit rows (n, d).

    Phi is moved to phi + 1, which is never negative. Accuracy is that of a logistic regression from
    direction to functional lobe on a held-out fifth, all lobes counting alike.
    """
    functional, geometric = spectral(phi + 1, k, seed), spectral(angular(unit), k, seed)
    held = rng.permutation(len(unit)) < len(unit) // 5
    permuted = agreements(geometric, [rng.permutation(functional) for _ in range(draws)], len(unit))
    random = [
        _accuracy(rng.standard_normal(unit.shape) / np.sqrt(unit.shape[1]), functional, held)
        for _ in range(refits)
    ]
    return Lobes(
        float(adjusted_mutual_info_score(functional, geometric)),
        permuted,
        _accuracy(unit, functional, held),
        np.array(random),
        int(np.bincount(functional, minlength=k).min()),
    )


def agreements(labels: Ints, permuted: list[Ints], n: int) -> Array:
    """Adjusted mutual information of labels (n,) with permutations of one other labelling.

    A permutation changes the mutual information alone: its expectation and the entropies, which
    adjust it, depend on the sizes of the groups (Vinh, Epps and Bailey 2010).
    """
    tables = [contingency_matrix(labels, other) for other in permuted]
    expected = expected_mutual_information(csr_matrix(tables[0]), n)
    most = (entropy(np.bincount(labels)) + entropy(np.bincount(permuted[0]))) / 2
    shared = np.array([mutual_info_score(None, None, contingency=table) for table in tables])
    spread = max(most - expected, np.finfo(float).eps)
    return np.asarray((shared - expected) / spread)


def _accuracy(unit: Array, lobe: Ints, held: NDArray[np.bool_]) -> float:
    model = LogisticRegression(max_iter=200, class_weight="balanced", C=10.0)
    known = np.isin(lobe, np.unique(lobe[~held])) & held
    if len(np.unique(lobe[~held])) < 2 or not known.any():
        return float("nan")
    model.fit(unit[~held], lobe[~held])
    return float(balanced_accuracy_score(lobe[known], model.predict(unit[known])))
