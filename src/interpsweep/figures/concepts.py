"""Class means of known concepts, drawn in the plane of the shape they were declared to have."""

from __future__ import annotations

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from interpsweep.config.pictures import FigureStyle
from interpsweep.figures import style as s
from interpsweep.figures.sources import Sources, stacked

MISSING = "No labelled concept had enough tokens at any site."

_FACTS = ["concept", "test", "statistic", "null_mean", "p", "closure", "held_out_r2"]


def table(sources: Sources) -> pd.DataFrame:
    """One row per concept, value and site: its place in the plane, and the concept's test."""
    means = stacked(sources.get("concepts", []), "means")
    facts = stacked(sources.get("concepts", []), "concepts")
    if means.empty or facts.empty:
        return pd.DataFrame()
    on = ["model", "site", "concept"]
    joined = means.merge(facts[[*on[:2], *_FACTS]], on=on, how="left")
    return joined.drop(columns=["d_sae", "seed", "architecture", "sparsity"], errors="ignore")


def draw(table: pd.DataFrame, style: FigureStyle) -> Figure:
    """One panel per concept and site: one row of concepts per site, four to a row."""
    concepts = sorted(table["concept"].unique(), key=lambda c: _rank(table, c))
    across = min(4, len(concepts))
    sites = s.evenly(s.order_sites(table), max(1, style.max_panels // across))
    concepts = concepts[: max(across, style.max_panels // len(sites))]
    rows = [concepts[i : i + across] for i in range(0, len(concepts), across)]
    cells = [
        (c, *pair) for row in rows for pair in sites for c in [*row, *[""] * (across - len(row))]
    ]
    figure, axes = s.panels(style, len(cells), across, aspect=1.16 if across > 2 else 0.95)
    several = table["model"].nunique() > 1
    drawn = []
    for axis, (concept, model, site) in zip(axes, cells, strict=True):
        of = table[(table.concept == concept) & (table.model == model) & (table.site == site)]
        if of.empty:
            axis.set_visible(False)
            continue
        of = of.sort_values("value")
        _panel(axis, of)
        place = s.site_title(model, site, several)
        title = f"{s.plain(s.words(concept), 18)}, {place}\n{_verdict(of)}"
        axis.set_title(title, pad=4, fontsize=style.font_size * 0.82)
        drawn.append((axis, of))
    figure.draw_without_rendering()  # gives the panels their places: labels need them
    for axis, of in drawn:
        s.label_points(axis, of["x"], of["y"], of["label"], style.font_size * 0.72)
    return figure


_SHAPES = ("circle", "line", "tree", "categories")


def _rank(table: pd.DataFrame, concept: str) -> tuple[int, int]:
    """Circles, lines, trees, then plain categories (a control); else the order of the corpus."""
    of = table[table.concept == concept]
    shape = of["shape"].iloc[0]
    place = _SHAPES.index(shape) if shape in _SHAPES else len(_SHAPES)
    return place, int(of.index[0])


def _verdict(of: pd.DataFrame) -> str:
    first = of.iloc[0]
    if pd.isna(first["statistic"]):
        return f"{first['shape']}: not tested\n(nothing above it)"
    null = round(first["null_mean"], 2) + 0.0  # no "-0.00"
    effect = f"{first['test']} {first['statistic']:.2f} (null {null:.2f})"
    return f"{effect}\n{pvalue(first['p'])}"


def pvalue(p: float) -> str:
    """``p = 0.012``, or ``p < 0.001`` below a thousandth."""
    if not np.isfinite(p):
        return "p n/a"
    return f"p = {p:.2g}" if p >= 0.001 else f"p = {p:.0e}".replace("e-0", "e-")


def _panel(axis: Axes, of: pd.DataFrame) -> None:
    longest = max((len(str(label)) for label in of["label"]), default=0)
    s.plane(axis, of["x"].tolist(), of["y"].tolist(), room=0.3 + 0.09 * min(longest, 12))
    xy = of[["x", "y"]].to_numpy(float)
    shape = str(of["shape"].iloc[0])
    if shape in ("circle", "line"):
        path = np.vstack([xy, xy[:1]]) if shape == "circle" else xy
        axis.plot(path[:, 0], path[:, 1], color="#B5B5B5", lw=0.9, zorder=1)
    axis.scatter(
        xy[:, 0], xy[:, 1], c=_colours(of, shape), s=26, zorder=2, lw=0.4, edgecolor="white"
    )


def _colours(of: pd.DataFrame, shape: str) -> list:
    if shape == "circle":
        return sns.color_palette("husl", len(of))
    if shape == "line":
        return list(s.ramp(list(range(len(of)))).values())
    parents = of["parent_label"].astype(str)
    known = s.categorical(sorted(p for p in parents.unique() if p))
    own = s.categorical(sorted(of["label"].astype(str)))
    return [known.get(p, own[str(v)]) for p, v in zip(parents, of["label"], strict=True)]
