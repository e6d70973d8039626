"""The decision list that names how each wide latent relates to the narrow dictionary.

Order and thresholds are those of docs/methods.md ("edge types"); the first rule that holds names
the latent. Every edge keeps the evidence of all rules, whatever its name.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import nnls

from interpsweep.config.analysis import TreeSettings
from interpsweep.matching.association import share, wilson_lower

TYPES = (
    "rare",
    "identity",
    "identity_with_holes",
    "composition",
    "absorption",
    "split",
    "specialisation",
    "novel",
    "merge",
    "other",
)
MASS = ("mass_n_given_w", "covered_by_n", "mass_w_given_n", "covered_by_w")
EXTRA = ("nnls_r2_single", "nnls_r2")
COMPOSED = 3  # most parents of a composition
EVIDENCE = (
    "cosine",
    "encoder_cosine",
    "p_n_given_w",
    "lb_n_given_w",
    "p_w_given_n",
    "lb_w_given_n",
    "lift",
    "npmi",
    "phi",
    "jaccard",
    "log_p",
    "p_cosine",
    "projection_share",
    "projection_share_null",
)


@dataclass(frozen=True)
class Level:
    """One dictionary of the ladder: unit decoder and encoder rows (n, d), firing counts and mean
    activations (n,). Of transcoders there is no encoder here: it reads other activations.
    """

    decoder: NDArray[np.float32]
    encoder: NDArray[np.float32] | None
    count: NDArray[np.int64]
    mean: NDArray[np.float64]


def evidence(pairs: pd.DataFrame, narrow: Level, wide: Level) -> pd.DataFrame:
    """The match table in the words of the ladder (n, w), with what the rules are stated in.

    `mass_n_given_w` is the share of w's activation that lies where n fires: P(n|w) in which faint
    firings count as little as they contribute; `covered_by_n` is its lower bound, with as many
    observations as w has firings. The other way round `mass_w_given_n` and `covered_by_w`.

    `r_match` and `r_child` are the split discriminator: with v = mean activation * direction,
    R_i = (v_w . v_i) / |v_i|^2 and R_w = (v_i . v_w) / |v_w|^2, where i is the match of n. Their
    `asymmetry` (R_i - R_w) / (1 - R_w) is 1 where w contributes all that i does and something
    orthogonal to it, and 0 where both share a part and add as much of their own.
    """
    table = pairs.rename(
        columns={
            "a": "n",
            "b": "w",
            "n_a": "count_n",
            "n_b": "count_w",
            "p_a_given_b": "p_n_given_w",
            "p_b_given_a": "p_w_given_n",
            "lb_a_given_b": "lb_n_given_w",
            "lb_b_given_a": "lb_w_given_n",
            "match_of_a": "match",
        }
    ).copy()
    n, w, match = (table[c].to_numpy(np.int64) for c in ("n", "w", "match"))
    has = match >= 0
    i = np.where(has, match, 0)
    between = np.einsum("ij,ij->i", wide.decoder[i], wide.decoder[w])
    strength_i, strength_w = wide.mean[i], wide.mean[w]
    to_n = np.einsum("ij,ij->i", wide.decoder[i], narrow.decoder[n])
    own = table["mean_match_with_a"].to_numpy(float) * to_n
    nan = np.nan
    table["match_cosine"] = np.where(has, to_n, nan)
    table["p_match_given_w"] = np.where(has, share(table["n_match_b"], table["count_w"]), nan)
    table["r_match"] = np.where(
        has & (strength_i > 0), between * _over(strength_w, strength_i), nan
    )
    table["r_child"] = np.where(
        has & (strength_w > 0), between * _over(strength_i, strength_w), nan
    )
    with np.errstate(invalid="ignore", divide="ignore"):
        contained = (table["r_match"] - table["r_child"]) / (1 - table["r_child"])
    table["asymmetry"] = np.where(table["r_child"] < 1, contained, np.nan)
    table["sibling_cosine"] = np.where(has, between, nan)
    table["attenuation"] = np.where(
        has & (table["mean_match_without_b"] > 0),
        _over(table["mean_match_with_b"], table["mean_match_without_b"]),
        nan,
    )
    table["conservation"] = np.where(
        has & (own > 0), _over(table["mean_b"] * table["cosine"], own), nan
    )
    table["holes"] = np.where(has, 1 - share(table["n_match_a"], table["count_n"]), nan)
    for one, other, mass in (("n", "w", "mean_b_with_a"), ("w", "n", "mean_a_with_b")):
        count, mean = table[f"count_{other}"], table["mean_b" if other == "w" else "mean_a"]
        within = _over(table["n_ab"] * table[mass], mean)  # firings, weighted by their strength
        within = np.clip(np.nan_to_num(within), 0, count)
        table[f"mass_{one}_given_{other}"] = share(within, count)
        table[f"covered_by_{one}"] = wilson_lower(within, count.to_numpy())
    table["p_n_given_w_null"] = share(table["n_ab_shifted"], table["count_w"]).astype(np.float32)
    table["p"] = np.maximum(
        np.exp(table["log_p"].to_numpy(float)), table["p_cosine"].to_numpy(float)
    )
    table["score"] = table["covered_by_n"] * table["cosine"]
    return table


def _over(top: Any, bottom: Any) -> NDArray[np.float64]:
    top, bottom = np.asarray(top, float), np.asarray(bottom, float)
    return top / np.where(bottom > 0, bottom, 1)


def composition(
    direction: NDArray[np.float32], parents: NDArray[np.float32], most: int
) -> tuple[float, float, list[int]]:
    """Best non-negative combination of at most `most` parents: (R2 of the best one, R2, parents).

    R2 = 1 - |d - sum|^2 for a unit direction d; parents are chosen greedily by the residual.
    """
    chosen: list[int] = []
    residual, single, best = direction.astype(np.float64), 0.0, 0.0
    for _ in range(min(most, len(parents))):
        gain = parents @ residual
        gain[chosen] = -np.inf
        chosen.append(int(np.argmax(gain)))
        weights, error = nnls(parents[chosen].T.astype(np.float64), direction.astype(np.float64))
        best = 1 - error**2
        single = best if len(chosen) == 1 else single
        residual = direction - weights @ parents[chosen]
    return single, best, chosen


def classify(
    table: pd.DataFrame,
    narrow: Level,
    wide: Level,
    delta_mse: NDArray[np.floating],
    cosine_null: float,
    novel_threshold: float | None,
    settings: TreeSettings,
) -> pd.DataFrame:
    """Typed edges of one width step: rows of `table` that carry a relation, one primary per latent.

    `delta_mse` (n_w,) is the stitching effect, `cosine_null` the .999 quantile of the largest
    cosine of covariance-matched latents, `novel_threshold` the calibrated cosine of novelty.
    """
    threshold = settings.novel_cosine if novel_threshold is None else novel_threshold
    rows = _rules(table, cosine_null, wide.decoder.shape[1], settings).reset_index(drop=True)
    by_child = dict(tuple(rows.groupby("w", sort=True)))
    merged = _merges(rows, settings)
    places: list[int] = []  # rows of the table that become edges, -1 for an empty one
    named: list[dict[str, Any]] = []
    for w in range(len(wide.count)):
        mine = by_child.get(w)
        name, parents, extra = _name(w, mine, merged, narrow, wide, delta_mse, threshold, settings)
        for rank, place in enumerate(_places(mine, parents)):
            places.append(place)
            named.append(
                {"w": w, "type": name, "primary": rank == 0, "related": bool(parents), **extra}
            )
    edges = rows.drop(columns="w").reindex(places).reset_index(drop=True)
    edges[["n", "match"]] = edges[["n", "match"]].fillna(-1).astype(np.int64)
    chosen = pd.DataFrame(named, columns=["w", "type", "primary", "related", *EXTRA])
    edges = pd.concat([edges, chosen], axis=1)
    edges["subtype"] = _subtypes(edges, settings)
    edges["type"] = edges["type"].replace("unmixed", "split")
    edges["delta_mse"] = delta_mse[edges["w"].to_numpy()].astype(np.float32)
    edges["cosine_null"] = np.float32(cosine_null)
    return _families(edges)


def _subtypes(edges: pd.DataFrame, s: TreeSettings) -> pd.Series:
    """Subtypes: partial_absorption (the match is weaker beside the child), unmixed, drift."""
    partial = edges["type"].eq("specialisation") & (edges["attenuation"] < s.attenuation)
    drift = edges["type"].eq("other") & edges["mutual"].fillna(False).astype(bool)
    names = {"partial_absorption": partial, "unmixed": edges["type"].eq("unmixed"), "drift": drift}
    made = pd.Series("", index=edges.index)
    for name, rows in names.items():
        made[rows] = name
    return made


def _places(mine: pd.DataFrame | None, parents: list[int]) -> list[int]:
    """Rows of a latent's edges: one per parent; without a parent its best candidate as evidence."""
    if mine is None:
        return [-1]
    where = dict(zip(mine["n"], mine.index, strict=True))
    return [int(where[n]) for n in parents or [_best(mine)]]


