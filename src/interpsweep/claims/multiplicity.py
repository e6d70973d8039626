"""q-values over families of tests, and replication of clusters in other seeds."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from statsmodels.stats.multitest import multipletests

from interpsweep.claims.sources import Source

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


def cluster_partners(
    matches: list[Source], members: dict[str, pd.DataFrame], overlap: float
) -> dict[tuple[str, int], list[tuple[str, int]]]:
    """For each (sae digest, cluster), the same cluster in SAEs of other seeds.

    Latents correspond by mutual nearest neighbours of the stored seed matches; clusters correspond
    if they have one source and at least `overlap` of the larger one's members do. An SAE without a
    counterpart is listed with cluster -1, so that the list's length is the number of seeds that
    could have replicated it.
    """
    found: dict[tuple[str, int], list[tuple[str, int]]] = {}
    for match in matches:
        if match.at.get("direction") != "seed":
            continue
        a, b = match.at["a_digest"], match.at["b_digest"]
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
        source: dict(zip(rows["feature"], rows["cluster"], strict=True))
        for source, rows in theirs.groupby("source")
    }
    for (source, cluster), rows in members[left].groupby(["source", "cluster"]):
        home = homes.get(source, {})
        mapped = [home.get(to.get(int(f), -1), -1) for f in rows["feature"]]
        votes: dict[int, int] = {}
        for where in mapped:
            if where >= 0:
                votes[int(where)] = votes.get(int(where), 0) + 1
        best = max(sorted(votes), key=lambda c: votes[c], default=-1)
        enough = best >= 0 and votes[best] >= overlap * max(len(rows), size[best])
        found.setdefault((left, int(cluster)), []).append((right, best if enough else -1))


def replicate(
    census: pd.DataFrame, partners: dict[tuple[str, int], list[tuple[str, int]]], level: float
) -> tuple[list[int], list[int]]:
    """Per row of the census: seeds that could replicate it, and seeds in which p is at most
    `level`.

    Both include the row's own SAE; `census` has columns sae, cluster, test, p.
    """
    p: dict[Any, float] = {
        (row.sae, row.cluster, row.test): row.p for row in census.itertuples(index=False)
    }
    seeds, replicated = [], []
    for row in census.itertuples(index=False):
        others = partners.get((row.sae, row.cluster), [])
        hits = sum(p.get((sae, cluster, row.test), 1.0) <= level for sae, cluster in others)
        seeds.append(1 + len(others))
        replicated.append(int(row.p <= level) + hits)
    return seeds, replicated
