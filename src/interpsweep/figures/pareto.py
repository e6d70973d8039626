"""Explained variance and recovered loss against L0, by width and architecture."""

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

_SHOWN = ("explained_variance", "ce_recovered")


def table(sources: Sources) -> pd.DataFrame:
    """One row per SAE: coordinates, L0, explained variance, recovered cross-entropy."""
    return saes_table(sources, ("l0", *_SHOWN), required="l0")


def draw(table: pd.DataFrame, style: FigureStyle) -> Figure:
    """Rows: metrics; columns: sites. One mark per SAE, lines join sparsities of one family."""
    metrics = [m for m in _SHOWN if table[m].notna().any()]
    sites = s.evenly(s.order_sites(table), 4)
    if not metrics:
        return s.notice(style, "Neither explained variance nor recovered loss was measured.")
    aspect = {1: 0.55, 2: 0.72, 3: 0.95}.get(len(sites), 1.2)
    figure, axes = s.panels(style, len(metrics) * len(sites), len(sites), aspect, sharey="row")
    colours = s.ramp(sorted(table["d_sae"].unique()))
    shapes = dict(zip(sorted(table["architecture"].unique()), s.MARKERS, strict=False))
    several = table["model"].nunique() > 1
    for i, axis in enumerate(axes):
        metric, (model, site) = metrics[i // len(sites)], sites[i % len(sites)]
        _panel(axis, table[(table.model == model) & (table.site == site)], metric, colours, shapes)
        if i < len(sites):
            axis.set_title(s.site_title(model, site, several))
        if i % len(sites) == 0:
            axis.set_ylabel(TITLES[metric].replace(" ", "\n", 1))
    figure.supxlabel(TITLES["l0"], fontsize=style.font_size)
    s.legend_outside(figure, _legend(colours, shapes))
    return figure


def _panel(axis: Axes, of: pd.DataFrame, metric: str, colours: dict, shapes: dict) -> None:
    for (width, architecture, _), line in of.groupby(["d_sae", "architecture", "seed"], sort=True):
        line = line.sort_values("l0")
        axis.plot(
            line["l0"],
            line[metric],
            marker=shapes[architecture],
            color=colours[width],
            mec="white",
            mew=0.4,
            lw=0.9,
            alpha=0.95,
        )
    values = of["l0"]
    if values.min() > 0 and values.max() / values.min() > 8:
        s.log_ticks(axis, "x")
    if values.max() - values.min() < 0.05 * values.max():  # top-k: L0 is the same everywhere
        axis.set_xlim(values.mean() * 0.9, values.mean() * 1.1)
    s.finish(axis)


def _legend(colours: dict, shapes: dict) -> list[Line2D]:
    marks = [
        Line2D([], [], color=c, marker="o", lw=0, label=f"{s.count(w)} features")
        for w, c in colours.items()
    ]
    if len(shapes) > 1:
        marks += [
            Line2D([], [], color="#555555", marker=m, lw=0, label=s.plain(a))
            for a, m in shapes.items()
        ]
    return marks
