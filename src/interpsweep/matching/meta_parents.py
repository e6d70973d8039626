"""Parents by weights alone beside the parents of trees: do meta-SAEs and co-firing agree?"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from interpsweep.saes.artifact import Dictionary
from interpsweep.tables import read_json, read_parquet

Ints = NDArray[np.int64]
ALL = "all"  # the rows over all types of edges
_EXPLAINED = ("explained_variance", "explained_variance_null")


class Parents(NamedTuple):
    """What the weights name as narrow latents behind each wide one."""

    strongest: Ints  # (n_wide,) behind the strongest meta-latent, -1 = composed of none
    every: list[Ints]  # of each wide latent those behind all its meta-latents, no repeats
    nearest: Ints  # (n_wide,) nearest by decoder cosine, no meta-SAE involved
    cosine: float  # mean over used meta-latents of the cosine with their narrow latent


def compare(
    edges: pd.DataFrame, metas: dict[int, Path], saes: dict[int, Path]
) -> list[dict[str, Any]]:
    """Rows of `meta_parents.parquet`: agreement with the tree's parents, by step and type of edge.

    `edges` are those of a tree; meta-SAEs and SAEs are known by the width of the SAE. A meta-latent
    stands for the narrow latent whose decoder row is nearest to its own.
    """
    edges = edges[edges["primary"] & edges["related"] & (edges["n"] >= 0)]
    rows = []
    for (narrow, wide), step in edges.groupby(["d_narrow", "d_wide"]):
        if wide not in metas or not {narrow, wide} <= saes.keys():
            continue
        ends = (Dictionary.open(saes[width]).directions for width in (narrow, wide))
        parents, summary = parents_of(metas[wide], *ends), read_json(metas[wide] / "summary.json")
        at = {"d_narrow": narrow, "d_wide": wide, "d_meta": summary["metas"]}
        at |= {name: summary[name] for name in _EXPLAINED}
        for name, of in [(ALL, step), *step.groupby("type")]:
            rows.append({**at, "type": name, **agreement(of, parents)})
    return rows


def parents_of(meta: Path, narrow: NDArray[np.float32], wide: NDArray[np.float32]) -> Parents:
    """Narrow latents named by a meta-SAE of the wide dictionary (unit rows of both)."""
    table = read_parquet(meta / "composition.parquet")
    directions = Dictionary.open(meta).directions
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
