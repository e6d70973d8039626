"""Training curves: unexplained variance against tokens or steps."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from interpsweep.config.pictures import FigureStyle
from interpsweep.figures import style as s
from interpsweep.figures.sources import PLACE, Sources, stacked

MISSING = "No training log: the SAEs of this site were not trained by this sweep."

_CURVES = {
    "fvu": "unexplained variance",
    "loss": "training loss",
    "l0": "L0 (active latents per token)",
    "dead_fraction": "dead latents (share)",
    "dead": "dead latents (count)",
}
_POINTS = 400  # most points per curve


def table(sources: Sources) -> pd.DataFrame:
    """One row per SAE and logged step: coordinates, step, tokens and the logged curves."""
    log = stacked(sources.get("train", []), "training")
    if log.empty or "step" not in log.columns:
        return pd.DataFrame()
    keep = [c for c in (*PLACE, "step", "tokens", *_CURVES) if c in log.columns]
    log = log[keep]
    keys = [c for c in PLACE if c in log.columns]
    stride = log.groupby(keys, dropna=False)["step"].transform("size") // _POINTS + 1
    place = log.groupby(keys, dropna=False).cumcount()
    return log[place % stride == 0].reset_index(drop=True)


def draw(table: pd.DataFrame, style: FigureStyle) -> Figure:
    """One panel per logged curve; colour is the width, one line per SAE."""
    curves = [c for c in _CURVES if c in table.columns and table[c].notna().any()][:4]
    if not curves:
        return s.notice(style, "The training logs hold none of the known curves.")
    columns = min(2, len(curves))
    figure, axes = s.panels(style, len(curves), columns, aspect=0.62)
    colours = s.ramp(sorted(table["d_sae"].unique()))
    clock = "tokens" if "tokens" in table.columns else "step"
    for i, (axis, curve) in enumerate(zip(axes, curves, strict=True)):
        _panel(axis, table, clock, curve, colours)
        axis.set_ylabel(_CURVES[curve])
        if i >= len(curves) - columns:
            axis.set_xlabel("training tokens" if clock == "tokens" else "training step")
    marks = [Line2D([], [], color=c, label=f"{s.count(w)} latents") for w, c in colours.items()]
    s.legend_outside(figure, marks)
    return figure


def _panel(axis: Axes, table: pd.DataFrame, clock: str, curve: str, colours: dict) -> None:
    keys = ["d_sae", "architecture", "sparsity", "seed"]
    for (width, *_), line in table.groupby(keys, sort=True, dropna=False):
        axis.plot(line[clock], line[curve], color=colours[width], lw=0.9, alpha=0.9)
    values = table[curve].dropna()
    if curve in ("fvu", "loss") and values.min() > 0 and values.max() / values.min() > 8:
        s.log_ticks(axis, "y")
    if values.max() - values.min() < 0.02 * abs(values.max()):  # constant, such as the L0 of top-k
        axis.set_ylim(0, values.max() * 1.2)
    if table[clock].max() >= 100_000:
        axis.xaxis.set_major_formatter(lambda value, _: s.tokens(value))
    s.finish(axis)
