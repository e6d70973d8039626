"""How often latents are active and how alike their directions are, by width."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from interpsweep.config.pictures import FigureStyle
from interpsweep.figures import style as s
from interpsweep.figures.metrics import RECIPE, newest, recipe_title
from interpsweep.figures.sources import Source, Sources, place

MISSING = "No SAE of this site has been evaluated."

_STEP = 0.25  # decades of density in a bin
_COSINES = np.linspace(0.0, 1.0, 41)
_SAE = [*RECIPE, "d_sae", "seed"]


def table(sources: Sources) -> pd.DataFrame:
    """One row per SAE, part and bin.

    ``part`` is "density" (x: middle of a bin of log10 density; NaN counts the dead latents) or
    "nearest" (x: middle of a bin of the largest cosine with another live feature), ``share`` that
    of all latents ("density") or of the live ones, ``null`` the median of "nearest" for as many
    random directions.
    """
    rows = [row for source in sources.get("evaluate", []) for row in _bins(source)]
    if not rows:
        return pd.DataFrame()
    return pd.DataFrame(rows).sort_values([*_SAE, "part", "x"], ignore_index=True)


def _bins(source: Source) -> list[dict]:
    latents = source.table("latents")
    if latents.empty:
        return []
    at = {key: place(source)[key] for key in _SAE}
    live = latents[latents["n_fired"] > 0]
    metrics = source.summary("metrics")
    null = metrics.get(newest("nearest_cosine_random", list(metrics)) or "")
    logs = np.log10(live["density"].to_numpy())
    low = np.floor(logs.min() / _STEP) * _STEP if len(logs) else -_STEP
    edges = np.arange(low, _STEP / 2, _STEP)
    parts = [
        ("density", edges, logs.clip(edges[0], edges[-1]), len(latents)),
        ("nearest", _COSINES, live["nearest_cosine"].dropna().clip(0, 1), max(1, len(live))),
    ]
    rows = [{**at, "part": "density", "x": np.nan, "share": 1 - len(live) / len(latents)}]
    for part, of, values, whole in parts:
        counts, _ = np.histogram(values, of)
        middles = (of[1:] + of[:-1]) / 2
        rows += [
            {**at, "part": part, "x": x, "share": count / whole}
            for x, count in zip(middles, counts, strict=True)
        ]
    return [row | {"null": null if row["part"] == "nearest" else np.nan} for row in rows]


def draw(table: pd.DataFrame, style: FigureStyle) -> Figure:
    """Upper row: densities; lower row: nearest cosines; columns: architecture and sparsity."""
    recipes = s.evenly(list(table.groupby(RECIPE, sort=True).groups), 4)
    n = len(recipes)
    colours = s.ramp(sorted(table["d_sae"].unique()))
    share: Any = "row" if n > 1 else False
    aspect = {1: 0.75, 2: 0.66, 3: 0.85}.get(n, 1.05)
    figure, axes = s.panels(style, 2 * n, max(2, n), aspect, sharex=share, sharey=share)
    dead = table.loc[table["part"] == "density", "x"].min() - 3 * _STEP
    for i, (axis, recipe) in enumerate(zip(axes, [*recipes, *recipes], strict=True)):
        part = "density" if i < n else "nearest"
        of = table[(table[RECIPE] == list(recipe)).all(axis=1) & (table["part"] == part)]
        _panel(axis, of, colours, dead)
        if i < n and n > 1:
            axis.set_title(recipe_title(recipe))
        axis.set_xlabel("density" if i < n else "nearest cosine")
        if i % n == 0:
            axis.set_ylabel("share of latents" if i < n else "share of live latents")
    _density_axis(axes[0], dead, narrow=n > 2)
    axes[n].set_xlim(0, 1)
    for axis in (axes[0], axes[n]):
        axis.set_ylim(0, axis.get_ylim()[1])
    marks = [Line2D([], [], color=c, label=f"{s.count(w)} latents") for w, c in colours.items()]
    marks.append(Line2D([], [], color="#777777", ls="--", lw=1, label="random directions"))
    s.legend_outside(figure, marks)
    return figure


def _panel(axis: Axes, of: pd.DataFrame, colours: dict, dead: float) -> None:
    for width, rows in of.groupby("d_sae", sort=True):
        never = rows[rows["x"].isna()].groupby("seed")["share"].mean()
        mean = rows.pivot_table(index="x", columns="seed", values="share").fillna(0).mean(axis=1)
        if len(mean):
            step = _STEP if len(never) else _COSINES[1]
            edges = [mean.index[0] - step / 2, *(mean.index + step / 2)]
            axis.stairs(mean, edges, color=colours[width], lw=1.1)
        axis.plot([dead] * len(never), never, "o", color=colours[width], mec="white", mew=0.4)
        null = rows["null"].mean()
        if pd.notna(null):
            axis.axvline(null, color=colours[width], ls="--", lw=0.9, alpha=0.7)
    s.finish(axis)


def _density_axis(axis: Axes, dead: float, narrow: bool) -> None:
    """Powers of ten, and a place for the dead at the left of them."""
    room = (2 if narrow else 1) * abs(dead) / 6  # that the word takes, in decades
    powers = [p for p in range(0, int(dead) - 1, -1) if p > dead + room]
    shown = powers[:: math.ceil(len(powers) / (2 if narrow else 6))]
    axis.set_xticks([dead, *shown], ["dead", *(f"$10^{{{p}}}$" for p in shown)])
    axis.set_xlim(dead - _STEP, _STEP / 2)
