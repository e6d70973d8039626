"""Rows of `claims.parquet` from the tables of each stage."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from interpsweep.claims.multiplicity import (
    cluster_partners,
    replicate,
    selected_q,
    simes,
    with_q,
)
from interpsweep.columns import BY_DIRECTION, BY_FIRING, OF_SAE, OF_TOKENS, PLACE
from interpsweep.config.analysis import ClaimsSettings
from interpsweep.sources import Source, stacked

CLAIM_COLUMNS = {
    **OF_SAE,
    **dict.fromkeys(("kind", "subject", "test"), str),
    **dict.fromkeys(("effect", "null_effect", "z", "p", "q"), "float64"),
    "null": str,
    **dict.fromkeys(("members", "seeds", "replicated_seeds"), "int32"),
    "verdict": str,
}
STRUCTURAL = ("absorption", "split", "specialisation", "composition", "merge", "identity")
CENSUS_NULLS = {
    "haar lengths": "same spectrum, any arrangement, also brought to the points' lengths",
    "haar within": "same spectrum, any arrangement within the points' lengths",
    "spectrum": "directions of the same singular values",
    "random": "random directions",
}
SELECTION = {
    **dict.fromkeys(BY_DIRECTION, "clusters selected in covariance-matched twins"),
    **dict.fromkeys(BY_FIRING, "clusters chosen by codes"),
    **dict.fromkeys(OF_TOKENS, "kinds of tokens chosen by codes"),
}


def of_clusters(
    geometries: list[Source], matches: list[Source], s: ClaimsSettings
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Claims about clusters, and the census of the whole sweep with its q-values."""
    census = stacked(geometries, "census")
    if not len(census):
        return pd.DataFrame(), pd.DataFrame()
    census = census.assign(p_arrangement=census["p"], p=census["p_selected"])
    census["q"] = selected_q(census, ["source"], ["item", "cluster"])
    partners = cluster_partners(matches, geometries, s.overlap)
    census["seeds"], census["replicated_seeds"] = replicate(census, partners, s.q)
    tested = census[census["p"].notna()]
    claims = tested.assign(
        kind="cluster",
        subject=tested["cluster"].astype(str) + ", " + tested["object"],
        effect=tested["statistic"],
        null_effect=tested["null_mean"],
        members=tested["size"],
        null=tested["null"].map(CENSUS_NULLS) + "; " + tested["source"].map(SELECTION),
    )
    return claims, census


def of_landscapes(landscapes: list[Source], s: ClaimsSettings) -> pd.DataFrame:
    """Claims about dictionaries as wholes: every measure that has a p."""
    table = stacked(landscapes, "measures")
    table = table[table["p"].notna()] if len(table) else table
    if not len(table):
        return pd.DataFrame()
    table = with_q(table.rename(columns={"measure": "test"}), ["test"])
    return table.assign(
        kind="dictionary",
        subject=table["d_sae"].astype(str),
        effect=table["value"],
        null_effect=table["null_mean"],
        members=table["size"],
        **_over_seeds(table, ["d_sae"], s),
    )


def of_concepts(concepts: pd.DataFrame, s: ClaimsSettings) -> pd.DataFrame:
    """Claims about labelled concepts; `concepts` is the sweep's table with its q-values."""
    if not len(concepts):
        return pd.DataFrame()
    return concepts[concepts["p"].notna()].assign(
        kind="concept",
        subject=concepts["concept"],
        effect=concepts["statistic"],
        null_effect=concepts["null_mean"],
        members=concepts["values"],
        null="labels of the class means permuted",
        seeds=1,
        replicated_seeds=(concepts["p"] <= s.q).astype(int),
    )


