"""Similarity of dictionaries across widths (vertical) and seeds (horizontal), with nulls."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from interpsweep.config.pictures import FigureStyle
from interpsweep.figures import style as s
from interpsweep.figures.sources import Source, Sources

MISSING = "No two dictionaries of this site were matched: it has one width and one seed."

_ENDS = ("d_sae", "seed")
_COLUMNS = ("architecture", "sparsity", "direction", "a_d_sae", "a_seed", "b_d_sae", "b_seed")


def table(sources: Sources) -> pd.DataFrame:
    """One row per ordered pair of SAEs (both directions of every match) with MMCS and nulls."""
    rows = [row for source in sources.get("match", []) for row in _rows(source)]
    if not rows:
        return pd.DataFrame()
    nulls = dict.fromkeys(("null_rotated", "null_covariance"), float)  # None where none was drawn
    return pd.DataFrame(rows).astype(nulls).sort_values([*_COLUMNS], ignore_index=True)


def _rows(source: Source) -> list[dict[str, Any]]:
    at, summary = source.coordinates, source.json("summary.json")
    if at.get("direction") not in ("width", "skip", "seed") or not summary:
        return []
    recipe = {key: at["a"][key] for key in ("architecture", "sparsity")}
    found = []
    for first, second in (("a", "b"), ("b", "a")):
        way = f"mmcs_{first}{second}"
        ends = {
            f"{side}_{key}": at[end][key]
            for side, end in (("a", first), ("b", second))
            for key in _ENDS
        }
        found.append(
            {
                **recipe,
                "direction": at["direction"],
                **ends,
                "mmcs": summary[way],
                "null_rotated": summary["null_rotated"][way],
                "null_covariance": summary["null_covariance"][way],
                "mcc": summary["mcc"],
                "p_mmcs_covariance": summary.get("p_mmcs_covariance"),
            }
        )
    return found


def draw(table: pd.DataFrame, style: FigureStyle) -> Figure:
    """Left: the matrix over dictionaries. Right: both directions against width, with nulls."""
    recipes = list(table.groupby(["architecture", "sparsity"], sort=True).groups)
    shown = s.evenly(recipes, max(1, min(4, style.max_panels // 2)))
    figure, axes = s.panels(style, 2 * len(shown), 2, aspect=0.85)
    for i, recipe in enumerate(shown):
        of = table[(table.architecture == recipe[0]) & (table.sparsity == recipe[1])]
        _matrix(axes[2 * i], of, style)
        _lines(axes[2 * i + 1], of)
        if len(recipes) > 1:
            axes[2 * i].set_title(s.plain(f"{recipe[0]}, sparsity {recipe[1]}"))
    marks = [
        Line2D([], [], color=s.BLUE, marker="o", ls="", label="another seed, same width"),
        Line2D([], [], color=s.RED, marker="^", ls="", label="same seed, next wider"),
        Line2D([], [], color=s.GREY, marker="_", ls="", mew=2, label="null: same covariance"),
        Line2D([], [], color=s.PALE, marker="_", ls="", mew=2, label="null: rotated"),
    ]
    figure.legend(handles=marks, loc="outside lower center", ncols=4, columnspacing=1.2)
    return figure


def _matrix(axis: Axes, of: pd.DataFrame, style: FigureStyle) -> None:
    ends = sorted(
        {*zip(of.a_d_sae, of.a_seed, strict=True), *zip(of.b_d_sae, of.b_seed, strict=True)}
    )
    place = {end: i for i, end in enumerate(ends)}
    grid = np.full((len(ends), len(ends)), np.nan)
    for row in of.itertuples():
        grid[place[row.a_d_sae, row.a_seed], place[row.b_d_sae, row.b_seed]] = row.mmcs
    names = [f"{s.count(w)} · s{seed}" for w, seed in ends]
    few = len(ends) <= 8
    sns.heatmap(
        grid,
        ax=axis,
        vmin=0,
        vmax=1,
        cmap="mako_r",
        square=True,
        annot=few,
        fmt=".2f",
        annot_kws={"size": style.font_size * 0.75},
        linewidths=0.5,
        cbar_kws={"label": "mean max cosine, row to column", "shrink": 0.8},
        xticklabels=names if len(ends) <= 24 else False,
        yticklabels=names if len(ends) <= 24 else False,
    )
    axis.set_facecolor("#F2F2F2")
    axis.tick_params(length=0, labelsize=style.font_size * (0.8 if few else 0.6))
    axis.tick_params(axis="x", rotation=90)
    axis.tick_params(axis="y", rotation=0)


def _lines(axis: Axes, of: pd.DataFrame) -> None:
    """Each pair once, at the width of the narrower side, from narrow to wide."""
    seeds = of[(of.direction == "seed") & (of.a_seed < of.b_seed)]
    steps = of[(of.direction == "width") & (of.a_d_sae < of.b_d_sae)]
    for rows, colour, mark, shift in ((seeds, s.BLUE, "o", 0.93), (steps, s.RED, "^", 1.07)):
        at = rows.a_d_sae * shift
        axis.plot(at, rows.mmcs, mark, color=colour, mec="white", mew=0.4, zorder=3)
        mean = rows.groupby("a_d_sae")["mmcs"].mean()
        axis.plot(mean.index * shift, mean, color=colour, lw=1)
        axis.plot(at, rows.null_covariance, "_", color=s.GREY, mew=1.6, ms=9)
        axis.plot(at, rows.null_rotated, "_", color=s.PALE, mew=1.6, ms=9)
    axis.set_ylim(0, 1.03)
    axis.set_ylabel("mean max cosine")
    s.width_axis(axis, of.a_d_sae.tolist(), "width of the narrower dictionary")
    s.finish(axis)
