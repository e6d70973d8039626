"""Families of trees in space: siblings in the dendrogram, and their differences, beside nulls."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from interpsweep.config.pictures import FigureStyle
from interpsweep.figures import style as s
from interpsweep.figures.sources import Sources, stacked

MISSING = "No step in width has two families with siblings: there is nothing to compare."

_ROWS = 16  # most steps drawn, those of all seeds as one
_LEVEL = 0.05
_STEP = ["d_narrow", "d_wide"]
_KEYS = [*s.GROUP, "seed", *_STEP]
# measure -> (title, chance or NaN)
_PANELS = {
    "triplets": ("siblings joined first\n(share of triplets)", 1 / 3),
    "cophenetic": ("one parent and joined low\n(correlation)", 0.0),
    "parallelograms": ("differences of siblings\n(largest |cosine|)", np.nan),
}


def table(sources: Sources) -> pd.DataFrame:
    """One row per step and measure: its value, its mean under the null, and the p."""
    claims = sources.get("claims", [])
    joined = stacked(claims, "dendrograms")
    analogous = stacked(claims, "parallelograms")
    parts = []
    for name in ("triplets", "cophenetic"):
        if len(joined):
            parts.append(_named(joined, name, name, f"{name}_beside", f"{name}_beside_p"))
    if len(analogous):
        parts.append(_named(analogous, "parallelograms", "score", "score_null", "score_p"))
    found = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()
    if found.empty:
        return found
    return found.dropna(subset=["value"]).sort_values([*_KEYS, "measure"], ignore_index=True)


def _named(found: pd.DataFrame, measure: str, value: str, null: str, p: str) -> pd.DataFrame:
    columns = {value: "value", null: "null", p: "p"}
    return found[[*_KEYS, *columns]].rename(columns=columns).assign(measure=measure)


def draw(table: pd.DataFrame, style: FigureStyle) -> Figure:
    """One panel per measure, one line per step."""
    lines = [
        (group, step)
        for group in s.order_groups(table)
        for step in sorted(s.in_group(table, group).groupby(_STEP).groups)
    ]
    lines = s.evenly(lines, _ROWS)
    shown = [name for name in _PANELS if name in set(table["measure"])]
    aspect = (0.12 * len(lines) + 0.5) * len(shown) / 3
    figure, axes = s.panels(style, len(shown), len(shown), aspect, sharey=True)
    for axis, name in zip(axes, shown, strict=True):
        title, chance = _PANELS[name]
        of = table[table["measure"] == name]
        for y, (group, step) in enumerate(lines):
            rows = s.in_group(of, group)
            _line(axis, y, rows[(rows[_STEP] == list(step)).all(axis=1)])
        axis.axvline(chance, color=s.INK, lw=0.7, ls=":")
        axis.set_title(title, fontsize=style.font_size * 0.85)
        axis.margins(x=0.1)
        if name == "parallelograms":  # differences of a hundredth are small
            axis.set_xlim(left=0)
        axis.grid(axis="y", color="#EEEEEE", lw=0.6)
        axis.tick_params(axis="y", length=0)
        s.finish(axis)
    axes[0].set_yticks(range(len(lines)), [_name(table, *line) for line in lines])
    axes[0].set_ylim(len(lines) - 0.5, -0.5)
    green = [
        Line2D([], [], color=s.GREEN, marker="o", mfc=fill, ls="", label=label)
        for fill, label in ((s.GREEN, "beyond the null in every seed"), ("white", "not in every"))
    ]
    marks = [
        *green,
        Line2D([], [], color=s.GREY, marker="D", ls="", label="null"),
        Line2D([], [], color=s.INK, lw=0.7, ls=":", label="parents permuted"),
    ]
    figure.legend(handles=marks, loc="outside lower center", ncols=4, columnspacing=1.2)
    return figure


def _line(axis: Axes, y: int, rows: pd.DataFrame) -> None:
    if rows.empty:
        return
    mean, null = rows["value"].mean(), rows["null"].mean()
    axis.plot([null, mean], [y, y], color=s.GREY, lw=0.9)
    axis.plot(rows["value"], np.full(len(rows), y), ".", color=s.GREEN, ms=3, alpha=0.6)
    axis.plot(null, y, "D", color=s.GREY, ms=3.5)
    clear = (rows["p"] <= _LEVEL).all()
    axis.plot(mean, y, "o", mec=s.GREEN, mfc=s.GREEN if clear else "white", ms=5, mew=0.9)


def _name(table: pd.DataFrame, group: tuple, step: tuple[int, int]) -> str:
    title = s.group_title(table, group).replace("\n", ", ")
    return f"{title}  {s.count(step[0])} → {s.count(step[1])}"
