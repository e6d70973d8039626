"""Planted structure against what was found, for every SAE: the calibration of the whole instrument.

The verdicts are rules over the columns of `recovery.parquet` (see `verdict`), nothing else.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from interpsweep.claims.multiplicity import q_values
from interpsweep.columns import (
    FAMILY,
    LABELLED,
    NESTED,
    OF_SAE,
    PLACE,
    SITE,
    STANDS_FOR,
    TILING,
    VALUE_EDGES,
)
from interpsweep.config.analysis import ClaimsSettings
from interpsweep.sources import Source, place
from interpsweep.tables import typed

MOST, HALF = 0.8, 0.5  # shares of values or pairs for "recovered" and "partly"
COLUMNS = {
    **OF_SAE,
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
    **TILING,
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


class Sae(NamedTuple):
    """The tables of one SAE: of its recovery, of its census with q, of its family's agreement."""

    concepts: pd.DataFrame
    values: pd.DataFrame
    shares: pd.DataFrame
    clusters: pd.DataFrame
    census: pd.DataFrame
    nested: pd.DataFrame  # rows of this SAE
    edges: pd.DataFrame  # `value_edges` of its family


def table(
    found: dict[str, list[Source]],
    concepts: pd.DataFrame,
    census: pd.DataFrame,
    settings: ClaimsSettings,
) -> pd.DataFrame:
    """`recovery.parquet`: every labelled concept in every SAE that has a census.

    `concepts` are the tests of the concepts at all sites, `census` that of the whole sweep, both
    with their q.
    """
    geometry = {item.key(PLACE): item for item in found["geometries"]}
    families = {item.key(FAMILY): item for item in found["agreements"]}
    made = []
    for item in found["recoveries"]:
        if item.key(PLACE) not in geometry:
            continue
        sae = read(item, geometry[item.key(PLACE)], families.get(item.key(FAMILY)), census)
        for row in sae.concepts.to_dict("records"):
            above = supervised(concepts, item, row["concept"])
            made.append({**place(item.at), **recover(row, above, sae, settings)})
    orders = q_values(np.array([row["shape_p"] for row in made], np.float64))
    for row, q in zip(made, orders, strict=True):
        row["shape_q"] = float(q)
        row["verdict"] = verdict(row, settings)
    return typed(made, COLUMNS)


def read(item: Source, geometry: Source, family: Source | None, census: pd.DataFrame) -> Sae:
    """The tables about one SAE. Without any cluster in the sweep there is no q either."""
    own = census[census["item"] == geometry.digest] if len(census) else geometry.table("census")
    nested = family.table("nested") if family else typed([], NESTED)
    return Sae(
        item.table("concepts"),
        item.table("values"),
        item.table("shares"),
        geometry.table("clusters"),
        own if len(census) else own.assign(q=np.nan),
        nested[nested["d_sae"] == item.at["d_sae"]],
        family.table("value_edges") if family else typed([], VALUE_EDGES),
    )


def supervised(concepts: pd.DataFrame, sae: Source, name: str) -> dict[str, Any]:
    """The row of the supervised companion for a concept at an SAE's site, if it has one."""
    if not len(concepts):
        return {}
    here = concepts["concept"].eq(name)
    for column, value in zip(SITE, sae.key(SITE), strict=True):
        here &= concepts[column].eq(value)
    rows = concepts[here]
    return rows.iloc[0].to_dict() if len(rows) else {}


def recover(
    concept: dict[str, Any], above: dict[str, Any], sae: Sae, s: ClaimsSettings
) -> dict[str, Any]:
    """One row of `recovery.parquet`: no coordinates, q of the order or verdict.

    `concept` is its row of the SAE's `concepts.parquet`, `above` that of the supervised companion.
    """
    name, shape = concept["concept"], concept["shape"]
    values = sae.values[sae.values["concept"] == name]
    known = values[values["count"] >= LABELLED]
    good = known[known["f1"] >= s.f1]
    return {
        **concept,
        "values": len(known),
        "supervised_statistic": above.get("statistic", np.nan),
        "supervised_p": above.get("p", np.nan),
        "supervised_q": above.get("q", np.nan),
        "held_out_r2": above.get("held_out_r2", np.nan),
        "values_held": len(good),
        "held_share": len(good) / max(len(known), 1),
        "mean_f1": float(known["f1"].to_numpy().mean()) if len(known) else 0.0,
        "latents": good["feature"].nunique(),
        **cluster_of(name, shape, known, sae),
        **nesting(sae.nested[sae.nested["concept"] == name], s),
        **edges(sae.edges[sae.edges["concept"] == name]),
        "false_clusters": false_clusters(name, sae, s) if shape == "categories" else 0,
    }


