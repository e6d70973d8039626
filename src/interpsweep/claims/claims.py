"""Stage `claims`: what the whole sweep may say, with q-values, replication and planted truth."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from interpsweep.claims import (
    branches,
    capture,
    complexes,
    match_tables,
    meta_parents,
    nested,
    planted,
    probing,
    recovery,
    relations,
    rows,
    sweep_tables,
)
from interpsweep.claims.holders import Holding, cofiring, hold, row_labels
from interpsweep.claims.multiplicity import q_values, with_q
from interpsweep.claims.sources import (
    FAMILY,
    PLACE,
    SITE,
    TYPES,
    Source,
    gather,
    place,
    stacked,
)
from interpsweep.config.analysis import ClaimsSettings, GeometrySettings
from interpsweep.config.base import own_fields
from interpsweep.context import Context
from interpsweep.corpora.artifact import Corpus
from interpsweep.geometry import relations as concept_tests
from interpsweep.matching.cosine import unit_rows
from interpsweep.saes.artifact import Dictionary
from interpsweep.saes.codes import Codes
from interpsweep.spec import Spec
from interpsweep.tables import typed, write_json, write_parquet

LEAST = 20  # labelled tokens of a value that can be held
RECOVERY_COLUMNS = {
    **{name: TYPES[name] for name in PLACE},
    **dict.fromkeys(("concept", "shape", "parent"), str),
    "values": "int32",
    **dict.fromkeys(
        ("supervised_statistic", "supervised_p", "supervised_q", "held_out_r2"), "float64"
    ),
    "values_held": "int32",
    **dict.fromkeys(("held_share", "mean_f1"), "float64"),
    "latents": "int32",
    **dict.fromkeys(("shape_statistic", "shape_p", "shape_q"), "float64"),
    "shape_exact": bool,
    "shape_latents": "int32",
    **capture.COLUMNS,
    "cluster": "int32",
    "cluster_source": str,
    "cluster_share": "float64",
    "cluster_shape": str,
    "cluster_p": "float64",
    "cluster_q": "float64",
    **dict.fromkeys(("tree_precision", "tree_recall", "tree_f1"), "float64"),
    **dict.fromkeys(("edge_precision", "edge_recall", "edge_f1"), "float64"),
    "false_clusters": "int32",
    "verdict": str,
}
CONCEPT_RELATION_COLUMNS = {
    **{name: TYPES[name] for name in (*SITE, "layer")},
    **concept_tests.COLUMNS,
    **dict.fromkeys(("parallel_q", "gain_q"), "float64"),
}
VALUE_COLUMNS = {
    **{name: TYPES[name] for name in PLACE},
    "concept": str,
    "value": "int32",
    "label": str,
    "count": "int64",
    "feature": "int32",
    **dict.fromkeys(("threshold", "f1", "precision", "recall"), "float64"),
}


class Labelled(NamedTuple):
    """One SAE of a model with labelled concepts, and what it holds of them."""

    source: Source
    codes: Any
    concepts: dict[str, Any]
    holding: Holding


def run(spec: Spec, inputs: dict[str, Any], out: Path, ctx: Context) -> dict[str, Any]:
    """Gather a sweep's tables into claims; see docs/tables.md for what is written."""
    settings = own_fields(ClaimsSettings, spec["settings"])
    shapes = own_fields(GeometrySettings, spec["settings"]["geometry"])
    found = name_saes(gather(spec, inputs))
    concepts = stacked(found["concepts"], "concepts")
    concepts = with_q(concepts, ["test"]) if len(concepts) else concepts
    clusters, census = rows.of_clusters(found["geometries"], found["matches"], settings)
    matching = match_tables.matching(found["matches"])
    in_space = branches.tables(found["trees"], found["saes"], settings, shapes, ctx)
    of_layers = complexes.complexes(found["matches"], settings, ctx)
    claims = rows.assemble(
        [
            clusters,
            rows.of_landscapes(found["landscapes"], settings),
            rows.of_concepts(concepts, settings),
            rows.of_matches(matching, settings),
            rows.of_trees(found["trees"], settings),
            rows.of_families(in_space["branches"], settings),
            rows.of_steps(in_space, settings),
            rows.of_complexes(of_layers, settings),
        ],
        settings,
    )
    labelled = [one for sae in found["saes"] if (one := label(sae, found, settings, ctx))]
    recovered = recover_all(labelled, found, concepts, census, settings, ctx)
    values = [row for one in labelled for row in value_rows(one)]
    edge_scores, confusion = planted.score_trees(found, ctx)
    for name, table in (
        ("claims", claims),
        ("edge_scores", edge_scores),
        ("edge_confusion", confusion),
        ("recovery", typed(recovered, RECOVERY_COLUMNS)),
        ("values", typed(values, VALUE_COLUMNS)),
        ("families", sweep_tables.families(found["trees"])),
        ("relations", relations.relations(found["trees"], found["controls"])),
        ("concept_relations", concept_relations(found["concepts"])),
        ("levels", nested.nested_levels(found["levels"], found["trees"])),
        ("matching", matching),
        ("meta_parents", meta_parents.compare(found["trees"], found["metas"], found["saes"])),
        ("contrasts", match_tables.contrasts(matching)),
        ("saes", sweep_tables.saes(found["evaluations"], found["geometries"])),
        ("sparse_probes", probing.over_seeds(found["probes"])),
        *in_space.items(),
        ("complexes", of_layers),
    ):
        write_parquet(table, out / f"{name}.parquet")
    summary = summarise(claims, recovered)
    if "missing" in spec["settings"]:
        summary["missing"] = spec["settings"]["missing"]
    write_json(summary, out / "summary.json")
    return summary


