"""Spectrum of the decoder directions, and how many latents share a dimension."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from interpsweep.config.pictures import FigureStyle
from interpsweep.figures import style as s
from interpsweep.figures.sources import Sources, stacked

MISSING = "No spectrum: the geometry of no dictionary of this site was measured."

_SAE = ["architecture", "sparsity", "d_sae", "seed"]
# dimensions that a vertex of a polytope takes up (Elhage et al. 2022)
_POLYTOPES = {2 / 7: "heptagon", 3 / 8: "square antiprism", 2 / 5: "pentagon", 1 / 2: "digon",
              2 / 3: "triangle", 3 / 4: "tetrahedron"}  # fmt: skip
_EDGES = np.linspace(0.0, 1.0, 41)  # bins of dimensionality


def table(sources: Sources) -> pd.DataFrame:
    """Long table: ``part`` "spectrum" (x = rank, y = eigenvalue, null = random directions) or
    "dimensionality" (x = middle of a bin of D, y = share of latents, null = mean D of random
    unit vectors of the same number and dimension)."""
    geometry = sources.get("geometry", [])
    spectrum = stacked(geometry, "spectrum")
    maps = stacked(geometry, "embedding")
    if spectrum.empty:
        return spectrum
    lines = spectrum[[*_SAE, "rank", "eigenvalue", "null_eigenvalue"]].rename(
        columns={"rank": "x", "eigenvalue": "y", "null_eigenvalue": "null"}
    )
    parts = [lines.assign(part="spectrum", x=lines["x"].astype(float))]
    if not maps.empty:
        dimension = spectrum.groupby(_SAE)["rank"].max()
        parts += [_histogram(key, of, int(dimension[key])) for key, of in maps.groupby(_SAE)]
    return pd.concat(parts, ignore_index=True)[[*_SAE, "part", "x", "y", "null"]]


def _histogram(key: tuple, of: pd.DataFrame, dimension: int) -> pd.DataFrame:
    counts, _ = np.histogram(of["dimensionality"].clip(0, 1), _EDGES)
    # n random unit vectors in d dimensions: sum of squared cosines is 1 + (n - 1) / d
    null = 1.0 / (1.0 + (len(of) - 1) / dimension)
    middle = (_EDGES[1:] + _EDGES[:-1]) / 2
    share = counts / max(1, len(of))
    columns = dict(zip(_SAE, key, strict=True))
    return pd.DataFrame(
        {**columns, "part": "dimensionality", "x": middle, "y": share, "null": null}
    )


def draw(table: pd.DataFrame, style: FigureStyle) -> Figure:
    """Left: eigenvalues against rank. Right: distribution of D; dashed lines are the nulls."""
    figure, axes = s.panels(style, 2, 2, aspect=0.75)
    colours = s.ramp(sorted(table["d_sae"].unique()))
    lines = table[(table.part == "spectrum") & (table.y > 0)]
    bars = table[table.part == "dimensionality"]
    _spectrum(axes[0], lines, colours)
    if bars.empty:
        axes[1].set_visible(False)
    else:
        _dimensionality(axes[1], bars, colours)
    marks = [Line2D([], [], color=c, label=f"{s.count(w)} latents") for w, c in colours.items()]
    marks.append(Line2D([], [], color="#777777", ls="--", lw=1, label="random directions"))
    s.legend_outside(figure, marks)
    return figure


def _spectrum(axis: Axes, lines: pd.DataFrame, colours: dict) -> None:
    for (_, _, width, _), of in lines.groupby(_SAE, sort=True):
        axis.plot(of.x, of.y, color=colours[width], lw=1.1)
        axis.plot(
            of.x, of.null.where(of.null > 0), color=colours[width], lw=0.9, ls="--", alpha=0.7
        )
    top = lines[["y", "null"]].max().max()
    axis.set_ylim(max(float(lines.y.min()), top * 1e-5) * 0.8, top * 1.3)
    s.log_ticks(axis, "x")
    s.log_ticks(axis, "y")
    axis.set_xlabel("rank")
    axis.set_ylabel("eigenvalue / number of latents")
    s.finish(axis)


def _dimensionality(axis: Axes, bars: pd.DataFrame, colours: dict) -> None:
    for (_, _, width, _), of in bars.groupby(_SAE, sort=True):
        axis.step(of.x, of.y, where="mid", color=colours[width], lw=1.1)
        axis.axvline(of.null.iloc[0], color=colours[width], ls="--", lw=0.9, alpha=0.7)
    small = plt.rcParams["xtick.labelsize"] * 0.75
    for at, name in _POLYTOPES.items():
        axis.axvline(at, color="#BBBBBB", lw=0.7, ls=":", zorder=0)
        axis.text(
            *(at, 0.99, name),
            transform=axis.get_xaxis_transform(),
            rotation=90,
            va="top",
            ha="left" if name == "pentagon" else "right",
            fontsize=small,
            color="#888888",
        )
    axis.set_xlim(0, 1)
    axis.set_ylim(bottom=0)
    axis.set_xlabel("dimensions per feature, D")
    axis.set_ylabel("share of live latents")
    s.finish(axis)
