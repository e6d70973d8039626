"""Norms of activations: how much of the second moment sits in few rows, and what is left out."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from interpsweep.config.pictures import FigureStyle
from interpsweep.figures import style as s
from interpsweep.figures.sources import PLACE, Sources, stacked

MISSING = "No norms: the activations of no site were looked at."

_SHARES = ("rows", "second_moment", "left_out")
_LEAST = 1e-7  # of the axis of shares


def table(sources: Sources) -> pd.DataFrame:
    """One row per site and norm (in medians): the shares of rows, of the second moment and of
    rows left out that have at least this norm.
    """
    made = stacked(sources.get("mask", []), "norms")
    if made.empty:
        return made
    site = ["model", "site"]
    made = made.sort_values([*site, "norm"], ascending=[True, True, False], ignore_index=True)
    rows = made.groupby(site)["rows"].transform("sum")
    made["rows"], made["left_out"] = made["rows"] / rows, made["left_out"] / rows
    for column in _SHARES:
        made[column] = made.groupby(site)[column].cumsum()
    shown = [c for c in PLACE if c in ("model", "site", "layer")]
    return made[[*shown, "norm", *_SHARES]].sort_values([*site, "norm"], ignore_index=True)


def draw(table: pd.DataFrame, style: FigureStyle) -> Figure:
    """One panel per site (at most twelve): the three shares over the norm."""
    sites = s.evenly(s.order_sites(table), min(12, style.max_panels))
    figure, axes = s.panels(style, len(sites), min(3, len(sites)), 0.85)
    several = table["model"].nunique() > 1
    looks = dict(zip(_SHARES, (s.BLUE, s.ORANGE, s.GREEN), strict=True))
    for i, (axis, (model, site)) in enumerate(zip(axes, sites, strict=True)):
        of = table[(table["model"] == model) & (table["site"] == site)]
        _curves(axis, of, looks)
        axis.set_title(s.site_title(model, site, several))
        axis.set_xlabel("norm, in medians")
        if i % min(3, len(sites)) == 0:
            axis.set_ylabel("share at this norm and above")
    names = ("rows", "second moment", "rows left out")
    marks = [
        Line2D([], [], color=looks[column], ls=_line(column), label=name)
        for column, name in zip(_SHARES, names, strict=True)
    ]
    s.legend_outside(figure, marks)
    return figure


def _curves(axis: Axes, of: pd.DataFrame, looks: dict[str, str]) -> None:
    for column in _SHARES:
        seen = of[of[column] > 0]
        (line,) = axis.plot(seen["norm"], seen[column], color=looks[column], lw=1.4)
        line.set(drawstyle="steps-post", linestyle=_line(column))
    axis.axvline(10, color="#777777", lw=0.8, ls=":")
    axis.set_ylim(max(_LEAST, 0.5 * float(of.loc[of["rows"] > 0, "rows"].min())), 1.6)
    axis.set_xlim(float(of["norm"].min()) / 1.1, max(12.0, float(of["norm"].max()) * 1.2))
    s.log_ticks(axis, "x")
    s.log_ticks(axis, "y")
    s.finish(axis)


def _line(column: str) -> str:
    return "--" if column == "left_out" else "-"
