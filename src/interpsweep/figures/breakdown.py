"""Where the error of an SAE is: by position in the context, and by norm of the activation."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from interpsweep.config.pictures import FigureStyle
from interpsweep.figures import style as s
from interpsweep.figures.metrics import RECIPE, recipe_title
from interpsweep.figures.sources import Source, Sources, place

MISSING = "No SAE of this site has been evaluated."

_SAE = [*RECIPE, "d_sae", "seed"]
_NUMBERS = ["tokens", "fvu", "l0"]
_ROWS = (("position", "fvu"), ("position", "l0"), ("norm", "fvu"))
_Y = {"fvu": "unexplained\nvariance", "l0": "L0"}
_X = {"position": "position", "norm": "norm (tenth)"}


def table(sources: Sources) -> pd.DataFrame:
    """One row per SAE and group of tokens: ``by`` "position" or "norm", edges, tokens, fvu, l0.

    ``x`` is what is drawn: the group's middle position, counted from 1, or the number of its norm
    group, 1 being the smallest norms.
    """
    parts = [part for source in sources.get("evaluate", []) for part in _parts(source)]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def _parts(source: Source) -> list[pd.DataFrame]:
    at = {key: place(source)[key] for key in _SAE}
    parts = []
    for by, file, low, high in (
        ("position", "positions", "position_first", "position_end"),
        ("norm", "norms", "norm_low", "norm_high"),
    ):
        found = source.table(file)
        if found.empty:
            continue
        middle = (found[low] + found[high] - 1) / 2 + 1  # of whole positions
        x = middle if by == "position" else np.arange(1.0, len(found) + 1)
        edges = {"low": found[low].astype(float), "high": found[high].astype(float)}
        parts.append(found[_NUMBERS].assign(**at, by=by, x=x, **edges))
    return [part[[*_SAE, "by", "x", "low", "high", *_NUMBERS]] for part in parts]


def draw(table: pd.DataFrame, style: FigureStyle) -> Figure:
    """Rows: error by position, L0 by position, error by norm; columns: architecture, sparsity."""
    recipes = s.evenly(list(table.groupby(RECIPE, sort=True).groups), 4)
    rows = [row for row in _ROWS if row[1] != "l0" or _varies(table)]
    n, columns = len(recipes), len(recipes) if len(recipes) > 1 else len(rows)
    colours = s.ramp(sorted(table["d_sae"].unique()))
    aspect = {2: 0.5, 3: 0.66}.get(columns, 0.85) if n > 1 else 0.8
    figure, axes = s.panels(style, len(rows) * n, columns, aspect, sharey="row" if n > 1 else False)
    for i, axis in enumerate(axes):
        (by, metric), recipe = rows[i // n], recipes[i % n]
        of = table[(table[RECIPE] == list(recipe)).all(axis=1) & (table["by"] == by)]
        _panel(axis, of, metric, colours)
        if i < n and n > 1:
            axis.set_title(recipe_title(recipe))
        if i % n == 0:
            axis.set_ylabel(_Y[metric])
        axis.set_xlabel(_X[by])
        _scales(axis, table[table["by"] == by], by, metric)
        s.finish(axis)
    marks = [Line2D([], [], color=c, label=f"{s.count(w)} latents") for w, c in colours.items()]
    s.legend_outside(figure, marks)
    return figure


def _varies(table: pd.DataFrame) -> bool:
    """Whether L0 differs between positions: not that of a top-k dictionary."""
    l0 = table[table["by"] == "position"].groupby(_SAE)["l0"]
    return bool((l0.max() - l0.min() > 0.05 * l0.max()).any())


def _panel(axis: Axes, of: pd.DataFrame, metric: str, colours: dict) -> None:
    for width, rows in of.groupby("d_sae", sort=True):
        for _, line in rows.groupby("seed"):
            axis.plot(line["x"], line[metric], color=colours[width], lw=0.5, alpha=0.4)
        mean = rows.groupby("x")[metric].mean()
        axis.plot(mean.index, mean, color=colours[width], lw=1.2)


def _scales(axis: Axes, of: pd.DataFrame, by: str, metric: str) -> None:
    """Logarithmic where the range is wide; never a zoom into differences of a percent."""
    if by == "position" and of["x"].max() > 64:
        s.log_ticks(axis, "x")
    if by == "norm":
        axis.set_xticks([1, 4, 7, 10])
    values = of[metric].dropna()
    if metric == "fvu" and values.min() > 0 and values.max() / values.min() > 8:
        s.log_ticks(axis, "y")
    else:
        axis.set_ylim(0, 1.1 * float(values.max()) if len(values) else 1.0)
