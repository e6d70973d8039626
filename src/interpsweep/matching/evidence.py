"""The tables of a match: every pair with its evidence, every latent, and both dictionaries."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from interpsweep.config.analysis import MatchSettings
from interpsweep.matching import association, operators, stitching
from interpsweep.matching.dependence import Dependence
from interpsweep.matching.pairs import Sums
from interpsweep.matching.sides import Correspondence, Side
from interpsweep.numerics.cosine import Floats, Ints, cosines

SHARED = 0.7  # cosine from which partners by encoder and by decoder are the same latent


def edge_table(
    a: Side,
    b: Side,
    pair_a: Ints,
    pair_b: Ints,
    found: Correspondence,
    sums: Sums,
    nulls: operators.Nulls,
    effect: NDArray[np.float64],
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
        "n_documents": np.rint(sums.n_documents).astype(np.int64),
        "p_a_given_b": ratio(n_ab, n_b),
        "p_b_given_a": ratio(n_ab, n_a),
        "lb_a_given_b": lower(n_ab, n_b, settings.confidence),
        "lb_b_given_a": lower(n_ab, n_a, settings.confidence),
        **association.scores(n_ab, n_a, n_b, rows),
        "design_effect": effect,
        "log_p": association.log_upper_tail(n_ab, n_a, n_b, rows, effect),
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
    floats = frame.select_dtypes("float64").columns.difference(["log_p"])
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
    dependence: Dependence,
    sums: Sums | None,
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
            "documents": dependence.documents,
            "mean": side.mean.astype(np.float32),
            "nearest": (found.nearest_ab if ab else found.nearest_ba).astype(np.int32),
            "cosine": cosine,
            "margin": found.margin_ab if ab else found.margin_ba,
            "mutual": (found.mutual_ab if ab else found.mutual_ba).astype(np.int32),
            "assigned": (found.assigned_ab if ab else found.assigned_ba).astype(np.int32),
            "assigned_encoder": (
                found.assigned_encoder_ab if ab else found.assigned_encoder_ba
            ).astype(np.int32),
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
    sums: Sums,
    nulls: operators.Nulls,
    settings: MatchSettings,
) -> dict[str, Any]:
    """The numbers of the whole pair of dictionaries, each beside its null."""
    live_a, live_b = a.count > 0, b.count > 0
    smaller = max(1, min(int(live_a.sum()), int(live_b.sum())))
    assigned = found.assigned_ab >= 0
    agree = assigned & (found.assigned_ab == found.assigned_encoder_ab)
    partners = cosines(
        a.decoder, b.decoder, np.arange(len(assigned)), np.maximum(found.assigned_ab, 0)
    )
    ab = operators.mmcs(found.cosine_ab[live_a])
    covered = covered_pairs(edges, settings)
    stitched = features[(features["side"] == "b") & (features["count"] > 0)]
    silent = " and ".join(name for name, live in (("a", live_a), ("b", live_b)) if not live.any())
    return {
        **({"reason": f"no latent of {silent} fires on the analysis split"} if silent else {}),
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
        "assigned_share_07": float(np.sum(assigned & (partners >= SHARED)) / smaller),
        "assignment_agreement": float(agree.sum() / max(1, assigned.sum())),
        "shared_share": float(np.sum(agree & (partners >= SHARED)) / smaller),
        **{
            f"above_0{tenths}_{way}": float(np.mean(values >= tenths / 10)) if len(values) else 0.0
            for tenths in (7, 9)
            for way, values in (("ab", found.cosine_ab[live_a]), ("ba", found.cosine_ba[live_b]))
        },
        "null_rotated": {
            "mmcs_ab": _mean(nulls.rotated_ab),
            "mmcs_ba": _mean(nulls.rotated_ba),
            "mcc": _mean(nulls.rotated_mcc),
        },
        "null_covariance": {
            "mmcs_ab": _mean(nulls.covariance_ab),
            "mmcs_ba": _mean(nulls.covariance_ba),
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


def _mean(draws: NDArray[np.float64]) -> float | None:
    """The mean under the null; None where nothing was drawn."""
    return float(draws.mean()) if len(draws) else None


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
