"""Summary tables of a sweep: families, matches and SAEs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from interpsweep.claims.intervals import half_width
from interpsweep.columns import OF_FAMILY, PLACE, TYPES
from interpsweep.sources import Source, place
from interpsweep.tables import typed

STEP = (
    "births",
    "identity_survival",
    "branching_mean",
    "single_parent_share",
    "mean_hole_rate",
    "mean_absorption_rate",
    "mean_hedging",
    "mean_hedging_null",
    "encoder_signature",
    "encoder_signature_null",
)
FAMILY_COLUMNS = {
    **OF_FAMILY,
    **dict.fromkeys(("level", "d_narrow", "d_wide"), "int32"),
    "type": str,
    "count": "int32",
    "fraction": "float64",
    "alive": "int32",
    "births": "int32",
    **dict.fromkeys(STEP[1:], "float64"),
    "seeds": "int32",
    **dict.fromkeys(("fraction_mean", "fraction_sd", "fraction_low", "fraction_high"), "float64"),
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
                        **{key: at[key] for key in OF_FAMILY},
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
    half = half_width(table["fraction_sd"], table["seeds"])
    table["fraction_low"] = (table["fraction_mean"] - half).clip(0, 1)
    table["fraction_high"] = (table["fraction_mean"] + half).clip(0, 1)
    return typed(table, FAMILY_COLUMNS)


MASK_COLUMNS = {
    **{name: TYPES[name] for name in ("model", "site", "layer")},
    **dict.fromkeys(("positions", "rows", "left_out"), "int64"),
    **dict.fromkeys((f"left_out_{s}" for s in ("train", "analysis", "eval")), "int64"),
    **dict.fromkeys((f"left_out_by_{why}" for why in ("position", "token", "norm")), "int64"),
    **dict.fromkeys(("norm", "median_norm", "massive_share", "massive_second_moment"), "float64"),
    "left_out_second_moment": "float64",
    "largest_dimension": "int32",
    "largest_dimension_variance": "float64",
}


def masks(found: list[Source]) -> pd.DataFrame:
    """`masks.parquet`: the rows left out at each site, and the massive ones."""
    rows = [{**place(mask.at), **mask.summary()} for mask in found]
    return typed(rows, MASK_COLUMNS)


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
