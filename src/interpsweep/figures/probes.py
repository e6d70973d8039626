"""Absorption of labelled concepts as probes see it, by width, beside random linear concepts.

There is a panel for each measure that was taken.
"""

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
_MEASURES = {
    "full": "absorbed (projection)",
    "ablated": "absorbed (ablation)",
    "fraction": "absorbed fraction",
    "main": "main latents of a value",
}


def table(sources: Sources) -> pd.DataFrame:
    """One row per SAE and value of a concept."""
    found = stacked(sources.get("probe", []), "values.parquet")
    if found.empty:
        return found
    return found.sort_values([*_FAMILY, "concept", "value"], ignore_index=True)


def draw(table: pd.DataFrame, style: FigureStyle) -> Figure:
    """Every measure by width; values of the widest SAEs, and both methods there if both are."""
    counted = table[table["counts"]]
    common = counted.groupby("concept")["value"].nunique().sort_values(kind="stable")
    concepts = sorted(common.index[-_CONCEPTS:])
    colours = s.categorical(concepts)
    shown = counted[counted["concept"].isin(concepts)]
    measures = [name for name in _MEASURES if shown[name].notna().any()]
    if shown.empty or measures == ["main"]:
        return s.notice(style, "no probe of any value\nis good enough to count")
    whole = [name for name in ("full", "ablated") if name in measures]
    pairs = [("f1_first", name) for name in whole[:1]] + [tuple(whole)] * (len(whole) == 2)
    n = len(measures) + len(pairs)
    columns = 3 if n > 4 else 2
    figure, axes = s.panels(style, n, columns, 0.4 + 0.15 * columns)
    for axis, name in zip(axes, measures, strict=False):
        _by_width(axis, shown, colours, name)
    widest = shown[shown["d_sae"] == shown["d_sae"].max()]
    for axis, (x, y) in zip(axes[len(measures) :], pairs, strict=True):
        _values(axis, widest, colours, style, x, y)
    marks = [
        Line2D([], [], color=colour, marker="o", label=s.plain(name))
        for name, colour in colours.items()
    ]
    marks.append(Line2D([], [], color=s.GREY, ls="--", label="random directions"))
    figure.legend(handles=marks, loc="outside lower center", ncols=min(5, len(marks)))
    return figure


def _by_width(axis: Axes, shown: pd.DataFrame, colours: dict, column: str) -> None:
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
    axis.set_ylabel(_MEASURES[column])
    axis.set_ylim(bottom=0)
    s.finish(axis)


def _values(
    axis: Axes, widest: pd.DataFrame, colours: dict, style: FigureStyle, x: str, y: str
) -> None:
    """Each value of the widest SAEs: how well its first latent finds it, and what is absorbed."""
    at = ["concept", "value", "label"]
    means = widest.groupby(at)[[x, y]].mean().dropna().reset_index()
    if x in _MEASURES:
        axis.axline((0, 0), slope=1, color=s.GREY, lw=0.8, zorder=0)
    for concept, of in means.groupby("concept"):
        axis.plot(of[x], of[y], "o", color=colours[concept], ms=4, mew=0, alpha=0.8)
    most = means.sort_values(y, kind="stable").tail(_LABELS)
    most = most[most[y] > 0]
    for label, right, up in zip(most["label"], most[x], most[y], strict=True):
        axis.annotate(
            s.plain(label, 14), (right, up), xytext=(3, 2),
            textcoords="offset points", fontsize=style.font_size * 0.7, color="#444444",
        )  # fmt: skip
    if x == "f1_first":
        axis.set_xlim(-0.03, 1.03)
    else:
        axis.set_xlim(left=-0.01)
    axis.set_ylim(bottom=-0.01)
    axis.set_xlabel(_MEASURES.get(x, "F1 of the first main latent"))
    axis.set_ylabel(_MEASURES[y])
    s.finish(axis)
