"""Spectra of decoder directions and of activations, layer by layer."""

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from interpsweep.config.pictures import FigureStyle
from interpsweep.figures import style as s
from interpsweep.figures.sources import PLACE, Sources, stacked

MISSING = "No spectra: the geometry of no dictionary of this sweep was measured."

_SHOWN = ["eigenvalue", "null_eigenvalue", "activation_eigenvalue"]


def table(sources: Sources) -> pd.DataFrame:
    """One row per SAE and rank: eigenvalues of directions, random directions and activations."""
    made = stacked(sources.get("geometry", []), "spectrum")
    if made.empty:
        return made
    return made[[*PLACE, "rank", *_SHOWN]].sort_values([*PLACE, "rank"], ignore_index=True)


def draw(table: pd.DataFrame, style: FigureStyle) -> Figure:
    """One panel per width (at most five) with a line per site, and one of the activations."""
    table = table.assign(place=list(zip(table["model"], table["site"], strict=True)))
    sites = s.order_sites(table)
    layers = table["layer"].nunique() == len(sites)
    colours = s.ramp(sites) if layers else s.categorical(sites)
    widths = s.evenly(sorted(table["d_sae"].unique()), max(1, min(5, style.max_panels - 1)))
    columns = 3 if len(widths) not in (1, 3) else 2
    figure, axes = s.panels(style, len(widths) + 1, columns, 0.8)
    for axis, width in zip(axes, widths, strict=False):
        of = table[table["d_sae"] == width]
        _lines(axis, of, "eigenvalue", colours)
        _lines(axis, of, "null_eigenvalue", colours, ls="--", alpha=0.6)
        axis.set_title(f"{s.count(width)} latents")
    _lines(axes[-1], table, "activation_eigenvalue", colours)
    axes[-1].set_title("activations")
    for i, axis in enumerate(axes):
        axis.set_xlabel("rank")
        if i % columns == 0:
            axis.set_ylabel("eigenvalue, share of all")
    several = table["model"].nunique() > 1
    marks = [Line2D([], [], color=colours[p], label=s.site_title(*p, several)) for p in sites]
    marks.append(Line2D([], [], color="#777777", ls="--", lw=1, label="random directions"))
    s.legend_outside(figure, marks)
    return figure


def _lines(axis: Axes, of: pd.DataFrame, column: str, colours: dict, **looks: Any) -> None:
    """Means over seeds and recipes, one line per site."""
    of = of[of[column] > 0]
    mean = of.groupby(["place", "rank"])[column].mean().reset_index()
    for place, rows in mean.groupby("place", sort=False):
        axis.plot(rows["rank"], rows[column], color=colours[place], lw=1.1, **looks)
    top = float(mean[column].max()) if len(mean) else 1.0
    low = float(mean[column].min()) if len(mean) else 1e-3
    bottom, head = axis.get_ylim() if axis.get_yscale() == "log" else (top, low)
    axis.set_ylim(max(min(bottom, low), top * 1e-5) * 0.8, max(head, top * 1.3))
    s.log_ticks(axis, "x")
    s.log_ticks(axis, "y")
    s.finish(axis)