def concept_relations(sites: list[Source]) -> pd.DataFrame:
    """`concept_relations.parquet`: the relations of labelled concepts at all sites, with q over the
    sweep's relations of one space.
    """
    made = typed(stacked(sites, "relations"), CONCEPT_RELATION_COLUMNS)
    for test in ("parallel", "gain"):
        by_space = made.groupby("space", sort=True)[f"{test}_p"]
        made[f"{test}_q"] = by_space.transform(lambda p: q_values(p.to_numpy(float)))
    return made


def name_saes(found: dict[str, list[Source]]) -> dict[str, list[Source]]:
    """Write into every item's coordinates the digest of the SAE (or SAEs) it is about."""
    digest = {sae.key(PLACE): sae.digest for sae in found["saes"]}
    for role in ("geometries", "codes", "evaluations"):
        for item in found[role]:
            item.at["sae"] = digest.get(item.key(PLACE), "")
    for match in found["matches"]:
        for side in ("a", "b"):
            at = match.at.get(side, {})
            match.at[f"{side}_digest"] = digest.get(tuple(at.get(name) for name in PLACE), "")
    return found


def label(
    sae: Source, found: dict[str, list[Source]], settings: ClaimsSettings, ctx: Any
) -> Labelled | None:
    """What an SAE holds of its model's labelled concepts; None if there are none or no codes."""
    corpora = [c for c in found["corpora"] if c.at.get("model") == sae.at.get("model")]
    encoded = [c for c in found["codes"] if c.at["sae"] == sae.digest]
    if not corpora or not encoded:
        return None
    corpus, codes = Corpus.open(corpora[0].path), Codes.open(encoded[0].path)
    if not corpus.concepts:
        return None
    sizes = {name: len(concept["values"]) for name, concept in corpus.concepts.items()}
    holding = hold(codes, row_labels(corpus, codes.rows), sizes, settings.levels, ctx)
    return Labelled(sae, codes, corpus.concepts, holding)


def recover_all(
    labelled: list[Labelled],
    found: dict[str, list[Source]],
    concepts: pd.DataFrame,
    census: pd.DataFrame,
    settings: ClaimsSettings,
    ctx: Any,
) -> list[dict[str, Any]]:
    """Rows of `recovery.parquet` of all SAEs."""
    geometry = {item.at["sae"]: item for item in found["geometries"]}
    planes = capture.planes(found["concepts"])
    trees = {tree.key(FAMILY): tree.table("nodes") for tree in found["trees"]}
    ladders: dict[tuple[Any, ...], list[Labelled]] = {}
    for one in sorted(labelled, key=width):
        ladders.setdefault(one.source.key(FAMILY), []).append(one)
    made = []
    for one in labelled:
        item, family = geometry.get(one.source.digest), one.source.key(FAMILY)
        if item is None:
            continue
        below = [step for step in ladders[family] if width(step) <= width(one)]
        weights = Dictionary.open(one.source.path)
        sae = recovery.Sae(
            unit_rows(np.asarray(weights.W_dec)),
            one.holding,
            best_cofiring(below, ctx),
            [step.holding for step in below],
            item.table("clusters"),
            # without any cluster in the sweep there is no q either
            census[census["sae"] == one.source.digest]
            if len(census)
            else item.table("census").assign(q=np.nan),
        )
        ladder = [step.holding for step in ladders[family]]
        here = capture.read(None if weights.transcodes else planes.get(one.source.key(SITE)))
        for name in one.concepts:
            row = recovery.recover(
                name, one.concepts, supervised(concepts, one.source, name), sae, settings
            )
            row |= capture.capture(
                here.get(name),
                sae.directions,
                recovery.best_latents(name, one.holding, LEAST),
                one.holding.rate[name],
            )
            nodes = trees.get(family)
            row |= recovery.edge_scores(name, one.concepts, ladder, nodes)
            made.append({**place(one.source.at), **row})
    orders = q_values(np.array([row["shape_p"] for row in made], np.float64))
    for row, q in zip(made, orders, strict=True):
        row["shape_q"] = float(q)
        row["verdict"] = recovery.verdict(row, settings)
    return made


