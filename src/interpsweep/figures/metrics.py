"""Reading the evaluation metrics of a sweep out of the claims."""

from __future__ import annotations

import re

import pandas as pd

from interpsweep.figures.sources import PLACE, Sources, stacked

TITLES = {
    "l0": "L0 (active latents per token)",
    "explained_variance": "explained variance",
    "ce_recovered": "cross-entropy recovered",
    "dead_fraction": "dead latents (share)",
    "nearest_cosine_q50": "nearest cosine (median)",
    "duplicate_fraction": "duplicates (share of live)",
}
RECIPE = ["architecture", "sparsity"]


def saes_table(sources: Sources, metrics: tuple[str, ...], required: str) -> pd.DataFrame:
    """One row per SAE with its coordinates and `metrics`; rows without `required` are dropped.

    Metric names carry the version of their definition (``explained_variance.v1``); the newest
    version present is used and named in the column ``definitions``.
    """
    saes = stacked(sources.get("claims", []), "saes")
    if saes.empty:
        return saes
    columns = {metric: newest(metric, list(saes.columns)) for metric in metrics}
    picked = saes[[name for name in PLACE if name in saes.columns]].copy()
    for metric, column in columns.items():
        picked[metric] = saes[column].astype(float) if column else float("nan")
    picked["definitions"] = ", ".join(column for column in columns.values() if column)
    picked = picked.dropna(subset=[required])
    return picked.sort_values([*picked.columns[:-1]], ignore_index=True)


def recipe_title(recipe: tuple[str, float]) -> str:
    """Architecture and sparsity in words: ``topk 32``."""
    from interpsweep.figures.style import plain  # seconds of imports that the report has no use for

    return plain(f"{recipe[0]} {recipe[1]:g}")


def newest(metric: str, columns: list[str]) -> str | None:
    """The column of `metric` with the highest version, or None."""
    pattern = re.compile(rf"{re.escape(metric)}(?:[._]?v(\d+))?$")
    found = [(int(m.group(1) or 0), c) for c in columns if (m := pattern.fullmatch(c))]
    return max(found)[1] if found else None
