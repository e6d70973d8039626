"""Explained variance and dead features against dictionary width, seeds as points."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from interpsweep.config.pictures import FigureStyle
from interpsweep.figures import style as s
from interpsweep.figures.metrics import TITLES, saes_table
from interpsweep.figures.sources import Sources

MISSING = "No SAE has been evaluated in this sweep."

_SHOWN = ("explained_variance", "dead_fraction")
_DASHES = ("-", "--", ":", "-.")


def table(sources: Sources) -> pd.DataFrame:
    """One row per SAE: coordinates, explained variance, share of dead features."""
    return saes_table(sources, _SHOWN, required="explained_variance")


def draw(table: pd.DataFrame, style: FigureStyle) -> Figure:
    """Two panels; colour is the site, line style the architecture and sparsity."""
    metrics = [m for m in _SHOWN if table[m].notna().any()]
    figure, axes = s.panels(style, len(metrics), 2, aspect=0.72)
    sites = s.order_sites(table)
    colours = s.categorical(sites) if len(sites) <= 6 else s.ramp(sites)
    recipes = list(table.groupby(["architecture", "sparsity"], sort=True).groups)
    dashes = {recipe: _DASHES[i % len(_DASHES)] for i, recipe in enumerate(recipes)}
    for axis, metric in zip(axes, metrics, strict=True):
        _panel(axis, table, metric, colours, dashes)
        axis.set_ylabel(TITLES[metric])
        s.width_axis(axis, table["d_sae"].tolist())
        if metric == "dead_fraction":
            axis.set_ylim(-0.02, max(0.1, float(table[metric].max()) * 1.1))
    several = table["model"].nunique() > 1
    marks = [
        Line2D([], [], color=colours[pair], label=s.site_title(pair[0], pair[1], several))
        for pair in s.evenly(sites, 8)
    ]
    if len(recipes) > 1:
        marks += [
            Line2D([], [], color="#555555", ls=dashes[r], label=s.plain(f"{r[0]} {r[1]}"))
            for r in recipes[: len(_DASHES)]
        ]
    s.legend_outside(figure, marks)
    return figure


def _panel(axis: Axes, table: pd.DataFrame, metric: str, colours: dict, dashes: dict) -> None:
    keys = ["model", "site", "architecture", "sparsity"]
    for (model, site, *recipe), of in table.groupby(keys, sort=True):
        colour = colours[(model, site)]
        mean = of.groupby("d_sae")[metric].mean()
        axis.plot(mean.index, mean, color=colour, ls=dashes[tuple(recipe)], lw=1.1)
        axis.scatter(of["d_sae"], of[metric], color=colour, s=14, lw=0.3, ec="white", zorder=3)
    s.finish(axis)
