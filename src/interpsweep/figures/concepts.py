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
    means = stacked(sources.get("concepts", []), "means.parquet")
    facts = stacked(sources.get("concepts", []), "concepts.parquet")
    if means.empty or facts.empty:
        return pd.DataFrame()
    on = ["model", "site", "concept"]
    joined = means.merge(facts[[*on[:2], *_FACTS]], on=on, how="left")
    return joined.drop(columns=["d_sae", "seed", "architecture", "sparsity"], errors="ignore")


def draw(table: pd.DataFrame, style: FigureStyle) -> Figure:
    """One panel per concept and site: one row of concepts per site, four to a row."""
    concepts = sorted(table["concept"].unique(), key=lambda c: _rank(table, c))
    sites = s.evenly(s.order_sites(table), max(1, style.max_panels // min(4, len(concepts))))
    concepts = concepts[: max(1, style.max_panels // len(sites))]
    across = min(4, len(concepts))
    rows = [concepts[i : i + across] for i in range(0, len(concepts), across)]
    cells = [
        (c, *pair) for row in rows for pair in sites for c in [*row, *[""] * (across - len(row))]
    ]
    figure, axes = s.panels(style, len(cells), across, aspect=1.16 if across > 2 else 0.95)
    several = table["model"].nunique() > 1
    for axis, (concept, model, site) in zip(axes, cells, strict=True):
        of = table[(table.concept == concept) & (table.model == model) & (table.site == site)]
        if not concept:
            axis.set_visible(False)
            continue
        _panel(axis, of.sort_values("value"), style)
        place = s.site_title(model, site, several)
        axis.set_title(
            f"{s.plain(s.words(concept), 18)}, {place}\n{_verdict(of)}",
            pad=4,
            fontsize=style.font_size * 0.82,
        )
    return figure


_SHAPES = ("circle", "line", "tree", "categories")


def _rank(table: pd.DataFrame, concept: str) -> tuple[int, float, str]:
    """Circles, lines, trees, then plain categories (a control); clearest first."""
    of = table[table.concept == concept]
    shape = of["shape"].iloc[0]
    place = _SHAPES.index(shape) if shape in _SHAPES else len(_SHAPES)
    return place, float(of["p"].min()), str(concept)


def _verdict(of: pd.DataFrame) -> str:
    if of.empty:
        return "too few tokens"
    first = of.iloc[0]
    effect = f"{first['test']} {first['statistic']:.2f} (null {first['null_mean']:.2f})"
    return f"{effect}\n{pvalue(first['p'])}"


def pvalue(p: float) -> str:
    """``p = 0.012``, or ``p < 0.001`` below a thousandth."""
    if not np.isfinite(p):
        return "p n/a"
    return f"p = {p:.2g}" if p >= 0.001 else f"p = {p:.0e}".replace("e-0", "e-")


def _panel(axis: Axes, of: pd.DataFrame, style: FigureStyle) -> None:
    longest = max((len(str(label)) for label in of["label"]), default=0)
    s.plane(axis, of["x"].tolist(), of["y"].tolist(), room=0.3 + 0.06 * min(longest, 12))
    if of.empty:
        return
    xy = of[["x", "y"]].to_numpy(float)
    shape = str(of["shape"].iloc[0])
    if shape in ("circle", "line"):
        path = np.vstack([xy, xy[:1]]) if shape == "circle" else xy
        axis.plot(path[:, 0], path[:, 1], color="#B5B5B5", lw=0.9, zorder=1)
    axis.scatter(
        xy[:, 0], xy[:, 1], c=_colours(of, shape), s=26, zorder=2, lw=0.4, edgecolor="white"
    )
    _labels(axis, xy, of["label"].tolist(), shape, style)


def _colours(of: pd.DataFrame, shape: str) -> list:
    if shape == "circle":
        return sns.color_palette("husl", len(of))
    if shape == "line":
        return list(s.ramp(list(range(len(of)))).values())
    parents = of["parent_label"].astype(str)
    known = s.categorical(sorted(p for p in parents.unique() if p))
    own = s.categorical(of["label"].astype(str).tolist())
    return [known.get(p, own[str(v)]) for p, v in zip(parents, of["label"], strict=True)]


def _labels(axis: Axes, xy: np.ndarray, labels: list, shape: str, style: FigureStyle) -> None:
    """Label points away from the middle (along a line: above and below); of very many, fewer."""
    step = max(1, -(-len(labels) // 16))
    centre = xy.mean(axis=0)
    for i in range(0, len(labels), step):
        away = _across(xy, i) if shape == "line" else xy[i] - centre
        away = away / (np.linalg.norm(away) or 1.0)
        label = axis.annotate(
            s.plain(labels[i], 12),
            xy[i],
            xytext=(6 * float(away[0]), 6 * float(away[1])),
            textcoords="offset points",
            ha="left" if away[0] > 0.35 else "right" if away[0] < -0.35 else "center",
            va="bottom" if away[1] > 0.35 else "top" if away[1] < -0.35 else "center",
            fontsize=style.font_size * 0.72,
        )
        label.set_in_layout(False)  # else long labels would shrink the panels


def _across(xy: np.ndarray, i: int) -> np.ndarray:
    """A direction across the path at point `i`; neighbours take opposite sides."""
    along = xy[min(i + 1, len(xy) - 1)] - xy[max(i - 1, 0)]
    return np.array([-along[1], along[0]]) * (1 if i % 2 else -1)
