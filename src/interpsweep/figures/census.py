"""Census of shapes: clusters that pass each test, minus what the null expects."""

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from interpsweep.config.pictures import FigureStyle
from interpsweep.figures import style as s
from interpsweep.figures.sources import PLACE, Source, Sources, stacked

MISSING = "No census: no dictionary of this sweep had clusters to test."

_TESTS = tuple(shape for shape in s.SHAPE_COLOURS if shape not in ("unresolved", ""))


def table(sources: Sources) -> pd.DataFrame:
    """One row per SAE and test: clusters tested, passing, expected under the null, claimed.

    A test without power counts neither as passing nor as expected.
    """
    rows = [row for source in sources.get("geometry", []) for row in _rows(source)]
    if not rows:
        return pd.DataFrame()
    census = pd.DataFrame(rows)
    on = [c for c in (*PLACE, "test") if c != "layer"]
    claimed = _claimed(stacked(sources.get("claims", []), "claims"), on)
    if claimed is None:
        census["claimed"] = 0
    else:
        census = census.merge(claimed, on=on, how="left")
        census["claimed"] = census["claimed"].fillna(0).astype(int)
    census["excess"] = census["passing"] - census["expected"]
    return census.sort_values([*s.GROUP, "d_sae", "seed", "test"], ignore_index=True)


def _rows(source: Source) -> list[dict[str, Any]]:
    tests = source.summary("summary").get("tests", {})
    tested = source.table("census", ["test", "p_selected"])
    at = {key: source.at.get(key) for key in PLACE}
    made = []
    for name, facts in sorted(tests.items()):
        of = tested[tested["test"] == name] if len(tested) else tested
        share = len(of.dropna()) / max(int(facts["clusters"]), 1)
        counts = {"clusters": len(of.dropna()), "expected": facts["expected"] * share}
        made.append({**at, "test": name, **facts, **counts})
    return made


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
        groups = [(table[table.d_sae == w], f"{s.count(w)} latents") for w in keys]
    groups = s.evenly(groups, min(6, style.max_panels))
    columns = min(3, len(groups))
    figure, axes = s.panels(style, len(groups), columns, 0.9 if columns > 1 else 0.55, sharey=True)
    for i, (axis, (of, title)) in enumerate(zip(axes, groups, strict=True)):
        _bars(axis, of, along, style)
        axis.set_title(title)
        axis.set_xlabel("dictionary width" if along == "d_sae" else "layer")
        if i % columns == 0:
            axis.set_ylabel("clusters passing,\nobserved − expected")
    present = [t for t in _TESTS if t in set(table.loc[table["clusters"] > 0, "test"])]
    s.legend_outside(figure, [Patch(color=s.SHAPE_COLOURS[t], label=t) for t in present])
    return figure


def _bars(axis: Axes, of: pd.DataFrame, along: str, style: FigureStyle) -> None:
    """Means over seeds, stacked: what exceeds the null upwards, what falls short downwards.

    Above a bar stands how many clusters are claimed.
    """
    axis.axhline(0, color="#888888", lw=0.8, zorder=3)
    mean = of.pivot_table(index=along, columns="test", values="excess", aggfunc="mean")
    claimed = of.groupby([along, "seed"])["claimed"].sum().groupby(along).mean()
    for x, (at, row) in enumerate(mean.iterrows()):
        top = bottom = 0.0
        for test in [t for t in _TESTS if t in mean.columns and row[t] == row[t]]:
            height, base = row[test], top if row[test] > 0 else bottom
            axis.bar(x, height, bottom=base, width=0.72, color=s.SHAPE_COLOURS[test], lw=0)
            top, bottom = max(top, base + height), min(bottom, base + height)
        note = axis.annotate(
            f"{claimed[at]:g}",
            (x, top),
            (0, 2),
            textcoords="offset points",
            ha="center",
            fontsize=style.font_size * 0.8,
            color=s.INK,
        )
        note.set_in_layout(False)
    axis.set_xticks(range(len(mean)), [s.count(v) for v in mean.index])
    axis.margins(y=0.12)
    s.finish(axis)
