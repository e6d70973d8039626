"""Parents by weights alone beside the parents of trees: do meta-SAEs and co-firing agree?"""

from __future__ import annotations

from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from interpsweep.claims.sources import FAMILY, TYPES, Source, place
from interpsweep.claims.sweep_tables import FAMILY_PLACE
from interpsweep.saes.artifact import Dictionary
from interpsweep.tables import typed

Ints = NDArray[np.int64]
ALL = "all"  # the rows over all types of edges
_EXPLAINED = ("explained_variance", "explained_variance_null")
COLUMNS = {
    **{name: TYPES[name] for name in FAMILY_PLACE},
    **dict.fromkeys(("d_narrow", "d_wide", "d_meta"), "int32"),
    "type": str,
    "children": "int32",
    **dict.fromkeys(("strongest", "strongest_null", "any", "any_null"), "float64"),
    **dict.fromkeys(("nearest", "nearest_null", "metas", "meta_cosine"), "float64"),
    **dict.fromkeys(_EXPLAINED, "float64"),
}


class Parents(NamedTuple):
    """What the weights name as narrow latents behind each wide one."""

    strongest: Ints  # (n_wide,) behind the strongest meta-latent, -1 = composed of none
    every: list[Ints]  # of each wide latent those behind all its meta-latents, no repeats
    nearest: Ints  # (n_wide,) nearest by decoder cosine, no meta-SAE involved
    cosine: float  # mean over used meta-latents of the cosine with their narrow latent


def compare(trees: list[Source], metas: list[Source], saes: list[Source]) -> pd.DataFrame:
    """`meta_parents.parquet`: agreement with the forest's parents, by step and type of edge.

    A meta-latent stands for the narrow latent whose decoder row is nearest to its own.
    """
    weights = {(*sae.key(FAMILY), sae.at["d_sae"]): sae for sae in saes}
    meta_of = {(*meta.key(FAMILY), meta.at["d_sae"]): meta for meta in metas}
    rows = []
    for tree in trees:
        edges = tree.table("edges")
        edges = edges[edges["primary"] & edges["related"] & (edges["n"] >= 0)]
        family = tree.key(FAMILY)
        for (narrow, wide), step in edges.groupby(["d_narrow", "d_wide"]):
            ends = [weights.get((*family, int(width))) for width in (narrow, wide)]
            meta = meta_of.get((*family, int(wide)))
            if meta is None or None in ends:
                continue
            parents = parents_of(meta, *(Dictionary.open(e.path).directions for e in ends if e))
            summary = meta.summary()
            at = {key: place(tree.at)[key] for key in FAMILY_PLACE}
            at |= {"d_narrow": narrow, "d_wide": wide, "d_meta": summary["metas"]}
            at |= {name: summary[name] for name in _EXPLAINED}
            for name, of in [(ALL, step), *step.groupby("type")]:
                rows.append({**at, "type": name, **agreement(of, parents)})
    return typed(rows, COLUMNS)


def parents_of(meta: Source, narrow: NDArray[np.float32], wide: NDArray[np.float32]) -> Parents:
    """Narrow latents named by a meta-SAE of the wide dictionary (unit rows of both)."""
    table, directions = meta.table("composition"), Dictionary.open(meta.path).directions
    cosines = directions @ narrow.T
    stands_for = cosines.argmax(axis=1)
    feature, named = table["feature"].to_numpy(), stands_for[table["meta"].to_numpy()]
    strongest = np.full(len(wide), -1)
    first = (table["rank"] == 0).to_numpy()
    strongest[feature[first]] = named[first]
    starts = np.searchsorted(feature, np.arange(len(wide) + 1))
    every = [np.unique(named[a:b]) for a, b in pairwise(starts)]
    used = np.unique(table["meta"])
    return Parents(
        strongest, every, (wide @ narrow.T).argmax(axis=1), float(cosines.max(axis=1)[used].mean())
    )


def agreement(edges: pd.DataFrame, parents: Parents) -> dict[str, Any]:
    """How often the tree's parent is the one that the weights name, and by chance.

    By chance: the parents of the same edges dealt out anew among their children, in the mean over
    all ways to do so.
    """
    n, w = (edges[name].to_numpy(np.int64) for name in ("n", "w"))
    dealt = np.bincount(n, minlength=1) / len(n)  # share of the edges that each parent has

    def chance(named: Ints) -> float:
        return float(dealt[named[(named >= 0) & (named < len(dealt))]].sum() / len(n))

    every = [parents.every[latent] for latent in w]
    hit = [bool(np.isin(parent, named)) for parent, named in zip(n, every, strict=True)]
    strongest, nearest = parents.strongest[w], parents.nearest[w]
    return {
        "children": len(n),
        "strongest": float(np.mean(strongest == n)),
        "strongest_null": chance(strongest),
        "any": float(np.mean(hit)),
        "any_null": chance(np.concatenate(every)),
        "nearest": float(np.mean(nearest == n)),
        "nearest_null": chance(nearest),
        "metas": float(np.mean([len(named) for named in every])),
        "meta_cosine": parents.cosine,
    }
