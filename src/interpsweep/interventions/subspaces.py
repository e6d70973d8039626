"""The directions that are acted on: those of class means, and those that latents hold."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from interpsweep.columns import LABELLED, STANDS_FOR
from interpsweep.geometry.concept_vectors import ClassMeans
from interpsweep.interventions.prompts import CYCLIC
from interpsweep.vectors import unit_length

Floats = NDArray[np.float64]
_TINY = 1e-6  # of the largest singular value


class Subspace(NamedTuple):
    """Directions of one concept at a site, with the coordinates of its class means there."""

    source: str  # means | latents
    space: str  # plane | line | span
    rows: Floats  # (r, d) orthonormal
    points: Floats  # (k, r) by value of the concept, NaN where its mean is not known


def of_means(found: ClassMeans, k: int) -> Iterator[Subspace]:
    """The plane or line of the order test, and all that differs between the class means."""
    span = _span(found.means - found.means.mean(axis=0))
    for space, rows in ((_name(found.plane), found.plane), ("span", span)):
        yield _subspace("means", space, rows, found, k)


def of_latents(
    found: ClassMeans, k: int, shape: str, held: pd.DataFrame, directions: NDArray[np.float32]
) -> Iterator[Subspace]:
    """The plane or line of the latents that stand for values, and their span.

    `held` are the rows of ``values.parquet`` of the concept, `directions` (d_sae, d) unit decoder
    rows. The plane is that of the two leading components of the latents' directions; a line has
    one. Nothing if fewer latents stand for a value than that takes: three, two of a line.
    """
    good = held[(held["count"] >= LABELLED) & (held["f1"] >= STANDS_FOR)]
    latents = np.unique(good["feature"])
    wanted = 2 if shape == CYCLIC else 1
    if len(latents) <= wanted:
        return
    rows = unit_length(directions[latents].astype(np.float64))
    leading = _span(rows - rows.mean(axis=0))[:wanted]
    for space, chosen in ((_name(leading), leading), ("span", _span(rows))):
        yield _subspace("latents", space, chosen, found, k)


def _name(rows: Floats) -> str:
    return "line" if len(rows) == 1 else "plane"


def _span(vectors: Floats) -> Floats:
    """Orthonormal rows (r, d) of what vectors (m, d) span, the largest share first."""
    _, s, rows = np.linalg.svd(vectors, full_matrices=False)
    return np.asarray(rows[s > _TINY * s.max(initial=0.0)])


def _subspace(source: str, space: str, rows: Floats, found: ClassMeans, k: int) -> Subspace:
    points = np.full((k, len(rows)), np.nan)
    points[found.values] = found.means @ rows.T
    return Subspace(source, space, rows, points)


class RandomRows:
    """Random orthonormal rows with the covariance of activations: draw i is always the same."""

    def __init__(self, covariance: Floats, seed: int) -> None:
        values, vectors = np.linalg.eigh(covariance)
        self._root = vectors * np.sqrt(np.maximum(values, 0.0))  # (d, d)
        self._seed = seed

    def draw(self, number: int, r: int) -> Floats:
        """(r, d)."""
        rng = np.random.default_rng([self._seed, 1, number])
        rows = rng.standard_normal((r, len(self._root))) @ self._root.T
        return np.linalg.qr(rows.T)[0].T
