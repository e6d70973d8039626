"""The picture of docs/calibration.md: what the census finds where something is there."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from interpsweep.config.pictures import FigureStyle
from interpsweep.figures import style as s


def draw(table: pd.DataFrame, style: FigureStyle) -> Figure:
    """Power over noise by shape, over the size of a circle, and over tokens.

    One row per planted case: shape, size, noise, tokens, and the share of runs that find it, with
    its exact 95% interval.
    """
    figure, axes = s.panels(style, 3, 3, aspect=0.95, sharey=True)
    alone = table[table["tokens"] == 0]
    coded = table[(table["tokens"] > 0) & (table["shape"] == "circle")]
    simplex = table["shape"] == "simplex"  # found by what its latents fire on: it needs tokens
    noisy = table[(table["size"] == 12) & ((table["tokens"] == 0) | simplex)]
    for place, (shape, of) in enumerate(noisy.groupby("shape", sort=False)):
        _curve(axes[0], of, "noise", s.SHAPE_COLOURS[str(shape)], place=place)
    axes[0].set_xlabel("noise / radius\n(12 directions)")
    sized = alone[(alone["shape"] == "circle") & (alone["noise"] == 0.3)].sort_values("size")
    _curve(axes[1], sized, "size", s.SHAPE_COLOURS["circle"])
    axes[1].set_xlabel("directions on a circle\n(noise 0.3)")
    looks = s.looks(sorted(coded["size"].unique()))
    for place, (size, of) in enumerate(coded.groupby("size")):
        of = of.sort_values("tokens")
        _curve(axes[2], of, "tokens", s.SHAPE_COLOURS["circle"], looks[size], 2 * place)
    axes[2].set_xscale("log", base=2)
    axes[2].set_xticks(
        sorted(coded["tokens"].unique()), map(s.count, sorted(coded["tokens"].unique()))
    )
    axes[2].minorticks_off()
    axes[2].set_xlabel("tokens (circle gathered\nby its surroundings)")
    axes[0].set_ylabel("share of runs")
    for axis in axes:
        axis.set_ylim(-0.03, 1.03)
        s.finish(axis)
    marks = [
        Line2D([], [], color=s.SHAPE_COLOURS[str(k)], marker="o", label=str(k))
        for k in noisy["shape"].unique()
    ]
    marks += [
        Line2D([], [], color="#555555", marker=m, ls=d, label=f"{size} values")
        for size, (m, d) in looks.items()
    ]
    marks += [
        Line2D([], [], color="#555555", lw=1.3, label="claimed and named"),
        Line2D([], [], color="#555555", lw=0.8, ls=":", label="gathered in a cluster"),
    ]
    s.legend_outside(figure, marks)
    return figure


def _curve(
    axis: Axes,
    of: pd.DataFrame,
    along: str,
    colour: str,
    look: tuple = ("o", "-"),
    place: int = 0,
) -> None:
    """One curve, a little to the right of the one in the place before, with its intervals."""
    marker, dashes = look
    at = of[along] * (1 + 0.03 * place)
    axis.plot(at, of["gathered"], color=colour, lw=0.8, ls=":")
    axis.vlines(at, of["named_low"], of["named_high"], color=colour, lw=0.8)
    axis.plot(at, of["named"], color=colour, marker=marker, ls=dashes)
