"""Stage `agreement`: parents that are known otherwise, beside those of a family's latents.

Known are the parents of labelled values, of the features of a world, of latents among the nested
levels of a Matryoshka SAE, and those that a meta-SAE names. They are held against the tree; those
of labelled values also against which latents fire together.

Nested levels and the tree over widths give a latent of a wide SAE a parent by the same evidence:
the tree a latent of the narrower SAE, which was trained apart, the levels one of the same SAE that
an earlier level has. They agree on a latent if the parent among the levels hangs, over widths, from
the very latent that this one hangs from.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from interpsweep.columns import (
    CHILD,
    EDGE_CONFUSION,
    EDGE_SCORES,
    LEVELS,
    META_PARENTS,
    NESTED,
    VALUE_EDGES,
)
from interpsweep.context import Context
from interpsweep.corpora.artifact import Corpus
from interpsweep.corpora.world import Planted
from interpsweep.matching import meta_parents, nesting, world_scores
from interpsweep.saes.codes import Codes
from interpsweep.sources import Source, gather
from interpsweep.spec import Spec
from interpsweep.tables import typed, write_json, write_parquet

DRAWS = 999  # permutations of the parents among the levels
COLUMNS = {
    "nested": NESTED,
    "value_edges": VALUE_EDGES,
    "edge_scores": EDGE_SCORES,
    "edge_confusion": EDGE_CONFUSION,
    "levels": LEVELS,
    "meta_parents": META_PARENTS,
}


def run(spec: Spec, inputs: dict[str, Any], out: Path, ctx: Context) -> dict[str, Any]:
    """Compare one family's parents with all that is known; see docs/tables.md for the tables."""
    found = gather(spec, inputs)
    made = labelled(found, ctx) | against_tree(found, ctx)
    tables = {name: typed(made.get(name, []), columns) for name, columns in COLUMNS.items()}
    for name, table in tables.items():
        write_parquet(table, out / f"{name}.parquet")
    summary: dict[str, Any] = {"rows": {name: len(table) for name, table in tables.items()}}
    if "missing" in spec["settings"]:
        summary["missing"] = spec["settings"]["missing"]
    write_json(summary, out / "summary.json")
    return summary


def labelled(found: dict[str, list[Source]], ctx: Context) -> dict[str, Any]:
    """`nested` and `value_edges`: pairs of labelled values of which one is below the other."""
    codes, values = (by_width(found[role]) for role in ("codes", "recoveries"))
    widths = sorted(codes.keys() & values.keys())
    if not widths or not found["corpora"]:
        return {}
    concepts = Corpus.open(found["corpora"][0].path).concepts
    ladder = [
        nesting.Step(width, Codes.open(codes[width].path), values[width].table("values"))
        for width in widths
    ]
    made: dict[str, Any] = {"nested": nesting.pairs(concepts, ladder, ctx)}
    if found["trees"]:
        made["value_edges"] = nesting.edges(concepts, ladder, found["trees"][0].table("nodes"))
    return made


def against_tree(found: dict[str, list[Source]], ctx: Context) -> dict[str, Any]:
    """What the parents of a world, of nested levels and of meta-SAEs say of the tree's."""
    if not found["trees"]:
        return {}
    tree, saes = found["trees"][0], by_width(found["saes"])
    nodes, edges = tree.table("nodes"), tree.table("edges")
    nested = {width: one.table("nodes") for width, one in by_width(found["levels"]).items()}
    metas = {width: one.path for width, one in by_width(found["metas"]).items()}
    made: dict[str, Any] = {
        "levels": nested_levels(nested, nodes),
        "meta_parents": meta_parents.compare(edges, metas, {w: s.path for w, s in saes.items()}),
    }
    codes = by_width(found["codes"])
    ladder = sorted(set(nodes["d_sae"].tolist()))
    whole = codes.keys() & saes.keys() >= set(ladder)
    if whole and found["corpora"] and Planted.there(found["corpora"][0].path):
        made["edge_scores"], made["edge_confusion"] = world_scores.score_tree(
            tree.path,
            [saes[width].path for width in ladder],
            [codes[width].path for width in ladder],
            found["corpora"][0].path,
            int(tree.at["layer"]),
            ctx,
        )
    return made


def by_width(sources: list[Source]) -> dict[int, Source]:
    """Items of the SAEs of one family by the width of their SAE."""
    return {int(source.at["d_sae"]): source for source in sources}


def nested_levels(nested: dict[int, pd.DataFrame], nodes: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows of `levels.parquet`: one per Matryoshka SAE with a narrower one in its family.

    `nested` has the nodes of the trees of levels by the width of their SAE, `nodes` are those of
    the family's tree. In the null the parents among the levels are permuted between the latents
    that have both.
    """
    widths = nodes.groupby("level")["d_sae"].first().tolist()
    rows = []
    for level, (narrow, wide) in enumerate(pairwise(widths), start=1):
        if wide in nested:
            found = levels_against_widths(nested[wide], nodes[nodes["level"] == level])
            rows.append({"d_sae": wide, "d_narrow": narrow, **found})
    return rows


def levels_against_widths(levels: pd.DataFrame, wide: pd.DataFrame) -> dict[str, Any]:
    """Latents with a parent of either kind, and how often the two kinds agree.

    `levels` are the nodes of the tree of levels, `wide` those of one level of the family's tree.
    """
    inner = parents_among_levels(levels)
    wide = wide[wide["step"] == 1].set_index("latent")
    outer = wide["parent"]
    children = outer[wide["type"].isin(CHILD)]
    both = children.index.intersection(inner.index)
    expected = children[both].to_numpy()
    # what a parent among the levels hangs from over widths; "" if from nothing
    actual = outer.reindex(inner[both]).fillna("").to_numpy()
    agreeing = int((actual == expected).sum())
    rng = np.random.default_rng(0)
    drawn = np.array([(rng.permutation(actual) == expected).sum() for _ in range(DRAWS)])
    known = max(len(both), 1)
    return {
        "latents": len(levels[levels["level"] == levels["level"].max()]),
        "over_widths": len(children),
        "among_levels": len(inner),
        "both": len(both),
        "agreeing": agreeing,
        "agreement": agreeing / known if len(both) else np.nan,
        "null_agreement": float(drawn.mean()) / known if len(both) else np.nan,
        "p": float((1 + (drawn >= agreeing).sum()) / (1 + DRAWS)) if len(both) else np.nan,
    }


def parents_among_levels(levels: pd.DataFrame) -> pd.Series:
    """latent -> parent of the latents that have one on an earlier level than they enter on."""
    first = levels.drop_duplicates("latent")  # rows go from the innermost level outwards
    born = first[first["parent"] != ""]
    parent = born["parent"].str.partition(":")[2].astype(int)
    return pd.Series(parent.to_numpy(), born["latent"].to_numpy())
