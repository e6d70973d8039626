"""What was planted against what was found: the calibration of the whole instrument."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from interpsweep.config.pictures import FigureStyle
from interpsweep.figures import style as s
from interpsweep.figures.sources import Sources, stacked

MISSING = "Nothing was planted: the corpora of this sweep carry no known structure."

# verdict -> colour; the second group is for planted structure without a shape
VERDICTS = {
    "recovered": "#5AA786",
    "partly": "#F2D48A",
    "not recovered": "#E2A08B",
    "nothing claimed": "#C9DDEE",
    "false claim": "#B03A2E",
}
_COLUMNS_MOST = 24  # most dictionaries drawn; the table holds all
_SAE = ["model", "site", "architecture", "sparsity", "d_sae"]
_COLUMNS = ["seed", "concept", "shape", "values", "values_held", "held_share", "mean_f1",
            "supervised_statistic", "supervised_p", "shape_statistic", "shape_p", "shape_q",
            "tree_f1", "edge_f1", "verdict"]  # fmt: skip


def table(sources: Sources) -> pd.DataFrame:
    """One row per planted concept and SAE."""
    found = stacked(sources.get("claims", []), "recovery")
    if found.empty:
        return found
    found = found[[c for c in (*_SAE, *_COLUMNS) if c in found.columns]]
    return found.sort_values(["shape", "concept", *_SAE, "seed"], ignore_index=True)


def draw(table: pd.DataFrame, style: FigureStyle) -> Figure:
    """Rows: concepts by shape; columns: dictionaries; a cell is the commonest verdict of seeds."""
    rows = table[["shape", "concept"]].drop_duplicates()
    rows = list(rows.sort_values(["shape", "concept"]).itertuples(index=False, name=None))
    sites = {pair: i for i, pair in enumerate(s.order_sites(table))}
    columns = sorted(
        table.groupby(_SAE).groups, key=lambda k: (sites[k[0], k[1]], str(k[2]), float(k[3]), k[4])
    )
    per_site = -(-len(columns) // len(sites))
    shown = set(s.evenly(list(sites), max(1, _COLUMNS_MOST // per_site)))
    columns = [k for k in columns if (k[0], k[1]) in shown]
    height = max(1.8, 0.36 * len(rows) + 1.5)
    figure, axis = s.plt.subplots(figsize=(style.width, height))
    grid, texts = _cells(table, rows, columns)
    axis.imshow(
        grid,
        cmap=ListedColormap(list(VERDICTS.values())),
        vmin=-0.5,
        vmax=len(VERDICTS) - 0.5,
        aspect="auto",
    )
    for (i, j), text in texts.items():
        if len(columns) <= 12:
            colour = "white" if grid[i][j] == 4 else s.INK
            axis.text(
                j, i, text, ha="center", va="center", fontsize=style.font_size * 0.72, color=colour
            )
    _ticks(axis, table, rows, columns, style)
    marks = [Patch(color=c, label=v) for v, c in VERDICTS.items() if v in set(table["verdict"])]
    figure.legend(handles=marks, loc="outside lower center", ncols=len(marks))
    return figure


def _cells(table: pd.DataFrame, rows: list, columns: list) -> tuple[list[list[float]], dict]:
    names = list(VERDICTS)
    grid = [[float("nan")] * len(columns) for _ in rows]
    texts = {}
    for i, (_, concept) in enumerate(rows):
        for j, key in enumerate(columns):
            of = table[(table.concept == concept) & (table[_SAE] == list(key)).all(axis=1)]
            known = [names.index(v) for v in of["verdict"] if v in names]
            if not known:
                continue
            grid[i][j] = float(
                max(set(known), key=lambda v: (known.count(v), v))
            )  # ties: the worse
            agree = sum(v == grid[i][j] for v in known)
            held, values = of["values_held"].mean(), of["values"].mean()
            texts[i, j] = f"{held:.3g}/{values:.3g} held" + (
                f"\n{agree} of {len(known)} seeds" if len(known) > 1 else ""
            )
    return grid, texts


def _ticks(axis: Axes, table: pd.DataFrame, rows: list, columns: list, style: FigureStyle) -> None:
    several = table["model"].nunique() > 1
    recipes = len(table[["architecture", "sparsity"]].drop_duplicates()) > 1
    names = [
        f"{s.site_title(m, site, several)}"
        + (f"\n{s.plain(a)} {k:g}" if recipes else "")
        + f"\n{s.count(w)}"
        for m, site, a, k, w in columns
    ]
    many = len(columns) > 6  # names of sites side by side would touch
    axis.set_xticks(range(len(columns)), [n.replace("\n", ", ") if many else n for n in names])
    axis.tick_params(axis="x", rotation=90 if many else 0)
    axis.set_yticks(
        range(len(rows)), [f"{s.plain(s.words(concept), 20)} ({shape})" for shape, concept in rows]
    )
    axis.set_xticks([x - 0.5 for x in range(1, len(columns))], minor=True)
    axis.set_yticks([y - 0.5 for y in range(1, len(rows))], minor=True)
    axis.grid(which="minor", color="white", lw=1.5)
    axis.tick_params(which="both", length=0)
    for side in axis.spines.values():
        side.set_visible(False)