def width(one: Labelled) -> int:
    """Latents of an SAE."""
    return int(one.source.at["d_sae"])


def best_cofiring(ladder: list[Labelled], ctx: Any) -> pd.DataFrame:
    """P(row on | column on) of the best latents of nested concepts, at their thresholds.

    Rows (level, latent) of all SAEs of a ladder, columns those of its last one. A latent that is
    best for several values is on above the lowest of its thresholds.
    """
    lowest = [_nested(one) for one in ladder]
    if not len(lowest[-1]):
        return pd.DataFrame()
    latents = [thresholds.index.to_numpy(np.int64) for thresholds in lowest]
    joint = cofiring(
        [one.codes for one in ladder], latents, [t.to_numpy(float) for t in lowest], ctx
    )
    rows = [(level, int(latent)) for level, mine in enumerate(latents) for latent in mine]
    return pd.DataFrame(joint, index=pd.MultiIndex.from_tuples(rows), columns=latents[-1])


def _nested(one: Labelled) -> pd.Series:
    """Lowest threshold of every latent that is best for a value of a nested concept."""
    held = [one.holding.concepts[n] for n, c in one.concepts.items() if c["shape"] == "tree"]
    if not held:
        return pd.Series(dtype=float)
    thresholds = pd.Series(
        np.concatenate([h.threshold for h in held]), np.concatenate([h.latent for h in held])
    )
    return thresholds.groupby(level=0).min()


def supervised(concepts: pd.DataFrame, sae: Source, name: str) -> dict[str, Any]:
    """The row of the supervised companion for a concept at an SAE's site, if it has one."""
    if not len(concepts):
        return {"least": LEAST}
    here = concepts["concept"].eq(name)
    for column, value in zip(SITE, sae.key(SITE), strict=True):
        here &= concepts[column].eq(value)
    rows_ = concepts[here]
    return {**(rows_.iloc[0].to_dict() if len(rows_) else {}), "least": LEAST}


def value_rows(one: Labelled) -> list[dict[str, Any]]:
    """Rows of `values.parquet` of one SAE."""
    made = []
    for name, held in one.holding.concepts.items():
        for value, text in enumerate(one.concepts[name]["values"]):
            made.append(
                {
                    **place(one.source.at),
                    "concept": name,
                    "value": value,
                    "label": text,
                    "count": held.count[value],
                    "feature": held.latent[value],
                    "threshold": held.threshold[value],
                    "f1": held.f1[value],
                    "precision": held.precision[value],
                    "recall": held.recall[value],
                }
            )
    return made


def summarise(claims: pd.DataFrame, recovered: list[dict[str, Any]]) -> dict[str, Any]:
    """Counts of claims by kind and test, and of verdicts by concept."""
    held = claims[claims["verdict"] == "claimed"].groupby(["kind", "test"]).size()
    tested = claims.groupby(["kind", "test"]).size()
    verdicts = pd.DataFrame(recovered)
    return {
        "claims": {
            f"{kind}/{test}": {"tested": int(n), "claimed": int(held.get((kind, test), 0))}
            for (kind, test), n in tested.items()
        },
        "recovery": {
            concept: {word: int(n) for word, n in sorted(words.value_counts().items())}
            for concept, words in (verdicts.groupby("concept")["verdict"] if len(verdicts) else ())
        },
    }
