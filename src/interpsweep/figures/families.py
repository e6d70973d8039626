"""What becomes of latents from one width to the next, beside what two seeds of a width give."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from interpsweep.config.pictures import FigureStyle
from interpsweep.figures import style as s
from interpsweep.figures.sources import Sources, stacked

MISSING = "No tree in this sweep: a tree needs at least two widths of one family."

_COLUMNS = ["layer", "seed", "level", "d_narrow", "d_wide", "type", "count", "fraction",
            "fraction_mean", "fraction_sd", "seeds"]  # fmt: skip
_CONTROL = ["horizontal", "horizontal_low", "horizontal_high", "controls"]


def table(sources: Sources) -> pd.DataFrame:
    """One row per family, width step and relation, with mean and deviation over seeds, and the mean
    and interval of the same share between seeds of the wide width.
    """
    families = stacked(sources.get("claims", []), "families")
    if families.empty:
        return families
    families = families[~families["type"].isin(("root", "rare"))]
    families = families[[c for c in (*s.GROUP, *_COLUMNS) if c in families.columns]]
    control = stacked(sources.get("claims", []), "relations")
    if control.empty:
        families[_CONTROL] = np.nan
    else:
        step = [*s.GROUP, "d_narrow", "d_wide", "type"]
        control = control[control["statistic"].str.startswith("share_")]
        control = control.assign(type=control["statistic"].str.removeprefix("share_"))
        families = families.merge(control[[*step, *_CONTROL]], how="left", on=step)
    return families.sort_values([*s.GROUP, "level", "type", "seed"], ignore_index=True)


def draw(table: pd.DataFrame, style: FigureStyle) -> Figure:
    """Up to six groups: one panel each. More: shares against layer, one panel per width step."""
    if len(s.order_sites(table)) > 6 and table["layer"].nunique() > 6:
        return _by_layer(table, style)
    groups = s.evenly(s.order_groups(table), min(6, style.max_panels))
    types = _types(table)
    columns = min(3, len(groups))
    aspect = max(0.5, 0.055 * len(types) * columns + 0.28)
    figure, axes = s.panels(style, len(groups), columns, aspect, sharex=True, sharey=True)
    steps = sorted({*zip(table.d_narrow, table.d_wide, strict=True)})
    colours = s.ramp(steps)
    for i, (axis, group) in enumerate(zip(axes, groups, strict=True)):
        of = s.in_group(table, group)
        _panel(axis, of, types, steps, colours)
        axis.set_title(s.group_title(table, group))
        if i >= len(groups) - columns:
            axis.set_xlabel("share of live wide latents")
    marks = [
        Line2D(
            [], [], color=colours[p], marker="o", lw=1.2, label=f"{s.count(p[0])} → {s.count(p[1])}"
        )
        for p in steps
    ]
    if table["horizontal"].notna().any():
        marks.append(Line2D([], [], color=s.INK, marker="D", ls="", mfc="white", ms=4,
                            label="two seeds,\nwide width"))  # fmt: skip
    s.legend_outside(figure, marks, "width step")
    return figure


def _types(table: pd.DataFrame) -> list[str]:
    return [t for t in s.EDGE_COLOURS if t in set(table["type"])]


def _panel(axis: Axes, of: pd.DataFrame, types: list[str], steps: list, colours: dict) -> None:
    for j, step in enumerate(steps):
        rows = of[(of.d_narrow == step[0]) & (of.d_wide == step[1])]
        shift = (j - (len(steps) - 1) / 2) * min(0.2, 0.7 / len(steps))
        mean = rows.drop_duplicates("type").set_index("type")
        for i, kind in enumerate(types):
            if kind not in mean.index:
                continue
            seeds = rows.loc[rows["type"] == kind, "fraction"]
            axis.plot(seeds, [i + shift] * len(seeds), ".", color=colours[step], ms=2.5, alpha=0.6)
            centre, spread = mean.loc[kind, "fraction_mean"], mean.loc[kind, "fraction_sd"]
            if pd.notna(spread):
                axis.plot([centre - spread, centre + spread], [i + shift] * 2, color=colours[step])
            axis.plot(centre, i + shift, "o", color=colours[step], ms=4.5, mec="white", mew=0.4)
            control = mean.loc[kind, "horizontal"]
            axis.plot(control, i + shift, "D", mfc="none", mec=colours[step], ms=4, mew=0.9)
    axis.set_yticks(range(len(types)), [s.words(t) for t in types])
    axis.set_ylim(len(types) - 0.5, -0.5)
    axis.set_xlim(left=-0.02)
    axis.grid(axis="y", color="#EEEEEE", lw=0.6)
    axis.tick_params(axis="y", length=0)
    s.finish(axis)


def _by_layer(table: pd.DataFrame, style: FigureStyle) -> Figure:
    steps = s.evenly(sorted({*zip(table.d_narrow, table.d_wide, strict=True)}), 4)
    columns = min(2, len(steps))
    figure, axes = s.panels(style, len(steps), columns, 0.7, sharey=True)
    types = _types(table)
    for i, (axis, step) in enumerate(zip(axes, steps, strict=True)):
        of = table[(table.d_narrow == step[0]) & (table.d_wide == step[1])]
        for kind in types:
            by_layer = of[of["type"] == kind].groupby("layer")
            mean, spread = by_layer["fraction"].mean(), by_layer["fraction"].std().fillna(0)
            colour = s.EDGE_COLOURS[kind]
            axis.plot(mean.index, mean, color=colour)
            control = by_layer["horizontal"].mean()
            axis.plot(control.index, control, color=colour, ls=":", lw=1)
            axis.fill_between(
                mean.index, mean - spread, mean + spread, color=colour, alpha=0.2, lw=0
            )
        axis.set_title(f"{s.count(step[0])} → {s.count(step[1])}")
        if i >= len(steps) - columns:
            axis.set_xlabel("layer")
        if i % columns == 0:
            axis.set_ylabel("share of live wide latents")
        s.finish(axis)
    marks = [Line2D([], [], color=s.EDGE_COLOURS[t], label=s.words(t)) for t in types]
    if table["horizontal"].notna().any():
        marks.append(Line2D([], [], color=s.INK, ls=":", lw=1, label="two seeds,\nwide width"))
    s.legend_outside(figure, marks, "relation")
    return figure
