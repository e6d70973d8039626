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
    """Rows: metrics; columns: sites. One mark per SAE, lines join the means over seeds."""
    metrics = [m for m in _SHOWN if table[m].notna().any()]
    sites = s.evenly(s.order_sites(table), 4)
    if not metrics:
        return s.notice(style, "Neither explained variance nor recovered loss was measured.")
    aspect = {1: 0.55, 2: 0.72, 3: 0.95}.get(len(sites), 1.2)
    aspect *= 0.7 if _one_sparsity(table) else 1.0
    count = len(metrics) * len(sites)
    figure, axes = s.panels(style, count, len(sites), aspect, sharey="row", sharex=True)
    colours = s.ramp(sorted(table["d_sae"].unique()))
    looks = s.looks(sorted(table["architecture"].unique()))
    several = table["model"].nunique() > 1
    for i, axis in enumerate(axes):
        metric, (model, site) = metrics[i // len(sites)], sites[i % len(sites)]
        of = table[(table.model == model) & (table.site == site)].dropna(subset=[metric])
        _panel(axis, of, metric, colours, looks)
        if i < len(sites):
            axis.set_title(s.site_title(model, site, several))
        if i % len(sites) == 0:
            axis.set_ylabel(TITLES[metric].replace(" ", "\n", 1))
    _sparsity_axis(axes, table)
    figure.supxlabel(TITLES["l0"], fontsize=style.font_size)
    s.legend_outside(figure, _legend(colours, looks))
    return figure


def _panel(axis: Axes, of: pd.DataFrame, metric: str, colours: dict, looks: dict) -> None:
    if of.empty:
        s.say(axis, "not measured")
    for (architecture, width), line in of.groupby(["architecture", "d_sae"], sort=True):
        marker, dashes = looks[architecture]
        axis.scatter(
            line["l0"], line[metric], marker=marker, s=18, color=colours[width], ec="white", lw=0.4
        )
        mean = line.groupby("sparsity")[["l0", metric]].mean().sort_values("l0")
        axis.plot(mean["l0"], mean[metric], color=colours[width], ls=dashes, lw=1.0, zorder=0)
    s.finish(axis)


def _one_sparsity(table: pd.DataFrame) -> bool:
    """Whether all L0 are about the same, so that there is no trade-off to see."""
    return bool(table["l0"].max() - table["l0"].min() < 0.05 * table["l0"].max())


def _sparsity_axis(axes: list[Axes], table: pd.DataFrame) -> None:
    """The shared axis: logarithmic over a wide range; around the one L0 where there is one."""
    low, high = float(table["l0"].min()), float(table["l0"].max())
    if _one_sparsity(table):
        axes[0].set_xlim(0.9 * low, 1.1 * high)
        axes[0].set_xticks([round((low + high) / 2, 2)])
    elif low > 0 and high / low > 8:
        axes[0].set_xlim(low / 1.3, high * 1.3)
        for axis in axes:
            s.log_ticks(axis, "x")


def _legend(colours: dict, looks: dict) -> list[Line2D]:
    marks = [
        Line2D([], [], color=c, marker="o", lw=0, label=f"{s.count(w)} latents")
        for w, c in colours.items()
    ]
    if len(looks) > 1:
        marks += [
            Line2D([], [], color="#555555", marker=m, ls=d, lw=1.0, label=s.plain(a))
            for a, (m, d) in looks.items()
        ]
    return marks
