"""Persistence diagrams of the activation clouds with the clearest loops."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from interpsweep.config.pictures import FigureStyle
from interpsweep.figures import style as s
from interpsweep.figures.sources import Sources, stacked

MISSING = "No persistence diagram: the activation cloud of no cluster of this site was measured."

_SAE = ["architecture", "sparsity", "d_sae", "seed"]
_LEVEL = 0.05  # of the longest bar, times the number of bars
_MOST = 6  # diagrams that are drawn; the table holds all


def table(sources: Sources) -> pd.DataFrame:
    """One row per bar of dimension one: birth, death, the cluster's shape and its p of a loop.

    `longest` marks the bar that the p is of: that with the largest death / birth.
    """
    geometry = sources.get("geometry", [])
    bars = stacked(geometry, "persistence")
    if bars.empty:
        return bars
    on = [*_SAE, "cluster"]
    census = stacked(geometry, "census").drop_duplicates(on)
    clusters = census[[*on, "source", "best_model", "cloud_rows", "p_loop", "loop_power"]]
    bars = bars[[*on, "birth", "death"]].merge(clusters, on=on, how="left")
    ratio = bars["death"] / bars["birth"].where(bars["birth"] > 0)
    bars["longest"] = ratio.eq(ratio.groupby([bars[c] for c in on]).transform("max"))
    return bars.sort_values([*on, "birth", "death"], ignore_index=True)


def draw(table: pd.DataFrame, style: FigureStyle) -> Figure:
    """One diagram per cluster, those with the smallest p first."""
    keys = [*_SAE, "cluster"]
    clusters = table.drop_duplicates(keys).sort_values(["p_loop", *keys], kind="stable")
    shown = clusters.head(max(1, min(_MOST, style.max_panels)))
    figure, axes = s.panels(style, len(shown), min(3, len(shown)), aspect=0.98)
    for i, (axis, row) in enumerate(zip(axes, shown.itertuples(index=False), strict=True)):
        of = table[(table[keys] == [getattr(row, key) for key in keys]).all(axis=1)]
        _diagram(axis, of, row)
        axis.set_xlabel("birth")
        if i % 3 == 0:
            axis.set_ylabel("death")
    marks = [
        Line2D([], [], color=s.RED, marker="o", ls="", label="longest, p ≤ 0.05"),
        Line2D([], [], mec=s.RED, mfc="white", marker="o", ls="", label="longest, p > 0.05"),
        Line2D([], [], color=s.GREY, marker="o", ls="", label="other loops"),
        Line2D([], [], color=s.RED, ls="--", lw=0.9, label="same death / birth"),
    ]
    s.legend_outside(figure, marks)
    return figure


def _diagram(axis: Axes, of: pd.DataFrame, row: Any) -> None:
    p, best = row.p_loop, of[of["longest"]]
    edge = float(of["death"].max()) * 1.08
    axis.plot([0, edge], [0, edge], color="#888888", lw=0.8)
    others = of[~of["longest"]]
    axis.scatter(others["birth"], others["death"], s=10, color=s.GREY, lw=0)
    if len(best):
        ratio = float((best["death"] / best["birth"]).iloc[0])
        axis.plot([0, edge / ratio], [0, edge], color=s.RED, ls="--", lw=0.9)
        face = s.RED if p <= _LEVEL else "white"
        axis.scatter(best["birth"], best["death"], s=26, c=face, edgecolor=s.RED, zorder=3)
    said = f"loop p = {p:.2g}" if np.isfinite(p) else "no power"
    axis.set_title(f"cluster {row.cluster} of {s.count(row.d_sae)}\n{row.best_model}, {said}")
    axis.set_xlim(0, edge)
    axis.set_ylim(0, edge)
    axis.set_box_aspect(1)
    s.finish(axis)
