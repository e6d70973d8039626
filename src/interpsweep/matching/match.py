"""Stage `match`: how the latents of two SAEs correspond, pair by pair, against nulls."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from interpsweep.activations.artifact import Activations
from interpsweep.config.analysis import MatchSettings, own_fields
from interpsweep.context import Context
from interpsweep.errors import UserError
from interpsweep.matching import association, coactivation, operators, stitching
from interpsweep.matching.cosine import (
    Floats,
    Ints,
    cosines,
    nearest,
    pairs_above,
    unit_rows,
)
from interpsweep.saes.artifact import Dictionary
from interpsweep.saes.codes import Codes
from interpsweep.saes.firing import Firing
from interpsweep.spec import Spec
from interpsweep.tables import write_json, write_parquet


@dataclass(frozen=True)
class Side:
    """One of the two dictionaries, reduced to what matching needs."""

    decoder: Floats  # (n, d) unit rows
    encoder: Floats  # (n, d) unit rows
    bias: Floats  # (d,)
    codes: Firing
    count: Ints  # (n,) firings
    mean: NDArray[np.float64]  # (n,) mean activation when firing


class Correspondence(NamedTuple):
    """Neighbours of all latents by decoder cosine, among latents that fire at all."""

    nearest_ab: Ints
    cosine_ab: Floats
    margin_ab: Floats
    nearest_ba: Ints
    cosine_ba: Floats
    margin_ba: Floats
    mutual_ab: Ints
    mutual_ba: Ints
    assigned_ab: Ints
    assigned_ba: Ints
    mcc: float | None


def run(spec: Spec, inputs: dict[str, Any], out: Path, ctx: Context) -> dict[str, Any]:
    """Match dictionary ``inputs["a"]`` with ``inputs["b"]``; see docs/tables.md for what is
    written.
    """
    settings = own_fields(MatchSettings, spec["settings"])
    a = load_side(inputs["a"], inputs["codes_a"], settings.firing_level, ctx)
    b = load_side(inputs["b"], inputs["codes_b"], settings.firing_level, ctx)
    coactivation.require_same_rows(a.codes, b.codes)
    activations = Activations.open(inputs["activations"])
    edges, features, summary = match(a, b, activations, first_row(a.codes), settings, ctx)
    if spec["settings"].get("direction") == "layer":  # other activations: nothing to stitch into
        features["delta_mse"] = np.float32(np.nan)
        summary["stitching"] = dict.fromkeys(summary["stitching"])
    write_parquet(edges, out / "edges.parquet")
    write_parquet(features, out / "features.parquet")
    write_json(summary, out / "summary.json")
    return {
        key: summary[key] for key in ("mmcs_ab", "mmcs_ba", "mutual_share", "p_mmcs_covariance")
    }


def load_side(sae: Path, codes: Path, level: float, ctx: Context) -> Side:
    """Read one dictionary and the statistics of its firings above `level`."""
    dictionary = Dictionary.open(sae)
    reader = Firing.above(Codes.open(codes), level, ctx.block_map)
    count, mean = coactivation.firing_statistics(reader, ctx.block_map)
    if not count.any():
        raise UserError(
            f"{sae}: no latent fires on the analysis split; this SAE did not train "
            "(see its training.parquet): change train.* or leave it out of the sweep"
        )
    return Side(
        unit_rows(np.asarray(dictionary.W_dec)),
        unit_rows(np.asarray(dictionary.W_enc).T),
        np.asarray(dictionary.b_dec, np.float32),
        reader,
        count,
        mean,
    )


def first_row(codes: Any) -> int:
    """Row of the activations at which the codes begin."""
    return int(codes.rows[0])


def match(
    a: Side, b: Side, activations: Any, start: int, settings: MatchSettings, ctx: Any
) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, Any]]:
    """Edges, per-latent features and the summary of one ordered pair of dictionaries."""
    found = correspond(a, b, settings)
    alive_a, alive_b = a.decoder[a.count > 0], b.decoder[b.count > 0]
    nulls = operators.null_matches(
        alive_a,
        alive_b,
        settings.null_draws,
        np.random.default_rng([settings.seed, 1]),
        settings.block,
        found.mcc is not None,
    )
    pair_a, pair_b = candidate_pairs(a, b, settings, ctx)
    sums = coactivation.pair_sums(
        coactivation.PairWork(
            a.codes,
            b.codes,
            activations,
            start,
            pair_a,
            pair_b,
            found.mutual_ab,
            a.decoder,
            b.decoder,
            a.bias,
            b.bias,
            settings.seed,
        ),
        ctx.block_map,
    )
    edges = edge_table(a, b, pair_a, pair_b, found, sums, nulls, settings)
    features = pd.concat(
        [
            feature_table("a", a, found, edges, nulls, None),
            feature_table("b", b, found, edges, nulls, sums),
        ],
        ignore_index=True,
    )
    return edges, features, summarise(a, b, found, edges, features, sums, nulls, settings)


def correspond(a: Side, b: Side, settings: MatchSettings) -> Correspondence:
    """Nearest, mutual and assigned partners; latents that never fire take no part."""
    live_a, live_b = np.flatnonzero(a.count > 0), np.flatnonzero(b.count > 0)
    nearest_ab, cosine_ab, margin_ab = _nearest_live(a.decoder, b.decoder, live_a, live_b, settings)
    nearest_ba, cosine_ba, margin_ba = _nearest_live(b.decoder, a.decoder, live_b, live_a, settings)
    mutual_ab, mutual_ba = np.full(len(a.count), -1), np.full(len(b.count), -1)
    good = (
        live_a[nearest_ba[nearest_ab[live_a]] == live_a]
        if len(live_a) and len(live_b)
        else live_a[:0]
    )
    mutual_ab[good] = nearest_ab[good]
    mutual_ba[mutual_ab[good]] = good
    assigned_ab, assigned_ba = np.full(len(a.count), -1), np.full(len(b.count), -1)
    mcc = None
    if 0 < max(len(live_a), len(live_b)) <= settings.assignment_limit and min(
        len(live_a), len(live_b)
    ):
        pairs = operators.assignment(a.decoder[live_a], b.decoder[live_b])
        assigned_ab[live_a[pairs.a]] = live_b[pairs.b]
        assigned_ba[live_b[pairs.b]] = live_a[pairs.a]
        mcc = operators.mmcs(pairs.cosine)
    return Correspondence(
        nearest_ab, cosine_ab, margin_ab, nearest_ba, cosine_ba, margin_ba,
        mutual_ab, mutual_ba, assigned_ab, assigned_ba, mcc,
    )  # fmt: skip


def _nearest_live(
    a: Floats, b: Floats, live_a: Ints, live_b: Ints, settings: MatchSettings
) -> tuple[Ints, Floats, Floats]:
    index = np.full(len(a), -1)
    cosine, margin = np.zeros(len(a), np.float32), np.zeros(len(a), np.float32)
    if len(live_a) and len(live_b):
        best = nearest(a[live_a], b[live_b], 2, settings.block)
        index[live_a], cosine[live_a] = live_b[best.index[:, 0]], best.cosine[:, 0]
        margin[live_a] = best.cosine[:, 0] - best.cosine[:, -1]
    return index, cosine, margin


def candidate_pairs(a: Side, b: Side, settings: MatchSettings, ctx: Any) -> tuple[Ints, Ints]:
    """Top cosines both ways, all cosines above the floor, top co-firing; sorted, no repeats."""
    live_a, live_b = np.flatnonzero(a.count > 0), np.flatnonzero(b.count > 0)
    unit_a, unit_b = a.decoder[live_a], b.decoder[live_b]
    keys = []
    if len(live_a) and len(live_b):
        forward = nearest(unit_a, unit_b, settings.top_k, settings.block).index
        backward = nearest(unit_b, unit_a, settings.top_k, settings.block).index
        above = pairs_above(unit_a, unit_b, settings.cosine_floor, settings.block)
        keys.append(np.repeat(live_a, forward.shape[1]) * len(b.count) + live_b[forward.ravel()])
        keys.append(live_a[backward.ravel()] * len(b.count) + np.repeat(live_b, backward.shape[1]))
        keys.append(live_a[above.a] * len(b.count) + live_b[above.b])
    together = coactivation.candidates(
        a.codes, b.codes, a.count, b.count, settings.top_k, settings.overlap_floor, ctx.block_map
    )
    keys.append(together[0] * len(b.count) + together[1])
    unique = np.unique(np.concatenate(keys))
    return unique // len(b.count), unique % len(b.count)


def edge_table(
    a: Side,
    b: Side,
    pair_a: Ints,
    pair_b: Ints,
    found: Correspondence,
    sums: coactivation.Sums,
    nulls: operators.Nulls,
    settings: MatchSettings,
) -> pd.DataFrame:
    """All evidence about every candidate pair; columns as in docs/tables.md."""
    rows = int(sums.rows[0])
    n_a, n_b, n_ab = a.count[pair_a], b.count[pair_b], np.rint(sums.n_ab).astype(np.int64)
    cosine = cosines(a.decoder, b.decoder, pair_a, pair_b)
    ratio, lower = association.share, association.wilson_lower
    table = {
        "a": pair_a.astype(np.int32),
        "b": pair_b.astype(np.int32),
        "cosine": cosine,
        "encoder_cosine": cosines(a.encoder, b.encoder, pair_a, pair_b),
        "rank_ab": _ranks(pair_a, cosine),
        "rank_ba": _ranks(pair_b, cosine),
        "mutual": found.mutual_ab[pair_a] == pair_b,
        "assigned": found.assigned_ab[pair_a] == pair_b,
        "n_a": n_a,
        "n_b": n_b,
        "n_ab": n_ab,
        "n_ab_shifted": np.rint(sums.n_ab_shifted).astype(np.int64),
        "p_a_given_b": ratio(n_ab, n_b),
        "p_b_given_a": ratio(n_ab, n_a),
        "lb_a_given_b": lower(n_ab, n_b, settings.confidence),
        "lb_b_given_a": lower(n_ab, n_a, settings.confidence),
        **association.scores(n_ab, n_a, n_b, rows),
        "log_p": association.log_upper_tail(n_ab, n_a, n_b, rows),
        "p_cosine": operators.upper_p(cosine, nulls.largest_b),
        "mean_a": a.mean[pair_a],
        "mean_b": b.mean[pair_b],
        "mean_a_with_b": ratio(sums.a_with_b, n_ab),
        "mean_b_with_a": ratio(sums.b_with_a, n_ab),
        "match_of_a": found.mutual_ab[pair_a].astype(np.int32),
        "n_match_b": np.rint(sums.n_match_b).astype(np.int64),
        "n_match_a": np.rint(sums.n_match_a[pair_a]).astype(np.int64),
        "n_hole_b": np.rint(sums.n_hole_b).astype(np.int64),
        "mean_match_with_a": ratio(sums.match_with_a, sums.n_match_a)[pair_a],
        "mean_match_with_b": ratio(sums.match_with_b, sums.n_match_b),
        "mean_match_without_b": ratio(
            sums.match_with_a[pair_a] - sums.match_with_ab, sums.n_match_a[pair_a] - sums.n_match_ab
        ),
        "projection_share": _signed_ratio(sums.hole_b * cosine, sums.hole_projection),
        "projection_share_null": _signed_ratio(sums.hole_b * nulls.typical, sums.hole_projection),
    }
    frame = pd.DataFrame(table)
    keep_wide = {"log_p"}
    floats = frame.select_dtypes("float64").columns.difference(list(keep_wide))
    return frame.astype(dict.fromkeys(floats, np.float32))


def _signed_ratio(top: NDArray, bottom: NDArray) -> NDArray[np.float64]:
    """top / bottom; NaN where the denominator is not positive (nothing to share)."""
    return np.where(bottom > 0, top / np.where(bottom > 0, bottom, 1), np.nan)


def _ranks(group: Ints, value: Floats) -> NDArray[np.int32]:
    """Place of each entry within its group, 0 = largest value."""
    order = np.lexsort((-value, group))
    sorted_group = group[order]
    begins = np.searchsorted(sorted_group, sorted_group, side="left")
    ranks = np.empty(len(group), np.int32)
    ranks[order] = np.arange(len(group)) - begins
    return ranks


def feature_table(
    name: str,
    side: Side,
    found: Correspondence,
    edges: pd.DataFrame,
    nulls: operators.Nulls,
    sums: coactivation.Sums | None,
) -> pd.DataFrame:
    """One row per latent of one side; `sums` only for side b, which is stitched into a."""
    ab = name == "a"
    cosine = found.cosine_ab if ab else found.cosine_ba
    null = nulls.largest_a if ab else nulls.largest_b
    npmi = edges.groupby(name)["npmi"].max().reindex(range(len(side.count)), fill_value=-1.0)
    delta = np.full(len(side.count), np.nan) if sums is None else sums.added / sums.rows[0]
    return pd.DataFrame(
        {
            "side": name,
            "feature": np.arange(len(side.count), dtype=np.int32),
            "count": side.count,
            "mean": side.mean.astype(np.float32),
            "nearest": (found.nearest_ab if ab else found.nearest_ba).astype(np.int32),
            "cosine": cosine,
            "margin": found.margin_ab if ab else found.margin_ba,
            "mutual": (found.mutual_ab if ab else found.mutual_ba).astype(np.int32),
            "assigned": (found.assigned_ab if ab else found.assigned_ba).astype(np.int32),
            "p_cosine": operators.upper_p(cosine, null).astype(np.float32),
            "delta_mse": delta.astype(np.float32),
            "best_npmi": npmi.to_numpy(np.float32),
        }
    )


def summarise(
    a: Side,
    b: Side,
    found: Correspondence,
    edges: pd.DataFrame,
    features: pd.DataFrame,
    sums: coactivation.Sums,
    nulls: operators.Nulls,
    settings: MatchSettings,
) -> dict[str, Any]:
    """The numbers of the whole pair of dictionaries, each beside its null."""
    live_a, live_b = a.count > 0, b.count > 0
    smaller = max(1, min(int(live_a.sum()), int(live_b.sum())))
    assigned = edges[edges["assigned"]]
    ab = operators.mmcs(found.cosine_ab[live_a])
    covered = covered_pairs(edges, settings)
    stitched = features[(features["side"] == "b") & (features["count"] > 0)]
    return {
        "rows": int(sums.rows[0]),
        "firing_level": settings.firing_level,
        "n_a": len(a.count),
        "n_b": len(b.count),
        "alive_a": int(live_a.sum()),
        "alive_b": int(live_b.sum()),
        "mmcs_ab": ab,
        "mmcs_ba": operators.mmcs(found.cosine_ba[live_b]),
        "mcc": found.mcc,
        "mutual_share": float(np.sum(found.mutual_ab >= 0) / smaller),
        "assigned_share_07": float(np.sum(assigned["cosine"] >= 0.7) / smaller),
        **{
            f"above_0{tenths}_{way}": float(np.mean(values >= tenths / 10)) if len(values) else 0.0
            for tenths in (7, 9)
            for way, values in (("ab", found.cosine_ab[live_a]), ("ba", found.cosine_ba[live_b]))
        },
        "null_rotated": {
            "mmcs_ab": float(nulls.rotated_ab.mean()),
            "mmcs_ba": float(nulls.rotated_ba.mean()),
            "mcc": float(nulls.rotated_mcc.mean()) if len(nulls.rotated_mcc) else None,
        },
        "null_covariance": {
            "mmcs_ab": float(nulls.covariance_ab.mean()),
            "mmcs_ba": float(nulls.covariance_ba.mean()),
            **{
                name: float(np.quantile(nulls.largest_b, q)) if len(nulls.largest_b) else 0.0
                for name, q in (("q50", 0.5), ("q95", 0.95), ("q99", 0.99), ("q999", 0.999))
            },
        },
        "p_mmcs_rotated": float(operators.upper_p(ab, np.sort(nulls.rotated_ab))),
        "p_mmcs_covariance": float(operators.upper_p(ab, np.sort(nulls.covariance_ab))),
        "shifted": covered,
        "stitching": stitching.summary(
            stitched["cosine"].to_numpy(),
            stitched["delta_mse"].to_numpy(),
            float(sums.squared_error[0] / sums.rows[0]),
        ),
    }


def covered_pairs(edges: pd.DataFrame, settings: MatchSettings) -> dict[str, int]:
    """Pairs in which one latent nearly always fires with the other, also after the shift."""
    shifted = edges["n_ab_shifted"].to_numpy()
    lower = [
        association.wilson_lower(shifted, edges[n].to_numpy(), settings.confidence)
        for n in ("n_a", "n_b")
    ]
    observed = np.maximum(edges["lb_a_given_b"], edges["lb_b_given_a"])
    return {
        "pairs_covered": int(np.sum(observed >= 0.9)),
        "pairs_covered_null": int(np.sum(np.maximum(*lower) >= 0.9)),
    }
