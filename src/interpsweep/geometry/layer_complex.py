"""Stage `complex`: latents of a layer, joined by what the next layer makes of them.

Every latent of the next layer joins the latents below that it fires with most beyond chance to a
simplex. Its topology is held against simplices dealt out anew (`geometry.rewired`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from interpsweep.columns import COMPLEX, TOPOLOGY
from interpsweep.config.analysis import ComplexesSettings
from interpsweep.config.base import own_fields
from interpsweep.context import Context
from interpsweep.geometry.complexes import Complex, betti, components, faces
from interpsweep.geometry.cuts import cuts
from interpsweep.geometry.nulls import upper_p
from interpsweep.geometry.rewired import rewired
from interpsweep.spec import Spec
from interpsweep.tables import read_json, read_parquet, typed, write_json, write_parquet

Ints = NDArray[np.int64]
Array = NDArray[np.float64]


def run(spec: Spec, inputs: dict[str, Any], out: Path, ctx: Context) -> dict[str, Any]:
    """The complex of one match between layers; see docs/tables.md, complex.parquet."""
    settings = own_fields(ComplexesSettings, spec["settings"])
    counts = read_json(inputs["match"] / "summary.json")["vertices"]
    simplices, weights = joined(
        read_parquet(inputs["match"] / "simplices.parquet"), settings.simplex, settings.simplex_npmi
    )
    rng = np.random.default_rng([settings.seed, 5, *spec["settings"]["place"]])
    row = {
        "lower": counts["a"],
        "upper": counts["b"],
        "weight": float(np.median(weights)) if len(weights) else np.nan,
        **measure(simplices, settings.draws, rng),
    }
    write_parquet(typed([row], COMPLEX), out / "complex.parquet")
    summary = {name: int(row[name]) for name in ("simplices", "vertices", "b0", "b1", "b2")}
    write_json(summary, out / "summary.json")
    return summary


def joined(table: pd.DataFrame, most: int, npmi: float) -> tuple[Ints, Array]:
    """Simplices (m, most) of latents below, -1 where one has fewer, and their weights (m,).

    `table` is `simplices.parquet` of a match. Latents with an NPMI below `npmi` are no corners, and
    latents of the next layer with a single corner join nothing.
    """
    kept = table[(table["rank"] < most) & (table["npmi"] >= npmi)]
    above, row = np.unique(kept["b"].to_numpy(), return_inverse=True)
    simplices = np.full((len(above), most), -1, np.int64)
    simplices[row, kept["rank"].to_numpy()] = kept["a"].to_numpy()
    weights = np.full(len(above), np.inf)
    np.minimum.at(weights, row, kept["npmi"].to_numpy(np.float64))
    whole = (simplices >= 0).sum(axis=1) >= 2
    return simplices[whole], weights[whole]


def measure(simplices: Ints, draws: int, rng: np.random.Generator) -> dict[str, Any]:
    """Sizes and topology of a complex, with the mean, standard deviation and p of its null.

    Simplices (m, k) as in `geometry.complexes.faces`, and `draws` of the null. p is two-sided, NaN
    with fewer than two simplices, which nothing can be dealt between.
    """
    found = faces(simplices)
    own, largest = topology(found)
    facts: dict[str, Any] = {
        "simplices": len(simplices),
        "distinct": len(np.unique(np.sort(simplices, axis=1), axis=0)),
        "vertices": len(found.vertices),
        "largest": largest,
        **dict(zip(TOPOLOGY, own, strict=True)),
    }
    if len(simplices) < 2:
        return facts
    null = np.array([topology(faces(drawn))[0] for drawn in rewired(simplices, draws, rng)])
    for name, value, drawn in zip(TOPOLOGY, own, null.T, strict=True):
        facts |= {f"{name}_null": drawn.mean(), f"{name}_sd": drawn.std()}
        facts[f"{name}_p"] = two_sided_p(value, drawn)
    return facts


def topology(found: Complex) -> tuple[Array, float]:
    """`TOPOLOGY` of a complex, and the share of its vertices in its largest part (NaN if empty).

    Cuts are those of the largest part, of equal ones the first.
    """
    parts, labels = components(found)
    sizes = np.bincount(labels, minlength=1)
    inside = labels == np.argmax(sizes)
    place_of = np.cumsum(inside) - 1
    edges = found.edges[inside[found.edges[:, 0]]] if parts else found.edges
    alone, cut = cuts(place_of[edges], int(inside.sum()))
    counts = (len(found.edges), len(found.triangles))
    own = np.array([*counts, *betti(found), alone, cut], np.float64)
    return own, float(sizes.max() / len(labels)) if parts else np.nan


def two_sided_p(value: float, null: Array) -> float:
    """Twice the smaller tail's (1 + #) / (1 + draws), at most 1; NaN if a value is unknown."""
    if not np.isfinite(value) or not np.isfinite(null).all():
        return float("nan")
    return min(1.0, 2 * min(upper_p(value, null), upper_p(-value, -null)))
