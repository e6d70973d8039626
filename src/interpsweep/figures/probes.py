"""Absorption of labelled concepts as probes see it, by width, beside random linear concepts."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from interpsweep.config.pictures import FigureStyle
from interpsweep.figures import style as s
from interpsweep.figures.sources import Sources, stacked

MISSING = "No value of a labelled concept was probed at this site."

_CONCEPTS = 8  # most that are drawn, those with most values
_LABELS = 8  # values named in the scatter
_FAMILY = ["architecture", "sparsity", "seed", "d_sae"]


def table(sources: Sources) -> pd.DataFrame:
    """One row per SAE and value of a concept."""
    found = stacked(sources.get("probe", []), "values.parquet")
    if found.empty:
        return found
    return found.sort_values([*_FAMILY, "concept", "value"], ignore_index=True)


def draw(table: pd.DataFrame, style: FigureStyle) -> Figure:
    """Full absorption, absorbed fraction and main latents by width; values of the widest SAEs."""
    figure, axes = s.panels(style, 4, 2, 0.7)
    counted = table[table["counts"]]
    common = counted.groupby("concept")["value"].nunique().sort_values(kind="stable")
    concepts = sorted(common.index[-_CONCEPTS:])
    colours = s.categorical(concepts)
    shown = counted[counted["concept"].isin(concepts)]
    if shown.empty:
        return s.notice(style, "no probe of any value\nis good enough to count")
    _by_width(axes[0], shown, colours, "full", "share fully absorbed")
    _by_width(axes[1], shown, colours, "fraction", "mean fraction absorbed")
    _by_width(axes[2], shown, colours, "main", "main latents of a value")
    _values(axes[3], shown[shown["d_sae"] == shown["d_sae"].max()], colours, style)
    marks = [
        Line2D([], [], color=colour, marker="o", label=s.plain(name))
        for name, colour in colours.items()
    ]
    marks.append(Line2D([], [], color=s.GREY, ls="--", label="random directions"))
    figure.legend(handles=marks, loc="outside lower center", ncols=min(5, len(marks)))
    return figure


def _by_width(axis: Axes, shown: pd.DataFrame, colours: dict, column: str, label: str) -> None:
    """Means over the values of each concept, and over SAEs of a width."""
    widths = shown["d_sae"].tolist()
    for concept, of in shown.groupby("concept"):
        means = of.groupby(_FAMILY)[column].mean().reset_index()
        axis.plot(
            means["d_sae"], means[column], "o", color=colours[concept], alpha=0.4, ms=3, mew=0
        )
        line = means.groupby("d_sae")[column].mean()
        axis.plot(line.index, line, color=colours[concept], marker="o", ms=3.5)
    if f"{column}_null" in shown:
        null = shown.groupby("d_sae")[f"{column}_null"].mean()
        axis.plot(null.index, null, "--", color=s.GREY)
    s.width_axis(axis, widths)
    axis.set_ylabel(label)
    axis.set_ylim(bottom=0)
    s.finish(axis)


def _values(axis: Axes, widest: pd.DataFrame, colours: dict, style: FigureStyle) -> None:
    """Each value of the widest SAEs: how well its first latent finds it, and what is absorbed."""
    at = ["concept", "value", "label"]
    means = widest.groupby(at)[["f1_first", "full"]].mean().reset_index()
    for concept, of in means.groupby("concept"):
        axis.plot(of["f1_first"], of["full"], "o", color=colours[concept], ms=4, mew=0, alpha=0.8)
    most = means.sort_values("full", kind="stable").tail(_LABELS)
    most = most[most["full"] > 0]
    for row in most.itertuples():
        axis.annotate(
            s.plain(row.label, 14), (row.f1_first, row.full), xytext=(3, 2),
            textcoords="offset points", fontsize=style.font_size * 0.7, color="#444444",
        )  # fmt: skip
    axis.set_xlim(-0.03, 1.03)
    axis.set_ylim(bottom=-0.01)
    axis.set_xlabel("F1 of the first main latent")
    axis.set_ylabel("share fully absorbed")
    s.finish(axis)
