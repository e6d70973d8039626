"""Summary tables of a sweep: families, matches and SAEs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from interpsweep.claims.sources import PLACE, TYPES, Source, place, typed

STEP = (
    "births",
    "identity_survival",
    "branching_mean",
    "single_parent_share",
    "mean_hole_rate",
    "mean_absorption_rate",
)
FAMILY_PLACE = [name for name in PLACE if name != "d_sae"]
FAMILY_COLUMNS = {
    **{name: TYPES[name] for name in FAMILY_PLACE},
    **dict.fromkeys(("level", "d_narrow", "d_wide"), "int32"),
    "type": str,
    "count": "int32",
    "fraction": "float64",
    "alive": "int32",
    "births": "int32",
    **dict.fromkeys(STEP[1:], "float64"),
    "seeds": "int32",
    **dict.fromkeys(("fraction_mean", "fraction_sd"), "float64"),
}
SITE_PLACE = ("model", "site", "layer", "architecture", "sparsity")
MATCH_SCALARS = (
    "mmcs_ab",
    "mmcs_ba",
    "mcc",
    "mutual_share",
    "above_07_ab",
    "above_07_ba",
)
MATCHING_COLUMNS = {
    **{name: TYPES[name] for name in SITE_PLACE},
    "direction": str,
    **dict.fromkeys(("a_d_sae", "b_d_sae", "a_seed", "b_seed", "alive_a"), "int32"),
    **dict.fromkeys(MATCH_SCALARS, "float64"),
    **dict.fromkeys(("null_mmcs_ab", "null_mmcs_ba", "p", "novel_share"), "float64"),
    **dict.fromkeys(("horizontal_mmcs_ab", "vertical_minus_horizontal"), "float64"),
}


def families(trees: list[Source]) -> pd.DataFrame:
    """`families.parquet`: what becomes of latents per family, width step and type of edge."""
    rows = []
    for tree in trees:
        at = place(tree.at)
        for step in tree.summary()["steps"]:
            for name, count in step["counts"].items():
                rows.append(
                    {
                        **{key: at[key] for key in FAMILY_PLACE},
                        **{key: step[key] for key in ("level", "d_narrow", "d_wide", "alive")},
                        **{key: np.nan if step[key] is None else step[key] for key in STEP},
                        "type": name,
                        "count": count,
                        # rare latents are no part of the classified ones
                        "fraction": step["fractions"].get(name, count / max(step["n_wide"], 1)),
                    }
                )
    table = pd.DataFrame(rows)
    if not len(table):
        return typed(table, FAMILY_COLUMNS)
    same = ["model", "site", "architecture", "sparsity", "d_narrow", "d_wide", "type"]
    groups = table.groupby(same, dropna=False)
    table["seeds"] = groups["seed"].transform("nunique")
    table["fraction_mean"] = groups["fraction"].transform("mean")
    table["fraction_sd"] = groups["fraction"].transform("std")
    return typed(table, FAMILY_COLUMNS)


def matching(matches: list[Source]) -> pd.DataFrame:
    """`matching.parquet`: every match; matches in width beside those between seeds of its width.

    What two seeds of one width share ("horizontal") is the ceiling of what a wider dictionary can
    be asked to share with a narrow one ("vertical").
    """
    rows = []
    for match in matches:
        found, a, b = match.summary(), match.at.get("a", {}), match.at.get("b", {})
        at = place({**a, "site": a.get("site", match.at.get("site"))})
        rows.append(
            {
                **{name: at[name] for name in SITE_PLACE},
                "direction": match.at.get("direction", ""),
                "a_d_sae": a.get("d_sae", -1),
                "b_d_sae": b.get("d_sae", -1),
                "a_seed": a.get("seed", -1),
                "b_seed": b.get("seed", -1),
                "alive_a": found["alive_a"],
                **{name: _number(found[name]) for name in MATCH_SCALARS},
                "null_mmcs_ab": found["null_covariance"]["mmcs_ab"],
                "null_mmcs_ba": found["null_covariance"]["mmcs_ba"],
                "p": found["p_mmcs_covariance"],
                "novel_share": _number(found["stitching"]["novel_share"]),
            }
        )
    table = pd.DataFrame(rows)
    if len(table):
        table["horizontal_mmcs_ab"] = _horizontal(table)
        table["vertical_minus_horizontal"] = table["mmcs_ab"] - table["horizontal_mmcs_ab"]
    return typed(table, MATCHING_COLUMNS)


def _horizontal(table: pd.DataFrame) -> list[float]:
    """For matches in width: mean MMCS, both ways, between the seeds of the narrow width."""
    seeds = table[table["direction"] == "seed"].assign(
        both=lambda t: (t["mmcs_ab"] + t["mmcs_ba"]) / 2
    )
    keys = ["model", "site", "architecture", "sparsity", "a_d_sae"]
    mean = seeds.groupby(keys)["both"].mean().to_dict()
    return [
        mean.get(tuple(row[key] for key in keys), np.nan) if row["direction"] == "width" else np.nan
        for _, row in table.iterrows()
    ]


def saes(evaluations: list[Source], geometries: list[Source]) -> pd.DataFrame:
    """`saes.parquet`: every scalar of an SAE's evaluation, and its geometry in numbers."""
    shape = {g.key(PLACE): g.summary() for g in geometries}
    rows = []
    for item in evaluations:
        row: dict[str, Any] = place(item.at)
        row |= {
            name: np.nan if value is None else value
            for name, value in item.summary("metrics").items()
            if value is None or isinstance(value, int | float | bool)
        }
        found = shape.get(item.key(PLACE))
        if found:
            row |= {name: found[name] for name in ("clusters", "clustered_share")}
            row |= {f"{name}s": found["models"].get(name, 0) for name in ("circle", "line", "tree")}
            row["mean_dimensionality"] = found["mean_dimensionality"]
        rows.append(row)
    table = pd.DataFrame(rows)
    return table.astype(TYPES) if len(table) else pd.DataFrame(columns=list(PLACE)).astype(TYPES)


def _number(value: float | None) -> float:
    return np.nan if value is None else float(value)
