"""Stage `recovery`: what an SAE holds of the labelled concepts, from its latents alone.

Which latent is best for each value, whether the declared order shows in the directions of those
latents, and how they share out the plane of the concept. What of it counts as recovered, the claims
say: they have the levels.

A plane may be tiled by latents that lie in it and stand in for the points near them (manifold
capture, Michaud et al.), or lie in the span of latents none of which does (Bhalla et al. 2026).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from interpsweep.columns import HELD, LABELLED, SHARES, STANDS_FOR, TILING, VALUES
from interpsweep.config.analysis import RecoverySettings
from interpsweep.config.base import own_fields
from interpsweep.context import Context
from interpsweep.corpora.artifact import Corpus
from interpsweep.geometry import orders
from interpsweep.geometry.best_latents import Held, Holding, hold, row_labels
from interpsweep.geometry.concept_vectors import planes_of
from interpsweep.numerics.cosine import unit_rows
from interpsweep.saes.artifact import Dictionary
from interpsweep.saes.codes import Codes
from interpsweep.spec import Spec
from interpsweep.tables import typed, write_json, write_parquet

Ints = NDArray[np.int64]
Unit = NDArray[np.float32]
Array = NDArray[np.float64]
COMPONENTS, EXACT, DRAWS = 6, 8, 9999  # of the order tests on decoder directions
IN_PLANE = 0.9  # share of a tile's squared length that lies in the plane
ENOUGH = {"circle": 5, "line": 5}  # fewer distinct latents cannot show an order


def run(spec: Spec, inputs: dict[str, Any], out: Path, ctx: Context) -> dict[str, Any]:
    """Look for every labelled concept in the latents of an SAE; see docs/tables.md."""
    settings = own_fields(RecoverySettings, spec["settings"])
    corpus, codes = Corpus.open(inputs["corpus"]), Codes.open(inputs["codes"])
    unit = unit_rows(np.asarray(Dictionary.open(inputs["sae"]).W_dec))
    planes: dict[str, Any] = {}
    for folder in inputs["concepts"]:  # none of a transcoder
        planes |= planes_of(folder)
    sizes = {name: len(concept["values"]) for name, concept in corpus.concepts.items()}
    holding = hold(codes, row_labels(corpus, codes), sizes, settings.levels, ctx)
    rows = [
        {
            **{"concept": name, "shape": concept["shape"], "parent": concept.get("parent") or ""},
            **direction_shape(concept["shape"], holding.concepts[name], unit),
            **capture(planes.get(name), unit, best(holding.concepts[name]), holding.rate[name]),
        }
        for name, concept in corpus.concepts.items()
    ]
    values = value_table(corpus.concepts, holding)
    write_parquet(typed(rows, HELD), out / "concepts.parquet")
    write_parquet(values, out / "values.parquet")
    write_parquet(share_table(holding), out / "shares.parquet")
    known = values[values["count"] >= LABELLED]
    summary = {
        "concepts": {k: float(f1) for k, f1 in known.groupby("concept")["f1"].mean().items()}
    }
    if "missing" in spec["settings"]:
        summary["missing"] = spec["settings"]["missing"]
    write_json(summary, out / "summary.json")
    return summary


def value_table(concepts: dict[str, Any], holding: Holding) -> pd.DataFrame:
    """`values.parquet`: the best latent of every value."""
    parts = [
        pd.DataFrame(
            {
                "concept": name,
                "value": np.arange(len(held.count)),
                "label": concepts[name]["values"],
                "count": held.count,
                "feature": held.latent,
                "threshold": held.threshold,
                "f1": held.f1,
                "precision": held.precision,
                "recall": held.recall,
            }
        )
        for name, held in holding.concepts.items()
    ]
    return typed(pd.concat(parts) if parts else [], VALUES)


def share_table(holding: Holding) -> pd.DataFrame:
    """`shares.parquet`: latents of which most firings lie on the tokens of one concept."""
    parts = [
        pd.DataFrame({"concept": name, "feature": mine, "share": share[mine]})
        for name, share in holding.share.items()
        for mine in [np.flatnonzero(share >= STANDS_FOR)]
    ]
    return typed(pd.concat(parts) if parts else [], SHARES)


def best(held: Held) -> Ints:
    """The best latents of a concept's values that stand for them, each once."""
    return np.unique(held.latent[(held.count >= LABELLED) & (held.f1 >= STANDS_FOR)])


def distinct(held: Held) -> Ints:
    """Values with a latent that stands for them and for no other value with a higher F1."""
    values = np.flatnonzero((held.count >= LABELLED) & (held.f1 >= STANDS_FOR))
    order = values[np.argsort(-held.f1[values], kind="stable")]
    _, first = np.unique(held.latent[order], return_index=True)
    return np.sort(order[first])


def direction_shape(shape: str, held: Held, unit: Unit) -> dict[str, Any]:
    """Does the declared order show in the directions (d_sae, d) of the values' best latents?

    Latents enter by F1 alone, from a half up: that choice knows nothing of directions, so the
    p-value stands, and it has more power than with well-held values only.
    """
    alone, k = distinct(held), len(held.f1)
    facts = {"shape_latents": len(alone)}
    if shape not in ENOUGH or len(alone) < ENOUGH[shape]:
        return facts | {"shape_statistic": np.nan, "shape_p": np.nan, "shape_exact": False}
    points = orders.centred_components(unit[held.latent[alone]].astype(np.float64), COMPONENTS)
    rng = np.random.default_rng(0)
    if shape == "line":
        found = orders.line(points, EXACT, DRAWS, rng)
    else:
        angles = None if len(alone) == k else 2 * np.pi * alone / k
        found = orders.circle(points, EXACT, DRAWS, rng, angles)
    return facts | {
        "shape_statistic": found.statistic,
        "shape_p": found.p,
        "shape_exact": found.exact,
    }


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