def cluster_of(name: str, shape: str, known: pd.DataFrame, sae: Sae) -> dict[str, Any]:
    """The census cluster that is most nearly the `known` values, and what the census says of it.

    A member stands for a value if it is a kind of token that carries the value's label, or the best
    latent of the value (F1 of at least a half). Clusters are ranked by 2 s u / (s + u), with s the
    share of the values that they have and u the share of their members that stand for one; among
    equals by the q of the declared shape. Its q and p are the smallest over the cluster's objects.
    """
    nothing = {"cluster": -1, "cluster_source": "", "cluster_share": 0.0, "cluster_shape": ""}
    nothing |= {"cluster_p": np.nan, "cluster_q": np.nan}
    if not len(known) or not len(sae.clusters):
        return nothing
    held = known[known["f1"] >= STANDS_FOR]
    best_of = dict(zip(held["feature"], held["value"], strict=True))
    own = sae.clusters["concept"].eq(name) & (sae.clusters["token_id"] >= 0)
    value = sae.clusters["value"].where(own, sae.clusters["feature"].map(best_of))
    clusters = value.groupby(sae.clusters["cluster"]).agg(["nunique", "count", "size"])
    clusters = clusters[clusters["count"] > 0]
    if not len(clusters):
        return nothing
    of = sae.census[sae.census["test"] == shape].groupby("cluster")[["p_selected", "q"]].min()
    share, purity = clusters["nunique"] / len(known), clusters["count"] / clusters["size"]
    ranked = clusters.assign(share=share, score=-2 * share * purity / (share + purity)).join(of)
    ranked = ranked.assign(last=ranked["q"].fillna(1.0)).reset_index()
    first = ranked.sort_values(["score", "last", "cluster"], kind="stable").iloc[0]
    cluster = int(first["cluster"])
    rows = sae.census[sae.census["cluster"] == cluster]
    return {
        "cluster": cluster,
        "cluster_source": str(rows["source"].iloc[0]),
        "cluster_share": float(first["share"]),
        "cluster_shape": str(rows["best_model"].iloc[0]),
        "cluster_p": float(first["p_selected"]),
        "cluster_q": float(first["q"]),
    }


def nesting(pairs: pd.DataFrame, s: ClaimsSettings) -> dict[str, float]:
    """Planted parent-child pairs of values against co-firing of the latents that hold them.

    `pairs` are the rows of `nested.parquet` about one SAE and concept. One is found if a latent of
    the parent value fires on at least `cofiring` of the firings of this SAE's latent of the child
    value, and they are two latents. The parent's latent may be one of this SAE or of a narrower one
    of its family: wide dictionaries split parents into children. Values without a latent cannot be
    found, which costs recall.
    """
    if not len(pairs):
        return dict.fromkeys(("tree_precision", "tree_recall", "tree_f1"), np.nan)
    held = (pairs["parent_f1"] >= s.f1) & (pairs["f1"] >= s.f1) & (pairs["cofiring"] >= s.cofiring)
    planted, found = (
        set(zip(rows["parent_value"], rows["value"], strict=True))
        for rows in (pairs[pairs["planted"]], pairs[held])
    )
    right = len(found & planted)
    return {
        "tree_precision": right / len(found) if found else np.nan,
        "tree_recall": right / len(planted),
        "tree_f1": 2 * right / (len(found) + len(planted)),
    }


def edges(rows: pd.DataFrame) -> dict[str, float]:
    """Planted pairs of values against the forest; NaN without a row of `value_edges.parquet`."""
    names = ("edge_precision", "edge_recall", "edge_f1")
    return {name: float(rows[name].iloc[0]) if len(rows) else np.nan for name in names}


def false_clusters(name: str, sae: Sae, s: ClaimsSettings) -> int:
    """Clusters made mostly of latents or tokens of an unstructured concept that the census gives a
    shape.
    """
    latents = sae.shares.loc[sae.shares["concept"] == name, "feature"]
    kind = sae.clusters["token_id"] >= 0
    mine = sae.clusters["feature"].isin(latents).where(~kind, sae.clusters["concept"].eq(name))
    ours = mine.groupby(sae.clusters["cluster"]).mean()
    rows = sae.census[sae.census["cluster"].isin(ours.index[ours >= HALF])]
    named = rows[(rows["test"] == rows["best_model"]) & (rows["test"] != "simplex")]
    return int((named["q"] <= s.q).sum())


def verdict(row: dict[str, Any], s: ClaimsSettings) -> str:
    """One word for a row of `recovery.parquet`.

    Structure (circle, line, tree) is *recovered* if at least 80% of its values have their latent
    and its structure shows: for a circle or line the order in the best latents' directions (q at
    most the level), for a nested concept at least 80% F1 of its parent-child pairs, for the top of
    a taxonomy nothing more. *Partly*: at least half of the values have their latent, or the
    structure shows (pairs: half), or a census cluster of half of the values has the right name (q
    at most the level).
    Unstructured concepts must lead to no claim: a *false claim* is a q-significant named shape
    among clusters of their latents.
    """
    if row["shape"] == "categories":
        return "false claim" if row["false_clusters"] else "nothing claimed"
    if row["shape"] == "tree":
        top = not row["parent"]
        shown = top or row["tree_f1"] >= MOST
        hinted = not top and row["tree_f1"] >= HALF
    else:
        shown = hinted = row["shape_q"] <= s.q
    named = row["cluster_share"] >= HALF and row["cluster_q"] <= s.q
    named = named and row["cluster_shape"] == row["shape"]
    if row["held_share"] >= MOST and shown:
        return "recovered"
    return "partly" if row["held_share"] >= HALF or hinted or named else "not recovered"
