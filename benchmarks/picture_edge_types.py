"""The picture of docs/methods.md: where the edge types are right and where they stop to be."""

from __future__ import annotations

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from interpsweep.config.pictures import FigureStyle
from interpsweep.figures import style as s

LEAST = 5  # true relations below which a point says nothing
_AXES = {
    "child_ratio": "frequency of a child\n/ of the one before it",
    "child_magnitude": "size of a child\n/ of its parent",
    "magnitude_noise": "spread of magnitudes\n(relative deviation)",
}
TYPES = {"parent_child": "any child", "absorption": "absorption"}


def scored(found: pd.DataFrame) -> pd.DataFrame:
    """One row per point of the grid and type: true, found and right relations, and their F1."""
    both = found["true"] + found["found"]
    return found.assign(f1=(2 * found["right"] / both).where(found["true"] >= LEAST))


def draw(table: pd.DataFrame, style: FigureStyle) -> Figure:
    """F1 over noise and one property of the world: one column each, one row per type."""
    figure, axes = s.panels(style, len(TYPES) * len(_AXES), len(_AXES), aspect=0.8)
    for i, axis in enumerate(axes):
        kind, along = list(TYPES)[i // len(_AXES)], list(_AXES)[i % len(_AXES)]
        _panel(axis, table[(table["type"] == kind) & (table["axis"] == along)], style)
        axis.set_xlabel(_AXES[along] if i // len(_AXES) == len(TYPES) - 1 else "")
        axis.set_ylabel(f"{TYPES[kind]}\n\nnoise" if i % len(_AXES) == 0 else "")
    scale = figure.colorbar(axes[0].collections[0], ax=list(axes), shrink=0.6, aspect=30)
    scale.set_label("F1")
    scale.outline.set_visible(False)
    return figure


def _panel(axis: Axes, of: pd.DataFrame, style: FigureStyle) -> None:
    grid = of.pivot(index="noise", columns="value", values="f1")
    sns.heatmap(
        grid, ax=axis, vmin=0, vmax=1, cmap="mako_r", cbar=False, linewidths=0.5, annot=True,
        fmt=".2f", annot_kws={"size": style.font_size * 0.75},
        xticklabels=[f"{value:g}" for value in grid.columns],
        yticklabels=[f"{noise:g}" for noise in grid.index],
    )  # fmt: skip
    for (row, column), f1 in np.ndenumerate(grid.to_numpy()):
        if np.isnan(f1):
            axis.text(column + 0.5, row + 0.5, "few", ha="center", va="center", color="#777777",
                      fontsize=style.font_size * 0.75)  # fmt: skip
    axis.set_facecolor("#F2F2F2")
    axis.tick_params(length=0)
    axis.tick_params(axis="y", rotation=0)
