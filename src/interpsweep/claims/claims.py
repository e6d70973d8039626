"""Stage `claims`: what the whole sweep may say, with q-values, replication and planted truth.

It reads tables only: what can be said of an SAE or a tree by itself, an item of its own has said.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from interpsweep.claims import (
    interventions,
    match_tables,
    recovery,
    relations,
    rows,
    sweep_tables,
)
from interpsweep.claims.intervals import half_width
from interpsweep.claims.multiplicity import q_values, selected_q, with_q
from interpsweep.columns import (
    BRANCHES,
    COMPLEX,
    CONCEPT_RELATIONS,
    DENDROGRAMS,
    EDGE_CONFUSION,
    EDGE_SCORES,
    LEVELS,
    META_PARENTS,
    OF_FAMILY,
    OF_SAE,
    PARALLELOGRAMS,
    PLACE,
    SITE,
    STEP,
    TYPES,
    VALUES,
)
from interpsweep.config.analysis import ClaimsSettings
from interpsweep.config.base import own_fields
from interpsweep.context import Context
from interpsweep.sources import Source, gather, stacked
from interpsweep.spec import Spec
from interpsweep.tables import typed, write_json, write_parquet

_OF_STEP = {name: TYPES[name] for name in (*SITE, "layer", "architecture", "sparsity", "seed")}
# tables that are only put under each other: role, name there, columns
GATHERED: dict[str, tuple[str, str, dict[str, Any]]] = {
    "values": ("recoveries", "values", OF_SAE | VALUES),
    "edge_scores": ("agreements", "edge_scores", OF_FAMILY | EDGE_SCORES),
    "edge_confusion": ("agreements", "edge_confusion", OF_FAMILY | EDGE_CONFUSION),
    "levels": ("agreements", "levels", OF_SAE | LEVELS),
    "meta_parents": ("agreements", "meta_parents", OF_FAMILY | META_PARENTS),
    "dendrograms": ("children", "dendrograms", _OF_STEP | DENDROGRAMS),
    "parallelograms": ("children", "parallelograms", _OF_STEP | PARALLELOGRAMS),
    "complexes": ("complexes", "complex", OF_SAE | {"b_site": str, "b_layer": "int32"} | COMPLEX),
}
BRANCH_COLUMNS = {**_OF_STEP, **BRANCHES, "q": "float64"}
RELATION_COLUMNS = {
    **{name: TYPES[name] for name in (*SITE, "layer")},
    **CONCEPT_RELATIONS,
    **dict.fromkeys(("parallel_q", "gain_q"), "float64"),
}


def run(spec: Spec, inputs: dict[str, Any], out: Path, ctx: Context) -> dict[str, Any]:
    """Gather a sweep's tables into claims; see docs/tables.md for what is written."""
    settings = own_fields(ClaimsSettings, spec["settings"])
    found = gather(spec, inputs)
    made = {
        name: typed(stacked(found[role], table), columns)
        for name, (role, table, columns) in GATHERED.items()
    }
    concepts = stacked(found["concepts"], "concepts")
    concepts = with_q(concepts, ["test"]) if len(concepts) else concepts
    clusters, census = rows.of_clusters(found["geometries"], found["matches"], settings)
    matching = match_tables.matching(found["matches"])
    acted = interventions.table(found["interventions"])
    branches = branches_with_q(found["children"])
    recovered = recovery.table(found, concepts, census, settings)
    claims = rows.assemble(
        [
            clusters,
            rows.of_landscapes(found["landscapes"], settings),
            rows.of_concepts(concepts, settings),
            rows.of_matches(matching, settings),
            rows.of_trees(found["trees"], settings),
            rows.of_families(branches, settings),
            rows.of_steps(made, settings),
            rows.of_complexes(made["complexes"], settings),
            rows.of_interventions(acted, settings),
        ],
        settings,
    )
    made |= {
        "claims": claims,
        "recovery": recovered,
        "families": sweep_tables.families(found["trees"]),
        "relations": relations.relations(found["trees"], found["controls"]),
        "concept_relations": concept_relations(found["concepts"]),
        "matching": matching,
        "contrasts": match_tables.contrasts(matching),
        "saes": sweep_tables.saes(found["evaluations"], found["geometries"]),
        "branches": branches,
        "masks": sweep_tables.masks(found["masks"]),
        "interventions": acted,
        "sparse_probes": sparse_over_seeds(found["probes"]),
    }
    for name, table in made.items():
        write_parquet(table, out / f"{name}.parquet")
    summary = summarise(claims, recovered)
    if lacks := missing(spec, found):
        summary["missing"] = lacks
    write_json(summary, out / "summary.json")
    return summary


