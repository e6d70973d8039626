"""Stage `concepts`: do the labelled concepts have their declared shape at this site, before any
SAE?
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from interpsweep.activations.artifact import Activations
from interpsweep.columns import CONCEPT_RELATIONS
from interpsweep.config.analysis import ConceptsSettings
from interpsweep.config.base import own_fields
from interpsweep.context import Context
from interpsweep.corpora.artifact import Corpus
from interpsweep.geometry import class_means, orders, relations
from interpsweep.geometry.concept_vectors import write_vectors
from interpsweep.geometry.tokens import Tokens
from interpsweep.spec import Spec
from interpsweep.tables import typed, write_json, write_parquet
from interpsweep.vectors import unit_length

SPLIT = "analysis"
Array = NDArray[np.float64]
COMPONENTS = 6  # principal components of the class means that the tests see
EXACT = 8  # most values of a circle or line for which every permutation is counted
RIDGE = 1e-3  # of the held-out probe, relative to the mean variance of activations

CONCEPT_COLUMNS = {
    **dict.fromkeys(("concept", "shape", "test"), str),
    "values": np.int32,
    "tokens": np.int64,
    **dict.fromkeys(("statistic", "null_mean", "null_sd", "z", "p", "p_floor"), np.float64),
    "permutations": np.int64,
    "exact": bool,
    **dict.fromkeys(("closure", "plane_share", "harmonic_share", "between_share"), np.float64),
    **dict.fromkeys(("held_out_r2", "separation"), np.float64),
    "parent": str,
}
MEAN_COLUMNS = {
    **dict.fromkeys(("concept", "shape"), str),
    "value": np.int32,
    "label": str,
    "parent": np.int32,
    "parent_label": str,
    "count": np.int64,
    **dict.fromkeys(("x", "y", "z", "pc1", "pc2", "pc3", "norm"), np.float64),
}


@dataclass(frozen=True)
class Named:
    """One concept's kept values: their indices, tokens and means (k, d)."""

    values: NDArray[np.int64]
    count: NDArray[np.int64]
    means: Array


def run(spec: Spec, inputs: dict[str, Any], out: Path, ctx: Context) -> dict[str, Any]:
    """Test every labelled concept of the corpus at one site; see docs/tables.md for the tables."""
    settings = own_fields(ConceptsSettings, spec["settings"])
    activations = Activations.open(inputs["activations"], inputs["masks"])
    corpus = Corpus.open(inputs["corpus"])
    first, last = activations.splits[SPLIT]
    tokens = Tokens(corpus, activations, first, last)
    found = class_means.moments(activations, tokens, first, ctx)
    apart = class_means.separation(activations, tokens, first, found, ctx)
    kept = {name: keep(m, settings.min_tokens) for name, m in found.items()}
    rows, pictures, planes = [], [], dict[str, Array]()
    for name, concept in tokens.concepts.items():
        if len(kept[name].values) < 3:
            continue
        row, picture, planes[name] = examine(
            name, concept, kept, found[name], tokens.concepts, settings
        )
        rows.append({**row, "separation": apart[name]})
        pictures.append(picture)
    known = relations.declared(tokens.concepts, corpus.meta.get("truth"))
    own = relations.own_points(found, known, tokens, settings.min_tokens)
    related = relations.table(own, known, settings.draws, settings.seed)
    concepts = typed(rows, CONCEPT_COLUMNS)
    means = pd.concat(pictures, ignore_index=True) if pictures else pd.DataFrame()
    write_parquet(concepts, out / "concepts.parquet")
    write_parquet(typed(means, MEAN_COLUMNS), out / "means.parquet")
    write_parquet(typed(related, CONCEPT_RELATIONS), out / "relations.parquet")
    write_vectors(planes, {name: kept[name].means for name in planes}, out)
    summary = {
        "rows": last - first,
        "concepts": {
            row["concept"]: {key: _number(row[key]) for key in ("statistic", "p", "held_out_r2")}
            for row in rows
        },
        "relations": {
            f"{row['child']} to {row['parent']}": {
                key: _number(row[key])
                for key in ("parallel", "parallel_p", "add", "gain", "gain_p")
            }
            for row in related
            if row["space"] == "raw"
        },
    }
    write_json(summary, out / "summary.json")
    return summary


def keep(found: class_means.Moments, least: int) -> Named:
    """Values with at least `least` tokens."""
    count = found.counts.sum(axis=0)
    values = np.flatnonzero(count >= least)
    means = found.sums.sum(axis=0)[values] / count[values, None]
    return Named(values, count[values].astype(np.int64), means)


