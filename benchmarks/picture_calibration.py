"""The picture of docs/calibration.md: how often the census errs where nothing is there."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from interpsweep.config.pictures import FigureStyle
from interpsweep.figures import style as s

NOMINAL = 0.05


def draw(table: pd.DataFrame, style: FigureStyle) -> Figure:
    """Left: share of families with a false claim. Right: share of single tests below the level.

    One row per structureless kind: runs, families with a false claim, size of p.
    """
    figure, axes = s.panels(style, 2, 2, aspect=0.62, sharey=True)
    names, place = table["kind"].tolist()[::-1], np.arange(len(table))
    rows = table.iloc[::-1]
    _points(axes[0], place, rows["share"], rows["share_low"], rows["share_high"])
    axes[0].set_xlabel("families with false claims")
    _points(axes[1], place, rows["p05"], rows["p05_low"], rows["p05_high"])
    axes[1].set_xlabel("tests with p ≤ .05")
    axes[0].set_yticks(place, names)
    for axis in axes:
        s.finish(axis)
    marks = [
        Line2D([], [], color=s.BLUE, marker="o", label="measured, 95% interval"),
        Line2D([], [], color=s.GREY, ls="--", label="nominal"),
    ]
    s.legend_outside(figure, marks)
    return figure


def _points(
    axis: Axes, place: np.ndarray, value: pd.Series, low: pd.Series, high: pd.Series
) -> None:
    axis.axvline(NOMINAL, color=s.GREY, ls="--", lw=0.9)
    axis.hlines(place, low, high, color=s.BLUE, lw=1.2)
    axis.plot(value, place, "o", color=s.BLUE)
    axis.set_xlim(-0.004, max(0.12, float(np.nanmax(high)) * 1.1))
    axis.set_ylim(-0.6, len(place) - 0.4)
