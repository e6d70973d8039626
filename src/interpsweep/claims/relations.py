"""What becomes of latents from width to width, beside what two seeds of one width give.

The seeds are the control: two dictionaries of one width that were trained alike but for their
initial weights have splits, absorptions and novel latents as well, and only what a step in width
has beyond them is due to the width.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from interpsweep.claims.intervals import interval
from interpsweep.claims.match_tables import SITE_PLACE, mean
from interpsweep.columns import TYPES
from interpsweep.sources import Source, place
from interpsweep.tables import typed

# Statistics of a step's narrow latents; they are compared with seeds of the narrow width, those of
# its wide latents with seeds of the wide one.
OF_NARROW = (
    "identity_survival",
    "branching_mean",
    "branching_max",
    "mean_hole_rate",
    "mean_absorption_rate",
    "mean_hedging",
)
OF_FAMILY = ("roots", "births", "skipped", "depth", "trees", "largest_tree")
RELATION_COLUMNS = {
    **{name: TYPES[name] for name in SITE_PLACE},
    **dict.fromkeys(("level", "d_narrow", "d_wide"), "int32"),
    "statistic": str,
    **dict.fromkeys(("vertical", "vertical_low", "vertical_high"), "float64"),
    **dict.fromkeys(("horizontal", "horizontal_low", "horizontal_high"), "float64"),
    **dict.fromkeys(("difference", "difference_low", "difference_high"), "float64"),
    **dict.fromkeys(("seeds", "controls"), "int32"),
}
_STEP = [*SITE_PLACE, "level", "d_narrow", "d_wide", "statistic"]


def relations(trees: list[Source], controls: list[Source]) -> pd.DataFrame:
    """`relations.parquet`: one row per recipe, step in width (or family) and statistic.

    `trees` are those of families, `controls` those between two seeds of one width. The difference
    is the mean over seeds of a seed's value minus the mean of the controls it takes part in.
    """
    control = _controls(controls)
    rows = []
    values = pd.DataFrame([row for tree in trees for row in _of_tree(tree)])
    for at, group in values.groupby(_STEP, sort=True, dropna=False) if len(values) else ():
        step = dict(zip(_STEP, at, strict=True))
        known = control.get((*at[: len(SITE_PLACE)], step["statistic"], _width(step)), [])
        horizontal = interval([value for value, _ in known])
        apart = interval(
            [
                value - mean(np.array([other for other, seeds in known if seed in seeds]))
                for value, seed in zip(group["value"], group["seed"], strict=True)
            ]
        )
        vertical = interval(group["value"])
        rows.append(
            {
                **step,
                **_named("vertical", vertical),
                **_named("horizontal", horizontal),
                **_named("difference", apart),
                "seeds": vertical.values,
                "controls": horizontal.values,
            }
        )
    return typed(rows, RELATION_COLUMNS)


def _named(name: str, found: Any) -> dict[str, float]:
    return {name: found.mean, f"{name}_low": found.low, f"{name}_high": found.high}


def _width(step: dict[str, Any]) -> int:
    """Of the seeds that a step is compared with; -1 where nothing is to be compared."""
    if step["level"] < 0:
        return -1
    return int(step["d_narrow"] if step["statistic"] in OF_NARROW else step["d_wide"])


def _controls(found: list[Source]) -> dict[tuple[Any, ...], list[tuple[float, set[int]]]]:
    """Recipe, statistic and width -> the value of every pair of seeds, and the two seeds."""
    made: dict[tuple[Any, ...], list[tuple[float, set[int]]]] = {}
    for tree in found:
        at = place(tree.at)
        recipe = tuple(at[name] for name in SITE_PLACE)
        for name, value in step_values(tree.summary()["steps"][0]).items():
            seeds = {int(tree.at["seed"]), int(tree.at["against"])}
            made.setdefault((*recipe, name, at["d_sae"]), []).append((value, seeds))
    return made


def _of_tree(tree: Source) -> list[dict[str, Any]]:
    """Rows (recipe, seed, step, statistic, value) of one family."""
    at, summary = place(tree.at), tree.summary()
    here = {name: at[name] for name in (*SITE_PLACE, "seed")}
    rows = []
    for step in summary["steps"]:
        ends = {name: step[name] for name in ("level", "d_narrow", "d_wide")}
        rows += [
            {**here, **ends, "statistic": name, "value": value}
            for name, value in step_values(step).items()
        ]
    whole = {"level": -1, "d_narrow": summary["widths"][0], "d_wide": summary["widths"][-1]}
    rows += [
        {**here, **whole, "statistic": name, "value": float(summary[name])} for name in OF_FAMILY
    ]
    return rows


def step_values(step: dict[str, Any]) -> dict[str, float]:
    """Every statistic of one step of a tree's summary: shares of types first.

    Shares are of the live wide latents; of the rare ones that of all wide latents.
    """
    alive = max(step["alive"], 1)
    found = {f"share_{name}": share for name, share in step["fractions"].items()}
    found["share_rare"] = step["counts"]["rare"] / max(step["n_wide"], 1)
    found["share_births"] = step["births"] / alive
    found["share_skipped"] = step["skipped"] / alive
    for name in ("single_parent_share", *OF_NARROW):
        found[name] = step[name]
    return {name: np.nan if value is None else float(value) for name, value in found.items()}