def examine(
    name: str,
    concept: dict[str, Any],
    kept: dict[str, Named],
    found: class_means.Moments,
    concepts: dict[str, Any],
    settings: ConceptsSettings,
) -> tuple[dict[str, Any], pd.DataFrame, Array]:
    """One row of `concepts.parquet`, the rows of `means.parquet`, and the plane of one concept."""
    mine, shape = kept[name], concept["shape"]
    points = orders.centred_components(mine.means, COMPONENTS)
    parent, above = family(name, concept, kept, concepts)
    test, result = agreement(shape, points, parent, settings)
    variance = np.sum(points**2, axis=0)
    everything = float(np.sum((mine.means - mine.means.mean(axis=0)) ** 2))
    i, j = result.plane if result else (0, min(1, points.shape[1] - 1))
    row = {
        "concept": name,
        "shape": shape,
        "test": test,
        "values": len(mine.values),
        "tokens": int(mine.count.sum()),
        **(result._asdict() if result else _nothing()),
        "closure": orders.end_gap(points[:, :3]) if shape in ("circle", "line") else np.nan,
        "plane_share": float((variance[i] + variance[j] * (i != j)) / max(everything, 1e-300)),
        "harmonic_share": orders.harmonic_share(mine.means),
        "between_share": class_means.between_share(found),
        "held_out_r2": class_means.held_out_r2(
            found, class_means.targets(shape, len(concept["values"])), RIDGE
        ),
        "parent": above,
    }
    drawn = picture(name, concept, mine, points, (i, j), parent, concepts.get(above))
    return row, drawn, plane(mine.means, points[:, sorted({i, j})])


def plane(means: Array, coordinates: Array) -> Array:
    """Orthonormal rows (2, d) along which means (k, d) have these principal coordinates (k, 2)."""
    return unit_length(coordinates.T @ (means - means.mean(axis=0)))


def family(
    name: str, concept: dict[str, Any], kept: dict[str, Named], concepts: dict[str, Any]
) -> tuple[NDArray[np.int64] | None, str]:
    """Parent value of each kept value, and the parent concept's name."""
    above = concept.get("parent")
    if above is None or concept.get("parent_of") is None:
        return None, ""
    return np.asarray(concept["parent_of"], np.int64)[kept[name].values], str(above)


def agreement(
    shape: str, points: Array, parent: NDArray[np.int64] | None, settings: ConceptsSettings
) -> tuple[str, orders.Agreement | None]:
    """Name of the test and its result; None where the declared shape says nothing to test.

    Categories are tested for a circular order as a control: there is none to be found. The top of a
    taxonomy has no parents to be nested in.
    """
    rng = np.random.default_rng(settings.seed)
    if shape == "line":
        return "line", orders.line(points, EXACT, settings.draws, rng)
    if shape == "tree":
        if parent is None or not 1 < len(np.unique(parent)) < len(parent):
            return "tree", None
        return "tree", orders.tree(points, parent, settings.draws, rng)
    result = orders.circle(points, EXACT, settings.draws, rng)
    return ("circle" if shape == "circle" else "order"), result


def _nothing() -> dict[str, Any]:
    numbers = dict.fromkeys(("statistic", "null_mean", "null_sd", "z", "p", "p_floor"), np.nan)
    return {**numbers, "permutations": 0, "exact": False}


def picture(
    name: str,
    concept: dict[str, Any],
    mine: Named,
    points: Array,
    plane: tuple[int, int],
    parent: NDArray[np.int64] | None,
    above: dict[str, Any] | None,
) -> pd.DataFrame:
    """Coordinates of the class means: in the plane of the test, and on the leading components."""
    padded = np.pad(points, ((0, 0), (0, max(0, 3 - points.shape[1]))))
    rest = [c for c in range(padded.shape[1]) if c not in plane][:1]
    labels = [concept["values"][v] for v in mine.values]
    return pd.DataFrame(
        {
            "concept": name,
            "shape": concept["shape"],
            "value": mine.values,
            "label": labels,
            "parent": -1 if parent is None else parent,
            "parent_label": ""
            if parent is None or above is None
            else [above["values"][v] for v in parent],
            "count": mine.count,
            "x": padded[:, plane[0]],
            "y": padded[:, plane[1]] if plane[1] != plane[0] else 0.0,
            "z": padded[:, rest[0]] if rest else 0.0,
            "pc1": padded[:, 0],
            "pc2": padded[:, 1],
            "pc3": padded[:, 2],
            "norm": np.linalg.norm(mine.means, axis=1),
        }
    )


def _number(value: float) -> float | None:
    return None if value is None or np.isnan(value) else float(value)
