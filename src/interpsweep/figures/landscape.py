"""Measures of whole dictionaries against layer or width, each with what chance gives."""

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from interpsweep.config.pictures import FigureStyle
from interpsweep.figures import style as s
from interpsweep.figures.sources import PLACE, Sources, stacked

MISSING = "No dictionary of this sweep was measured as a whole."
_SHOWN = {
    "spectrum_slope": "slope of the spectrum",
    "gram_explained": "cosines explained\nby co-firing",
    "lobes_4_agreement": "agreement of 4 lobes",
    "filled_dimensions": "dimensions filled",
    "antipodal_exclusive": "antipodes that exclude\neach other",
    "hubness": "hubness",
}


def table(sources: Sources) -> pd.DataFrame:
    """One row per SAE and measure: value, null mean and spread, interval, p."""
    made = stacked(sources.get("landscape", []), "measures")
    if made.empty:
        return made
    kept = made[made["measure"].isin(_SHOWN) & made["value"].notna()]
    columns = ["measure", "value", "null", "null_mean", "null_sd", "low", "high", "p"]
    return kept[[*PLACE, *columns]].sort_values(["measure", *PLACE], ignore_index=True)


def draw(table: pd.DataFrame, style: FigureStyle) -> Figure:
    """One panel per measure; against layer where there are several sites, else against width."""
    along = "layer" if table["layer"].nunique() > 2 else "d_sae"
    shown = [name for name in _SHOWN if name in set(table["measure"])]
    figure, axes = s.panels(style, len(shown), 3, aspect=0.85)
    key = "d_sae" if along == "layer" else "place"
    table = table.assign(place=list(zip(table["model"], table["site"], strict=True)))
    colours = (
        s.ramp(sorted(table[key].unique()))
        if key == "d_sae"
        else s.categorical(s.order_sites(table))
    )
    for axis, name in zip(axes, shown, strict=True):
        _panel(axis, table[table["measure"] == name], along, key, colours)
        axis.set_ylabel(_SHOWN[name])
        if along == "d_sae":
            s.width_axis(axis, table["d_sae"].tolist(), "dictionary width")
        else:
            axis.set_xlabel("layer")
    several = table["model"].nunique() > 1
    marks = [
        Line2D([], [], color=c, marker="o", label=_label(key, value, several))
        for value, c in colours.items()
    ]
    grey: dict[str, Any] = {"color": "#555555", "marker": "o", "ls": ""}
    marks += [
        Line2D([], [], color="#777777", ls="--", lw=1, label="null"),
        Line2D([], [], **grey, label="p ≤ 0.05"),
        Line2D([], [], **grey, mfc="white", label="p > 0.05"),
    ]
    s.legend_outside(figure, marks)
    return figure


def _label(key: str, value: Any, several: bool) -> str:
    if key == "d_sae":
        return f"{s.count(value)} latents"
    model, site = value
    return s.site_title(model, site, several)


def _panel(axis: Axes, of: pd.DataFrame, along: str, key: str, colours: dict) -> None:
    for value, rows in of.groupby(key, sort=True):
        colour = colours[value]
        mean = rows.groupby(along)[["value", "null_mean"]].mean()
        axis.plot(mean.index, mean["value"], color=colour, lw=1.1)
        axis.plot(mean.index, mean["null_mean"], color=colour, lw=0.9, ls="--", alpha=0.7)
        face = [colour if p <= 0.05 else "white" for p in rows["p"]]
        axis.scatter(rows[along], rows["value"], s=15, c=face, edgecolor=colour, lw=1, zorder=3)
    s.finish(axis)
