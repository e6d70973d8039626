"""Summary tables of matches: every one, and width steps against pairs of seeds."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from interpsweep.claims.intervals import interval
from interpsweep.columns import TYPES
from interpsweep.sources import Source, place
from interpsweep.tables import typed

SITE_PLACE = ("model", "site", "layer", "architecture", "sparsity")
# statistic -> the width whose seeds are its control: where it looks for partners from
CONTROLS = {
    "mmcs_ab": "a_d_sae",
    "mmcs_ba": "b_d_sae",
    "mcc": "a_d_sae",
    "mutual_share": "a_d_sae",
    "assigned_share_07": "a_d_sae",
    "assignment_agreement": "a_d_sae",
    "shared_share": "a_d_sae",
    "above_07_ab": "a_d_sae",
    "above_07_ba": "b_d_sae",
    "above_09_ab": "a_d_sae",
    "above_09_ba": "b_d_sae",
    "novel_share": "b_d_sae",
}
MATCHING_COLUMNS = {
    **{name: TYPES[name] for name in SITE_PLACE},
    "b_site": str,
    "b_layer": "int32",
    "direction": str,
    **dict.fromkeys(("a_d_sae", "b_d_sae", "a_seed", "b_seed", "alive_a"), "int32"),
    **dict.fromkeys(CONTROLS, "float64"),
    **dict.fromkeys(("null_mmcs_ab", "null_mmcs_ba", "null_mcc", "p"), "float64"),
    **dict.fromkeys(("novel_auc", "novel_threshold"), "float64"),
    **dict.fromkeys(("horizontal_mmcs_ab", "vertical_minus_horizontal"), "float64"),
}
CONTRAST_COLUMNS = {
    **{name: TYPES[name] for name in SITE_PLACE},
    **dict.fromkeys(("a_d_sae", "b_d_sae"), "int32"),
    "statistic": str,
    "seeds": "int32",
    **dict.fromkeys(("vertical", "horizontal", "difference", "low", "high"), "float64"),
}


def matching(matches: list[Source]) -> pd.DataFrame:
    """`matching.parquet`: every match; matches in width beside those between seeds of its width.

    What two seeds of one width share ("horizontal") is the ceiling of what a wider dictionary can
    be asked to share with a narrow one ("vertical").
    """
    table = typed([_row(match) for match in matches], MATCHING_COLUMNS)
    if len(table):
        seeds = _by_seed(table, "mmcs_ab")
        table["horizontal_mmcs_ab"] = [
            _horizontal(seeds, row, row["a_d_sae"]) if row["direction"] == "width" else np.nan
            for _, row in table.iterrows()
        ]
        table["vertical_minus_horizontal"] = table["mmcs_ab"] - table["horizontal_mmcs_ab"]
    return table


def _row(match: Source) -> dict[str, Any]:
    found, a, b = match.summary(), match.at.get("a", {}), match.at.get("b", {})
    at = place({**a, "site": a.get("site", match.at.get("site"))})
    stitched = found["stitching"]
    return {
        **{name: at[name] for name in SITE_PLACE},
        "b_site": b.get("site", at["site"]),
        "b_layer": place(b)["layer"],
        "direction": match.at.get("direction", ""),
        **{f"{side}_{key}": place(end)[key] for side, end in (("a", a), ("b", b))
           for key in ("d_sae", "seed")},
        "alive_a": found["alive_a"],
        **{name: _number(found[name]) for name in CONTROLS if name in found},
        "null_mmcs_ab": _number(found["null_covariance"]["mmcs_ab"]),
        "null_mmcs_ba": _number(found["null_covariance"]["mmcs_ba"]),
        "null_mcc": _number(found["null_rotated"]["mcc"]),
        "p": found["p_mmcs_covariance"],
        "novel_share": _number(stitched["novel_share"]),
        "novel_auc": _number(stitched["auc"]),
        "novel_threshold": _number(stitched["threshold"]),
    }  # fmt: skip


def contrasts(matching: pd.DataFrame) -> pd.DataFrame:
    """`contrasts.parquet`: statistics of each width step against those between seeds.

    For every seed, the statistic of its width step minus the mean of the matches between seeds
    that it takes part in; the interval is Student's over seeds. Seeds share their controls, so
    with few of them the interval is a guide and not a test; with one there is none.
    """
    steps = matching[matching["direction"] == "width"]
    rows: list[dict[str, Any]] = []
    for statistic, control in CONTROLS.items():
        seeds = _by_seed(matching, statistic)
        for at, group in steps.groupby([*SITE_PLACE, "a_d_sae", "b_d_sae"], sort=True):
            vertical = group[statistic].to_numpy()
            horizontal = np.array([_horizontal(seeds, row, row[control], row["a_seed"])
                                   for _, row in group.iterrows()])  # fmt: skip
            rows.append(
                {
                    **dict(zip((*SITE_PLACE, "a_d_sae", "b_d_sae"), at, strict=True)),
                    "statistic": statistic,
                    **_difference(vertical, horizontal),
                }
            )
    return typed(rows, CONTRAST_COLUMNS)


def _difference(vertical: np.ndarray, horizontal: np.ndarray) -> dict[str, Any]:
    known = np.isfinite(vertical) & np.isfinite(horizontal)
    apart = interval((vertical - horizontal)[known])
    return {
        "seeds": apart.values,
        "vertical": mean(vertical),
        "horizontal": mean(horizontal),
        "difference": apart.mean,
        "low": apart.low,
        "high": apart.high,
    }


_RECIPE = ("model", "site", "architecture", "sparsity")


def _by_seed(table: pd.DataFrame, statistic: str) -> dict[tuple[Any, ...], list[float]]:
    """Values of a statistic between two seeds, by recipe, width and either seed.

    Which of two seeds comes first means nothing, so both ways are averaged.
    """
    way = {"ab": "ba", "ba": "ab"}.get(statistic[-2:])
    other = statistic[:-2] + way if way else statistic
    found: dict[tuple[Any, ...], list[float]] = {}
    for _, row in table[table["direction"] == "seed"].iterrows():
        value = (row[statistic] + row[other]) / 2
        for seed in (row["a_seed"], row["b_seed"]):
            key = (*(row[name] for name in _RECIPE), row["a_d_sae"], seed)
            found.setdefault(key, []).append(value)
    return found


def _horizontal(
    seeds: dict[tuple[Any, ...], list[float]], row: pd.Series, width: int, seed: int | None = None
) -> float:
    """Mean over the matches between seeds at a width, or over those that one seed takes part in."""
    recipe = tuple(row[name] for name in _RECIPE)
    if seed is not None:
        return mean(np.array(seeds.get((*recipe, width, seed), [])))
    both = [values for key, values in seeds.items() if key[:-1] == (*recipe, width)]
    return mean(np.array([value for values in both for value in values]))


def mean(values: np.ndarray) -> float:
    """Mean of the finite values; NaN without any."""
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else np.nan


def _number(value: float | None) -> float:
    return np.nan if value is None else float(value)
