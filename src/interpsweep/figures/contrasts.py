"""What a width step shares against what two seeds share: each statistic with its control."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from interpsweep.config.pictures import FigureStyle
from interpsweep.figures import style as s
from interpsweep.figures.sources import Sources, stacked

MISSING = "No step in width was matched: contrasts need two widths of one family."

_SHOWN = {
    "mmcs_ab": "mean cosine,\nnarrow in wide",
    "mmcs_ba": "mean cosine,\nwide in narrow",
    "mcc": "mean cosine,\none to one",
    "shared_share": "share with\none partner",
    "novel_share": "share novel\nby effect",
}
_ROWS = 16  # most steps drawn
_STEP = ["a_d_sae", "b_d_sae"]


def table(sources: Sources) -> pd.DataFrame:
    """One row per site, recipe, step in width and statistic."""
    found = stacked(sources.get("claims", []), "contrasts")
    if found.empty:
        return found
    found = found[found["statistic"].isin(_SHOWN)]
    return found.sort_values([*s.GROUP, *_STEP, "statistic"], ignore_index=True)


def draw(table: pd.DataFrame, style: FigureStyle) -> Figure:
    """One panel per statistic, one line per site and step."""
    steps = [
        (group, step)
        for group in s.order_groups(table)
        for step in sorted(s.in_group(table, group).groupby(_STEP).groups)
    ]
    steps = s.evenly(steps, _ROWS)
    shown = [name for name in _SHOWN if name in set(table["statistic"])]
    aspect = (0.16 * len(steps) + 0.7) * len(shown) / 5
    figure, axes = s.panels(style, len(shown), len(shown), aspect, sharey=True)
    for axis, statistic in zip(axes, shown, strict=True):
        _panel(axis, table[table["statistic"] == statistic], steps)
        axis.set_title(_SHOWN[statistic], fontsize=style.font_size * 0.85)
    axes[0].set_yticks(range(len(steps)), [_name(table, *step) for step in steps])
    axes[0].set_ylim(len(steps) - 0.5, -0.5)
    marks = [
        Line2D([], [], color=s.BLUE, marker="o", ls="", label="two seeds of one width"),
        Line2D([], [], color=s.RED, marker="^", ls="", label="next wider, same seed"),
        Line2D([], [], color=s.RED, lw=2.2, alpha=0.35, label="95% interval of the difference"),
    ]
    figure.legend(handles=marks, loc="outside lower center", ncols=3, columnspacing=1.2)
    return figure


def _panel(axis: Axes, of: pd.DataFrame, steps: list) -> None:
    for y, (group, step) in enumerate(steps):
        rows = s.in_group(of, group)
        rows = rows[(rows[_STEP] == list(step)).all(axis=1)]
        if rows.empty:
            continue
        row = rows.iloc[0]
        if pd.notna(row["low"]):
            ends = [row["horizontal"] + row["low"], row["horizontal"] + row["high"]]
            axis.plot(ends, [y, y], color=s.RED, lw=2.2, alpha=0.35, solid_capstyle="butt")
        axis.plot([row["horizontal"], row["vertical"]], [y, y], color=s.GREY, lw=0.9)
        axis.plot(row["horizontal"], y, "o", color=s.BLUE, mec="white", mew=0.4)
        axis.plot(row["vertical"], y, "^", color=s.RED, mec="white", mew=0.4)
    axis.set_xlim(-0.03, 1.03)
    axis.set_xticks([0, 0.5, 1], ["0", ".5", "1"])
    axis.grid(axis="y", color="#EEEEEE", lw=0.6)
    axis.tick_params(axis="y", length=0)
    s.finish(axis)


def _name(table: pd.DataFrame, group: tuple, step: tuple[int, int]) -> str:
    return f"{s.group_title(table, group)}  {s.count(step[0])} → {s.count(step[1])}"
