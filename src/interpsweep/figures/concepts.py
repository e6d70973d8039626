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
    """One row per concept, value and site: place in the plane, with the concept's test beside it."""
    means = stacked(sources.get("concepts", []), "means.parquet")
    facts = stacked(sources.get("concepts", []), "concepts.parquet")
    if means.empty or facts.empty:
        return pd.DataFrame()
    on = ["model", "site", "concept"]
    joined = means.merge(facts[[*on[:2], *_FACTS]], on=on, how="left")
    return joined.drop(columns=["d_sae", "seed", "architecture", "sparsity"], errors="ignore")


def draw(table: pd.DataFrame, style: FigureStyle) -> Figure:
    """One panel per concept and site: concepts down, sites across."""
    sites = s.order_sites(table)
    concepts = sorted(table["concept"].unique(), key=lambda c: _rank(table, c))
    columns = min(len(sites), 4)
    sites = s.evenly(sites, columns)
    concepts = concepts[: max(1, style.max_panels // columns)]
    cells = [(c, m, x) for c in concepts for m, x in sites]
    across = columns if columns > 1 else min(3, len(cells))
    figure, axes = s.panels(style, len(cells), across, aspect=1.02 if across < 4 else 1.1)
    several = len({m for m, _ in sites}) > 1
    for axis, (concept, model, site) in zip(axes, cells, strict=True):
        of = table[(table.concept == concept) & (table.model == model) & (table.site == site)]
        _panel(axis, of.sort_values("value"), style)
        place = s.site_title(model, site, several)
        axis.set_title(f"{s.plain(s.words(concept), 18)}, {place}\n{_verdict(of)}", pad=4)
    return figure


def _rank(table: pd.DataFrame, concept: str) -> tuple[int, float, str]:
    """Shapes with structure first, clearest first; plain categories (a control) last."""
    of = table[table.concept == concept]
    return int(of["shape"].iloc[0] == "categories"), float(of["p"].min()), str(concept)


def _verdict(of: pd.DataFrame) -> str:
    if of.empty:
        return "too few tokens"
    first = of.iloc[0]
    return f"{first['test']} {first['statistic']:.2f} (null {first['null_mean']:.2f}), {pvalue(first['p'])}"


def pvalue(p: float) -> str:
    """``p = 0.012``, or ``p < 0.001`` below a thousandth."""
    if not np.isfinite(p):
        return "p n/a"
    return f"p = {p:.2g}" if p >= 0.001 else f"p = {p:.0e}".replace("e-0", "e-")


def _panel(axis: Axes, of: pd.DataFrame, style: FigureStyle) -> None:
    axis.set_aspect("equal", adjustable="datalim")
    axis.set_xticks([])
    axis.set_yticks([])
    for side in axis.spines.values():
        side.set_color(s.PALE)
    axis.margins(0.24)
    if of.empty:
        return
    xy = of[["x", "y"]].to_numpy(float)
    shape = str(of["shape"].iloc[0])
    if shape in ("circle", "line"):
        path = np.vstack([xy, xy[:1]]) if shape == "circle" else xy
        axis.plot(path[:, 0], path[:, 1], color="#B5B5B5", lw=0.9, zorder=1)
    axis.scatter(xy[:, 0], xy[:, 1], c=_colours(of, shape), s=26, zorder=2, lw=0.4, edgecolor="white")
    _labels(axis, xy, of["label"].tolist(), style)


def _colours(of: pd.DataFrame, shape: str) -> list:
    if shape == "circle":
        return sns.color_palette("husl", len(of))
    if shape == "line":
        return list(s.ramp(list(range(len(of)))).values())
    parents = of["parent_label"].astype(str)
    known = s.categorical(sorted(p for p in parents.unique() if p))
    own = s.categorical(of["label"].astype(str).tolist())
    return [known.get(p, own[str(v)]) for p, v in zip(parents, of["label"], strict=True)]


def _labels(axis: Axes, xy: np.ndarray, labels: list, style: FigureStyle) -> None:
    """Label the points on the side away from the middle; of very many, every other one or fewer."""
    step = max(1, -(-len(labels) // 16))
    centre = xy.mean(axis=0)
    for i in range(0, len(labels), step):
        away = xy[i] - centre
        away = away / (np.linalg.norm(away) or 1.0)
        axis.annotate(
            s.plain(labels[i], 12),
            xy[i],
            xytext=away * 6,
            textcoords="offset points",
            ha="left" if away[0] > 0.35 else "right" if away[0] < -0.35 else "center",
            va="bottom" if away[1] > 0.35 else "top" if away[1] < -0.35 else "center",
            fontsize=style.font_size * 0.72,
        )
