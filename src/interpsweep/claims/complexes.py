"""The complex of two neighbouring layers: latents joined by what the next layer makes of them.

Every latent of the next layer joins the latents below that it fires with most beyond chance to a
simplex. Its topology is held against simplices dealt out anew (`geometry.rewired`).
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from interpsweep.claims.sources import PLACE, TYPES, Source, place
from interpsweep.config.analysis import ClaimsSettings
from interpsweep.geometry.complexes import Complex, betti, components, faces
from interpsweep.geometry.cuts import cuts
from interpsweep.geometry.nulls import upper_p
from interpsweep.geometry.rewired import rewired
from interpsweep.tables import typed

Ints = NDArray[np.int64]
Array = NDArray[np.float64]
MEASURES = ("edges", "triangles", "b0", "b1", "b2", "articulations", "cut")
COLUMNS = {
    **{name: TYPES[name] for name in PLACE},
    "b_site": str,
    "b_layer": "int32",
    **dict.fromkeys(("lower", "upper", "simplices", "distinct", "vertices"), "int32"),
    **dict.fromkeys(("weight", "largest"), "float64"),
    **{f"{name}{suffix}": "float64" for name in MEASURES for suffix in ("", "_null", "_sd", "_p")},
}


def complexes(matches: list[Source], settings: ClaimsSettings, ctx: Any) -> pd.DataFrame:
    """`complexes.parquet`: one row per match between layers; see docs/tables.md."""
    between = [match for match in matches if match.at.get("direction") == "layer"]
    rows = ctx.block_map(partial(_row, settings=settings), between, "complexes of two layers")
    return typed(list(rows), COLUMNS)


def _row(match: Source, settings: ClaimsSettings) -> dict[str, Any]:
    a, b = place(match.at["a"]), place(match.at["b"])
    counts = match.summary()["vertices"]
    where = [max(int(a[name]), 0) for name in ("layer", "d_sae", "seed")]
    rng = np.random.default_rng([settings.seed, 5, *where])
    simplices, weights = joined(match.table("simplices"), settings.simplex, settings.simplex_npmi)
    return {
        **a,
        "b_site": b["site"],
        "b_layer": b["layer"],
        "lower": counts["a"],
        "upper": counts["b"],
        "weight": float(np.median(weights)) if len(weights) else np.nan,
        **measure(simplices, settings.draws, rng),
    }


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
        **dict(zip(MEASURES, own, strict=True)),
    }
    if len(simplices) < 2:
        return facts
    null = np.array([topology(faces(drawn))[0] for drawn in rewired(simplices, draws, rng)])
    for name, value, drawn in zip(MEASURES, own, null.T, strict=True):
        facts |= {f"{name}_null": drawn.mean(), f"{name}_sd": drawn.std()}
        facts[f"{name}_p"] = two_sided_p(value, drawn)
    return facts


def topology(found: Complex) -> tuple[Array, float]:
    """`MEASURES` of a complex, and the share of its vertices in its largest part (NaN if empty).

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