def _rules(table: pd.DataFrame, cosine_null: float, dim: int, s: TreeSettings) -> pd.DataFrame:
    """Which rules each pair satisfies, in columns is_*."""
    covered = table["covered_by_n"] >= s.covered
    covers = table["covered_by_w"] >= s.covered
    t = table.copy()
    t["is_identity"] = t["mutual"] & (t["cosine"] >= s.identity_cosine) & covered & covers
    t["is_holes"] = t["mutual"] & (t["cosine"] >= s.holes_cosine) & covered & ~covers
    t["is_parent"] = covered
    child = covered & ~covers & ~t["mutual"]
    matched = t["match"] >= 0
    beside = matched & (t["p_match_given_w"] >= s.silent)
    holds = (t["asymmetry"] >= s.asymmetry) & (t["r_match"] <= s.conserved)
    # A strong child has a large share in any direction, so its share must exceed that; it need not
    # do so by much, as a child that is much stronger than its parent hardly points towards it.
    holds &= t["projection_share"] >= s.projection_share
    holds &= t["projection_share"] > t["projection_share_null"]
    alone = child & matched & ~beside
    t["is_absorption"] = alone & holds
    # the direction is specific by itself, or random directions have no part in a specific firing
    related = t["npmi"] >= s.novel_npmi
    directed = (t["cosine"] > cosine_null) | (related & (t["cosine"] >= 2 / np.sqrt(dim)))
    part = ((child & ~matched) | (alone & ~holds)) & directed
    part |= covered & ~covers & t["mutual"] & directed & ~t["is_holes"]
    # Children of one parent share its direction. Where w and the match share nothing, n was a
    # mixture of unrelated features.
    t["is_unmixed"] = part & matched & ~t["mutual"] & (t["sibling_cosine"] < 2 / np.sqrt(dim))
    t["is_split"] = part & ~t["is_unmixed"]
    # A latent that fires almost everywhere covers every other one: firing must be specific. No
    # cosine is asked for, as a child that fires beside its parent need not repeat its direction.
    t["is_specialisation"] = child & beside & related
    return t


