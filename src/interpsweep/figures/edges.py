"""Typed parent-child edges: conditional firing against cosine, one panel per step in width."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from interpsweep.config.pictures import FigureStyle
from interpsweep.figures import style as s
from interpsweep.figures.sources import Sources, stacked

MISSING = "This site has no trees: a tree needs at least two widths of one family."

_PLACE = ["architecture", "sparsity", "seed"]
_COLUMNS = ["level", "d_narrow", "d_wide", "n", "w", "type", "subtype", "cosine", "p_n_given_w",
            "lb_n_given_w", "p_w_given_n", "p_n_given_w_null", "cosine_null"]  # fmt: skip
_POINTS = 6000  # most points per step in the table and the figure


def table(sources: Sources) -> pd.DataFrame:
    """One row per wide latent: its primary edge (or best candidate), thinned evenly if many."""
    edges = stacked(sources.get("tree", []), "edges")
    if edges.empty:
        return edges
    edges = edges[edges["step"] == 1]
    best = edges[edges["primary"] | (edges["n"] < 0) | ~edges["type"].isin(_WITH_PARENT)]
    best = best.drop_duplicates(["architecture", "sparsity", "seed", "target"])
    best = best[[c for c in (*_PLACE, *_COLUMNS) if c in best.columns]]
    best = best.sort_values(["level", *_PLACE, "w"], ignore_index=True)
    steps = best.groupby(["d_narrow", "d_wide"])
    best["latents_of_type"] = best.groupby(["d_narrow", "d_wide", "type"])["w"].transform("size")
    stride = (steps["w"].transform("size") - 1) // _POINTS + 1
    return best[steps.cumcount() % stride == 0].reset_index(drop=True)


_WITH_PARENT = (
    "identity",
    "identity_with_holes",
    "absorption",
    "split",
    "specialisation",
    "composition",
    "merge",
)


def draw(table: pd.DataFrame, style: FigureStyle) -> Figure:
    """Scatter per step; counts of each type are in the legend of its panel."""
    steps = sorted({*zip(table.d_narrow, table.d_wide, strict=True)})
    shown = s.evenly(steps, style.max_panels)
    figure, axes = s.panels(
        style,
        len(shown),
        min(3, len(shown)),
        0.85 if len(shown) > 1 else 0.6,
        sharex=True,
        sharey=True,
    )
    for i, (axis, (narrow, wide)) in enumerate(zip(axes, shown, strict=True)):
        of = table[(table.d_narrow == narrow) & (table.d_wide == wide)]
        _panel(axis, of)
        axis.set_title(f"{s.count(narrow)} → {s.count(wide)}")
        if i % min(3, len(shown)) == 0:
            axis.set_ylabel("P(parent fires | child fires)")
        axis.set_xlabel("cosine of child and parent")
    types = [t for t in s.EDGE_COLOURS if t in set(table["type"])]
    marks = [
        Line2D([], [], color=s.EDGE_COLOURS[t], marker="o", ls="", label=f"{s.words(t)} ({n:,})")
        for t in types
        if (n := _total(table, t)) > 0
    ]
    marks.append(Line2D([], [], color="#555555", ls=":", lw=1, label="null: 99.9% of cosines"))
    s.legend_outside(figure, marks, "relation (latents)")
    return figure


def _total(table: pd.DataFrame, kind: str) -> int:
    of = table[table["type"] == kind].drop_duplicates(["d_narrow", "d_wide"])
    return int(of["latents_of_type"].sum())


def _panel(axis: Axes, of: pd.DataFrame) -> None:
    linked = of[of["n"] >= 0]
    for kind in reversed(s.EDGE_COLOURS):  # the rarer, stronger relations on top
        points = linked[linked["type"] == kind]
        axis.scatter(
            points["cosine"],
            points["p_n_given_w"],
            s=9,
            color=s.EDGE_COLOURS[kind],
            alpha=0.75,
            lw=0,
            rasterized=True,
        )
    null = of["cosine_null"].median()
    if pd.notna(null):
        axis.axvline(null, color="#555555", ls=":", lw=1)
    axis.set_xlim(min(-0.02, float(linked["cosine"].min()) - 0.02) if len(linked) else 0, 1.03)
    axis.set_ylim(-0.03, 1.04)
    s.finish(axis)
