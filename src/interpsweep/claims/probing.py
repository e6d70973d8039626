"""k-sparse probing over the seeds of a sweep."""

from __future__ import annotations

import pandas as pd

from interpsweep.claims.intervals import half_width
from interpsweep.columns import PLACE, TYPES
from interpsweep.sources import Source, stacked
from interpsweep.tables import typed

MEASURES = ("f1", "accuracy", "auc")
BESIDE = ("neurons", "shuffled", "dense")
ENDS = ("mean", "sd", "low", "high")
SEEDLESS = [name for name in PLACE if name != "seed"]
COLUMNS = {
    **{name: TYPES[name] for name in SEEDLESS},
    "concept": str,
    "value": "int32",
    "label": str,
    **dict.fromkeys(("k", "seeds"), "int32"),
    **{f"{name}_{end}": "float64" for name in MEASURES for end in ENDS},
    **{f"{name}_{other}": "float64" for name in MEASURES for other in BESIDE},
}


def over_seeds(probes: list[Source]) -> pd.DataFrame:
    """`sparse_probes.parquet`: means over seeds with their 95 % intervals, per value and k."""
    table = stacked(probes, "sparse")
    if not len(table):
        return typed(table, COLUMNS)
    groups = table.groupby([*SEEDLESS, "concept", "value", "label", "k"], dropna=False, sort=True)
    made = groups["seed"].nunique().rename("seeds").to_frame()
    for name in MEASURES:
        made[f"{name}_mean"], made[f"{name}_sd"] = groups[name].mean(), groups[name].std()
        half = half_width(made[f"{name}_sd"], made["seeds"])
        made[f"{name}_low"] = (made[f"{name}_mean"] - half).clip(0, 1)
        made[f"{name}_high"] = (made[f"{name}_mean"] + half).clip(0, 1)
        for other in BESIDE:
            made[f"{name}_{other}"] = groups[f"{name}_{other}"].mean()
    return typed(made.reset_index(), COLUMNS)
