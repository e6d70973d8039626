"""Reconstruction, dead latents and alike directions against dictionary width."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from interpsweep.config.pictures import FigureStyle
from interpsweep.figures import style as s
from interpsweep.figures.metrics import TITLES, recipe_title, saes_table
from interpsweep.figures.sources import Sources

MISSING = "No SAE has been evaluated in this sweep."

_SHOWN = ("explained_variance", "dead_fraction", "nearest_cosine_q50", "duplicate_fraction")
_NULL = "nearest_cosine_random"  # of random directions, beside nearest_cosine_q50


def table(sources: Sources) -> pd.DataFrame:
    """One row per SAE: coordinates and the metrics drawn."""
    return saes_table(sources, (*_SHOWN, _NULL), required="explained_variance")


def draw(table: pd.DataFrame, style: FigureStyle) -> Figure:
    """One panel per metric; colour is the site, look of the line architecture and sparsity."""
    metrics = [m for m in _SHOWN if table[m].notna().any()]
    figure, axes = s.panels(style, len(metrics), 2, aspect=0.66)
    sites = s.order_sites(table)
    colours = s.categorical(sites) if len(sites) <= 6 else s.ramp(sites)
    recipes = list(table.groupby(["architecture", "sparsity"], sort=True).groups)
    looks = s.looks(recipes)
    for axis, metric in zip(axes, metrics, strict=True):
        _panel(axis, table, metric, colours, looks)
        axis.set_ylabel(TITLES[metric])
        s.width_axis(axis, table["d_sae"].tolist())
        if metric in ("dead_fraction", "duplicate_fraction"):
            axis.set_ylim(-0.02, max(0.1, float(table[metric].max()) * 1.1))
    several = table["model"].nunique() > 1
    marks = [
        Line2D([], [], color=colours[pair], label=s.site_title(pair[0], pair[1], several))
        for pair in s.evenly(sites, 8)
    ]
    if len(recipes) > 1:
        marks += [
            Line2D([], [], color="#555555", marker=m, ls=d, lw=1.0, label=recipe_title(recipe))
            for recipe, (m, d) in looks.items()
        ]
    if "nearest_cosine_q50" in metrics:
        marks.append(Line2D([], [], color=s.GREY, ls=":", label="random directions"))
    s.legend_outside(figure, marks)
    return figure


def _panel(axis: Axes, table: pd.DataFrame, metric: str, colours: dict, looks: dict) -> None:
    if metric == "nearest_cosine_q50":
        for _, of in table.groupby(["model", "site"], sort=True):
            null = of.groupby("d_sae")[_NULL].mean()
            axis.plot(null.index, null, color=s.GREY, ls=":", lw=1.1)
    for (model, site, *recipe), of in table.groupby(s.GROUP, sort=True):
        colour, (marker, dashes) = colours[(model, site)], looks[tuple(recipe)]
        mean = of.groupby("d_sae")[metric].mean()
        axis.plot(mean.index, mean, color=colour, ls=dashes, lw=1.1)
        axis.scatter(
            of["d_sae"], of[metric], marker=marker, color=colour, s=14, lw=0.3, ec="white", zorder=3
        )
    s.finish(axis)
