"""What stage `concepts` says of labelled concepts at a site in vectors: class means and planes."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from interpsweep.tables import read_parquet

Array = NDArray[np.float64]
PLANES, MEANS = "planes.safetensors", "means.safetensors"


class ClassMeans(NamedTuple):
    """One concept: means of its values with enough tokens, and the plane of its order test."""

    values: NDArray[np.int64]  # (k,)
    means: Array  # (k, d)
    plane: Array  # (2, d), of a line (1, d) or (2, d): orthonormal rows


def write_vectors(planes: dict[str, Array], means: dict[str, Array], out: Path) -> None:
    """Write them as float32, in C order: safetensors writes an array's memory as it lies."""
    for name, vectors in ((PLANES, planes), (MEANS, means)):
        kept = {concept: np.ascontiguousarray(v, np.float32) for concept, v in vectors.items()}
        save_file(kept, out / name)


def planes_of(concepts: Path) -> dict[str, Array]:
    """Orthonormal rows of every concept's plane at a site, from its item of stage `concepts`."""
    return _vectors(concepts / PLANES)


def class_means(concepts: Path) -> dict[str, ClassMeans]:
    """Every concept at a site, from its item of stage `concepts`."""
    planes, means = planes_of(concepts), _vectors(concepts / MEANS)
    if not means:
        return {}
    values = read_parquet(concepts / "means.parquet", ["concept", "value"])
    by_concept = values.groupby("concept")["value"]
    return {
        name: ClassMeans(by_concept.get_group(name).to_numpy(np.int64), means[name], planes[name])
        for name in means
    }


def _vectors(file: Path) -> dict[str, Array]:
    return {name: vectors.astype(np.float64) for name, vectors in load_file(file).items()}
