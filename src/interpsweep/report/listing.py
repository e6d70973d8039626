"""The atlas's tables: chosen columns of the sweep's tables as text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from interpsweep.report.text import number

MOST_ROWS = 300

_PLACE = ["model", "site", "architecture", "sparsity", "d_sae", "seed"]
_FAMILY = [name for name in _PLACE if name != "d_sae"]
_TREES = ["model", "site", "architecture", "sparsity", "seed", "d_narrow", "d_wide"]
_NAMES = {
    "d_sae": "width",
    "d_narrow": "from",
    "d_wide": "to",
    "b_site": "next site",
    "l0": "L0",
    "null_effect": "null",
    "replicated_seeds": "seeds that agree",
    "ce_recovered": "CE recovered",
    "mean_f1": "mean F1",
    "add": "3CosAdd",
    "nearest": "nearest to c",
    "given": "nearest to b",
    "parallel_shuffled": "shuffled",
    "mmcs_ab": "MMCS",
    "null_mmcs_ab": "null MMCS",
    "horizontal_mmcs_ab": "other seed",
    "a_d_sae": "width a",
    "b_d_sae": "width b",
    "a_seed": "seed a",
    "b_seed": "seed b",
}


@dataclass(frozen=True)
class Listing:
    """A table as text: title, header, rows, how many rows are not shown, and what it says."""

    name: str
    title: str
    note: str
    header: list[str]
    rows: list[list[str]]
    hidden: int


def listings(tables: Mapping[str, pd.DataFrame], census: pd.DataFrame) -> list[Listing]:
    """All tables of the atlas that have rows, in reading order."""
    made = [
        _listing("claims", "Claims", _CLAIMS_NOTE, _best_first(tables["claims"]),
                 ["kind", "subject", "test", "verdict", *_PLACE, "effect", "null_effect", "z", "p",
                  "q", "replicated_seeds", "seeds"]),
        _listing("recovery", "Planted structure", _RECOVERY_NOTE, tables["recovery"],
                 ["concept", "shape", "verdict", *_PLACE, "values_held", "values", "mean_f1",
                  "supervised_p", "shape_q", "tree_f1", "edge_f1"]),
        _listing("concept_relations", "Relations of known concepts", _RELATIONS_NOTE,
                 tables["concept_relations"],
                 ["child", "parent", "space", "model", "site", "parallel", "parallel_shuffled",
                  "parallel_p", "parallel_q", "add", "nearest", "given", "gain_p", "gain_q",
                  "orthogonality", "orthogonality_p"]),
        _listing("edges", "Edges against the planted tree", _EDGES_NOTE, _edges(tables),
                 [*_FAMILY, "type", "true", "found", "right", "precision", "recall", "f1"]),
        _listing("saes", "Dictionaries", _SAES_NOTE, tables["saes"],
                 [*_PLACE, *_metrics(tables["saes"])]),
        _listing("masks", "Rows in use", _MASKS_NOTE, tables["masks"],
                 ["model", "site", "rows", "left_out", "left_out_by_position", "left_out_by_token",
                  "left_out_by_norm", "massive_share", "massive_second_moment",
                  "largest_dimension_variance"]),
        _listing("matching", "Matches", _MATCHING_NOTE, tables["matching"],
                 ["model", "site", "architecture", "sparsity", "direction", "a_d_sae", "a_seed",
                  "b_d_sae", "b_seed", "mmcs_ab", "horizontal_mmcs_ab", "null_mmcs_ab", "p", "mcc",
                  "novel_share"]),
        _listing("trees", "Trees", _TREES_NOTE, _wide(tables["families"]), None),
        _listing("complexes", "Complexes of two layers", _COMPLEXES_NOTE, tables["complexes"],
                 [*_PLACE, "b_site", "simplices", "vertices", "b0", "b0_null", "b0_p", "b1",
                  "b1_null", "b1_p", "b2", "b2_null", "b2_p", "articulations",
                  "articulations_null", "articulations_p"]),
        _listing("census", "Census", _CENSUS_NOTE, census,
                 [*_PLACE, "test", "clusters", "passing", "expected", "excess", "claimed"]),
    ]  # fmt: skip
    return [listing for listing in made if listing.rows]


_CLAIMS_NOTE = (
    "Every structural claim with its effect, the same statistic under the null, and the "
    "Benjamini-Hochberg q-value within its family of tests. Claimed means q at most the level."
)
_RECOVERY_NOTE = (
    "What the corpus was made with, against what was found. A value is held when some latent "
    "has an F1 above the level for it. In concepts without a shape nothing should be claimed."
)
_RELATIONS_NOTE = (
    "Do the values of one concept stand to those of another in the same way throughout? Parallel: "
    "mean cosine of offsets from different parents to their children, beside shuffled parents. "
    "3CosAdd: share of questions a : b = c : ? that it answers, beside the nearest to c and to b "
    "alone; gain is what it has over the better of the two. Their p is the larger of two, with "
    "parents shuffled and with families mirrored. Orthogonality: mean cosine of parents and "
    "offsets, 0 if nested."
)
_EDGES_NOTE = (
    "Over all width steps of a family. True counts the latents whose relation to the planted tree "
    "is of that type, found the edges so named, right those that are and hang where they belong. "
    "parent child: any of absorption, split and specialisation, below any true ancestor."
)
_SAES_NOTE = "Metrics on held-out tokens; names carry the version of their definition."
_MATCHING_NOTE = (
    "Mean maximum cosine from a to b, the mean over pairs of seeds at a's width, and the mean for "
    "random dictionaries with the same mean and covariance."
)
_TREES_NOTE = "Shares of the live latents of the wider dictionary, by relation to the narrower."
_MASKS_NOTE = (
    "Captured rows and those that nothing reads: leading positions, chosen tokens, norms far above "
    "the median. Massive rows are above ten medians, left out or not; their share of the second "
    "moment, and the largest share of the variance of one dimension, are of all captured rows of "
    "the analysis split."
)
_COMPLEXES_NOTE = (
    "Every latent of the next layer joins the latents it fires with most beyond chance. Parts "
    "(b0), loops (b1) and voids (b2) of what they make together, the latents that take its largest "
    "part apart alone, and the fewest that do together; beside the same simplices dealt out anew."
)
_CENSUS_NOTE = (
    "Clusters that pass each test before correction, the number expected from clusters selected in "
    "random dictionaries, their difference, and how many are claimed after correction."
)


def _metrics(saes: pd.DataFrame) -> list[str]:
    """The scalar metrics worth a column: reconstruction first, then the rest, at most nine."""
    first = (
        "l0",
        "explained_variance",
        "ce_recovered",
        "dead_fraction",
        "duplicate_fraction",
        "clusters",
        "clustered_share",
        "mean_dimensionality",
    )
    found = [c for stem in first for c in saes.columns if c == stem or c.startswith(f"{stem}.")]
    return list(dict.fromkeys(found))[:9]


def _best_first(claims: pd.DataFrame) -> pd.DataFrame:
    if claims.empty:
        return claims
    return claims.sort_values(["q", "p", "kind", "subject"], kind="stable")


def _edges(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Scores over all steps of the types that occur."""
    scores = tables["edge_scores"]
    if scores.empty:
        return scores
    return scores[(scores["level"] == -1) & (scores["true"] + scores["found"] > 0)]


def _wide(families: pd.DataFrame) -> pd.DataFrame:
    """One row per family and step, one column per relation."""
    if families.empty:
        return families
    wide = families.pivot_table(index=_TREES, columns="type", values="fraction", aggfunc="first")
    facts = families.groupby(_TREES)[["identity_survival", "mean_absorption_rate"]].first()
    return wide.fillna(0.0).join(facts).reset_index()


def _listing(
    name: str, title: str, note: str, table: pd.DataFrame, columns: list[str] | None
) -> Listing:
    shown = [c for c in columns or list(table.columns) if c in table.columns]
    shown = [
        c for c in shown if c not in ("model", "architecture", "sparsity") or table[c].nunique() > 1
    ]
    table = table.replace({c: {-1: None, "": None} for c in _PLACE if c in shown})  # not applicable
    header = [_NAMES.get(c, c.replace("_", " ")) for c in shown]
    rows = [
        [number(v) for v in row] for row in table[shown].head(MOST_ROWS).itertuples(index=False)
    ]
    return Listing(name, title, note, header, rows, max(0, len(table) - MOST_ROWS))
