"""Stage `complex`: latents of a layer, joined by what the next layer makes of them.

Every latent of the next layer joins the latents below that it fires with most beyond chance to a
simplex. Its topology is held against simplices dealt out anew: every vertex stays in as many of
them, every simplex keeps its size.

Trades of Strona et al. (Nature Communications 5, 2014, "curveball"), whose stationary distribution
is uniform over such sets of simplices (Carstens 2015, Physical Review E 91). Draws are made by the
parallel method of Besag and Clifford (Biometrika 76, 1989): the given simplices are traded up to a
common origin, and every draw starts from there. Under the null all of them are then exchangeable,
however far the trades mix, and a p counted among them is exact.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from interpsweep.columns import COMPLEX, TOPOLOGY
from interpsweep.compiled import compiled
from interpsweep.config.analysis import ComplexesSettings
from interpsweep.config.base import own_fields
from interpsweep.context import Context
from interpsweep.geometry.complexes import Complex, articulations, betti, components, faces
from interpsweep.geometry.nulls import upper_p
from interpsweep.spec import Spec
from interpsweep.tables import read_json, read_parquet, typed, write_json, write_parquet

Ints = NDArray[np.int64]
Array = NDArray[np.float64]
TRADES = 5  # per simplex and draw of the null; each changes two


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

    Articulations are those of the largest part, of equal ones the first.
    """
    parts, labels = components(found)
    sizes = np.bincount(labels, minlength=1)
    inside = labels == np.argmax(sizes)
    place_of = np.cumsum(inside) - 1
    edges = found.edges[inside[found.edges[:, 0]]] if parts else found.edges
    alone = articulations(place_of[edges], int(inside.sum()))
    counts = (len(found.edges), len(found.triangles))
    own = np.array([*counts, *betti(found), alone], np.float64)
    return own, float(sizes.max() / len(labels)) if parts else np.nan


def two_sided_p(value: float, null: Array) -> float:
    """Twice the smaller tail's (1 + #) / (1 + draws), at most 1; NaN if a value is unknown."""
    if not np.isfinite(value) or not np.isfinite(null).all():
        return float("nan")
    return min(1.0, 2 * min(upper_p(value, null), upper_p(-value, -null)))


def rewired(simplices: Ints, draws: int, rng: np.random.Generator) -> Iterator[Ints]:
    """`draws` random sets in place of simplices (m, k) of distinct vertices, -1 where one has
    fewer; (m, k) each.
    """
    origin = traded(simplices, rng)
    for _ in range(draws):
        yield traded(origin, rng)


def traded(simplices: Ints, rng: np.random.Generator) -> Ints:
    """Simplices (m, k) after `TRADES` m trades between two of them."""
    rows = np.sort(simplices, axis=1)[:, ::-1].copy()  # -1 comes last
    count = TRADES * len(rows)
    partners = rng.integers(max(len(rows), 1), size=(count, 2))
    _trade(rows, partners, rng.random((count, 2 * rows.shape[1])))
    return rows


@compiled
def _trade(rows: Ints, partners: Ints, keys: NDArray[np.float64]) -> None:
    """Deal out, in place, what only one of each two rows has, in the order of random keys."""
    k = rows.shape[1]
    pool, key = np.empty(2 * k, np.int64), np.empty(2 * k, np.float64)
    whose, where = np.empty(2 * k, np.int64), np.empty(2 * k, np.int64)
    for t in range(len(partners)):
        if partners[t, 0] == partners[t, 1]:
            continue
        n = 0
        for side in range(2):
            own, other = partners[t, side], partners[t, 1 - side]
            for i in range(k):
                v = rows[own, i]
                if v < 0:
                    break
                shared = False
                for j in range(k):
                    shared |= rows[other, j] == v
                if not shared:
                    pool[n], key[n], whose[n], where[n] = v, keys[t, n], own, i
                    n += 1
        for i in range(1, n):
            v, value, j = pool[i], key[i], i
            while j > 0 and key[j - 1] > value:
                pool[j], key[j] = pool[j - 1], key[j - 1]
                j -= 1
            pool[j], key[j] = v, value
        for i in range(n):
            rows[whose[i], where[i]] = pool[i]
