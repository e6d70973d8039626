"""Map of a dictionary's decoder directions, coloured by the census."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from interpsweep.config.pictures import FigureStyle
from interpsweep.figures import style as s
from interpsweep.figures.sources import Sources, stacked

MISSING = "No map: no dictionary of this site had enough live latents."

_SAE = ["architecture", "sparsity", "d_sae", "seed"]
_COLUMNS = ["feature", "x", "y", "cluster", "shape"]
_POINTS = 20_000  # most points per map


def table(sources: Sources) -> pd.DataFrame:
    """One row per live latent: place on the map, cluster and shape; thinned evenly if many."""
    maps = stacked(sources.get("geometry", []), "embedding")
    if maps.empty:
        return maps
    maps = maps[[*_SAE, *_COLUMNS]].sort_values([*_SAE, "feature"], ignore_index=True)
    of = maps.groupby(_SAE)
    stride = (of["feature"].transform("size") - 1) // _POINTS + 1
    return maps[of.cumcount() % stride == 0].reset_index(drop=True)


def draw(table: pd.DataFrame, style: FigureStyle) -> Figure:
    """One map per SAE, first seeds first; unclustered latents are pale."""
    keys = sorted(table.groupby(_SAE).groups, key=lambda k: (k[3], str(k[0]), float(k[1]), k[2]))
    first = [k for k in keys if k[3] == keys[0][3]]
    shown = s.evenly(first, min(6, style.max_panels))
    figure, axes = s.panels(style, len(shown), min(3, len(shown)), 1.05 if len(shown) > 1 else 0.8)
    for axis, key in zip(axes, shown, strict=True):
        of = table[(table[_SAE] == list(key)).all(axis=1)]
        size = max(1.0, min(12.0, 4000 / len(of)))
        for shape, colour in s.SHAPE_COLOURS.items():
            part = of[(of["shape"] == shape) & ((of["cluster"] >= 0) | (shape == ""))]
            scale = 1.0 if shape == "" else 2.0
            axis.scatter(part["x"], part["y"], s=size * scale, color=colour, lw=0, rasterized=True,
                         zorder=1 if shape == "" else 2)  # fmt: skip
        title = f"{s.count(key[2])} latents"
        recipes = {k[:2] for k in first}
        axis.set_title(title + (f"\n{s.plain(key[0])} {key[1]:g}" if len(recipes) > 1 else ""))
        axis.set_xticks([])
        axis.set_yticks([])
        axis.set_aspect("equal", adjustable="datalim")
        for side in axis.spines.values():
            side.set_color(s.PALE)
    present = [c for c in s.SHAPE_COLOURS if c in set(table["shape"])]
    marks = [
        Line2D([], [], color=s.SHAPE_COLOURS[c], marker="o", ls="", label=c or "no cluster")
        for c in present
    ]
    s.legend_outside(figure, marks, "shape of cluster")
    return figure