def of_matches(matching: pd.DataFrame, s: ClaimsSettings) -> pd.DataFrame:
    """Claims that two dictionaries share directions beyond their covariance."""
    if not len(matching):
        return pd.DataFrame()
    named = matching.assign(
        kind="match",
        subject=[f"{r.a_d_sae}/{r.a_seed}->{r.b_d_sae}/{r.b_seed}" for r in matching.itertuples()],
        test="mmcs_" + matching["direction"],
        effect=matching["mmcs_ab"],
        null_effect=matching["null_mmcs_ab"],
        z=np.nan,
        d_sae=matching["b_d_sae"],
        seed=matching["a_seed"],
        members=matching["alive_a"],
        null="Gaussian dictionary with the same mean and covariance",
    )
    named = with_q(named, ["test"])
    same = ["model", "site", "architecture", "sparsity", "direction", "a_d_sae", "b_d_sae"]
    groups = named.groupby(same)
    # seed matches are themselves the comparison of seeds
    seeds = groups["a_seed"].transform("nunique")
    hits = groups["p"].transform(lambda p: (p <= s.q).sum())
    return named.assign(seeds=seeds, replicated_seeds=hits)


def of_trees(trees: list[Source], s: ClaimsSettings) -> pd.DataFrame:
    """Claims that a width step has edges of a type, by Simes' p over the edges of that type."""
    edges = stacked([t for t in trees if t.path], "edges")
    if not len(edges):
        return pd.DataFrame()
    at = [name for name in PLACE if name != "d_sae"]
    edges = edges[edges["step"] == 1]
    covered = {tree.digest: tree.summary()["covered"] for tree in trees}
    rows: list[dict[str, Any]] = []
    alive = edges[edges["primary"] & (edges["type"] != "rare")].groupby(["item", "level"]).size()
    typed = edges[edges["primary"] & edges["related"] & edges["type"].isin(STRUCTURAL)]
    for (item, level, name), group in typed.groupby(["item", "level", "type"]):
        share = len(group) / max(int(alive.get((item, level), 0)), 1)
        first = group.iloc[0]
        rows.append(
            {
                **{column: first[column] for column in at},
                "d_sae": int(first["d_wide"]),
                "kind": "tree",
                "subject": f"{first['d_narrow']}->{first['d_wide']}",
                "test": f"edges_{name}",
                "effect": share,
                "null_effect": share * float((group["p_n_given_w_null"] >= covered[item]).mean()),
                "z": np.nan,
                "p": simes(group["p"].to_numpy()),
                "null": "independent firing and covariance-matched directions",
                "members": len(group),
            }
        )
    table = with_q(pd.DataFrame(rows), ["test"]) if rows else pd.DataFrame()
    if not len(table):
        return table
    groups = table.groupby(["model", "site", "architecture", "sparsity", "subject", "test"])
    families = edges.groupby(["model", "site", "architecture", "sparsity"])["seed"].nunique()
    key = list(
        zip(table["model"], table["site"], table["architecture"], table["sparsity"], strict=True)
    )
    return table.assign(
        seeds=[int(families[k]) for k in key],
        replicated_seeds=groups["p"].transform(lambda p: (p <= s.q).sum()),
    )


def of_families(branches: pd.DataFrame, s: ClaimsSettings) -> pd.DataFrame:
    """Claims about the children of one parent: the shapes of `branches.parquet`."""
    if not len(branches):
        return pd.DataFrame()
    tested = branches[branches["p_selected"].notna()]
    return tested.assign(
        d_sae=tested["d_wide"],
        kind="family",
        subject=_steps(tested) + ", children of " + tested["parent"].astype(str),
        effect=tested["statistic"],
        null_effect=tested["null_mean"],
        p=tested["p_selected"],
        null=tested["null"].map(CENSUS_NULLS) + "; directions as near to the parent",
        members=tested["size"],
        seeds=1,  # parents of two seeds are not the same latent
        replicated_seeds=(tested["p_selected"] <= s.q).astype(int),
    )


# table -> (test, its value, mean and p beside directions as near to the parents, members)
_STEP_TESTS = {
    "dendrograms": [
        (name, name, f"{name}_beside", f"{name}_beside_p", "children")
        for name in ("triplets", "cophenetic")
    ],
    "parallelograms": [("parallelograms", "score", "score_null", "score_p", "pairs")],
}


