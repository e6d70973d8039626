"""Stage `agreement`: parents that are known otherwise, beside those of a family's latents.

Known are the parents of labelled values, of the features of a world, of latents among the nested
levels of a Matryoshka SAE, and those that a meta-SAE names. They are held against the tree; those
of labelled values also against which latents fire together.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from interpsweep.columns import (
    EDGE_CONFUSION,
    EDGE_SCORES,
    LEVELS,
    META_PARENTS,
    NESTED,
    VALUE_EDGES,
)
from interpsweep.context import Context
from interpsweep.corpora.artifact import Corpus
from interpsweep.corpora.planted import Planted
from interpsweep.matching import levels, meta_parents, nesting, planted
from interpsweep.saes.codes import Codes
from interpsweep.sources import Source, gather
from interpsweep.spec import Spec
from interpsweep.tables import typed, write_json, write_parquet

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
        "levels": levels.nested_levels(nested, nodes),
        "meta_parents": meta_parents.compare(edges, metas, {w: s.path for w, s in saes.items()}),
    }
    codes = by_width(found["codes"])
    ladder = sorted(set(nodes["d_sae"].tolist()))
    whole = codes.keys() & saes.keys() >= set(ladder)
    if whole and found["corpora"] and Planted.there(found["corpora"][0].path):
        made["edge_scores"], made["edge_confusion"] = planted.score_tree(
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
