"""Census of shapes: clusters that pass each test, minus what the null expects."""

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from interpsweep.config.pictures import FigureStyle
from interpsweep.figures import style as s
from interpsweep.figures.sources import PLACE, Source, Sources, stacked

MISSING = "No census: no dictionary of this sweep had clusters to test."

_TESTS = tuple(shape for shape in s.SHAPE_COLOURS if shape not in ("unresolved", ""))


def table(sources: Sources) -> pd.DataFrame:
    """One row per SAE and test: clusters tested, passing, expected under the null, claimed."""
    rows = [row for source in sources.get("geometry", []) for row in _rows(source)]
    if not rows:
        return pd.DataFrame()
    census = pd.DataFrame(rows)
    on = [c for c in (*PLACE, "test") if c != "layer"]
    claimed = _claimed(stacked(sources.get("claims", []), "claims.parquet"), on)
    if claimed is None:
        census["claimed"] = 0
    else:
        census = census.merge(claimed, on=on, how="left")
        census["claimed"] = census["claimed"].fillna(0).astype(int)
    census["excess"] = census["passing"] - census["expected"]
    return census.sort_values([*s.GROUP, "d_sae", "seed", "test"], ignore_index=True)


def _rows(source: Source) -> list[dict[str, Any]]:
    tests = source.json("summary.json").get("tests", {})
    at = {key: source.coordinates.get(key) for key in PLACE}
    return [{**at, "test": name, **facts} for name, facts in sorted(tests.items())]


def _claimed(claims: pd.DataFrame, on: list[str]) -> pd.DataFrame | None:
    """Number of clusters per SAE and test whose q-value is at most the level."""
    if claims.empty:
        return None
    kept = claims[(claims["kind"] == "cluster") & (claims["verdict"] == "claimed")]
    return kept.groupby(on).size().rename("claimed").reset_index() if len(kept) else None


def draw(table: pd.DataFrame, style: FigureStyle) -> Figure:
    """Against width, one panel per site; with many layers against layer, one panel per width."""
    if table["layer"].nunique() > 6:
        return _grid(table, style, "d_sae", "layer")
    return _grid(table, style, "place", "d_sae")


def _grid(table: pd.DataFrame, style: FigureStyle, panel: str, along: str) -> Figure:
    if panel == "place":
        groups = [(s.in_group(table, g), s.group_title(table, g)) for g in s.order_groups(table)]
    else:
        keys = sorted(table["d_sae"].unique())
        groups = [(table[table.d_sae == w], f"{s.count(w)} features") for w in keys]
    groups = s.evenly(groups, min(6, style.max_panels))
    columns = min(3, len(groups))
    figure, axes = s.panels(style, len(groups), columns, 0.9 if columns > 1 else 0.55, sharey=True)
    for i, (axis, (of, title)) in enumerate(zip(axes, groups, strict=True)):
        _panel(axis, of, along)
        axis.set_title(title)
        if along == "d_sae":
            s.width_axis(axis, table["d_sae"].tolist(), "dictionary width")
        else:
            axis.set_xlabel("layer")
        if i % columns == 0:
            axis.set_ylabel("clusters passing,\nobserved − expected")
    present = [t for t in _TESTS if t in set(table["test"])]
    marks = [Line2D([], [], color=s.SHAPE_COLOURS[t], marker="o", label=t) for t in present]
    grey: dict[str, Any] = {"color": "#555555", "ls": "", "marker": "o"}
    marks += [
        Line2D([], [], **grey, label="some claimed (q)"),
        Line2D([], [], **grey, mfc="white", label="none claimed"),
    ]
    s.legend_outside(figure, marks)
    return figure


def _panel(axis: Axes, of: pd.DataFrame, along: str) -> None:
    axis.axhline(0, color="#888888", lw=0.8, zorder=0)
    present = [t for t in _TESTS if t in set(of["test"])]
    for i, test in enumerate(present):
        rows, colour = of[of["test"] == test], s.SHAPE_COLOURS[test]
        offset = i - (len(present) - 1) / 2
        at = rows[along] * 2 ** (offset * 0.09) if along == "d_sae" else rows[along] + offset * 0.08
        mean = rows.groupby(at)["excess"].mean()
        axis.plot(mean.index, mean, color=colour, lw=1.1)
        face = [colour if claimed else "white" for claimed in rows["claimed"]]
        axis.scatter(at, rows["excess"], s=16, c=face, edgecolor=colour, lw=1, zorder=3)
    s.finish(axis)