def _merges(rows: pd.DataFrame, s: TreeSettings) -> dict[int, NDArray[np.int64]]:
    """Wide latents that are nobody's match and nearly always fire with two or more narrow ones."""
    within = rows[rows["covered_by_w"] >= s.covered]
    mutual = set(rows.loc[rows["mutual"], "w"])
    groups = {int(w): g["n"].to_numpy(np.int64) for w, g in within.groupby("w")}
    return {w: n for w, n in groups.items() if len(n) >= 2 and w not in mutual}


def _name(
    w: int,
    mine: pd.DataFrame | None,
    merged: dict[int, NDArray[np.int64]],
    narrow: Level,
    wide: Level,
    delta_mse: NDArray[np.floating],
    threshold: float,
    s: TreeSettings,
) -> tuple[str, list[int], dict[str, float]]:
    """(type, narrow parents with the primary one first, extra evidence) of one wide latent."""
    if wide.count[w] < s.min_firings:
        return "rare", [], {}
    if mine is None:
        return ("novel" if delta_mse[w] < 0 else "other"), [], {}
    if mine["is_identity"].any():
        return "identity", [_best(mine[mine["is_identity"]])], {}
    parents = mine.loc[mine["is_parent"] & (mine["cosine"] > 0.1), "n"].to_numpy(np.int64)
    extra: dict[str, float] = {}
    if len(parents) >= 2:
        single, together, order = composition(wide.decoder[w], narrow.decoder[parents], COMPOSED)
        extra = {"nnls_r2_single": single, "nnls_r2": together}
        if together >= s.composition_r2 and together - single >= s.composition_gain:
            return "composition", [int(parents[k]) for k in order], extra
    if mine["is_holes"].any():
        return "identity_with_holes", [_best(mine[mine["is_holes"]])], extra
    for rule in ("absorption", "split", "specialisation", "unmixed"):
        found = mine[mine[f"is_{rule}"]]
        if len(found):
            parent = _nearest(found) if rule == "specialisation" else _best(found)
            return rule, [parent], extra
    if mine["cosine"].max() <= threshold and delta_mse[w] < 0 and mine["npmi"].max() < s.novel_npmi:
        return "novel", [], extra
    if w in merged:
        order = mine[mine["n"].isin(merged[w])].sort_values(
            ["cosine", "n"], ascending=[False, True]
        )
        return "merge", [int(n) for n in order["n"]], extra
    return "other", [], extra


def _best(rows: pd.DataFrame) -> int:
    """The parent with the largest score, ties by NPMI, then by number."""
    score, npmi, n = (rows[name].to_numpy() for name in ("score", "npmi", "n"))
    return int(n[np.lexsort((n, -npmi, -score))[0]])


def _nearest(rows: pd.DataFrame) -> int:
    """The most specific of several parents that fire beside a latent: the largest NPMI."""
    npmi, score, n = (rows[name].to_numpy() for name in ("npmi", "score", "n"))
    return int(n[np.lexsort((n, -score, -npmi))[0]])


def _families(edges: pd.DataFrame) -> pd.DataFrame:
    """A match with holes whose siblings are split children and none absorbing is itself a split
    child.
    """
    split = set(edges.loc[edges["type"].eq("split") & edges["subtype"].eq(""), "n"])
    absorbed = set(edges.loc[edges["type"] == "absorption", "n"])
    victims = edges["type"].eq("identity_with_holes") & edges["n"].isin(split - absorbed)
    edges.loc[victims, "type"] = "split"
    return edges
