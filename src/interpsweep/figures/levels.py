"""Nested levels of Matryoshka SAEs against widths: who has a parent in which tree, and the same."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from interpsweep.config.pictures import FigureStyle
from interpsweep.figures import style as s
from interpsweep.figures.sources import Sources, stacked

MISSING = "No Matryoshka SAE has a narrower one in its family: its levels compare with no tree."

_ROWS = 16  # most SAEs drawn, those of all seeds as one
_LEVEL = 0.05  # agreement in every seed's own test
_STEP = ["d_narrow", "d_sae"]
# share of latents -> (label, colour)
_PARTS = {
    "same": ("in both, the same", s.GREEN),
    "other": ("in both, another", s.ORANGE),
    "only_widths": ("over widths only", s.BLUE),
    "only_levels": ("among levels only", s.SKY),
}


def table(sources: Sources) -> pd.DataFrame:
    """One row per Matryoshka SAE: counts, agreement and its null, and shares of its latents."""
    found = stacked(sources.get("claims", []), "levels")
    if found.empty:
        return found
    parts = {
        "same": found["agreeing"],
        "other": found["both"] - found["agreeing"],
        "only_widths": found["over_widths"] - found["both"],
        "only_levels": found["among_levels"] - found["both"],
    }
    latents = found["latents"].clip(lower=1)
    found = found.assign(**{name: part / latents for name, part in parts.items()})
    return found.sort_values([*s.GROUP, "d_sae", "seed"], ignore_index=True)


def draw(table: pd.DataFrame, style: FigureStyle) -> Figure:
    """Latents with parents on the left, agreement and chance on the right; one line per width."""
    lines = [
        (group, step)
        for group in s.order_groups(table)
        for step in sorted(s.in_group(table, group).groupby(_STEP).groups)
    ]
    lines = s.evenly(lines, _ROWS)
    aspect = 0.07 * len(lines) + 0.28
    figure, (shares, agreement) = s.panels(style, 2, 2, aspect, sharey=True)
    for y, (group, step) in enumerate(lines):
        rows = s.in_group(table, group)
        rows = rows[(rows[_STEP] == list(step)).all(axis=1)]
        _shares(shares, y, rows)
        _agreement(agreement, y, rows)
    shares.set_yticks(range(len(lines)), [_name(table, *line) for line in lines])
    shares.set_ylim(len(lines) - 0.5, -0.5)
    shares.set_xlim(0, 1)
    shares.set_xlabel("share of latents with a parent")
    agreement.set_xlim(-0.03, 1.03)
    agreement.set_xlabel("agreement where both trees have one")
    agreement.grid(axis="y", color="#EEEEEE", lw=0.6)
    for axis in (shares, agreement):
        axis.tick_params(axis="y", length=0)
        s.finish(axis)
    marks: list[Artist] = [Patch(color=colour, label=label) for label, colour in _PARTS.values()]
    marks += [
        Line2D([], [], color=s.GREEN, marker="o", ls="", label="agreement"),
        Line2D(
            [],
            [],
            color=s.GREEN,
            marker="o",
            mfc="white",
            ls="",
            label="not in every seed beyond chance",
        ),
        Line2D([], [], color=s.GREY, marker="D", ls="", label="parents permuted"),
    ]  # fmt: skip
    figure.legend(handles=marks, loc="outside lower center", ncols=4, columnspacing=1.2)
    return figure


def _shares(axis: Axes, y: int, rows: pd.DataFrame) -> None:
    """Means over the seeds, one after the other."""
    left = 0.0
    for name, (_, colour) in _PARTS.items():
        share = float(rows[name].mean())
        axis.barh(y, share, left=left, color=colour, height=0.62, lw=0)
        left += share


def _agreement(axis: Axes, y: int, rows: pd.DataFrame) -> None:
    known = rows.dropna(subset=["agreement"])
    if known.empty:
        return
    mean, null = known["agreement"].mean(), known["null_agreement"].mean()
    axis.plot([null, mean], [y, y], color=s.GREY, lw=0.9)
    axis.plot(known["agreement"], np.full(len(known), y), ".", color=s.GREEN, ms=3, alpha=0.6)
    clear = (known["p"] <= _LEVEL).all()
    axis.plot(mean, y, "o", mec=s.GREEN, mfc=s.GREEN if clear else "white", ms=5, mew=0.9)
    axis.plot(null, y, "D", color=s.GREY, ms=3.5)


def _name(table: pd.DataFrame, group: tuple, step: tuple[int, int]) -> str:
    title = s.group_title(table, group).replace("\n", ", ")
    return f"{title}  {s.count(step[0])} → {s.count(step[1])}"
