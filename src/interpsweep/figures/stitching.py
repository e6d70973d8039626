"""From a narrow dictionary to a wide one: what latents add, and the error along the way."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from interpsweep.config.pictures import FigureStyle
from interpsweep.figures import style as s
from interpsweep.figures.sources import Source, Sources

MISSING = "No two dictionaries of this site were stitched: it has one width and one seed."

_BINS = np.linspace(0, 1, 21)
_ENDS = ["direction", "architecture", "sparsity", "a_d_sae", "b_d_sae", "a_seed", "b_seed"]


def table(sources: Sources) -> pd.DataFrame:
    """Per match: one row per step of the curve (part "curve"), one per bin of cosine ("effect")."""
    rows = [row for source in sources.get("match", []) for row in _rows(source)]
    if not rows:
        return pd.DataFrame()
    return pd.DataFrame(rows).sort_values(["part", *_ENDS], kind="stable", ignore_index=True)


def _rows(source: Source) -> list[dict]:
    at, curve = source.coordinates, source.frame("stitching.parquet")
    if curve.empty or at["direction"] == "skip":
        return []
    a, b = at["a"], at["b"]
    place = {"direction": at["direction"], **{k: a[k] for k in ("architecture", "sparsity")}}
    place |= {
        f"{side}_{k}": end[k] for k in ("d_sae", "seed") for side, end in (("a", a), ("b", b))
    }
    moved = (curve["inserted"] + curve["removed"]) / (a["d_sae"] + b["d_sae"])
    none = dict.fromkeys(("latents", "auc", "threshold"), np.nan)
    began = curve["mse_centred"].iloc[0]
    rows = [
        {**place, "part": "curve", "action": action, "x": x, "y": y / began, **none}
        for action, x, y in zip(curve["action"], moved, curve["mse_centred"], strict=True)
    ]
    wide = source.frame("features.parquet", ["side", "count", "cosine", "delta_mse"])
    wide = wide[(wide["side"] == "b") & (wide["count"] > 0)]
    stitched = source.json("summary.json")["stitching"]
    kind = np.clip(np.digitize(wide["cosine"], _BINS) - 1, 0, len(_BINS) - 2)
    for k, group in (wide["delta_mse"] < 0).groupby(kind):
        rows.append(
            {
                **place, "part": "effect", "action": "", "x": (_BINS[k] + _BINS[k + 1]) / 2,
                "y": group.mean(), "latents": len(group), "auc": stitched["auc"],
                "threshold": stitched["threshold"],
            }
        )  # fmt: skip
    return rows


def draw(table: pd.DataFrame, style: FigureStyle) -> Figure:
    """Left: share of novel latents by largest cosine. Right: error along the way."""
    steps = sorted({*zip(table.a_d_sae, table.b_d_sae, strict=True)})
    vertical = [step for step in steps if step[0] != step[1]] or steps
    colours = s.ramp(s.evenly(vertical, 5))
    figure, (left, right) = s.panels(style, 2, 2, 0.8)
    for step, colour in colours.items():
        of = table[(table.a_d_sae == step[0]) & (table.b_d_sae == step[1])]
        _effect(left, of[of["part"] == "effect"], colour)
        _curve(right, of[of["part"] == "curve"], colour, "-")
        if step[0] != step[1]:
            same = table[(table.a_d_sae == step[0]) & (table.b_d_sae == step[0])]
            _curve(right, same[same["part"] == "curve"], colour, ":")
    left.set_xlabel("largest cosine with the narrow dictionary")
    left.set_ylabel("share that lowers its error")
    left.set_xlim(0, 1)
    top = max(0.1, float(table.loc[table["part"] == "effect", "y"].max()))
    left.set_ylim(-0.03 * top, 1.05 * top)
    right.axhline(1, color=s.PALE, lw=0.8, zorder=0)
    right.set_xlabel("share of latents moved")
    right.set_ylabel("squared error / the narrow one's")
    if table.loc[table["part"] == "curve", "y"].max() > 5:
        s.log_ticks(right, "y")
    for axis in (left, right):
        s.finish(axis)
    marks = [
        Line2D([], [], color=colour, label=f"{s.count(a)} → {s.count(b)}")
        for (a, b), colour in colours.items()
    ]
    marks.append(Line2D([], [], color="#555555", ls=":", label="another seed,\nnarrow width"))
    s.legend_outside(figure, marks, "step")
    return figure


def _effect(axis: Axes, of: pd.DataFrame, colour: tuple) -> None:
    """Bins of all families together, weighted by latents; the fitted threshold as a tick."""
    weighted = of.assign(y=of["y"] * of["latents"]).groupby("x")[["y", "latents"]].sum()
    sizes = 8 + 60 * weighted["latents"] / max(1, weighted["latents"].max())
    axis.plot(weighted.index, weighted["y"] / weighted["latents"], color=colour, lw=1)
    axis.scatter(
        weighted.index, weighted["y"] / weighted["latents"], s=sizes, color=colour, lw=0, alpha=0.8
    )
    for threshold in of["threshold"].dropna().unique():
        axis.plot(
            [threshold] * 2, [0, 0.04], color=colour, lw=1, transform=axis.get_xaxis_transform()
        )


def _curve(axis: Axes, of: pd.DataFrame, colour: tuple, line: str) -> None:
    for _, one in of.groupby(_ENDS):
        axis.plot(one["x"], one["y"], line, color=colour, lw=1, alpha=0.9)
        swaps = one[one["action"] == "swap"]
        if line == "-" and len(swaps):
            last = one[one["action"] != "swap"].iloc[-1]
            axis.plot(last["x"], last["y"], "o", color=colour, ms=3)
            axis.plot(swaps["x"].iloc[-1], swaps["y"].iloc[-1], "s", color=colour, ms=3)
