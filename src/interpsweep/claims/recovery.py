"""Planted structure against what was found, for every SAE: the calibration of the whole instrument.

The verdicts are rules over the columns of `recovery.parquet` (see `verdict`), nothing else.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from interpsweep.claims.holders import Held, Holding
from interpsweep.config.analysis import ClaimsSettings
from interpsweep.geometry import orders

COMPONENTS, EXACT, DRAWS = 6, 8, 9999  # of the order tests on decoder directions
ENOUGH = {"circle": 5, "line": 5}  # fewer distinct latents cannot show an order
MOST, HALF = 0.8, 0.5  # shares of values or pairs for "recovered" and "partly"


class Sae(NamedTuple):
    """What recovery needs of one SAE."""

    directions: NDArray[np.float32]  # (d_sae, d) unit rows
    holding: Holding
    # P(row | column): best latents of nested concepts in this SAE and the narrower ones of its
    # family, rows labelled (level, latent), against those of this SAE, columns labelled by latent
    cofiring: pd.DataFrame
    ladder: list[Holding]  # of the family up to this SAE, narrow to wide; its place is the level
    clusters: pd.DataFrame  # of geometry
    census: pd.DataFrame  # of geometry, with q


def recover(
    name: str, concepts: dict[str, Any], supervised: dict[str, Any], sae: Sae, s: ClaimsSettings
) -> dict[str, Any]:
    """One row of `recovery.parquet`: no coordinates, edge recall, q of the order or verdict."""
    concept, held = concepts[name], sae.holding.concepts[name]
    known = held.count >= supervised["least"]
    good = known & (held.f1 >= s.f1)
    near = np.flatnonzero(known & (held.f1 >= HALF))
    shape = direction_shape(concept["shape"], near, len(held.f1), held, sae)
    tree = nesting(name, concepts, sae, s)
    return {
        "concept": name,
        "shape": concept["shape"],
        "parent": concept.get("parent") or "",
        "values": int(known.sum()),
        "supervised_statistic": supervised.get("statistic", np.nan),
        "supervised_p": supervised.get("p", np.nan),
        "supervised_q": supervised.get("q", np.nan),
        "held_out_r2": supervised.get("held_out_r2", np.nan),
        "values_held": int(good.sum()),
        "held_share": float(good.sum() / max(known.sum(), 1)),
        "mean_f1": float(held.f1[known].mean()) if known.any() else 0.0,
        "latents": len(np.unique(held.latent[good])),
        **shape,
        **cluster_of(name, concept["shape"], np.flatnonzero(known), held, sae),
        **tree,
        "false_clusters": false_clusters(name, sae, s) if concept["shape"] == "categories" else 0,
    }


def distinct(values: NDArray[np.int64], held: Held) -> NDArray[np.int64]:
    """Held values that do not share their best latent with another one of higher F1."""
    order = values[np.argsort(-held.f1[values], kind="stable")]
    _, first = np.unique(held.latent[order], return_index=True)
    return np.sort(order[first])


def best_latents(name: str, holding: Holding, least: int) -> NDArray[np.int64]:
    """The best latents of a concept's values, from an F1 of a half up, each once. Values with fewer
    than `least` tokens do not count.
    """
    held = holding.concepts[name]
    return np.unique(held.latent[(held.count >= least) & (held.f1 >= HALF)])


def direction_shape(
    shape: str, values: NDArray[np.int64], k: int, held: Held, sae: Sae
) -> dict[str, Any]:
    """Does the declared order show in the directions of the values' best latents?

    Latents enter by F1 alone, from a half up: that choice knows nothing of directions, so the
    p-value stands, and it has more power than with well-held values only.
    """
    alone = distinct(values, held)
    nothing = {"shape_statistic": np.nan, "shape_p": np.nan, "shape_exact": False}
    nothing["shape_latents"] = len(alone)
    if shape not in ENOUGH or len(alone) < ENOUGH[shape]:
        return nothing
    points = orders.centred_components(
        sae.directions[held.latent[alone]].astype(np.float64), COMPONENTS
    )
    rng = np.random.default_rng(0)
    if shape == "line":
        found = orders.line(points, EXACT, DRAWS, rng)
    else:
        angles = None if len(alone) == k else 2 * np.pi * alone / k
        found = orders.circle(points, EXACT, DRAWS, rng, angles)
    return {
        "shape_statistic": found.statistic,
        "shape_p": found.p,
        "shape_exact": found.exact,
        "shape_latents": len(alone),
    }


def cluster_of(
    name: str, shape: str, values: NDArray[np.int64], held: Held, sae: Sae
) -> dict[str, Any]:
    """The census cluster that is most nearly these values, and what the census says of it.

    A member stands for a value if it is a kind of token that carries the value's label, or the best
    latent of the value (F1 of at least a half). Clusters are ranked by 2 s u / (s + u), with s the
    share of the values that they have and u the share of their members that stand for one; among
    equals by the q of the declared shape. Its q and p are the smallest over the cluster's objects.
    """
    nothing = {"cluster": -1, "cluster_source": "", "cluster_share": 0.0, "cluster_shape": ""}
    nothing |= {"cluster_p": np.nan, "cluster_q": np.nan}
    if not len(values) or not len(sae.clusters):
        return nothing
    best_of = {int(held.latent[v]): int(v) for v in values if held.f1[v] >= HALF}
    own = sae.clusters["concept"].eq(name) & (sae.clusters["token_id"] >= 0)
    value = sae.clusters["value"].where(own, sae.clusters["feature"].map(best_of))
    ranked = []
    for cluster, mine in value.groupby(sae.clusters["cluster"]):
        if mine.notna().any():
            share, purity = mine.nunique() / len(values), mine.notna().mean()
            rows = sae.census[sae.census["cluster"] == cluster]
            of = rows[rows["test"] == shape]
            q = float(of["q"].min())
            score = 2 * share * purity / (share + purity)
            ranked.append((-score, 1.0 if np.isnan(q) else q, cluster, share, rows, of))
    if not ranked:
        return nothing
    _, _, cluster, share, rows, of = min(ranked, key=lambda one: one[:3])
    return {
        "cluster": int(cluster),
        "cluster_source": str(
            sae.clusters.loc[sae.clusters["cluster"] == cluster, "source"].iloc[0]
        ),
        "cluster_share": float(share),
        "cluster_shape": str(rows["best_model"].iloc[0]),
        "cluster_p": float(of["p_selected"].min()),
        "cluster_q": float(of["q"].min()),
    }


def nesting(name: str, concepts: dict[str, Any], sae: Sae, s: ClaimsSettings) -> dict[str, float]:
    """Planted parent-child pairs of values against co-firing of the latents that hold them.

    A pair is found if a latent of the parent value fires on at least `cofiring` of the firings of
    this SAE's latent of the child value, and they are two latents. The parent's latent may be one
    of this SAE or of a narrower one of its family: wide dictionaries split parents into children.
    Values without a latent cannot be found, which costs recall.
    """
    pairs = planted_pairs(name, concepts)
    if not len(pairs):
        return dict.fromkeys(("tree_precision", "tree_recall", "tree_f1"), np.nan)
    lower, own = sae.holding.concepts[name], len(sae.ladder) - 1
    planted = {(int(p), int(c)) for p, c in pairs}
    found = set()
    for level, holding in enumerate(sae.ladder):
        upper = holding.concepts[concepts[name]["parent"]]
        for p in np.flatnonzero(upper.f1 >= s.f1):
            for c in np.flatnonzero(lower.f1 >= s.f1):
                a, b = int(upper.latent[p]), int(lower.latent[c])
                two = level != own or a != b
                if two and sae.cofiring.at[(level, a), b] >= s.cofiring:
                    found.add((int(p), int(c)))
    right = len(found & planted)
    precision = right / len(found) if found else np.nan
    recall = right / len(planted)
    f1 = 2 * right / (len(found) + len(planted))
    return {"tree_precision": precision, "tree_recall": recall, "tree_f1": f1}


def planted_pairs(name: str, concepts: dict[str, Any]) -> NDArray[np.int64]:
    """(parent value, child value) of every value of a nested concept, (n, 2)."""
    concept = concepts[name]
    if not concept.get("parent") or concept.get("parent_of") is None:
        return np.zeros((0, 2), np.int64)
    parent = np.asarray(concept["parent_of"], np.int64)
    return np.column_stack([parent, np.arange(len(parent))])


def edge_scores(
    name: str,
    concepts: dict[str, Any],
    ladder: list[Holding],
    nodes: pd.DataFrame | None,
) -> dict[str, float]:
    """Planted pairs of values against the forest: a pair is found if it has a latent of the child
    below one of the parent.

    `ladder` holds the family's SAEs from narrow to wide, so position is level. A latent stands for
    the value it is best for from an F1 of a half up, as latents of planted worlds do: what is
    judged here is how latents hang together, not how pure they are.
    """
    pairs = planted_pairs(name, concepts)
    if not len(pairs) or nodes is None:
        return dict.fromkeys(("edge_precision", "edge_recall", "edge_f1"), float("nan"))
    above = concepts[name]["parent"]
    parent_of = dict(zip(nodes["node"], nodes["parent"], strict=True))

    def names(concept: str, value: int) -> set[str]:
        found = ((level, held.concepts[concept]) for level, held in enumerate(ladder))
        return {f"{level}:{h.latent[value]}" for level, h in found if h.f1[value] >= HALF}

    planted, found = {(int(p), int(c)) for p, c in pairs}, set()
    upper = {p: names(above, p) for p in range(len(concepts[above]["values"]))}
    for c in range(len(concepts[name]["values"])):
        over = set().union(*(_ancestors(node, parent_of) for node in names(name, c)))
        found |= {(p, c) for p, wanted in upper.items() if wanted & over}
    right = len(found & planted)
    return {
        "edge_precision": right / len(found) if found else np.nan,
        "edge_recall": right / len(planted),
        "edge_f1": 2 * right / (len(found) + len(planted)),
    }


def _ancestors(node: str, parent_of: dict[str, str]) -> set[str]:
    found, here = set(), parent_of.get(node, "")
    while here:
        found.add(here)
        here = parent_of.get(here, "")
    return found


def false_clusters(name: str, sae: Sae, s: ClaimsSettings) -> int:
    """Clusters made mostly of latents or tokens of an unstructured concept that the census gives a
    shape.
    """
    share = sae.holding.share[name]
    latent = sae.clusters["feature"].to_numpy(int)
    fires = (latent >= 0) & (share[np.maximum(latent, 0)] >= HALF)
    kind = sae.clusters["token_id"].to_numpy(int) >= 0
    labelled = sae.clusters["concept"].eq(name).to_numpy()
    mostly = sae.clusters.assign(mine=np.where(kind, labelled, fires))
    ours = mostly.groupby("cluster")["mine"].mean()
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
