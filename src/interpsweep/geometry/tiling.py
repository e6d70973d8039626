"""Manifold capture: how the latents of an SAE share out the plane of a labelled concept.

A plane may be tiled by latents that lie in it and stand in for the points near them (Michaud et
al.), or lie in the span of latents none of which does (Bhalla et al. 2026).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file

from interpsweep.columns import TILING

Array = NDArray[np.float64]
Ints = NDArray[np.int64]
IN_PLANE = 0.9  # share of a tile's squared length that lies in the plane


def planes(concepts: Path) -> dict[str, Array]:
    """Orthonormal rows of every concept's plane at a site, from its item of stage `concepts`."""
    found = load_file(concepts / "planes.safetensors")
    return {name: plane.astype(np.float64) for name, plane in found.items()}


def capture(
    plane: Array | None, unit: NDArray[np.floating], holders: Ints, rate: Array
) -> dict[str, Any]:
    """Columns of `concepts.parquet`: how unit directions (n, d) lie to a plane (2, d).

    `holders` are the best latents of the concept's values and `rate` (n,) is the share of its
    tokens on which a latent fires: neither looks at directions. A line in place of a plane has one
    row.
    """
    nothing = dict.fromkeys(TILING, np.nan) | {"tiling": 0, "concept_l0": float(rate.sum())}
    if plane is None or not len(holders):
        return nothing
    span = _span(unit[holders].astype(np.float64))
    energy = np.sum((unit @ plane.T) ** 2, axis=1)
    tiles = np.flatnonzero((rate > 0) & (energy >= IN_PLANE))
    gaps = angle_gaps(unit[tiles] @ plane.T) if len(plane) == 2 else np.zeros(0)
    return nothing | {
        "plane_capture": float(np.sum((span @ plane.T) ** 2) / len(plane)),
        "plane_capture_null": len(span) / plane.shape[1],
        "plane_energy": float(energy[holders].mean()),
        "tiling": len(tiles),
        "tiling_gap_cv": float(gaps.std() / gaps.mean()) if len(gaps) > 2 else np.nan,
        "tiling_l0": float(rate[tiles].sum()),
        "tiling_l1": mean_l1(gaps),
    }


def _span(directions: Array) -> Array:
    """Orthonormal rows (r, d) of what directions (p, d) span."""
    _, s, rows = np.linalg.svd(directions, full_matrices=False)
    return np.asarray(rows[s > 1e-6 * s.max(initial=0.0)])


def angle_gaps(points: Array) -> Array:
    """Angles from every point (m, 2) to the next one round the origin, (m,), in all 2 pi."""
    angle = np.sort(np.arctan2(points[:, 1], points[:, 0]))
    return np.diff(angle, append=angle[:1] + 2 * np.pi)


def mean_l1(gaps: Array) -> float:
    """Least L1 norm of non-negative codes, on average over the unit circle, with unit latents
    that stand at these gaps.

    A point is the sum of the two latents that it lies between, so that a gap g costs 2 tan(g / 2):
    for m equal gaps (2 / g) tan(g / 2). NaN if a half circle has no latent: it cannot be rebuilt.
    """
    if not len(gaps) or gaps.max() >= np.pi:
        return float("nan")
    return float(np.tan(gaps / 2).sum() / np.pi)