def of_steps(tables: dict[str, pd.DataFrame], s: ClaimsSettings) -> pd.DataFrame:
    """Claims about the families of a width step together: `dendrograms` and `parallelograms`."""
    parts = [
        tables[name].assign(
            test=test,
            effect=tables[name][value],
            null_effect=tables[name][null],
            p=tables[name][p],
            members=tables[name][members],
        )
        for name, tests in _STEP_TESTS.items()
        for test, value, null, p, members in tests
    ]
    table = pd.concat([part[part["p"].notna()] for part in parts], ignore_index=True)
    if not len(table):
        return pd.DataFrame()
    table = with_q(table, ["test"])
    return table.assign(
        d_sae=table["d_wide"],
        kind="width step",
        subject=_steps(table),
        z=np.nan,
        null="directions as near to the parents, or pairs of latents as near to each other",
        **_over_seeds(table, ["d_narrow", "d_wide"], s),
    )


def of_complexes(complexes: pd.DataFrame, s: ClaimsSettings) -> pd.DataFrame:
    """Claims about the complex of two layers: its parts and voids, and single latents that cut it.

    Not about loops, which are fewer than in the null wherever latents of a layer fire together, in
    an untrained model too. A measure that no draw of the null changes tests nothing.
    """
    parts = [
        complexes.assign(
            test=name,
            effect=complexes[name],
            null_effect=complexes[f"{name}_null"],
            z=(complexes[name] - complexes[f"{name}_null"]) / complexes[f"{name}_sd"],
            p=complexes[f"{name}_p"].where(complexes[f"{name}_sd"] > 0),
        )
        for name in ("b0", "b2", "articulations")
    ]
    table = pd.concat([part[part["p"].notna()] for part in parts], ignore_index=True)
    if not len(table):
        return pd.DataFrame()
    table = with_q(table, ["test"])
    return table.assign(
        kind="layer step",
        subject=table["layer"].astype(str) + "->" + table["b_layer"].astype(str),
        members=table["simplices"],
        null="simplices dealt out anew",
        **_over_seeds(table, ["d_sae"], s),
    )


def of_interventions(acted: pd.DataFrame, s: ClaimsSettings) -> pd.DataFrame:
    """Claims that a model answers by what was done to its activations: `interventions.parquet`."""
    if not len(acted):
        return pd.DataFrame()
    ablated = acted["action"] == "ablate"
    return acted.assign(
        kind="intervention",
        subject=acted["concept"] + ", " + acted["space"] + " of " + acted["source"],
        test=acted["action"].where(ablated, acted["action"] + " " + acted["steps"].astype(str)),
        null_effect=acted["null_mean"],
        z=np.nan,
        members=acted["prompts"],
        null="as far along random directions with the covariance of the activations",
    ).pipe(lambda t: t.assign(**_over_seeds(t, ["d_sae", "subject"], s)))


def _over_seeds(table: pd.DataFrame, of: list[str], s: ClaimsSettings) -> dict[str, pd.Series]:
    """In how many rows, one per seed, of a recipe and test with these coordinates it was tested,
    and in how many p is at most the level.
    """
    p = table.groupby(["model", "site", "architecture", "sparsity", *of, "test"], dropna=False)["p"]
    return {
        "seeds": p.transform("size"),
        "replicated_seeds": p.transform(lambda p: (p <= s.q).sum()),
    }


def _steps(table: pd.DataFrame) -> pd.Series:
    return table["d_narrow"].astype(str) + "->" + table["d_wide"].astype(str)


def assemble(parts: list[pd.DataFrame], s: ClaimsSettings) -> pd.DataFrame:
    """`claims.parquet`: all claims in one table, with their verdicts."""
    parts = [part for part in parts if len(part)]
    if not parts:
        return pd.DataFrame(columns=list(CLAIM_COLUMNS)).astype(CLAIM_COLUMNS)
    table = pd.concat(
        [part.reindex(columns=list(CLAIM_COLUMNS)) for part in parts], ignore_index=True
    )
    table["verdict"] = np.where(table["q"] <= s.q, "claimed", "not claimed")
    return table.astype(CLAIM_COLUMNS)
