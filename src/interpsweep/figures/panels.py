"""The clearest clusters of the census: their directions and their cloud of activations."""

from __future__ import annotations

from typing import Any

import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from interpsweep.config.pictures import FigureStyle
from interpsweep.figures import style as s
from interpsweep.figures.sources import Sources, stacked

MISSING = "No cluster to show: the census of this site found none."

_SAE = ["architecture", "sparsity", "d_sae", "seed"]
_NULL = ["statistic", "null_mean", "null_sd"]
_COLUMNS = ["panel", "cluster", "test", "p_selected", *_NULL, "kind", "x", "y", "order", "feature",
            "activation", "row", "token", "text", "concept", "value", "label"]  # fmt: skip
_CLUSTERS = 4  # drawn at most; the table holds all
_NAMED = 14  # most labelled points in one panel
_SAME = 0.5  # of the tokens of two clouds: from there on they show the same


def table(sources: Sources) -> pd.DataFrame:
    """One row per drawn point of every SAE's clearest clusters, with the cluster's p."""
    geometry = sources.get("geometry", [])
    points = stacked(geometry, "panels")
    if points.empty:
        return points
    census = stacked(geometry, "census")
    on = [*_SAE, "cluster", "test"]
    clearest = census.sort_values("p_selected", kind="stable")[[*on, "p_selected", *_NULL]]
    points = points.merge(clearest.drop_duplicates(on), on=on, how="left")
    keys = [*_SAE, "panel", "kind", "order", "feature", "row"]
    return points[[*_SAE, *_COLUMNS]].sort_values(keys, ignore_index=True)