def missing(spec: Spec, found: dict[str, list[Source]]) -> list[dict[str, Any]]:
    """What could not be made: of the inputs, and of what those that gather went without."""
    lacks = list(spec["settings"].get("missing", []))
    for role in ("recoveries", "agreements"):
        for item in found[role]:
            here = {k: v for k, v in item.at.items() if k != "stage"}
            lacks += [
                {**one, "at": {**here, **one["at"]}} for one in item.summary().get("missing", [])
            ]
    return list({one["item"]: one for one in reversed(lacks)}.values())[::-1]


def branches_with_q(children: list[Source]) -> pd.DataFrame:
    """`branches.parquet`: the shapes of all children, with q: parents are selected over the whole
    sweep, then tests within them.
    """
    table = typed(stacked(children, "branches"), BRANCH_COLUMNS)
    every = table.assign(source="tree")
    parents = [*_OF_STEP, *STEP, "parent"]
    return table.assign(q=selected_q(every, ["source"], parents, "p_selected"))


def concept_relations(sites: list[Source]) -> pd.DataFrame:
    """`concept_relations.parquet`: the relations of labelled concepts at all sites, with q over the
    sweep's relations of one space.
    """
    made = typed(stacked(sites, "relations"), RELATION_COLUMNS)
    for test in ("parallel", "gain"):
        by_space = made.groupby("space", sort=True)[f"{test}_p"]
        made[f"{test}_q"] = by_space.transform(lambda p: q_values(p.to_numpy(float)))
    return made


def summarise(claims: pd.DataFrame, recovered: pd.DataFrame) -> dict[str, Any]:
    """Counts of claims by kind and test, and of verdicts by concept."""
    held = claims[claims["verdict"] == "claimed"].groupby(["kind", "test"]).size()
    tested = claims.groupby(["kind", "test"]).size()
    return {
        "claims": {
            f"{kind}/{test}": {"tested": int(n), "claimed": int(held.get((kind, test), 0))}
            for (kind, test), n in tested.items()
        },
        "recovery": {
            concept: {word: int(n) for word, n in sorted(words.value_counts().items())}
            for concept, words in recovered.groupby("concept")["verdict"]
        },
    }


# --------------------------------------------------------------------------- k-sparse probes


SPARSE_MEASURES = ("f1", "accuracy", "auc")
BESIDE = ("neurons", "shuffled", "dense")
ENDS = ("mean", "sd", "low", "high")
SEEDLESS = [name for name in PLACE if name != "seed"]
SPARSE_COLUMNS = {
    **{name: TYPES[name] for name in SEEDLESS},
    "concept": str,
    "value": "int32",
    "label": str,
    **dict.fromkeys(("k", "seeds"), "int32"),
    **{f"{name}_{end}": "float64" for name in SPARSE_MEASURES for end in ENDS},
    **{f"{name}_{other}": "float64" for name in SPARSE_MEASURES for other in BESIDE},
}


def sparse_over_seeds(probes: list[Source]) -> pd.DataFrame:
    """`sparse_probes.parquet`: means over seeds with their 95 % intervals, per value and k."""
    table = stacked(probes, "sparse")
    if not len(table):
        return typed(table, SPARSE_COLUMNS)
    groups = table.groupby([*SEEDLESS, "concept", "value", "label", "k"], dropna=False, sort=True)
    made = groups["seed"].nunique().rename("seeds").to_frame()
    for name in SPARSE_MEASURES:
        made[f"{name}_mean"], made[f"{name}_sd"] = groups[name].mean(), groups[name].std()
        half = half_width(made[f"{name}_sd"], made["seeds"])
        made[f"{name}_low"] = (made[f"{name}_mean"] - half).clip(0, 1)
        made[f"{name}_high"] = (made[f"{name}_mean"] + half).clip(0, 1)
        for other in BESIDE:
            made[f"{name}_{other}"] = groups[f"{name}_{other}"].mean()
    return typed(made.reset_index(), SPARSE_COLUMNS)
