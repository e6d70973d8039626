"""q-values over families of tests, and replication of clusters in other seeds."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from statsmodels.stats.multitest import multipletests

from interpsweep.columns import OF_TOKENS, PLACE
from interpsweep.sources import Source

Floats = NDArray[np.float64]


def q_values(p: NDArray[np.floating]) -> Floats:
    """Benjamini-Hochberg q of one family of tests; NaN stays NaN and does not count."""
    p = np.asarray(p, np.float64)
    q, known = np.full(len(p), np.nan), ~np.isnan(p)
    if known.any():
        q[known] = multipletests(p[known], method="fdr_bh")[1]
    return q


def with_q(table: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """The table with a column q: Benjamini-Hochberg of column p within each group of `by`."""
    table = table.reset_index(drop=True)
    q = np.full(len(table), np.nan)
    for rows in table.groupby(by, dropna=False, sort=True).indices.values():
        q[rows] = q_values(table["p"].to_numpy(float)[rows])
    return table.assign(q=q)


def simes(p: NDArray[np.floating]) -> float:
    """Simes' p of the hypothesis that none of several effects is there."""
    p = np.sort(np.asarray(p, np.float64)[~np.isnan(p)])
    return float(np.min(p * len(p) / np.arange(1, len(p) + 1))) if len(p) else float("nan")


def selected_q(
    table: pd.DataFrame, by: list[str], unit: list[str], level: str = "p"
) -> NDArray[np.float64]:
    """q of several tests within each of many clusters, (rows,); NaN p is no test.

    Simes' p per cluster (`unit`), Benjamini-Hochberg over the clusters of a family (`by`), and
    inside a selected cluster Benjamini-Hochberg at q R / K, with R of K clusters selected
    (Benjamini and Bogomolov 2014). A row's q is the smallest level at which both hold.
    """
    table = table.reset_index(drop=True)
    q = np.full(len(table), np.nan)
    known = table[table[level].notna()]
    for _, family in known.groupby(by, sort=True):
        clusters = [rows.index for _, rows in family.groupby(unit, sort=True)]
        p = family[level].to_numpy(float)
        at = {row: place for place, row in enumerate(family.index)}
        within = [p[[at[row] for row in rows]] for rows in clusters]
        outer = q_values(np.array([simes(part) for part in within]))
        edges = np.unique(outer)
        selected = np.searchsorted(np.sort(outer), edges, side="right")
        for rows, part, mine in zip(clusters, within, outer, strict=True):
            # at a level in [edge, next edge) as many clusters are selected as at the edge
            needed = len(clusters) * q_values(part)[:, None] / selected
            reached = np.where(edges >= mine, np.maximum(needed, edges), np.inf)
            later = np.append(edges[1:], np.inf)
            reached = np.where(reached < later, reached, np.inf)
            q[rows] = np.minimum(reached.min(axis=1), 1.0)
    return q


def cluster_partners(
    matches: list[Source], geometries: list[Source], overlap: float
) -> dict[tuple[str, int], list[tuple[str, int]]]:
    """For each (digest of an item of geometry, cluster), the same cluster in SAEs of other seeds.

    Latents correspond by mutual nearest neighbours of the stored seed matches, kinds of tokens by
    their id; clusters correspond if they have one source (or are both of tokens) and at least
    `overlap` of the larger one's members do. An SAE without a counterpart is listed with cluster
    -1, so that the list's length is the number of seeds that could have replicated it.
    """
    found: dict[tuple[str, int], list[tuple[str, int]]] = {}
    members = {item.digest: item.table("clusters") for item in geometries}
    of_sae = {item.key(PLACE): item.digest for item in geometries}
    for match in matches:
        if match.at.get("direction") != "seed":
            continue
        a, b = (of_sae.get(tuple(match.at[side][key] for key in PLACE), "") for side in "ab")
        pairs = match.table("edges").query("mutual")[["a", "b"]].to_numpy()
        for left, right, to in ((a, b, dict(pairs)), (b, a, {y: x for x, y in pairs})):
            if left in members and right in members:
                _partner(found, left, right, to, members, overlap)
    return found


def _partner(
    found: dict[tuple[str, int], list[tuple[str, int]]],
    left: str,
    right: str,
    to: dict[int, int],
    members: dict[str, pd.DataFrame],
    overlap: float,
) -> None:
    theirs = members[right]
    size = theirs.groupby("cluster").size().to_dict()
    homes = {
        source: dict(zip(rows[_name(source)], rows["cluster"], strict=True))
        for source, rows in theirs.groupby("source")
    }
    for (source, cluster), rows in members[left].groupby(["source", "cluster"]):
        tokens, names = source in OF_TOKENS, rows[_name(source)].tolist()
        there = names if tokens else [to.get(int(f), -1) for f in names]
        # a whole group here may be a part of one there
        alike = [homes.get(other, {}) for other in (OF_TOKENS if tokens else (source,))]
        votes = Counter(int(home[name]) for home in alike for name in there if name in home)
        larger = {c: max(len(rows), size[c]) for c in sorted(votes)}
        best = max(larger, key=lambda c: votes[c] / larger[c], default=-1)
        enough = best >= 0 and votes[best] >= overlap * larger[best]
        found.setdefault((left, int(cluster)), []).append((right, best if enough else -1))


def _name(source: str) -> str:
    """The column of `clusters.parquet` that names the members of a cluster of this source."""
    return "token_id" if source in OF_TOKENS else "feature"


def replicate(
    census: pd.DataFrame, partners: dict[tuple[str, int], list[tuple[str, int]]], level: float
) -> tuple[list[int], list[int]]:
    """Per row of the census: seeds that could replicate it, and seeds in which p is at most
    `level`.

    Both include the row's own SAE; `census` has columns item, cluster, object, test, p.
    """
    p: dict[Any, float] = {
        (row.item, row.cluster, row.object, row.test): row.p
        for row in census.itertuples(index=False)
    }
    seeds, replicated = [], []
    for row in census.itertuples(index=False):
        others = partners.get((row.item, row.cluster), [])
        hits = sum(
            p.get((item, cluster, row.object, row.test), 1.0) <= level for item, cluster in others
        )
        seeds.append(1 + len(others))
        replicated.append(int(row.p <= level) + hits)
    return seeds, replicated