def draw(table: pd.DataFrame, style: FigureStyle) -> Figure:
    """Per cluster two panels: directions (joined in their best order) and activations."""
    clusters = table.groupby([*_SAE, "panel"], sort=False)["p_selected"].first().reset_index()
    clusters = clusters[clusters["seed"] == clusters["seed"].min()]  # other seeds look alike
    clusters = clusters.sort_values(["p_selected", "panel", *_SAE], kind="stable")
    shown = _different(clusters, table, max(1, min(_CLUSTERS, style.max_panels // 2)))
    figure, axes = s.panels(style, 2 * len(shown), 4 if len(shown) > 1 else 2, aspect=1.12)
    drawn = []
    for i, of in enumerate(shown):
        first = of.iloc[0]
        colours = _colours(of)
        _directions(axes[2 * i], of[of.kind != "cloud"], colours)
        _cloud(axes[2 * i + 1], of[of.kind == "cloud"], colours)
        axes[2 * i].set_title(
            f"cluster {first.cluster} of {s.count(first.d_sae)}\n"
            f"{first.test}, p = {first.p_selected:.2g}"
        )
        _null(axes[2 * i], first, style)
        axes[2 * i + 1].set_title(f"its activations\n{_subject(of)}")
        drawn.append((axes[2 * i], axes[2 * i + 1], of))
    figure.draw_without_rendering()  # gives the panels their places: labels need them
    for left, right, of in drawn:
        _name_directions(left, of[of.kind != "cloud"], style)
        _name_tokens(right, of[of.kind == "cloud"], style)
    return figure


def _different(clusters: pd.DataFrame, table: pd.DataFrame, most: int) -> list[pd.DataFrame]:
    """Points of the clearest clusters that are not of the same tokens as a clearer one; SAEs of all
    widths find the same. Rows of `clusters` are in order of clarity.
    """
    points = dict(list(table.groupby([*_SAE, "panel"])))
    shown: list[pd.DataFrame] = []
    again: list[pd.DataFrame] = []
    for key in clusters[[*_SAE, "panel"]].itertuples(index=False, name=None):
        of = points[key]
        seen = any(_alike(_tokens(of), _tokens(other)) for other in shown)
        (again if seen else shown).append(of)
    return (shown + again)[:most]


def _tokens(of: pd.DataFrame) -> set[int]:
    return set(of.loc[of.kind == "cloud", "token"])


def _alike(left: set[int], right: set[int]) -> bool:
    return len(left & right) >= _SAME * max(1, len(left | right))


def _null(axis: Axes, first: Any, style: FigureStyle) -> None:
    """The statistic on a scale with its null, as mean and two standard deviations, in a strip."""
    strip = axis.inset_axes((0.06, 0.07, 0.88, 0.05))
    mean, sd = first.null_mean, first.null_sd
    strip.barh(0, 4 * sd, left=mean - 2 * sd, height=1.0, color=s.PALE, lw=0)
    strip.plot([mean, mean], [-0.5, 0.5], color=s.GREY, lw=1)
    strip.plot([first.statistic] * 2, [-0.5, 0.5], color=s.RED, lw=1.6)
    low, high = min(mean - 2 * sd, first.statistic), max(mean + 2 * sd, first.statistic)
    room = 0.06 * max(high - low, 1e-12)
    strip.set_xlim(low - room, high + room)
    strip.set_axis_off()
    small: dict[str, Any] = {"fontsize": style.font_size * 0.55, "va": "bottom", "ha": "center"}
    strip.text(mean, 0.6, f"null {mean:.2f}", color="#777777", **small)
    strip.text(first.statistic, 0.6, f"{first.statistic:.2f}", color=s.RED, **small)


def _subject(of: pd.DataFrame) -> str:
    """The concept that labels most of the cloud's tokens, or their number."""
    named = of.loc[(of.kind == "cloud") & (of.concept.fillna("") != ""), "concept"]
    cloud = int((of.kind == "cloud").sum())
    if len(named) * 2 > cloud:
        return s.plain(s.words(str(named.mode().iloc[0])), 24)
    return f"{cloud:,} tokens"


def _colours(of: pd.DataFrame) -> dict:
    """Colour by label where tokens are labelled, else by the strongest feature."""
    labels = sorted({(v, str(x)) for v, x in zip(of.value, of.label.fillna(""), strict=True) if x})
    names = [f"label:{x}" for _, x in labels]
    directions = of[of.kind != "cloud"].sort_values("order")
    features = [f"feature:{x}" for x in directions["feature"].drop_duplicates()]
    palette = dict(zip(names, sns.color_palette("husl", max(1, len(names))), strict=False))
    return {
        **palette,
        **dict(zip(features, sns.color_palette("husl", max(1, len(features))), strict=True)),
    }


def _colour(row: Any, colours: dict) -> Any:
    label = getattr(row, "label", "")
    if label and f"label:{label}" in colours:
        return colours[f"label:{label}"]
    return colours.get(f"feature:{row.feature}", s.GREY)


def _directions(axis: Axes, of: pd.DataFrame, colours: dict) -> None:
    s.plane(axis, of.x.tolist(), of.y.tolist(), room=0.8)
    ordered = of[of.order >= 0].sort_values("order")
    if len(ordered) > 1:
        closed = ordered.test.iloc[0] == "circle"
        path = pd.concat([ordered, ordered.head(1)]) if closed else ordered
        axis.plot(path.x, path.y, color="#B5B5B5", lw=0.9, zorder=1)
    axis.scatter(of.x, of.y, c=[_colour(r, colours) for r in of.itertuples()], s=24, zorder=2,
                 lw=0.4, edgecolor="white")  # fmt: skip


def _cloud(axis: Axes, of: pd.DataFrame, colours: dict) -> None:
    s.plane(axis, of.x.tolist(), of.y.tolist(), room=0.8)
    if of.empty:
        axis.text(0.5, 0.5, "not measured", transform=axis.transAxes, ha="center", color="#777777")
        return
    axis.scatter(of.x, of.y, c=[_colour(r, colours) for r in of.itertuples()], s=5, alpha=0.7, lw=0,
                 rasterized=True)  # fmt: skip


def _name_directions(axis: Axes, of: pd.DataFrame, style: FigureStyle) -> None:
    rows = zip(of.label.fillna(""), of.token.fillna(""), of.feature, strict=True)
    names = [label or token or f"f{feature}" for label, token, feature in rows]
    s.label_points(axis, of.x, of.y, names, style.font_size * 0.66)


def _name_tokens(axis: Axes, of: pd.DataFrame, style: FigureStyle) -> None:
    """Name the strongest token of every kind, as far as there is room."""
    if of.empty:
        return
    strongest = of.sort_values("activation", ascending=False, kind="stable").drop_duplicates(
        "token"
    )
    strongest = strongest.head(_NAMED)
    s.label_points(axis, strongest.x, strongest.y, strongest.token, style.font_size * 0.66)
